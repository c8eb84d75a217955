//! `replay`: files go through the topology without a broker, and what comes out is printed.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use millstream::log::memory::MemoryRecord;
use millstream::record::{Headers, Timestamp};
use millstream::testing::{DriverOptions, TopologyDriver};
use serde::Serialize;
use serde_json::{Map, Value};

use super::topics;
use super::topology::{Settings, topology};

/// What closes everything at the end.
const DAY: Duration = Duration::from_secs(86_400);
/// As the application has it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(2);
const OUTPUTS: [&str; 5] =
    [topics::WINDOWS, topics::CLOSED_WINDOWS, topics::CLIENTS, topics::BILLS, topics::DEAD_LETTERS];

/// What goes in, and what is printed.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// Invoices, one a line
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Rows of customers that are there before, one a line; the id is the key
    #[arg(long, value_name = "FILE")]
    customers: Option<PathBuf>,
    /// Rows of products that are there before, one a line; the id is the key
    #[arg(long, value_name = "FILE")]
    products: Option<PathBuf>,
    /// Bills to be made, one a line, after the invoices
    #[arg(long, value_name = "FILE")]
    bill_requests: Option<PathBuf>,
    /// Prints the records of this topic only
    #[arg(long, default_value = "all")]
    topic: String,
    /// The time of all records, which issued_at may be a day ahead of [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
}

/// A record that came out, as a line.
#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    key: Option<Value>,
    value: Option<Value>,
    headers: Map<String, Value>,
}

impl Files {
    /// Prints what comes out, at the end as if a day had passed.
    ///
    /// # Errors
    /// A file that cannot be read, a topic that is none, what the application would have stopped with.
    pub(super) fn replay(&self, settings: &Settings, out: &mut impl Write) -> anyhow::Result<()> {
        let wanted: Vec<&str> = match self.topic.as_str() {
            "all" => OUTPUTS.to_vec(),
            one if OUTPUTS.contains(&one) => vec![one],
            other => bail!("no topic {other}: all, {}", OUTPUTS.join(", ")),
        };
        let options = DriverOptions {
            application_id: "invoice-totals".to_owned(),
            idle_timeout: Some(IDLE_TIMEOUT),
            ..DriverOptions::default()
        };
        let mut driver = TopologyDriver::with_options(&topology(settings)?, &options)?;
        let inputs = [
            (topics::CUSTOMERS, self.customers.as_deref()),
            (topics::PRODUCTS, self.products.as_deref()),
            (topics::INVOICES, Some(&*self.input)),
            (topics::BILL_REQUESTS, self.bill_requests.as_deref()),
        ];
        let at = Timestamp(self.at.unwrap_or_else(jiff::Timestamp::now).as_millisecond());
        for (topic, file) in inputs {
            let Some(file) = file else { continue };
            for line in lines(file)?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let key = id_of(line);
                let record = (key.as_deref().map(str::as_bytes), Some(line));
                driver.pipe_raw(topic, record, at, &Headers::default())?;
                print(&mut driver, &wanted, out)?;
            }
        }
        driver.advance_wall_clock(DAY)?;
        print(&mut driver, &wanted, out)
    }
}

fn lines(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

/// The key of a row.
fn id_of(line: &[u8]) -> Option<String> {
    let row: Value = serde_json::from_slice(line).ok()?;
    row.get("id")?.as_str().map(str::to_owned)
}

fn print(driver: &mut TopologyDriver, wanted: &[&str], out: &mut impl Write) -> anyhow::Result<()> {
    for topic in wanted {
        // A policy that sends no dead letters has no topic for them.
        if !driver.topic_names().iter().any(|name| name == topic) {
            continue;
        }
        for record in driver.read_raw(topic)? {
            serde_json::to_writer(&mut *out, &line(topic, &record))?;
            writeln!(out)?;
        }
    }
    Ok(())
}

fn line<'a>(topic: &'a str, record: &MemoryRecord) -> Line<'a> {
    let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
    let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap_or_else(|_| text(bytes));
    let headers = record.headers.iter().map(|header| {
        let value = header.value.as_deref().map_or(Value::Null, text);
        (header.name.to_string(), value)
    });
    Line {
        topic,
        key: record.key.as_deref().map(text),
        value: record.value.as_deref().map(json),
        headers: headers.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replayed(topic: &str) -> anyhow::Result<Vec<String>> {
        let dir = tempfile::tempdir()?;
        let file = |name: &str, lines: &str| {
            let path = dir.path().join(name);
            fs::write(&path, lines).map(|()| path)
        };
        let invoices = concat!(
            r#"{"number":"1","client":"A","amount":"0.10","issued_at":"2026-11-22T10:00:00Z"}"#,
            "\nno invoice\n\n",
            r#"{"number":"1","client":"A","amount":"0.10","issued_at":"2026-11-22T10:00:00Z"}"#,
            "\n",
            r#"{"number":"2","client":"B","amount":"0.20","issued_at":"2026-11-22T10:00:01Z"}"#,
        );
        let files = Files {
            input: file("invoices", invoices)?,
            customers: Some(file("customers", r#"{"id":"c","name":"Ada"}"#)?),
            products: Some(file("products", r#"{"id":"p","name":"Pen","price":"2"}"#)?),
            bill_requests: Some(file(
                "bills",
                r#"{"id":"7","customer_id":"c","lines":[{"product_id":"p","quantity":3}]}"#,
            )?),
            topic: topic.to_owned(),
            at: Some("2026-11-22T10:00:00Z".parse()?),
        };
        let mut out = Vec::new();
        files.replay(&Settings::default(), &mut out)?;
        Ok(String::from_utf8(out)?.lines().map(str::to_owned).collect())
    }

    #[test]
    fn everything_comes_out_and_the_last_window_closes() {
        let closed = r#"{"topic":"totals-5s-final","key":"all","value":{"count":2,"currency":"EUR","from":"2026-11-22T10:00:00.000Z","to":"2026-11-22T10:00:05.000Z","total":"0.30"},"headers":{}}"#;
        assert_eq!(replayed("totals-5s-final").unwrap(), [closed]);
        let all = replayed("all").unwrap();
        let topics: Vec<Value> = (all.iter())
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["topic"].clone())
            .collect();
        let wanted = [
            "totals-5s",
            "totals-by-client",
            "invoice-totals-dlq",
            "totals-5s",
            "totals-by-client",
            "bills",
            "totals-5s-final",
        ];
        assert_eq!(topics, wanted);
        let letter: Value = serde_json::from_str(&all[2]).unwrap();
        assert_eq!(letter["value"], "no invoice");
        assert_eq!(letter["headers"]["__streams.errors.exception"], "Unreadable");
        assert!(
            all[5].contains(r#""name":"Ada""#) && all[5].contains(r#""total":"6.00""#),
            "{}",
            all[5]
        );
    }

    #[test]
    fn a_topic_that_is_none_is_refused() {
        let refusal = replayed("totals").unwrap_err().to_string();
        assert!(refusal.starts_with("no topic totals: all, totals-5s, "), "{refusal}");
    }
}
