//! The application of invoices as its users run it: two processes on a real Kafka, one killed under load. Every invoice
//! counts once in every total.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use millstream::StreamsConfig;
use millstream::client::{Assignment, Consumer, Producer};
use millstream::log::Log;
use millstream::record::{Record, Timestamp};
use millstream::serde::Json;
use millstream_tests::kafka::Broker;
use millstream_tests::wait;
use serde_json::Value;

use crate::process::{PATIENCE, Running, start};

/// 2026-11-22T10:00:00Z: all invoices are of the twenty seconds from then.
const TEN: i64 = 1_795_341_600_000;
const CLIENTS: usize = 7;

/// Invoices on a broker, and what must come of them.
struct Office {
    broker: Broker,
    log: Arc<dyn Log>,
    producer: Producer<String, String>,
    sent: usize,
    /// Hundredths and number by client.
    wanted: BTreeMap<String, (i64, u64)>,
}

impl Office {
    fn open() -> anyhow::Result<Self> {
        let broker = Broker::start()?;
        broker.create_topic("FACTURATION", 4)?;
        let log = StreamsConfig::new("office").bootstrap_servers(broker.bootstrap()).connect()?;
        let producer = Producer::open(&log, "FACTURATION")?;
        Ok(Self { broker, log, producer, sent: 0, wanted: BTreeMap::new() })
    }

    fn instance(&self, state: &Path) -> anyhow::Result<Running> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_invoice-totals-here"));
        command.args(["run", "--http", "off", "--bootstrap-servers", self.broker.bootstrap()]);
        // No failover takes so long that a window closes meanwhile.
        command.args(["--grace-s", "40", "--set", "idle_timeout_ms=15000"]);
        command.args(["--set", "session_timeout_ms=6000", "--set", "transaction_timeout_ms=10000"]);
        start(command.arg("--state-dir").arg(state))
    }

    fn send(&mut self, number: &str, client: &str, cents: i64, at: i64) -> anyhow::Result<()> {
        let issued = format!("2026-11-22T10:00:{:02}Z", (at - TEN) / 1_000);
        let value = format!(
            r#"{{"number":"{number}","client":"{client}","amount":"{}.{:02}","issued_at":"{issued}"}}"#,
            cents / 100,
            cents % 100
        );
        Ok(self.producer.send(Record::new(number.to_owned(), value, Timestamp(at)))?)
    }

    /// Sends so many invoices; every tenth twice, every hundredth once more with another amount.
    fn bill(&mut self, invoices: usize) -> anyhow::Result<()> {
        for _ in 0..invoices {
            self.sent += 1;
            let (number, client) =
                (format!("F-{:06}", self.sent), format!("Client {}", self.sent % CLIENTS));
            let cents = i64::try_from(self.sent * 7919 % 100_000)?;
            let at = TEN + i64::try_from(self.sent % 20)? * 1_000;
            self.send(&number, &client, cents, at)?;
            if self.sent.is_multiple_of(10) {
                self.send(&number, &client, cents, at)?;
            }
            if self.sent.is_multiple_of(100) {
                self.send(&number, &client, cents + 1, at)?;
            }
            let (sum, count) = self.wanted.entry(client).or_default();
            *sum += cents;
            *count += 1;
        }
        Ok(self.producer.flush()?)
    }

    fn reader(&self, topic: &str) -> anyhow::Result<Consumer<String, Value>> {
        // The first instance makes it.
        wait::until_true(PATIENCE, topic, || {
            Ok(self.log.describe(&[topic])?.iter().all(Option::is_some))
        })?;
        let assignment = Assignment::with_values(topic, Json).from_beginning();
        Ok(Consumer::open(&self.log, assignment)?)
    }

    /// Reads the totals of the clients until they are right; no count is committed twice.
    fn wait_for_clients(&self) -> anyhow::Result<()> {
        let mut reader = self.reader("totals-by-client")?;
        let mut totals: BTreeMap<String, (i64, u64)> = BTreeMap::new();
        let right = wait::until_true(PATIENCE, "the totals of the clients", || {
            for read in reader.poll(Duration::from_millis(100))? {
                let Record { key, value, .. } = read.record;
                let (_, before) = totals.get(&key).copied().unwrap_or_default();
                let count = count(&value)?;
                ensure!(count > before, "{key}: {count} after {before}");
                totals.insert(key, (cents(&value)?, count));
            }
            Ok(totals == self.wanted)
        });
        right.with_context(|| format!("{totals:?} instead of {:?}", self.wanted))
    }

    /// Reads the final windows until they hold all invoices; each window is told once.
    fn wait_for_windows(&self) -> anyhow::Result<()> {
        let mut reader = self.reader("totals-5s-final")?;
        let (mut windows, mut sum, mut invoices) = (BTreeSet::new(), 0, 0);
        let wanted = self.wanted.values().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let right = wait::until_true(PATIENCE, "the final windows", || {
            for read in reader.poll(Duration::from_millis(100))? {
                let value = read.record.value;
                ensure!(windows.insert(text(&value, "from")?.to_owned()), "told twice: {value}");
                invoices += count(&value)?;
                sum += cents(&value)?;
            }
            Ok((sum, invoices) == wanted)
        });
        right.with_context(|| format!("{:?} instead of {wanted:?}: {windows:?}", (sum, invoices)))
    }

    /// One row under a key.
    fn put(&self, topic: &str, key: &str, row: &str) -> anyhow::Result<()> {
        let mut producer = Producer::<String, String>::open(&self.log, topic)?;
        producer.send(Record::new(key.to_owned(), row.to_owned(), Timestamp(TEN)))?;
        Ok(producer.close()?)
    }

    /// Rows of customers and products that came before the kills are on a bill after them.
    fn check_bill(&self) -> anyhow::Result<()> {
        let lines = r#"[{"product_id":"pen","quantity":4},{"product_id":"ink","quantity":1}]"#;
        let request = format!(r#"{{"id":"B-1","customer_id":"c","lines":{lines}}}"#);
        self.put("bill-requests", "any", &request)?;
        let mut reader = self.reader("bills")?;
        let bill = wait::until(PATIENCE, "the bill", || {
            Ok(reader.poll(Duration::from_millis(100))?.pop().map(|read| read.record))
        })?;
        assert_eq!(bill.key, "B-1");
        let written = bill.value.to_string();
        for part in [r#""name":"Ada""#, r#""product_name":"Pen""#, r#""product_name":null"#] {
            ensure!(written.contains(part), "{part} in {written}");
        }
        assert_eq!(text(&bill.value, "total")?, "5.00");
        Ok(())
    }

    /// So many dead letters, all for the same reason.
    fn check_letters(&self, wanted: usize) -> anyhow::Result<()> {
        let letters = self.reader("invoice-totals-dlq")?.read_to_end(PATIENCE)?;
        for letter in &letters {
            let reason = letter.record.headers.last("__streams.errors.exception");
            assert_eq!(reason, Some(&b"DuplicateNumber"[..]));
        }
        assert_eq!(letters.len(), wanted);
        Ok(())
    }
}

fn text<'a>(total: &'a Value, field: &str) -> anyhow::Result<&'a str> {
    total.get(field).and_then(Value::as_str).with_context(|| format!("no {field} in {total}"))
}

fn count(total: &Value) -> anyhow::Result<u64> {
    total.get("count").and_then(Value::as_u64).with_context(|| format!("no count in {total}"))
}

fn cents(total: &Value) -> anyhow::Result<i64> {
    Ok(text(total, "total")?.replace('.', "").parse()?)
}

#[test]
fn two_instances_count_every_invoice_once_though_one_is_killed_under_load() -> anyhow::Result<()> {
    let mut office = Office::open()?;
    let states = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut doomed = office.instance(states[0].path())?;
    office.bill(3_000)?;
    office.wait_for_clients()?;
    office.put("customers", "c", r#"{"id":"c","name":"Ada"}"#)?;
    office.put("products", "pen", r#"{"id":"pen","name":"Pen","price":"1.25"}"#)?;
    let lasting = office.instance(states[1].path())?;
    for round in 0..3 {
        // While these are on their way.
        office.bill(2_000 + round * 500)?;
        doomed.kill()?;
        office.bill(2_000)?;
        doomed = office.instance(states[0].path())?;
        office.bill(1_000)?;
    }
    office.wait_for_clients()?;
    // The last windows end without another invoice: by the clock, after the grace.
    office.wait_for_windows()?;
    office.check_letters(office.sent / 100)?;
    office.check_bill()?;
    doomed.terminate()?;
    lasting.terminate()
}
