//! The page of promises is held by tests: each promise names some, and each named test exists.

use super::tree::{File, files, rust_files};

const PAGE: &str = "docs/guarantees.md";

/// What stands below this heading is not promised, and so needs no test.
const NOT_PROMISED: &str = "## Not promised";

/// The names of tests in a row of a table: the words in backticks of its last cell.
pub(super) fn named_tests(row: &str) -> Vec<&str> {
    let cell = row.trim_end().trim_end_matches('|').rsplit('|').next().unwrap_or_default();
    cell.split('`').skip(1).step_by(2).collect()
}

/// The rows of the promises' tables, with the number of their line.
fn promises(page: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = page.lines().enumerate().take_while(|(_, line)| *line != NOT_PROMISED);
    lines.filter(|(_, line)| {
        let head = line.starts_with("| promise") || line.starts_with("|---");
        line.starts_with('|') && !head
    })
}

/// True if there is a test function of this name (`#[test]` functions and the contract's, which take the log), or a
/// whole suite. Of `module::name` the module is a part of the file's path.
pub(super) fn is_a_test(name: &str, code: &[File]) -> bool {
    let (module, name) = name.rsplit_once("::").unwrap_or(("", name));
    let (function, suite) = (format!("fn {name}("), format!("tests/{name}/main.rs"));
    code.iter().any(|file| {
        let tests = file.path.starts_with("tests/") || file.text.contains("#[test]");
        let there = module.is_empty() || file.path.split(['/', '.']).any(|part| part == module);
        file.path == suite || (tests && there && file.text.contains(&function))
    })
}

fn promises_without_tests(page: &File, code: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for (number, row) in promises(&page.text) {
        let tests = named_tests(row);
        if tests.is_empty() {
            found.push(page.at(number, "names no test"));
        }
        let missing = tests.into_iter().filter(|name| !is_a_test(name, code));
        found.extend(missing.map(|name| page.at(number, &format!("there is no test {name}"))));
    }
    found
}

#[test]
fn each_promise_names_tests_that_exist() {
    let files = files();
    let page = files.iter().find(|file| file.path == PAGE).unwrap();
    assert!(promises(&page.text).count() > 10, "{PAGE} promises next to nothing");
    let found = promises_without_tests(page, &rust_files());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_rule_finds_bad_samples() {
    let code = [
        File::sample("tests/broker/a.rs", "#[test]\nfn holds() {}\n"),
        File::sample("tests/b/main.rs", ""),
    ];
    let page = |rows: &str| File::sample(PAGE, &format!("| promise | tests |\n|---|---|\n{rows}"));
    for bad in ["| All is well. | |\n", "| All is well. | `gone` |\n", "| `holds` | `gone` |\n"] {
        assert_eq!(promises_without_tests(&page(bad), &code).len(), 1, "{bad}");
    }
    let good_rows =
        ["| All is well. | `holds` |\n", "| x | `a::holds`, `holds` |\n", "| x | `b` |\n"];
    for good in good_rows {
        assert_eq!(promises_without_tests(&page(good), &code), Vec::<String>::new(), "{good}");
    }
    let after = page("| x | `holds` |\n## Not promised\n| y | `gone` |\n");
    assert_eq!(promises_without_tests(&after, &code), Vec::<String>::new());
}
