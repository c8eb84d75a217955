//! The topology, as a function of its settings: the same on the test driver, the embedded log and
//! Kafka.

use std::time::Duration;

use millstream::record::Data;
use millstream::serde::{Nullable, Plain};
use millstream::{
    Consumed, Emit, KStream, OnError, StreamsBuilder, TimeWindows, Topology, TopologyErrors,
};

use super::bills::bills;
use super::counting::{CountInvoices, CountLate};
use super::invoice::{Invoice, InvoiceSerde};
use super::money::{Amount, Currency};
use super::once::{self, Once};
use super::topics;
use super::totals::{ClientTotal, Total, WindowTotal};

/// Of how much time the totals are.
const WINDOW: Duration = Duration::from_secs(5);
/// The key under which all invoices come together.
const ALL: &str = "all";

/// What to do with records that are no invoices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum BadInvoices {
    /// Drop them, log them, count them.
    Skip,
    /// Send their original bytes to the dead letter topic.
    #[default]
    DeadLetter,
    /// Stop.
    Fail,
}

impl From<BadInvoices> for OnError {
    fn from(choice: BadInvoices) -> Self {
        match choice {
            BadInvoices::Skip => Self::Skip,
            BadInvoices::DeadLetter => Self::DeadLetter(topics::DEAD_LETTERS.into()),
            BadInvoices::Fail => Self::Fail,
        }
    }
}

/// What an invoice is whose number was there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Duplicates {
    /// The same invoice again, which counts once; with other content a bad invoice.
    #[default]
    Once,
    /// One more invoice.
    Count,
}

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The currency of all totals.
    pub currency: Currency,
    /// What to do with records that are no invoices.
    pub bad_invoices: BadInvoices,
    /// What an invoice is whose number was there already.
    pub duplicates: Duplicates,
    /// For how long after its end a window still takes late invoices. Larger: the final totals come
    /// later. Smaller: more invoices miss their window after an instance was lost.
    pub grace: Duration,
    /// An invoice may say that it was issued so much later than the time of its record.
    pub issued_ahead_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            currency: Currency::default(),
            bad_invoices: BadInvoices::default(),
            duplicates: Duplicates::default(),
            grace: Duration::from_secs(60),
            issued_ahead_max: Duration::from_secs(86_400),
        }
    }
}

/// Totals per five seconds (running and final) and per client, and bills.
///
/// # Errors
/// All faults of the topology.
pub fn topology(settings: &Settings) -> Result<Topology, TopologyErrors> {
    let builder = StreamsBuilder::new();
    let invoices = invoices(&builder, settings);
    match settings.duplicates {
        Duplicates::Once => totals(&once(&builder, &invoices, settings), settings),
        Duplicates::Count => totals(&invoices, settings),
    }
    bills(&builder, settings);
    builder.build()
}

/// The first invoice of each number.
fn once(
    builder: &StreamsBuilder,
    invoices: &KStream<Option<Vec<u8>>, Invoice>,
    settings: &Settings,
) -> KStream<String, Invoice> {
    let serde = InvoiceSerde { currency: settings.currency.clone() };
    let kept = once::store(builder, serde.clone());
    invoices
        .select_key(|_, invoice| invoice.number.clone())
        .repartition_with("by-number", Plain, serde)
        .process_values("once", &kept, Once::new)
        .on_error(settings.bad_invoices.into())
}

fn totals<K: Data>(invoices: &KStream<K, Invoice>, settings: &Settings) {
    let currency = settings.currency.clone();
    let counted =
        invoices.process_values("count", (), move |()| CountInvoices::new(currency.clone()));
    totals_of_windows(&counted, settings);
    totals_of_clients(&counted, settings);
}

/// Invoices at the time at which they were issued. Their keys may be anything: nothing asks them.
fn invoices(builder: &StreamsBuilder, settings: &Settings) -> KStream<Option<Vec<u8>>, Invoice> {
    let serde = InvoiceSerde { currency: settings.currency.clone() };
    let ahead_max = settings.issued_ahead_max;
    builder.stream(
        Consumed::with_serdes(topics::INVOICES, Nullable::<Plain>::default(), serde)
            .try_timestamp(move |record, _| record.value.time(record.timestamp, ahead_max))
            .on_error(settings.bad_invoices.into()),
    )
}

fn totals_of_windows<K: Data>(invoices: &KStream<K, Invoice>, settings: &Settings) {
    let grace = settings.grace;
    let together = invoices
        .map(|_, invoice| (ALL.to_owned(), invoice.amount))
        .repartition("all-invoices")
        .process_values("late", (), move |()| CountLate::new(WINDOW, grace))
        .group_by_key();
    let outputs =
        [(Emit::OnUpdate, topics::WINDOWS), (Emit::OnWindowClose, topics::CLOSED_WINDOWS)];
    for (emit, name) in outputs {
        let currency = settings.currency.clone();
        together
            .windowed_by(TimeWindows::of(WINDOW).grace(settings.grace))
            .emit(emit)
            .aggregate(name, Total::default, add)
            .updates()
            .try_map(move |window, total| {
                WindowTotal::of(&window, total, &currency).map(|written| (window.key, written))
            })
            .on_error(settings.bad_invoices.into())
            .to(name);
    }
}

fn totals_of_clients<K: Data>(invoices: &KStream<K, Invoice>, settings: &Settings) {
    let currency = settings.currency.clone();
    invoices
        .map(|_, invoice| (invoice.client, invoice.amount))
        .repartition("by-client")
        .group_by_key()
        .aggregate(topics::CLIENTS, Total::default, add)
        .updates()
        .map_values(move |total| ClientTotal::of(total, &currency))
        .to(topics::CLIENTS);
}

fn add(_: &String, amount: Amount, total: &mut Total) {
    total.add(amount);
}

#[cfg(test)]
mod tests {
    use millstream::DropReason;
    use millstream::log::memory::MemoryRecord;
    use millstream::record::{Headers, Timestamp};
    use millstream::testing::{DriverOptions, TopologyDriver};

    use super::*;

    /// 2026-11-22T10:00:00Z.
    const TEN: i64 = 1_795_341_600_000;

    struct Bench(TopologyDriver, u64);

    impl Bench {
        fn new(bad_invoices: BadInvoices) -> Self {
            Self::with(&Settings { bad_invoices, ..Settings::default() })
        }

        fn with(settings: &Settings) -> Self {
            let settings = Settings { grace: Duration::from_secs(1), ..settings.clone() };
            let options = DriverOptions {
                idle_timeout: Some(Duration::from_secs(2)),
                ..DriverOptions::default()
            };
            Self(TopologyDriver::with_options(&topology(&settings).unwrap(), &options).unwrap(), 0)
        }

        fn pipe(&mut self, value: &str, at: i64) -> millstream::Result<()> {
            let value = Some(value.as_bytes());
            let (time, headers) = (Timestamp(at), Headers::default());
            self.0.pipe_raw(topics::INVOICES, (None, value), time, &headers)
        }

        /// An invoice under a number of its own.
        fn invoice(&mut self, client: &str, amount: &str, at: i64) {
            self.1 += 1;
            let number = format!("F-{}", self.1);
            self.numbered(&number, client, amount, at);
        }

        fn numbered(&mut self, number: &str, client: &str, amount: &str, at: i64) {
            let value =
                format!(r#"{{"number":"{number}","client":"{client}","amount":"{amount}"}}"#);
            self.pipe(&value, at).unwrap();
        }

        fn counted(&self, name: &str) -> Option<u64> {
            let metrics = self.0.metrics();
            let line = metrics.lines().find(|line| line.starts_with(&format!("{name}{{")));
            line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
        }

        fn refused(&mut self) -> Vec<String> {
            let letters = self.0.read_raw(topics::DEAD_LETTERS).unwrap();
            let name = |letter: &MemoryRecord| {
                let name = letter.headers.last("__streams.errors.exception").unwrap().to_vec();
                String::from_utf8(name).unwrap()
            };
            letters.iter().map(name).collect()
        }

        /// Key, total and count of each new record, windows with their seconds of the minute.
        fn windows(&mut self, topic: &str) -> Vec<String> {
            let all = self.0.read::<String, WindowTotal>(topic).unwrap();
            let line = |key: &str, t: &WindowTotal| {
                format!("{key} {}-{} {} {}", &t.from[17..19], &t.to[17..19], t.total, t.count)
            };
            all.iter().map(|record| line(&record.key, &record.value)).collect()
        }

        fn clients(&mut self) -> Vec<String> {
            let all = self.0.read::<String, ClientTotal>(topics::CLIENTS).unwrap();
            let line = |key: &str, t: &ClientTotal| format!("{key} {} {}", t.total, t.count);
            all.iter().map(|record| line(&record.key, &record.value)).collect()
        }
    }

    #[test]
    fn totals_run_and_are_told_once_more_when_the_window_closes() {
        let mut bench = Bench::new(BadInvoices::Fail);
        bench.invoice("A", "0.10", TEN);
        bench.invoice("B", "0.20", TEN + 4_999);
        bench.invoice("A", "5", TEN + 5_000);
        let running = ["all 00-05 0.10 1", "all 00-05 0.30 2", "all 05-10 5.00 1"];
        assert_eq!(bench.windows(topics::WINDOWS), running);
        assert!(bench.windows(topics::CLOSED_WINDOWS).is_empty());
        bench.invoice("A", "1", TEN + 6_000);
        assert_eq!(bench.windows(topics::CLOSED_WINDOWS), ["all 00-05 0.30 2"]);
        assert_eq!(bench.clients(), ["A 0.10 1", "B 0.20 1", "A 5.10 2", "A 6.10 3"]);
    }

    #[test]
    fn a_late_invoice_counts_for_its_client_within_the_grace_for_its_window_too() {
        let mut bench = Bench::new(BadInvoices::Fail);
        bench.invoice("A", "1", TEN + 5_999);
        bench.invoice("A", "1", TEN + 4_000);
        assert_eq!(bench.windows(topics::WINDOWS), ["all 05-10 1.00 1", "all 00-05 1.00 1"]);
        bench.invoice("A", "1", TEN + 6_000);
        bench.invoice("A", "1", TEN + 4_000);
        assert_eq!(bench.windows(topics::WINDOWS), ["all 05-10 2.00 2"]);
        assert_eq!(bench.clients().last().unwrap(), "A 4.00 4");
        // By both windows: the running and the final totals.
        assert_eq!(bench.0.dropped(DropReason::Late), 2);
        assert_eq!(bench.counted("invoice_totals_late_total"), Some(1));
    }

    #[test]
    fn an_invoice_that_comes_again_counts_once_for_seven_days() {
        const DAY_MS: i64 = 86_400_000;
        let mut bench = Bench::new(BadInvoices::DeadLetter);
        bench.numbered("1", "A", "1", TEN);
        bench.numbered("1", "A", "1.00", TEN + 10_000);
        bench.numbered("1", "A", "1", TEN + 7 * DAY_MS);
        assert_eq!(bench.clients(), ["A 1.00 1"]);
        assert_eq!(bench.counted("invoice_totals_duplicates_total"), Some(2));
        assert_eq!(bench.counted("invoice_totals_invoices_total"), Some(1));
        bench.numbered("1", "A", "1", TEN + 7 * DAY_MS + 1);
        assert_eq!(bench.clients(), ["A 2.00 2"]);
        // One that comes late is remembered from when it came.
        bench.numbered("2", "A", "1", TEN - 30 * DAY_MS);
        bench.numbered("2", "A", "1", TEN - 30 * DAY_MS);
        assert_eq!(bench.clients(), ["A 3.00 3"]);
        assert!(bench.refused().is_empty());
    }

    #[test]
    fn another_invoice_under_a_number_is_refused_and_the_first_stays() {
        let mut bench = Bench::new(BadInvoices::DeadLetter);
        bench.numbered("1", "A", "1", TEN);
        bench.numbered("1", "A", "2", TEN);
        bench.numbered("1", "B", "1", TEN);
        bench
            .pipe(
                r#"{"number":"1","client":"A","amount":"1","issued_at":"2026-11-22T10:00:00Z"}"#,
                TEN,
            )
            .unwrap();
        bench.numbered("1", "A", "1", TEN);
        assert_eq!(bench.refused(), ["DuplicateNumber", "DuplicateNumber", "DuplicateNumber"]);
        assert_eq!(bench.clients(), ["A 1.00 1"]);
        assert_eq!(bench.counted("invoice_totals_duplicates_total"), Some(1));
    }

    #[test]
    fn duplicates_are_counted_where_that_is_asked_for() {
        let duplicates = Duplicates::Count;
        let mut bench = Bench::with(&Settings { duplicates, ..Settings::default() });
        bench.numbered("1", "A", "1", TEN);
        bench.numbered("1", "A", "-7", TEN);
        bench.numbered("1", "A", "2.5", TEN);
        assert_eq!(bench.clients(), ["A 1.00 1", "A -6.00 2", "A -3.50 3"]);
        assert_eq!(bench.counted("invoice_totals_invoices_total"), Some(3));
        // Whole units, and no credit notes.
        assert_eq!(bench.counted("invoice_totals_amount_total"), Some(3));
        assert!(!bench.0.topic_names().contains(&"app-by-number-repartition".to_owned()));
    }

    #[test]
    fn the_last_window_closes_on_a_quiet_topic() {
        let mut bench = Bench::new(BadInvoices::Fail);
        bench.invoice("A", "1", TEN);
        bench.0.advance_wall_clock(Duration::from_secs(5)).unwrap();
        assert!(bench.windows(topics::CLOSED_WINDOWS).is_empty());
        bench.0.advance_wall_clock(Duration::from_secs(2)).unwrap();
        assert_eq!(bench.windows(topics::CLOSED_WINDOWS), ["all 00-05 1.00 1"]);
    }

    #[test]
    fn the_time_of_issue_wins_over_the_records() {
        let mut bench = Bench::new(BadInvoices::Fail);
        let value =
            r#"{"number":"1","client":"A","amount":"2","issued_at":"2026-11-22T11:00:12+01:00"}"#;
        bench.pipe(value, TEN).unwrap();
        assert_eq!(bench.windows(topics::WINDOWS), ["all 10-15 2.00 1"]);
    }

    #[test]
    fn a_bad_invoice_becomes_a_dead_letter_with_its_reason_and_bytes() {
        let mut bench = Bench::new(BadInvoices::DeadLetter);
        let bad = r#"{"number":"1","client":"A","amount":"1","currency":"USD"}"#;
        bench.pipe(bad, TEN).unwrap();
        bench.invoice("A", "1", TEN);
        let letters = bench.0.read_raw(topics::DEAD_LETTERS).unwrap();
        assert_eq!(letters.len(), 1);
        assert_eq!(letters[0].value.as_deref(), Some(bad.as_bytes()));
        let header = |name: &str| {
            String::from_utf8(letters[0].headers.last(name).unwrap().to_vec()).unwrap()
        };
        assert_eq!(header("__streams.errors.message"), "currency is \"USD\", this run counts EUR");
        assert_eq!(header("__streams.errors.exception"), "OtherCurrency");
        assert_eq!(header("__streams.errors.topic"), topics::INVOICES);
        assert_eq!(bench.clients(), ["A 1.00 1"]);
        assert_eq!(bench.0.dropped(DropReason::BadBytes), 1);
    }

    #[test]
    fn a_time_that_makes_no_sense_is_a_bad_invoice_and_closes_no_window() {
        let mut bench = Bench::new(BadInvoices::DeadLetter);
        bench.invoice("A", "1", TEN);
        let letter = |time: &str| {
            format!(r#"{{"number":"{time}","client":"A","amount":"2","issued_at":"{time}"}}"#)
        };
        bench.pipe(&letter("9999-12-31T00:00:00+02:00"), TEN).unwrap();
        bench.pipe(&letter("2026-11-23T10:00:00.001Z"), TEN).unwrap();
        bench.pipe(r#"{"number":"3","client":"A","amount":"3"}"#, i64::MAX).unwrap();
        bench.pipe(&letter("2026-11-22T10:00:00Z"), -1).unwrap();
        bench.invoice("A", "1", TEN);
        assert_eq!(bench.refused(), ["BadIssuedAt", "BadIssuedAt", "BadRecordTime"]);
        assert_eq!(bench.clients(), ["A 1.00 1", "A 3.00 2", "A 4.00 3"]);
        let running = ["all 00-05 1.00 1", "all 00-05 3.00 2", "all 00-05 4.00 3"];
        assert_eq!(bench.windows(topics::WINDOWS), running);
        assert_eq!(bench.0.dropped(DropReason::Late), 0);
        // A day ahead is taken.
        bench.pipe(&letter("2026-11-23T10:00:00Z"), TEN).unwrap();
        assert_eq!(bench.windows(topics::WINDOWS), ["all 00-05 2.00 1"]);
    }

    #[test]
    fn a_bad_invoice_can_be_skipped_or_stop_everything() {
        let mut skipping = Bench::new(BadInvoices::Skip);
        skipping.pipe("no invoice", TEN).unwrap();
        assert_eq!(skipping.0.dropped(DropReason::BadBytes), 1);
        assert!(skipping.0.read_raw(topics::DEAD_LETTERS).is_err(), "it writes none");
        let error = Bench::new(BadInvoices::Fail).pipe("no invoice", TEN).unwrap_err();
        let error = format!("{error:?}");
        assert!(error.contains("FACTURATION-0@0") && error.contains("not an invoice"), "{error}");
    }
}
