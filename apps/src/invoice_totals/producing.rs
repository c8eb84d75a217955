//! The producer: sends sample invoices at a steady rate.

use std::sync::mpsc::Receiver;

use anyhow::Context as _;
use millstream::log::{Log, OutgoingRecord, Producer, ProducerSpec, TopicHandle};
use millstream::murmur2_partition;
use millstream::record::{Headers, Timestamp};

use super::invoice::InvoiceSerde;
use super::money::Currency;
use super::samples::Samples;
use super::topics;
use crate::program::{Pace, rate};

/// What to produce, and how fast.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Invoices {
    /// Sample invoices per second; 0: as many as the machine can
    #[arg(long, default_value_t = 1.0, value_parser = rate)]
    pub(super) rate: f64,
    /// Stop after so many invoices [default: never]
    #[arg(long)]
    pub(super) count: Option<u64>,
    /// The same seed gives the same clients and amounts
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// How many clients
    #[arg(long, default_value_t = 8)]
    pub(super) clients: u32,
}

/// Sends invoices until the count is reached or `stop` says so; how many.
///
/// # Errors
/// When one could not be sent: the broker has then been away for longer than the client waits.
pub(super) fn produce(
    log: &dyn Log,
    invoices: Invoices,
    currency: Currency,
    stop: &Receiver<()>,
) -> anyhow::Result<u64> {
    let described = log.describe(&[topics::INVOICES])?.into_iter().next().flatten();
    let partitions = described.context("topic FACTURATION does not exist")?.partitions;
    let mut producer = log.producer(&ProducerSpec::default())?;
    let topic = producer.topic(topics::INVOICES)?;
    let start = jiff::Timestamp::now();
    let run = start.strftime("%Y%m%d%H%M%S").to_string();
    let samples = Samples::new(invoices.seed, invoices.clients, run);
    let mut out = Outlet {
        producer: &mut *producer,
        topic,
        partitions,
        samples,
        serde: InvoiceSerde { currency },
        bytes: Vec::new(),
    };
    let pace = Pace { rate: invoices.rate, count: invoices.count };
    let sent = pace.keep(start, stop, |records, now| {
        (0..records).try_for_each(|_| out.send(Timestamp(now.as_millisecond())))
    })?;
    out.producer.flush()?;
    Ok(sent)
}

/// Where invoices go.
struct Outlet<'a> {
    producer: &'a mut dyn Producer,
    topic: TopicHandle,
    partitions: i32,
    samples: Samples,
    serde: InvoiceSerde,
    bytes: Vec<u8>,
}

impl Outlet<'_> {
    fn send(&mut self, now: Timestamp) -> anyhow::Result<()> {
        let invoice = self.samples.next(now);
        self.bytes.clear();
        self.serde.write(&invoice, &mut self.bytes).map_err(|error| anyhow::anyhow!(error))?;
        let key = invoice.number.as_bytes();
        self.producer.send(&OutgoingRecord {
            topic: self.topic,
            partition: murmur2_partition(key, self.partitions),
            key: Some(key),
            value: Some(&self.bytes),
            timestamp: Some(now.0),
            headers: &Headers::default(),
        })?;
        Ok(())
    }
}
