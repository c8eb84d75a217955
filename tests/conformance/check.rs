//! Runs one vector through the topology of its case and compares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millstream::record::{Headers, Record, Session, Timestamp, Windowed};
use millstream::serde::{HasSerde, Nullable, Plain, Serde, SessionSerde, WindowedSerde};
use millstream::testing::{DriverOptions, TopologyDriver};
use serde_json::{Map, Value, json};

use crate::cases::Case;
use crate::vector::{InternalRecord, Step, StoreContents, Vector};

/// How the records of an output topic are read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Output {
    Texts,
    Longs,
    /// Keys of windows of this size in milliseconds.
    WindowedLongs(u64),
    /// The same, with texts.
    WindowedTexts(u64),
    /// Keys of sessions.
    SessionLongs,
    SessionTexts,
}

/// How a store is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Contents {
    TextTable,
    /// Of a table whose types have no nulls.
    StrictTextTable,
    /// Of one whose keys alone may be null.
    RowTexts,
    LongTable,
    WindowedLongTable,
    WindowedTextTable,
    SessionTexts,
    SessionLongs,
    Texts,
    Longs,
}

/// Runs a vector twice: with its state in memory, and in RocksDB.
pub(crate) fn run(case: &Case, vector: &Vector) -> Result<()> {
    run_with(case, vector, None).context("in memory")?;
    let dir = tempfile::tempdir()?;
    run_with(case, vector, Some(dir.path().to_owned())).context("on disk")
}

fn run_with(case: &Case, vector: &Vector, state_dir: Option<PathBuf>) -> Result<()> {
    let topology = (case.topology)()?;
    let described = topology.describe();
    ensure!(
        described.trim_end() == vector.describe.trim_end(),
        "describe\n  want {:?}\n  got  {described:?}",
        vector.describe
    );
    let mut driver = TopologyDriver::with_options(
        &topology,
        &DriverOptions { state_dir, ..DriverOptions::default() },
    )?;
    let internal = vector.internal_topics();
    for (index, step) in vector.steps.iter().enumerate() {
        let checked = take(&mut driver, step)
            .and_then(|()| check_outputs(&mut driver, case, step))
            .and_then(|()| check_internal(&mut driver, &internal, step));
        checked.with_context(|| format!("step {index}: {}", told(step)))?;
    }
    for (name, contents) in &vector.stores {
        check_store(&driver, case, name, contents).with_context(|| format!("store {name}"))?;
    }
    Ok(())
}

fn told(step: &Step) -> String {
    match step.advance_wall_clock_ms {
        Some(ms) => format!("wall clock + {ms} ms"),
        None => format!("{:?} {:?} at {}", step.key, step.value, step.ts),
    }
}

fn take(driver: &mut TopologyDriver, step: &Step) -> Result<()> {
    if let Some(ms) = step.advance_wall_clock_ms {
        return Ok(driver.advance_wall_clock(Duration::from_millis(ms))?);
    }
    let topic = step.topic.as_deref().context("a step has a topic or moves the clock")?;
    let mut headers = Headers::default();
    for (name, value) in &step.headers {
        headers.push(name.as_str(), Some(value.clone().into_bytes()));
    }
    let key = step.key.as_deref().map(str::as_bytes);
    let value = step.value.as_deref().map(str::as_bytes);
    Ok(driver.pipe_raw(topic, (key, value), Timestamp(step.ts), &headers)?)
}

fn check_outputs(driver: &mut TopologyDriver, case: &Case, step: &Step) -> Result<()> {
    for (topic, output) in case.outputs {
        let want: Vec<&Value> =
            step.out.iter().filter(|record| record["topic"] == *topic).collect();
        let got = read_output(driver, topic, *output)?;
        ensure!(
            want == got.iter().collect::<Vec<_>>(),
            "topic {topic}\n  want {want:?}\n  got  {got:?}"
        );
    }
    for record in &step.out {
        let known = case.outputs.iter().any(|(topic, _)| record["topic"] == *topic);
        ensure!(known, "the case does not read topic {}", record["topic"]);
    }
    Ok(())
}

fn read_output(driver: &mut TopologyDriver, topic: &str, output: Output) -> Result<Vec<Value>> {
    match output {
        Output::Texts => plain_output::<String>(driver, topic),
        Output::Longs => plain_output::<i64>(driver, topic),
        Output::SessionLongs => session_output::<i64>(driver, topic),
        Output::SessionTexts => session_output::<String>(driver, topic),
        Output::WindowedLongs(size_ms) => {
            let keys = WindowedSerde::<Plain>::of_size(Duration::from_millis(size_ms));
            let values = Nullable(Plain);
            let read = driver.read_with::<Windowed<String>, Option<i64>>(topic, &keys, &values)?;
            let record = |r: Record<Windowed<String>, Option<i64>>| {
                as_json(topic, windowed_key(&r.key), json!(r.value), r.timestamp, &r.headers)
            };
            Ok(read.into_iter().map(record).collect())
        }
        Output::WindowedTexts(size_ms) => {
            let keys = WindowedSerde::<Plain>::of_size(Duration::from_millis(size_ms));
            let values = Nullable(Plain);
            let read =
                driver.read_with::<Windowed<String>, Option<String>>(topic, &keys, &values)?;
            let record = |r: Record<Windowed<String>, Option<String>>| {
                as_json(topic, windowed_key(&r.key), json!(r.value), r.timestamp, &r.headers)
            };
            Ok(read.into_iter().map(record).collect())
        }
    }
}

fn windows<V: HasSerde + Clone + Send + serde::Serialize + 'static>(
    driver: &TopologyDriver,
    name: &str,
) -> Result<Vec<Value>> {
    let rows = driver.windowed_table::<Option<String>, V>(name)?.into_iter();
    let row = |(key, value, at): (Windowed<Option<String>>, V, Timestamp)| {
        let key = json!({ "key": key.key, "start": key.start, "end": key.end });
        json!({ "key": key, "value": value, "ts": at.0 })
    };
    Ok(rows.map(row).collect())
}

fn sessions<V: Clone + Send + serde::Serialize + 'static>(
    driver: &TopologyDriver,
    name: &str,
) -> Result<Vec<Value>> {
    let rows = driver.session_table::<Option<String>, V>(name)?.into_iter();
    let row = |(key, value, _): (Session<Option<String>>, V, Timestamp)| {
        let key = json!({ "key": key.key, "start": key.start, "end": key.end });
        json!({ "key": key, "value": value })
    };
    Ok(rows.map(row).collect())
}

fn session_output<V>(driver: &mut TopologyDriver, topic: &str) -> Result<Vec<Value>>
where
    V: HasSerde + serde::Serialize,
    Plain: Serde<V>,
{
    let (keys, values) = (SessionSerde(Plain), Nullable(Plain));
    let read = driver.read_with::<Session<String>, Option<V>>(topic, &keys, &values)?;
    let record = |r: Record<Session<String>, Option<V>>| {
        as_json(
            topic,
            json!({ "key": r.key.key, "start": r.key.start, "end": r.key.end }),
            json!(r.value),
            r.timestamp,
            &r.headers,
        )
    };
    Ok(read.into_iter().map(record).collect())
}

fn plain_output<V>(driver: &mut TopologyDriver, topic: &str) -> Result<Vec<Value>>
where
    V: HasSerde + serde::Serialize,
    Plain: Serde<V>,
{
    let (keys, values) = (Nullable(Plain), Nullable(Plain));
    let read = driver.read_with::<Option<String>, Option<V>>(topic, &keys, &values)?;
    let record = |r: Record<Option<String>, Option<V>>| {
        as_json(topic, json!(r.key), json!(r.value), r.timestamp, &r.headers)
    };
    Ok(read.into_iter().map(record).collect())
}

fn windowed_key(key: &Windowed<String>) -> Value {
    json!({ "key": key.key, "start": key.start, "end": key.end })
}

fn as_json(topic: &str, key: Value, value: Value, at: Timestamp, headers: &Headers) -> Value {
    let mut record = Map::new();
    record.insert("topic".to_owned(), json!(topic));
    record.insert("key".to_owned(), key);
    record.insert("value".to_owned(), value);
    record.insert("ts".to_owned(), json!(at.0));
    let headers = texts(headers);
    if !headers.is_empty() {
        record.insert("headers".to_owned(), json!(headers));
    }
    Value::Object(record)
}

fn texts(headers: &Headers) -> BTreeMap<String, String> {
    headers
        .iter()
        .map(|header| {
            let value = header.value.as_deref().map(String::from_utf8_lossy).unwrap_or_default();
            (header.name.to_string(), value.into_owned())
        })
        .collect()
}

/// The records of one key, in order.
type ByKey<'a> = BTreeMap<(&'a str, Option<&'a str>), Vec<&'a InternalRecord>>;

fn check_internal(driver: &mut TopologyDriver, topics: &[String], step: &Step) -> Result<()> {
    let untimed = |topic: &str| step.internal.iter().any(|r| r.topic == topic && r.ts.is_none());
    let mut got = Vec::new();
    for topic in topics {
        for raw in driver.read_raw(topic)? {
            got.push(InternalRecord {
                topic: topic.clone(),
                key_hex: raw.key.as_deref().map(hex),
                value_hex: raw.value.as_deref().map(hex),
                ts: Some(raw.timestamp).filter(|_| !untimed(topic)),
                headers: texts(&raw.headers),
            });
        }
    }
    let (want, got) = (by_key(&step.internal), by_key(&got));
    ensure!(want == got, "internal topics\n  want {want:?}\n  got  {got:?}");
    Ok(())
}

fn by_key(records: &[InternalRecord]) -> ByKey<'_> {
    let mut by_key = ByKey::new();
    for record in records {
        let key = (record.topic.as_str(), record.key_hex.as_deref());
        by_key.entry(key).or_default().push(record);
    }
    by_key
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_store(
    driver: &TopologyDriver,
    case: &Case,
    name: &str,
    contents: &StoreContents,
) -> Result<()> {
    let known = case.stores.iter().find(|(store, _, _)| *store == name);
    let (_, kind, shape) = known.context("the case does not read it")?;
    ensure!(contents.kind == *kind, "kind: want {}, the case says {kind}", contents.kind);
    let mut got = read_store(driver, name, *shape)?;
    let mut want = contents.entries.clone();
    let text = |value: &Value| value.to_string();
    got.sort_by_key(text);
    want.sort_by_key(text);
    ensure!(want == got, "\n  want {want:?}\n  got  {got:?}");
    Ok(())
}

fn read_store(driver: &TopologyDriver, name: &str, shape: Contents) -> Result<Vec<Value>> {
    let row =
        |key: Value, value: Value, at: Timestamp| json!({ "key": key, "value": value, "ts": at.0 });
    Ok(match shape {
        Contents::TextTable => {
            let rows = driver.table::<Option<String>, Option<String>>(name)?;
            rows.into_iter().map(|(key, value, at)| row(json!(key), json!(value), at)).collect()
        }
        Contents::StrictTextTable => {
            let rows = driver.table::<String, String>(name)?;
            rows.into_iter().map(|(key, value, at)| row(json!(key), json!(value), at)).collect()
        }
        Contents::RowTexts => {
            let rows = driver.table::<Option<String>, String>(name)?;
            rows.into_iter().map(|(key, value, at)| row(json!(key), json!(value), at)).collect()
        }
        Contents::LongTable => {
            let rows = driver.table::<Option<String>, i64>(name)?;
            rows.into_iter().map(|(key, value, at)| row(json!(key), json!(value), at)).collect()
        }
        Contents::WindowedLongTable => windows::<i64>(driver, name)?,
        Contents::WindowedTextTable => windows::<String>(driver, name)?,
        Contents::SessionTexts => sessions::<Option<String>>(driver, name)?,
        Contents::SessionLongs => sessions::<i64>(driver, name)?,
        Contents::Texts => {
            let store = driver.key_value_store::<String, String>(name)?;
            let entries: millstream::Result<Vec<(String, String)>> = store.all()?.collect();
            entries?.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
        }
        Contents::Longs => {
            let store = driver.key_value_store::<String, i64>(name)?;
            let entries: millstream::Result<Vec<(String, i64)>> = store.all()?.collect();
            entries?.into_iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
        }
    })
}
