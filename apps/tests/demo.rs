//! The demo as a person meets it: started, watched, ended by Ctrl-C, started again.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what fails here fails the test")]

mod process;

use std::path::Path;
use std::process::{Command, Output};

use process::{Running, get, program};

fn demo(state: &Path) -> Command {
    let mut command = program(env!("CARGO_BIN_EXE_invoice-totals"));
    command.arg("demo").arg("--state-dir").arg(state).args(["--rate", "50"]);
    command
}

#[test]
fn it_counts_ends_cleanly_and_goes_on_where_it_ended() {
    let state = tempfile::tempdir().unwrap();
    let first = Running::start(&mut demo(state.path()));
    let address = first.metrics_address();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
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

    let second = Running::start(&mut demo(state.path()));
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
