//! Queues of assigned partitions: pulling, what is left, waking, seeking.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use millstream::Error;

use crate::logs::LogUnderTest;
use crate::workbench::{
    Reading, offsets, partition, put, put_all, put_transaction, texts, transactional, unique, until,
};

pub(crate) fn begin_where_they_are_told(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    put_all(&*log, &at, &["a", "b", "c", "d"])?;
    let starts = BTreeMap::from([(at.clone(), 2)]);
    let all = std::slice::from_ref(&at);
    let mut reading = Reading::join_from(&*log, &unique("group"), all, starts)?;
    reading.until_owns(1)?;
    let seen = reading.pull(&at, 2)?;
    assert_eq!((texts(&seen), offsets(&seen)), (vec!["c".into(), "d".into()], vec![2, 3]));
    Ok(())
}

pub(crate) fn show_only_committed_records(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut reading = Reading::join(&*log, &unique("group"), std::slice::from_ref(&at))?;
    reading.until_owns(1)?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    put_transaction(&mut *producer, &at, &["a"])?;
    producer.begin()?;
    put(&mut *producer, &at, "aborted")?;
    producer.flush()?;
    producer.abort()?;
    producer.begin()?;
    put(&mut *producer, &at, "b")?;
    producer.flush()?;
    put_all(&*log, &at, &["c"])?;
    assert_eq!(texts(&reading.pull(&at, 1)?), ["a"]);
    for _ in 0..5 {
        reading.poll()?;
        assert_eq!(reading.pull_now(&at, 10)?, None);
    }
    producer.commit()?;
    let seen = reading.pull(&at, 2)?;
    assert_eq!((texts(&seen), offsets(&seen)), (vec!["b".into(), "c".into()], vec![4, 5]));
    Ok(())
}

pub(crate) fn have_nothing_left_behind_a_control_record(
    under_test: &dyn LogUnderTest,
) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    put_transaction(&mut *producer, &at, &["a", "b", "c"])?;
    let mut reading = Reading::join(&*log, &unique("group"), std::slice::from_ref(&at))?;
    reading.until_owns(1)?;
    let seen = until("the first record", || {
        reading.poll()?;
        reading.pull_now(&at, 1)
    })?;
    assert_eq!(texts(&seen), ["a"]);
    until("it is known that two are left", || {
        reading.poll()?;
        Ok(reading.queue(&at)?.remaining(1).filter(|left| *left >= 2))
    })?;
    assert_eq!(texts(&reading.pull(&at, 2)?), ["b", "c"]);
    // Offset 3 is a control record: nobody will ever hand it out.
    until("nothing is left", || {
        reading.poll()?;
        assert_eq!(reading.pull_now(&at, 10)?, None);
        Ok((reading.queue(&at)?.remaining(3) == Some(0)).then_some(()))
    })?;
    put_transaction(&mut *producer, &at, &["d"])?;
    assert_eq!(texts(&reading.pull(&at, 1)?), ["d"]);
    until("nothing is left", || {
        reading.poll()?;
        assert_eq!(reading.pull_now(&at, 10)?, None);
        Ok((reading.queue(&at)?.remaining(5) == Some(0)).then_some(()))
    })
}

pub(crate) fn wake_their_owner(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let mut reading = Reading::join(&*log, &unique("group"), std::slice::from_ref(&at))?;
    reading.until_owns(1)?;
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    reading.queue(&at)?.on_data(Arc::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    }));
    let mut producer = transactional(&*log, &unique("txn"))?;
    for round in 0..3 {
        until("the queue is empty", || Ok(reading.pull_now(&at, 10)?.is_none().then_some(())))?;
        let before = calls.load(Ordering::SeqCst);
        if round == 1 {
            put_transaction(&mut *producer, &at, &["in a transaction"])?;
        } else {
            put_all(&*log, &at, &["alone"])?;
        }
        until("the owner is woken", || {
            reading.poll()?;
            Ok((calls.load(Ordering::SeqCst) > before).then_some(()))
        })?;
        assert_eq!(reading.pull(&at, 1)?.len(), 1);
    }
    Ok(())
}

pub(crate) fn seek_and_discard(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let many: Vec<String> = (0..100).map(|i| i.to_string()).collect();
    put_all(&*log, &at, &many.iter().map(String::as_str).collect::<Vec<_>>())?;
    let mut reading = Reading::join(&*log, &unique("group"), std::slice::from_ref(&at))?;
    reading.until_owns(1)?;
    for (target, pulled_first) in [(50_usize, 10), (3, 1), (99, 0), (0, 0)] {
        if pulled_first > 0 {
            until("some records", || {
                reading.poll()?;
                reading.pull_now(&at, pulled_first)
            })?;
        }
        reading.member().seek(&[(at.clone(), i64::try_from(target)?)])?;
        // Whatever was fetched before, the very next record is the one sought.
        let seen = until("the record sought", || {
            let seen = reading.pull_now(&at, 1)?;
            reading.poll()?;
            Ok(seen)
        })?;
        assert_eq!(texts(&seen), [target.to_string()]);
    }
    let elsewhere = partition(&*log)?;
    assert!(reading.member().seek(&[(elsewhere, 0)]).is_err());
    Ok(())
}

pub(crate) fn report_a_position_that_is_gone(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    put_all(&*log, &at, &["a", "b", "c"])?;
    log.delete_records(&[(at.clone(), 2)])?;
    let starts = BTreeMap::from([(at.clone(), 1)]);
    let all = std::slice::from_ref(&at);
    let mut reading = Reading::join_from(&*log, &unique("group"), all, starts)?;
    reading.until_owns(1)?;
    until("the position is reported", || {
        reading.poll()?;
        match reading.queue(&at)?.pull(10) {
            Ok(None) | Err(Error::Unavailable { .. }) => Ok(None),
            Ok(Some(batch)) => anyhow::bail!("got records: {batch:?}"),
            Err(Error::OffsetOutOfRange { partition, .. }) => {
                assert_eq!(partition, at);
                Ok(Some(()))
            }
            Err(error) => Err(error.into()),
        }
    })?;
    reading.member().seek(&[(at.clone(), 2)])?;
    assert_eq!(texts(&reading.pull(&at, 1)?), ["c"]);
    Ok(())
}
