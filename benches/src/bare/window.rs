//! `window`: tumbling sums per key, with grace.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Result;
use rust_decimal::Decimal;

use super::outbox::{Outbox, Topic};
use super::slots::{Cells, Slots};
use super::{Options, Work};
use crate::invoice::Invoice;
use crate::native::Batch;

/// Names the changelog.
pub(super) const STORE: &str = "sums";

struct Window {
    partition: i32,
    size: i64,
    grace: i64,
    stream_time: i64,
    keys: Slots,
    open: BTreeMap<i64, Cells<Decimal>>,
    changelog: Topic,
    output: Topic,
    buffers: [Vec<u8>; 2],
}

pub(super) fn make(options: &Options, partition: i32, outbox: &Outbox) -> Result<Box<dyn Work>> {
    Ok(Box::new(Window {
        partition,
        size: i64::try_from(options.settings.window_size.as_millis())?,
        grace: i64::try_from(options.settings.window_grace.as_millis())?,
        stream_time: -1,
        keys: Slots::default(),
        open: BTreeMap::new(),
        changelog: outbox.changelog(STORE)?,
        output: outbox.output()?,
        buffers: [Vec::new(), Vec::new()],
    }))
}

impl Work for Window {
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
            let number = self.keys.number(record.key());
            let sums = self.open.entry(start).or_default();
            sums.update(number, timestamp, |sum| *sum += invoice.amount);
        }
        Ok(())
    }

    fn flush(&mut self, outbox: &Outbox) -> Result<()> {
        let Self { partition, keys, changelog, output, buffers: [name, value], .. } = self;
        for (start, sums) in &mut self.open {
            sums.take_changed(|number, sum, timestamp| {
                // Value in the changelog: timestamp, then the sum; in the output: the sum.
                value.clear();
                value.extend_from_slice(&timestamp.to_be_bytes());
                write!(value, "{sum}")?;
                let sum = value.get(8..).unwrap_or_default();
                // Key in the output: key, then the window's start; in the changelog a sequence number follows.
                name.clear();
                name.extend_from_slice(keys.key(number));
                name.extend_from_slice(&start.to_be_bytes());
                outbox.send(output, None, (name, sum, timestamp))?;
                name.extend_from_slice(&[0; 4]);
                outbox.send(changelog, Some(*partition), (name, value, timestamp))
            })?;
        }
        let closed = self.stream_time - self.size - self.grace;
        self.open.retain(|start, _| *start > closed);
        Ok(())
    }
}
