//! A broker that vanishes and comes back.

use std::time::Duration;

use anyhow::{Result, ensure};
use millstream::Error;
use millstream::log::kafka::{GroupProtocol, KafkaLog};
use millstream::log::{Committed, Isolation, Log, ProducerSpec, ReadEvent};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;

use super::{Owner, PATIENCE, POLL, now, poll, put, settings, spec, topic, until_owns};

/// Everything says `Unavailable` while the broker is away, in bounded time, and goes on by itself
/// when it is back.
#[test]
fn a_broker_that_goes_and_comes_back() -> Result<()> {
    let broker = Broker::start()?;
    let mut settings = settings(&broker, GroupProtocol::Classic);
    settings.request_timeout = Duration::from_secs(3);
    settings.session_timeout = Duration::from_secs(180);
    let log = KafkaLog::new(settings)?;
    let at = wait::until(PATIENCE, "a topic", || Ok(topic(&log, 1).ok()))?.remove(0);
    let group = unique("group");
    let (mut owner, mut member) =
        (Owner::default(), log.join(&spec(&group, std::slice::from_ref(&at)))?);
    until_owns(&mut *member, &mut owner, 1)?;
    let handle = member.member();
    let position = |offset| [(at.clone(), Committed { offset, metadata: String::new() })];
    handle.commit(&position(0))?;
    let mut producer = log.producer(&ProducerSpec::default())?;
    put(&mut *producer, &at, b"before")?;
    producer.flush()?;
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    reader.assign(&[(at.clone(), 0)])?;

    broker.kill()?;
    let start = now();
    let unavailable = |result: Result<(), Error>| {
        assert!(matches!(result, Err(Error::Unavailable { .. })), "{result:?}");
    };
    unavailable(handle.commit(&position(1)));
    unavailable(log.describe(&["elsewhere"]).map(drop));
    unavailable(log.committed(&group, std::slice::from_ref(&at)).map(drop));
    unavailable(log.offsets(&at, Isolation::ReadCommitted).map(drop));
    ensure!(start.elapsed() < Duration::from_secs(40), "it took {:?}", start.elapsed());
    wait::until_true(PATIENCE, "the poll says so", || {
        Ok(matches!(member.poll(POLL, &mut owner), Err(Error::Unavailable { .. })))
    })?;
    put(&mut *producer, &at, b"meanwhile")?;

    broker.restart()?;
    producer.flush()?;
    let mut seen = 0;
    wait::until_true(PATIENCE, "both records come", || {
        poll(&mut *member, &mut owner)?;
        seen += owner.pull()?;
        Ok(seen == 2)
    })?;
    wait::until_true(PATIENCE, "a commit", || {
        poll(&mut *member, &mut owner)?;
        match handle.commit(&position(2)) {
            Ok(()) => Ok(true),
            Err(Error::Unavailable { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    })?;
    let mut read = 0;
    wait::until_true(PATIENCE, "the reader sees both", || {
        match reader.read(POLL) {
            Ok(Some(ReadEvent::Records(_, batch))) => read += batch.len(),
            Ok(_) | Err(Error::Unavailable { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(read == 2)
    })?;
    assert_eq!(owner.lost, 0);
    member.leave(&mut owner)?;
    Ok(())
}
