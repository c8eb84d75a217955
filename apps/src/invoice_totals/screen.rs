//! What the demo prints: the totals of the last five seconds every second, those of the clients
//! whenever a window is complete. Read from the output topics, like any other reader would.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::Context as _;
use millstream::log::{Isolation, Log, RawRecord, ReadEvent, Reader, TopicPartition};

use super::object::read_object;
use super::topics;
use super::totals::{ClientTotal, WindowTotal};
use crate::program::{pause, say};

/// How often a line is printed at most.
const LINE_INTERVAL_S: f64 = 1.0;
const READ_MAX: Duration = Duration::from_millis(200);
/// How far back totals of clients are looked up at the start, in records of a partition.
const LOOK_BACK_RECORDS: i64 = 1_000;
/// More clients than this do not fit a screen.
const CLIENTS_SHOWN_MAX: usize = 10;

/// The totals as last heard.
#[derive(Debug, Default)]
struct Totals {
    /// The newest window, if it changed.
    running: Option<WindowTotal>,
    closed: Vec<WindowTotal>,
    clients: BTreeMap<String, ClientTotal>,
    /// Invoices that came after their window had closed, since the start, and as last told.
    late: u64,
    late_told: u64,
}

impl Totals {
    fn take(&mut self, topic: &str, record: &RawRecord<'_>) -> anyhow::Result<()> {
        let Some(value) = record.value else { return Ok(()) };
        match topic {
            topics::CLIENTS => {
                let client = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
                self.clients.insert(client, read_object(value)?);
            }
            topics::CLOSED_WINDOWS => self.closed.push(read_object(value)?),
            _ => {
                let total: WindowTotal = read_object(value)?;
                if self.running.as_ref().is_none_or(|shown| shown.from <= total.from) {
                    self.running = Some(total);
                }
            }
        }
        Ok(())
    }

    /// What is new since the last call, as text; what was told is forgotten, clients are not.
    fn news(&mut self) -> String {
        let mut text = String::new();
        let closed = std::mem::take(&mut self.closed);
        for total in &closed {
            let _ = writeln!(text, "  complete   {}", window_line(total));
        }
        if !closed.is_empty() {
            self.write_clients(&mut text);
        }
        // A window may be told complete before its last change has come through.
        let complete = |total: &WindowTotal| closed.iter().any(|it| it.from >= total.from);
        if let Some(total) = self.running.take().filter(|total| !complete(total)) {
            let _ = writeln!(text, "  last 5 s   {}", window_line(&total));
        }
        if self.late > self.late_told {
            self.late_told = self.late;
            let _ = writeln!(
                text,
                "  {} late so far: in no window, but in the clients' totals",
                self.late
            );
        }
        text
    }

    fn write_clients(&self, text: &mut String) {
        let mut clients: Vec<_> = self.clients.iter().collect();
        let _ = writeln!(text, "  all clients so far");
        clients.sort_by_key(|(name, total)| (std::cmp::Reverse(total.count), *name));
        for (name, total) in clients.iter().take(CLIENTS_SHOWN_MAX) {
            let ClientTotal { total, count, currency } = total;
            let invoices = invoices(*count);
            let _ = writeln!(text, "    {name:<24}{invoices:>18} {total:>16} {currency}");
        }
        if let more @ 1.. = clients.len().saturating_sub(CLIENTS_SHOWN_MAX) {
            let _ = writeln!(text, "    and {more} more");
        }
    }

    /// What earlier runs left, in one line.
    fn so_far(&self) -> String {
        let invoices: u64 = self.clients.values().map(|client| client.count).sum();
        match self.clients.len() {
            0 => "nothing was counted before".to_owned(),
            clients => format!("going on: {invoices} invoices, {clients} clients so far"),
        }
    }
}

fn window_line(total: &WindowTotal) -> String {
    let WindowTotal { from, to, total, count, currency } = total;
    let (from, to, invoices) = (time_of_day(from), time_of_day(to), invoices(*count));
    format!("{from} to {to}{invoices:>16} {total:>16} {currency}")
}

fn invoices(count: u64) -> String {
    if count == 1 { "1 invoice ".to_owned() } else { format!("{count} invoices") }
}

/// `10:00:05` of `2026-11-22T10:00:05.000Z`.
fn time_of_day(text: &str) -> &str {
    text.get(11..19).unwrap_or(text)
}

/// Reads the output topics and prints what is new.
pub(super) struct Screen {
    reader: Box<dyn Reader>,
    totals: Totals,
}

impl Screen {
    /// Opens the output topics at their ends, and looks up what earlier runs left.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(super) fn open(log: &dyn Log) -> anyhow::Result<Self> {
        let (reader, mut behind) = open(log)?;
        let mut screen = Self { reader, totals: Totals::default() };
        while !behind.is_empty() {
            if let Some(end) = screen.read()? {
                behind.remove(&end);
            }
        }
        Ok(screen)
    }

    /// What earlier runs left, in one line.
    pub(super) fn so_far(&self) -> String {
        self.totals.so_far()
    }

    /// Prints what arrives until `stop` says so, and how many invoices were `late`.
    ///
    /// # Errors
    /// When the output topics cannot be read any more.
    pub(super) fn show(
        mut self,
        stop: &Receiver<()>,
        late: impl Fn() -> u64,
    ) -> anyhow::Result<()> {
        let mut printed = jiff::Timestamp::now();
        loop {
            let at_end = self.read()?.is_some();
            let now = jiff::Timestamp::now();
            if now.duration_since(printed).as_secs_f64() >= LINE_INTERVAL_S {
                printed = now;
                self.totals.late = late();
                let news = self.totals.news();
                if !news.is_empty() {
                    say(news.trim_end());
                }
            }
            if !pause(stop, if at_end { READ_MAX } else { Duration::ZERO }) {
                return Ok(());
            }
        }
    }

    /// Takes what is there; the partition whose end was met.
    fn read(&mut self) -> anyhow::Result<Option<TopicPartition>> {
        match self.reader.read(READ_MAX)? {
            Some(ReadEvent::Records(partition, batch)) => {
                for record in (0..batch.len()).filter_map(|index| batch.get(index)) {
                    self.totals.take(&partition.topic, &record)?;
                }
                Ok(None)
            }
            Some(ReadEvent::End(partition, _)) => Ok(Some(partition)),
            None => Ok(None),
        }
    }
}

/// A reader of the output topics, and the partitions in which it begins before the end.
fn open(log: &dyn Log) -> anyhow::Result<(Box<dyn Reader>, BTreeSet<TopicPartition>)> {
    let names = [topics::WINDOWS, topics::CLOSED_WINDOWS, topics::CLIENTS];
    let mut from = Vec::new();
    let mut behind = BTreeSet::new();
    for (name, described) in names.iter().zip(log.describe(&names)?) {
        let topic = described.with_context(|| format!("topic {name} does not exist"))?;
        for partition in (0..topic.partitions).map(|number| TopicPartition::new(*name, number)) {
            let range = log.offsets(&partition, Isolation::ReadCommitted)?;
            let mut begin = range.end;
            if *name == topics::CLIENTS {
                begin = range.earliest.max(range.end - LOOK_BACK_RECORDS);
                if begin < range.end {
                    behind.insert(partition.clone());
                }
            }
            from.push((partition, begin));
        }
    }
    let mut reader = log.reader(Isolation::ReadCommitted)?;
    reader.assign(&from)?;
    Ok((reader, behind))
}

#[cfg(test)]
mod tests {
    use millstream::record::Headers;

    use super::*;

    fn record<'a>(key: &'a str, value: &'a str) -> RawRecord<'a> {
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        RawRecord { offset: 0, timestamp: 0, key, value, headers: Headers::default() }
    }

    const WINDOW: &str = r#"{"from":"2026-11-22T10:00:00.000Z","to":"2026-11-22T10:00:05.000Z","total":"1234.50","count":17,"currency":"EUR"}"#;

    #[test]
    fn only_news_is_told() {
        let mut totals = Totals::default();
        totals.take(topics::WINDOWS, &record("all", WINDOW)).unwrap();
        let client = r#"{"total":"12.00","count":2,"currency":"EUR"}"#;
        totals.take(topics::CLIENTS, &record("Acme", client)).unwrap();
        assert_eq!(
            totals.news(),
            "  last 5 s   10:00:00 to 10:00:05     17 invoices          1234.50 EUR\n"
        );
        assert_eq!(totals.news(), "");
        totals.take(topics::CLOSED_WINDOWS, &record("all", WINDOW)).unwrap();
        assert_eq!(
            totals.news(),
            "  complete   10:00:00 to 10:00:05     17 invoices          1234.50 EUR\n  \
             all clients so far\n    \
             Acme                            2 invoices            12.00 EUR\n"
        );
        assert_eq!(totals.so_far(), "going on: 2 invoices, 1 clients so far");
    }

    #[test]
    fn late_invoices_are_told_when_there_are_more() {
        let mut totals = Totals::default();
        assert_eq!(totals.news(), "");
        totals.late = 3;
        let told = "  3 late so far: in no window, but in the clients' totals\n";
        assert_eq!(totals.news(), told);
        assert_eq!(totals.news(), "");
        totals.late = 4;
        assert_eq!(totals.news(), told.replace('3', "4"));
    }

    #[test]
    fn a_total_that_is_no_object_is_refused() {
        let mut totals = Totals::default();
        let array = record("Acme", r#"["12.00",2,"EUR"]"#);
        assert!(totals.take(topics::CLIENTS, &array).is_err());
        assert!(totals.take(topics::WINDOWS, &record("all", r#"["a","b","1",1,"EUR"]"#)).is_err());
    }

    #[test]
    fn many_clients_do_not_fill_the_screen() {
        let mut totals = Totals::default();
        for number in 0..15 {
            let value = format!(r#"{{"total":"1.00","count":{number},"currency":"EUR"}}"#);
            totals.take(topics::CLIENTS, &record(&format!("C{number}"), &value)).unwrap();
        }
        let mut text = String::new();
        totals.write_clients(&mut text);
        assert_eq!(text.lines().count(), CLIENTS_SHOWN_MAX + 2);
        assert!(
            text.starts_with("  all clients so far\n    C14") && text.ends_with("and 5 more\n"),
            "{text}"
        );
    }
}
