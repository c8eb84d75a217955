//! Shapes of types that no reader can keep apart: tuples of three and more as parameters, results of results.
//!
//! A struct with named fields says what each part is; `?` twice says that two things went wrong in one place.

use super::source::code_before_tests;
use super::tree::{File, check, rust_files};

/// Whose code is looked at; tests may compare tuples as they like.
const LOOKED_AT: [&str; 3] = ["framework/src/", "state/src/", "apps/src/"];

fn is_looked_at(file: &File) -> bool {
    let tests = file.path.contains("/tests/") || file.path.ends_with("/tests.rs");
    !tests && LOOKED_AT.iter().any(|folder| file.path.starts_with(folder))
}

/// What stands between an opening parenthesis, which `text` begins behind, and its end.
fn in_parentheses(text: &str) -> &str {
    let mut depth = 1;
    let end = text.char_indices().find(|(_, character)| {
        depth += i32::from(*character == '(') - i32::from(*character == ')');
        depth == 0
    });
    text.get(..end.map_or(text.len(), |(at, _)| at)).unwrap_or(text)
}

/// How many parts a list has that is separated by commas outside of all brackets.
fn parts(list: &str) -> usize {
    let (mut depth, mut parts, mut open) = (0, 0, false);
    let mut before = ' ';
    for character in list.chars() {
        match character {
            '(' | '[' | '{' | '<' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '>' if before != '-' => depth -= 1,
            ',' if depth == 0 => {
                parts += usize::from(open);
                open = false;
            }
            _ => {}
        }
        open |= !(character.is_whitespace() || character == ',' && depth == 0);
        before = character;
    }
    parts + usize::from(open)
}

/// The tuples in a text: what stands in parentheses that nothing is called or bounded with.
fn tuples(text: &str) -> Vec<&str> {
    let opens = text.match_indices('(').filter(|(at, _)| {
        let before = text.get(..*at).unwrap_or_default().chars().next_back().unwrap_or(' ');
        !before.is_alphanumeric() && !matches!(before, '_' | '!')
    });
    opens.map(|(at, _)| in_parentheses(text.get(at + 1..).unwrap_or_default())).collect()
}

fn large_tuples(file: &File) -> Vec<String> {
    if !is_looked_at(file) {
        return Vec::new();
    }
    let code = code_before_tests(&file.text);
    let line = |at: usize| code.get(..at).unwrap_or_default().matches('\n').count();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let rest = code.get(at..).unwrap_or_default();
        let Some(open) = rest.find('(') else { continue };
        let parameters = in_parentheses(rest.get(open + 1..).unwrap_or_default());
        for tuple in tuples(parameters).into_iter().filter(|tuple| parts(tuple) > 2) {
            let tuple = tuple.split_whitespace().collect::<Vec<_>>().join(" ");
            found.push(file.at(line(at), &format!("({tuple}) as a parameter: a struct has names")));
        }
    }
    for (at, _) in code.match_indices("type ") {
        let rest = code.get(at..).unwrap_or_default();
        let alias = rest.split(';').next().unwrap_or_default();
        let tuple = alias.split_once("= (").map(|(_, behind)| in_parentheses(behind));
        if tuple.is_some_and(|tuple| parts(tuple) > 2) {
            found.push(file.at(
                line(at),
                "a tuple of three and more under a name: a struct has names for its parts",
            ));
        }
    }
    found
}

fn results_of_results(file: &File) -> Vec<String> {
    if !is_looked_at(file) {
        return Vec::new();
    }
    let code = code_before_tests(&file.text);
    let lines = code.lines().enumerate().filter(|(_, line)| line.contains("Result<Result<"));
    lines
        .map(|(number, _)| file.at(number, "a result of a result: say what the outcomes are"))
        .collect()
}

#[test]
fn no_tuple_of_three_is_a_parameter() {
    check(&rust_files(), large_tuples);
}

#[test]
fn no_result_holds_a_result() {
    check(&rust_files(), results_of_results);
}

#[test]
fn the_rules_find_what_is_planted() {
    let file = |text: &str| File::sample("framework/src/x.rs", text);
    let bad = [
        "fn f((a, b, c): (u8, u8, u8)) {}",
        "fn f(all: &[(Topic, Box<dyn Queue>, Option<i64>)]) {}",
        "pub(crate) type Input = (Topic, Queue, Option<Start>);",
        "fn f(\n    rows: Vec<(u8, Map<u8, u8>, u8)>,\n) {}",
    ];
    for text in bad {
        assert!(!large_tuples(&file(text)).is_empty(), "{text}");
    }
    let good = [
        "fn f((a, b): (u8, Map<u8, u8>), f: impl Fn(u8, u8, u8) -> u8) {}",
        "fn f(a: u8, b: u8, c: u8) -> (u8, u8, u8) {}",
        "// fn f(all: (u8, u8, u8))\nfn g(x: [u8; 3]) {}",
        "fn f(pair: (u8, fn(u8, u8) -> u8)) {}",
        "#[cfg(test)]\nmod tests {\n fn f(all: (u8, u8, u8)) {}\n}",
    ];
    for text in good {
        assert_eq!(large_tuples(&file(text)), Vec::<String>::new(), "{text}");
    }
    assert_eq!(results_of_results(&file("fn f() -> Result<Result<u8>> {}")).len(), 1);
}
