//! Where log lines go in a program that does not care to say it itself.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, StreamsConfig, trimmed_directives};
use crate::error::{Error, Result};

/// What the HTTP server says of its own start and stop is left out; `log_level` can ask
/// for it.
const QUIET: &str = "actix_server=warn,actix_http=warn,actix_web=warn";

/// Writes the log to standard error, as `log_level` and `log_format` say. The library logs through
/// [`tracing`](https://docs.rs/tracing) and installs nothing by itself: a program that has a
/// subscriber keeps it, and then this does nothing but say so (at level debug).
///
/// ```no_run
/// let config = millstream::StreamsConfig::load()?;
/// millstream::init_logging(&config)?;
/// # Ok::<(), millstream::Error>(())
/// ```
///
/// # Errors
/// `Config` if `log_level` cannot be read.
pub fn init_logging(config: &StreamsConfig) -> Result<()> {
    let filter = EnvFilter::builder()
        .parse(format!("{QUIET},{}", trimmed_directives(&config.log_level)))
        .map_err(|error| Error::Config(format!("log_level: {error}")))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let installed = match config.log_format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    };
    if installed.is_err() {
        tracing::debug!("a subscriber is installed already: log_level and log_format do nothing");
    }
    Ok(())
}
