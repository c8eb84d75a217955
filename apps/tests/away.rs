//! What the program says while its cluster is away: at once, in the form that was asked for, whatever else stands in the
//! environment.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]
#![cfg(target_os = "linux")]

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::os::unix::ffi::OsStringExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Generous: on a machine that may be busy.
const LINE_WAIT: Duration = Duration::from_secs(60);

struct Running {
    process: Child,
    lines: Receiver<String>,
    _state: TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nobody answers it, so it would not end by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(arguments: &[&str]) -> Running {
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_invoice-totals"));
    let ours = |name: &OsString| name.as_encoded_bytes().starts_with(b"MILLSTREAM_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    let mut process = command
        .args(["run", "--state-dir"])
        .arg(state.path())
        .args(arguments)
        .env("MILLSTREAM_PORT", "tcp://10.0.0.7:8080")
        .env("MILLSTREAM_SERVICE_HOST", "10.0.0.7")
        .env("OTHERS", OsString::from_vec(vec![0xFF]))
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (tell, lines) = channel();
    let said: [Box<dyn Read + Send>; 2] =
        [Box::new(process.stderr.take().unwrap()), Box::new(process.stdout.take().unwrap())];
    for stream in said {
        let tell = tell.clone();
        let lines = BufReader::new(stream).lines();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    }
    Running { process, lines, _state: state }
}

#[test]
fn a_cluster_that_is_away_is_told_at_once_in_the_form_asked_for() {
    // Nobody listens at port 1, and nobody ends the program before it is heard.
    let running = run(&[
        "--http",
        "off",
        "--bootstrap-servers",
        "127.0.0.1:1",
        "--log-format",
        "json",
        "--linger-ms",
        "1",
    ]);
    let mut heard = Vec::new();
    loop {
        let line = running.lines.recv_timeout(LINE_WAIT);
        let line = line.unwrap_or_else(|error| panic!("{error} after {heard:#?}"));
        if line.contains("Connection refused") && line.contains("librdkafka") {
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(
                (&event["level"], &event["target"]),
                (&"ERROR".into(), &"librdkafka".into())
            );
            assert!(event["message"].as_str().unwrap().starts_with("127.0.0.1:1/"), "{event}");
            return;
        }
        heard.push(line);
    }
}

/// What an orchestrator asks: 200, or the status and what is waited for.
fn answer(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_program_whose_cluster_is_away_answers_probes_and_ends_in_order() {
    let mut running = run(&["--http", "127.0.0.1:0", "--bootstrap-servers", "127.0.0.1:1"]);
    let address = loop {
        let line = running.lines.recv_timeout(LINE_WAIT).unwrap();
        if let Some((_, address)) = line.split_once("metrics and health: http://") {
            break address.to_owned();
        }
    };
    assert!(answer(&address, "/healthz").starts_with("HTTP/1.1 200"));
    let ready = answer(&address, "/readyz");
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("topics"), "{ready}");
    // SIGTERM, as an orchestrator sends it, once the program listens to it.
    let process = running.process.id().to_string();
    let listens = || {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << (15 - 1) != 0
    };
    let mut looks = LINE_WAIT.as_millis() / 10;
    while !listens() {
        assert!(looks > 0, "it does not listen to SIGTERM");
        looks -= 1;
        thread::park_timeout(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    // Both of its outputs close when it ends.
    loop {
        match running.lines.recv_timeout(LINE_WAIT) {
            Ok(_) => {}
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => panic!("it goes on"),
        }
    }
    assert_eq!(running.process.wait().unwrap().code(), Some(0));
}

#[test]
fn a_program_that_cannot_start_says_everything_that_is_wrong() {
    let mut running = run(&["--http", "off", "--log-level", "inof", "--num-stream-threads", "0"]);
    let said: Vec<String> = running.lines.iter().collect();
    assert_eq!(running.process.wait().unwrap().code(), Some(1));
    for part in ["bootstrap_servers is required", "did you mean \"info\"?", "from 1 to 1024"] {
        assert!(said.concat().contains(part), "{part} in {said:?}");
    }
}
