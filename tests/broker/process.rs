//! A process of the suite, a counter mostly: started, watched and killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use millstream_tests::wait;

/// How long anything may take on a loaded machine with two cores.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// The group protocols that each test runs under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Classic,
    Consumer,
}

/// How to start a counter.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    arguments: Vec<String>,
}

impl Counter {
    pub(crate) fn new(
        bootstrap: &str,
        application: &str,
        state: &Path,
        protocol: Protocol,
    ) -> Self {
        let mut counter = Self { arguments: Vec::new() }
            .with("--bootstrap", bootstrap)
            .with("--application-id", application)
            .with("--state-dir", &state.display().to_string())
            .with("--input", &format!("{application}-in"))
            .with("--output", &format!("{application}-out"));
        if protocol == Protocol::Consumer {
            counter.arguments.push("--consumer-protocol".to_owned());
        }
        counter
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    pub(crate) fn exactly_once(self) -> Self {
        self.flag("--exactly-once")
    }

    pub(crate) fn flag(mut self, name: &str) -> Self {
        self.arguments.push(name.to_owned());
        self
    }

    pub(crate) fn start(&self) -> anyhow::Result<Running> {
        start(Command::new(env!("CARGO_BIN_EXE_counter")).args(&self.arguments))
    }
}

/// Starts a process of the suite.
pub(crate) fn start(command: &mut Command) -> anyhow::Result<Running> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (tell, lines) = channel();
    let out = child.stdout.take().context("stdout")?;
    let err = child.stderr.take().context("stderr")?;
    let tell_errors = tell.clone();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let _ = tell.send(line);
        }
    });
    thread::spawn(move || {
        for line in BufReader::new(err).lines().map_while(Result::ok) {
            let _ = tell_errors.send(line);
        }
    });
    Ok(Running { child, lines, seen: Vec::new() })
}

/// A process that runs; killed when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that contains `text`.
    pub(crate) fn wait_for_line(&mut self, text: &str) -> anyhow::Result<String> {
        let found = wait::until(PATIENCE, text, || {
            while let Ok(line) = self.lines.try_recv() {
                let hit = line.contains(text);
                self.seen.push(line);
                if hit {
                    return Ok(self.seen.last().cloned());
                }
            }
            Ok(None)
        });
        found.with_context(|| format!("the process said:\n{}", self.seen.join("\n")))
    }

    /// kill -9.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends SIGTERM.
    pub(crate) fn tell_to_stop(&self) -> anyhow::Result<()> {
        let sent = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status()?;
        if !sent.success() {
            bail!("SIGTERM was not sent");
        }
        Ok(())
    }

    /// SIGTERM: it must end in order.
    pub(crate) fn terminate(mut self) -> anyhow::Result<()> {
        self.tell_to_stop()?;
        let status = self.wait()?;
        ensure!(status.success(), "{status} after:\n{}", self.output());
        Ok(())
    }

    pub(crate) fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        wait::until(PATIENCE, "the end of the process", || Ok(self.child.try_wait()?))
    }

    /// True if a line so far begins with `text`.
    pub(crate) fn has_said(&mut self, text: &str) -> bool {
        self.seen.extend(self.lines.try_iter());
        self.seen.iter().any(|line| line.starts_with(text))
    }

    /// All lines so far.
    pub(crate) fn output(&mut self) -> String {
        self.seen.extend(self.lines.try_iter());
        self.seen.join("\n")
    }
}

impl Drop for Running {
    #[allow(clippy::print_stdout, reason = "of a test that fails the runner shows it")]
    fn drop(&mut self) {
        // It has ended already in the good case. Else the test failed: what the process said tells why.
        if matches!(self.child.try_wait(), Ok(None)) {
            println!("the process said:\n{}", self.output());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
