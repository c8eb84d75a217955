//! `invoice-totals`: the application's topology. Invoices go out under two new keys and come back from two repartition
//! topics, as in the engines that have to; adding up before would be another, cheaper program.

use std::borrow::Cow;

use anyhow::{Context, Result};
use hashbrown::HashMap;
use rust_decimal::Decimal;

use super::outbox::{Outbox, Topic};
use super::slots::{Cells, Slots};
use super::{Options, Work};
use crate::invoice::{CURRENCY, Invoice, Total, instant};
use crate::native::Batch;

/// Names the changelog of the windows.
pub(super) const WINDOWS: &str = "totals-5s";

/// Names the changelog of the clients.
pub(super) const CLIENTS: &str = "totals-by-client";

pub(super) fn all_topic(options: &Options) -> String {
    format!("{}-{WINDOWS}-repartition", options.application)
}

pub(super) fn client_topic(options: &Options) -> String {
    format!("{}-{CLIENTS}-repartition", options.application)
}

/// First half: reads the invoice, sends it on under both keys.
struct Rekey {
    all: Topic,
    by_client: Topic,
}

pub(super) fn make_rekey(options: &Options, _: i32, outbox: &Outbox) -> Result<Box<dyn Work>> {
    let all = outbox.topic(&all_topic(options))?;
    let by_client = outbox.topic(&client_topic(options))?;
    Ok(Box::new(Rekey { all, by_client }))
}

impl Work for Rekey {
    fn process(&mut self, batch: &Batch<'_>, outbox: &Outbox) -> Result<()> {
        for record in batch.records() {
            let record = record?;
            let invoice = Invoice::parse(record.value())?;
            let issued_at: jiff::Timestamp = invoice.issued_at.parse().context("issued_at")?;
            let timestamp = issued_at.as_millisecond();
            outbox.send(&self.all, None, (b"all", record.value(), timestamp))?;
            let client = invoice.client.as_bytes();
            outbox.send(&self.by_client, None, (client, record.value(), timestamp))?;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Sum {
    total: Decimal,
    count: u64,
}

impl Sum {
    fn add(&mut self, amount: Decimal) {
        self.total += amount;
        self.count += 1;
    }

    /// The JSON of the output; the changelog holds the same after a timestamp.
    fn write(&self, window: Option<(i64, i64)>, timestamp: i64, into: &mut Vec<u8>) -> Result<()> {
        let at = |millis| Cow::Owned(instant(millis));
        let total = Total {
            from: window.map(|(from, _)| at(from)),
            to: window.map(|(_, to)| at(to)),
            total: self.total,
            count: self.count,
            currency: Cow::Borrowed(CURRENCY),
        };
        into.clear();
        into.extend_from_slice(&timestamp.to_be_bytes());
        Ok(serde_json::to_writer(into, &total)?)
    }
}

/// Second half, windows: total and count of all invoices.
struct Windows {
    partition: i32,
    size: i64,
    grace: i64,
    stream_time: i64,
    keys: Slots,
    /// A slot for each key and window, numbered as they come.
    numbers: HashMap<(usize, i64), usize>,
    windows: Vec<(usize, i64)>,
    sums: Cells<Sum>,
    changelog: Topic,
    output: Topic,
    buffers: [Vec<u8>; 2],
}

pub(super) fn make_windows(
    options: &Options,
    partition: i32,
    outbox: &Outbox,
) -> Result<Box<dyn Work>> {
    Ok(Box::new(Windows {
        partition,
        size: i64::try_from(options.settings.totals_size.as_millis())?,
        grace: i64::try_from(options.settings.totals_grace.as_millis())?,
        stream_time: -1,
        keys: Slots::default(),
        numbers: HashMap::new(),
        windows: Vec::new(),
        sums: Cells::default(),
        changelog: outbox.changelog(WINDOWS)?,
        output: outbox.output_of(0)?,
        buffers: [Vec::new(), Vec::new()],
    }))
}

impl Work for Windows {
    fn process(&mut self, batch: &Batch<'_>, _outbox: &Outbox) -> Result<()> {
        for record in batch.records() {
            let record = record?;
            let invoice = Invoice::parse(record.value())?;
            let timestamp = record.timestamp();
            self.stream_time = self.stream_time.max(timestamp);
            let start = timestamp - timestamp.rem_euclid(self.size);
            if start + self.size + self.grace <= self.stream_time {
                continue;
            }
            let window = (self.keys.number(record.key()), start);
            let number = *self.numbers.entry(window).or_insert_with(|| {
                self.windows.push(window);
                self.windows.len() - 1
            });
            self.sums.update(number, timestamp, |sum| sum.add(invoice.amount));
        }
        Ok(())
    }

    fn flush(&mut self, outbox: &Outbox) -> Result<()> {
        let Self { partition, size, keys, windows, changelog, output, buffers, .. } = self;
        let [name, value] = buffers;
        self.sums.take_changed(|number, sum, timestamp| {
            let (key, start) = *windows.get(number).context("a sum belongs to a window")?;
            let key = keys.key(key);
            sum.write(Some((start, start + *size)), timestamp, value)?;
            outbox.send(output, None, (key, value.get(8..).unwrap_or_default(), timestamp))?;
            name.clear();
            name.extend_from_slice(key);
            name.extend_from_slice(&start.to_be_bytes());
            name.extend_from_slice(&[0; 4]);
            outbox.send(changelog, Some(*partition), (name, value, timestamp))
        })
    }
}

/// Second half, clients: running total and count of each.
struct Clients {
    partition: i32,
    keys: Slots,
    sums: Cells<Sum>,
    changelog: Topic,
    output: Topic,
    value: Vec<u8>,
}

pub(super) fn make_clients(_: &Options, partition: i32, outbox: &Outbox) -> Result<Box<dyn Work>> {
    Ok(Box::new(Clients {
        partition,
        keys: Slots::default(),
        sums: Cells::default(),
        changelog: outbox.changelog(CLIENTS)?,
        output: outbox.output_of(1)?,
        value: Vec::new(),
    }))
}

impl Work for Clients {
    fn process(&mut self, batch: &Batch<'_>, _outbox: &Outbox) -> Result<()> {
        for record in batch.records() {
            let record = record?;
            let invoice = Invoice::parse(record.value())?;
            let number = self.keys.number(record.key());
            self.sums.update(number, record.timestamp(), |sum| sum.add(invoice.amount));
        }
        Ok(())
    }

    fn flush(&mut self, outbox: &Outbox) -> Result<()> {
        let Self { partition, keys, changelog, output, value, .. } = self;
        self.sums.take_changed(|number, sum, timestamp| {
            sum.write(None, timestamp, value)?;
            let key = keys.key(number);
            outbox.send(output, None, (key, value.get(8..).unwrap_or_default(), timestamp))?;
            outbox.send(changelog, Some(*partition), (key, value, timestamp))
        })
    }
}
