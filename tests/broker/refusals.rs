//! Outputs that a real broker refuses for good: the policy of their sink decides, the instance goes on or ends with an
//! error that names the record, and next to nothing is done twice.

use std::time::Duration;

use anyhow::Context as _;
use millstream::{
    OnError, ProcessingGuarantee, Produced, Streams, StreamsBuilder, StreamsConfig, StreamsState,
};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
const HOUR_MS: i64 = 3_600_000;

/// An application that copies `in` to `out`, which refuses some records.
struct Copying {
    broker: std::sync::Arc<Broker>,
    app: String,
    setting: (&'static str, &'static str),
    sent: u32,
    /// The outputs that must come.
    wanted: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "a broker checks times by the system's clock")]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or_default()
}

impl Copying {
    fn new(setting: (&'static str, &'static str)) -> anyhow::Result<Self> {
        let (broker, app) = (Broker::shared()?, unique("refusals"));
        broker.create_topic_with(
            &format!("{app}-in"),
            1,
            &[("message.timestamp.after.max.ms", "9223372036854775807")],
        )?;
        broker.create_topic_with(&format!("{app}-out"), 1, &[setting])?;
        broker.create_topic(&format!("{app}-letters"), 1)?;
        Ok(Self { broker, app, setting, sent: 0, wanted: Vec::new() })
    }

    fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.app)
    }

    /// Sends so many records, of which every tenth is one that `out` refuses.
    fn send(&mut self, records: u32) -> anyhow::Result<()> {
        let producer: BaseProducer = self.broker.client().create()?;
        let topic = self.topic("in");
        for number in self.sent..self.sent + records {
            let (mut key, mut value, mut at) = (Some("k"), format!("{number:06}"), now());
            if number % 10 == 7 {
                match self.setting.0 {
                    "max.message.bytes" => value = noise(3_000 + number),
                    "cleanup.policy" => key = None,
                    _ => at += 2 * HOUR_MS,
                }
            } else {
                self.wanted.push(value.clone());
            }
            let mut record = BaseRecord::to(&topic).partition(0).payload(&value).timestamp(at);
            record.key = key;
            producer.send(record).map_err(|(error, _)| error)?;
        }
        self.sent += records;
        producer.flush(PATIENCE)?;
        Ok(())
    }

    fn start(
        &self,
        policy: OnError,
        guarantee: ProcessingGuarantee,
        dir: &tempfile::TempDir,
    ) -> anyhow::Result<Streams> {
        let builder = StreamsBuilder::new();
        builder
            .stream::<Option<String>, String>(self.topic("in").as_str())
            .to(Produced::from(self.topic("out")).on_error(policy));
        let config = StreamsConfig::new(&self.app)
            .bootstrap_servers(self.broker.bootstrap())
            .state_dir(dir.path())
            .session_timeout_ms(6_000)
            .commit_interval_ms(100)
            .processing_guarantee(guarantee);
        Ok(Streams::start(builder.build()?, config)?)
    }

    /// Reads a topic until it holds what `is_enough`.
    fn read(
        &self,
        name: &str,
        is_enough: impl Fn(&[String]) -> bool,
    ) -> anyhow::Result<Vec<String>> {
        let consumer: BaseConsumer = self
            .broker
            .client()
            .set("group.id", unique("reader"))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&self.topic(name), 0, Offset::Beginning)?;
        consumer.assign(&from)?;
        let mut values = Vec::new();
        wait::until_true(PATIENCE, &format!("all of {name}"), || {
            while let Some(message) = consumer.poll(Duration::from_millis(50)) {
                values.push(String::from_utf8(message?.payload().context("value")?.to_vec())?);
            }
            Ok(is_enough(&values))
        })?;
        Ok(values)
    }
}

/// Text that does not compress well.
fn noise(bytes: u32) -> String {
    let mut bits = bytes;
    let mut letter = || {
        bits ^= bits << 13;
        bits ^= bits >> 17;
        bits ^= bits << 5;
        char::from(b'0' + bits.to_le_bytes()[1] % 75)
    };
    (0..bytes).map(|_| letter()).collect()
}

fn metric(streams: &Streams, name: &str, label: &str) -> f64 {
    let all = streams.metrics();
    let lines = all.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

const REFUSING: [(&str, &str); 3] = [
    ("max.message.bytes", "1000"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("cleanup.policy", "compact"),
];

fn goes_on(guarantee: ProcessingGuarantee, letters: bool) -> anyhow::Result<()> {
    for setting in REFUSING {
        let mut copying = Copying::new(setting)?;
        let policy =
            if letters { OnError::dead_letter(copying.topic("letters")) } else { OnError::Skip };
        let dir = tempfile::tempdir()?;
        copying.send(50)?;
        let streams = copying.start(policy, guarantee, &dir)?;
        let has_all = |copying: &Copying, found: &[String]| {
            copying.wanted.iter().all(|one| found.contains(one))
        };
        copying.read("out", |found| has_all(&copying, found))?;
        copying.send(50)?;
        let found = copying.read("out", |found| has_all(&copying, found))?;
        let aborts = metric(&streams, "millstream_aborts_total", "");
        assert!((1.0..=3.0).contains(&aborts), "{aborts} aborts, {setting:?} {guarantee:?}");
        wait::until_true(PATIENCE, "drops are counted", || {
            Ok(metric(&streams, "millstream_records_dropped_total", "refused") >= 10.0)
        })?;
        if letters {
            copying.read("letters", |found| found.len() >= 10)?;
        }
        streams.close()?;
        if guarantee == ProcessingGuarantee::ExactlyOnceV2 {
            assert_eq!(found, copying.wanted, "{setting:?}");
        }
    }
    Ok(())
}

#[test]
fn what_the_broker_refuses_is_skipped_exactly_once() -> anyhow::Result<()> {
    goes_on(ProcessingGuarantee::ExactlyOnceV2, false)
}

#[test]
fn what_the_broker_refuses_is_skipped_at_least_once() -> anyhow::Result<()> {
    goes_on(ProcessingGuarantee::AtLeastOnce, false)
}

#[test]
fn what_the_broker_refuses_becomes_a_dead_letter_exactly_once() -> anyhow::Result<()> {
    goes_on(ProcessingGuarantee::ExactlyOnceV2, true)
}

#[test]
fn what_the_broker_refuses_ends_the_instance_without_a_policy() -> anyhow::Result<()> {
    for guarantee in [ProcessingGuarantee::ExactlyOnceV2, ProcessingGuarantee::AtLeastOnce] {
        for setting in REFUSING {
            let mut copying = Copying::new(setting)?;
            copying.send(20)?;
            let dir = tempfile::tempdir()?;
            let streams = copying.start(OnError::Fail, guarantee, &dir)?;
            let state = streams.wait_for(&[StreamsState::Failed], PATIENCE);
            assert_eq!(state, StreamsState::Failed, "{setting:?} {guarantee:?}");
            let aborts = metric(&streams, "millstream_aborts_total", "");
            assert!(aborts <= 4.0, "{aborts} aborts, {setting:?} {guarantee:?}");
            let error = format!("{:?}", streams.close().err().context("an error")?);
            for part in
                [format!("{}-0@7", copying.topic("in")), format!("{}-0", copying.topic("out"))]
            {
                assert!(error.contains(&part), "{part}: {error}");
            }
        }
    }
    Ok(())
}

/// No record is too large, but many together are: the client does not split what it has put together.
#[test]
fn records_that_are_too_large_together_arrive() -> anyhow::Result<()> {
    let mut copying = Copying::new(("max.message.bytes", "20000"))?;
    let producer: BaseProducer = copying.broker.client().create()?;
    for number in 0..2_000 {
        let value = format!("{number:06}{}", noise(400 + number % 7));
        let topic = copying.topic("in");
        let record = BaseRecord::to(&topic).partition(0).key("k").payload(&value).timestamp(now());
        producer.send(record).map_err(|(error, _)| error)?;
        copying.wanted.push(value);
    }
    producer.flush(PATIENCE)?;
    let dir = tempfile::tempdir()?;
    let streams = copying.start(OnError::Fail, ProcessingGuarantee::ExactlyOnceV2, &dir)?;
    let found = copying.read("out", |found| found.len() >= 2_000)?;
    assert!(found == copying.wanted, "{} outputs", found.len());
    let aborts = metric(&streams, "millstream_aborts_total", "");
    assert!(aborts <= 5.0, "{aborts} aborts");
    streams.close()?;
    Ok(())
}
