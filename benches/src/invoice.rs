//! The invoice as it lies in the topic, read from borrowed bytes, and the totals made from it.

use std::borrow::Cow;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// What the invoices of the workload `stateless` must reach: 5,000.00.
pub const LARGE: Decimal = Decimal::from_parts(500_000, 0, 0, false, 2);

/// One run has one currency.
pub const CURRENCY: &str = "EUR";

/// One record of the input; strings are borrowed from the message unless they hold escapes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Invoice<'a> {
    /// Its number, unique.
    #[serde(borrow)]
    pub number: Cow<'a, str>,
    /// Name of the client, also the record's key.
    #[serde(borrow)]
    pub client: Cow<'a, str>,
    /// A decimal in a string.
    pub amount: Decimal,
    /// Always [`CURRENCY`] here.
    #[serde(borrow)]
    pub currency: Cow<'a, str>,
    /// Event time.
    #[serde(borrow)]
    pub issued_at: Cow<'a, str>,
}

impl<'a> Invoice<'a> {
    /// Reads the value of a record.
    pub fn parse(bytes: &'a [u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(bytes)
    }
}

/// A running total as it is written by `invoice-totals`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Total<'a> {
    /// Start of the window, for windows only.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub from: Option<Cow<'a, str>>,
    /// End of the window, for windows only.
    #[serde(borrow, skip_serializing_if = "Option::is_none", default)]
    pub to: Option<Cow<'a, str>>,
    /// Sum of the amounts.
    pub total: Decimal,
    /// Number of the invoices.
    pub count: u64,
    /// Currency of the amounts.
    #[serde(borrow)]
    pub currency: Cow<'a, str>,
}

/// Milliseconds since 1970 as the topics spell them, `2026-01-01T00:00:00.000Z`.
#[must_use]
pub fn instant(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis)
        .map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_borrows_its_strings_and_keeps_the_amount_exact() {
        let text = r#"{"number":"INV-1","client":"client-00001","amount":"5000.00","currency":"EUR","issued_at":"2026-01-01T00:00:00.000Z"}"#;
        let invoice = Invoice::parse(text.as_bytes()).unwrap();
        assert!(matches!(invoice.number, Cow::Borrowed("INV-1")));
        assert_eq!(invoice.amount, LARGE);
        assert_eq!(invoice.amount.to_string(), "5000.00");
    }

    #[test]
    fn instants_have_three_digits_of_a_second() {
        assert_eq!(instant(1_767_225_600_000), "2026-01-01T00:00:00.000Z");
        assert_eq!(instant(1_767_225_600_007), "2026-01-01T00:00:00.007Z");
    }
}
