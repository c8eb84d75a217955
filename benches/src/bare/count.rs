//! `count`: how many records each key has.

use anyhow::Result;

use super::outbox::{Outbox, Topic};
use super::slots::{Cells, Slots};
use super::{Options, Work};
use crate::native::Batch;

/// Names the changelog.
pub(super) const STORE: &str = "counts";

struct Count {
    partition: i32,
    keys: Slots,
    counts: Cells<i64>,
    changelog: Topic,
    output: Topic,
}

pub(super) fn make(_: &Options, partition: i32, outbox: &Outbox) -> Result<Box<dyn Work>> {
    Ok(Box::new(Count {
        partition,
        keys: Slots::default(),
        counts: Cells::default(),
        changelog: outbox.changelog(STORE)?,
        output: outbox.output()?,
    }))
}

impl Work for Count {
    fn process(&mut self, batch: &Batch<'_>, _outbox: &Outbox) -> Result<()> {
        for record in batch.records() {
            let record = record?;
            let number = self.keys.number(record.key());
            self.counts.update(number, record.timestamp(), |count| *count += 1);
        }
        Ok(())
    }

    fn flush(&mut self, outbox: &Outbox) -> Result<()> {
        let Self { partition, keys, counts, changelog, output } = self;
        counts.take_changed(|number, count, timestamp| {
            let (key, count) = (keys.key(number), count.to_be_bytes());
            let mut logged = [0; 16];
            for (to, from) in logged.iter_mut().zip(timestamp.to_be_bytes().iter().chain(&count)) {
                *to = *from;
            }
            outbox.send(changelog, Some(*partition), (key, &logged, timestamp))?;
            outbox.send(output, None, (key, &count, timestamp))
        })
    }
}
