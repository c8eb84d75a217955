//! The demo as a person meets it: started, watched, ended by Ctrl-C, started again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// Generous: two windows pass in the meantime, on a machine that may be busy.
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

fn demo(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_invoice-totals"));
    command.arg("demo").arg("--state-dir").arg(state).args(["--rate", "50"]);
    let ours = |name: &OsStr| name.as_encoded_bytes().starts_with(b"MILLSTREAM_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
}

impl Demo {
    fn start(state: &Path) -> Self {
        let mut process = demo(state).stdout(Stdio::piped()).spawn().unwrap();
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

    /// Presses Ctrl-C; the exit code.
    fn interrupt(mut self) -> Option<i32> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        self.line_with("stopped");
        self.process.wait().unwrap().code()
    }
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn it_counts_ends_cleanly_and_goes_on_where_it_ended() {
    let state = tempfile::tempdir().unwrap();
    let first = Demo::start(state.path());
    let said = first.line_with("http://127.0.0.1:");
    let address = said.split("http://").nth(1).unwrap().to_owned();
    first.line_with("nothing was counted before");
    first.line_with("complete");
    assert!(get(&address, "/readyz").starts_with("HTTP/1.1 200"), "not ready");
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"), "not healthy");
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("millstream_records_in_total{topic=\"FACTURATION\""), "{metrics}");

    let own = "invoice_totals_invoices_total{application=\"invoice-totals\"} ";
    let counted = metrics.lines().find_map(|line| line.strip_prefix(own)?.parse::<u64>().ok());
    assert!(counted.is_some_and(|counted| counted > 0), "{metrics}");

    let Output { status, stderr, .. } = demo(state.path()).output().unwrap();
    let refusal = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1), "a second one on the same state: {refusal}");
    assert!(refusal.contains("in use by another process"), "{refusal}");

    assert_eq!(first.interrupt(), Some(0));

    let second = Demo::start(state.path());
    let going_on = second.line_with("going on: ");
    let counted: u64 = going_on.split(' ').nth(2).unwrap().parse().unwrap();
    assert!(counted >= 50, "{going_on}");
    second.line_with("last 5 s");
    assert_eq!(second.interrupt(), Some(0));
}

/// It is asked by those who have built nothing yet, and may have no Rust.
#[test]
fn run_says_at_once_what_there_is() {
    let help = |command: &mut Command| {
        let Output { status, stdout, stderr } = command.output().unwrap();
        assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    };
    let program = help(Command::new(env!("CARGO_BIN_EXE_invoice-totals")).arg("--help"));
    let commands = program.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<_> = commands.take_while(|line| !line.is_empty()).collect();
    assert!(commands.len() > 4, "{program}");
    let nowhere = tempfile::tempdir().unwrap();
    for asked in ["--help", "-h", "help"] {
        let mut run = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../run"));
        let said = help(run.arg(asked).env("PATH", "/usr/bin:/bin").env("HOME", nowhere.path()));
        for command in commands.iter().filter(|line| !line.trim().starts_with("help ")) {
            assert!(said.contains(command.trim()), "{command:?} is missing:\n{said}");
        }
    }
}
