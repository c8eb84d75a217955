package millstream.bench;

import java.math.BigDecimal;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Properties;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.WindowStore;

/** The topologies of the comparison, written as a user of Kafka Streams would write them. */
final class Workloads {
    private static final Serde<String> STRING = Serdes.String();
    private static final Serde<Invoice> INVOICE = JsonSerde.of(Invoice.class);
    private static final Serde<Total> TOTAL = JsonSerde.of(Total.class);
    private static final Serde<BigDecimal> DECIMAL = Serdes.serdeFrom(
            (topic, value) -> value == null ? null : value.toPlainString().getBytes(),
            (topic, bytes) -> bytes == null ? null : new BigDecimal(new String(bytes)));
    private static final BigDecimal LARGE = new BigDecimal("5000.00");
    private static final DateTimeFormatter INSTANT =
            DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

    private Workloads() {}

    static Topology topology(String workload, String input, String application, Properties settings) {
        var builder = new StreamsBuilder();
        switch (workload) {
            case "stateless" -> stateless(builder, input, application + "-out");
            case "count" -> count(builder, input, application + "-out");
            case "window" -> window(builder, input, application + "-out", settings);
            case "invoice-totals" -> invoiceTotals(builder, input, application, settings);
            default -> throw new IllegalArgumentException("unknown workload " + workload);
        }
        return builder.build();
    }

    private static void stateless(StreamsBuilder builder, String input, String output) {
        builder.stream(input, Consumed.with(STRING, INVOICE))
                .filter((client, invoice) -> invoice.amount().compareTo(LARGE) >= 0)
                .mapValues(Invoice::number)
                .to(output, Produced.with(STRING, STRING));
    }

    private static void count(StreamsBuilder builder, String input, String output) {
        builder.stream(input, Consumed.with(STRING, Serdes.ByteArray()))
                .groupByKey()
                .count(Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts")
                        .withKeySerde(STRING).withValueSerde(Serdes.Long()))
                .toStream()
                .to(output, Produced.with(STRING, Serdes.Long()));
    }

    private static void window(StreamsBuilder builder, String input, String output, Properties settings) {
        var size = millis(settings, "window.size.ms");
        builder.stream(input, Consumed.with(STRING, INVOICE))
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(size, millis(settings, "window.grace.ms")))
                .aggregate(() -> BigDecimal.ZERO, (client, invoice, sum) -> sum.add(invoice.amount()),
                        Materialized.<String, BigDecimal, WindowStore<Bytes, byte[]>>as("sums")
                                .withKeySerde(STRING).withValueSerde(DECIMAL))
                .toStream()
                .to(output, Produced.with(
                        WindowedSerdes.timeWindowedSerdeFrom(String.class, size.toMillis()), DECIMAL));
    }

    private static void invoiceTotals(
            StreamsBuilder builder, String input, String application, Properties settings) {
        var windows = TimeWindows.ofSizeAndGrace(
                millis(settings, "totals.size.ms"), millis(settings, "totals.grace.ms"));
        var invoices = builder.stream(input, Consumed.with(STRING, INVOICE).withTimestampExtractor(
                (record, partitionTime) -> Instant.parse(((Invoice) record.value()).issuedAt()).toEpochMilli()));
        invoices.groupBy((client, invoice) -> "all", Grouped.with("totals-5s", STRING, INVOICE))
                .windowedBy(windows)
                .aggregate(() -> Total.ZERO, (all, invoice, total) -> total.plus(invoice.amount()),
                        Materialized.<String, Total, WindowStore<Bytes, byte[]>>as("totals-5s")
                                .withKeySerde(STRING).withValueSerde(TOTAL))
                .toStream()
                .map((window, total) -> KeyValue.pair(window.key(), total.within(
                        INSTANT.format(window.window().startTime()), INSTANT.format(window.window().endTime()))))
                .to(application + "-totals-5s", Produced.with(STRING, TOTAL));
        invoices.groupBy((client, invoice) -> invoice.client(), Grouped.with("totals-by-client", STRING, INVOICE))
                .aggregate(() -> Total.ZERO, (client, invoice, total) -> total.plus(invoice.amount()),
                        Materialized.<String, Total, KeyValueStore<Bytes, byte[]>>as("totals-by-client")
                                .withKeySerde(STRING).withValueSerde(TOTAL))
                .toStream()
                .to(application + "-totals-by-client", Produced.with(STRING, TOTAL));
    }

    private static Duration millis(Properties settings, String name) {
        return Duration.ofMillis(Long.parseLong(settings.getProperty(name)));
    }
}
