//! `log-anomaly run`: the application alone.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use clap::Args;
use millstream::{Streams, init_logging};

use super::place::{Place, Reading};
use super::say;
use crate::log_anomaly::producing::pause;
use crate::log_anomaly::topics;
use crate::log_anomaly::topology::topology;

/// The application alone.
#[derive(Debug, Args)]
pub(super) struct Run {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    reading: Reading,
}

impl Run {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let config = self.place.configuration(&[])?;
        init_logging(&config)?;
        let log = self.place.log(&config)?;
        let partitions = self.place.topic_partitions(&config);
        let topology = topology(&self.reading.settings()?)?;
        // Started before its topics are there: it waits for them, and meanwhile says so over HTTP and ends
        // in order when it is told to.
        let streams = Streams::with(topology, config).log(Arc::clone(&log)).start()?;
        if let Some(address) = streams.http_address() {
            say(&format!("metrics and health: http://{address}"));
        }
        let (running, stopped) = channel();
        let creating = thread::spawn(move || {
            let created = topics::create_missing(&*log, partitions, |most| pause(&stopped, most));
            created.inspect_err(|error| tracing::error!(?error, "topics cannot be created"))
        });
        let outcome = streams.run_until_signal();
        drop::<std::sync::mpsc::Sender<()>>(running);
        if creating.join().is_err() {
            tracing::error!("the thread that creates topics died");
        }
        Ok(outcome?)
    }
}
