//! The settings all engines share, read from one file, so that no engine can be favoured by a setting of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// What `benches/settings.properties` says; the names there are the contract with the Java engine.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often an engine commits.
    pub commit_interval: Duration,
    /// Bytes of the record cache of a whole instance.
    pub cache_bytes: u64,
    /// Compression of everything an engine writes.
    pub compression: String,
    /// How long a producer may wait to fill a batch.
    pub linger: Duration,
    /// Worker threads of an engine.
    pub threads: usize,
    /// Workload `window`: size of the windows.
    pub window_size: Duration,
    /// Workload `window`: grace of the windows.
    pub window_grace: Duration,
    /// Workload `invoice-totals`: size of the windows.
    pub totals_size: Duration,
    /// Workload `invoice-totals`: grace of the windows.
    pub totals_grace: Duration,
    /// Workload `join-streams`: how far apart two records may be.
    pub join_window: Duration,
    /// Workload `join-streams`: grace of the windows.
    pub join_grace: Duration,
    /// Workload `session`: the gap that ends a session.
    pub session_gap: Duration,
    /// Workload `session`: grace of the sessions.
    pub session_grace: Duration,
}

impl Settings {
    /// Reads a file of `name=value` lines.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("settings {} cannot be read", path.display()))?;
        Self::parse(&text).with_context(|| format!("settings {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let lines = Lines::of(text);
        Ok(Self {
            commit_interval: lines.millis("commit.interval.ms")?,
            cache_bytes: lines.number("cache.bytes")?,
            compression: lines.text("compression.type")?.to_owned(),
            linger: lines.millis("linger.ms")?,
            threads: usize::try_from(lines.number("threads")?)?,
            window_size: lines.millis("window.size.ms")?,
            window_grace: lines.millis("window.grace.ms")?,
            totals_size: lines.millis("totals.size.ms")?,
            totals_grace: lines.millis("totals.grace.ms")?,
            join_window: lines.millis("join.window.ms")?,
            join_grace: lines.millis("join.grace.ms")?,
            session_gap: lines.millis("session.gap.ms")?,
            session_grace: lines.millis("session.grace.ms")?,
        })
    }
}

struct Lines<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Lines<'a> {
    fn of(text: &'a str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        let pairs = lines.filter_map(|line| line.split_once('='));
        Self(pairs.map(|(name, value)| (name.trim(), value.trim())).collect())
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        self.0.get(name).copied().with_context(|| format!("{name} is missing"))
    }

    fn number(&self, name: &str) -> Result<u64> {
        self.text(name)?.parse().with_context(|| format!("{name} is no number"))
    }

    fn millis(&self, name: &str) -> Result<Duration> {
        Ok(Duration::from_millis(self.number(name)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_repository_is_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("settings.properties");
        let settings = Settings::load(&path).unwrap();
        assert_eq!(settings.commit_interval, Duration::from_secs(1));
        assert_eq!(settings.cache_bytes, 10 * 1024 * 1024);
        assert_eq!(settings.threads, 2);
    }

    #[test]
    fn a_missing_setting_is_named() {
        let error = Settings::parse("commit.interval.ms=1000\n").unwrap_err();
        assert_eq!(error.to_string(), "cache.bytes is missing");
    }
}
