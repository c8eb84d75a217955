//! Programs that must not compile, and what the compiler must say of them: the words of this library, which tell what to
//! write instead.
//!
//! They are in `tests/refused`; the lines that begin with `//~` are what the first error must say. Only those words are
//! compared, so another version of the compiler may put its own around them. Each is checked against the library as this
//! suite was built with it, in a tenth of a second.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::tree::root;

/// What begins a line that the compiler must say.
const MUST_SAY: &str = "//~ ";

/// How many programs there are, one of which compiles: none is left out by a slip.
const PROGRAMS: usize = 10;

/// What the compiler says of a program: a text for each error, with its notes and what it points out.
fn errors_of(program: &Path) -> Result<Vec<String>> {
    let me = env::current_exe()?;
    let built = me.parent().context("this suite lies in no folder")?;
    let out = tempfile::tempdir()?;
    let output = Command::new(compiler())
        .args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata"])
        .args(["--error-format", "json", "--cap-lints", "allow"])
        .arg("-L")
        .arg(format!("dependency={}", built.display()))
        .arg("--extern")
        .arg(format!("millstream={}", library(built)?.display()))
        .arg("--out-dir")
        .arg(out.path())
        .arg(program)
        .current_dir(root())
        .output()?;
    let said = String::from_utf8(output.stderr)?;
    let errors = said.lines().filter_map(|line| error_text(line).transpose());
    let errors = errors.collect::<Result<Vec<String>>>()?;
    ensure!(output.status.success() == errors.is_empty(), "the compiler fails: {said}");
    Ok(errors)
}

/// The compiler that built this suite: it lies beside the cargo that runs it.
fn compiler() -> PathBuf {
    let cargo = env::var_os("CARGO").map(PathBuf::from);
    cargo.map_or_else(|| "rustc".into(), |cargo| cargo.with_file_name("rustc"))
}

/// The library that this suite was built with: the newest one beside it.
fn library(built: &Path) -> Result<PathBuf> {
    let mut newest = None;
    for entry in fs::read_dir(built)? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        if file.starts_with("libmillstream-") && file.ends_with(".rlib") {
            newest = newest.max(Some((fs::metadata(&path)?.modified()?, path)));
        }
    }
    newest.map(|(_, path)| path).with_context(|| format!("no library in {}", built.display()))
}

/// All that a message of the compiler says, if it is an error.
fn error_text(line: &str) -> Result<Option<String>> {
    let message: Value = serde_json::from_str(line)?;
    let list = |name: &str| message.get(name).and_then(Value::as_array).into_iter().flatten();
    let text = |of: &'_ Value, name: &str| of.get(name).and_then(Value::as_str).map(str::to_owned);
    // The last one only counts the others.
    if text(&message, "level").as_deref() != Some("error") || list("spans").next().is_none() {
        return Ok(None);
    }
    let mut said: Vec<String> = text(&message, "message").into_iter().collect();
    said.extend(list("spans").filter_map(|span| text(span, "label")));
    said.extend(list("children").filter_map(|child| text(child, "message")));
    Ok(Some(said.join("\n")))
}

/// What the first error should say and does not.
fn unsaid<'a>(program: &'a str, errors: &[String]) -> Vec<&'a str> {
    let said = errors.first().map_or("", String::as_str);
    let must = program.lines().filter_map(|line| line.trim().strip_prefix(MUST_SAY));
    must.filter(|words| !said.contains(words)).collect()
}

#[test]
fn what_does_not_compile_says_what_to_write() -> Result<()> {
    let mut seen = 0;
    for entry in fs::read_dir(root().join("tests/refused"))? {
        let path = entry?.path();
        let (program, errors) = (fs::read_to_string(&path)?, errors_of(&path)?);
        let (of, said) = (path.display(), errors.join("\n"));
        assert_eq!(errors.is_empty(), !program.contains(MUST_SAY), "{of}:\n{said}");
        let unsaid = unsaid(&program, &errors);
        assert!(unsaid.is_empty(), "{of} does not say {unsaid:?}:\n{said}");
        seen += 1;
    }
    assert_eq!(seen, PROGRAMS);
    Ok(())
}

#[test]
fn words_that_are_missing_are_found() {
    let program = "//! p\n    //~ one\n    //~ two";
    assert_eq!(unsaid(program, &["one\nthree\n".to_owned()]), ["two"]);
    assert_eq!(unsaid(program, &["one".to_owned(), "two".to_owned()]), ["two"]);
    assert_eq!(unsaid(program, &[]), ["one", "two"]);
}
