//! Whatever a topology is built from is shown in an example that runs.
//!
//! A public item has an example in its own documentation, or is used by its name in an example of its file: so the
//! options of a type need one example together, not one each.

use super::tree::{File, check, rust_files};

/// The DSL: what topologies, their records and their tests are written with.
const SHOWN: [&str; 16] = [
    "framework/src/chain/punctuation.rs",
    "framework/src/client/assignment.rs",
    "framework/src/client/consumer.rs",
    "framework/src/client/producer.rs",
    "framework/src/operators/",
    "framework/src/policy/",
    "framework/src/query/",
    "framework/src/record/",
    "framework/src/serde/",
    "framework/src/sink/",
    "framework/src/source/",
    "framework/src/store/",
    "framework/src/testing/",
    "framework/src/time/",
    "framework/src/topology/",
    "framework/src/log/topic.rs",
];

/// What no example can name.
const LEFT_OUT: [&str; 1] = [
    // It is private by its module: nobody outside can implement it.
    "Sealed",
];

/// A public item, where it stands, and whether its own documentation has an example.
struct Item<'a> {
    line: usize,
    name: &'a str,
    is_shown: bool,
}

/// The name of the public item that a line begins, if it begins one.
fn public_item(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = rest.strip_prefix("const ").unwrap_or(rest);
    let kinds = ["fn ", "struct ", "enum ", "trait "];
    let rest = kinds.iter().find_map(|kind| rest.strip_prefix(kind))?;
    let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    rest.get(..end)
}

fn not_shown(file: &File) -> Vec<String> {
    if !SHOWN.iter().any(|folder| file.path.starts_with(folder)) || file.path.contains("/tests/") {
        return Vec::new();
    }
    let (mut items, mut examples) = (Vec::new(), String::new());
    let (mut in_example, mut has_example, mut is_hidden) = (false, false, false);
    let code = file.text.lines().take_while(|line| !line.starts_with("mod tests"));
    for (line, text) in code.enumerate() {
        let text = text.trim_start();
        if let Some(doc) = text.strip_prefix("///").or_else(|| text.strip_prefix("//!")) {
            if doc.trim_start().starts_with("```") {
                in_example = !in_example;
                has_example |= text.starts_with("///");
            } else if in_example {
                examples.push_str(doc);
                examples.push('\n');
            }
        } else if text.starts_with("#[") {
            is_hidden |= text.contains("doc(hidden)");
        } else {
            if let Some(name) = public_item(text).filter(|_| !is_hidden) {
                items.push(Item { line, name, is_shown: has_example });
            }
            (has_example, is_hidden) = (false, false);
        }
    }
    let words: Vec<&str> = examples.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let is_missing = |item: &&Item<'_>| {
        !item.is_shown && !words.contains(&item.name) && !LEFT_OUT.contains(&item.name)
    };
    let missing = items.iter().filter(is_missing);
    missing.map(|item| file.at(item.line, &format!("no example shows {}", item.name))).collect()
}

#[test]
fn every_public_item_of_the_dsl_is_shown() {
    let files = rust_files();
    check(&files, not_shown);
    for folder in SHOWN {
        assert!(files.iter().any(|file| file.path.starts_with(folder)), "{folder} is nowhere");
    }
}

#[test]
fn the_rule_finds_what_is_not_shown() {
    let of = |text: &str| not_shown(&File::sample("framework/src/time/sample.rs", text)).len();
    let shown = "/// ```\n/// Thing::new().wide();\n/// ```\npub struct Thing;\n";
    assert_eq!(of(shown), 0);
    let methods = "impl Thing {\n    pub fn new() {}\n    #[must_use]\n    pub fn wide() {}\n}\n";
    assert_eq!(of(&format!("{shown}{methods}")), 0);
    assert_eq!(of(methods), 2);
    assert_eq!(of("/// Without one.\npub const fn tall() {}\npub(crate) fn ours() {}\n"), 1);
    assert_eq!(
        of("/// ```\n/// tall();\n/// ```\nfn other() {}\n/// Alone.\npub fn short() {}\n"),
        1
    );
    assert_eq!(of("#[doc(hidden)]\npub trait Inner {}\nmod tests {\n    pub fn no() {}\n}\n"), 0);
}
