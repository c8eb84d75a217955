//! What is fuzzed: a function for each decoder of bytes that come from outside this process.
//!
//! A function takes any bytes. It fails if reading them panics, and if what was read is not what is read again after it
//! was written. `fuzz/` runs each under libFuzzer; the tests here run all of them over bytes of chance and over good
//! ones with some bytes changed.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use ::serde::{Deserialize, Serialize};

use crate::config::{Sources, StreamsConfig};
use crate::log::embedded::any_row_on_disk;
use crate::operators::any_message_of_a_foreign_join;
use crate::record::{Headers, Session, Windowed};
use crate::serde::{
    Bincode, ChangeSerde, Json, ListSerde, Null, Nullable, Part, Place, Plain, Serde, SessionSerde,
    WindowedSerde,
};
use crate::store::{any_changelog, any_held_change, any_local_key};
use crate::task::Progress;

/// What takes any bytes.
pub type Target = fn(&[u8]);

/// All targets by the names of their files.
pub const TARGETS: [(&str, Target); 10] = [
    ("plain", plain),
    ("json", json),
    ("bincode", bincode),
    ("windowed", windowed),
    ("foreign_join", foreign_join),
    ("held_changes", held_changes),
    ("progress", progress),
    ("embedded_log", embedded_log),
    ("changelogs", changelogs),
    ("settings", settings),
];

/// What is not flat: lists, maps, and itself.
#[derive(Debug, Serialize, Deserialize)]
struct Tree {
    name: String,
    weights: Vec<f64>,
    by_key: BTreeMap<String, Option<i64>>,
    below: Vec<Tree>,
    kind: Kind,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Leaf,
    Pair(u8, i128),
    Named { letter: char, on: bool },
}

fn read<T>(serde: &impl Serde<T>, bytes: &[u8]) -> Option<T> {
    let mut headers = Headers::default();
    let mut place = Place { topic: "topic", part: Part::Value, headers: &mut headers };
    serde.deserialize(&mut place, Some(bytes)).ok()
}

fn written<T>(serde: &impl Serde<T>, value: &T) -> Option<Vec<u8>> {
    let mut headers = Headers::default();
    let mut place = Place { topic: "topic", part: Part::Value, headers: &mut headers };
    let mut bytes = Vec::new();
    let null = serde.serialize(&mut place, value, &mut bytes).ok()?;
    (null == Null::No).then_some(bytes)
}

/// What was read is read again after it was written.
fn returns<T>(serde: &impl Serde<T>, bytes: &[u8]) {
    let Some(value) = read(serde, bytes) else { return };
    let Some(first) = written(serde, &value) else { return };
    let again = read(serde, &first).and_then(|value| written(serde, &value));
    assert_eq!(again.as_ref(), Some(&first), "after {bytes:?}");
}

/// Texts, bytes, numbers and lists as Kafka's own serializers write them.
pub fn plain(bytes: &[u8]) {
    returns::<String>(&Plain, bytes);
    returns::<Vec<u8>>(&Plain, bytes);
    returns::<bool>(&Plain, bytes);
    returns::<i16>(&Plain, bytes);
    returns::<i32>(&Plain, bytes);
    returns::<i64>(&Plain, bytes);
    returns::<f32>(&Plain, bytes);
    returns::<f64>(&Plain, bytes);
    returns::<Option<String>>(&Nullable(Plain), bytes);
    returns::<Vec<String>>(&ListSerde(Plain), bytes);
    returns::<Vec<i32>>(&ListSerde(Plain), bytes);
    returns::<Vec<Vec<String>>>(&ListSerde(ListSerde(Plain)), bytes);
}

/// JSON.
pub fn json(bytes: &[u8]) {
    returns::<Tree>(&Json, bytes);
    returns::<BTreeMap<String, Vec<Option<f32>>>>(&Json, bytes);
    returns::<Option<(String, u64)>>(&Nullable(Json), bytes);
}

/// Bincode.
pub fn bincode(bytes: &[u8]) {
    returns::<Tree>(&Bincode, bytes);
    returns::<(i128, Vec<()>, String, [u16; 2])>(&Bincode, bytes);
    returns::<Option<Vec<Vec<u8>>>>(&Nullable(Bincode), bytes);
}

/// Keys in windows and sessions, and changes of a table's rows.
pub fn windowed(bytes: &[u8]) {
    for size in [Duration::from_millis(1), Duration::from_secs(5), Duration::MAX] {
        returns::<Windowed<String>>(&WindowedSerde::<Plain>::of_size(size), bytes);
    }
    returns::<Session<i64>>(&SessionSerde::<Plain>::default(), bytes);
    returns(&ChangeSerde::<String>(std::sync::Arc::new(Plain)), bytes);
    returns(&ChangeSerde::<Tree>(std::sync::Arc::new(Bincode)), bytes);
}

/// Subscriptions and answers of joins by foreign key.
pub fn foreign_join(bytes: &[u8]) {
    any_message_of_a_foreign_join(bytes);
}

/// Changes that `suppress` and joins with grace hold back.
pub fn held_changes(bytes: &[u8]) {
    any_held_change(bytes);
}

/// What is noted beside committed offsets: as text, and as the bytes in it.
pub fn progress(bytes: &[u8]) {
    use base64::Engine as _;
    let inner = base64::engine::general_purpose::STANDARD.encode(bytes);
    for text in [&*String::from_utf8_lossy(bytes), &inner] {
        let progress = Progress::decode(text);
        assert_eq!(Progress::decode(&progress.encode()), progress, "after {text}");
    }
}

/// The rows of the embedded log on disk.
pub fn embedded_log(bytes: &[u8]) {
    any_row_on_disk(bytes);
}

/// Local keys of windows, sessions and versions; and the changelogs of all kinds of stores, restored and then read.
pub fn changelogs(bytes: &[u8]) {
    any_local_key(bytes);
    any_changelog(bytes);
}

/// Settings: a file in TOML or YAML, presets, variables of the environment, a command line.
pub fn settings(bytes: &[u8]) {
    let Some((kind, text)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    let pairs = || text.lines().filter_map(|line| line.split_once('='));
    let sources = match kind % 5 {
        0 => of_file(&text, "toml"),
        1 => of_file(&text, "yaml"),
        2 => Some(pairs().fold(Sources::default(), |all, (key, value)| all.preset(key, value))),
        3 => {
            let named = pairs().map(|(key, value)| (format!("MILLSTREAM_{key}"), value.to_owned()));
            Some(Sources::default().environment(named))
        }
        _ => Some(Sources::default().arguments(text.lines().map(str::to_owned))),
    };
    let Some(sources) = sources else { return };
    if let Err(error) = StreamsConfig::from_sources(&sources) {
        assert!(!error.to_string().is_empty());
    }
}

fn of_file(text: &str, ending: &str) -> Option<Sources> {
    let name = format!("millstream-fuzzing-{}.{ending}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, text).ok()?;
    Some(Sources::default().file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Change;
    use crate::serde::tests::{bytes_of, noise};

    /// Good bytes to begin with.
    fn samples() -> Vec<Vec<u8>> {
        let tree = |below| Tree {
            name: "n".to_owned(),
            weights: vec![1.5, -0.0],
            by_key: BTreeMap::from([("k".to_owned(), Some(7)), (String::new(), None)]),
            below,
            kind: Kind::Named { letter: 'ü', on: true },
        };
        let tree = || tree(vec![tree(Vec::new())]);
        let session = Session { key: 5, start: 1, end: 9 };
        let window = Windowed { key: "key".to_owned(), start: 5, end: 15 };
        let change = Change::latest(Some("new".to_owned()), Some("old".to_owned()));
        let size = Duration::from_millis(10);
        let hexes = [
            // A subscription, an answer, and a held change of Java.
            "0103d7f9a5436aede82701c9956f06f4f6a56300000000",
            "00d7f9a5436aede82701c9956f06f4f6a57232",
            "000000000000000a00000000000000050000000174000000000000000100000001680000000178ffffffff\
             fffffffe000000016100000000000000ff",
            "02000000000000010200000001000000017700000000000000050000",
        ];
        let unhex = |hex: &str| -> Vec<u8> {
            let hex: String = hex.split_whitespace().collect();
            let digits =
                (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16));
            digits.map(Result::unwrap).collect()
        };
        let mut samples: Vec<Vec<u8>> = hexes.iter().map(|hex| unhex(hex)).collect();
        samples.extend([
            bytes_of(&Json, &tree()).unwrap(),
            bytes_of(&Bincode, &tree()).unwrap(),
            bytes_of(&SessionSerde::<Plain>::default(), &session).unwrap(),
            bytes_of(&WindowedSerde::<Plain>::of_size(size), &window).unwrap(),
            bytes_of(&ChangeSerde::<String>(std::sync::Arc::new(Plain)), &change).unwrap(),
            b"\0application_id = \"a\"\nnum_stream_threads = 4\n".to_vec(),
            b"\x01application_id: a\nkafka:\n  linger.ms: 5\n".to_vec(),
            b"\x03APPLICATION_ID=a\nSTATE_DIR=/tmp\n".to_vec(),
            b"\x04--application-id=a\n--log-level\ninfo\n".to_vec(),
        ]);
        samples.extend((0..10).map(crate::store::sample_of_a_changelog));
        samples
    }

    #[test]
    fn the_samples_are_read() {
        let all = samples();
        assert!(all.iter().any(|bytes| read::<Tree>(&Json, bytes).is_some()));
        assert!(all.iter().any(|bytes| read::<Tree>(&Bincode, bytes).is_some()));
        assert!(all.iter().any(|bytes| crate::store::any_held_change(bytes)));
    }

    /// The targets that libFuzzer runs are all there are.
    #[test]
    fn each_target_has_its_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/fuzz_targets");
        let mut files: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        files.sort();
        let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert_eq!(files, names);
    }

    #[test]
    fn any_bytes_are_read_or_refused_by_every_target() {
        let samples = samples();
        let mut noise = noise(11);
        let mut next = |below: usize| (noise.next().unwrap() % below.max(1) as u64) as usize;
        for (name, target) in TARGETS {
            // Settings are written to files.
            let rounds = if name == "settings" { 200 } else { 1_500 };
            for round in 0..rounds {
                let mut bytes = samples[round % samples.len()].clone();
                if round % 4 == 0 {
                    bytes = (0..next(60)).map(|_| next(256) as u8).collect();
                }
                for _ in 0..next(5) {
                    let at = next(bytes.len() + 1);
                    let likely = *b"\xfb\xfc\xfd\xfe\xff\x00\x01\x02\x7f\x80[]{}\"=";
                    let byte =
                        if next(2) == 0 { next(256) as u8 } else { likely[next(likely.len())] };
                    match bytes.get_mut(at) {
                        Some(place) => *place = byte,
                        None => bytes.push(byte),
                    }
                }
                bytes.truncate(next(bytes.len() + 20));
                target(&bytes);
            }
        }
    }
}
