//! The layers of the library: what may import what, and that no two files import each other in a loop.
//!
//! Run it alone with `./test tidy` or `cargo test -p millstream-tests --test tidy layers`. A fault names the file and the
//! path that it imports; mend it by moving what is shared down, not by adding to the table. What only tests import does
//! not count: they look at everything.

use std::collections::{BTreeMap, BTreeSet};

use super::source::code_before_tests;
use super::tree::{File, rust_files};

/// What each folder of the framework may import. What is further up in this list knows nothing of what is below it.
const LAYERS: [(&str, &[&str]); 20] = [
    ("record", &[]),
    ("policy", &["record"]),
    ("error", &["record"]),
    ("time", &["record", "policy", "error"]),
    ("serde", &["record", "policy", "error"]),
    ("config", &["record", "policy", "error"]),
    ("logging", &["error", "config"]),
    ("log", &["record", "policy", "error", "config"]),
    ("metrics", &["record", "policy", "error", "log"]),
    ("collector", &["record", "policy", "error", "log"]),
    ("chain", &["record", "policy", "error", "log", "collector"]),
    ("store", &["record", "policy", "error", "log", "collector", "serde", "time"]),
    ("source", &["record", "policy", "error", "log", "collector", "serde", "chain"]),
    ("sink", &["record", "policy", "error", "log", "collector", "serde", "chain"]),
    ("client", &["record", "policy", "error", "log", "collector", "serde", "source", "sink"]),
    ("topology", &["record", "policy", "error", "chain", "store"]),
    (
        "operators",
        &[
            "record",
            "policy",
            "error",
            "log",
            "collector",
            "serde",
            "time",
            "chain",
            "store",
            "source",
            "sink",
            "topology",
        ],
    ),
    ("task", &["record", "policy", "error", "log", "chain", "store"]),
    ("query", &["record", "policy", "error", "store"]),
    // These host the others and may import all of them, but not each other.
    ("runtime", &[]),
];
const HOSTS: [&str; 3] = ["runtime", "testing", "fuzzing"];

/// The crates whose files are looked at, by their source folder.
const CRATES: [&str; 2] = ["framework/src/", "state/src/"];

/// A crate's files by their module's path, and what the faces re-export.
struct Modules<'f> {
    files: BTreeMap<Vec<&'f str>, &'f str>,
    /// By file: the name that is re-exported, and the path behind it.
    faces: BTreeMap<&'f str, BTreeMap<String, Vec<String>>>,
}

/// An import: from a file, by a path, to a file.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import<'f> {
    from: &'f str,
    to: &'f str,
    path: String,
    /// It went through the face of its own folder, although another file defines it.
    by_own_face: bool,
}

fn module_of<'f>(path: &'f str, root: &str) -> Option<Vec<&'f str>> {
    let within = path.strip_prefix(root)?.strip_suffix(".rs")?;
    if within.contains("tests/") || within.ends_with("tests") || within == "suite" {
        return None;
    }
    let mut module: Vec<&str> = within.split('/').collect();
    if matches!(module.last(), Some(&"mod")) || module == ["lib"] {
        module.pop();
    }
    Some(module)
}

/// The paths in a tree such as `crate::{a::B, c::{D, E as F}}`, each with the name it gets.
fn paths_in(tree: &str) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    expand(&[], tree.trim(), &mut found);
    found
}

fn expand(before: &[String], tree: &str, found: &mut Vec<(Vec<String>, String)>) {
    let (head, rest) = match tree.split_once('{') {
        Some((head, rest)) => (head, rest.rsplit_once('}').map(|(inner, _)| inner)),
        None => (tree, None),
    };
    let mut path = before.to_vec();
    let (names, alias) =
        head.split_once(" as ").map_or((head, None), |(names, alias)| (names, Some(alias)));
    path.extend(
        names.split("::").map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned),
    );
    match rest {
        Some(inner) => {
            split_outside_braces(inner).into_iter().for_each(|part| expand(&path, part, found))
        }
        None => {
            let name = alias.map(|alias| alias.trim().to_owned()).or_else(|| path.last().cloned());
            found.extend(name.map(|name| (path, name)));
        }
    }
}

fn split_outside_braces(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(list[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(list[start..].trim());
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

/// The `use` statements of some code: true if public, and the tree.
fn uses(code: &str) -> Vec<(bool, &str)> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find("use ") {
        let before = rest[..at].trim_end();
        let starts = at == 0 || rest[..at].ends_with(|c: char| c.is_whitespace());
        let statement = starts
            && (before.is_empty()
                || before.ends_with([';', '}', '{', ']', ')'])
                || before.ends_with("pub"));
        let end = rest[at..].find(';').map_or(rest.len(), |end| at + end);
        if statement {
            found.push((before.ends_with("pub") || before.ends_with(')'), &rest[at + 4..end]));
        }
        rest = &rest[if statement { end } else { at + 4 }..];
    }
    found
}

/// The paths beside the `use` statements that begin in this crate.
fn inline_paths(code: &str) -> Vec<Vec<String>> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let words = code.split(|c: char| !is_path(c)).filter(|word| {
        ["crate::", "super::", "self::"].iter().any(|start| word.starts_with(start))
            && !word.ends_with("::")
    });
    words.map(|word| word.split("::").map(str::to_owned).collect()).collect()
}

impl<'f> Modules<'f> {
    fn of(files: &'f [File], root: &str) -> Self {
        let mut modules = Self { files: BTreeMap::new(), faces: BTreeMap::new() };
        for file in files {
            let Some(module) = module_of(&file.path, root) else { continue };
            modules.files.insert(module, &file.path);
            let code = code_before_tests(&file.text);
            let shown = uses(&code).into_iter().filter(|(public, _)| *public);
            let shown = shown
                .flat_map(|(_, tree)| paths_in(tree))
                .map(|(path, name)| (name, path))
                .collect();
            modules.faces.insert(&file.path, shown);
        }
        modules
    }

    /// A path as one from the crate's root; none for one that begins elsewhere.
    fn absolute(&self, path: &[String], module: &[&str]) -> Option<Vec<String>> {
        let owned =
            |module: &[&str]| module.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let (first, rest) = path.split_first()?;
        let mut base = match first.as_str() {
            "crate" => Vec::new(),
            "self" => owned(module),
            "super" => owned(module.split_last()?.1),
            first => {
                let child: Vec<&str> = module.iter().copied().chain([first]).collect();
                self.files.keys().find(|known| **known == child)?;
                owned(&child)
            }
        };
        for name in rest {
            if name == "super" { drop(base.pop()) } else { base.push(name.clone()) }
        }
        Some(base)
    }

    /// The file that defines what an absolute path names, followed through the faces, and the face it went through first.
    fn defining(&self, path: &[String], depth: usize) -> Option<(&'f str, Option<&'f str>)> {
        let known = |length: &usize| {
            let module: Vec<&str> = path.iter().take(*length).map(String::as_str).collect();
            self.files.get_key_value(&module)
        };
        let length = (0..=path.len()).rev().find(|length| known(length).is_some())?;
        let (module, file) = known(&length)?;
        let shown = path.get(length).and_then(|name| self.faces.get(file)?.get(name));
        let behind = shown.and_then(|behind| self.absolute(behind, module)).filter(|_| depth > 0);
        match behind.and_then(|behind| self.defining(&behind, depth - 1)) {
            Some((defining, _)) => Some((defining, Some(*file))),
            None => Some((*file, None)),
        }
    }

    fn imports(&self, file: &'f File, root: &str) -> Vec<Import<'f>> {
        let Some(module) = module_of(&file.path, root) else { return Vec::new() };
        let code = code_before_tests(&file.text);
        // A face hands names on; any other file that does so imports them as well.
        let is_face = file.path.ends_with("mod.rs") || file.path.ends_with("lib.rs");
        let used = uses(&code).into_iter().filter(|(public, _)| !(*public && is_face));
        let used = used.flat_map(|(_, tree)| paths_in(tree)).map(|(path, _)| path);
        let mut imports = BTreeSet::new();
        for path in used.chain(inline_paths(&without_uses(&code))) {
            let found = self.absolute(&path, &module).and_then(|whole| self.defining(&whole, 8));
            let Some((to, face)) = found.filter(|(to, _)| *to != file.path) else { continue };
            // `crate::error::Result` behind the name of the crate's root is an import of the root.
            let own = |face: &str| {
                face.strip_suffix("mod.rs").is_some_and(|folder| is_directly_in(&file.path, folder))
            };
            let by_own_face = face.is_some_and(own);
            let by_root =
                face.is_some_and(|face| face.ends_with("src/lib.rs")) && first(&path) == "crate";
            let to = if by_root { face.unwrap_or(to) } else { to };
            imports.insert(Import { from: &file.path, to, path: path.join("::"), by_own_face });
        }
        imports.into_iter().collect()
    }
}

fn first(path: &[String]) -> &str {
    path.first().map_or("", String::as_str)
}

fn is_directly_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| !rest.contains('/'))
}

fn without_uses(code: &str) -> String {
    let mut rest = code.to_owned();
    for (_, tree) in uses(code) {
        rest = rest.replacen(tree, "", 1);
    }
    // Who may see a name is no import.
    while let Some(at) = rest.find("pub(in ") {
        let end = rest[at..].find(')').map_or(rest.len(), |end| at + end + 1);
        rest.replace_range(at..end, "pub");
    }
    rest
}

fn all_imports(files: &[File]) -> Vec<Import<'_>> {
    let of_crate = |root: &&str| {
        let modules = Modules::of(files, root);
        files.iter().flat_map(|file| modules.imports(file, root)).collect::<Vec<_>>()
    };
    CRATES.iter().flat_map(of_crate).collect()
}

/// The folder of the framework in which a file is; none for its root.
fn layer(path: &str) -> Option<&str> {
    let within = path.strip_prefix("framework/src/")?;
    let folder = within.split('/').next()?;
    Some(folder.strip_suffix(".rs").unwrap_or(folder)).filter(|folder| *folder != "lib")
}

fn against_the_layers(imports: &[Import<'_>]) -> Vec<String> {
    let allowed = |from: &str, to: Option<&str>| {
        let Some(to) = to else { return false };
        let below = LAYERS.iter().find(|(folder, _)| *folder == from).map(|(_, below)| *below);
        from == to
            || HOSTS.contains(&from) && !HOSTS.contains(&to)
            || from == "testing" && to == "runtime"
            || below.is_some_and(|below| below.contains(&to))
    };
    let from_above = imports
        .iter()
        .filter(|import| layer(import.from).is_some_and(|from| !allowed(from, layer(import.to))));
    let by_face = imports.iter().filter(|import| import.by_own_face);
    from_above
        .map(|import| {
            format!("{}: imports {} from above ({})", import.from, import.path, import.to)
        })
        .chain(by_face.map(|import| {
            format!(
                "{}: imports {} from the face of its own folder, say {}",
                import.from, import.path, import.to
            )
        }))
        .collect()
}

/// A loop of imports through each file that is in one, shortest first; each loop once.
fn circles(imports: &[Import<'_>]) -> Vec<String> {
    let mut below: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for import in imports {
        below.entry(import.from).or_default().insert(import.to);
    }
    let mut found: BTreeSet<Vec<&str>> = BTreeSet::new();
    for start in below.keys() {
        let mut ways: Vec<Vec<&str>> = vec![vec![start]];
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        'search: while !ways.is_empty() {
            for way in std::mem::take(&mut ways) {
                for next in way.last().and_then(|last| below.get(last)).into_iter().flatten() {
                    if next == start {
                        let mut circle = way.clone();
                        let smallest = way.iter().enumerate().min_by_key(|(_, file)| **file);
                        circle.rotate_left(smallest.map_or(0, |(at, _)| at));
                        found.insert(circle);
                        break 'search;
                    }
                    if seen.insert(next) {
                        ways.push(way.iter().copied().chain([*next]).collect());
                    }
                }
            }
        }
    }
    found
        .into_iter()
        .map(|circle| format!("{} import each other in a circle", circle.join(" -> ")))
        .collect()
}

#[test]
fn a_folder_imports_only_from_those_below_it() {
    let files = rust_files();
    let imports = all_imports(&files);
    assert!(imports.len() > 500, "{} imports", imports.len());
    let found = against_the_layers(&imports);
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let files = rust_files();
    let found = circles(&all_imports(&files));
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_folder_has_a_layer() {
    let files = rust_files();
    let folders: BTreeSet<&str> = files.iter().filter_map(|file| layer(&file.path)).collect();
    let known =
        |folder: &&str| LAYERS.iter().any(|(known, _)| known == folder) || HOSTS.contains(folder);
    let unknown: Vec<&str> = folders.into_iter().filter(|folder| !known(folder)).collect();
    assert_eq!(unknown, Vec::<&str>::new(), "say in LAYERS what these may import");
}

#[test]
fn the_rules_find_what_is_planted() {
    let planted = |path: &str, text: &str| File::sample(&format!("framework/src/{path}"), text);
    let files = [
        planted("lib.rs", "mod store;\nmod operators;\npub use store::Rows;\n"),
        planted(
            "store/mod.rs",
            "mod rows;\nmod table;\npub(crate) use rows::{Rows, Row as Line};\n",
        ),
        planted(
            "store/rows.rs",
            "use super::table::Table;\npub struct Rows;\n// use crate::operators::Map;\n",
        ),
        planted(
            "store/table.rs",
            "use crate::store::Line;\nfn f() { crate::operators::Map::new() }\n",
        ),
        planted("operators/mod.rs", "mod map;\npub(crate) use map::Map;\n"),
        planted(
            "operators/map.rs",
            "use crate::{\n    store::Rows,\n};\n\n#[cfg(test)]\nmod tests {\n use crate::runtime::X;\n}\n",
        ),
        planted("store/plain.rs", "use crate::Rows;\n"),
        planted("store/handed_on.rs", "pub(crate) use crate::operators::Map;\n"),
        planted("query/mod.rs", "mod child;\nuse child::Child;\npub struct Parent;\n"),
        planted("query/child.rs", "use super::Parent;\npub struct Child;\n"),
    ];
    let imports = all_imports(&files);
    let found = against_the_layers(&imports).join("\n");
    assert!(
        found.contains("store/table.rs: imports crate::operators::Map::new from above"),
        "{found}"
    );
    assert!(
        found.contains(
            "store/table.rs: imports crate::store::Line from the face of its own folder, say"
        ),
        "{found}"
    );
    assert!(
        found.contains("store/plain.rs: imports crate::Rows from above (framework/src/lib.rs)"),
        "{found}"
    );
    assert!(
        found.contains("store/handed_on.rs: imports crate::operators::Map from above"),
        "{found}"
    );
    assert_eq!(found.lines().count(), 4, "{found}");
    let found = circles(&imports);
    assert!(found[1].contains("query/child.rs -> framework/src/query/mod.rs"), "{found:?}");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found[0].contains("operators/map.rs -> framework/src/store/rows.rs -> "), "{found:?}");
    assert!(
        found[2].contains("rows.rs -> framework/src/store/table.rs import each other"),
        "{found:?}"
    );
}
