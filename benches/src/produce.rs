//! Makes the input: seeded invoices, and the rows of their clients; once, later runs find the topics and use them again.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::BaseProducer;

use crate::cluster::{self, Cluster};
use crate::invoice::instant;
use crate::native::{self, OutTopic};
use crate::workload::Workload;

/// 2026-01-01T00:00:00Z: event time starts here in every run, so that windows are the same.
const START_MS: i64 = 1_767_225_600_000;

/// Where the clients live.
const CITIES: [&str; 5] = ["Basel", "Bremen", "Lyon", "Porto", "Turin"];

/// Event time moves on by a millisecond after this many records.
const RECORDS_PER_MS: u64 = 10;

/// What the input is made from; equal inputs have equal records.
#[derive(Debug, Clone, Copy)]
pub struct Input {
    /// How many invoices.
    pub records: u64,
    /// How many clients.
    pub keys: u64,
    /// Partitions of the topic.
    pub partitions: i32,
    /// Seed of the amounts and of who buys next.
    pub seed: u64,
}

impl Input {
    /// The invoices that the plain workloads read.
    #[must_use]
    pub fn invoices(self) -> Topic {
        let Self { records, keys, partitions, seed } = self;
        Topic { kind: Kind::Invoices, records, keys, partitions, seed }
    }

    /// The topics that a workload reads.
    #[must_use]
    pub fn topics(self, workload: Workload) -> Vec<Topic> {
        let invoices = Self { keys: workload.keys(self.keys), ..self }.invoices();
        let customers = Topic { kind: Kind::Customers, records: invoices.keys, ..invoices };
        match workload {
            Workload::Stateless
            | Workload::Count
            | Workload::Window
            | Workload::InvoiceTotals
            | Workload::Session => vec![invoices],
            Workload::JoinStreams => {
                let half = Topic { records: invoices.records / 2, ..invoices };
                vec![half, Topic { seed: half.seed + 1, ..half }]
            }
            Workload::JoinTable => vec![invoices, customers],
            Workload::ForeignJoin => {
                let records = invoices.records / 3;
                vec![Topic { kind: Kind::Orders, records, ..invoices }, customers]
            }
        }
    }
}

/// What the records of a topic are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Invoices under the names of their clients.
    Invoices,
    /// Invoices under their numbers.
    Orders,
    /// Where each client lives, once, all before the first invoice.
    Customers,
}

/// One topic.
#[derive(Debug, Clone, Copy)]
pub struct Topic {
    /// What it holds.
    pub kind: Kind,
    /// How many of them.
    pub records: u64,
    /// How many clients.
    pub keys: u64,
    /// Its partitions.
    pub partitions: i32,
    /// Seed of the amounts and of who buys next.
    pub seed: u64,
}

impl Topic {
    /// Its name, which says what is in it.
    #[must_use]
    pub fn name(&self) -> String {
        let Self { kind, records, keys, partitions, seed } = self;
        match kind {
            Kind::Invoices => format!("bench-invoices-{records}-{keys}-{partitions}-{seed}"),
            Kind::Orders => format!("bench-orders-{records}-{keys}-{partitions}-{seed}"),
            Kind::Customers => format!("bench-customers-{keys}-{partitions}"),
        }
    }

    /// Makes the topic unless it is there with as many records.
    pub fn ensure(&self, cluster: &Cluster) -> Result<()> {
        let topic = self.name();
        if let Some(partitions) = cluster.topics()?.get(&topic) {
            let consumer: BaseConsumer = cluster.client().create()?;
            let ends = cluster::ends(&consumer, &topic, *partitions)?;
            if ends.values().sum::<i64>() == i64::try_from(self.records)? {
                return Ok(());
            }
            cluster.delete_topics(std::slice::from_ref(&topic))?;
        }
        cluster.create_topic(&topic, self.partitions)?;
        self.produce(cluster, &topic)
    }

    fn produce(&self, cluster: &Cluster, topic: &str) -> Result<()> {
        let mut config = cluster.client();
        config
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "50")
            .set("partitioner", "murmur2_random")
            .set("delivery.report.only.error", "true");
        let producer: Arc<BaseProducer> = Arc::new(config.create()?);
        let out = OutTopic::of(&producer, topic)?;
        let mut random = SplitMix64(self.seed);
        let mut text = Text::default();
        for index in 0..self.records {
            let timestamp = if self.kind == Kind::Customers {
                text.write_customer(index)?;
                START_MS - 1
            } else {
                let timestamp = START_MS + i64::try_from(index / RECORDS_PER_MS)?;
                text.write(index, timestamp, random.below(self.keys), random.below(1_000_000) + 1)?;
                timestamp
            };
            let key = if self.kind == Kind::Orders { &text.number } else { &text.client };
            while let Err(code) = out.produce(None, key, &text.value, timestamp) {
                if code != RDKafkaErrorCode::QueueFull {
                    bail!("an invoice could not be queued: {code}");
                }
                producer.poll(Duration::from_millis(10));
            }
        }
        native::flush(&producer, Duration::from_secs(60)).context("producing the input")
    }
}

/// Buffers that are used again for every record.
#[derive(Debug, Default)]
struct Text {
    number: Vec<u8>,
    client: Vec<u8>,
    value: Vec<u8>,
    issued_at: (i64, String),
}

impl Text {
    fn write(&mut self, index: u64, timestamp: i64, client: u64, cents: u64) -> Result<()> {
        if self.issued_at.0 != timestamp {
            self.issued_at = (timestamp, instant(timestamp));
        }
        self.number.clear();
        write!(self.number, "INV-{index:09}")?;
        self.client.clear();
        write!(self.client, "client-{client:06}")?;
        self.value.clear();
        write!(
            self.value,
            r#"{{"number":"INV-{index:09}","client":"client-{client:06}","amount":"{}.{:02}","currency":"EUR","issued_at":"{}"}}"#,
            cents / 100,
            cents % 100,
            self.issued_at.1,
        )?;
        Ok(())
    }

    fn write_customer(&mut self, client: u64) -> Result<()> {
        self.client.clear();
        write!(self.client, "client-{client:06}")?;
        self.value.clear();
        let city = CITIES.get(usize::try_from(client)? % CITIES.len()).copied().unwrap_or_default();
        write!(self.value, r#"{{"name":"Client number {client}","city":"{city}"}}"#)?;
        Ok(())
    }
}

/// A tiny generator whose numbers are the same in every version of every library.
#[derive(Debug)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invoice::Invoice;

    #[test]
    fn the_generator_gives_its_published_numbers() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(random.next(), 6_457_827_717_110_365_317);
        assert_eq!(random.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_customer_is_a_client_of_the_invoices() {
        let mut text = Text::default();
        text.write_customer(42).unwrap();
        assert_eq!(text.client, b"client-000042");
        assert_eq!(text.value, br#"{"name":"Client number 42","city":"Lyon"}"#);
    }

    #[test]
    fn the_streams_of_a_join_are_different_halves_of_as_many_keys() {
        let input = Input { records: 100, keys: 7, partitions: 4, seed: 1 };
        let topics = input.topics(Workload::JoinStreams);
        let names: Vec<String> = topics.iter().map(Topic::name).collect();
        assert_eq!(names, ["bench-invoices-50-70-4-1", "bench-invoices-50-70-4-2"]);
    }

    #[test]
    fn a_record_is_an_invoice_of_its_key() {
        let mut text = Text::default();
        text.write(7, START_MS + 3, 42, 1205).unwrap();
        let invoice = Invoice::parse(&text.value).unwrap();
        assert_eq!(invoice.number, "INV-000000007");
        assert_eq!(text.number, b"INV-000000007");
        assert_eq!(invoice.client.as_bytes(), text.client);
        assert_eq!(invoice.amount.to_string(), "12.05");
        assert_eq!(invoice.issued_at, "2026-01-01T00:00:00.003Z");
    }
}
