//! Questions over tasks that answer at once, late, or never.

use std::sync::Mutex;

use super::*;
use crate::record::Headers;
use crate::store::tests::{Rig, text_to_long, text_to_text};
use crate::store::{
    KeyValueSpec, KeyValueStore, Outcome, Stamp, StoreOptions, StoreSupplier, TableSpec,
    TableStore, WindowOrder, WindowSpec, WindowStore, WindowTableSpec,
};

/// Keeps what was asked until the test's thread, which owns the stores, answers it.
#[derive(Default)]
struct Mailbox(Mutex<Vec<Question>>);

impl Tasks for Mailbox {
    fn ask(&self, question: Question) -> Result<()> {
        self.0.lock().unwrap().push(question);
        Ok(())
    }

    fn check(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

/// Asks from a thread of its own, and answers from this one with the stores of the rigs.
fn asked<K: Data + Sync, V: Data, R: Send>(
    rigs: &[&Rig],
    store: &str,
    ask: impl FnOnce(StoreQuery<K, V>) -> R + Send,
) -> R {
    let mailbox = Arc::new(Mailbox::default());
    let query = StoreQuery::new(Arc::<Mailbox>::clone(&mailbox), store);
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(query));
        while !asking.is_finished() {
            let taken = mailbox.0.lock().unwrap().pop();
            let Some(question) = taken else {
                std::thread::yield_now();
                continue;
            };
            for rig in rigs {
                let store = rig.store.state().borrow();
                question(store.name(), &|| store.committed());
            }
        }
        asking.join().unwrap()
    })
}

fn counts() -> TableSpec<String, i64> {
    TableSpec {
        options: StoreOptions::named("counts"),
        serdes: text_to_long(),
        cached: true,
        history_ms: None,
    }
}

fn put(rig: &Rig, key: &str, value: i64) {
    let store = rig.store.typed::<TableStore<String, i64>>().unwrap();
    let headers = Headers::default();
    let stamp = Stamp { timestamp: Timestamp(value), headers: &headers };
    let outcome = store.borrow_mut().put(&key.to_owned(), Some(value), &stamp).unwrap();
    assert_eq!(outcome, Outcome::Held);
}

fn commit(rig: &Rig) {
    let store = rig.store.typed::<TableStore<String, i64>>().unwrap();
    store.borrow_mut().settle().unwrap();
    rig.commit();
}

fn pairs<V>(entries: Vec<StoredEntry<String, V>>) -> Vec<(String, V)> {
    entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
}

#[test]
fn only_committed_rows_are_seen() {
    let rig = Rig::new(&counts(), 1 << 20);
    put(&rig, "a", 1);
    commit(&rig);
    put(&rig, "a", 2);
    put(&rig, "b", 2);
    rig.store.typed::<TableStore<String, i64>>().unwrap().borrow_mut().settle().unwrap();
    let get = |key: &'static str| {
        asked(&[&rig], "counts", move |query: StoreQuery<String, i64>| query.get(&key.to_owned()))
    };
    let found = get("a").unwrap().unwrap();
    assert_eq!((found.value, found.timestamp), (1, Some(Timestamp(1))));
    assert_eq!(get("b").unwrap(), None);
    rig.commit();
    assert_eq!(get("a").unwrap().unwrap().value, 2);
    assert_eq!(get("b").unwrap().unwrap().value, 2);
}

#[test]
fn all_tasks_of_the_instance_answer() {
    let (one, two) = (Rig::new(&counts(), 1 << 20), Rig::new(&counts(), 1 << 20));
    for (rig, keys) in [(&one, ["a", "c", "e"]), (&two, ["b", "d", "f"])] {
        for key in keys {
            put(rig, key, 1);
        }
        commit(rig);
    }
    let all = |limit| {
        asked(&[&one, &two], "counts", move |query: StoreQuery<String, i64>| query.all(limit))
    };
    let keys: Vec<_> = pairs(all(100).unwrap()).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["a", "c", "e", "b", "d", "f"]);
    assert_eq!(all(4).unwrap().len(), 4);
    let back = asked(&[&one], "counts", |query: StoreQuery<String, i64>| {
        query.reverse_range("a".to_owned()..="c".to_owned(), 10)
    });
    assert_eq!(pairs(back.unwrap()), [("c".to_owned(), 1), ("a".to_owned(), 1)]);
    let found =
        asked(&[&one, &two], "counts", |query: StoreQuery<String, i64>| query.get(&"d".to_owned()));
    assert_eq!(found.unwrap().unwrap().key, "d");
}

#[test]
fn stores_of_processors_answer_too() {
    let spec = KeyValueSpec {
        options: StoreOptions::named("seen"),
        serdes: text_to_long(),
        entries_max: None,
    };
    let rig = Rig::new(&spec, 0);
    let seen = KeyValueStore::<String, i64>::of(&rig.store, &rig.time).unwrap();
    seen.put("a".to_owned(), 7).unwrap();
    rig.commit();
    seen.put("a".to_owned(), 8).unwrap();
    let found = asked(&[&rig], "seen", |query: StoreQuery<String, i64>| query.all(10)).unwrap();
    assert_eq!(found, [StoredEntry { key: "a".to_owned(), value: 7, timestamp: None }]);
}

fn answers_windows(supplier: &dyn StoreSupplier, fill: impl Fn(&Rig, i64)) {
    let rig = Rig::new(supplier, 1 << 20);
    // 60 000 of retention: what starts at or before 440 000 can no longer be read.
    for start in [0, 440_000, 450_000, 500_000] {
        fill(&rig, start);
    }
    let name = supplier.name().to_owned();
    let fetch = |from, to| {
        asked(&[&rig], &name, move |query: StoreQuery<Windowed<String>, String>| {
            query.fetch(&"a".to_owned(), Timestamp(from), Timestamp(to), 10)
        })
        .unwrap()
    };
    assert!(fetch(0, i64::MAX).is_empty(), "not committed yet");
    rig.commit();
    let starts = |found: Vec<StoredEntry<Windowed<String>, String>>| -> Vec<(i64, String)> {
        found.into_iter().map(|entry| (entry.key.start, entry.value)).collect()
    };
    let expected = [(450_000, "450000".to_owned()), (500_000, "500000".to_owned())];
    assert_eq!(starts(fetch(0, i64::MAX)), expected);
    assert_eq!(starts(fetch(450_001, 600_000)), expected[1..]);
    let all = asked(&[&rig], &name, |query: StoreQuery<Windowed<String>, String>| query.all(10));
    assert_eq!(starts(all.unwrap()), expected);
    let get = |start: i64| {
        asked(&[&rig], &name, move |query: StoreQuery<Windowed<String>, String>| {
            query.get(&Windowed { key: "a".to_owned(), start, end: start + 10_000 })
        })
        .unwrap()
    };
    assert_eq!(get(450_000).unwrap().value, "450000");
    assert_eq!(get(450_000).unwrap().key.end, 460_000);
    assert_eq!(get(440_000), None);
}

#[test]
fn windows_answer() {
    let options = || StoreOptions::named("w");
    let spec = WindowSpec {
        options: options(),
        serdes: text_to_text(),
        retention_ms: 60_000,
        window_size_ms: 10_000,
        duplicates: false,
        kept_ms: None,
    };
    answers_windows(&spec, |rig, start| {
        let store = WindowStore::<String, String>::of(&rig.store, &rig.time).unwrap();
        store.put("a".to_owned(), start.to_string(), Timestamp(start)).unwrap();
    });
    for order in [WindowOrder::KeyFirst, WindowOrder::TimeFirst] {
        let spec = WindowTableSpec {
            options: options(),
            serdes: text_to_text(),
            cached: true,
            retention_ms: 60_000,
            window_size_ms: 10_000,
            order,
            ranged: false,
        };
        answers_windows(&spec, |rig, start| {
            let store = rig.store.typed::<TableStore<Windowed<String>, String>>().unwrap();
            let headers = Headers::default();
            let window = Windowed { key: "a".to_owned(), start, end: start + 10_000 };
            let stamp = Stamp { timestamp: Timestamp(start), headers: &headers };
            let mut store = store.borrow_mut();
            store.put(&window, Some(start.to_string()), &stamp).unwrap();
            store.settle().unwrap();
        });
    }
}

#[test]
fn what_cannot_be_answered_is_an_error() {
    let rig = Rig::new(&counts(), 1 << 20);
    let unknown = asked(&[&rig], "other", |query: StoreQuery<String, i64>| query.all(1));
    assert!(matches!(unknown, Err(Error::Unavailable { .. })), "{unknown:?}");
    let nobody = asked(&[], "counts", |query: StoreQuery<String, i64>| query.all(1));
    assert!(matches!(nobody, Err(Error::Unavailable { .. })), "{nobody:?}");
    let wrong = asked(&[&rig], "counts", |query: StoreQuery<String, String>| query.all(1));
    assert!(matches!(wrong, Err(Error::Config(_))), "{wrong:?}");
    assert!(wrong.unwrap_err().to_string().ends_with("does not hold String by String"));

    let silent = Arc::new(Mailbox::default());
    let query = StoreQuery::<String, i64>::new(Arc::<Mailbox>::clone(&silent), "counts");
    let late = query.timeout(Duration::from_millis(1)).all(1);
    assert!(late.unwrap_err().to_string().contains("did not answer"));
}
