//! Rules for every text file: its blanks, and no path of the machine it was written on.

use super::tree::{File, check, files};

/// Recorded or generated, not written by hand.
fn is_recorded(file: &File) -> bool {
    file.path.ends_with(".lock") || file.path.starts_with("tests/vectors/")
}

fn has_clean_blanks(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    // Not `lines`: it takes a carriage return away.
    for (number, line) in file.text.split('\n').enumerate() {
        if line.contains('\t') {
            found.push(file.at(number, "a tab"));
        }
        if line.ends_with([' ', '\r']) {
            found.push(file.at(number, "blanks at the end of the line"));
        }
    }
    if !file.text.is_empty() && (!file.text.ends_with('\n') || file.text.ends_with("\n\n")) {
        found.push(file.at(file.text.lines().count(), "does not end with exactly one newline"));
    }
    found
}

/// A path that holds on one machine only. `~/.cache` is fine: every machine has one.
fn names_no_machine(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        for place in ["/root/", "/work/", "/home/"] {
            let absolute = line.match_indices(place).any(|(at, _)| {
                let before = line.get(..at).and_then(|before| before.chars().next_back());
                !before.is_some_and(|c| c.is_alphanumeric() || "._-~})*".contains(c))
            });
            if absolute {
                found.push(file.at(number, &format!("{place}... is a path of one machine")));
            }
        }
    }
    found
}

#[test]
fn blanks_are_clean() {
    let files: Vec<File> = files().into_iter().filter(|file| !is_recorded(file)).collect();
    check(&files, has_clean_blanks);
}

#[test]
fn no_path_of_one_machine() {
    let files: Vec<File> =
        files().into_iter().filter(|file| file.path != "tests/tidy/text.rs").collect();
    check(&files, names_no_machine);
}

#[test]
fn the_rules_find_bad_samples() {
    let sample = |text: &str| File::sample("docs/README.md", text);
    for bad in ["\tx\n", "x \n", "x\r\n", "x", "x\n\n"] {
        assert_eq!(has_clean_blanks(&sample(bad)).len(), 1, "{bad:?}");
    }
    assert_eq!(has_clean_blanks(&sample("x\n\ny\n")).len(), 0);
    for bad in ["cd /root/x\n", "(/home/me/x)\n", "`/work/main`\n"] {
        assert_eq!(names_no_machine(&sample(bad)).len(), 1, "{bad}");
    }
    for good in ["~/.cache/millstream\n", "../work/x\n", "net/home/x\n"] {
        assert_eq!(names_no_machine(&sample(good)).len(), 0, "{good}");
    }
}
