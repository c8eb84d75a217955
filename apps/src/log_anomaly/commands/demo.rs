//! `log-anomaly demo`: sample lines, and what is unusual about them, in one process.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use clap::Args;
use millstream::client::{Assignment, Consumer};
use millstream::log::Log;
use millstream::{LogKind, Streams, init_logging};

use super::APPLICATION;
use super::reading::Reading;
use crate::log_anomaly::anomalies::{Anomaly, State};
use crate::log_anomaly::producing::{Lines, produce};
use crate::log_anomaly::topics;
use crate::log_anomaly::topology::topology;
use crate::program::{Beside, Place, pause, repeat, say};

const READ_MAX: Duration = Duration::from_millis(500);

/// Sample lines and what is unusual about them.
#[derive(Debug, Args)]
pub(super) struct Demo {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    lines: Lines,
}

impl Demo {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let presets = [("log", "embedded"), ("log_level", "warn")];
        let config = self.place.configuration(&APPLICATION, &presets)?;
        init_logging(&config)?;
        let place = if config.log == LogKind::Kafka { "on Kafka" } else { "on the embedded log" };
        let kept = config.application_dir();
        let log = self.place.connect(&APPLICATION, &config)?;
        let topology = topology(&self.reading.settings()?)?;
        let streams = Streams::with(topology, config).log(Arc::clone(&log)).start()?;
        say(&format!("log anomaly {place}, state in {}", kept.display()));
        if let Some(address) = streams.http_address() {
            say(&format!("metrics and health: http://{address}"));
        }
        say("what was learned before is not told: a service is known after 1,000 lines and 10 min");
        say("Ctrl-C ends it, the next start goes on from there\n");
        let mut beside = Beside::default();
        let shown = Arc::clone(&log);
        beside.start("prints anomalies", move |stop| {
            repeat("printing anomalies", stop, || show(&shown, stop));
        });
        let lines = self.lines;
        beside.start("produces", move |stop| {
            repeat("producing", stop, || produce(&log, lines, stop).map(|_| ()));
        });
        let outcome = streams.run_until_signal();
        beside.end();
        outcome?;
        say("stopped; everything learned so far is kept");
        Ok(())
    }
}

/// Prints anomalies as they open and close, from now on.
fn show(log: &Arc<dyn Log>, stop: &Receiver<()>) -> anyhow::Result<()> {
    let from_now_on = Assignment::from(topics::ANOMALIES).from_end();
    let mut consumer = Consumer::<String, Anomaly>::open(log, from_now_on)?;
    while pause(stop, Duration::ZERO) {
        for found in consumer.poll(READ_MAX)? {
            if let Some(line) = line_of(&found.record.value) {
                say(&line);
            }
        }
    }
    Ok(())
}

fn line_of(anomaly: &Anomaly) -> Option<String> {
    let Anomaly { kind, severity, service, subject, why, last_seen, state, .. } = anomaly;
    let time = last_seen.get(11..19).unwrap_or(last_seen);
    let (kind, severity) = (kind.name(), severity.name());
    match state {
        State::Open => {
            Some(format!("{time}  {severity:<8} {kind:<14} {service}: {subject}: {why}"))
        }
        State::Closed => Some(format!("{time}  over     {kind:<14} {service}: {subject}")),
        State::Updated => None,
    }
}
