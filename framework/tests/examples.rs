//! The numbered examples run and say what their readers expect.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const SAID: [(&str, &[&str]); 9] = [
    ("01_word_count", &["be 2", "is 1", "not 1", "or 1", "question 1", "that 1", "the 1", "to 2"]),
    (
        "02_types_and_serdes",
        &["{\"pens\":2}", "{\"paper\":1,\"pens\":2}", "{\"paper\":1,\"pens\":5}"],
    ),
    ("03_bad_records", &["heat: 31.5 degrees", "unreadable: ", "skipped: 1"]),
    ("04_windows", &["ada from 0 s: 3", "too late: 1"]),
    ("05_tables", &["1 open", "2 open", "1 is open no more", "3 open", "open: 2, 3"]),
    (
        "06_split_and_merge",
        &[
            "pager: ERROR disk full",
            "review: error disk full",
            "review: warn disk at 90 %",
            "archive: INFO started",
        ],
    ),
    ("07_ask_a_store", &["ada has paid 1250 cents"]),
    ("08_processor_with_a_store", &["a at 1 s", "b at 2 s", "c at 130 s", "a at 131 s"]),
    ("09_applications_on_one_log", &["ada has spent 11"]),
];

/// Runs one as its reader does; what it said.
fn run(example: &str) -> Vec<String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--locked", "--manifest-path", manifest, "--example", example])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    said.lines().map(str::to_owned).collect()
}

#[test]
fn each_example_says_what_it_shows() {
    for (example, expected) in SAID {
        let said = run(example);
        assert_eq!(said.len(), expected.len(), "{example}: {said:#?}");
        for (line, expected) in said.iter().zip(expected) {
            assert!(line.starts_with(expected), "{example}: {line:?} is not {expected:?}");
        }
    }
}

#[test]
fn every_example_is_run() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let files: BTreeSet<String> =
        files.map(|name| name.to_string_lossy().trim_end_matches(".rs").to_owned()).collect();
    assert!(files.iter().map(String::as_str).eq(SAID.map(|(name, _)| name)), "{files:?}");
}
