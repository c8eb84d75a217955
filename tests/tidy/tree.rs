//! The files of the repository, as the rules see them.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold nothing of ours, wherever they lie.
const NOT_OURS: [&str; 3] = [".git", "target", "run-state"];

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
    collect(&root(), "", &mut files);
    assert!(files.len() > 20, "the walk lost its way: {files:?}");
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

fn collect(directory: &Path, prefix: &str, files: &mut Vec<File>) {
    let mut entries: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let from_root = format!("{prefix}{name}");
        if path.is_dir() {
            if !NOT_OURS.contains(&name.as_str()) {
                collect(&path, &format!("{from_root}/"), files);
            }
        } else if let Ok(text) = fs::read_to_string(&path)
            && !name.ends_with(".log")
        {
            // What is not UTF-8 is not text. `.git` is a file in a linked checkout.
            if name != ".git" {
                files.push(File { path: from_root, text });
            }
        }
    }
}
