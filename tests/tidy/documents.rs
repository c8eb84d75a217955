//! Rules for the documents and for what is said twice: decisions are numbered and short, links lead somewhere, scripts
//! parse, and RocksDB has one version.

use std::path::Path;
use std::process::Command;

use super::tree::{File, check, files, root};

/// A decision that needs more than this is not understood yet.
const LONGEST_DECISION: usize = 60;

fn decision_number(file: &File) -> Option<usize> {
    let name = file.path.strip_prefix("docs/adr/")?;
    name.split_once('-')?.0.parse().ok()
}

fn decision_is_in_form(file: &File) -> Vec<String> {
    let Some(number) = decision_number(file) else { return vec![] };
    let mut found = Vec::new();
    if file.text.lines().count() > LONGEST_DECISION {
        found.push(file.at(LONGEST_DECISION, "longer than a page"));
    }
    if !file.text.starts_with(&format!("# {number}. ")) {
        found.push(file.at(0, &format!("does not open with '# {number}. TITLE'")));
    }
    for heading in ["## Why", "## Decision", "## Consequences"] {
        if !file.text.lines().any(|line| line == heading) {
            found.push(file.at(0, &format!("has no '{heading}'")));
        }
    }
    found
}

/// Decisions count from 1 without a gap, each number once.
fn numbers_are_whole(mut numbers: Vec<usize>) -> bool {
    numbers.sort_unstable();
    numbers.into_iter().zip(1..).all(|(number, wanted)| number == wanted)
}

/// The targets of Markdown links that lead to files.
fn local_links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for part in line.split("](").skip(1) {
            let target = part.split([')', ' ', '#']).next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:") {
                links.push((number, target.to_owned()));
            }
        }
    }
    links
}

fn links_lead_somewhere(file: &File, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    // Beside the code lie pieces that a generator puts into docs/, where their links lead from.
    if !file.has_extension("md") || file.path.contains("/src/") {
        return vec![];
    }
    let folder = Path::new(&file.path).parent().unwrap_or(Path::new(""));
    let dead = local_links(&file.text).into_iter().filter(|(_, to)| !exists(&folder.join(to)));
    dead.map(|(number, target)| file.at(number, &format!("{target} does not exist"))).collect()
}

fn locked_rocksdb(lock: &str) -> Option<&str> {
    let (_, after) = lock.split_once("name = \"librocksdb-sys\"\nversion = \"")?;
    Some(after.split_once('"')?.0)
}

#[test]
fn decisions_are_numbered_and_short() {
    let files = files();
    check(&files, decision_is_in_form);
    let numbers: Vec<usize> = files.iter().filter_map(decision_number).collect();
    assert!(numbers_are_whole(numbers.clone()), "docs/adr has gaps or repeats: {numbers:?}");
}

#[test]
fn every_decision_is_in_the_index() {
    let files = files();
    let index = files.iter().find(|file| file.path == "docs/README.md").unwrap();
    check(&files, |file| {
        let Some(name) = decision_number(file).and(file.path.strip_prefix("docs/")) else {
            return vec![];
        };
        if index.text.contains(name) { vec![] } else { vec![file.at(0, "not in docs/README.md")] }
    });
}

#[test]
fn links_of_the_documents_exist() {
    check(&files(), |file| links_lead_somewhere(file, |path| root().join(path).exists()));
}

#[test]
fn scripts_parse() {
    for file in files().iter().filter(|file| file.text.starts_with("#!/usr/bin/env bash")) {
        let output = Command::new("bash").arg("-n").arg(root().join(&file.path)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The release of RocksDB behind a version of `librocksdb-sys`, such as `11.8.1` of `0.19.0+11.8.1`.
fn rocksdb_release(version: &str) -> Option<&str> {
    version.split_once('+').map(|(_, release)| release)
}

/// What the first line of the checksums says they are of.
fn release_of_checksums(checksums: &str) -> Option<&str> {
    checksums.strip_prefix("# org.rocksdb:rocksdbjni:")?.split_once(',').map(|(release, _)| release)
}

#[test]
fn rocksdb_has_one_version() {
    let files = files();
    let version = |path: &str| {
        let lock = files.iter().find(|file| file.path == path).unwrap();
        locked_rocksdb(&lock.text).unwrap_or_else(|| panic!("{path} names no librocksdb-sys"))
    };
    assert_eq!(version("Cargo.lock"), version("state/native/Cargo.lock"));
    let sums =
        files.iter().find(|file| file.path == "deploy/build/rocksdb-prebuilt.sha256").unwrap();
    let release = rocksdb_release(version("Cargo.lock"));
    assert!(release.is_some(), "librocksdb-sys no longer names the release of RocksDB");
    assert_eq!(release_of_checksums(&sums.text), release, "{}: of another release", sums.path);
}

/// The first block of code in a text.
fn first_block(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("```rust,no_run\n")?;
    Some(rest.split_once("\n```")?.0)
}

/// The crate's page begins with what README begins with.
#[test]
fn the_readme_and_the_crate_show_one_example() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let crate_doc = |line: &str| {
        line.strip_prefix("//!").map(|text| text.strip_prefix(' ').unwrap_or(text).to_owned())
    };
    let page: Vec<String> = read("framework/src/lib.rs").lines().map_while(crate_doc).collect();
    assert!(first_block(&page.join("\n")).is_some(), "the crate's page has no example");
    assert_eq!(first_block(&page.join("\n")), first_block(&read("README.md")));
}

#[test]
fn the_rules_find_bad_samples() {
    let form = "# 7. Pull\n\n## Why\nx\n## Decision\nx\n## Consequences\nx\n";
    let decision = |text: &str| File::sample("docs/adr/0007-pull.md", text);
    assert_eq!(decision_is_in_form(&decision(form)), Vec::<String>::new());
    assert_eq!(decision_is_in_form(&decision(&format!("{form}{}", "x\n".repeat(60)))).len(), 1);
    assert_eq!(decision_is_in_form(&decision(&form.replace("# 7.", "# 8."))).len(), 1);
    assert_eq!(decision_is_in_form(&decision(&form.replace("## Why", "Why"))).len(), 1);
    assert!(numbers_are_whole(vec![2, 1, 3]));
    assert!(!numbers_are_whole(vec![1, 3]));
    assert!(!numbers_are_whole(vec![1, 1, 2]));
    let readme =
        File::sample("docs/README.md", "[a](gone.md) [b](https://x.org) [c](adr/x.md#d)\n");
    assert_eq!(links_lead_somewhere(&readme, |path| path == Path::new("docs/adr/x.md")).len(), 1);
    assert_eq!(locked_rocksdb("name = \"librocksdb-sys\"\nversion = \"1.2\"\n"), Some("1.2"));
    assert_eq!(rocksdb_release("0.19.0+11.8.1"), Some("11.8.1"));
    assert_eq!(
        release_of_checksums("# org.rocksdb:rocksdbjni:11.8, the\nab  x.so\n"),
        Some("11.8")
    );
    assert_eq!(release_of_checksums("ab  x.so\n"), None);
}
