//! The demo of log-anomaly as a person meets it: started, watched, ended by Ctrl-C, started again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

mod process;

use std::path::Path;
use std::time::Duration;

use process::{Running, get, program};

/// One that tells what it learns from the first line on.
fn demo(state: &Path, seed: &str) -> Running {
    let mut command = program(env!("CARGO_BIN_EXE_log-anomaly"));
    command.arg("demo").arg("--state-dir").arg(state);
    command.args(["--rate", "50", "--seed", seed, "--set", "commit_interval_ms=200"]);
    command.args(["--warm-up-lines", "0", "--warm-up-s", "0"]);
    Running::start(&mut command)
}

/// The metrics, as soon as `part` stands in them.
fn metrics_with(demo: &Running, address: &str, part: &str) -> String {
    for _ in 0..600 {
        let found = get(address, "/metrics");
        if found.contains(part) {
            return found;
        }
        // Whatever it prints meanwhile: this waits a little.
        let _ = demo.lines.recv_timeout(Duration::from_millis(100));
    }
    panic!("no {part}: {}", get(address, "/metrics"))
}

#[test]
fn it_tells_what_is_new_ends_cleanly_and_goes_on() {
    let state = tempfile::tempdir().unwrap();
    let first = demo(state.path(), "1");
    let address = first.metrics_address();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    first.line_with("new_template");
    // An anomaly can be read at the commit, numbers follow it.
    for name in
        ["lines_total{service=\"shop\"", "templates{service=\"shop\"", "anomalies_total{kind="]
    {
        metrics_with(&first, &address, &format!("log_anomaly_{name}"));
    }
    assert_eq!(first.interrupt(), Some(0));

    let second = demo(state.path(), "2");
    let address = second.metrics_address();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    // Two tasks tell them, each at a commit of its own.
    for name in ["lines_total", "templates"] {
        metrics_with(&second, &address, &format!("log_anomaly_{name}{{service=\"shop\""));
    }
    assert_eq!(second.interrupt(), Some(0));
}
