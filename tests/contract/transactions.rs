//! Transactions: all or nothing, one owner, and what others see meanwhile.

use std::time::Duration;

use anyhow::{Result, bail};
use millstream::Error;
use millstream::log::OffsetRange;

use crate::logs::LogUnderTest;
use crate::workbench::{
    COMMITTED, Reading, UNCOMMITTED, committed, offsets, partition, position, put, put_all,
    put_transaction, read_all, read_texts, texts, topic, transactional, transactional_for, unique,
    until,
};

pub(crate) fn leave_gaps_in_offsets(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    put_transaction(&mut *producer, &at, &["a", "b"])?;
    put_transaction(&mut *producer, &at, &["c"])?;
    let seen = read_all(&*log, &at, COMMITTED)?;
    assert_eq!((texts(&seen), offsets(&seen)), (strings(&["a", "b", "c"]), vec![0, 1, 3]));
    assert_eq!(log.offsets(&at, COMMITTED)?, OffsetRange { earliest: 0, end: 5 });
    Ok(())
}

pub(crate) fn hold_back_the_last_stable_offset(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    put_all(&*log, &at, &["before"])?;
    producer.begin()?;
    put(&mut *producer, &at, "open")?;
    producer.flush()?;
    put_all(&*log, &at, &["behind"])?;
    assert_eq!(log.offsets(&at, COMMITTED)?.end, 1);
    assert_eq!(log.offsets(&at, UNCOMMITTED)?.end, 3);
    assert_eq!(read_texts(&*log, &at)?, ["before"]);
    assert_eq!(texts(&read_all(&*log, &at, UNCOMMITTED)?), ["before", "open", "behind"]);
    producer.commit()?;
    until("the last stable offset moves", || {
        Ok((log.offsets(&at, COMMITTED)?.end == 4).then_some(()))
    })?;
    assert_eq!(read_texts(&*log, &at)?, ["before", "open", "behind"]);
    Ok(())
}

pub(crate) fn show_nothing_when_aborted(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    let mut other = transactional(&*log, &unique("txn"))?;
    producer.begin()?;
    put(&mut *producer, &at, "aborted")?;
    producer.flush()?;
    other.begin()?;
    put(&mut *other, &at, "kept")?;
    other.flush()?;
    put(&mut *producer, &at, "aborted too")?;
    producer.flush()?;
    producer.abort()?;
    other.commit()?;
    put_transaction(&mut *producer, &at, &["next"])?;
    let seen = read_all(&*log, &at, COMMITTED)?;
    assert_eq!((texts(&seen), offsets(&seen)), (strings(&["kept", "next"]), vec![1, 5]));
    Ok(())
}

pub(crate) fn are_atomic_over_partitions(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 3)?;
    let elsewhere = partition(&*log)?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    for (value, commit) in [("no", false), ("yes", true)] {
        producer.begin()?;
        for at in all.iter().chain([&elsewhere]) {
            put(&mut *producer, at, value)?;
        }
        producer.flush()?;
        for at in all.iter().chain([&elsewhere]) {
            assert!(read_texts(&*log, at)?.is_empty());
        }
        if commit {
            producer.commit()?;
        } else {
            producer.abort()?;
        }
    }
    for at in all.iter().chain([&elsewhere]) {
        until("the control record is there", || {
            Ok((log.offsets(at, COMMITTED)?.end == 4).then_some(()))
        })?;
        assert_eq!(read_texts(&*log, at)?, ["yes"]);
    }
    Ok(())
}

pub(crate) fn may_be_empty(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    producer.begin()?;
    producer.commit()?;
    producer.begin()?;
    producer.abort()?;
    assert_eq!(log.offsets(&at, COMMITTED)?.end, 0);
    put_transaction(&mut *producer, &at, &["a"])?;
    assert_eq!(read_texts(&*log, &at)?, ["a"]);
    Ok(())
}

pub(crate) fn fence_the_former_producer(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let id = unique("txn");
    let mut first = transactional(&*log, &id)?;
    put_transaction(&mut *first, &at, &["first"])?;
    let mut second = transactional(&*log, &id)?;
    put_transaction(&mut *second, &at, &["second"])?;
    // A client may find out late, but not later than at the commit.
    match put_transaction(&mut *first, &at, &["zombie"]) {
        Ok(()) => bail!("the former producer committed"),
        Err(error) => {
            let error = error.downcast::<Error>()?;
            assert!(matches!(error, Error::Fenced { .. }), "{error}");
        }
    }
    assert_eq!(read_texts(&*log, &at)?, ["first", "second"]);
    Ok(())
}

pub(crate) fn of_a_former_producer_are_aborted(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let id = unique("txn");
    let mut first = transactional(&*log, &id)?;
    first.begin()?;
    put(&mut *first, &at, "zombie")?;
    first.flush()?;
    let mut second = transactional(&*log, &id)?;
    put_transaction(&mut *second, &at, &["second"])?;
    let refused = first.commit();
    assert!(matches!(refused, Err(Error::Fenced { .. })), "{refused:?}");
    assert_eq!(read_texts(&*log, &at)?, ["second"]);
    Ok(())
}

pub(crate) fn end_by_time(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let limit = Duration::from_secs(1);
    let mut producer = transactional_for(&*log, &unique("txn"), limit)?;
    producer.begin()?;
    put(&mut *producer, &at, "forgotten")?;
    producer.flush()?;
    put_all(&*log, &at, &["behind"])?;
    under_test.pass(limit);
    until("the transaction is aborted", || {
        Ok((log.offsets(&at, COMMITTED)?.end == 3).then_some(()))
    })?;
    assert_eq!(read_texts(&*log, &at)?, ["behind"]);
    let late = producer.commit();
    assert!(matches!(late, Err(Error::Fenced { .. } | Error::Aborted { .. })), "{late:?}");
    Ok(())
}

/// Whatever is late of a commit or an abort that was answered: its positions are stable, and who
/// reads committed records up to the end that readers of uncommitted ones see gets all that counts.
/// Where a marker can be held back, the committed end lies before the transaction meanwhile.
pub(crate) fn are_answered_before_all_partitions_know(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let (slow, fast, input) = (partition(&*log)?, partition(&*log)?, partition(&*log)?);
    let group = unique("group");
    let mut reading = Reading::join(&*log, &group, std::slice::from_ref(&input))?;
    reading.until_owns(1)?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    put_all(&*log, &slow, &["before"])?;
    for (round, commit) in [(0, true), (1, false)] {
        let is_held = under_test.hold_markers(&slow)?;
        let begins = log.offsets(&slow, UNCOMMITTED)?.end;
        producer.begin()?;
        put(&mut *producer, &slow, "slow")?;
        put(&mut *producer, &fast, "fast")?;
        producer.send_offsets(&position(&input, 7 + round, ""), &reading.generation()?)?;
        if commit {
            producer.commit()?;
        } else {
            producer.abort()?;
        }
        assert_eq!(committed(&*log, &group, &input)?, Some(7));
        let end = log.offsets(&slow, UNCOMMITTED)?.end;
        assert!(end > begins, "{end} is before the record at {begins}");
        if is_held {
            assert_eq!(log.offsets(&slow, COMMITTED)?.end, begins);
            assert_eq!(read_texts(&*log, &fast)?, ["fast"]);
            under_test.release_markers(&slow)?;
        }
        until("the marker is there", || {
            Ok((log.offsets(&slow, COMMITTED)?.end >= end).then_some(()))
        })?;
        assert_eq!(read_texts(&*log, &slow)?, ["before", "slow"]);
    }
    Ok(())
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|s| (*s).to_owned()).collect()
}
