//! Names say what a thing is: drawers that collect anything are not allowed, neither as a file nor as a module.

use super::source::code_of;
use super::tree::{File, check, rust_files};

const DRAWERS: [&str; 10] = [
    "utils",
    "util",
    "helpers",
    "helper",
    "common",
    "misc",
    "types",
    "internals",
    "manager",
    "impl",
];

fn is_drawer(name: &str) -> bool {
    DRAWERS.iter().any(|drawer| {
        name == *drawer || name.strip_suffix(drawer).is_some_and(|before| before.ends_with('_'))
    })
}

fn path_is_no_drawer(file: &File) -> Vec<String> {
    let path = file.path.strip_suffix(".rs").unwrap_or(&file.path);
    let drawers = path.split('/').filter(|name| is_drawer(name));
    drawers.map(|name| file.at(0, &format!("'{name}' says nothing: name the thing"))).collect()
}

fn declares_no_drawer(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let code = code_of(line);
        let Some((_, rest)) = code.split_once("mod ") else { continue };
        let name = rest.trim_end_matches(|end: char| !(end.is_alphanumeric() || end == '_'));
        if is_drawer(name) {
            found.push(file.at(number, &format!("'mod {name}' says nothing: name the thing")));
        }
    }
    found
}

#[test]
fn no_drawers() {
    let files = rust_files();
    check(&files, path_is_no_drawer);
    check(&files, declares_no_drawer);
}

#[test]
fn the_rules_find_bad_samples() {
    for bad in ["apps/src/utils.rs", "state/src/common/mod.rs", "framework/src/task_manager.rs"] {
        assert_eq!(path_is_no_drawer(&File::sample(bad, "")).len(), 1, "{bad}");
    }
    for good in ["framework/src/store/mod.rs", "state/src/kvtypes.rs"] {
        assert_eq!(path_is_no_drawer(&File::sample(good, "")).len(), 0, "{good}");
    }
    let sample =
        File::sample("a.rs", "mod stores;\npub(crate) mod helpers;\nmod misc {\n// mod util\n");
    assert_eq!(declares_no_drawer(&sample).len(), 2);
}
