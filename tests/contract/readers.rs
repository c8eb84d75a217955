//! Readers: from offsets, to the ends.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use millstream::Error;
use millstream::log::{ReadEvent, Reader, TopicPartition};

use crate::logs::LogUnderTest;
use crate::workbench::{
    COMMITTED, partition, put, put_all, put_transaction, texts, topic, transactional, unique,
    unpack, until,
};

const POLL: Duration = Duration::from_millis(50);

/// Reads until each partition came to its end; the records and the ends.
fn read_to_ends(
    reader: &mut dyn Reader,
    count: usize,
) -> Result<BTreeMap<TopicPartition, (Vec<String>, i64)>> {
    let mut found: BTreeMap<TopicPartition, (Vec<String>, i64)> = BTreeMap::new();
    until("the ends", || {
        match reader.read(POLL) {
            Ok(Some(ReadEvent::Records(from, batch))) => {
                let of = found.entry(from).or_insert((Vec::new(), -1));
                of.0.extend(texts(&unpack(&*batch)?));
                // More came: its end is another one.
                of.1 = -1;
            }
            Ok(Some(ReadEvent::End(from, end))) => {
                found.entry(from).or_insert((Vec::new(), -1)).1 = end;
            }
            Ok(None) | Err(Error::Unavailable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok((found.values().filter(|(_, end)| *end >= 0).count() == count).then_some(()))
    })?;
    Ok(found)
}

fn found(values: &[&str], end: i64) -> (Vec<String>, i64) {
    (values.iter().map(|v| (*v).to_owned()).collect(), end)
}

pub(crate) fn report_the_end_of_each_partition(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 3)?;
    let [first, second, third] = all.as_slice() else { bail!("three partitions") };
    put_all(&*log, first, &["a", "b", "c"])?;
    put_all(&*log, third, &["d", "e"])?;
    let mut reader = log.reader(COMMITTED)?;
    reader.assign(&[(first.clone(), 1), (second.clone(), 0), (third.clone(), 2)])?;
    let ends = read_to_ends(&mut *reader, 3)?;
    let expected =
        [(first, found(&["b", "c"], 3)), (second, found(&[], 0)), (third, found(&[], 2))];
    assert_eq!(ends, expected.map(|(tp, found)| (tp.clone(), found)).into());
    Ok(())
}

pub(crate) fn report_the_end_again_after_more(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut reader = log.reader(COMMITTED)?;
    reader.assign(&[(at.clone(), 0)])?;
    for (round, values) in [vec![], vec!["a"], vec!["b", "c"]].into_iter().enumerate() {
        put_all(&*log, &at, &values)?;
        let ends = read_to_ends(&mut *reader, 1)?;
        let end = i64::try_from(round * (round + 1) / 2)?;
        assert_eq!(ends, [(at.clone(), found(&values, end))].into());
    }
    // Nothing new: neither records nor an end.
    assert!(reader.read(Duration::ZERO)?.is_none());
    Ok(())
}

pub(crate) fn end_behind_control_records(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    put_transaction(&mut *producer, &at, &["a"])?;
    producer.begin()?;
    put(&mut *producer, &at, "aborted")?;
    producer.flush()?;
    producer.abort()?;
    until("the control record is there", || {
        Ok((log.offsets(&at, COMMITTED)?.end == 4).then_some(()))
    })?;
    let mut reader = log.reader(COMMITTED)?;
    reader.assign(&[(at.clone(), 0)])?;
    let mut values = Vec::new();
    until("the end behind the last control record", || {
        match reader.read(POLL)? {
            Some(ReadEvent::Records(_, batch)) => values.extend(texts(&unpack(&*batch)?)),
            Some(ReadEvent::End(_, end)) => return Ok((end == 4).then_some(())),
            None => {}
        }
        Ok(None)
    })?;
    assert_eq!(values, ["a"]);
    Ok(())
}

pub(crate) fn read_what_they_are_assigned_last(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    let [first, second] = all.as_slice() else { bail!("two partitions") };
    put_all(&*log, first, &["a", "b"])?;
    put_all(&*log, second, &["c"])?;
    let mut reader = log.reader(COMMITTED)?;
    reader.assign(&[(first.clone(), 0)])?;
    assert_eq!(read_to_ends(&mut *reader, 1)?, [(first.clone(), found(&["a", "b"], 2))].into());
    reader.assign(&[(second.clone(), 0)])?;
    put_all(&*log, first, &["not read"])?;
    assert_eq!(read_to_ends(&mut *reader, 1)?, [(second.clone(), found(&["c"], 1))].into());
    reader.assign(&[(first.clone(), 1)])?;
    assert_eq!(
        read_to_ends(&mut *reader, 1)?,
        [(first.clone(), found(&["b", "not read"], 3))].into()
    );
    Ok(())
}

pub(crate) fn report_a_position_that_is_not_there(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    put_all(&*log, &at, &["a", "b", "c"])?;
    log.delete_records(&[(at.clone(), 2)])?;
    for position in [1, 4] {
        let mut reader = log.reader(COMMITTED)?;
        reader.assign(&[(at.clone(), position)])?;
        until("the position is reported", || match reader.read(POLL) {
            Ok(Some(ReadEvent::Records(_, batch))) => bail!("got records: {batch:?}"),
            Ok(_) | Err(Error::Unavailable { .. }) => Ok(None),
            Err(Error::OffsetOutOfRange { partition, .. }) => {
                ensure!(partition == at, "{partition} is not the one");
                Ok(Some(()))
            }
            Err(error) => Err(error.into()),
        })?;
    }
    Ok(())
}
