//! The topology, as a function of its settings: the same on the test driver, the embedded log and
//! Kafka.

use std::time::Duration;

use millstream::serde::{Nullable, Plain};
use millstream::{
    Consumed, Emit, KStream, OnError, StreamsBuilder, TimeWindows, Topology, TopologyErrors,
};

use super::invoice::{Invoice, InvoiceSerde};
use super::money::{Amount, Currency};
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

/// What can be chosen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The currency of all totals.
    pub currency: Currency,
    /// What to do with records that are no invoices.
    pub bad_invoices: BadInvoices,
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
            grace: Duration::from_secs(60),
            issued_ahead_max: Duration::from_secs(86_400),
        }
    }
}

/// Totals per five seconds (running and final) and per client.
///
/// # Errors
/// All faults of the topology.
pub fn topology(settings: &Settings) -> Result<Topology, TopologyErrors> {
    let builder = StreamsBuilder::new();
    let invoices = invoices(&builder, settings);
    totals_of_windows(&invoices, settings);
    totals_of_clients(&invoices, settings);
    builder.build()
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

fn totals_of_windows(invoices: &KStream<Option<Vec<u8>>, Invoice>, settings: &Settings) {
    let together = invoices
        .map(|_, invoice| (ALL.to_owned(), invoice.amount))
        .repartition("all-invoices")
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

fn totals_of_clients(invoices: &KStream<Option<Vec<u8>>, Invoice>, settings: &Settings) {
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
    use millstream::record::{Headers, Timestamp};
    use millstream::testing::TopologyDriver;

    use super::*;

    /// 2026-11-22T10:00:00Z.
    const TEN: i64 = 1_795_341_600_000;

    struct Bench(TopologyDriver);

    impl Bench {
        fn new(bad_invoices: BadInvoices) -> Self {
            let grace = Duration::from_secs(1);
            let settings = Settings { bad_invoices, grace, ..Settings::default() };
            Self(TopologyDriver::new(&topology(&settings).unwrap()).unwrap())
        }

        fn pipe(&mut self, value: &str, at: i64) -> millstream::Result<()> {
            let value = Some(value.as_bytes());
            let (time, headers) = (Timestamp(at), Headers::default());
            self.0.pipe_raw(topics::INVOICES, (None, value), time, &headers)
        }

        fn invoice(&mut self, client: &str, amount: &str, at: i64) {
            let value = format!(r#"{{"number":"1","client":"{client}","amount":"{amount}"}}"#);
            self.pipe(&value, at).unwrap();
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
            format!(r#"{{"number":"1","client":"A","amount":"2","issued_at":"{time}"}}"#)
        };
        bench.pipe(&letter("9999-12-31T00:00:00+02:00"), TEN).unwrap();
        bench.pipe(&letter("2026-11-23T10:00:00.001Z"), TEN).unwrap();
        bench.pipe(r#"{"number":"1","client":"A","amount":"3"}"#, i64::MAX).unwrap();
        bench.pipe(&letter("2026-11-22T10:00:00Z"), -1).unwrap();
        bench.invoice("A", "1", TEN);
        let refused: Vec<_> = (bench.0.read_raw(topics::DEAD_LETTERS).unwrap().iter())
            .map(|letter| letter.headers.last("__streams.errors.exception").unwrap().to_vec())
            .collect();
        assert_eq!(refused, [&b"BadIssuedAt"[..], b"BadIssuedAt", b"BadRecordTime"]);
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
