package millstream.bench;

import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.utils.AppInfoParser;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;

/**
 * Runs one workload until SIGTERM, as any application of Kafka Streams would: the harness watches the group's committed
 * offsets, ends the process when nothing is left, and measures it from outside, every engine in the same way.
 */
public final class Main {
    private Main() {}

    public static void main(String[] args) throws Exception {
        Map<String, String> options = parse(args);
        Properties settings = new Properties();
        try (var reader = Files.newBufferedReader(Path.of(options.get("settings")))) {
            settings.load(reader);
        }
        System.out.printf("{\"engine\":\"kafka-streams\",\"version\":\"%s\"}%n", AppInfoParser.getVersion());
        System.out.flush();

        var topology = Workloads.topology(
                options.get("workload"), options.get("input").split(","), options.get("application-id"), settings);
        var streams = new KafkaStreams(topology, config(options, settings));
        var failed = new boolean[1];
        var done = new CountDownLatch(1);
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            failed[0] = true;
            done.countDown();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
        streams.start();
        done.await();
        System.exit(failed[0] ? 1 : 0);
    }

    private static Properties config(Map<String, String> options, Properties settings) {
        var config = new Properties();
        config.put(StreamsConfig.APPLICATION_ID_CONFIG, options.get("application-id"));
        config.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, options.get("bootstrap"));
        config.put(StreamsConfig.STATE_DIR_CONFIG, options.get("state-dir"));
        config.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        config.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, settings.getProperty("threads"));
        config.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, settings.getProperty("commit.interval.ms"));
        config.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, settings.getProperty("cache.bytes"));
        config.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, switch (options.get("guarantee")) {
            case "at_least_once" -> StreamsConfig.AT_LEAST_ONCE;
            case "exactly_once" -> StreamsConfig.EXACTLY_ONCE_V2;
            default -> throw new IllegalArgumentException("unknown guarantee " + options.get("guarantee"));
        });
        config.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        config.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG),
                settings.getProperty("compression.type"));
        config.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), settings.getProperty("linger.ms"));
        return config;
    }

    private static Map<String, String> parse(String[] args) {
        if (args.length % 2 != 0) {
            throw new IllegalArgumentException("options come in pairs: --name value");
        }
        var options = new HashMap<String, String>();
        for (int i = 0; i < args.length; i += 2) {
            options.put(args[i].substring(2), args[i + 1]);
        }
        return options;
    }
}
