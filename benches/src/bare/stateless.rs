//! `stateless`: JSON parsed, small invoices dropped, the number sent on under the same key.

use anyhow::Result;

use super::outbox::{Outbox, Topic};
use super::{Options, Work};
use crate::invoice::{Invoice, LARGE};
use crate::native::Batch;

struct Stateless {
    output: Topic,
}

pub(super) fn make(_: &Options, _partition: i32, outbox: &Outbox) -> Result<Box<dyn Work>> {
    Ok(Box::new(Stateless { output: outbox.output()? }))
}

impl Work for Stateless {
    fn process(&mut self, batch: &Batch<'_>, outbox: &Outbox) -> Result<()> {
        for record in batch.records() {
            let record = record?;
            let invoice = Invoice::parse(record.value())?;
            if invoice.amount >= LARGE {
                let number = invoice.number.as_bytes();
                outbox.send(&self.output, None, (record.key(), number, record.timestamp()))?;
            }
        }
        Ok(())
    }
}
