//! The demo of log-anomaly as a person meets it: started, watched, ended by Ctrl-C, started again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Generous: windows pass in the meantime, on a machine that may be busy.
const LINE_WAIT: Duration = Duration::from_secs(60);

struct Demo {
    process: Child,
    lines: Receiver<String>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Demo {
    /// One that tells what it learns from the first line on.
    fn start(state: &Path, seed: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_log-anomaly"));
        command.arg("demo").arg("--state-dir").arg(state);
        command.args(["--rate", "50", "--seed", seed, "--set", "commit_interval_ms=200"]);
        command.args(["--warm-up-lines", "0", "--warm-up-s", "0"]);
        let ours = |name: &OsStr| name.as_encoded_bytes().starts_with(b"MILLSTREAM_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|it| tell.send(it)));
        Self { process, lines }
    }

    /// The first line from here on in which `part` stands.
    fn line_with(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LINE_WAIT);
            let line = line.unwrap_or_else(|error| panic!("no line with {part:?}: {error}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// The metrics, as soon as `part` stands in them.
    fn metrics_with(&self, address: &str, part: &str) -> String {
        for _ in 0..600 {
            let found = metrics(address);
            if found.contains(part) {
                return found;
            }
            // Whatever it prints meanwhile: this waits a little.
            let _ = self.lines.recv_timeout(Duration::from_millis(100));
        }
        panic!("no {part}: {}", metrics(address))
    }

    /// Presses Ctrl-C; the exit code.
    fn interrupt(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.line_with("stopped");
        self.process.wait().unwrap().code()
    }
}

fn metrics(address: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_tells_what_is_new_ends_cleanly_and_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let first = Demo::start(state.path(), "1");
    let said = first.line_with("http://127.0.0.1:");
    let address = said.split("http://").nth(1).unwrap().to_owned();
    first.line_with("new_template");
    let found = metrics(&address);
    for name in
        ["lines_total{service=\"shop\"", "templates{service=\"shop\"", "anomalies_total{kind="]
    {
        assert!(found.contains(&format!("log_anomaly_{name}")), "{name}: {found}");
    }
    assert_eq!(first.interrupt(), Some(0));

    let second = Demo::start(state.path(), "2");
    let said = second.line_with("http://127.0.0.1:");
    let address = said.split("http://").nth(1).unwrap().to_owned();
    let found = second.metrics_with(&address, "log_anomaly_lines_total{service=\"shop\"");
    assert!(found.contains("log_anomaly_templates{service=\"shop\""), "{found}");
    assert_eq!(second.interrupt(), Some(0));
}
