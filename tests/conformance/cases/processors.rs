//! Processors with stores: `process-punctuate`, `dedupe-by-window`, `kv-range`, `processor-api`,
//! `process-values`, `window-store-range`, `window-store-duplicates`.

use std::time::Duration;

use anyhow::Result;
use millstream::record::{Record, Timestamp};
use millstream::{
    BoxError, Consumed, Context, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, KeyValue,
    KeyValueStore, NodeName, Processor, Produced, PunctuationType, Schedule, StreamsBuilder,
    Topology, Window, WindowStore,
};

use crate::cases::Case;
use crate::check::{Contents, Output};

const TEXTS: &[(&str, Output)] = &[("out", Output::Texts)];

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "process-punctuate",
        topology: process_punctuate,
        outputs: TEXTS,
        stores: &[("seen", "kv", Contents::Longs)],
    },
    Case { name: "dedupe-by-window", topology: dedupe_by_window, outputs: TEXTS, stores: &[] },
    Case {
        name: "kv-range",
        topology: kv_range,
        outputs: TEXTS,
        stores: &[("kr", "kv", Contents::Texts)],
    },
    Case { name: "window-store-range", topology: window_store_range, outputs: TEXTS, stores: &[] },
    Case {
        name: "window-store-duplicates",
        topology: window_store_duplicates,
        outputs: TEXTS,
        stores: &[],
    },
    Case {
        name: "process-values",
        topology: process_values,
        outputs: TEXTS,
        stores: &[("last", "kv", Contents::Texts)],
    },
    Case {
        name: "processor-api",
        topology: processor_api,
        outputs: &[("u", Output::Texts), ("n", Output::Texts)],
        stores: &[("n", "kv", Contents::Longs)],
    },
];

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn process_punctuate() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let seen = builder.store(KeyValue::<String, i64>::named("seen"));
    builder
        .stream::<String, String>("in")
        .process(NodeName::generated(), &seen, |seen| CountSeen { seen, records: 0, wall: None })
        .to("out");
    Ok(builder.build()?)
}

/// Counts per key, and tells at each punctuation of its two clocks.
struct CountSeen {
    seen: KeyValueStore<String, i64>,
    records: u64,
    wall: Option<Schedule>,
}

impl Processor<String, String> for CountSeen {
    type KOut = String;
    type VOut = String;

    fn init(&mut self, ctx: &mut Context<'_, String, String>) -> Result<(), BoxError> {
        ctx.schedule(TEN_SECONDS, PunctuationType::StreamTime);
        self.wall = Some(ctx.schedule(TEN_SECONDS, PunctuationType::WallClockTime));
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        self.records += 1;
        let count = self.seen.get(&record.key)?.unwrap_or(0) + 1;
        self.seen.put(record.key.clone(), count)?;
        let value = format!("{}#{count}", record.value);
        ctx.forward(record.with_value(value));
        Ok(())
    }

    fn punctuate(
        &mut self,
        which: Schedule,
        now: Timestamp,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        let (key, value) = if Some(which) == self.wall {
            ("wall", self.records.to_string())
        } else {
            ("stream", now.0.to_string())
        };
        ctx.forward(Record::new(key.to_owned(), value, now));
        Ok(())
    }
}

fn dedupe_by_window() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let store = Window::<String, i64>::named("dedupe", Duration::from_secs(30), TEN_SECONDS);
    let firsts = builder.store(store);
    builder
        .stream::<String, String>("in")
        .process_values(NodeName::generated(), &firsts, |firsts| Dedupe { firsts })
        .to("out");
    Ok(builder.build()?)
}

/// Drops what was seen less than 10 s before or after.
struct Dedupe {
    firsts: WindowStore<String, i64>,
}

impl FixedKeyProcessor<String, String> for Dedupe {
    type VOut = String;

    fn process(
        &mut self,
        record: FixedKeyRecord<String, String>,
        ctx: &mut FixedKeyContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let key = format!("{}:{}", record.key(), record.value);
        let at = record.timestamp;
        let (from, to) = (Timestamp(at.0 - 10_000), Timestamp(at.0 + 10_000));
        if self.firsts.fetch_range(&key, from, to)?.next().transpose()?.is_none() {
            self.firsts.put(key, at.0, at)?;
            ctx.forward(record);
        }
        Ok(())
    }
}

fn kv_range() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let store = builder.store(KeyValue::<String, String>::named("kr"));
    builder
        .stream::<String, String>("in")
        .process(NodeName::generated(), &store, |store| Ranges { store })
        .to("out");
    Ok(builder.build()?)
}

/// Puts or deletes, then tells what ranges of its store look like.
struct Ranges {
    store: KeyValueStore<String, String>,
}

fn joined(parts: impl Iterator<Item = millstream::Result<String>>) -> Result<String, BoxError> {
    let parts: millstream::Result<Vec<String>> = parts.collect();
    Ok(parts?.join(","))
}

impl Processor<String, String> for Ranges {
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        let key = &record.key;
        let (what, digit) = record.value.split_at(1);
        let row = format!("{key}{digit}");
        if what == "D" {
            self.store.delete(&row)?;
        } else {
            self.store.put(row, format!("{}@{}", record.value, record.timestamp.0))?;
        }
        let entry = |entry: millstream::Result<(String, String)>| {
            entry.map(|(key, value)| format!("{key}={value}"))
        };
        let range = format!("{key}2")..=format!("{key}7");
        let ascending = joined(self.store.range(range.clone())?.map(entry))?;
        let descending = joined(self.store.reverse_range(range)?.map(entry))?;
        let of_key = self.store.prefix_scan(key)?.map(|entry| entry.map(|(key, _)| key));
        let of_key = joined(of_key)?;
        let all = self.store.all()?.count();
        ctx.forward(record.with_value(format!("{ascending}/{descending}/{of_key}/{all}")));
        Ok(())
    }
}

fn window_store_range() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let store = Window::<String, String>::named("ws", Duration::from_secs(60), TEN_SECONDS);
    let store = builder.store(store);
    builder
        .stream::<String, String>("in")
        .process(NodeName::generated(), &store, |store| WindowRanges { store })
        .to("out");
    Ok(builder.build()?)
}

/// Puts, then tells what ranges of time look like.
struct WindowRanges {
    store: WindowStore<String, String>,
}

impl Processor<String, String> for WindowRanges {
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        let at = record.timestamp;
        self.store.put(record.key.clone(), record.value.clone(), at)?;
        let (from, to) = (Timestamp(at.0 - 15_000), Timestamp(at.0 + 15_000));
        let value = |entry: millstream::Result<(Timestamp, String)>| entry.map(|(_, value)| value);
        let around = joined(self.store.fetch_range(&record.key, from, to)?.map(value))?;
        let back = joined(self.store.backward_fetch(&record.key, from, at)?.map(value))?;
        let all = self.store.fetch_all(from, at).count();
        ctx.forward(record.with_value(format!("{around}/{back}/{all}")));
        Ok(())
    }
}

fn window_store_duplicates() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let store = Window::named("wd", Duration::from_secs(60), TEN_SECONDS).with_duplicates();
    let store = builder.store(store);
    builder
        .stream::<String, Option<String>>("in")
        .process(NodeName::generated(), &store, |store| Duplicates { store })
        .to("out");
    Ok(builder.build()?)
}

/// Puts, then tells what was put around that time.
struct Duplicates {
    store: WindowStore<String, Option<String>>,
}

impl Processor<String, Option<String>> for Duplicates {
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, Option<String>>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        let at = record.timestamp;
        self.store.put(record.key.clone(), record.value.clone(), at)?;
        let (from, to) = (Timestamp(at.0 - 5_000), Timestamp(at.0 + 5_000));
        let value = |entry: millstream::Result<(Timestamp, Option<String>)>| {
            entry.map(|(_, value)| value.unwrap_or_default())
        };
        let around = joined(self.store.fetch_range(&record.key, from, to)?.map(value))?;
        ctx.forward(record.with_value(around));
        Ok(())
    }
}

fn process_values() -> Result<Topology> {
    let builder = StreamsBuilder::new().allow_generated_names();
    let last = builder.store(KeyValue::<String, String>::named("last"));
    builder
        .stream::<String, Option<String>>("in")
        .process_values(NodeName::generated(), &last, |last| Previous { last })
        .to("out");
    Ok(builder.build()?)
}

/// Tells the previous value of each key.
struct Previous {
    last: KeyValueStore<String, String>,
}

impl FixedKeyProcessor<String, Option<String>> for Previous {
    type VOut = String;

    fn process(
        &mut self,
        record: FixedKeyRecord<String, Option<String>>,
        ctx: &mut FixedKeyContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        let Some(value) = record.value.clone() else {
            self.last.delete(record.key())?;
            return Ok(());
        };
        let previous = self.last.get(record.key())?.unwrap_or_else(|| "none".to_owned());
        self.last.put(record.key().clone(), value.clone())?;
        ctx.forward(record.with_value(format!("{previous}>{value}")));
        Ok(())
    }
}

fn processor_api() -> Result<Topology> {
    let builder = StreamsBuilder::new();
    let counts = builder.store(KeyValue::<String, i64>::named("n"));
    let source = Consumed::from("in").named("src");
    let split = builder.stream::<String, String>(source).process("split", (), |()| Fork);
    split.process("upper", (), |()| Upper).to(Produced::from("u").named("su"));
    split
        .process("count", &counts, |counts| CountKeys { counts })
        .to(Produced::from("n").named("sn"));
    Ok(builder.build()?)
}

/// Sends a record to one child by its key, or to both.
struct Fork;

impl Processor<String, String> for Fork {
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        if record.value.ends_with('0') {
            let value = format!("{}*", record.value);
            ctx.forward(record.with_value(value));
        } else if record.key == "a" || record.key == "b" {
            ctx.forward_to("upper", record);
        } else {
            ctx.forward_to("count", record);
        }
        Ok(())
    }
}

/// Puts the value into upper case and says so in a header.
struct Upper;

impl Processor<String, String> for Upper {
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        mut record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        record.headers.push("by", Some(b"upper".to_vec()));
        let value = record.value.to_uppercase();
        ctx.forward(record.with_value(value));
        Ok(())
    }
}

/// Counts per key, and dates what it forwards one millisecond earlier.
struct CountKeys {
    counts: KeyValueStore<String, i64>,
}

impl Processor<String, String> for CountKeys {
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        let count = self.counts.get(&record.key)?.unwrap_or(0) + 1;
        self.counts.put(record.key.clone(), count)?;
        let at = Timestamp(record.timestamp.0 - 1);
        ctx.forward(record.with_value(count.to_string()).with_timestamp(at));
        Ok(())
    }
}
