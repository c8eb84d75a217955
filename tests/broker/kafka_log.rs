//! The log over Kafka where the contract cannot look: brokers that vanish, handles that outlive
//! their partition, buffers that run full, and rebalances under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use millstream::Error;
use millstream::log::kafka::{GroupProtocol, KafkaLog, KafkaSettings};
use millstream::log::{
    Committed, GroupListener, GroupSpec, Isolation, Log, Membership, NewTopic, OutgoingRecord,
    PartitionQueue, Producer, ProducerSpec, ReadEvent, RecordBatch, TopicPartition,
};
use millstream::record::Headers;
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;

const PATIENCE: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "durations on a real broker are wall-clock time")]
fn now() -> Instant {
    Instant::now()
}

fn settings(broker: &Broker, protocol: GroupProtocol) -> KafkaSettings {
    let mut settings = KafkaSettings::new(broker.bootstrap(), "broker-suite");
    settings.group_protocol = protocol;
    settings.session_timeout = Duration::from_secs(6);
    settings
}

fn open(broker: &Broker, protocol: GroupProtocol) -> Result<KafkaLog> {
    Ok(KafkaLog::new(settings(broker, protocol))?)
}

fn topic(log: &KafkaLog, partitions: i32) -> Result<Vec<TopicPartition>> {
    let name = unique("log");
    let config = vec![("retention.ms".to_owned(), "-1".to_owned())];
    log.create(&[NewTopic { name: name.clone(), partitions, replication_factor: 1, config }])?;
    let all: Vec<_> = (0..partitions).map(|p| TopicPartition::new(name.as_str(), p)).collect();
    for at in &all {
        wait::until(PATIENCE, "a new partition answers", || {
            Ok(log.offsets(at, Isolation::ReadUncommitted).ok())
        })?;
    }
    Ok(all)
}

fn spec(group: &str, of: &[TopicPartition]) -> GroupSpec {
    let mut topics: Vec<String> = of.iter().map(|at| at.topic.to_string()).collect();
    topics.dedup();
    GroupSpec {
        group: group.to_owned(),
        topics,
        isolation: Isolation::ReadCommitted,
        static_member: None,
        prefetch_bytes_max: 8 << 20,
    }
}

fn put(producer: &mut dyn Producer, at: &TopicPartition, value: &[u8]) -> millstream::Result<()> {
    let topic = producer.topic(&at.topic)?;
    let headers = &Headers::default();
    let (key, value, timestamp) = (None, Some(value), Some(1_000));
    let partition = at.partition;
    producer.send(&OutgoingRecord { topic, partition, key, value, timestamp, headers })
}

fn transactional(log: &KafkaLog) -> Result<Box<dyn Producer>> {
    let spec = ProducerSpec { transactional_id: Some(unique("txn")), transaction_timeout: None };
    wait::until(PATIENCE, "a transactional producer", || match log.producer(&spec) {
        Ok(producer) => Ok(Some(producer)),
        Err(Error::Unavailable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    })
}

/// A member that keeps its queues, and what was pulled from each.
#[derive(Default)]
struct Owner {
    queues: BTreeMap<TopicPartition, Box<dyn PartitionQueue>>,
    /// Queues of partitions that went away, if they are to be kept.
    former: Option<Vec<Box<dyn PartitionQueue>>>,
    positions: BTreeMap<TopicPartition, i64>,
    revoked: usize,
    lost: usize,
}

impl Owner {
    fn remove(&mut self, removed: &[TopicPartition]) {
        for at in removed {
            let queue = self.queues.remove(at);
            if let (Some(queue), Some(former)) = (queue, &mut self.former) {
                former.push(queue);
            }
        }
    }

    /// Pulls what is there; each record must be the next of its partition.
    fn pull(&mut self) -> Result<usize> {
        let mut count = 0;
        for (at, queue) in &mut self.queues {
            while let Some(batch) = queue.pull(500)? {
                for index in 0..batch.len() {
                    let record = batch.get(index).context("a record")?;
                    let position = self.positions.entry(at.clone()).or_insert(0);
                    ensure!(record.offset == *position, "{at}: {} at {position}", record.offset);
                    *position += 1;
                }
                count += batch.len();
            }
        }
        Ok(count)
    }
}

impl GroupListener for Owner {
    fn start_offsets(&mut self, added: &[TopicPartition]) -> Vec<i64> {
        added.iter().map(|at| self.positions.get(at).copied().unwrap_or(0)).collect()
    }

    fn assigned(&mut self, added: Vec<(TopicPartition, Box<dyn PartitionQueue>)>) {
        self.queues.extend(added);
    }

    fn revoked(&mut self, removed: &[TopicPartition]) {
        self.revoked += removed.len();
        self.remove(removed);
    }

    fn lost(&mut self, removed: &[TopicPartition]) {
        self.lost += removed.len();
        self.remove(removed);
    }
}

fn poll(member: &mut dyn Membership, owner: &mut Owner) -> Result<()> {
    match member.poll(POLL, owner) {
        Ok(()) | Err(Error::Unavailable { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn until_owns(member: &mut dyn Membership, owner: &mut Owner, count: usize) -> Result<()> {
    wait::until_true(PATIENCE, &format!("a member owns {count} partitions"), || {
        poll(member, owner)?;
        Ok(owner.queues.len() == count)
    })
}

/// A commit costs a few round trips, not the client's flush interval of 100 ms.
#[test]
fn a_small_transaction_takes_milliseconds() -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, GroupProtocol::Classic)?;
    let at = topic(&log, 1)?.remove(0);
    let mut producer = transactional(&log)?;
    let mut times = Vec::new();
    for _ in 0..40 {
        let start = now();
        producer.begin()?;
        put(&mut *producer, &at, b"one")?;
        producer.commit()?;
        times.push(start.elapsed());
    }
    times.sort();
    println!("transaction of one record: {:?} (median of {})", times[20], times.len());
    ensure!(times[20] < Duration::from_millis(90), "median {:?}", times[20]);
    Ok(())
}

/// More than the buffer holds is sent without an error and without a loss.
#[test]
fn a_full_buffer_loses_nothing() -> Result<()> {
    let broker = Broker::shared()?;
    let mut settings = settings(&broker, GroupProtocol::Classic);
    settings.producer_bytes_max = 64 << 10;
    let log = KafkaLog::new(settings)?;
    let at = topic(&log, 1)?.remove(0);
    let mut producer = log.producer(&ProducerSpec::default())?;
    for index in 0..20_000_u32 {
        put(&mut *producer, &at, &[index.to_le_bytes(); 8].concat())?;
    }
    producer.flush()?;
    assert_eq!(log.offsets(&at, Isolation::ReadUncommitted)?.end, 20_000);
    let handle = producer.topic(&at.topic)?;
    assert_eq!(producer.acknowledged(handle, 0), Some(19_999));
    Ok(())
}

#[test]
fn a_missing_partition_and_a_giant_record_name_their_place() -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, GroupProtocol::Classic)?;
    let at = topic(&log, 1)?.remove(0);
    let mut producer = log.producer(&ProducerSpec::default())?;
    put(&mut *producer, &at, b"fine")?;
    producer.flush()?;
    let refused = put(&mut *producer, &at, &vec![7; 2_000_000]);
    assert!(
        matches!(&refused, Err(Error::BadRecord { at: place, .. }) if *place == at.to_string())
    );
    let beyond = TopicPartition::new(Arc::clone(&at.topic), 9);
    let refused = put(&mut *producer, &beyond, b"nowhere").and_then(|()| producer.flush());
    assert!(
        matches!(&refused, Err(Error::Topic { topic, .. }) if **topic == *at.topic),
        "{refused:?}"
    );
    Ok(())
}

/// What a committed reader cannot get yet does not count as left.
fn an_open_transaction_at_the_end_is_nothing_left(protocol: GroupProtocol) -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, protocol)?;
    let at = topic(&log, 1)?.remove(0);
    let mut producer = transactional(&log)?;
    producer.begin()?;
    put(&mut *producer, &at, b"committed")?;
    producer.commit()?;
    let (mut owner, mut member) =
        (Owner::default(), log.join(&spec(&unique("group"), std::slice::from_ref(&at)))?);
    until_owns(&mut *member, &mut owner, 1)?;
    let queue = owner.queues.get_mut(&at).context("owned")?;
    assert_eq!(queue.remaining(0).unwrap_or(1).min(1), 1);
    wait::until_true(PATIENCE, "the record comes", || Ok(owner.pull()? == 1))?;
    producer.begin()?;
    for _ in 0..5 {
        put(&mut *producer, &at, b"open")?;
    }
    producer.flush()?;
    wait::until_true(PATIENCE, "nothing is left", || {
        poll(&mut *member, &mut owner)?;
        let queue = owner.queues.get_mut(&at).context("owned")?;
        ensure!(queue.pull(10)?.is_none(), "a record of an open transaction");
        // The end must have been seen: the watermark is 7, and only then 0 means something.
        Ok(log.offsets(&at, Isolation::ReadUncommitted)?.end == 7 && queue.remaining(1) == Some(0))
    })?;
    producer.commit()?;
    wait::until_true(PATIENCE, "the records count", || {
        poll(&mut *member, &mut owner)?;
        Ok(owner.queues.get_mut(&at).context("owned")?.pull(10)?.is_some_and(|b| b.len() == 5))
    })?;
    member.leave(&mut owner)?;
    Ok(())
}

#[test]
fn an_open_transaction_at_the_end_is_nothing_left_classic() -> Result<()> {
    an_open_transaction_at_the_end_is_nothing_left(GroupProtocol::Classic)
}

#[test]
fn an_open_transaction_at_the_end_is_nothing_left_consumer() -> Result<()> {
    an_open_transaction_at_the_end_is_nothing_left(GroupProtocol::Consumer)
}

/// A partition that comes back while nothing new was written: what the watermark says is old, and
/// still it becomes known that nothing is left.
#[test]
fn a_partition_that_comes_back_idle_becomes_known() -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, GroupProtocol::Classic)?;
    let all = topic(&log, 2)?;
    let mut producer = log.producer(&ProducerSpec::default())?;
    for at in &all {
        put(&mut *producer, at, b"only")?;
    }
    producer.flush()?;
    let group = unique("group");
    let (mut owner, mut member) = (Owner::default(), log.join(&spec(&group, &all))?);
    until_owns(&mut *member, &mut owner, 2)?;
    let mut seen = 0;
    wait::until_true(PATIENCE, "the records come", || {
        seen += owner.pull()?;
        Ok(seen == 2)
    })?;
    let (mut other, mut second) = (Owner::default(), log.join(&spec(&group, &all))?);
    wait::until_true(PATIENCE, "they share", || {
        poll(&mut *member, &mut owner)?;
        poll(&mut *second, &mut other)?;
        Ok(owner.queues.len() == 1 && other.queues.len() == 1)
    })?;
    wait::until_true(PATIENCE, "nothing is left", || {
        poll(&mut *member, &mut owner)?;
        poll(&mut *second, &mut other)?;
        assert_eq!(owner.pull()?, 0);
        Ok(owner.queues.values().all(|queue| queue.remaining(1) == Some(0)))
    })?;
    second.leave(&mut other)?;
    member.leave(&mut owner)?;
    Ok(())
}

/// Handles and batches that outlive their partition, their membership and their log give nothing
/// and block nothing.
fn handles_may_outlive_everything(protocol: GroupProtocol) -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, protocol)?;
    let all = topic(&log, 2)?;
    let mut producer = log.producer(&ProducerSpec::default())?;
    for at in all.iter().cycle().take(2_000) {
        put(&mut *producer, at, b"x")?;
    }
    producer.flush()?;
    let group = unique("group");
    let mut owner = Owner { former: Some(Vec::new()), ..Owner::default() };
    let mut member = log.join(&spec(&group, &all))?;
    until_owns(&mut *member, &mut owner, 2)?;
    let handle = member.member();
    let mut batches: Vec<Box<dyn RecordBatch>> = Vec::new();
    wait::until_true(PATIENCE, "a batch of each", || {
        for queue in owner.queues.values_mut() {
            batches.extend(queue.pull(100)?);
        }
        Ok(batches.len() >= 2)
    })?;
    let (mut other, mut second) = (Owner::default(), log.join(&spec(&group, &all))?);
    wait::until_true(PATIENCE, "they share", || {
        poll(&mut *member, &mut owner)?;
        poll(&mut *second, &mut other)?;
        Ok(owner.queues.len() == 1 && other.queues.len() == 1)
    })?;
    for former in owner.former.iter_mut().flatten() {
        assert!(former.pull(10)?.is_none());
        assert_eq!(former.remaining(0), None);
    }
    let start = now();
    member.leave(&mut owner)?;
    ensure!(start.elapsed() < Duration::from_secs(20), "leaving took {:?}", start.elapsed());
    // The group knows at once, though batches of the client are still held.
    until_owns(&mut *second, &mut other, 2)?;
    assert!(batches.iter().all(|batch| batch.get(0).is_some()));
    assert!(matches!(handle.generation(), Err(Error::Fenced { .. } | Error::Aborted { .. })));
    for former in owner.former.iter_mut().flatten() {
        assert!(former.pull(10)?.is_none());
    }
    drop(second);
    drop(log);
    drop(batches);
    drop(owner);
    Ok(())
}

#[test]
fn handles_may_outlive_everything_classic() -> Result<()> {
    handles_may_outlive_everything(GroupProtocol::Classic)
}

#[test]
fn handles_may_outlive_everything_consumer() -> Result<()> {
    handles_may_outlive_everything(GroupProtocol::Consumer)
}

/// Members come and go while records flow: each member sees each record of a partition it keeps
/// exactly once and in order (`Owner::pull` checks it), and starts where the group stands.
fn rebalances_under_load_lose_and_repeat_nothing(protocol: GroupProtocol) -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, protocol)?;
    let all = topic(&log, 4)?;
    let group = unique("group");
    let mut producer = log.producer(&ProducerSpec::default())?;
    let (mut owner, mut member) = (Owner::default(), log.join(&spec(&group, &all))?);
    until_owns(&mut *member, &mut owner, 4)?;
    let mut sent = 0_u32;
    for round in 0..3 {
        let (mut other, mut second) = (Owner::default(), log.join(&spec(&group, &all))?);
        let mut work = |owner: &mut Owner, other: &mut Owner| -> Result<()> {
            for at in all.iter().cycle().take(200) {
                put(&mut *producer, at, &sent.to_le_bytes())?;
                sent += 1;
            }
            producer.flush()?;
            owner.pull()?;
            other.pull()?;
            // Whoever gets a partition starts where the other one stands.
            let mut known = owner.positions.clone();
            for (at, position) in &other.positions {
                let known = known.entry(at.clone()).or_insert(0);
                *known = (*known).max(*position);
            }
            owner.positions.clone_from(&known);
            other.positions = known;
            Ok(())
        };
        wait::until_true(PATIENCE, "they share", || {
            work(&mut owner, &mut other)?;
            poll(&mut *member, &mut owner)?;
            poll(&mut *second, &mut other)?;
            Ok(owner.queues.len() == 2 && other.queues.len() == 2)
        })?;
        for _ in 0..10 {
            work(&mut owner, &mut other)?;
        }
        second.leave(&mut other)?;
        until_owns(&mut *member, &mut owner, 4).with_context(|| format!("round {round}"))?;
    }
    let total = |owner: &Owner| owner.positions.values().sum::<i64>();
    wait::until_true(PATIENCE, "everything was pulled", || {
        poll(&mut *member, &mut owner)?;
        owner.pull()?;
        Ok(total(&owner) == i64::from(sent))
    })?;
    if protocol == GroupProtocol::Consumer {
        // Two at a time in three rounds, and none of those that were kept.
        ensure!(owner.revoked == 6, "{} partitions were revoked", owner.revoked);
    }
    assert_eq!(owner.lost, 0);
    member.leave(&mut owner)?;
    Ok(())
}

#[test]
fn rebalances_under_load_lose_and_repeat_nothing_classic() -> Result<()> {
    rebalances_under_load_lose_and_repeat_nothing(GroupProtocol::Classic)
}

#[test]
fn rebalances_under_load_lose_and_repeat_nothing_consumer() -> Result<()> {
    rebalances_under_load_lose_and_repeat_nothing(GroupProtocol::Consumer)
}

/// Records that are deleted below an idle position are noticed although nothing new arrives.
#[test]
fn a_log_cut_beyond_an_idle_position_is_noticed() -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, GroupProtocol::Classic)?;
    let at = topic(&log, 1)?.remove(0);
    let mut producer = log.producer(&ProducerSpec::default())?;
    for _ in 0..5 {
        put(&mut *producer, &at, b"gone")?;
    }
    producer.flush()?;
    log.delete_records(&[(at.clone(), 5)])?;
    let mut owner = Owner::default();
    owner.positions.insert(at.clone(), 2);
    let mut member = log.join(&spec(&unique("group"), std::slice::from_ref(&at)))?;
    until_owns(&mut *member, &mut owner, 1)?;
    let reported = wait::until(PATIENCE, "the position is reported", || {
        poll(&mut *member, &mut owner)?;
        match owner.queues.get_mut(&at).context("owned")?.pull(10) {
            Ok(None) => Ok(None),
            Ok(Some(batch)) => bail!("got {batch:?}"),
            Err(error) => Ok(Some(error)),
        }
    })?;
    assert!(matches!(reported, Error::OffsetOutOfRange { offset: 2, .. }), "{reported:?}");
    member.member().seek(&[(at.clone(), 5)])?;
    owner.positions.insert(at.clone(), 5);
    put(&mut *producer, &at, b"new")?;
    producer.flush()?;
    wait::until_true(PATIENCE, "the new record comes", || Ok(owner.pull()? == 1))?;
    member.leave(&mut owner)?;
    Ok(())
}

/// A member whose thread does not poll in time loses its partitions, hears so, and comes back.
fn a_member_that_does_not_poll_is_put_out(protocol: GroupProtocol) -> Result<()> {
    let broker = Broker::shared()?;
    let mut settings = settings(&broker, protocol);
    settings.max_poll_interval = Duration::from_secs(6);
    let log = KafkaLog::new(settings)?;
    let all = topic(&log, 2)?;
    let group = unique("group");
    let (mut owner, mut member) = (Owner::default(), log.join(&spec(&group, &all))?);
    until_owns(&mut *member, &mut owner, 2)?;
    let (mut other, mut second) = (Owner::default(), log.join(&spec(&group, &all))?);
    // Only the second one polls: it gets everything once the first one's time is over.
    until_owns(&mut *second, &mut other, 2)?;
    let handle = member.member();
    let first = all.first().context("a partition")?.clone();
    let late = handle.commit(&[(first, Committed { offset: 1, metadata: String::new() })]);
    assert!(matches!(late, Err(Error::Aborted { .. } | Error::Fenced { .. })), "{late:?}");
    let mut told = false;
    wait::until_true(PATIENCE, "it is told and comes back", || {
        match member.poll(POLL, &mut owner) {
            Ok(()) => {}
            Err(Error::Unavailable { reason, .. }) => told |= reason.contains("joining again"),
            Err(error) => return Err(error.into()),
        }
        poll(&mut *second, &mut other)?;
        Ok(owner.lost >= 1 && owner.queues.len() == 1 && other.queues.len() == 1)
    })?;
    ensure!(told, "the poll did not say why");
    Ok(())
}

#[test]
fn a_member_that_does_not_poll_is_put_out_classic() -> Result<()> {
    a_member_that_does_not_poll_is_put_out(GroupProtocol::Classic)
}

#[test]
fn a_member_that_does_not_poll_is_put_out_consumer() -> Result<()> {
    a_member_that_does_not_poll_is_put_out(GroupProtocol::Consumer)
}

/// Everything says `Unavailable` while the broker is away, in bounded time, and goes on by itself
/// when it is back.
#[test]
fn a_broker_that_goes_and_comes_back() -> Result<()> {
    let broker = Broker::start()?;
    let mut settings = settings(&broker, GroupProtocol::Classic);
    settings.request_timeout = Duration::from_secs(3);
    settings.session_timeout = Duration::from_secs(180);
    let log = KafkaLog::new(settings)?;
    let at = wait::until(PATIENCE, "a topic", || Ok(topic(&log, 1).ok()))?.remove(0);
    let group = unique("group");
    let (mut owner, mut member) =
        (Owner::default(), log.join(&spec(&group, std::slice::from_ref(&at)))?);
    until_owns(&mut *member, &mut owner, 1)?;
    let handle = member.member();
    let position = |offset| [(at.clone(), Committed { offset, metadata: String::new() })];
    handle.commit(&position(0))?;
    let mut producer = log.producer(&ProducerSpec::default())?;
    put(&mut *producer, &at, b"before")?;
    producer.flush()?;
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    reader.assign(&[(at.clone(), 0)])?;

    broker.kill()?;
    let start = now();
    let unavailable = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Unavailable { .. })), "{result:?}");
    };
    unavailable(handle.commit(&position(1)));
    unavailable(log.describe(&["elsewhere"]).map(drop));
    unavailable(log.committed(&group, std::slice::from_ref(&at)).map(drop));
    unavailable(log.offsets(&at, Isolation::ReadCommitted).map(drop));
    ensure!(start.elapsed() < Duration::from_secs(40), "it took {:?}", start.elapsed());
    wait::until_true(PATIENCE, "the poll says so", || {
        Ok(matches!(member.poll(POLL, &mut owner), Err(Error::Unavailable { .. })))
    })?;
    put(&mut *producer, &at, b"meanwhile")?;

    broker.restart()?;
    producer.flush()?;
    let mut seen = 0;
    wait::until_true(PATIENCE, "both records come", || {
        poll(&mut *member, &mut owner)?;
        seen += owner.pull()?;
        Ok(seen == 2)
    })?;
    wait::until_true(PATIENCE, "a commit", || {
        poll(&mut *member, &mut owner)?;
        match handle.commit(&position(2)) {
            Ok(()) => Ok(true),
            Err(Error::Unavailable { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    })?;
    let mut read = 0;
    wait::until_true(PATIENCE, "the reader sees both", || {
        match reader.read(POLL) {
            Ok(Some(ReadEvent::Records(_, batch))) => read += batch.len(),
            Ok(_) | Err(Error::Unavailable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(read == 2)
    })?;
    assert_eq!(owner.lost, 0);
    member.leave(&mut owner)?;
    Ok(())
}
