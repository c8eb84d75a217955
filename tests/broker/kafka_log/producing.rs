//! Producing: cost of a commit, a full buffer, refused records.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use millstream::Error;
use millstream::log::kafka::{GroupProtocol, KafkaLog};
use millstream::log::{Isolation, Log, ProducerSpec, TopicPartition};
use millstream_tests::kafka::Broker;

use super::{now, open, put, settings, topic, transactional};

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
    // More than the client takes; what only the broker refuses is told by the flush.
    let refused = put(&mut *producer, &at, &vec![7; 8_000_001]);
    assert!(
        matches!(&refused, Err(Error::Refused { partition, .. }) if *partition == at),
        "{refused:?}"
    );
    let beyond = TopicPartition::new(Arc::clone(&at.topic), 9);
    let refused = put(&mut *producer, &beyond, b"nowhere").and_then(|()| producer.flush());
    assert!(
        matches!(&refused, Err(Error::Topic { topic, .. }) if **topic == *at.topic),
        "{refused:?}"
    );
    Ok(())
}
