//! What the application counts of its own, for dashboards and alerts.

use std::time::Duration;

use millstream::record::Data;
use millstream::{BoxError, Counter, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord};

use super::invoice::Invoice;
use super::money::{Amount, Currency};

/// Counts the invoices that count, and what they bill.
#[derive(Debug)]
pub(super) struct CountInvoices {
    currency: Currency,
    invoices: Counter,
    /// Whole units: a counter has no others. Credit notes are left out, since a counter never falls.
    amount: Counter,
    /// What is less than a unit so far.
    rest: Amount,
}

impl CountInvoices {
    pub(super) fn new(currency: Currency) -> Self {
        let (invoices, amount) = (Counter::default(), Counter::default());
        Self { currency, invoices, amount, rest: Amount::default() }
    }
}

impl<K: Data> FixedKeyProcessor<K, Invoice> for CountInvoices {
    type VOut = Invoice;

    fn init(&mut self, ctx: &mut FixedKeyContext<'_, K, Invoice>) -> Result<(), BoxError> {
        let help = "Invoices that were counted.";
        self.invoices = ctx.metrics().counter("invoice_totals_invoices_total", help, &[])?;
        let help = "What was billed, in whole units, without credit notes.";
        let labels = [("currency", self.currency.as_str())];
        self.amount = ctx.metrics().counter("invoice_totals_amount_total", help, &labels)?;
        Ok(())
    }

    fn process(
        &mut self,
        record: FixedKeyRecord<K, Invoice>,
        ctx: &mut FixedKeyContext<'_, K, Invoice>,
    ) -> Result<(), BoxError> {
        self.invoices.inc();
        if !record.value.amount.is_negative() {
            let (whole, rest) = self.rest.plus(record.value.amount).split_whole();
            self.amount.add(whole);
            self.rest = rest;
        }
        ctx.forward(record);
        Ok(())
    }
}

/// Counts the invoices that come after their window has closed: the windows drop them, their clients' totals do not.
#[derive(Debug)]
pub(super) struct CountLate {
    window_ms: i64,
    grace_ms: i64,
    late: Counter,
}

impl CountLate {
    pub(super) fn new(window: Duration, grace: Duration) -> Self {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self { window_ms: ms(window).max(1), grace_ms: ms(grace), late: Counter::default() }
    }
}

impl<K: Data> FixedKeyProcessor<K, Amount> for CountLate {
    type VOut = Amount;

    fn init(&mut self, ctx: &mut FixedKeyContext<'_, K, Amount>) -> Result<(), BoxError> {
        let help = "Invoices that came after their window had closed.";
        self.late = ctx.metrics().counter("invoice_totals_late_total", help, &[])?;
        Ok(())
    }

    fn process(
        &mut self,
        record: FixedKeyRecord<K, Amount>,
        ctx: &mut FixedKeyContext<'_, K, Amount>,
    ) -> Result<(), BoxError> {
        let end =
            record.timestamp.0 - record.timestamp.0.rem_euclid(self.window_ms) + self.window_ms;
        if end <= ctx.stream_time().0.saturating_sub(self.grace_ms) {
            self.late.inc();
        }
        ctx.forward(record);
        Ok(())
    }
}
