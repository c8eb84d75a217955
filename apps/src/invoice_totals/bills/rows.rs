//! Customers, products, requests and bills as they stand in topics. What is asked of names and amounts of invoices is
//! asked here too.

use std::borrow::Cow;

use millstream::BoxError;
use millstream::record::Timestamp;
use millstream::serde::{Null, Place, Serde};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize};

use super::super::invoice::BadInvoice;
use super::super::money::Amount;
use super::super::object::read_object;
use super::super::text::Name;

/// More lines than this are no bill.
const LINES_MAX: usize = 1_000;

/// Who is billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// The key, once more.
    pub id: Name,
    /// The name on the bill.
    pub name: Name,
    /// Where bills are sent.
    pub email: Option<Name>,
}

/// What is billed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Product {
    /// The key, once more.
    pub id: Name,
    /// The name on the bill.
    pub name: Name,
    /// Of one.
    #[serde(deserialize_with = "amount_as_text")]
    pub price: Amount,
    /// How many there are.
    #[serde(default)]
    pub quantity: Option<u32>,
}

/// A date such as `2026-11-22`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BillingDate(jiff::civil::Date);

impl BillingDate {
    /// The date of a time, in UTC.
    ///
    /// # Errors
    /// If the time lies beyond the years that dates have.
    pub fn of(time: Timestamp) -> Result<Self, BoxError> {
        let time = jiff::Timestamp::from_millisecond(time.0)?;
        Ok(Self(time.to_zoned(jiff::tz::TimeZone::UTC).date()))
    }
}

impl TryFrom<String> for BillingDate {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self).map_err(|_| "it is no date such as 2026-11-22")
    }
}

impl From<BillingDate> for String {
    fn from(date: BillingDate) -> Self {
        date.0.to_string()
    }
}

/// A bill to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillRequest {
    /// The bill's id: the first request of an id makes the bill.
    pub id: Name,
    /// Who is billed.
    pub customer_id: Name,
    /// The date on the bill; without it that of the record.
    pub billing_date: Option<BillingDate>,
    /// What is billed.
    #[serde(deserialize_with = "some_lines")]
    pub lines: Vec<RequestedLine>,
}

/// So many of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestedLine {
    /// Of which product.
    pub product_id: Name,
    /// How many.
    pub quantity: u32,
}

/// A bill as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// Its id.
    pub id: Name,
    /// Its date.
    pub billing_date: BillingDate,
    /// Who is billed, as of then.
    pub customer: BilledCustomer,
    /// What is billed, as of then.
    pub lines: Vec<BillLine>,
    /// The sum of the lines whose price was known.
    pub total: String,
    /// In which currency.
    pub currency: String,
}

/// A customer on a bill: name and e-mail are null if nobody knew them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BilledCustomer {
    /// Which customer.
    pub id: Name,
    /// The name as of the bill.
    pub name: Option<Name>,
    /// The e-mail address as of the bill.
    pub email: Option<Name>,
}

/// A line of a bill: what is not known of a product is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillLine {
    /// Which product.
    pub product_id: Name,
    /// Its name as of the bill.
    pub product_name: Option<Name>,
    /// How many.
    pub quantity: u32,
    /// The price of one as of the bill.
    pub price: Option<String>,
    /// Of all of them.
    pub amount: Option<String>,
}

/// Reads and writes rows; what is none is refused with what is wrong.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RowSerde;

impl<T: Serialize + DeserializeOwned> Serde<T> for RowSerde {
    fn serialize(&self, _: &mut Place<'_>, row: &T, into: &mut Vec<u8>) -> Result<Null, BoxError> {
        serde_json::to_writer(into, row)?;
        Ok(Null::No)
    }

    fn deserialize(&self, _: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<T, BoxError> {
        let null = || BadInvoice::Unreadable("the value is null".to_owned());
        let row = read_object(bytes.ok_or_else(null)?);
        Ok(row.map_err(|error| BadInvoice::Unreadable(error.to_string()))?)
    }
}

/// An amount as text: JSON's numbers are floats to many.
fn amount_as_text<'de, D: Deserializer<'de>>(from: D) -> Result<Amount, D::Error> {
    let text = Cow::<'_, str>::deserialize(from)?;
    text.parse().map_err(|reason| D::Error::custom(format_args!("amount \"{text}\": {reason}")))
}

fn some_lines<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<RequestedLine>, D::Error> {
    let lines = Vec::<RequestedLine>::deserialize(from)?;
    match lines.len() {
        0 => Err(D::Error::custom("a bill has lines")),
        1..=LINES_MAX => Ok(lines),
        _ => Err(D::Error::custom(format_args!("a bill has at most {LINES_MAX} lines"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal<T: DeserializeOwned>(json: &str) -> String {
        read_object::<T>(json.as_bytes()).err().unwrap().to_string()
    }

    #[test]
    fn what_is_no_row_is_refused_with_its_reason() {
        let product =
            |rest: &str| refusal::<Product>(&format!(r#"{{"id":"p","name":"Pen",{rest}}}"#));
        let customer = |name: &str| refusal::<Customer>(&format!(r#"{{"id":"c","name":{name}}}"#));
        let request = |lines: &str| {
            refusal::<BillRequest>(&format!(r#"{{"id":"1","customer_id":"c","lines":[{lines}]}}"#))
        };
        let many = vec![r#"{"product_id":"p","quantity":1}"#; 1_001].join(",");
        for (found, reason) in [
            (product(r#""price":2.5"#), "invalid type: floating point `2.5`"),
            (product(r#""price":"0.12345""#), "it has more than 4 digits after the point"),
            (product(r#""price":"1000000000000""#), "it is not below 10^12"),
            (product(r#""price":"1","price":"2""#), "duplicate field `price`"),
            (customer(&format!("\"{}\"", "x".repeat(10_000))), "it has more than 200 characters"),
            (customer(r#""A\u0007""#), "it has a control character"),
            (customer(r#""A\u202E""#), "it has a character that turns the direction of text"),
            (request(""), "a bill has lines"),
            (request(&many), "a bill has at most 1000 lines"),
            (request(r#"{"product_id":"p","quantity":-1}"#), "invalid value: integer `-1`"),
            (
                refusal::<BillRequest>(r#"{"id":"1","customer_id":"c","billing_date":"soon"}"#),
                "it is no date such as 2026-11-22",
            ),
            (refusal::<Customer>("[\"c\",\"n\",null]"), "not a JSON object"),
        ] {
            assert!(found.contains(reason), "{found} instead of {reason}");
        }
    }
}
