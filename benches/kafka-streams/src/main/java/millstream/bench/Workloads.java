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
import org.apache.kafka.streams.kstream.JoinWindows;
import org.apache.kafka.streams.kstream.Joined;
import org.apache.kafka.streams.kstream.KTable;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.SessionWindows;
import org.apache.kafka.streams.kstream.StreamJoined;
import org.apache.kafka.streams.kstream.TableJoined;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.WindowedSerdes;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.SessionStore;
import org.apache.kafka.streams.state.WindowStore;

/** The topologies of the comparison, written as a user of Kafka Streams would write them. */
final class Workloads {
    private static final Serde<String> STRING = Serdes.String();
    private static final Serde<Invoice> INVOICE = JsonSerde.of(Invoice.class);
    private static final Serde<Customer> CUSTOMER = JsonSerde.of(Customer.class);
    private static final Serde<Total> TOTAL = JsonSerde.of(Total.class);
    private static final Serde<BigDecimal> DECIMAL = Serdes.serdeFrom(
            (topic, value) -> value == null ? null : value.toPlainString().getBytes(),
            (topic, bytes) -> bytes == null ? null : new BigDecimal(new String(bytes)));
    private static final BigDecimal LARGE = new BigDecimal("5000.00");
    private static final DateTimeFormatter INSTANT =
            DateTimeFormatter.ofPattern("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'").withZone(ZoneOffset.UTC);

    private Workloads() {}

    static Topology topology(String workload, String[] inputs, String application, Properties settings) {
        var builder = new StreamsBuilder();
        var output = application + "-out";
        switch (workload) {
            case "stateless" -> stateless(builder, inputs[0], output);
            case "count" -> count(builder, inputs[0], output);
            case "window" -> window(builder, inputs[0], output, settings);
            case "invoice-totals" -> invoiceTotals(builder, inputs[0], application, settings);
            case "join-streams" -> joinStreams(builder, inputs[0], inputs[1], output, settings);
            case "join-table" -> joinTable(builder, inputs[0], inputs[1], output);
            case "session" -> session(builder, inputs[0], output, settings);
            case "foreign-join" -> foreignJoin(builder, inputs[0], inputs[1], output);
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

    private static void joinStreams(
            StreamsBuilder builder, String left, String right, String output, Properties settings) {
        var windows = JoinWindows.ofTimeDifferenceAndGrace(
                millis(settings, "join.window.ms"), millis(settings, "join.grace.ms"));
        builder.stream(left, Consumed.with(STRING, INVOICE))
                .join(builder.stream(right, Consumed.with(STRING, INVOICE)),
                        (one, other) -> one.number() + " " + other.number(), windows,
                        StreamJoined.with(STRING, INVOICE, INVOICE).withName("near").withStoreName("near"))
                .to(output, Produced.with(STRING, STRING));
    }

    private static void joinTable(StreamsBuilder builder, String invoices, String customers, String output) {
        builder.stream(invoices, Consumed.with(STRING, INVOICE))
                .join(customers(builder, customers), (invoice, customer) -> customer.gets(invoice),
                        Joined.with(STRING, INVOICE, CUSTOMER))
                .to(output, Produced.with(STRING, STRING));
    }

    private static void session(StreamsBuilder builder, String input, String output, Properties settings) {
        var windows = SessionWindows.ofInactivityGapAndGrace(
                millis(settings, "session.gap.ms"), millis(settings, "session.grace.ms"));
        builder.stream(input, Consumed.with(STRING, INVOICE))
                .groupByKey()
                .windowedBy(windows)
                .aggregate(() -> BigDecimal.ZERO, (client, invoice, sum) -> sum.add(invoice.amount()),
                        (client, sum, later) -> sum.add(later),
                        Materialized.<String, BigDecimal, SessionStore<Bytes, byte[]>>as("sums")
                                .withKeySerde(STRING).withValueSerde(DECIMAL))
                .toStream()
                .to(output, Produced.with(WindowedSerdes.sessionWindowedSerdeFrom(String.class), DECIMAL));
    }

    private static void foreignJoin(StreamsBuilder builder, String orders, String customers, String output) {
        builder.table(orders, Consumed.with(STRING, INVOICE),
                        Materialized.<String, Invoice, KeyValueStore<Bytes, byte[]>>as("orders")
                                .withKeySerde(STRING).withValueSerde(INVOICE))
                .join(customers(builder, customers), Invoice::client,
                        (Invoice invoice, Customer customer) -> customer.gets(invoice),
                        TableJoined.as("customer"))
                .toStream()
                .to(output, Produced.with(STRING, STRING));
    }

    private static KTable<String, Customer> customers(StreamsBuilder builder, String topic) {
        return builder.table(topic, Consumed.with(STRING, CUSTOMER),
                Materialized.<String, Customer, KeyValueStore<Bytes, byte[]>>as("customers")
                        .withKeySerde(STRING).withValueSerde(CUSTOMER));
    }

    private static Duration millis(Properties settings, String name) {
        return Duration.ofMillis(Long.parseLong(settings.getProperty(name)));
    }
}
