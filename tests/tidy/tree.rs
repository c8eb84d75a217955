//! The files of the repository, as the rules see them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What holds nothing of ours, wherever it lies; `.cargo` has the settings of one machine.
const NOT_OURS: [&str; 4] = [".git", ".cargo", "target", "run-state"];

/// One text file: its path from the repository's root with `/`, and its content.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// A sample for the test of a rule.
    pub(crate) fn sample(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    /// What the rule found at a line (counted from 0), for the message of a failing test.
    pub(crate) fn at(&self, line: usize, found: &str) -> String {
        format!("{}:{}: {found}", self.path, line + 1)
    }
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All text files of the repository.
pub(crate) fn files() -> Vec<File> {
    let mut files = Vec::new();
    let walked = collect(&root(), "", &mut files);
    assert!(walked.is_ok() && files.len() > 100, "{walked:?}, {} files", files.len());
    files
}

/// All Rust files of the repository.
pub(crate) fn rust_files() -> Vec<File> {
    files().into_iter().filter(|file| file.has_extension("rs")).collect()
}

/// Applies a rule to files, and fails with everything it found.
pub(crate) fn check(files: &[File], rule: impl Fn(&File) -> Vec<String>) {
    let found: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn collect(directory: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    let entries: io::Result<Vec<_>> = fs::read_dir(directory)?.collect();
    let mut entries = entries?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let from_root = format!("{prefix}{name}");
        // `.git` is a directory, or a file in a linked checkout.
        if NOT_OURS.contains(&name.as_str()) || name.ends_with(".log") {
            continue;
        }
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{from_root}/"), files)?;
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            // What is not UTF-8 is not text.
            files.push(File { path: from_root, text });
        }
    }
    Ok(())
}
