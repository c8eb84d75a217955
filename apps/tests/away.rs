//! What the program says while its cluster is away: at once, in the form that was asked for, whatever else stands in the
//! environment.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]
#![cfg(target_os = "linux")]

mod process;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::Duration;

use process::{LINE_WAIT, Running, get, program};

fn run(state: &Path, arguments: &[&str]) -> Running {
    let mut command = program(env!("CARGO_BIN_EXE_invoice-totals"));
    command
        .args(["run", "--state-dir"])
        .arg(state)
        .args(arguments)
        .env("MILLSTREAM_PORT", "tcp://10.0.0.7:8080")
        .env("MILLSTREAM_SERVICE_HOST", "10.0.0.7")
        .env("OTHERS", OsString::from_vec(vec![0xFF]));
    Running::start_with_log(&mut command)
}

#[test]
fn a_cluster_that_is_away_is_told_at_once_in_the_form_asked_for() {
    let state = tempfile::tempdir().unwrap();
    // Nobody listens at port 1, and nobody ends the program before it is heard.
    let running = run(
        state.path(),
        &[
            "--http",
            "off",
            "--bootstrap-servers",
            "127.0.0.1:1",
            "--log-format",
            "json",
            "--linger-ms",
            "1",
        ],
    );
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

#[test]
fn a_program_whose_cluster_is_away_answers_probes_and_ends_in_order() {
    let state = tempfile::tempdir().unwrap();
    let mut running =
        run(state.path(), &["--http", "127.0.0.1:0", "--bootstrap-servers", "127.0.0.1:1"]);
    let address = running.metrics_address();
    assert!(get(&address, "/healthz").starts_with("HTTP/1.1 200"));
    let ready = get(&address, "/readyz");
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
    running.signal("-TERM");
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
    let state = tempfile::tempdir().unwrap();
    let mut running =
        run(state.path(), &["--http", "off", "--log-level", "inof", "--num-stream-threads", "0"]);
    let said: Vec<String> = running.lines.iter().collect();
    assert_eq!(running.process.wait().unwrap().code(), Some(1));
    for part in ["bootstrap_servers is required", "did you mean \"info\"?", "from 1 to 1024"] {
        assert!(said.concat().contains(part), "{part} in {said:?}");
    }
}
