//! What is left of a partition, and positions that are gone.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use millstream::Error;
use millstream::log::kafka::GroupProtocol;
use millstream::log::{GroupSpec, Isolation, Log, ProducerSpec};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;

use super::{Owner, PATIENCE, now, open, poll, put, spec, topic, transactional, until_owns};

/// Longer than a few fetches wait at an end, and than the client's statistics are apart.
const FETCHES: Duration = Duration::from_secs(2);

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
    assert_eq!(log.offsets(&at, Isolation::ReadUncommitted)?.end, 7);
    let start = now();
    wait::until_true(PATIENCE, "nothing is left", || {
        poll(&mut *member, &mut owner)?;
        let queue = owner.queues.get_mut(&at).context("owned")?;
        ensure!(queue.pull(10)?.is_none(), "a record of an open transaction");
        // By then several fetches have told the member of the watermark behind the open records.
        Ok(start.elapsed() > FETCHES && queue.remaining(1) == Some(0))
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

/// What is fetched ahead stays within the budget of the member, whatever lies in the log.
#[test]
fn no_more_is_fetched_ahead_than_allowed() -> Result<()> {
    const BUDGET: usize = 4 << 20;
    // An answer that is under way when the bound is reached still comes in, one per partition.
    const ANSWERS: usize = 2 * (1 << 20);
    let broker = Broker::shared()?;
    let log = open(&broker, GroupProtocol::Classic)?;
    let all = topic(&log, 2)?;
    let mut producer = log.producer(&ProducerSpec::default())?;
    let mut bits = 1_u32;
    for at in all.iter().cycle().take(3_000) {
        let noise = (0..10_000).map(|_| {
            bits ^= bits << 13;
            bits ^= bits >> 17;
            bits ^= bits << 5;
            bits.to_le_bytes()[0]
        });
        put(&mut *producer, at, &noise.collect::<Vec<u8>>())?;
    }
    producer.flush()?;
    let wanted = GroupSpec { prefetch_bytes_max: BUDGET, ..spec(&unique("group"), &all) };
    let (mut owner, mut member) = (Owner::default(), log.join(&wanted)?);
    until_owns(&mut *member, &mut owner, 2)?;
    let start = now();
    wait::until_true(PATIENCE, "the queues are full", || {
        poll(&mut *member, &mut owner)?;
        Ok(start.elapsed() > FETCHES)
    })?;
    let mut fetched = 0;
    for queue in owner.queues.values_mut() {
        let batch = queue.pull(10_000)?.context("something was fetched")?;
        fetched += batch.len() * 10_000;
    }
    ensure!(fetched <= BUDGET + ANSWERS, "{fetched} bytes were fetched ahead");
    ensure!(fetched >= BUDGET / 2, "only {fetched} bytes were fetched ahead");
    member.leave(&mut owner)?;
    Ok(())
}

/// Local state is known by it to belong to this cluster.
#[test]
fn a_cluster_has_an_identity() -> Result<()> {
    let broker = Broker::shared()?;
    let identity = open(&broker, GroupProtocol::Classic)?.identity()?;
    ensure!(identity.as_ref().is_some_and(|id| !id.is_empty()), "{identity:?}");
    ensure!(open(&broker, GroupProtocol::Consumer)?.identity()? == identity);
    Ok(())
}
