//! What only the memory log can do; the rest is in the contract suite.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::error::Error;
use crate::log::{
    Generation, GroupListener, GroupSpec, Log, Membership, NewTopic, OutgoingRecord,
    PartitionQueue, Producer, ProducerSpec,
};

fn log_with(topic: &str, partitions: i32) -> MemoryLog {
    let log = MemoryLog::new();
    let name = topic.to_owned();
    log.create(&[NewTopic { name, partitions, replication_factor: 1, config: Vec::new() }])
        .unwrap();
    log
}

fn put(log: &MemoryLog, topic: &str, value: &str) -> i64 {
    let at = TopicPartition::new(topic, 0);
    log.append(&at, None, Some(value.as_bytes()), 1, &Headers::default()).unwrap()
}

fn values(log: &MemoryLog, topic: &str) -> Vec<String> {
    let text = |r: MemoryRecord| String::from_utf8(r.value.unwrap()).unwrap();
    log.records(topic).into_iter().map(text).collect()
}

fn transactional(log: &MemoryLog, id: &str) -> Box<dyn Producer> {
    let transaction_timeout = Some(Duration::from_secs(10));
    let transactional_id = Some(id.to_owned());
    let spec = ProducerSpec { transactional_id, transaction_timeout, ..ProducerSpec::default() };
    log.producer(&spec).unwrap()
}

fn send(producer: &mut dyn Producer, topic: &str, value: &str) -> Result<()> {
    let topic = producer.topic(topic)?;
    let (key, value, headers) = (None, Some(value.as_bytes()), &Headers::default());
    producer.send(&OutgoingRecord { topic, partition: 0, key, value, timestamp: Some(1), headers })
}

#[derive(Default)]
struct Heard {
    queues: Vec<(TopicPartition, Box<dyn PartitionQueue>)>,
    events: Vec<String>,
}

impl GroupListener for Heard {
    fn start_offsets(&mut self, added: &[TopicPartition]) -> crate::error::Result<Vec<i64>> {
        Ok(vec![0; added.len()])
    }
    fn assigned(&mut self, added: Vec<(TopicPartition, Box<dyn PartitionQueue>)>) {
        self.events.push(format!("assigned {}", added.len()));
        self.queues = added;
    }
    fn revoked(&mut self, removed: &[TopicPartition]) {
        self.events.push(format!("revoked {}", removed.len()));
        self.queues.clear();
    }
    fn lost(&mut self, removed: &[TopicPartition]) {
        self.events.push(format!("lost {}", removed.len()));
        self.queues.clear();
    }
}

fn member(log: &MemoryLog, topic: &str) -> (Box<dyn Membership>, Heard) {
    let spec = GroupSpec {
        group: "g".to_owned(),
        topics: vec![topic.to_owned()],
        isolation: Isolation::ReadCommitted,
        static_member: None,
        prefetch_bytes_max: 1 << 20,
    };
    (log.join(&spec).unwrap(), Heard::default())
}

#[test]
fn topics_appear_when_they_are_wanted_only_if_asked_for() {
    let strict = MemoryLog::new();
    assert_eq!(strict.describe(&["t"]).unwrap(), [None]);
    let mut producer = strict.producer(&ProducerSpec::default()).unwrap();
    assert!(matches!(send(&mut *producer, "t", "x"), Err(Error::Topic { .. })));
    let lenient = MemoryLog::new().auto_create(true);
    let mut producer = lenient.producer(&ProducerSpec::default()).unwrap();
    send(&mut *producer, "t", "x").unwrap();
    assert_eq!(lenient.describe(&["u"]).unwrap()[0].as_ref().unwrap().partitions, 1);
    assert_eq!(lenient.topic_names(), ["t", "u"]);
    assert_eq!(values(&lenient, "t"), ["x"]);
}

#[test]
fn a_dropped_producer_leaves_its_transaction_open_until_the_clock_is_moved() {
    let log = log_with("t", 1);
    let mut producer = transactional(&log, "id");
    producer.begin().unwrap();
    send(&mut *producer, "t", "lost").unwrap();
    drop(producer);
    put(&log, "t", "behind");
    assert!(values(&log, "t").is_empty());
    log.advance(Duration::from_millis(9_999));
    assert!(values(&log, "t").is_empty());
    log.advance(Duration::from_millis(1));
    assert_eq!(values(&log, "t"), ["behind"]);
}

#[test]
fn the_owner_of_an_overdue_transaction_is_fenced() {
    let log = log_with("t", 1);
    let mut producer = transactional(&log, "id");
    producer.begin().unwrap();
    send(&mut *producer, "t", "lost").unwrap();
    log.advance(Duration::from_secs(10));
    assert!(matches!(producer.commit(), Err(Error::Fenced { .. })));
    assert!(matches!(producer.abort(), Err(Error::Fenced { .. })));
    assert!(values(&log, "t").is_empty());
}

#[test]
fn a_commit_whose_answer_is_lost_counts() {
    let log = log_with("t", 1);
    let mut producer = transactional(&log, "id");
    log.fail(Operation::Commit, Fault::LostAnswer, 1);
    producer.begin().unwrap();
    send(&mut *producer, "t", "kept").unwrap();
    assert!(matches!(producer.commit(), Err(Error::Aborted { .. })));
    assert_eq!(values(&log, "t"), ["kept"]);
    assert!(matches!(producer.abort(), Err(Error::Fenced { .. })));
}

#[test]
fn after_a_failed_step_only_abort_is_left() {
    let log = log_with("t", 1);
    let mut producer = transactional(&log, "id");
    log.fail(Operation::Send, Fault::Unavailable, 1);
    producer.begin().unwrap();
    assert!(matches!(send(&mut *producer, "t", "a"), Err(Error::Unavailable { .. })));
    assert!(matches!(send(&mut *producer, "t", "b"), Err(Error::Aborted { .. })));
    assert!(matches!(producer.commit(), Err(Error::Aborted { .. })));
    producer.abort().unwrap();
    producer.begin().unwrap();
    send(&mut *producer, "t", "c").unwrap();
    producer.commit().unwrap();
    assert_eq!(values(&log, "t"), ["c"]);
}

#[test]
fn a_send_can_be_repeated_on_command() {
    let log = log_with("t", 1);
    let mut producer = log.producer(&ProducerSpec::default()).unwrap();
    log.fail(Operation::Send, Fault::Repeated, 1);
    send(&mut *producer, "t", "a").unwrap();
    send(&mut *producer, "t", "b").unwrap();
    assert_eq!(values(&log, "t"), ["a", "a", "b"]);
}

#[test]
fn held_records_are_seen_after_release_and_wake_the_queue() {
    let log = log_with("t", 1);
    let (mut membership, mut heard) = member(&log, "t");
    membership.poll(Duration::ZERO, &mut heard).unwrap();
    let (tp, queue) = &mut heard.queues[0];
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    queue.on_data(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
    }));
    log.hold(tp).unwrap();
    put(&log, "t", "late");
    let before = calls.load(Ordering::Relaxed);
    assert!(queue.pull(10).unwrap().is_none());
    assert_eq!(queue.remaining(0), Some(0));
    log.release(tp).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), before + 1);
    assert_eq!(queue.pull(10).unwrap().unwrap().len(), 1);
}

#[test]
fn a_lost_answer_of_a_read_or_pull_loses_no_record() {
    let log = log_with("t", 1);
    let (mut membership, mut heard) = member(&log, "t");
    membership.poll(Duration::ZERO, &mut heard).unwrap();
    put(&log, "t", "a");
    log.fail(Operation::Pull, Fault::LostAnswer, 1);
    let queue = &mut heard.queues[0].1;
    assert!(matches!(queue.pull(10), Err(Error::Unavailable { .. })));
    assert_eq!(queue.pull(10).unwrap().unwrap().len(), 1);
    let mut reader = log.reader(Isolation::ReadCommitted).unwrap();
    reader.assign(&[(TopicPartition::new("t", 0), 0)]).unwrap();
    log.fail(Operation::Read, Fault::LostAnswer, 1);
    assert!(reader.read(Duration::ZERO).is_err());
    assert!(matches!(
        reader.read(Duration::ZERO).unwrap(),
        Some(crate::log::ReadEvent::Records(_, batch)) if batch.len() == 1
    ));
}

#[test]
fn members_whose_sessions_end_lose_what_they_owned_and_come_back() {
    let log = log_with("t", 2);
    let (mut membership, mut heard) = member(&log, "t");
    membership.poll(Duration::ZERO, &mut heard).unwrap();
    let old = membership.member().generation().unwrap();
    log.end_sessions("g");
    let positions =
        [(TopicPartition::new("t", 0), Committed { offset: 5, metadata: String::new() })];
    assert!(matches!(membership.member().commit(&positions), Err(Error::Fenced { .. })));
    assert!(matches!(offer(&log, &positions, &old), Err(Error::Fenced { .. })));
    membership.poll(Duration::ZERO, &mut heard).unwrap();
    membership.poll(Duration::ZERO, &mut heard).unwrap();
    assert_eq!(heard.events, ["assigned 2", "lost 2", "assigned 2"]);
    membership.member().commit(&positions).unwrap();
    assert_eq!(log.group_offsets("g"), positions);
}

fn offer(
    log: &MemoryLog,
    positions: &[(TopicPartition, Committed)],
    generation: &Generation,
) -> Result<()> {
    let mut producer = transactional(log, "offers");
    producer.begin()?;
    producer.send_offsets(positions, generation)
}

#[test]
fn a_dropped_member_holds_its_part_until_its_session_ends() {
    let log = log_with("t", 2);
    let (mut first, mut heard) = member(&log, "t");
    let (mut second, mut other) = member(&log, "t");
    first.poll(Duration::ZERO, &mut heard).unwrap();
    drop(first);
    for _ in 0..3 {
        second.poll(Duration::ZERO, &mut other).unwrap();
    }
    assert!(other.events.is_empty());
    log.advance(Duration::from_secs(45));
    second.poll(Duration::ZERO, &mut other).unwrap();
    assert_eq!(other.events, ["assigned 2"]);
}

#[test]
fn a_topic_created_later_is_shared_out() {
    let log = MemoryLog::new();
    let (mut membership, mut heard) = member(&log, "t");
    membership.poll(Duration::ZERO, &mut heard).unwrap();
    let name = "t".to_owned();
    log.create(&[NewTopic { name, partitions: 3, replication_factor: 1, config: Vec::new() }])
        .unwrap();
    membership.poll(Duration::ZERO, &mut heard).unwrap();
    membership.poll(Duration::ZERO, &mut heard).unwrap();
    assert_eq!(heard.events, ["assigned 0", "assigned 3"]);
}

#[test]
fn the_time_of_sending_is_the_clock() {
    let log = log_with("t", 1);
    log.set_time(77);
    let mut producer = log.producer(&ProducerSpec::default()).unwrap();
    let topic = producer.topic("t").unwrap();
    let (key, value, headers) = (None, None, &Headers::default());
    producer
        .send(&OutgoingRecord { topic, partition: 0, key, value, timestamp: None, headers })
        .unwrap();
    assert_eq!(log.records("t")[0].timestamp, 77);
    assert_eq!(producer.acknowledged(topic, 0), Some(0));
}

/// Where a partition ends for readers of committed and of all records.
fn ends(log: &MemoryLog, topic: &str) -> (i64, i64) {
    let at = TopicPartition::new(topic, 0);
    let end = |isolation| log.offsets(&at, isolation).unwrap().end;
    (end(Isolation::ReadCommitted), end(Isolation::ReadUncommitted))
}

/// A transaction over `t` and `u`, ended while the marker of `t` is held back.
fn ended_without_marker(commit: bool) -> (MemoryLog, Box<dyn Producer>) {
    let log = log_with("t", 1);
    let (name, config) = ("u".to_owned(), Vec::new());
    log.create(&[NewTopic { name, partitions: 1, replication_factor: 1, config }]).unwrap();
    put(&log, "t", "before");
    log.hold_markers(&TopicPartition::new("t", 0)).unwrap();
    let mut producer = transactional(&log, "id");
    producer.begin().unwrap();
    send(&mut *producer, "t", "x").unwrap();
    send(&mut *producer, "u", "x").unwrap();
    if commit {
        producer.commit().unwrap()
    } else {
        producer.abort().unwrap()
    }
    (log, producer)
}

#[test]
fn a_commit_is_answered_before_the_last_partition_shows_it() {
    let (log, _producer) = ended_without_marker(true);
    put(&log, "t", "behind");
    assert_eq!((values(&log, "t"), values(&log, "u")), (vec!["before".into()], vec!["x".into()]));
    assert_eq!((ends(&log, "t"), ends(&log, "u")), ((1, 3), (2, 2)));
    let mut reader = log.reader(Isolation::ReadCommitted).unwrap();
    reader.assign(&[(TopicPartition::new("t", 0), 0)]).unwrap();
    let mut seen = Vec::new();
    while let Some(event) = reader.read(Duration::ZERO).unwrap() {
        seen.push(match event {
            crate::log::ReadEvent::Records(_, batch) => format!("{} records", batch.len()),
            crate::log::ReadEvent::End(_, end) => format!("end at {end}"),
        });
        if seen.len() == 2 {
            log.release_markers(&TopicPartition::new("t", 0)).unwrap();
        }
    }
    assert_eq!(seen, ["1 records", "end at 1", "2 records", "end at 4"]);
    assert_eq!(values(&log, "t"), ["before", "x", "behind"]);
    assert_eq!(ends(&log, "t"), (4, 4));
}

#[test]
fn an_abort_is_answered_before_the_last_partition_knows() {
    let (log, mut producer) = ended_without_marker(false);
    assert_eq!((ends(&log, "t"), ends(&log, "u")), ((1, 2), (2, 2)));
    log.heal();
    assert_eq!(ends(&log, "t"), (3, 3));
    producer.begin().unwrap();
    send(&mut *producer, "t", "next").unwrap();
    producer.commit().unwrap();
    assert_eq!(values(&log, "t"), ["before", "next"]);
    assert!(values(&log, "u").is_empty());
}

#[test]
fn the_next_transaction_waits_for_the_markers_of_the_last() {
    let (log, mut producer) = ended_without_marker(true);
    let transactional_id = Some("id".to_owned());
    let spec = ProducerSpec { transactional_id, ..ProducerSpec::default() };
    producer.begin().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| log.release_markers(&TopicPartition::new("t", 0)).unwrap());
        // Whichever is first: the record stands behind the marker.
        send(&mut *producer, "t", "next").unwrap();
    });
    producer.commit().unwrap();
    let offsets: Vec<i64> = log.records("t").iter().map(|record| record.offset).collect();
    assert_eq!(offsets, [0, 1, 3]);
    log.hold_markers(&TopicPartition::new("t", 0)).unwrap();
    producer.begin().unwrap();
    send(&mut *producer, "t", "last").unwrap();
    producer.commit().unwrap();
    assert!(matches!(log.producer(&spec), Err(Error::Unavailable { .. })));
    log.release_markers(&TopicPartition::new("t", 0)).unwrap();
    assert!(log.producer(&spec).is_ok());
}
