//! What only a durable log can do; the rest is in the contract suite.
//!
//! A kill is played by copying the directory while the log is open: what the copy does not have
//! would have been lost.

use std::time::Duration;

use super::*;
use crate::log::{
    Committed, GroupSpec, Isolation, Log, NewTopic, OffsetRange, OutgoingRecord, Producer,
    ProducerSpec, ReadEvent, TopicHandle,
};
use crate::record::{Headers, TopicPartition};

const FAR: i64 = 9_000_000_000_000;

fn open(dir: &Path) -> EmbeddedLog {
    EmbeddedLog::open(dir, EmbeddedOptions::default()).unwrap()
}

fn killed(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir(copy.path().join("log")).unwrap();
    for entry in fs::read_dir(dir.join("log")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.path().join("log").join(entry.file_name())).unwrap();
    }
    copy
}

fn topic(log: &EmbeddedLog, config: &[(&str, &str)]) -> TopicPartition {
    let config = config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let name = "t".to_owned();
    log.create(&[NewTopic { name, partitions: 1, replication_factor: 1, config }]).unwrap();
    TopicPartition::new("t", 0)
}

fn producer(log: &EmbeddedLog, id: Option<&str>) -> (Box<dyn Producer>, TopicHandle) {
    let transactional_id = id.map(ToOwned::to_owned);
    let spec = ProducerSpec { transactional_id, ..ProducerSpec::default() };
    let mut producer = log.producer(&spec).unwrap();
    let topic = producer.topic("t").unwrap();
    (producer, topic)
}

fn send(to: &mut (Box<dyn Producer>, TopicHandle), key: &str, value: Option<&str>, at: i64) {
    let mut headers = Headers::default();
    headers.push("h", None);
    let (key, value) = (Some(key.as_bytes()), value.map(str::as_bytes));
    let (topic, timestamp, headers) = (to.1, Some(at), &headers);
    to.0.send(&OutgoingRecord { topic, partition: 0, key, value, timestamp, headers }).unwrap();
}

/// Offsets and texts, `key=value`.
fn seen(log: &EmbeddedLog, isolation: Isolation) -> Vec<(i64, String)> {
    let at = TopicPartition::new("t", 0);
    let mut reader = log.reader(isolation).unwrap();
    reader.assign(&[(at.clone(), log.offsets(&at, isolation).unwrap().earliest)]).unwrap();
    let (mut all, text) = (Vec::new(), |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap());
    loop {
        match reader.read(Duration::ZERO).unwrap() {
            Some(ReadEvent::Records(_, batch)) => {
                for index in 0..batch.len() {
                    let record = batch.get(index).unwrap();
                    let value = record.value.map_or("null".to_owned(), text);
                    all.push((record.offset, format!("{}={value}", text(record.key.unwrap()))));
                }
            }
            Some(ReadEvent::End(..)) => return all,
            None => panic!("there is always an end"),
        }
    }
}

fn committed_seen(log: &EmbeddedLog) -> Vec<(i64, String)> {
    seen(log, Isolation::ReadCommitted)
}

fn lines(all: &[(i64, &str)]) -> Vec<(i64, String)> {
    all.iter().map(|(offset, text)| (*offset, (*text).to_owned())).collect()
}

#[test]
fn a_log_is_known_again_and_told_from_others() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let identity = |dir: &Path| open(dir).identity().unwrap().unwrap();
    let first = identity(here.path());
    assert_eq!(identity(here.path()), first);
    assert_ne!(identity(there.path()), first);
    // One that was cut off when it was written is made anew.
    std::fs::write(here.path().join("identity"), "").unwrap();
    assert_ne!(identity(here.path()), first);
}

#[test]
fn a_killed_process_loses_nothing_that_was_flushed_or_committed() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let at = topic(&log, &[]);
    let mut plain = producer(&log, None);
    send(&mut plain, "flushed", Some("1"), 5);
    plain.0.flush().unwrap();
    let mut txn = producer(&log, Some("id"));
    txn.0.begin().unwrap();
    send(&mut txn, "committed", Some("2"), 6);
    txn.0.commit().unwrap();
    txn.0.begin().unwrap();
    send(&mut txn, "open", Some("3"), 7);
    send(&mut plain, "not flushed", Some("4"), 8);

    let copy = killed(dir.path());
    let again = open(copy.path());
    assert_eq!(again.topic_names(), ["t"]);
    assert_eq!(committed_seen(&again), lines(&[(0, "flushed=1"), (1, "committed=2")]));
    let range = again.offsets(&at, Isolation::ReadCommitted).unwrap();
    assert_eq!(range, OffsetRange { earliest: 0, end: 3 });

    txn.0.commit().unwrap();
    plain.0.flush().unwrap();
    drop((log, plain, txn));
    let all = [(0, "flushed=1"), (1, "committed=2"), (3, "open=3"), (4, "not flushed=4")];
    assert_eq!(committed_seen(&open(dir.path())), lines(&all));
}

#[test]
fn positions_survive_with_the_transaction_they_were_in() {
    struct Nothing;
    impl crate::log::GroupListener for Nothing {
        fn start_offsets(&mut self, added: &[TopicPartition]) -> crate::error::Result<Vec<i64>> {
            Ok(vec![0; added.len()])
        }
        fn assigned(&mut self, _: Vec<(TopicPartition, Box<dyn crate::log::PartitionQueue>)>) {}
        fn revoked(&mut self, _: &[TopicPartition]) {}
        fn lost(&mut self, _: &[TopicPartition]) {}
    }
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let at = topic(&log, &[]);
    let spec = GroupSpec {
        group: "g".to_owned(),
        topics: vec!["t".to_owned()],
        isolation: Isolation::ReadCommitted,
        static_member: None,
        prefetch_bytes_max: 1,
    };
    let mut member = log.join(&spec).unwrap();
    member.poll(Duration::ZERO, &mut Nothing).unwrap();
    let mut txn = producer(&log, Some("id"));
    let position = |offset| Committed { offset, metadata: "text".to_owned() };
    for offset in [4, 5] {
        txn.0.begin().unwrap();
        let generation = member.member().generation().unwrap();
        txn.0.send_offsets(&[(at.clone(), position(offset))], &generation).unwrap();
        if offset == 4 {
            txn.0.commit().unwrap();
        }
    }
    let copy = killed(dir.path());
    let found = open(copy.path()).committed("g", &[at]).unwrap();
    assert_eq!(found, [Some(position(4))]);
}

#[test]
fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let second = EmbeddedLog::open(dir.path(), EmbeddedOptions::default());
    assert!(matches!(second, Err(Error::StateLocked { by_this_program: true, .. })), "{second:?}");
    // A producer alone keeps it in use too.
    let kept = producer(&{ log }, None);
    assert!(EmbeddedLog::open(dir.path(), EmbeddedOptions::default()).is_err());
    drop(kept);
    open(dir.path());
}

#[test]
fn a_directory_that_cannot_be_used_names_its_setting() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = EmbeddedLog::open(file.join("log"), EmbeddedOptions::default()).unwrap_err();
    assert!(refused.to_string().contains("; the setting state_dir says where"), "{refused}");
}

#[test]
fn a_large_transaction_is_written_early_and_still_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions { transaction_bytes_max: 100, ..EmbeddedOptions::default() };
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    topic(&log, &[]);
    let mut txn = producer(&log, Some("id"));
    let mut begin_with = |value: &str| {
        txn.0.begin().unwrap();
        for key in ["a", "b", "c", "d", "e"] {
            send(&mut txn, key, Some(value), 5);
        }
        killed(dir.path())
    };
    let open_when_killed = begin_with("1");
    assert!(committed_seen(&open(open_when_killed.path())).is_empty());
    assert!(seen(&open(open_when_killed.path()), Isolation::ReadUncommitted).is_empty());
    assert_eq!(seen(&log, Isolation::ReadUncommitted).len(), 5);
    assert!(committed_seen(&log).is_empty());
    txn.0.abort().unwrap();
    assert!(committed_seen(&log).is_empty());
    assert!(seen(&log, Isolation::ReadUncommitted).is_empty());

    txn.0.begin().unwrap();
    for key in ["a", "b", "c", "d", "e"] {
        send(&mut txn, key, Some("2"), 5);
    }
    txn.0.commit().unwrap();
    let all = [(6, "a=2"), (7, "b=2"), (8, "c=2"), (9, "d=2"), (10, "e=2")];
    assert_eq!(committed_seen(&log), lines(&all));
    assert_eq!(committed_seen(&open(killed(dir.path()).path())), lines(&all));
}

#[test]
fn deleted_records_stay_deleted_and_their_offsets_are_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let at = topic(&log, &[]);
    let mut plain = producer(&log, None);
    for key in ["a", "b"] {
        send(&mut plain, key, Some("1"), 5);
    }
    log.delete_records(&[(at.clone(), 2)]).unwrap();
    drop((log, plain));
    let log = open(dir.path());
    let range = log.offsets(&at, Isolation::ReadCommitted).unwrap();
    assert_eq!(range, OffsetRange { earliest: 2, end: 2 });
    send(&mut producer(&log, None), "c", Some("1"), 5);
    assert_eq!(committed_seen(&log), lines(&[(2, "c=1")]));
}

#[test]
fn a_compacted_topic_keeps_the_last_record_of_each_key() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let at = topic(&log, &[("cleanup.policy", "compact"), ("delete.retention.ms", "0")]);
    let mut txn = producer(&log, Some("id"));
    txn.0.begin().unwrap();
    for (key, value) in [("a", Some("1")), ("b", Some("1")), ("a", Some("2")), ("b", None)] {
        send(&mut txn, key, value, 5);
    }
    txn.0.commit().unwrap();
    let refused = log.delete_records(&[(at.clone(), 1)]);
    assert!(matches!(refused, Err(Error::Topic { .. })), "{refused:?}");
    drop((log, txn));

    // The tombstone stays once, for those who have not seen it.
    let log = open(dir.path());
    assert_eq!(committed_seen(&log), lines(&[(2, "a=2"), (3, "b=null")]));
    assert_eq!(log.offsets(&at, Isolation::ReadCommitted).unwrap().end, 5);
    let mut plain = producer(&log, None);
    for key in ["c", "d", "e"] {
        send(&mut plain, key, Some("3"), 5);
    }
    drop((log, plain));
    let log = open(dir.path());
    assert_eq!(committed_seen(&log), lines(&[(2, "a=2"), (5, "c=3"), (6, "d=3"), (7, "e=3")]));
}

#[test]
fn records_older_than_the_retention_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let at = topic(&log, &[("retention.ms", "1000")]);
    let mut plain = producer(&log, None);
    for (key, time) in [("old", 5), ("old too", 6), ("young", FAR), ("old behind young", 7)] {
        send(&mut plain, key, Some("1"), time);
    }
    drop((log, plain));
    let log = open(dir.path());
    assert_eq!(committed_seen(&log), lines(&[(2, "young=1"), (3, "old behind young=1")]));
    assert_eq!(log.offsets(&at, Isolation::ReadCommitted).unwrap().earliest, 2);
    let mut plain = producer(&log, None);
    log.delete_records(&[(at.clone(), 4)]).unwrap();
    for _ in 0..100_001 {
        send(&mut plain, "old", Some("1"), 5);
    }
    // So many records are a reason to look again.
    assert!(log.offsets(&at, Isolation::ReadCommitted).unwrap().earliest >= 100_000);
}

#[test]
fn a_dropped_producer_ends_its_transaction() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    topic(&log, &[]);
    let mut txn = producer(&log, Some("id"));
    txn.0.begin().unwrap();
    send(&mut txn, "open", Some("1"), 5);
    send(&mut producer(&log, None), "behind", Some("1"), 5);
    assert!(committed_seen(&log).is_empty());
    drop(txn);
    assert_eq!(committed_seen(&log), lines(&[(1, "behind=1")]));
}

/// A deleted topic stays deleted, and its number is not given to another one.
#[test]
fn a_deleted_topic_and_group_are_gone_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let options = EmbeddedOptions::default();
    let new = |name: &str| NewTopic {
        name: name.to_owned(),
        partitions: 1,
        replication_factor: 1,
        config: Vec::new(),
    };
    let put = |log: &EmbeddedLog, topic: &str| {
        let mut producer = log.producer(&ProducerSpec::default()).unwrap();
        let topic = producer.topic(topic).unwrap();
        let headers = Headers::default();
        let (key, value, timestamp) = (None, None, Some(1));
        let record =
            OutgoingRecord { topic, partition: 0, key, value, timestamp, headers: &headers };
        producer.send(&record).unwrap();
        producer.flush().unwrap();
    };
    let end = |log: &EmbeddedLog, topic: &str| {
        log.offsets(&TopicPartition::new(topic, 0), Isolation::ReadCommitted).unwrap().end
    };
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    log.create(&[new("a"), new("b"), new("c")]).unwrap();
    ["a", "b", "c"].iter().for_each(|topic| put(&log, topic));
    let one = Committed { offset: 1, metadata: String::new() };
    let at = [(TopicPartition::new("c", 0), one)];
    log.set_offsets("group", &at).unwrap();
    log.set_offsets("group-two", &at).unwrap();
    log.delete_topics(&["b"]).unwrap();
    log.delete_group("group").unwrap();
    drop(log);
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    assert_eq!(log.topic_names(), ["a", "c"]);
    let committed = |group| log.committed(group, &[TopicPartition::new("c", 0)]).unwrap();
    assert!(committed("group").iter().all(Option::is_none));
    assert!(committed("group-two").iter().all(Option::is_some));
    log.create(&[new("b")]).unwrap();
    put(&log, "c");
    assert_eq!((end(&log, "a"), end(&log, "b"), end(&log, "c")), (1, 0, 2));
    drop(log);
    let log = EmbeddedLog::open(dir.path(), options).unwrap();
    assert_eq!((end(&log, "a"), end(&log, "b"), end(&log, "c")), (1, 0, 2));
}

#[test]
fn added_partitions_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let config = vec![("cleanup.policy".to_owned(), "compact".to_owned())];
    let new = NewTopic { name: "t".to_owned(), partitions: 1, replication_factor: 1, config };
    log.create(&[new]).unwrap();
    assert!(log.add_partitions("t", 1).is_err() && log.add_partitions("u", 2).is_err());
    log.add_partitions("t", 3).unwrap();
    drop(log);
    let log = open(dir.path());
    let described = log.describe(&["t"]).unwrap();
    assert!(described.iter().flatten().all(|topic| topic.partitions == 3), "{described:?}");
}
