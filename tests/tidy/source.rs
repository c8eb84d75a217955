//! Rules for each Rust file by itself: how it opens, how long it is, what it must not contain.

use super::tree::{File, check, rust_files};

/// Lines of a file before its tests; beyond this a file holds more than one thing.
const LONGEST: usize = 500;

/// The only files with `unsafe` code, each with its safety argument.
const UNSAFE_ALLOWED: [&str; 7] = [
    "framework/src/log/kafka/groups.rs",
    "framework/src/log/kafka/identity.rs",
    "framework/src/log/kafka/listening.rs",
    "framework/src/log/kafka/queue.rs",
    "framework/src/log/kafka/refused.rs",
    "framework/src/log/kafka/send.rs",
    "benches/src/native.rs",
];

/// The only file that may sleep: the benchmarks look at other processes from time to time.
const SLEEP_ALLOWED: &str = "benches/src/clock.rs";

/// Rust text as the rules look at it: comments and the contents of string literals on one line are left out.
pub(crate) fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut in_string = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => drop(characters.next()),
            // A quote as a character literal opens no string.
            '\'' if !in_string && characters.peek() == Some(&'"') => drop(characters.nth(1)),
            '"' => {
                in_string = !in_string;
                code.push('"');
            }
            '/' if !in_string && characters.peek() == Some(&'/') => break,
            _ if in_string => {}
            _ => code.push(character),
        }
    }
    code
}

/// The code before the tests, line by line, without comments and the contents of strings.
pub(crate) fn code_before_tests(text: &str) -> String {
    let tests = |at: usize| {
        text[at..].lines().nth(1).is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    let end = text.match_indices("#[cfg(test)]\n").map(|(at, _)| at).find(|at| tests(*at));
    let lines = text[..end.unwrap_or(text.len())].lines().map(code_of);
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// The identifiers of a line of code.
pub(crate) fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|character: char| !(character.is_alphanumeric() || character == '_'))
        .filter(|word| !word.is_empty())
}

fn opens_with_its_purpose(file: &File) -> Vec<String> {
    let first = file.text.lines().next().unwrap_or_default();
    let said = first.strip_prefix("//! ").is_some_and(|doc| doc.len() > 10);
    if said { vec![] } else { vec![file.at(0, "does not open with //! and why it exists")] }
}

fn is_short_enough(file: &File) -> Vec<String> {
    let length = code_before_tests(&file.text).lines().count();
    if length <= LONGEST {
        return vec![];
    }
    vec![file.at(LONGEST, &format!("{length} lines before its tests, more than {LONGEST}"))]
}

/// Nothing half done, no test left out, no guessed waiting.
fn has_nothing_forbidden(file: &File) -> Vec<String> {
    let forbidden = ["todo!", "unimplemented!", "#[ignore", "thread::sleep"];
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let code = code_of(line);
        for pattern in forbidden {
            if code.contains(pattern) && !(pattern == "thread::sleep" && file.path == SLEEP_ALLOWED)
            {
                found.push(file.at(number, &format!("{pattern} is not allowed")));
            }
        }
    }
    found
}

fn is_safe(file: &File, allowed: &[&str]) -> Vec<String> {
    if allowed.contains(&file.path.as_str()) {
        return vec![];
    }
    let uses = |line: &str| words(&code_of(line)).any(|word| word == "unsafe");
    let lines = file.text.lines().enumerate().filter(|(_, line)| uses(line));
    lines.map(|(number, _)| file.at(number, "unsafe outside the allowed files")).collect()
}

#[test]
fn every_file_opens_with_its_purpose() {
    check(&rust_files(), opens_with_its_purpose);
}

#[test]
fn no_file_is_too_long() {
    check(&rust_files(), is_short_enough);
}

#[test]
fn nothing_half_done_left_out_or_slept_through() {
    check(&rust_files(), has_nothing_forbidden);
}

#[test]
fn unsafe_only_where_it_is_argued() {
    let files = rust_files();
    check(&files, |file| is_safe(file, &UNSAFE_ALLOWED));
    for file in files.iter().filter(|file| UNSAFE_ALLOWED.contains(&file.path.as_str())) {
        assert!(!is_safe(file, &[]).is_empty(), "{} no longer needs unsafe", file.path);
        assert!(file.text.contains("SAFETY:"), "{} has no safety argument", file.path);
    }
}

#[test]
fn the_rules_find_bad_samples() {
    let sample = |text: &str| File::sample("framework/src/record/mod.rs", text);
    assert_eq!(opens_with_its_purpose(&sample("use std::fmt;\n")).len(), 1);
    assert_eq!(opens_with_its_purpose(&sample("//! Mod.\n")).len(), 1);
    assert_eq!(opens_with_its_purpose(&sample("")).len(), 1);
    assert_eq!(is_short_enough(&sample(&"x\n".repeat(501))).len(), 1);
    assert_eq!(is_short_enough(&sample(&"x\n".repeat(500))).len(), 0);
    let with_tests = format!("x\n#[cfg(test)]\nmod tests {{\n{}", "x\n".repeat(900));
    assert_eq!(is_short_enough(&sample(&with_tests)).len(), 0);
    let beside = format!("#[cfg(test)]\nmod tests;\n{}", "x\n".repeat(900));
    assert_eq!(is_short_enough(&sample(&beside)).len(), 1);
    for bad in ["todo!()", "unimplemented!(\"x\")", "#[ignore]", "std::thread::sleep(second)"] {
        assert_eq!(has_nothing_forbidden(&sample(bad)).len(), 1, "{bad}");
        assert_eq!(has_nothing_forbidden(&sample(&format!("// {bad}"))).len(), 0, "{bad}");
    }
    assert_eq!(is_safe(&sample("let x = unsafe { read(y) };"), &[]).len(), 1);
    assert_eq!(is_safe(&sample("#![forbid(unsafe_code)] // no unsafe"), &[]).len(), 0);
}

#[test]
fn comments_and_strings_are_no_code() {
    assert_eq!(code_of("let a = b; // todo!"), "let a = b; ");
    assert_eq!(code_of(r#"say("to // do", x)"#), r#"say("", x)"#);
    assert_eq!(code_of(r#"say("a \" b", x)"#), r#"say("", x)"#);
    assert_eq!(code_of(r#"if c == '"' { x }"#), "if c ==  { x }");
}
