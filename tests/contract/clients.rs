//! The typed clients: what a producer writes, a consumer reads, and each says what is wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use millstream::client::{Assignment, Consumer, ConsumerRecord, Producer};
use millstream::log::{Log, TopicPartition};
use millstream::record::{Record, Timestamp};
use millstream::serde::HasSerde;
use millstream::{Error, Produced, RefusalKind};

use crate::logs::LogUnderTest;
use crate::workbench::{
    PATIENCE, put, put_all, retry, topic, topic_with, transactional, unique, until,
};

type Text = Option<String>;

fn name_of(all: &[TopicPartition]) -> Result<String> {
    Ok(all.first().context("a partition")?.topic.to_string())
}

fn writer<K: HasSerde, V: HasSerde>(log: &Arc<dyn Log>, topic: &str) -> Result<Producer<K, V>> {
    retry("a producer", || Producer::open(log, topic))
}

fn reader<K: HasSerde, V: HasSerde>(log: &Arc<dyn Log>, topic: &str) -> Result<Consumer<K, V>> {
    retry("a consumer", || Consumer::open(log, topic))
}

fn text(key: Option<&str>, value: Option<&str>, at: i64) -> Record<Text, Text> {
    Record::new(key.map(str::to_owned), value.map(str::to_owned), Timestamp(at))
}

fn values<K>(found: &[ConsumerRecord<K, String>]) -> Vec<&str> {
    found.iter().map(|one| one.record.value.as_str()).collect()
}

pub(crate) fn keep_nulls_headers_and_times(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let topic = name_of(&topic(&*log, 1)?)?;
    let mut headed = text(Some("k"), Some(""), 1_003);
    headed.headers.push("trace", Some(b"1".to_vec()));
    headed.headers.push("trace", None);
    let sent = [
        text(None, Some("no key"), 1_000),
        text(Some("deleted"), None, 1_001),
        text(None, None, 1_002),
        headed,
    ];
    let mut producer = writer::<Text, Text>(&log, &topic)?;
    for record in &sent {
        producer.send(record.clone())?;
    }
    producer.close()?;
    let mut consumer = reader::<Text, Text>(&log, &topic)?;
    let found = consumer.read_to_end(PATIENCE)?;
    assert_eq!(found.iter().map(|one| one.record.clone()).collect::<Vec<_>>(), sent);
    assert_eq!(found.iter().map(|one| one.offset).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(consumer.poll(Duration::ZERO)?, []);
    consumer.close();
    Ok(())
}

pub(crate) fn spread_records_as_kafka_does(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let topic = name_of(&topic(&*log, 4)?)?;
    let mut producer = writer::<Text, String>(&log, &topic)?;
    let of = |key: Option<&str>| Record::new(key.map(str::to_owned), "x".to_owned(), Timestamp(1));
    // Kafka's own test of its partitioner has the hash of this key.
    producer.send(of(Some("foobar")))?;
    for _ in 0..8 {
        producer.send(of(None))?;
    }
    producer.close()?;
    let found = reader::<Text, String>(&log, &topic)?.read_to_end(PATIENCE)?;
    let mut keyless = BTreeMap::new();
    for one in &found {
        match one.record.key.as_deref() {
            Some(key) => assert_eq!((key, one.partition), ("foobar", 2)),
            None => *keyless.entry(one.partition).or_insert(0) += 1,
        }
    }
    assert_eq!(keyless, BTreeMap::from([(0, 2), (1, 2), (2, 2), (3, 2)]));
    // A partitioner of the user's comes first, and is held to what there is.
    let chosen = Produced::<Text, String>::from(topic.as_str())
        .partitioner(|_, key, _, count| key.as_ref().map(|_| count - 1).or(Some(count)));
    let mut producer = Producer::open(&log, chosen)?;
    producer.send(of(Some("foobar")))?;
    let refused = producer.send(of(None)).map_err(|error| format!("{error:?}"));
    assert!(refused.is_err_and(|said| said.contains(&topic) && said.contains("partition 4")));
    producer.close()?;
    let last = Assignment::<Text, String>::from(topic.as_str()).of_partitions([3]);
    let found = Consumer::open(&log, last)?.read_to_end(PATIENCE)?;
    assert!(found.iter().any(|one| one.record.key.as_deref() == Some("foobar")), "{found:?}");
    Ok(())
}

pub(crate) fn name_what_a_topic_refuses(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all =
        topic_with(&*log, 1, &[("max.message.bytes", "1000"), ("compression.type", "producer")])?;
    let topic = name_of(&all)?;
    let at = all.first().context("a partition")?;
    let mut producer = writer::<String, Vec<u8>>(&log, &topic)?;
    let of = |bytes: usize| Record::new("k".to_owned(), noise(bytes), Timestamp(1));
    producer.send(of(5_000))?;
    let later = producer.flush().map_err(|error| (error.to_string(), error));
    // Larger than any client sends: known at once.
    let at_once = producer.send(of(8_000_001)).map_err(|error| (error.to_string(), error));
    for told in [later, at_once] {
        let Err((said, Error::Refused { partition, kind, .. })) = told else {
            anyhow::bail!("not refused: {told:?}")
        };
        assert_eq!((&partition, kind), (at, RefusalKind::TooLarge));
        assert!(said.contains(&at.to_string()) && said.contains("max.message.bytes"), "{said}");
    }
    // It goes on.
    producer.send(of(10))?;
    producer.close()?;
    let found = reader::<String, Vec<u8>>(&log, &topic)?.read_to_end(PATIENCE)?;
    assert_eq!(found.iter().map(|one| one.record.value.len()).collect::<Vec<_>>(), [10]);
    Ok(())
}

/// Not compressible, so that it is as large on the wire.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 12_345_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..bytes).map(|_| next()).collect()
}

pub(crate) fn know_only_topics_that_exist(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let missing = unique("missing");
    let opened = retry("an answer", || match Producer::<String, String>::open(&log, &*missing) {
        Err(error @ Error::Unavailable { .. }) => Err(error),
        answer => Ok(answer.map(drop)),
    })?;
    assert!(matches!(&opened, Err(Error::MissingTopic { topic }) if *topic == missing));
    let opened = Consumer::<String, String>::open(&log, &*missing).map(drop);
    assert!(matches!(&opened, Err(Error::MissingTopic { topic }) if *topic == missing));
    let topic = name_of(&topic(&*log, 2)?)?;
    let third = Assignment::<String, String>::from(topic.as_str()).of_partitions([1, 2]);
    let said = Consumer::open(&log, third).map(drop).map_err(|error| error.to_string());
    assert!(said.is_err_and(|said| said.contains(&topic) && said.contains("partition 2")));
    Ok(())
}

pub(crate) fn begin_where_their_assignment_says(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    let topic = name_of(&all)?;
    let [first, second] = all.as_slice() else { anyhow::bail!("two partitions") };
    put_all(&*log, first, &["a0", "a1", "a2"])?;
    put_all(&*log, second, &["b0", "b1"])?;
    let of = || Assignment::<Text, String>::from(topic.as_str());
    let mut at_the_end = Consumer::open(&log, of().from_end())?;
    let found = Consumer::open(&log, of().from_offsets([(0, 2)]))?.read_to_end(PATIENCE)?;
    assert_eq!(values(&found), ["a2"]);
    let found = Consumer::open(&log, of().of_partitions([1]))?.read_to_end(PATIENCE)?;
    assert_eq!(values(&found), ["b0", "b1"]);
    let mut found = Consumer::open(&log, of().from_beginning())?.read_to_end(PATIENCE)?;
    found.sort_by_key(|one| (one.partition, one.offset));
    assert_eq!(values(&found), ["a0", "a1", "a2", "b0", "b1"]);
    assert_eq!(at_the_end.poll(Duration::ZERO)?, []);
    put_all(&*log, first, &["a3"])?;
    assert_eq!(values(&at_the_end.read_to_end(PATIENCE)?), ["a3"]);
    Ok(())
}

pub(crate) fn read_what_is_committed(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 1)?;
    let (topic, at) = (name_of(&all)?, all.first().context("a partition")?);
    let mut producer = transactional(&*log, &unique("txn"))?;
    producer.begin()?;
    put(&mut *producer, at, "aborted")?;
    producer.abort()?;
    producer.begin()?;
    put(&mut *producer, at, "open")?;
    producer.flush()?;
    let uncommitted = Assignment::<Text, String>::from(topic.as_str()).read_uncommitted();
    let seen = Consumer::open(&log, uncommitted)?.read_to_end(PATIENCE)?;
    // A client need not send what it is to abort.
    assert_eq!(values(&seen).last(), Some(&"open"));
    let mut consumer = reader::<Text, String>(&log, &topic)?;
    let early = consumer.read_to_end(Duration::from_millis(300));
    let said = early.map_err(|error| error.to_string());
    assert!(said.is_err_and(|said| said.contains(&at.to_string())), "it is not complete");
    producer.commit()?;
    assert_eq!(values(&consumer.read_to_end(PATIENCE)?), ["open"]);
    Ok(())
}

pub(crate) fn go_on_behind_a_bad_record(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let topic = name_of(&topic(&*log, 1)?)?;
    let mut producer = writer::<Text, Vec<u8>>(&log, &topic)?;
    for bytes in [&b"good"[..], &[0xff, 0xfe], b"better"] {
        producer.send(Record::new(None, bytes.to_vec(), Timestamp(1)))?;
    }
    producer.close()?;
    let mut consumer = reader::<Text, String>(&log, &topic)?;
    let mut seen = Vec::new();
    until("all three", || {
        match consumer.poll(Duration::from_millis(50)) {
            Ok(found) => seen.extend(found.into_iter().map(|one| one.record.value)),
            Err(error @ Error::BadRecord { .. }) => seen.push(error.to_string()),
            Err(error) => return Err(error.into()),
        }
        Ok((seen.len() == 3).then_some(()))
    })?;
    let [good, bad, better] = seen.as_slice() else { anyhow::bail!("{seen:?}") };
    assert_eq!((good.as_str(), better.as_str()), ("good", "better"));
    assert!(bad.contains(&format!("{topic}-0@1")), "{bad}");
    assert_eq!(consumer.read_to_end(PATIENCE)?, []);
    Ok(())
}
