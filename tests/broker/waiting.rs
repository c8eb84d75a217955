//! Health and readiness of an instance that waits.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context as _;
use millstream::{
    GroupProtocol, HttpAddress, ProcessingGuarantee, Streams, StreamsBuilder, StreamsConfig,
    StreamsState, Topology,
};
use millstream_tests::kafka::{Broker, unique};
use millstream_tests::wait;

use crate::process::PATIENCE;
use crate::records::Bench;

fn topology(application: &str) -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    let input = builder.stream::<String, String>(format!("{application}-in").as_str());
    input.to(format!("{application}-out").as_str());
    Ok(builder.build()?)
}

fn config(broker: &Broker, application: &str, state: &tempfile::TempDir) -> StreamsConfig {
    StreamsConfig::new(application)
        .bootstrap_servers(broker.bootstrap())
        .state_dir(state.path())
        .session_timeout_ms(6_000)
        .commit_interval_ms(100)
        .http(HttpAddress::On(SocketAddr::from(([127, 0, 0, 1], 0))))
}

fn get(address: SocketAddr, path: &str) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn a_broker_that_is_away_is_no_reason_for_a_restart_at_least_once() -> anyhow::Result<()> {
    a_broker_that_is_away_is_no_reason_for_a_restart(ProcessingGuarantee::AtLeastOnce)
}

#[test]
fn a_broker_that_is_away_is_no_reason_for_a_restart_exactly_once() -> anyhow::Result<()> {
    a_broker_that_is_away_is_no_reason_for_a_restart(ProcessingGuarantee::ExactlyOnceV2)
}

/// It dies with records on their way, so that workers stand in the middle of a commit for far longer
/// than they may be silent.
fn a_broker_that_is_away_is_no_reason_for_a_restart(
    guarantee: ProcessingGuarantee,
) -> anyhow::Result<()> {
    let broker = Broker::start()?;
    let mut bench = Bench::new(&broker, "healthy", 1)?;
    let state = tempfile::tempdir()?;
    let application = bench.application.clone();
    let config = config(&broker, &application, &state)
        .processing_guarantee(guarantee)
        .transaction_timeout_ms(120_000)
        .close_timeout_ms(3_000)
        .health_stuck_ms(4_000);
    let streams = Streams::start(topology(&application)?, config)?;
    let address = streams.http_address().context("no address")?;
    streams.wait_for(&[StreamsState::Running], PATIENCE);
    bench.send(20_000, 50)?;
    broker.kill()?;
    let started = wait::now();
    wait::until_true(PATIENCE, "fifteen seconds", || {
        let answer = get(address, "/healthz")?;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(started.elapsed() > Duration::from_secs(15))
    })?;
    // It drops work, in time.
    let _ = streams.close();
    Ok(())
}

#[test]
fn an_instance_without_partitions_is_ready_classic() -> anyhow::Result<()> {
    an_instance_without_partitions_is_ready(GroupProtocol::Classic)
}

#[test]
fn an_instance_without_partitions_is_ready_consumer() -> anyhow::Result<()> {
    an_instance_without_partitions_is_ready(GroupProtocol::Consumer)
}

/// There are more instances than partitions: the spare one waits for nothing.
fn an_instance_without_partitions_is_ready(protocol: GroupProtocol) -> anyhow::Result<()> {
    let broker = Broker::shared()?;
    let application = unique("spare");
    for topic in ["in", "out"] {
        broker.create_topic(&format!("{application}-{topic}"), 1)?;
    }
    let states = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut running = Vec::new();
    for state in &states {
        let config = config(&broker, &application, state).group_protocol(protocol);
        running.push(Streams::start(topology(&application)?, config)?);
    }
    for streams in &running {
        let address = streams.http_address().context("no address")?;
        wait::until_true(PATIENCE, "both are ready", || {
            let answer = get(address, "/readyz")?;
            let ready = answer.starts_with("HTTP/1.1 200");
            Ok(ready && answer.contains("\"waiting_for\":[]"))
        })?;
    }
    for streams in running {
        streams.close()?;
    }
    Ok(())
}
