//! The page of parity with Kafka Streams is held by tests: each row of what is here names some, each of them exists, and
//! each recorded topology has its row.

use std::collections::BTreeSet;

use super::guarantees::{is_a_test, named_tests};
use super::tree::{File, files, rust_files};

const PAGE: &str = "docs/semantics.md";

/// What stands before the name of a recorded topology.
const RECORDED: &str = "conformance: ";

/// Tables with this in their head are of parity, and have four cells.
const HEAD: &str = "| Kafka Streams | here |";

/// The rows of parity, with the number of their line.
fn rows(page: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut within = false;
    for (number, line) in page.lines().enumerate() {
        if !line.starts_with('|') {
            within = false;
        } else if line.starts_with(HEAD) {
            within = true;
        } else if within && !line.starts_with("|---") {
            found.push((number, line));
        }
    }
    found
}

/// The names of the recorded topologies: those of the files of their first seeds.
fn recorded(files: &[File]) -> BTreeSet<&str> {
    let vectors = files.iter().filter_map(|file| file.path.strip_prefix("tests/vectors/"));
    vectors.filter_map(|file| file.strip_suffix("-1.json")).collect()
}

fn faults_of_row(row: &str, code: &[File], recorded: &BTreeSet<&str>) -> Vec<String> {
    let cells: Vec<&str> = row.trim().trim_start_matches('|').split('|').map(str::trim).collect();
    let [_, here, differs, _, ""] = cells.as_slice() else {
        return vec!["has other cells than four".to_owned()];
    };
    let absent = *here == "-" || here.starts_with("not yet");
    let tests = named_tests(row);
    let mut found = Vec::new();
    if *here == "-" && differs.is_empty() {
        found.push("is not here, and does not say why".to_owned());
    }
    if !absent && tests.is_empty() {
        found.push("names no test".to_owned());
    }
    for name in tests {
        match name.strip_prefix(RECORDED) {
            Some(topology) if !recorded.contains(topology) => {
                found.push(format!("there is no recorded topology {topology}"));
            }
            None if !is_a_test(name, code) => found.push(format!("there is no test {name}")),
            Some(_) | None => {}
        }
    }
    found
}

fn faults(page: &File, code: &[File], recorded: &BTreeSet<&str>) -> Vec<String> {
    let rows = rows(&page.text);
    let mut found: Vec<String> = rows
        .iter()
        .flat_map(|(number, row)| {
            faults_of_row(row, code, recorded).into_iter().map(|fault| page.at(*number, &fault))
        })
        .collect();
    let named: BTreeSet<&str> = rows
        .iter()
        .flat_map(|(_, row)| named_tests(row))
        .filter_map(|name| name.strip_prefix(RECORDED))
        .collect();
    let missing = recorded.difference(&named);
    found.extend(missing.map(|topology| page.at(0, &format!("no row names {topology}"))));
    found
}

#[test]
fn each_row_of_parity_names_what_exists() {
    let files = files();
    let page = files.iter().find(|file| file.path == PAGE).unwrap();
    assert!(rows(&page.text).len() > 100, "{PAGE} compares next to nothing");
    let recorded = recorded(&files);
    assert!(recorded.len() > 60, "{recorded:?}");
    let found = faults(page, &rust_files(), &recorded);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_rule_finds_bad_samples() {
    let code = [File::sample("framework/src/a/b.rs", "#[test]\nfn holds() {}\n")];
    let vectors = [File::sample("tests/vectors/count-1.json", "")];
    let recorded = recorded(&vectors);
    let page = |rows: &str| {
        let table = format!("{HEAD} differs | tests |\n|---|---|---|---|\n{rows}");
        File::sample(PAGE, &format!("{table}| count | count | | `conformance: count` |\n"))
    };
    let bad_rows = [
        "| x | x | | |\n",
        "| x | x | | `gone` |\n",
        "| x | x | | `c::holds` |\n",
        "| x | x | | `conformance: gone` |\n",
        "| x | - | | |\n",
        "| x | x | `holds` |\n",
    ];
    for bad in bad_rows {
        assert_eq!(faults(&page(bad), &code, &recorded).len(), 1, "{bad}");
    }
    let good_rows = [
        "| x | x | | `holds`, `conformance: count` |\n",
        "| x | x | other | `b::holds` |\n",
        "| x | - | for a reason | |\n",
        "| x | not yet | | |\n",
    ];
    for good in good_rows {
        assert_eq!(faults(&page(good), &code, &recorded), Vec::<String>::new(), "{good}");
    }
    let other = File::sample(PAGE, "| words | here |\n|---|---|\n| x | y |\n");
    assert_eq!(faults(&other, &code, &recorded), ["docs/semantics.md:1: no row names count"]);
}
