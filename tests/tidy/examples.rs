//! Whatever a topology is built from is shown in an example that runs.
//!
//! A public item has an example in its own documentation, or is used by its name in an example of the type that it
//! belongs to: so the options of a type need one example together, not one each. A function is used where it is
//! called. Diagrams, code that is not run, and comments in an example show nothing.

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

/// A public item: where it stands, the type that it belongs to, and whether its own documentation has an example.
struct Item<'a> {
    line: usize,
    name: &'a str,
    owner: &'a str,
    is_function: bool,
    is_shown: bool,
}

/// An example that runs, and the type whose documentation it stands in: none for a module's.
#[derive(Default)]
struct Example<'a> {
    owner: &'a str,
    code: String,
}

/// The identifier that a text begins with.
fn identifier(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// The name of the public item that a line begins, if it begins one, and whether it is a function.
fn public_item(line: &str) -> Option<(&str, bool)> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let rest = ["const ", "async "].iter().find_map(|word| rest.strip_prefix(word)).unwrap_or(rest);
    let kinds = ["fn ", "struct ", "enum ", "trait "];
    let (kind, rest) = kinds.iter().find_map(|kind| Some((kind, rest.strip_prefix(kind)?)))?;
    Some((identifier(rest), *kind == "fn "))
}

/// The type of an `impl` that a line begins at the margin.
fn type_of_impl(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("impl")?;
    let mut depth = 0_u32;
    let end = rest.find(|c: char| {
        depth = match c {
            '<' => depth + 1,
            '>' => depth.saturating_sub(1),
            _ => depth,
        };
        depth == 0 && c == ' '
    })?;
    let header = rest.get(end..)?;
    Some(identifier(header.split_once(" for ").map_or(header, |(_, of)| of).trim_start()))
}

/// Whether code uses a name: a function by a call or as a value with its path.
fn uses(code: &str, name: &str, is_function: bool) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default();
        let after = code.get(at + name.len()..).unwrap_or_default();
        let is_word = !before.ends_with(is_part) && !after.starts_with(is_part);
        let is_call = before.ends_with("::") || after.starts_with('(') || after.starts_with("::<");
        is_word && (is_call || !is_function)
    })
}

/// The public items of a file and its examples.
fn items_and_examples(text: &str) -> (Vec<Item<'_>>, Vec<Example<'_>>) {
    let (mut items, mut examples) = (Vec::new(), Vec::<Example<'_>>::new());
    // Where the examples of the documentation begin that is being read, whose item is not known yet.
    let mut pending = 0;
    let (mut in_block, mut runs, mut is_hidden, mut owner) = (false, false, false, "");
    for (line, full) in text.lines().take_while(|line| !line.starts_with("mod tests")).enumerate() {
        let text = full.trim_start();
        if let Some(doc) = text.strip_prefix("///").or_else(|| text.strip_prefix("//!")) {
            let doc = doc.trim_start();
            if let Some(kind) = doc.strip_prefix("```") {
                in_block = !in_block;
                runs = in_block && kind.is_empty();
                if runs {
                    examples.push(Example::default());
                }
            } else if let Some(example) = examples.last_mut().filter(|_| runs) {
                example.code.push_str(doc.split("// ").next().unwrap_or_default());
                example.code.push('\n');
            }
            if text.starts_with("//!") {
                pending = examples.len();
            }
        } else if text.starts_with("#[") {
            is_hidden |= text.contains("doc(hidden)");
        } else {
            owner = type_of_impl(full).unwrap_or(if full.starts_with('}') { "" } else { owner });
            let item = public_item(text);
            let of = item.filter(|(_, is_function)| !is_function).map_or(owner, |(name, _)| name);
            let is_shown = examples.len() > pending;
            examples.iter_mut().skip(pending).for_each(|example| example.owner = of);
            if let Some((name, is_function)) = item.filter(|_| !is_hidden) {
                items.push(Item { line, name, owner, is_function, is_shown });
            }
            (pending, is_hidden) = (examples.len(), false);
        }
    }
    (items, examples)
}

fn not_shown(file: &File) -> Vec<String> {
    if !SHOWN.iter().any(|folder| file.path.starts_with(folder)) || file.path.contains("/tests/") {
        return Vec::new();
    }
    let (items, examples) = items_and_examples(&file.text);
    let is_missing = |item: &&Item<'_>| {
        let shows = |example: &Example<'_>| {
            let is_of_owner = ["", item.owner].contains(&example.owner) || item.owner.is_empty();
            (is_of_owner || uses(&example.code, item.owner, false))
                && uses(&example.code, item.name, item.is_function)
        };
        !item.is_shown && !LEFT_OUT.contains(&item.name) && !examples.iter().any(shows)
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
    // A diagram, a comment, a field and the method of another type are no use.
    for (nothing, missing) in
        [("```text\n/// wide()", 2), ("```\n/// 1; // wide()", 1), ("```\n/// x.wide", 1)]
    {
        let thing = format!("/// {nothing}\n/// ```\npub struct Thing;\n{methods}");
        // Beside what is planted, `new` is not called.
        assert_eq!(of(&thing), missing + 1, "{thing}");
    }
    let other = "impl<T: Into<Thing>> Other<T> {\n    pub fn wide() {}\n}\n";
    assert_eq!(of(&format!("{shown}{other}")), 1);
    assert_eq!(of(&format!("//! ```\n//! Thing::wide();\n//! ```\n\n{other}")), 0);
}
