//! Third-party names stay in their corner, so that each can be replaced without touching the rest, and no foreign type
//! slips into a public signature.

use super::source::{code_of, words};
use super::tree::{File, check, files, rust_files};

/// A crate (under each name its code is reached by) and the only places that may name it.
struct Corner {
    crates: &'static [&'static str],
    places: &'static [&'static str],
}

const CORNERS: [Corner; 4] = [
    Corner {
        crates: &["rdkafka", "rdkafka_sys"],
        places: &["framework/src/log/kafka/", "tests/", "benches/"],
    },
    Corner {
        crates: &["rocksdb", "librocksdb_sys"],
        places: &["state/src/rocks/", "framework/src/log/embedded/"],
    },
    Corner {
        crates: &["actix", "actix_rt", "actix_web", "actix_http"],
        places: &["framework/src/runtime/", "framework/src/metrics/http.rs"],
    },
    Corner { crates: &["bincode"], places: &["framework/src/serde/bincode.rs"] },
];

/// What a package must not depend on at all: the store knows no broker and no actors, the applications use only us.
const NOT_FOR: [(&str, &[&str]); 2] = [
    ("state/Cargo.toml", &["rdkafka", "actix", "actix-rt", "actix-web", "millstream", "tokio"]),
    ("apps/Cargo.toml", &["rdkafka", "rocksdb", "actix", "actix-rt", "millstream-state"]),
];

/// Whether a line of code reaches into a crate: a path that begins with its name, or a `use` of it.
fn reaches_into(code: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let begins_a_path = code.match_indices(&path).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default();
        let glued = before.chars().next_back();
        !glued.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
            || before.trim_end().ends_with("use ::")
    });
    let mut words = words(code).skip_while(|word| *word != "use" && *word != "crate");
    begins_a_path || words.nth(1) == Some(name)
}

fn declares_module(file: &File, name: &str) -> bool {
    file.text.lines().any(|line| code_of(line).ends_with(&format!("mod {name};")))
}

fn stays_in_its_corner(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for corner in &CORNERS {
        if corner.places.iter().any(|place| file.path.starts_with(place)) {
            continue;
        }
        // A module of ours may have the crate's name; beside its declaration the name means the module.
        let foreign = corner.crates.iter().filter(|name| !declares_module(file, name));
        let foreign: Vec<_> = foreign.collect();
        for (number, line) in file.text.lines().enumerate() {
            let code = code_of(line);
            for name in foreign.iter().filter(|name| reaches_into(&code, name)) {
                found.push(file.at(number, &format!("{name} only in {:?}", corner.places)));
            }
        }
    }
    found
}

fn depends_on_nothing_it_must_not(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (manifest, banned) in NOT_FOR {
        if file.path != manifest {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            let name = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if banned.contains(&name) {
                found.push(file.at(number, &format!("no dependency on {name} here")));
            }
        }
    }
    found
}

#[test]
fn third_party_names_stay_in_their_corner() {
    check(&rust_files(), stays_in_its_corner);
}

#[test]
fn packages_depend_only_on_what_they_may() {
    check(&files(), depends_on_nothing_it_must_not);
}

#[test]
fn the_rules_find_bad_samples() {
    let task = |text: &str| File::sample("framework/src/task/mod.rs", text);
    for bad in [
        "use rdkafka::Message;",
        "pub use rdkafka;",
        "let x: rocksdb::DB = y;",
        "use ::actix::Actor;",
        "fn f(a: &actix_rt::Arbiter) {}",
        "bincode::serde::encode_to_vec(x)",
    ] {
        assert_eq!(stays_in_its_corner(&task(bad)).len(), 1, "{bad}");
    }
    for good in
        ["// rdkafka::Message", "store.rocksdb()", "use crate::log::kafka;", "my_rdkafka::x"]
    {
        assert_eq!(stays_in_its_corner(&task(good)).len(), 0, "{good}");
    }
    let ours = "mod bincode;\npub use bincode::Bincode;\n";
    assert_eq!(stays_in_its_corner(&task(ours)).len(), 0);
    let log = File::sample("framework/src/log/kafka/mod.rs", "use rdkafka::Message;");
    assert_eq!(stays_in_its_corner(&log).len(), 0);
    let manifest = File::sample("apps/Cargo.toml", "[dependencies]\nrdkafka.workspace = true\n");
    assert_eq!(depends_on_nothing_it_must_not(&manifest).len(), 1);
}
