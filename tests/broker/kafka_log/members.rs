//! Members that come, go and fall silent, and handles that outlive them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millstream::Error;
use millstream::log::kafka::{GroupProtocol, KafkaLog};
use millstream::log::{Committed, GroupSpec, Log, ProducerSpec, RecordBatch};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;

use super::{Owner, PATIENCE, POLL, now, open, poll, put, settings, spec, topic, until_owns};

/// Handles and batches that outlive their partition, their membership and their log give nothing
/// and block nothing.
fn handles_may_outlive_everything(protocol: GroupProtocol) -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, protocol)?;
    let all = topic(&log, 2)?;
    let mut producer = log.producer(&ProducerSpec::default())?;
    for at in all.iter().cycle().take(2_000) {
        put(&mut *producer, at, b"x")?;
    }
    producer.flush()?;
    let group = unique("group");
    let mut owner = Owner { former: Some(Vec::new()), ..Owner::default() };
    let mut member = log.join(&spec(&group, &all))?;
    until_owns(&mut *member, &mut owner, 2)?;
    let handle = member.member();
    let mut batches: Vec<Box<dyn RecordBatch>> = Vec::new();
    wait::until_true(PATIENCE, "a batch of each", || {
        for queue in owner.queues.values_mut() {
            batches.extend(queue.pull(100)?);
        }
        Ok(batches.len() >= 2)
    })?;
    let (mut other, mut second) = (Owner::default(), log.join(&spec(&group, &all))?);
    wait::until_true(PATIENCE, "they share", || {
        poll(&mut *member, &mut owner)?;
        poll(&mut *second, &mut other)?;
        Ok(owner.queues.len() == 1 && other.queues.len() == 1)
    })?;
    for former in owner.former.iter_mut().flatten() {
        assert!(former.pull(10)?.is_none());
        assert_eq!(former.remaining(0), None);
    }
    let start = now();
    member.leave(&mut owner)?;
    ensure!(start.elapsed() < Duration::from_secs(20), "leaving took {:?}", start.elapsed());
    // The group knows at once, though batches of the client are still held.
    until_owns(&mut *second, &mut other, 2)?;
    assert!(batches.iter().all(|batch| batch.get(0).is_some()));
    assert!(matches!(handle.generation(), Err(Error::Fenced { .. } | Error::Aborted { .. })));
    for former in owner.former.iter_mut().flatten() {
        assert!(former.pull(10)?.is_none());
    }
    drop(second);
    drop(log);
    drop(batches);
    drop(owner);
    Ok(())
}

#[test]
fn handles_may_outlive_everything_classic() -> Result<()> {
    handles_may_outlive_everything(GroupProtocol::Classic)
}

#[test]
fn handles_may_outlive_everything_consumer() -> Result<()> {
    handles_may_outlive_everything(GroupProtocol::Consumer)
}

/// Members come and go while records flow: each member sees each record of a partition it keeps
/// exactly once and in order (`Owner::pull` checks it), and starts where the group stands.
fn rebalances_under_load_lose_and_repeat_nothing(protocol: GroupProtocol) -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, protocol)?;
    let all = topic(&log, 4)?;
    let group = unique("group");
    let mut producer = log.producer(&ProducerSpec::default())?;
    let (mut owner, mut member) = (Owner::default(), log.join(&spec(&group, &all))?);
    until_owns(&mut *member, &mut owner, 4)?;
    let mut sent = 0_u32;
    for round in 0..3 {
        let (mut other, mut second) = (Owner::default(), log.join(&spec(&group, &all))?);
        let mut work = |owner: &mut Owner, other: &mut Owner| -> Result<()> {
            for at in all.iter().cycle().take(200) {
                put(&mut *producer, at, &sent.to_le_bytes())?;
                sent += 1;
            }
            producer.flush()?;
            owner.pull()?;
            other.pull()?;
            // Whoever gets a partition starts where the other one stands.
            let mut known = owner.positions.clone();
            for (at, position) in &other.positions {
                let known = known.entry(at.clone()).or_insert(0);
                *known = (*known).max(*position);
            }
            owner.positions.clone_from(&known);
            other.positions = known;
            Ok(())
        };
        wait::until_true(PATIENCE, "they share", || {
            work(&mut owner, &mut other)?;
            poll(&mut *member, &mut owner)?;
            poll(&mut *second, &mut other)?;
            Ok(owner.queues.len() == 2 && other.queues.len() == 2)
        })?;
        for _ in 0..10 {
            work(&mut owner, &mut other)?;
        }
        second.leave(&mut other)?;
        until_owns(&mut *member, &mut owner, 4).with_context(|| format!("round {round}"))?;
    }
    let total = |owner: &Owner| owner.positions.values().sum::<i64>();
    wait::until_true(PATIENCE, "everything was pulled", || {
        poll(&mut *member, &mut owner)?;
        owner.pull()?;
        Ok(total(&owner) == i64::from(sent))
    })?;
    if protocol == GroupProtocol::Consumer {
        // Two at a time in three rounds, and none of those that were kept.
        ensure!(owner.revoked == 6, "{} partitions were revoked", owner.revoked);
    }
    assert_eq!(owner.lost, 0);
    member.leave(&mut owner)?;
    Ok(())
}

#[test]
fn rebalances_under_load_lose_and_repeat_nothing_classic() -> Result<()> {
    rebalances_under_load_lose_and_repeat_nothing(GroupProtocol::Classic)
}

#[test]
fn rebalances_under_load_lose_and_repeat_nothing_consumer() -> Result<()> {
    rebalances_under_load_lose_and_repeat_nothing(GroupProtocol::Consumer)
}

/// A member whose thread does not poll in time loses its partitions, hears so, and comes back.
fn a_member_that_does_not_poll_is_put_out(protocol: GroupProtocol) -> Result<()> {
    let broker = Broker::shared()?;
    let mut settings = settings(&broker, protocol);
    settings.max_poll_interval = Duration::from_secs(6);
    let log = KafkaLog::new(settings)?;
    let all = topic(&log, 2)?;
    let group = unique("group");
    let (mut owner, mut member) = (Owner::default(), log.join(&spec(&group, &all))?);
    until_owns(&mut *member, &mut owner, 2)?;
    let (mut other, mut second) = (Owner::default(), log.join(&spec(&group, &all))?);
    // Only the second one polls: it gets everything once the first one's time is over.
    until_owns(&mut *second, &mut other, 2)?;
    let handle = member.member();
    let first = all.first().context("a partition")?.clone();
    let late = handle.commit(&[(first, Committed { offset: 1, metadata: String::new() })]);
    assert!(matches!(late, Err(Error::Aborted { .. } | Error::Fenced { .. })), "{late:?}");
    wait::until_true(PATIENCE, "it is told and comes back", || {
        poll(&mut *member, &mut owner)?;
        poll(&mut *second, &mut other)?;
        Ok(owner.lost >= 1 && owner.queues.len() == 1 && other.queues.len() == 1)
    })?;
    // The handle from before is good again: it belongs to the membership, not to the client.
    handle.generation()?;
    Ok(())
}

#[test]
fn a_member_that_does_not_poll_is_put_out_classic() -> Result<()> {
    a_member_that_does_not_poll_is_put_out(GroupProtocol::Classic)
}

#[test]
fn a_member_that_does_not_poll_is_put_out_consumer() -> Result<()> {
    a_member_that_does_not_poll_is_put_out(GroupProtocol::Consumer)
}

/// A member that is known by name comes back to what it had, without a rebalance of the others,
/// and whoever takes its name fences it.
#[test]
fn a_named_member_comes_back_and_may_be_replaced() -> Result<()> {
    let broker = Broker::shared()?;
    let log = open(&broker, GroupProtocol::Classic)?;
    let all = topic(&log, 2)?;
    let group = unique("group");
    let named =
        |name: &str| GroupSpec { static_member: Some(name.to_owned()), ..spec(&group, &all) };
    let (mut owner, mut member) = (Owner::default(), log.join(&named("instance-01"))?);
    let (mut other, mut second) = (Owner::default(), log.join(&named("instance-02"))?);
    wait::until_true(PATIENCE, "they share", || {
        poll(&mut *member, &mut owner)?;
        poll(&mut *second, &mut other)?;
        Ok(owner.queues.len() == 1 && other.queues.len() == 1)
    })?;
    let (had, revoked) = (owner.queues.keys().cloned().collect::<Vec<_>>(), other.revoked);
    member.leave(&mut owner)?;
    let mut member = log.join(&named("instance-01"))?;
    wait::until_true(PATIENCE, "it comes back", || {
        poll(&mut *member, &mut owner)?;
        poll(&mut *second, &mut other)?;
        Ok(owner.queues.len() == 1)
    })?;
    assert_eq!(owner.queues.keys().cloned().collect::<Vec<_>>(), had);
    assert_eq!(other.revoked, revoked, "the others were left alone");
    let (mut usurper, mut third) = (Owner::default(), log.join(&named("instance-01"))?);
    wait::until_true(PATIENCE, "the former one is fenced", || {
        poll(&mut *third, &mut usurper)?;
        poll(&mut *second, &mut other)?;
        match member.poll(POLL, &mut owner) {
            Err(Error::Fenced { .. }) => Ok(true),
            Ok(()) | Err(Error::Unavailable { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    })?;
    Ok(())
}

/// True for what goes by, or is mended by looking for the position again.
fn is_passing(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<Error>();
    matches!(error, Some(Error::Unavailable { .. } | Error::OffsetOutOfRange { .. }))
}

/// A topic that the broker does not know for a while, as one that is being made or that a broker
/// has just been given, is no end: the member says that it waits, and goes on by itself.
fn a_topic_may_be_unknown_for_a_while(protocol: GroupProtocol) -> Result<()> {
    let broker = Broker::shared()?;
    let mut settings = settings(&broker, protocol);
    let refresh = ("topic.metadata.refresh.interval.ms".to_owned(), "500".to_owned());
    settings.consumer.insert(refresh.0, refresh.1);
    let log = KafkaLog::new(settings)?;
    let all = topic(&log, 1)?;
    let at = all.first().context("a partition")?;
    let (mut owner, mut member) = (Owner::default(), log.join(&spec(&unique("group"), &all))?);
    until_owns(&mut *member, &mut owner, 1)?;
    broker.delete_topic(&at.topic)?;
    let (mut said, mut polls) = (false, 0);
    wait::until_true(PATIENCE, "the member notices", || {
        // Whether the group says it or a partition: it is no end.
        let polled = member.poll(POLL, &mut owner).map_err(anyhow::Error::from);
        for answer in [polled.map(|()| 0), owner.pull()] {
            match answer {
                Ok(_) => {}
                Err(error) if is_passing(&error) => said = true,
                Err(error) => return Err(error),
            }
        }
        polls += usize::from(said || owner.queues.is_empty());
        // It does not end with what it says next either.
        Ok(polls > 100)
    })?;
    broker.create_topic(&at.topic, 1)?;
    let mut producer = log.producer(&ProducerSpec::default())?;
    put(&mut *producer, at, b"new")?;
    producer.flush()?;
    wait::until_true(PATIENCE, "it reads the topic again", || {
        poll(&mut *member, &mut owner)?;
        match owner.pull() {
            Ok(count) => Ok(count == 1),
            // What it had of the former topic.
            Err(error) if is_passing(&error) => Ok(false),
            Err(error) => Err(error),
        }
    })?;
    member.leave(&mut owner)?;
    Ok(())
}

#[test]
fn a_topic_may_be_unknown_for_a_while_classic() -> Result<()> {
    a_topic_may_be_unknown_for_a_while(GroupProtocol::Classic)
}

#[test]
fn a_topic_may_be_unknown_for_a_while_consumer() -> Result<()> {
    a_topic_may_be_unknown_for_a_while(GroupProtocol::Consumer)
}
