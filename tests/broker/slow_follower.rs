//! Two brokers, and the second one, which only follows, stands still just when a transaction ends: the commit is answered
//! and its offsets count, but the changelog cannot show it. What takes the task over waits, and counts on.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use millstream::log::kafka::{KafkaLog, KafkaSettings};
use millstream::log::{Log as _, OutgoingRecord, ProducerSpec, TopicPartition};
use millstream::record::Headers;
use millstream::{
    CommitStep, Error, GroupProtocol, ProcessingGuarantee, Streams, StreamsBuilder, StreamsConfig,
    StreamsState, TaskState, Topology,
};
use millstream_tests::kafka::Broker;
use millstream_tests::wait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use crate::process::PATIENCE;

/// What happens while the follower stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// Another directory takes over.
    TakeOver,
    /// The same stores start again, under a transactional id that does not wait for the former transaction.
    Restart,
    /// A second instance joins.
    Rebalance,
}

#[test]
fn loses_nothing_on_a_take_over_classic() -> anyhow::Result<()> {
    loses_nothing(GroupProtocol::Classic, Then::TakeOver)
}

#[test]
fn loses_nothing_on_a_take_over_consumer() -> anyhow::Result<()> {
    loses_nothing(GroupProtocol::Consumer, Then::TakeOver)
}

#[test]
fn loses_nothing_on_a_restart_classic() -> anyhow::Result<()> {
    loses_nothing(GroupProtocol::Classic, Then::Restart)
}

#[test]
fn loses_nothing_on_a_restart_consumer() -> anyhow::Result<()> {
    loses_nothing(GroupProtocol::Consumer, Then::Restart)
}

#[test]
fn loses_nothing_in_a_rebalance_classic() -> anyhow::Result<()> {
    loses_nothing(GroupProtocol::Classic, Then::Rebalance)
}

#[test]
fn loses_nothing_in_a_rebalance_consumer() -> anyhow::Result<()> {
    loses_nothing(GroupProtocol::Consumer, Then::Rebalance)
}

fn loses_nothing(protocol: GroupProtocol, then: Then) -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let (x, y) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let armed = Arc::new(AtomicBool::new(false));
    let first = {
        let (armed, follower) = (Arc::clone(&armed), Arc::clone(&cluster.follower));
        let config = cluster.config(x.path(), protocol);
        let streams = Streams::with(counts()?, config).on_commit(move |step| {
            if step == CommitStep::Ending && armed.swap(false, Ordering::SeqCst) {
                let paused = follower.pause();
                assert!(paused.is_ok(), "{paused:?}");
            }
        });
        streams.start()?
    };
    assert_eq!(first.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    cluster.send()?;
    cluster.until_outputs(&[1])?;
    armed.store(true, Ordering::SeqCst);
    // Both in one transaction: there is no next one before the follower goes on.
    cluster.send()?;
    cluster.until_outputs(&[1, 2])?;

    let (first, second) = if then == Then::Rebalance {
        (Some(first), Streams::start(counts()?, cluster.config(y.path(), protocol))?)
    } else {
        first.close()?;
        if then == Then::Restart {
            std::fs::remove_file(x.path().join("app/process-id"))?;
        }
        let dir = if then == Then::Restart { x.path() } else { y.path() };
        let config = cluster.config(dir, protocol);
        (None, Streams::start(counts()?, config)?)
    };
    // A client may ask the one that stands still before it asks the other.
    let planned = wait::until(2 * PATIENCE, "a task that is restored or runs", || {
        let ready = [TaskState::Restoring, TaskState::Running];
        Ok(second.tasks().iter().map(|(_, state)| *state).find(|state| ready.contains(state)))
    })?;
    // A store that has all needs no changelog.
    let expected = if then == Then::Restart { TaskState::Running } else { TaskState::Restoring };
    assert_eq!(planned, expected);
    cluster.follower.resume()?;
    cluster.send()?;
    cluster.until_outputs(&[1, 2, 3])?;
    second.close()?;
    if let Some(first) = first {
        first.close()?;
    }
    Ok(())
}

/// A transaction that does not end keeps its id from being opened: the error says which one it is, and what ends it.
#[test]
fn keeps_the_transactional_id_and_the_error_names_it() -> anyhow::Result<()> {
    let cluster = Cluster::start()?;
    let mut settings = KafkaSettings::new(cluster.leader.bootstrap(), "app");
    settings.request_timeout = Duration::from_secs(5);
    let log = KafkaLog::new(settings)?;
    let spec = ProducerSpec {
        transactional_id: Some("app-unended".to_owned()),
        transaction_timeout: Some(Duration::from_secs(5)),
        ..ProducerSpec::default()
    };
    let mut producer = log.producer(&spec)?;
    producer.begin()?;
    let topic = producer.topic("app-counts-changelog")?;
    let (key, value, headers) = (Some(&b"k"[..]), None, &Headers::default());
    let record = OutgoingRecord { topic, partition: 0, key, value, timestamp: None, headers };
    producer.send(&record)?;
    producer.flush()?;
    cluster.follower.pause()?;
    producer.commit()?;
    let refused = log.producer(&spec).err().context("the id was opened")?;
    let text = refused.to_string();
    assert!(matches!(refused, Error::Unavailable { .. }), "{text}");
    for part in ["app-unended has not ended", "kafka-transactions.sh", cluster.leader.bootstrap()] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    cluster.follower.resume()?;
    let opened = wait::until(PATIENCE, "the id is free", || Ok(log.producer(&spec).ok()))?;
    drop(opened);
    Ok(())
}

fn counts() -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .group_by_key()
        .count("counts")
        .updates()
        .map_values(|count: i64| count.to_string())
        .to("out");
    Ok(builder.build()?)
}

/// A leader of everything, and a follower of the changelog.
struct Cluster {
    leader: Broker,
    follower: Arc<Broker>,
}

impl Cluster {
    fn start() -> anyhow::Result<Self> {
        // The follower keeps its place for as long as the test may take.
        let leader = Broker::start_first(&[
            "broker.session.timeout.ms=300000",
            "replica.lag.time.max.ms=300000",
        ])?;
        // The topics of groups and transactions are made when they are used first.
        let log = KafkaLog::new(KafkaSettings::new(leader.bootstrap(), "first-use"))?;
        leader.create_topic_on(&[1], "in", 2, &[])?;
        leader.create_topic_on(&[1], "out", 1, &[])?;
        wait::until(PATIENCE, "a group and a producer", || {
            let id = Some("first-use".to_owned());
            let spec = ProducerSpec { transactional_id: id, ..ProducerSpec::default() };
            let partition = [TopicPartition::new("in", 0)];
            let used = log.producer(&spec).and_then(|_| log.committed("first-use", &partition));
            Ok(used.ok())
        })?;
        let follower = Arc::new(leader.start_second()?);
        let settings = [("cleanup.policy", "compact")];
        leader.create_topic_on(&[1, 2], "app-counts-changelog", 2, &settings)?;
        Ok(Self { leader, follower })
    }

    fn config(&self, dir: &Path, protocol: GroupProtocol) -> StreamsConfig {
        StreamsConfig::new("app")
            .bootstrap_servers(self.leader.bootstrap())
            .group_protocol(protocol)
            .state_dir(dir)
            .session_timeout_ms(6_000)
            .commit_interval_ms(2_000)
            .cache_bytes_max(0)
            .processing_guarantee(ProcessingGuarantee::ExactlyOnceV2)
    }

    /// A record for each of the two tasks.
    fn send(&self) -> anyhow::Result<()> {
        let producer: BaseProducer = self.leader.client().create()?;
        for (partition, key) in [(0, "k0"), (1, "k1")] {
            let record = BaseRecord::to("in").partition(partition).key(key).payload("x");
            producer.send(record).map_err(|(error, _)| error)?;
        }
        Ok(producer.flush(Duration::from_secs(30))?)
    }

    /// Reads the committed outputs until there are as many for each key, and compares them.
    fn until_outputs(&self, wanted: &[i64]) -> anyhow::Result<()> {
        let consumer: BaseConsumer = self
            .leader
            .client()
            .set("group.id", "reader")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()?;
        let mut from = TopicPartitionList::new();
        from.add_partition_offset("out", 0, Offset::Beginning)?;
        consumer.assign(&from)?;
        let mut found: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        let complete = wait::until_true(PATIENCE, "the outputs", || {
            while let Some(message) = consumer.poll(Duration::from_millis(50)) {
                let message = message?;
                let key = String::from_utf8(message.key().context("key")?.to_vec())?;
                let value = std::str::from_utf8(message.payload().context("value")?)?.parse()?;
                found.entry(key).or_default().push(value);
            }
            Ok(found.values().map(Vec::len).sum::<usize>() >= 2 * wanted.len())
        });
        complete.with_context(|| format!("{found:?} instead of {wanted:?}"))?;
        let expected = ["k0", "k1"].map(|key| (key.to_owned(), wanted.to_vec()));
        assert_eq!(found, BTreeMap::from(expected));
        Ok(())
    }
}
