//! Makes the bill: the names and prices that are known at this moment, once for each id.

use millstream::record::Timestamp;
use millstream::{
    BoxError, Counter, FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, KeyValueStore,
    ReadOnlyStore,
};
use serde::{Deserialize, Serialize};

use super::super::money::{Amount, Currency};
use super::super::text::Name;
use super::rows::{
    Bill, BillLine, BillRequest, BilledCustomer, BillingDate, Customer, Product, RequestedLine,
};

/// A request with the customer as of then.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Draft {
    pub(super) request: BillRequest,
    pub(super) customer: Option<Customer>,
}

/// Hands on each bill once.
#[derive(Debug)]
pub(super) struct Billing {
    bills: KeyValueStore<Name, Bill>,
    products: ReadOnlyStore<Name, Product>,
    currency: Currency,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    bills: Counter,
    repeated: Counter,
    unknown_customers: Counter,
    unknown_products: Counter,
}

impl Billing {
    pub(super) fn new(
        bills: KeyValueStore<Name, Bill>,
        products: ReadOnlyStore<Name, Product>,
        currency: Currency,
    ) -> Self {
        Self { bills, products, currency, counts: Counts::default() }
    }

    fn bill(&self, draft: Draft, at: Timestamp) -> Result<Bill, BoxError> {
        let Draft { request, customer } = draft;
        if customer.is_none() {
            self.counts.unknown_customers.inc();
        }
        let (name, email) = customer.map_or((None, None), |known| (Some(known.name), known.email));
        let mut total = Amount::default();
        let lines = (request.lines.into_iter())
            .map(|line| self.line(line, &mut total))
            .collect::<Result<_, _>>()?;
        let billing_date = match request.billing_date {
            Some(date) => date,
            None => BillingDate::of(at)?,
        };
        Ok(Bill {
            id: request.id,
            billing_date,
            customer: BilledCustomer { id: request.customer_id, name, email },
            lines,
            total: total.to_string(),
            currency: self.currency.to_string(),
        })
    }

    fn line(&self, line: RequestedLine, total: &mut Amount) -> Result<BillLine, BoxError> {
        let RequestedLine { product_id, quantity } = line;
        let Some((product, _)) = self.products.get(&product_id)? else {
            self.counts.unknown_products.inc();
            let (product_name, price, amount) = (None, None, None);
            return Ok(BillLine { product_id, product_name, quantity, price, amount });
        };
        let amount = product.price.times(quantity);
        *total = total.plus(amount);
        Ok(BillLine {
            product_id,
            product_name: Some(product.name),
            quantity,
            price: Some(product.price.to_string()),
            amount: Some(amount.to_string()),
        })
    }
}

impl FixedKeyProcessor<Name, Draft> for Billing {
    type VOut = Bill;

    fn init(&mut self, ctx: &mut FixedKeyContext<'_, Name, Bill>) -> Result<(), BoxError> {
        let mut metrics = ctx.metrics();
        let unknown = (
            "invoice_totals_unknown_total",
            "Customers and products that bills name and nobody knows.",
        );
        let bills = metrics.counter("invoice_totals_bills_total", "Bills that were made.", &[])?;
        let help = "Requests for a bill that was made already.";
        let repeated = metrics.counter("invoice_totals_bills_repeated_total", help, &[])?;
        let mut unknown = |what| metrics.counter(unknown.0, unknown.1, &[("what", what)]);
        let (unknown_customers, unknown_products) = (unknown("customer")?, unknown("product")?);
        self.counts = Counts { bills, repeated, unknown_customers, unknown_products };
        Ok(())
    }

    fn process(
        &mut self,
        record: FixedKeyRecord<Name, Draft>,
        ctx: &mut FixedKeyContext<'_, Name, Bill>,
    ) -> Result<(), BoxError> {
        if self.bills.get(record.key())?.is_some() {
            self.counts.repeated.inc();
            return Ok(());
        }
        let bill = self.bill(record.value.clone(), record.timestamp)?;
        self.bills.put(record.key().clone(), bill.clone())?;
        self.counts.bills.inc();
        ctx.forward(record.with_value(bill));
        Ok(())
    }
}
