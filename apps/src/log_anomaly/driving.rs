//! A file through the whole topology in this process: each line as if it had been sent when it was written.

use std::io::BufRead;
use std::time::Duration;

use anyhow::Context as _;
use millstream::log::memory::MemoryRecord;
use millstream::record::{Headers, Timestamp};
use millstream::testing::{DriverOptions, TopologyDriver};

use super::line::{Oddity, Reader};
use super::topics;
use super::topology::{Settings, topology};

const STEP: Duration = Duration::from_secs(10);
/// A pause of a year is no reason to count its seconds.
const STEPS_MAX: u32 = 60;
const HOUR: Duration = Duration::from_secs(3_600);
/// Seen from half a year ago, a time without a year that would be tomorrow is of the year before.
const HALF_YEAR_MS: i64 = 183 * 86_400_000;
/// Stream time follows the clock when nothing comes for so long.
const IDLE: Duration = Duration::from_secs(5);

/// The topology, and the clock as the lines tell it.
pub(super) struct Drive {
    driver: TopologyDriver,
    reader: Reader,
    /// What time it is for the reader of lines without a year.
    today: i64,
    clock: i64,
}

impl Drive {
    /// # Errors
    /// A topology that cannot be made.
    pub(super) fn new(settings: &Settings) -> anyhow::Result<Self> {
        let options = DriverOptions {
            application_id: "log-anomaly".to_owned(),
            idle_timeout: Some(IDLE),
            ..DriverOptions::default()
        };
        Ok(Self {
            driver: TopologyDriver::with_options(&topology(settings)?, &options)?,
            reader: Reader::new(settings.reader.clone()),
            today: jiff::Timestamp::now().as_millisecond(),
            clock: 0,
        })
    }

    /// When a line was written: its own time, or that of the line before.
    fn written_at(&self, line: &[u8]) -> i64 {
        for today in [self.today, self.today - HALF_YEAR_MS] {
            let Ok(read) = self.reader.read(line, today) else { return self.clock.max(0) };
            let is_absurd = read.oddities.contains(&Oddity::Time);
            if !is_absurd && read.line.timestamp != today && read.line.timestamp >= 0 {
                return read.line.timestamp;
            }
        }
        if self.clock > 0 { self.clock } else { self.today }
    }

    /// Takes a line.
    ///
    /// # Errors
    /// Whatever the application would have stopped with.
    pub(super) fn feed(&mut self, line: &[u8], headers: &Headers) -> anyhow::Result<i64> {
        let at = self.written_at(line);
        self.until(at)?;
        self.driver.pipe_raw(topics::LINES, (None, Some(line)), Timestamp(at), headers)?;
        Ok(at)
    }

    /// The clock goes on to this time, in steps as it does when nothing comes.
    fn until(&mut self, at: i64) -> anyhow::Result<()> {
        if self.clock == 0 {
            self.clock = at;
            let at = Duration::from_millis(at.unsigned_abs());
            return Ok(self.driver.advance_wall_clock(at)?);
        }
        // Seconds are enough: lines of one second share it.
        if at - self.clock < 1_000 {
            return Ok(());
        }
        let all = Duration::from_millis((at - self.clock).unsigned_abs());
        self.clock = at;
        let step = STEP.max(all / STEPS_MAX);
        let mut left = all;
        while !left.is_zero() {
            let next = left.min(step);
            self.driver.advance_wall_clock(next)?;
            left -= next;
        }
        Ok(())
    }

    /// Time moves on a day, so that everything closes.
    ///
    /// # Errors
    /// As [`Self::feed`].
    pub(super) fn end(&mut self) -> anyhow::Result<()> {
        for _ in 0..STEPS_MAX {
            self.driver.advance_wall_clock(STEP)?;
        }
        for _ in 0..24 {
            self.driver.advance_wall_clock(HOUR)?;
        }
        Ok(())
    }

    /// What a topic has got since it was asked last.
    ///
    /// # Errors
    /// If the topology does not write it.
    pub(super) fn written(&mut self, topic: &str) -> anyhow::Result<Vec<MemoryRecord>> {
        Ok(self.driver.read_raw(topic)?)
    }
}

/// Calls for each line of a file, without its end.
///
/// # Errors
/// What reading fails with, or the call.
pub(super) fn each_line(
    mut source: impl BufRead,
    mut take: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    let (mut bytes, mut lines) = (Vec::new(), 0);
    loop {
        bytes.clear();
        let read = source.read_until(b'\n', &mut bytes);
        if read.with_context(|| format!("line {}", lines + 1))? == 0 {
            return Ok(lines);
        }
        lines += 1;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        take(line.strip_suffix(b"\r").unwrap_or(line))?;
    }
}
