//! `run`: the application alone.

use std::sync::Arc;

use millstream::{Streams, StreamsConfig, Topology, init_logging};

use super::application::Application;
use super::beside::Beside;
use super::place::Place;
use super::say::say;
use super::stopping::pause;

/// Runs a topology until a signal ends it.
///
/// # Errors
/// What ended it otherwise.
pub(crate) fn run(
    application: &Application,
    place: &Place,
    topology: impl FnOnce(&StreamsConfig) -> anyhow::Result<Topology>,
) -> anyhow::Result<()> {
    let config = place.configuration(application, &[])?;
    init_logging(&config)?;
    let log = place.log(&config)?;
    let partitions = place.topic_partitions(&config);
    let topology = topology(&config)?;
    // Started before its topics are there: it waits for them, and meanwhile says so over HTTP and ends
    // in order when it is told to.
    let streams = Streams::with(topology, config).log(Arc::clone(&log)).start()?;
    if let Some(address) = streams.http_address() {
        say(&format!("metrics and health: http://{address}"));
    }
    let topics = application.topics;
    let mut beside = Beside::default();
    beside.start("creates topics", move |stop| {
        let created = topics.create_missing(&*log, partitions, |most| pause(stop, most));
        if let Err(error) = created {
            tracing::error!(?error, "topics cannot be created");
        }
    });
    let outcome = streams.run_until_signal();
    beside.end();
    Ok(outcome?)
}
