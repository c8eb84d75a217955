//! Stores of processors over commits, aborts and restarts; questions to global tables.

mod panics;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::chain::Counter;
use crate::log::memory::{Fault, Operation};
use crate::operators::{Custom, Lru, Sessions, Timestamped, Versioned};
use crate::record::{Session, Timestamp};
use crate::store::{
    ChangelogRecord, CustomStore, KeyValueStore, ReadOnlyStore, SessionStore, StoreChangelog,
    TimestampedKeyValueStore, VersionedKeyValueStore,
};

/// Counts by key, as a store of the user's own.
struct Counts {
    all: BTreeMap<String, i64>,
    changelog: StoreChangelog,
}

impl Counts {
    fn add(&mut self, key: &str) -> Result<i64, BoxError> {
        let count = self.all.get(key).copied().unwrap_or(0) + 1;
        self.changelog.log(key.as_bytes(), Some(&count.to_be_bytes()))?;
        self.all.insert(key.to_owned(), count);
        Ok(count)
    }
}

impl CustomStore for Counts {
    fn restore(&mut self, record: ChangelogRecord<'_>) -> Result<(), BoxError> {
        let count = i64::from_be_bytes(record.value.ok_or("null")?.try_into()?);
        self.all.insert(String::from_utf8(record.key.to_vec())?, count);
        Ok(())
    }
}

/// Counts each key in a store of every kind, and hands on what they say.
struct CountsInAll {
    custom: Rc<RefCell<Counts>>,
    lru: KeyValueStore<String, i64>,
    timestamped: TimestampedKeyValueStore<String, i64>,
    versioned: VersionedKeyValueStore<String, i64>,
    sessions: SessionStore<String, i64>,
    counted: Counter,
}

impl Processor<String, String> for CountsInAll {
    type KOut = String;
    type VOut = String;

    fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
        self.counted = ctx.metrics().counter("counted_total", "Records.", &[])?;
        ctx.metrics().gauge("hosts", "Tasks.", &[])?.set(1.0);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        self.counted.inc();
        let (key, at) = (record.key.clone(), record.timestamp);
        let custom = self.custom.borrow_mut().add(&key)?;
        let lru = self.lru.get(&key)?.unwrap_or(0) + 1;
        self.lru.put(key.clone(), lru)?;
        let timestamped = self.timestamped.get(&key)?.map_or(0, |(count, _)| count) + 1;
        self.timestamped.put(key.clone(), timestamped, at)?;
        let versioned = self.versioned.get(&key)?.map_or(0, |latest| latest.value) + 1;
        self.versioned.put(key.clone(), versioned, Timestamp(versioned))?;
        let session = Session { key, start: 0, end: 9 };
        let in_session = self.sessions.fetch_session(&session)?.unwrap_or(0) + 1;
        self.sessions.put(session, in_session)?;
        let value = format!("{}:{custom} {lru} {timestamped} {versioned} {in_session}", record.key);
        ctx.forward(record.with_value(value));
        Ok(())
    }
}

fn counted() -> Topology {
    let builder = StreamsBuilder::new();
    let make = |changelog| Counts { all: BTreeMap::new(), changelog };
    let custom = builder.store(Custom::named("custom", make));
    let lru = builder.store(Lru::<String, i64>::named("lru", 100));
    let timestamped = builder.store(Timestamped::<String, i64>::named("timestamped"));
    let hour = Duration::from_secs(3_600);
    let versioned = builder.store(Versioned::<String, i64>::named("versioned", hour));
    let sessions = builder.store(Sessions::<String, i64>::named("sessions", hour));
    let stores = (&custom, &lru, &timestamped, &versioned, &sessions);
    let counting = |(custom, lru, timestamped, versioned, sessions)| CountsInAll {
        custom,
        lru,
        timestamped,
        versioned,
        sessions,
        counted: Counter::default(),
    };
    builder.stream::<String, String>("in").process("count", stores, counting).to("out");
    builder.build().unwrap()
}

/// What no commit has confirmed is forgotten by each kind of store, and counted again.
#[test]
fn stores_of_every_kind_count_once_over_aborts_and_restarts() {
    for keep_disk in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let log = log_with(&[("in", 1), ("out", 1)]);
        let start = |dir: &tempfile::TempDir| {
            let config = config(dir, ProcessingGuarantee::ExactlyOnceV2).num_stream_threads(1);
            Streams::with(counted(), config).log(Arc::new(log.clone())).start().unwrap()
        };
        let streams = start(&dir);
        let mut wanted = Vec::new();
        for count in 1..=6_i64 {
            if count % 2 == 0 {
                log.fail(Operation::Commit, Fault::Aborted, 1);
            }
            for key in ["a", "b"] {
                put(&log, 0, key, "x");
                wanted.push(format!("{key}:{count} {count} {count} {count} {count}"));
            }
            wanted.sort();
            wait_until(|| values(&log, "out"), |values| *values == wanted);
        }
        assert_eq!(aborts(&streams), 3);
        // What was done again counts once, and of the tasks that were replaced nothing is left.
        let lines = [r#"counted_total{application="app"} 12"#, r#"hosts{application="app"} 1"#];
        let has = |metrics: &String| lines.iter().all(|line| metrics.lines().any(|it| it == *line));
        wait_until(|| streams.metrics(), has);
        streams.close().unwrap();

        let other = tempfile::tempdir().unwrap();
        let streams = start(if keep_disk { &dir } else { &other });
        put(&log, 0, "a", "x");
        wanted.push("a:7 7 7 7 7".to_owned());
        wanted.sort();
        wait_until(|| values(&log, "out"), |values| *values == wanted);
        streams.close().unwrap();
    }
}

/// Joins by hand: rows of a table, which are of the task's partition, and of a global store, which are all.
struct Looks {
    prices: ReadOnlyStore<String, String>,
    names: ReadOnlyStore<String, String>,
}

impl Processor<String, String> for Looks {
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        let price = self.prices.get(&record.key)?.map_or("none".to_owned(), |(price, _)| price);
        let name = self.names.get(&record.value)?.map_or("nobody".to_owned(), |(name, _)| name);
        let all = self.names.all()?.count();
        ctx.forward(record.with_value(format!("{price} {name} of {all}")));
        Ok(())
    }
}

/// `id name` becomes the row of the id.
struct Named {
    names: TimestampedKeyValueStore<String, String>,
    ready: bool,
}

impl Processor<String, String> for Named {
    type KOut = String;
    type VOut = String;

    fn init(&mut self, _: &mut Context<'_, String, String>) -> Result<(), BoxError> {
        self.ready = true;
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        _: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        assert!(self.ready);
        let (id, name) = record.value.split_once(' ').ok_or("no name")?;
        Ok(self.names.put(id.to_owned(), name.to_owned(), record.timestamp)?)
    }
}

fn looked_up() -> Topology {
    let builder = StreamsBuilder::new();
    let prices = builder.table::<String, String>("prices", "prices");
    let names = builder.global_store("people", "names", |names| Named { names, ready: false });
    let stream = builder.stream::<String, String>("in");
    let make = |(prices, names)| Looks { prices, names };
    stream.process("look", (&prices, &names), make).to("out");
    builder.build().unwrap()
}

fn append(log: &MemoryLog, topic: &str, key: &str, value: &str) {
    let at = TopicPartition::new(topic, 0);
    log.append(&at, Some(key.as_bytes()), Some(value.as_bytes()), 5, &Headers::default()).unwrap();
}

#[test]
fn processors_read_tables_and_global_stores_and_so_do_questions() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("prices", 1), ("people", 1), ("out", 1)]);
    append(&log, "people", "x", "7 Ada");
    append(&log, "people", "x", "8 Grace");
    append(&log, "prices", "pen", "2");
    let start = || {
        let config = config(&dir, ProcessingGuarantee::ExactlyOnceV2);
        Streams::with(looked_up(), config).log(Arc::new(log.clone())).start().unwrap()
    };
    let streams = start();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    let names = streams.store::<String, String>("names");
    let ada = names.get(&"7".to_owned()).unwrap().unwrap();
    assert_eq!((ada.value.as_str(), ada.timestamp), ("Ada", Some(Timestamp(5))));
    let all: Vec<String> = names.all(9).unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!(all, ["7", "8"]);
    assert_eq!(names.reverse_range(.., 1).unwrap()[0].value, "Grace");
    let other = streams.store::<String, i64>("names").get(&"7".to_owned()).unwrap_err();
    assert!(matches!(other, crate::error::Error::Config(_)), "{other:?}");
    put(&log, 0, "pen", "8");
    wait_for(&log, "out", &["2 Grace of 2"]);
    // What comes later is seen from there on.
    append(&log, "people", "x", "9 Alan");
    wait_until(|| names.all(9).unwrap().len(), |rows| *rows == 3);
    streams.close().unwrap();

    let streams = start();
    put(&log, 0, "ink", "9");
    wait_for(&log, "out", &["2 Grace of 2", "none Alan of 3"]);
    streams.close().unwrap();
}
