//! An invoice counts once: its number is remembered for seven days.

use std::time::Duration;

use millstream::record::Timestamp;
use millstream::{
    BoxError, Counter, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, Store, StreamsBuilder,
    Window, WindowStore,
};

use super::invoice::{BadInvoice, Invoice, InvoiceSerde};

/// The store of the invoices of the last days by their numbers.
pub(super) const STORE: &str = "invoices";
/// How long a number is remembered after it came. Larger: more disk. Smaller: what is sent again after a long outage
/// counts twice.
pub(super) const REMEMBERED: Duration = Duration::from_secs(7 * DAY_S);
const DAY_S: u64 = 86_400;

/// Declares the store.
pub(super) fn store(
    builder: &StreamsBuilder,
    serde: InvoiceSerde,
) -> Store<Window<String, Invoice>> {
    builder.store(Window::with_values(STORE, REMEMBERED, REMEMBERED, serde))
}

/// Hands on the first invoice of each number. One with the same content is counted and goes no further; one with
/// another is refused.
///
/// A number is remembered from when it came by stream time, not from when it was issued: also one that comes late is
/// known for seven days.
#[derive(Debug)]
pub(super) struct Once {
    kept: WindowStore<String, Invoice>,
    repeated: Counter,
}

impl Once {
    pub(super) fn new(kept: WindowStore<String, Invoice>) -> Self {
        Self { kept, repeated: Counter::default() }
    }

    fn first_of(&self, number: &String, now: Timestamp) -> Result<Option<Invoice>, BoxError> {
        let remembered_ms = i64::try_from(REMEMBERED.as_millis())?;
        let since = Timestamp(now.0.saturating_sub(remembered_ms).max(0));
        // To the end of time: after a failover stream time may stand a little before where it was.
        let first =
            self.kept.fetch_range(number, since, Timestamp(i64::MAX))?.next().transpose()?;
        Ok(first.map(|(_, invoice)| invoice))
    }
}

impl FixedKeyProcessor<String, Invoice> for Once {
    type VOut = Invoice;

    fn init(&mut self, ctx: &mut FixedKeyContext<'_, String, Invoice>) -> Result<(), BoxError> {
        let help = "Invoices that came again with the same content, and count once.";
        self.repeated = ctx.metrics().counter("invoice_totals_duplicates_total", help, &[])?;
        Ok(())
    }

    fn process(
        &mut self,
        record: FixedKeyRecord<String, Invoice>,
        ctx: &mut FixedKeyContext<'_, String, Invoice>,
    ) -> Result<(), BoxError> {
        let now = ctx.stream_time();
        match self.first_of(record.key(), now)? {
            None => {
                self.kept.put(record.key().clone(), record.value.clone(), now)?;
                ctx.forward(record);
            }
            Some(first) if first == record.value => self.repeated.inc(),
            Some(_) => return Err(BadInvoice::DuplicateNumber(record.key().clone()).into()),
        }
        Ok(())
    }
}
