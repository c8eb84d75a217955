//! The public API as its users write it: topologies as in the documentation, run on the driver.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use millstream::record::{Record, Timestamp, Windowed};
use millstream::serde::{HasSerde, Json, Plain, WindowedSerde};
use millstream::testing::TopologyDriver;
use millstream::{
    BoxError, Consumed, Context, JoinWindows, Joined, KeyValue, KeyValueStore, Materialized,
    OnError, Processor, Produced, PunctuationType, Schedule, StreamJoined, StreamsBuilder,
    TableJoined, TimeWindows, Topology, TopologyErrors, Window,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Invoice {
    number: String,
    client: String,
    cents: i64,
}

impl HasSerde for Invoice {
    type Serde = Json;
}

fn invoice(number: &str, client: &str, cents: i64, at: i64) -> Record<String, Invoice> {
    let (number, client) = (number.to_owned(), client.to_owned());
    Record::new(number.clone(), Invoice { number, client, cents }, Timestamp(at))
}

fn totals() -> Result<Topology, TopologyErrors> {
    let builder = StreamsBuilder::new();
    let source = Consumed::from("FACTURATION").on_error(OnError::DeadLetter("bad-invoices".into()));
    let invoices = builder.stream::<String, Invoice>(source);
    invoices
        .group_by(|_, _| "all".to_owned())
        .windowed_by(TimeWindows::of(Duration::from_secs(5)).grace(Duration::from_secs(1)))
        .aggregate("totals-5s", || 0, |_, invoice, total| *total += invoice.cents)
        .updates()
        .to("totals-5s");
    invoices
        .group_by(|_, invoice| invoice.client.clone())
        .aggregate("totals-by-client", || 0, |_, invoice, total| *total += invoice.cents)
        .updates()
        .to("totals-by-client");
    builder.build()
}

#[test]
fn totals_by_window_and_by_client() -> Result<(), BoxError> {
    let mut driver = TopologyDriver::new(&totals()?)?;
    driver.pipe("FACTURATION", &invoice("1", "acme", 100, 1_000))?;
    driver.pipe("FACTURATION", &invoice("2", "acme", 50, 6_000))?;
    driver.pipe("FACTURATION", &Record::new("3".to_owned(), "{".to_owned(), Timestamp(7_000)))?;
    let keys = WindowedSerde::<Plain>::of_size(Duration::from_secs(5));
    let windows = driver.read_with::<Windowed<String>, i64>("totals-5s", &keys, &Plain)?;
    let windows: Vec<(i64, i64)> = windows.iter().map(|r| (r.key.start, r.value)).collect();
    assert_eq!(windows, [(0, 100), (5_000, 50)]);
    let clients = driver.read::<String, i64>("totals-by-client")?;
    assert_eq!(clients.last().map(|r| (r.key.as_str(), r.value)), Some(("acme", 150)));
    assert_eq!(driver.read::<String, String>("bad-invoices")?.len(), 1);
    Ok(())
}

#[test]
fn words_are_counted() -> Result<(), BoxError> {
    let builder = StreamsBuilder::new();
    builder
        .stream::<Option<String>, String>("lines")
        .flat_map_values(|line| line.split_whitespace().map(String::from).collect::<Vec<_>>())
        .group_by(|_, word| word.clone())
        .count("words")
        .to_stream()
        .to("counts");
    let mut driver = TopologyDriver::new(&builder.build()?)?;
    driver.pipe("lines", &Record::new(None::<String>, "a b a".to_owned(), Timestamp(1)))?;
    let counts = driver.table::<String, i64>("words")?;
    assert_eq!(counts, [("a".to_owned(), 2, Timestamp(1)), ("b".to_owned(), 1, Timestamp(1))]);
    Ok(())
}

#[test]
fn branches_and_policies() -> Result<(), BoxError> {
    let builder = StreamsBuilder::new();
    let by_level = builder.stream::<String, String>("logs").split("by-level-");
    let errors = by_level.branch("errors", |_, line| line.contains("ERROR"));
    let rest = by_level.default_branch("rest");
    errors.to("errors");
    rest.try_map_values(|line| line.parse::<i64>())
        .on_error(OnError::Skip)
        .named("numbers")
        .to("numbers");
    let mut driver = TopologyDriver::new(&builder.build()?)?;
    for line in ["ERROR 1", "2", "three"] {
        driver.pipe("logs", &Record::new("k".to_owned(), line.to_owned(), Timestamp(1)))?;
    }
    assert_eq!(driver.read::<String, String>("errors")?.len(), 1);
    assert_eq!(driver.read::<String, i64>("numbers")?[0].value, 2);
    Ok(())
}

struct Dedupe {
    seen: KeyValueStore<String, i64>,
}

impl Processor<String, Invoice> for Dedupe {
    type KOut = String;
    type VOut = Invoice;

    fn init(&mut self, ctx: &mut Context<'_, String, Invoice>) -> Result<(), BoxError> {
        ctx.schedule(Duration::from_secs(60), PunctuationType::StreamTime);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record<String, Invoice>,
        ctx: &mut Context<'_, String, Invoice>,
    ) -> Result<(), BoxError> {
        if self.seen.get(&record.value.number)?.is_none() {
            self.seen.put(record.value.number.clone(), record.timestamp.0)?;
            ctx.forward(record);
        }
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        now: Timestamp,
        _: &mut Context<'_, String, Invoice>,
    ) -> Result<(), BoxError> {
        for entry in self.seen.range(..)? {
            let (number, at) = entry?;
            if at < now.0 - 60_000 {
                self.seen.delete(&number)?;
            }
        }
        Ok(())
    }
}

#[test]
fn a_processor_forgets_what_is_old() -> Result<(), BoxError> {
    let builder = StreamsBuilder::new();
    let seen = builder.store(KeyValue::<String, i64>::named("seen"));
    builder
        .stream::<String, Invoice>("FACTURATION")
        .process("dedupe", &seen, |seen| Dedupe { seen })
        .to("unique");
    let mut driver = TopologyDriver::new(&builder.build()?)?;
    // The record at 180 s is still a duplicate; what it makes due then forgets the first one.
    for at in [0, 1_000, 180_000, 181_000, 182_000] {
        driver.pipe("FACTURATION", &invoice("1", "acme", 100, at))?;
    }
    let unique = driver.read::<String, Invoice>("unique")?;
    assert_eq!(unique.iter().map(|r| r.timestamp.0).collect::<Vec<_>>(), [0, 181_000]);
    Ok(())
}

/// Each way that the message for a type without a serde names, for a type that can have none.
#[test]
fn the_message_for_a_missing_serde_names_what_there_is() -> Result<(), BoxError> {
    type Counts = BTreeMap<String, u64>;
    let builder = StreamsBuilder::new();
    let mut ways = BTreeSet::new();
    builder.store(KeyValue::<String, Counts>::with_serdes("kv", Plain, Json));
    ways.insert("KeyValue::with_serdes");
    let day = Duration::from_secs(86_400);
    let windows = Window::<String, Counts>::with_serdes("w", day, day, Plain, Json);
    builder.store(windows);
    ways.insert("Window::with_serdes");
    let source = Consumed::<String, Counts>::with_serdes("in", Plain, Json);
    ways.insert("Consumed::with_serdes");
    let stream = builder.stream(source).repartition_with("r", Plain, Json);
    ways.insert("KStream::repartition_with");
    let kept = Materialized::<String, Counts>::with_serdes("kept", Plain, Json);
    ways.insert("Materialized::with_serdes");
    let table = stream.group_by_key_with(Plain, Json).reduce(kept, |_, new| new);
    ways.insert("KStream::group_by_key_with");
    let by_key = table.group_by_with(Plain, Json, |key, counts| (key.clone(), counts.clone()));
    by_key.count("groups");
    ways.insert("KTable::group_by_with");
    let names = builder.table::<String, String>("names", "names");
    let how = Joined::<String, Counts>::with_serdes("named", Plain, Json);
    stream.join_table_with(how, &names, |_, name| name.clone()).to("named");
    ways.insert("Joined::with_serdes");
    let how = StreamJoined::with_serdes("joined", Plain, (Json, Json));
    let windows = JoinWindows::within(day).no_grace();
    stream.join(how, &stream, windows, |_, _| 1_i64).to("joined");
    ways.insert("StreamJoined::with_serdes");
    let how = TableJoined::with_serdes("foreign", Json, Plain);
    let named = table.join_foreign(how, &names, |key, _| Some(key.clone()), |_, name| name.clone());
    named.updates().to("named-by-key");
    ways.insert("TableJoined::with_serdes");
    table.updates().to(Produced::<String, Counts>::with_serdes("out", Plain, Json));
    ways.insert("Produced::with_serdes");
    let serde = include_str!("../src/serde/mod.rs");
    let note =
        serde.lines().find(|line| line.contains("note = \"another crate's type")).ok_or("?")?;
    let named = note.split('`').skip(1).step_by(2).collect::<BTreeSet<_>>();
    assert_eq!(named, ways);
    Ok(())
}
