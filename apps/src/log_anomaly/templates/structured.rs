//! Samples in which somebody has said of each line which template it is of: `NAME_structured.csv` of loghub.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// The lines of a sample without their headers, and the template of each.
#[derive(Debug, Default)]
pub struct Structured {
    /// The name of the sample.
    pub name: String,
    /// The lines' messages.
    pub lines: Vec<String>,
    /// What their templates are called.
    pub templates: Vec<String>,
}

const SUFFIX: &str = "_structured.csv";

impl Structured {
    /// All samples of a folder, by name.
    ///
    /// # Errors
    /// When there is none, or one cannot be read; the error names it.
    pub fn all(dir: &Path) -> anyhow::Result<Vec<Self>> {
        let entries =
            std::fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))?;
        let mut paths: Vec<PathBuf> = Vec::new();
        for entry in entries {
            let path = entry?.path();
            if path.to_string_lossy().ends_with(SUFFIX) {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            bail!("there is no NAME{SUFFIX} in {}", dir.display());
        }
        paths.iter().map(|path| Self::read(path)).collect()
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is no CSV, or has no columns `Content` and `EventId`.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let read = || {
            let mut reader = csv::Reader::from_path(path)?;
            let headers = reader.headers()?.clone();
            let column = |name: &str| {
                let place = headers.iter().position(|header| header == name);
                place.with_context(|| format!("there is no column {name}"))
            };
            let (content, event) = (column("Content")?, column("EventId")?);
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            let name = file.trim_end_matches(SUFFIX).to_owned();
            let mut sample = Self { name, ..Self::default() };
            for row in reader.records() {
                let row = row?;
                sample.lines.push(row.get(content).unwrap_or_default().to_owned());
                sample.templates.push(row.get(event).unwrap_or_default().to_owned());
            }
            anyhow::Ok(sample)
        };
        read().with_context(|| format!("reading {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(dir: &tempfile::TempDir, name: &str, text: &str) {
        std::fs::write(dir.path().join(name), text).unwrap();
    }

    #[test]
    fn samples_are_read_by_their_columns() {
        let dir = tempfile::tempdir().unwrap();
        file(&dir, "B_structured.csv", "LineId,EventId,Content\n1,E1,\"a, \"\"b\"\"\"\n");
        file(&dir, "A_structured.csv", "Content,EventId\nx,E1\ny,E2\n");
        file(&dir, "A_templates.csv", "EventId\n");
        let all = Structured::all(dir.path()).unwrap();
        let [a, b] = &all[..] else { panic!("{all:?}") };
        assert_eq!(
            (a.name.as_str(), a.templates.as_slice()),
            ("A", &["E1", "E2"].map(String::from)[..])
        );
        assert_eq!(b.lines, ["a, \"b\""]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = |dir: &Path| format!("{:#}", Structured::all(dir).unwrap_err());
        assert!(error(dir.path()).contains("_structured.csv"), "{}", error(dir.path()));
        assert!(error(&dir.path().join("none")).contains("none"));
        file(&dir, "A_structured.csv", "Content,Event\nx,E1\n");
        let text = error(dir.path());
        assert!(text.contains("A_structured.csv") && text.contains("EventId"), "{text}");
    }
}
