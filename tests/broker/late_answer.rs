//! A worker that hangs in a record while its partition is given to another instance: what it did
//! must not count when it comes back, and what it still owns goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use millstream::{
    GroupProtocol, ProcessingGuarantee, Streams, StreamsBuilder, StreamsConfig, StreamsState,
    Topology,
};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::process::PATIENCE;

#[test]
fn commits_nothing_classic() -> anyhow::Result<()> {
    commits_nothing(GroupProtocol::Classic)
}

#[test]
fn commits_nothing_consumer() -> anyhow::Result<()> {
    commits_nothing(GroupProtocol::Consumer)
}

/// The first record of all hangs until it is let go.
#[derive(Clone, Debug, Default)]
struct Gate {
    hangs: Arc<AtomicBool>,
    open: Arc<AtomicBool>,
}

impl Gate {
    fn pass(&self) {
        if !self.hangs.swap(true, Ordering::SeqCst) {
            while !self.open.load(Ordering::SeqCst) {
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    }
}

struct Names {
    application: String,
    input: String,
    output: String,
}

impl Names {
    fn topology(&self, gate: &Gate) -> anyhow::Result<Topology> {
        let gate = gate.clone();
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>(self.input.as_str())
            .peek(move |_, _| gate.pass())
            .to(self.output.as_str());
        Ok(builder.build()?)
    }
}

fn send(broker: &Broker, topic: &str, values: [&str; 2]) -> anyhow::Result<()> {
    let producer: BaseProducer = broker.client().create()?;
    for (partition, value) in values.into_iter().enumerate() {
        let record = BaseRecord::to(topic).partition(i32::try_from(partition)?);
        producer.send(record.key("k").payload(value)).map_err(|(error, _)| error)?;
    }
    producer.flush(PATIENCE)?;
    Ok(())
}

/// What counts of a topic, as it comes.
struct Counted {
    consumer: BaseConsumer,
    values: Vec<String>,
}

impl Counted {
    fn of(broker: &Broker, topic: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = broker
            .client()
            .set("group.id", unique("reader"))
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, 0, Offset::Beginning)?;
        consumer.assign(&from)?;
        Ok(Self { consumer, values: Vec::new() })
    }

    /// All that counts; nothing more comes.
    fn read_all(&mut self) -> anyhow::Result<Vec<String>> {
        let mut seen = usize::MAX;
        while seen != self.values.len() {
            seen = self.values.len();
            for _ in 0..20 {
                self.read_until(0)?;
            }
        }
        self.read_until(0)
    }

    fn read_until(&mut self, enough: usize) -> anyhow::Result<Vec<String>> {
        wait::until_true(PATIENCE, "committed outputs", || {
            while let Some(message) = self.consumer.poll(Duration::from_millis(50)) {
                let message = message?;
                let value = String::from_utf8_lossy(message.payload().unwrap_or_default());
                self.values.push(value.into_owned());
            }
            Ok(self.values.len() >= enough)
        })?;
        let mut sorted = self.values.clone();
        sorted.sort();
        Ok(sorted)
    }
}

fn commits_nothing(protocol: GroupProtocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let application = unique("late-answer");
    let (input, output) = (format!("{application}-in"), format!("{application}-out"));
    broker.create_topic(&input, 2)?;
    broker.create_topic(&output, 1)?;
    let names = Names { application, input, output };
    let gate = Gate::default();
    let dirs = [tempfile::tempdir()?, tempfile::tempdir()?];
    let [first_dir, second_dir] = &dirs;
    let start = |dir: &tempfile::TempDir| -> anyhow::Result<Streams> {
        let config = StreamsConfig::new(&names.application)
            .bootstrap_servers(broker.bootstrap())
            .state_dir(dir.path())
            .session_timeout_ms(6_000)
            .max_poll_interval_ms(10_000)
            .commit_interval_ms(100)
            .num_stream_threads(1)
            .group_protocol(protocol)
            .processing_guarantee(ProcessingGuarantee::ExactlyOnceV2);
        Ok(Streams::start(names.topology(&gate)?, config)?)
    };
    let first = start(first_dir)?;
    first.wait_for(&[StreamsState::Running], PATIENCE);
    // Whichever partition moves, the worker of the first one hangs in one of the two.
    send(&broker, &names.input, ["slow0", "slow1"])?;
    wait::until_true(PATIENCE, "the first record", || Ok(gate.hangs.load(Ordering::SeqCst)))?;
    let second = start(second_dir)?;
    let mut counted = Counted::of(&broker, &names.output)?;
    counted.read_until(1)?;
    gate.open.store(true, Ordering::SeqCst);
    counted.read_until(2)?;
    send(&broker, &names.input, ["next0", "next1"])?;
    counted.read_until(4)?;
    first.close()?;
    second.close()?;
    assert_eq!(counted.read_all()?, ["next0", "next1", "slow0", "slow1"]);
    Ok(())
}
