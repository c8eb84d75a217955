//! The conformance suite: what Kafka Streams itself gave for random inputs, topology by topology.
//!
//! Each file of the vectors' folder (`MILLSTREAM_VECTORS`, else the whole recording beside the
//! checkout, else `tests/vectors`) is run through the topology of its case, written with the public
//! DSL in `cases/`, once with state in memory and once in RocksDB. Compared are `describe`, the
//! outputs and the checked internal topics of each step, and the stores at the end. All topologies of
//! the recording are written; a file whose case is not is *unknown*, and fails the suite.
//!
//! Arguments are parts of file names: only those files are run then.

#![expect(clippy::print_stdout, reason = "the report is what this program is for")]

mod cases;
mod check;
mod vector;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::vector::{Named, Vector};

fn main() -> ExitCode {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let folder = folder();
    let files = match files(&folder) {
        Ok(files) if !files.is_empty() => files,
        Ok(_) => return complain(&format!("no vectors in {}", folder.display())),
        Err(error) => return complain(&format!("{}: {error}", folder.display())),
    };
    let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
    let mut failed = 0;
    let mut unknown = BTreeSet::new();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        match replay(&file) {
            Ok(Replayed::Passed(case)) => *passed.entry(case).or_default() += 1,
            Ok(Replayed::Unknown(case)) => drop(unknown.insert(case)),
            Err(error) => {
                failed += 1;
                println!("FAILED {name}: {error:#}");
            }
        }
    }
    for (case, seeds) in &passed {
        println!("ok {case} ({seeds} seeds)");
    }
    for case in &unknown {
        println!("unknown {case}");
    }
    let count: usize = passed.values().sum();
    println!("conformance: {count} passed, {failed} failed, {} unknown", unknown.len());
    let all_known = unknown.is_empty();
    if failed == 0 && count > 0 && all_known { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

enum Replayed {
    Passed(&'static str),
    Unknown(String),
}

fn replay(file: &Path) -> anyhow::Result<Replayed> {
    let text = std::fs::read(file)?;
    let name = Named::read(&text)?.case;
    let Some(case) = cases::find(&name) else { return Ok(Replayed::Unknown(name)) };
    check::run(case, &Vector::read(&text)?)?;
    Ok(Replayed::Passed(case.name))
}

fn complain(what: &str) -> ExitCode {
    println!("conformance: {what}");
    ExitCode::FAILURE
}

fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("MILLSTREAM_VECTORS") {
        return folder.into();
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let whole = here.join("../../shared/conformance");
    if whole.is_dir() { whole } else { here.join("vectors") }
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
