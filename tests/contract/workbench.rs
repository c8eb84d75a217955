//! The workbench of the contract tests: topics, producers, members and readers in short words.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use millstream::Error;
use millstream::log::{
    Committed, Generation, GroupListener, GroupSpec, Isolation, Log, Member, Membership, NewTopic,
    OutgoingRecord, PartitionQueue, Producer, ProducerSpec, RawRecord, ReadEvent, RecordBatch,
    TopicPartition,
};
use millstream::record::Headers;

/// How long a test waits for what must come: a rebalance of a real Kafka takes seconds.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
/// How long one poll may wait.
const POLL: Duration = Duration::from_millis(50);

pub(crate) const COMMITTED: Isolation = Isolation::ReadCommitted;
pub(crate) const UNCOMMITTED: Isolation = Isolation::ReadUncommitted;

#[expect(clippy::disallowed_methods, reason = "a deadline on a real broker is wall-clock time")]
fn now() -> Instant {
    Instant::now()
}

/// Looks until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Does it again while the log is unavailable.
pub(crate) fn retry<T>(what: &str, mut act: impl FnMut() -> millstream::Result<T>) -> Result<T> {
    until(what, || match act() {
        Ok(done) => Ok(Some(done)),
        Err(Error::Unavailable { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    })
}

/// A name nobody used before, also not on a broker that outlives the tests.
pub(crate) fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().hash_one((std::process::id(), number));
    format!("{prefix}-{:08x}-{number}", random >> 32)
}

/// A new topic; its partitions.
pub(crate) fn topic(log: &dyn Log, partitions: i32) -> Result<Vec<TopicPartition>> {
    topic_with(log, partitions, &[])
}

/// A new topic with settings; its partitions.
pub(crate) fn topic_with(
    log: &dyn Log,
    partitions: i32,
    config: &[(&str, &str)],
) -> Result<Vec<TopicPartition>> {
    let name = unique("contract");
    let mut settings: Vec<(String, String)> =
        config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    // The tests use times of long ago.
    settings.push(("retention.ms".to_owned(), "-1".to_owned()));
    let new = NewTopic { name: name.clone(), partitions, replication_factor: 1, config: settings };
    log.create(&[new])?;
    let topic: Arc<str> = Arc::from(name);
    let all: Vec<_> = (0..partitions).map(|p| TopicPartition::new(Arc::clone(&topic), p)).collect();
    for tp in &all {
        until("a new partition answers", || Ok(log.offsets(tp, COMMITTED).ok()))?;
    }
    Ok(all)
}

/// A new topic's only partition.
pub(crate) fn partition(log: &dyn Log) -> Result<TopicPartition> {
    topic(log, 1)?.pop().context("a partition")
}

/// A producer without transactions.
pub(crate) fn plain(log: &dyn Log) -> Result<Box<dyn Producer>> {
    retry("a producer", || log.producer(&ProducerSpec::default()))
}

/// A producer with transactions.
pub(crate) fn transactional(log: &dyn Log, id: &str) -> Result<Box<dyn Producer>> {
    transactional_for(log, id, Duration::from_secs(60))
}

/// A producer whose transactions may take so long.
pub(crate) fn transactional_for(
    log: &dyn Log,
    id: &str,
    timeout: Duration,
) -> Result<Box<dyn Producer>> {
    let transaction_timeout = Some(timeout);
    let transactional_id = Some(id.to_owned());
    let spec = ProducerSpec { transactional_id, transaction_timeout, ..ProducerSpec::default() };
    retry("a transactional producer", || log.producer(&spec))
}

/// What a test sends.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Option<i64>,
    pub(crate) headers: Headers,
}

pub(crate) fn put_record(
    producer: &mut dyn Producer,
    at: &TopicPartition,
    sent: &Sent,
) -> millstream::Result<()> {
    let topic = producer.topic(&at.topic)?;
    producer.send(&OutgoingRecord {
        topic,
        partition: at.partition,
        key: sent.key.as_deref(),
        value: sent.value.as_deref(),
        timestamp: sent.timestamp,
        headers: &sent.headers,
    })
}

/// Sends a text.
pub(crate) fn put(
    producer: &mut dyn Producer,
    at: &TopicPartition,
    value: &str,
) -> millstream::Result<()> {
    let (value, timestamp) = (Some(value.as_bytes().to_vec()), Some(1_000));
    put_record(producer, at, &Sent { value, timestamp, ..Sent::default() })
}

/// Sends texts outside transactions and waits until they are there.
pub(crate) fn put_all(log: &dyn Log, at: &TopicPartition, values: &[&str]) -> Result<()> {
    let mut producer = plain(log)?;
    for value in values {
        put(&mut *producer, at, value)?;
    }
    Ok(producer.flush()?)
}

/// Sends texts in a transaction and commits it.
pub(crate) fn put_transaction(
    producer: &mut dyn Producer,
    at: &TopicPartition,
    values: &[&str],
) -> Result<()> {
    producer.begin()?;
    for value in values {
        put(producer, at, value)?;
    }
    Ok(producer.commit()?)
}

/// A record as it came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Headers,
}

impl Seen {
    fn of(raw: &RawRecord<'_>) -> Self {
        Self {
            offset: raw.offset,
            timestamp: raw.timestamp,
            key: raw.key.map(<[u8]>::to_vec),
            value: raw.value.map(<[u8]>::to_vec),
            headers: raw.headers.clone(),
        }
    }

    pub(crate) fn text(&self) -> String {
        self.value.as_ref().map_or("null".into(), |v| String::from_utf8_lossy(v).into_owned())
    }
}

pub(crate) fn texts(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(Seen::text).collect()
}

pub(crate) fn offsets(seen: &[Seen]) -> Vec<i64> {
    seen.iter().map(|seen| seen.offset).collect()
}

/// The records of a batch; fails if it is empty, which no log may hand out.
pub(crate) fn unpack(batch: &dyn RecordBatch) -> Result<Vec<Seen>> {
    ensure!(!batch.is_empty(), "an empty batch was handed out");
    ensure!(batch.get(batch.len()).is_none(), "there is a record past the end of a batch");
    (0..batch.len()).map(|i| Ok(Seen::of(&batch.get(i).context("a record of a batch")?))).collect()
}

/// What stands in a partition now, for this isolation.
pub(crate) fn read_all(log: &dyn Log, at: &TopicPartition, see: Isolation) -> Result<Vec<Seen>> {
    let range = retry("the end of a partition", || log.offsets(at, see))?;
    let mut reader = log.reader(see)?;
    reader.assign(&[(at.clone(), range.earliest)])?;
    let mut all = Vec::new();
    until("the end of a partition", || {
        match reader.read(POLL) {
            Ok(Some(ReadEvent::Records(from, batch))) => {
                ensure!(from == *at, "{from} was not asked for");
                all.extend(unpack(&*batch)?);
            }
            Ok(Some(ReadEvent::End(from, end))) if from == *at && end >= range.end => {
                return Ok(Some(()));
            }
            Ok(_) | Err(Error::Unavailable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(None)
    })?;
    Ok(all)
}

/// The texts of the committed records of a partition.
pub(crate) fn read_texts(log: &dyn Log, at: &TopicPartition) -> Result<Vec<String>> {
    Ok(texts(&read_all(log, at, COMMITTED)?))
}

/// What a member heard of its group.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Assigned(Vec<TopicPartition>),
    Revoked(Vec<TopicPartition>),
    Lost(Vec<TopicPartition>),
}

type OnRevoked = Box<dyn FnMut(&[TopicPartition])>;

/// What a member says that does not know where to start.
pub(crate) const REFUSED: &str = "the start is not known";

/// A member of a group that keeps the queues it is given.
pub(crate) struct Listening {
    pub(crate) queues: BTreeMap<TopicPartition, Box<dyn PartitionQueue>>,
    pub(crate) events: Vec<Event>,
    pub(crate) starts: BTreeMap<TopicPartition, i64>,
    pub(crate) on_revoked: Option<OnRevoked>,
    /// It does not know where to start.
    pub(crate) refuses: bool,
}

impl GroupListener for Listening {
    fn start_offsets(&mut self, added: &[TopicPartition]) -> millstream::Result<Vec<i64>> {
        if self.refuses {
            let (what, reason) = ("starting".to_owned(), REFUSED.to_owned());
            return Err(Error::Fatal { what, reason });
        }
        Ok(added.iter().map(|tp| self.starts.get(tp).copied().unwrap_or(0)).collect())
    }

    fn assigned(&mut self, added: Vec<(TopicPartition, Box<dyn PartitionQueue>)>) {
        self.events.push(Event::Assigned(added.iter().map(|(tp, _)| tp.clone()).collect()));
        self.queues.extend(added);
    }

    fn revoked(&mut self, removed: &[TopicPartition]) {
        if let Some(act) = &mut self.on_revoked {
            act(removed);
        }
        self.events.push(Event::Revoked(removed.to_vec()));
        self.queues.retain(|tp, _| !removed.contains(tp));
    }

    fn lost(&mut self, removed: &[TopicPartition]) {
        self.events.push(Event::Lost(removed.to_vec()));
        self.queues.retain(|tp, _| !removed.contains(tp));
    }
}

pub(crate) struct Reading {
    membership: Box<dyn Membership>,
    pub(crate) heard: Listening,
}

impl Reading {
    /// Joins a group to read the topic of these partitions.
    pub(crate) fn join(log: &dyn Log, group: &str, of: &[TopicPartition]) -> Result<Self> {
        Self::join_from(log, group, of, BTreeMap::new())
    }

    /// Joins a group, to read from these positions, and else from 0.
    pub(crate) fn join_from(
        log: &dyn Log,
        group: &str,
        of: &[TopicPartition],
        starts: BTreeMap<TopicPartition, i64>,
    ) -> Result<Self> {
        let topic = of.first().context("a partition")?.topic.to_string();
        let membership = log.join(&GroupSpec {
            group: group.to_owned(),
            topics: vec![topic],
            isolation: COMMITTED,
            static_member: None,
            prefetch_bytes_max: 16 << 20,
        })?;
        let (queues, events, on_revoked) = (BTreeMap::new(), Vec::new(), None);
        let heard = Listening { queues, events, starts, on_revoked, refuses: false };
        Ok(Self { membership, heard })
    }

    pub(crate) fn poll(&mut self) -> Result<()> {
        match self.membership.poll(POLL, &mut self.heard) {
            Ok(()) | Err(Error::Unavailable { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Polls until it owns so many partitions.
    pub(crate) fn until_owns(&mut self, count: usize) -> Result<()> {
        until(&format!("a member owns {count} partitions"), || {
            self.poll()?;
            Ok((self.heard.queues.len() == count).then_some(()))
        })
    }

    /// Polls until this event of a kind came.
    pub(crate) fn until_heard(&mut self, wanted: impl Fn(&Event) -> bool) -> Result<()> {
        until("an event of the group", || {
            self.poll()?;
            Ok(self.heard.events.iter().any(&wanted).then_some(()))
        })
    }

    pub(crate) fn queue(&mut self, of: &TopicPartition) -> Result<&mut dyn PartitionQueue> {
        let queue = self.heard.queues.get_mut(of).context("the member does not own it")?;
        Ok(&mut **queue)
    }

    /// Pulls until there are at least so many records.
    pub(crate) fn pull(&mut self, of: &TopicPartition, count: usize) -> Result<Vec<Seen>> {
        let mut all = Vec::new();
        until(&format!("{count} records of {of}"), || {
            while let Some(batch) = self.pull_now(of, 1000)? {
                all.extend(batch);
            }
            if all.len() >= count {
                return Ok(Some(()));
            }
            self.poll()?;
            Ok(None)
        })?;
        Ok(all)
    }

    /// What there is now.
    pub(crate) fn pull_now(
        &mut self,
        of: &TopicPartition,
        max: usize,
    ) -> Result<Option<Vec<Seen>>> {
        match self.queue(of)?.pull(max) {
            Ok(Some(batch)) => {
                ensure!(batch.len() <= max, "more than {max} records were handed out");
                unpack(&*batch).map(Some)
            }
            Ok(None) | Err(Error::Unavailable { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn member(&self) -> Arc<dyn Member> {
        self.membership.member()
    }

    pub(crate) fn generation(&self) -> Result<Generation> {
        Ok(self.member().generation()?)
    }

    pub(crate) fn leave(mut self) -> Result<Listening> {
        self.membership.leave(&mut self.heard)?;
        Ok(self.heard)
    }
}

/// Polls both until they own so many partitions.
pub(crate) fn until_share(a: &mut Reading, b: &mut Reading, counts: (usize, usize)) -> Result<()> {
    until(&format!("two members share {counts:?}"), || {
        a.poll()?;
        b.poll()?;
        Ok(((a.heard.queues.len(), b.heard.queues.len()) == counts).then_some(()))
    })
}

/// One position.
pub(crate) fn position(
    of: &TopicPartition,
    offset: i64,
    metadata: &str,
) -> Vec<(TopicPartition, Committed)> {
    vec![(of.clone(), Committed { offset, metadata: metadata.to_owned() })]
}

/// The committed offset of a group in a partition, once it is stable.
pub(crate) fn committed(log: &dyn Log, group: &str, of: &TopicPartition) -> Result<Option<i64>> {
    let found = retry("a stable position", || log.committed(group, std::slice::from_ref(of)))?;
    match found.as_slice() {
        [one] => Ok(one.as_ref().map(|committed| committed.offset)),
        other => bail!("asked for one position, got {other:?}"),
    }
}

/// True if the producer or member was refused for good.
pub(crate) fn is_refused<T>(result: &millstream::Result<T>) -> bool {
    matches!(result, Err(Error::Fenced { .. } | Error::Aborted { .. }))
}
