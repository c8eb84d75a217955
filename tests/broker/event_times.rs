//! Kafka refuses by itself what is stamped more than an hour ahead, and deletes what is a week old. Where the topics of the
//! user take such records, those of the application do too.

use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use millstream::{ProcessingGuarantee, Streams, StreamsBuilder, StreamsConfig};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::process::PATIENCE;

const DAY_MS: i64 = 86_400_000;

#[test]
fn of_any_day_pass_through_internal_topics() -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let application = unique("times");
    let (input, output) = (format!("{application}-in"), format!("{application}-out"));
    for topic in [&input, &output] {
        let bound = ("message.timestamp.after.max.ms", "9223372036854775807");
        broker.create_topic_with(topic, 1, &[bound])?;
    }
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>(input.as_str())
        .group_by(|_, value| value.clone())
        .count("counts")
        .updates()
        .map_values(|count: i64| count.to_string())
        .to(output.as_str());
    let state = tempfile::tempdir()?;
    let config = StreamsConfig::new(&application)
        .bootstrap_servers(broker.bootstrap())
        .state_dir(state.path())
        .commit_interval_ms(100)
        .cache_bytes_max(0)
        .processing_guarantee(ProcessingGuarantee::ExactlyOnceV2);
    let streams = Streams::start(builder.build()?, config)?;

    #[expect(clippy::disallowed_methods, reason = "the broker's bounds are about its clock")]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let now = i64::try_from(now.as_millis())?;
    let times = [1, now - 400 * DAY_MS, now + 400 * DAY_MS];
    let producer: BaseProducer = broker.client().create()?;
    for time in times {
        let record = BaseRecord::to(&input).key("k").payload("x").timestamp(time);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;

    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", unique("reader"))
        .set("isolation.level", "read_committed")
        .create()?;
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&output, 0, Offset::Beginning)?;
    consumer.assign(&from)?;
    let mut counts = Vec::new();
    wait::until_true(PATIENCE, "a count for each record", || {
        while let Some(message) = consumer.poll(Duration::from_millis(50)) {
            let message = message?;
            let value = message.payload().context("value")?;
            counts.push(std::str::from_utf8(value)?.to_owned());
        }
        Ok(counts.len() >= times.len())
    })?;
    assert_eq!(counts, ["1", "2", "3"]);
    streams.close()?;
    Ok(())
}
