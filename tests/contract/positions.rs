//! Committed positions of groups, inside and outside of transactions.

use anyhow::{Context, Result};
use millstream::Error;
use millstream::log::Committed;

use crate::logs::LogUnderTest;
use crate::workbench::{
    Reading, committed, is_refused, partition, position, put, read_texts, retry, topic,
    transactional, unique, until, until_share,
};

pub(crate) fn come_back_with_their_text(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 3)?;
    let group = unique("group");
    assert_eq!(retry("positions", || log.committed(&group, &all))?, [None, None, None]);
    let mut reading = Reading::join(&*log, &group, &all)?;
    reading.until_owns(3)?;
    let of = |offset, metadata: &str| Committed { offset, metadata: metadata.to_owned() };
    let [first, _, third] = all.as_slice() else { anyhow::bail!("three partitions") };
    let mut positions = position(first, 3, "AQ==\u{e4}");
    positions.extend(position(third, 0, ""));
    reading.member().commit(&positions)?;
    let found = retry("positions", || log.committed(&group, &all))?;
    assert_eq!(found, [Some(of(3, "AQ==\u{e4}")), None, Some(of(0, ""))]);
    reading.leave()?;
    assert_eq!(retry("positions", || log.committed(&group, &all))?, found);
    Ok(())
}

pub(crate) fn in_a_transaction_are_pending_until_its_end(
    under_test: &dyn LogUnderTest,
) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    let out = partition(&*log)?;
    let [first, second] = all.as_slice() else { anyhow::bail!("two partitions") };
    let group = unique("group");
    let mut reading = Reading::join(&*log, &group, &all)?;
    reading.until_owns(2)?;
    reading.member().commit(&position(first, 1, ""))?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    producer.begin()?;
    put(&mut *producer, &out, "output")?;
    producer.send_offsets(&position(first, 7, "in it"), &reading.generation()?)?;
    let pending = log.committed(&group, std::slice::from_ref(first));
    assert!(matches!(pending, Err(Error::Unavailable { .. })), "{pending:?}");
    // Only what is in the transaction is pending.
    assert_eq!(committed(&*log, &group, second)?, None);
    producer.commit()?;
    let found = retry("a position", || log.committed(&group, std::slice::from_ref(first)))?;
    assert_eq!(found, [Some(Committed { offset: 7, metadata: "in it".to_owned() })]);
    assert_eq!(read_texts(&*log, &out)?, ["output"]);
    Ok(())
}

pub(crate) fn of_an_aborted_transaction_do_not_count(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let at = partition(&*log)?;
    let group = unique("group");
    let mut reading = Reading::join(&*log, &group, std::slice::from_ref(&at))?;
    reading.until_owns(1)?;
    reading.member().commit(&position(&at, 1, ""))?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    producer.begin()?;
    producer.send_offsets(&position(&at, 7, ""), &reading.generation()?)?;
    producer.abort()?;
    assert_eq!(committed(&*log, &group, &at)?, Some(1));
    producer.begin()?;
    producer.send_offsets(&position(&at, 8, ""), &reading.generation()?)?;
    producer.send_offsets(&position(&at, 9, ""), &reading.generation()?)?;
    producer.commit()?;
    assert_eq!(committed(&*log, &group, &at)?, Some(9));
    Ok(())
}

pub(crate) fn of_a_zombie_are_refused(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    let out = partition(&*log)?;
    let group = unique("group");
    let mut first = Reading::join(&*log, &group, &all)?;
    first.until_owns(2)?;
    let before = first.generation()?;
    let mut second = Reading::join(&*log, &group, &all)?;
    until_share(&mut first, &mut second, (1, 1))?;
    // The one that moved: of a partition it kept, a broker may take a member's older epoch.
    let gone = second.heard.queues.keys().next().cloned().context("a partition")?;
    let kept = first.heard.queues.keys().next().cloned().context("a partition")?;
    let mut producer = transactional(&*log, &unique("txn"))?;
    producer.begin()?;
    put(&mut *producer, &out, "zombie")?;
    let refused = producer.send_offsets(&position(&gone, 5, ""), &before);
    assert!(is_refused(&refused), "{refused:?}");
    let refused = producer.commit();
    assert!(is_refused(&refused), "{refused:?}");
    producer.abort()?;
    assert_eq!(committed(&*log, &group, &gone)?, None);
    // Now as who it is; the same producer is still good.
    producer.begin()?;
    put(&mut *producer, &out, "alive")?;
    producer.send_offsets(&position(&kept, 6, ""), &first.generation()?)?;
    producer.commit()?;
    assert_eq!(committed(&*log, &group, &kept)?, Some(6));
    assert_eq!(read_texts(&*log, &out)?, ["alive"]);
    Ok(())
}

pub(crate) fn of_a_member_that_left_are_refused(under_test: &dyn LogUnderTest) -> Result<()> {
    let log = under_test.log();
    let all = topic(&*log, 2)?;
    let [at, _] = all.as_slice() else { anyhow::bail!("two partitions") };
    let group = unique("group");
    let mut first = Reading::join(&*log, &group, &all)?;
    let mut second = Reading::join(&*log, &group, &all)?;
    until_share(&mut first, &mut second, (1, 1))?;
    let (left, generation) = (first.member(), first.generation()?);
    first.leave()?;
    second.until_owns(2)?;
    assert!(left.commit(&position(at, 5, "")).is_err());
    let mut producer = transactional(&*log, &unique("txn"))?;
    producer.begin()?;
    let refused = producer.send_offsets(&position(at, 5, ""), &generation);
    assert!(is_refused(&refused), "{refused:?}");
    producer.abort()?;
    assert_eq!(committed(&*log, &group, at)?, None);
    until("the one who stayed commits", || {
        second.poll()?;
        Ok(second.member().commit(&position(at, 6, "")).ok())
    })?;
    assert_eq!(committed(&*log, &group, at)?, Some(6));
    Ok(())
}
