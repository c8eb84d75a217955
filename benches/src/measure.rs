//! Runs one engine as a child and says what it used, from its start to its end.
//!
//! The harness starts `bench measure -- ENGINE..`, a small process that does only this: the largest resident set of a child
//! includes what its parent had at the fork, so a harness full of results must not be the parent. Closing the standard
//! input ends the engine (SIGTERM), and one line of JSON tells what it used.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::native;

/// How often the child is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How long an engine may take to close after SIGTERM.
const CLOSE: Duration = Duration::from_secs(60);

/// What the child used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Measured {
    /// Exit code, or minus the signal that ended it.
    pub status: i32,
    /// Whether it was asked to end.
    pub asked: bool,
    /// User and system time, start and end included.
    pub cpu_s: f64,
    /// The largest resident set.
    pub peak_rss_bytes: u64,
    /// CPU seconds by thread, as far as they were seen: threads that ended early are missing the last moments.
    pub threads: Vec<(String, f64)>,
}

/// Runs the command until it ends, or until our standard input is closed; its output goes to `log`.
pub fn run(command: &[String], log: &Path) -> Result<Measured> {
    let (program, arguments) = command.split_first().context("no command to measure")?;
    let out = File::create(log).with_context(|| format!("log {}", log.display()))?;
    let child = Command::new(program)
        .args(arguments)
        // The native engines' allocator gives freed memory back after a second, not after ten.
        .env("MALLOC_CONF", "dirty_decay_ms:1000,muzzy_decay_ms:0")
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        // Ctrl-C in the terminal is for the harness, which then ends its children in order.
        .process_group(0)
        .spawn()
        .with_context(|| format!("{program} does not start"))?;
    let pid = child.id();
    let asked = Arc::new(AtomicBool::new(false));
    let closed = Arc::clone(&asked);
    std::thread::spawn(move || {
        let _end = std::io::stdin().read_to_end(&mut Vec::new());
        closed.store(true, Ordering::Release);
    });
    let mut threads = Threads::default();
    let mut deadline: Option<Instant> = None;
    let ended = loop {
        threads.look(pid);
        if let Some(ended) = native::try_wait(pid)? {
            break ended;
        }
        match deadline {
            None if asked.load(Ordering::Acquire) => {
                native::signal(pid, libc::SIGTERM)?;
                deadline = Some(clock::now() + CLOSE);
            }
            Some(end) if clock::now() > end => native::signal(pid, libc::SIGKILL)?,
            _ => {}
        }
        clock::pause(LOOK);
    };
    Ok(Measured {
        status: ended.status,
        asked: deadline.is_some(),
        cpu_s: ended.usage.cpu.as_secs_f64(),
        peak_rss_bytes: ended.usage.peak_rss_bytes,
        threads: threads.largest(),
    })
}

/// Prints the result for the harness.
pub fn print(measured: &Measured) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{}", serde_json::to_string(measured)?)?)
}

/// CPU time of a process's threads, as last seen.
#[derive(Debug, Default)]
struct Threads(BTreeMap<u64, (String, f64)>);

impl Threads {
    fn look(&mut self, pid: u32) {
        let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return };
        for task in tasks.flatten() {
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            if let Some((thread, name, cpu)) = parse_stat(&stat) {
                self.0.insert(thread, (name, cpu));
            }
        }
    }

    /// The threads that matter, the busiest first.
    fn largest(self) -> Vec<(String, f64)> {
        let mut threads: Vec<_> = self.0.into_values().filter(|(_, cpu)| *cpu >= 0.05).collect();
        threads.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        threads.truncate(12);
        threads
    }
}

/// `pid (name) state ...`: user time is the 14th field, system time the 15th, in ticks of 10 ms.
fn parse_stat(stat: &str) -> Option<(u64, String, f64)> {
    let (pid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((pid.parse().ok()?, name.to_owned(), (user + system) / 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_a_thread_are_read_past_a_name_with_blanks() {
        let stat = "4711 (Stream (1) x) S 1 2 3 0 -1 4194304 100 0 0 0 1234 66 0 0 20 0 9 0 1 2";
        assert_eq!(parse_stat(stat), Some((4711, "Stream (1) x".to_owned(), 13.0)));
    }
}
