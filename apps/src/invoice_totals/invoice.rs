//! An invoice as it comes: read strictly, and refused with a reason that a person can act on.

use std::borrow::Cow;
use std::time::Duration;

use millstream::BoxError;
use millstream::record::Timestamp;
use millstream::serde::{Null, Place, Serde};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::money::{Amount, Currency};
use super::object::read_object;
use super::text::{BadTextReason, plain};

/// A bill to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Its number, unique.
    pub number: String,
    /// The client's name.
    pub client: String,
    /// What is to be paid.
    pub amount: Amount,
    /// When it was issued, if it says so.
    pub issued_at: Option<Timestamp>,
}

/// Why something is no invoice. The names are what the header of a dead letter says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadInvoice {
    /// Not JSON, or not an object.
    #[error("not an invoice: {0}")]
    Unreadable(String),
    /// A field that every invoice has is not there.
    #[error("{0} is missing")]
    MissingField(&'static str),
    /// A field is not text; amounts are text too, since JSON's numbers are floats to many.
    #[error("{field} must be text such as \"{example}\", found {found}")]
    NotText {
        /// The field.
        field: &'static str,
        /// What it could be.
        example: &'static str,
        /// What stands there.
        found: String,
    },
    /// A number or client's name without a letter.
    #[error("{0} is empty")]
    EmptyField(&'static str),
    /// A number or client's name that nobody has, and that a page or a file would suffer from.
    #[error("{field}: {reason}")]
    BadText {
        /// The field.
        field: &'static str,
        /// Why not.
        reason: BadTextReason,
    },
    /// The number is another invoice's.
    #[error(
        "the number {0} was that of an invoice with other content within 7 days; the first counts"
    )]
    DuplicateNumber(String),
    /// The amount cannot be read exactly.
    #[error("amount \"{text}\": {reason}")]
    BadAmount {
        /// What stands there.
        text: String,
        /// Why not.
        reason: &'static str,
    },
    /// Totals are in one currency.
    #[error("currency is \"{found}\", this run counts {wanted}")]
    OtherCurrency {
        /// What stands there.
        found: String,
        /// The currency of this run.
        wanted: String,
    },
    /// The time cannot be read, lies before 1970 or too far ahead.
    #[error("issued_at \"{text}\": {reason}")]
    BadIssuedAt {
        /// What stands there.
        text: String,
        /// Why not.
        reason: String,
    },
    /// It does not say when it was issued, and its record's time makes no sense.
    #[error("without issued_at, and the record's time is {ms} ms: {reason}")]
    BadRecordTime {
        /// The record's time.
        ms: i64,
        /// Why not.
        reason: &'static str,
    },
}

/// 9999-01-01T00:00:00Z. Later times end windows that cannot be written as text.
const TIME_LIMIT_MS: i64 = 253_370_764_800_000;

impl Invoice {
    /// When it was issued: as it says, or else the time of its record.
    ///
    /// What it says may be wrong, and a time far ahead would close everybody's windows: it is taken
    /// only if it is at most `ahead_max` later than the record.
    ///
    /// # Errors
    /// If neither makes sense.
    pub fn time(&self, record: Timestamp, ahead_max: Duration) -> Result<Timestamp, BadInvoice> {
        let Some(issued) = self.issued_at else {
            return match record.0 {
                ..0 => Err(BadInvoice::BadRecordTime { ms: record.0, reason: "it has none" }),
                0..TIME_LIMIT_MS => Ok(record),
                TIME_LIMIT_MS.. => {
                    Err(BadInvoice::BadRecordTime { ms: record.0, reason: "it lies past 9998" })
                }
            };
        };
        let bad = |reason: String| {
            let text = utc_text(issued).unwrap_or_else(|_| format!("{} ms", issued.0));
            Err(BadInvoice::BadIssuedAt { text, reason })
        };
        let ahead_max_ms = i64::try_from(ahead_max.as_millis()).unwrap_or(i64::MAX);
        let latest = record.0.saturating_add(ahead_max_ms);
        // A record without a time says nothing of the invoice's.
        if record.0 >= 0 && issued.0 > latest {
            let text = utc_text(record).unwrap_or_else(|_| format!("{} ms", record.0));
            let seconds = ahead_max.as_secs();
            return bad(format!("it lies more than {seconds} s after the record's time, {text}"));
        }
        if issued.0 >= TIME_LIMIT_MS {
            return bad("it lies past the year 9998".to_owned());
        }
        Ok(issued)
    }
}

/// The fields as they stand in JSON; borrowed, since most invoices have no escapes in them.
#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Option<Cow<'a, str>>,
    #[serde(borrow)]
    currency: Option<Cow<'a, str>>,
    #[serde(borrow)]
    issued_at: Option<Cow<'a, str>>,
}

/// The same, to be written.
#[derive(Serialize)]
struct Written<'a> {
    number: &'a str,
    client: &'a str,
    amount: String,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    issued_at: Option<String>,
}

/// Reads and writes invoices in one currency; one in another currency is refused.
#[derive(Clone, Debug, Default)]
pub struct InvoiceSerde {
    /// The currency of this run; an invoice that names none is taken to be in it.
    pub currency: Currency,
}

impl InvoiceSerde {
    /// Reads an invoice.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self, bytes: &[u8]) -> Result<Invoice, BadInvoice> {
        let read: Read<'_> = read_object(bytes).map_err(|error| what_is_wrong(bytes, &error))?;
        if let Some(found) = read.currency.filter(|it| *it != self.currency.as_str()) {
            let wanted = self.currency.to_string();
            return Err(BadInvoice::OtherCurrency { found: found.into_owned(), wanted });
        }
        let text = read.amount.ok_or(BadInvoice::MissingField("amount"))?;
        let amount = text
            .parse()
            .map_err(|reason| BadInvoice::BadAmount { text: text.to_string(), reason })?;
        Ok(Invoice {
            number: filled("number", read.number)?,
            client: filled("client", read.client)?,
            amount,
            issued_at: read.issued_at.map(|text| issued_at(&text)).transpose()?,
        })
    }

    /// Appends an invoice as JSON.
    ///
    /// # Errors
    /// If its time cannot be written as a date.
    pub fn write(&self, invoice: &Invoice, into: &mut Vec<u8>) -> Result<(), BoxError> {
        let written = Written {
            number: &invoice.number,
            client: &invoice.client,
            amount: invoice.amount.to_string(),
            currency: self.currency.as_str(),
            issued_at: invoice.issued_at.map(utc_text).transpose()?,
        };
        Ok(serde_json::to_writer(into, &written)?)
    }
}

impl Serde<Invoice> for InvoiceSerde {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        invoice: &Invoice,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        self.write(invoice, into)?;
        Ok(Null::No)
    }

    fn deserialize(&self, _: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<Invoice, BoxError> {
        let null = || BadInvoice::Unreadable("the value is null".to_owned());
        Ok(self.read(bytes.ok_or_else(null)?)?)
    }
}

/// A time as the contract writes it: `2026-11-22T10:00:00.000Z`.
///
/// # Errors
/// If it lies beyond the year 9999.
pub(super) fn utc_text(time: Timestamp) -> Result<String, jiff::Error> {
    Ok(format!("{:.3}", jiff::Timestamp::from_millisecond(time.0)?))
}

fn filled(field: &'static str, text: Option<Cow<'_, str>>) -> Result<String, BadInvoice> {
    let text = text.ok_or(BadInvoice::MissingField(field))?;
    if text.trim().is_empty() {
        return Err(BadInvoice::EmptyField(field));
    }
    plain(&text).map_err(|reason| BadInvoice::BadText { field, reason })?;
    Ok(text.into_owned())
}

fn issued_at(text: &str) -> Result<Timestamp, BadInvoice> {
    let bad = |reason: String| BadInvoice::BadIssuedAt { text: text.to_owned(), reason };
    let time: jiff::Timestamp = text.parse().map_err(|_| {
        bad("it is no time with an offset such as 2026-11-22T10:00:00.000Z".to_owned())
    })?;
    let ms = time.as_millisecond();
    if ms < 0 { Err(bad("it lies before 1970".to_owned())) } else { Ok(Timestamp(ms)) }
}

/// Looks again, slowly, for which field is to blame: serde's message names a column only.
fn what_is_wrong(bytes: &[u8], error: &serde_json::Error) -> BadInvoice {
    let unreadable = || BadInvoice::Unreadable(error.to_string());
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else { return unreadable() };
    let examples = [
        ("number", "F-2026-000001"),
        ("client", "Acme"),
        ("amount", "12.34"),
        ("currency", "EUR"),
        ("issued_at", "2026-11-22T10:00:00.000Z"),
    ];
    for (field, example) in examples {
        match fields.get(field) {
            None | Some(Value::Null | Value::String(_)) => {}
            Some(other) => {
                return BadInvoice::NotText { field, example, found: other.to_string() };
            }
        }
    }
    unreadable()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Invoice, BadInvoice> {
        InvoiceSerde::default().read(json.as_bytes())
    }

    fn refusal(json: &str) -> String {
        read(json).unwrap_err().to_string()
    }

    #[test]
    fn reads_the_contracts_example() {
        let invoice = read(
            r#"{"number": "F-1", "client": "Caf\u00e9 A", "amount": "12.34", "currency": "EUR", "issued_at": "2026-11-22T10:00:00.250Z", "more": [1]}"#,
        )
        .unwrap();
        assert_eq!(
            invoice,
            Invoice {
                number: "F-1".to_owned(),
                client: "Café A".to_owned(),
                amount: "12.34".parse().unwrap(),
                issued_at: Some(Timestamp(1_795_341_600_250)),
            }
        );
    }

    #[test]
    fn currency_and_time_may_be_missing() {
        let invoice = read(r#"{"number":"1","client":"A","amount":"-3","currency":null}"#).unwrap();
        assert_eq!((invoice.amount.to_string(), invoice.issued_at), ("-3.00".to_owned(), None));
    }

    #[test]
    fn refusals_name_the_field() {
        for (json, reason) in [
            ("hello", "not an invoice: expected value at line 1 column 1"),
            ("[]", "not an invoice: "),
            (r#"["1","A","1",null,null]"#, "not an invoice: not a JSON object"),
            (r#"["1","A","1","EUR","2026-11-22T10:00:00Z"]"#, "not an invoice: not a JSON object"),
            ("", "not an invoice: "),
            (r#"{"client":"A","amount":"1"}"#, "number is missing"),
            (r#"{"number":"1","client":" ","amount":"1"}"#, "client is empty"),
            (r#"{"number":"1","client":"A"}"#, "amount is missing"),
            (
                r#"{"number":"1","client":"A","amount":12.34}"#,
                "amount must be text such as \"12.34\", found 12.34",
            ),
            (
                r#"{"number":1,"client":"A","amount":"1"}"#,
                "number must be text such as \"F-2026-000001\", found 1",
            ),
            (
                r#"{"number":"1","client":"A","amount":"0.12345"}"#,
                "amount \"0.12345\": it has more than 4 digits after the point",
            ),
            (
                r#"{"number":"1","client":"A","amount":"1000000000000"}"#,
                "amount \"1000000000000\": it is not below 10^12",
            ),
            (
                r#"{"number":"1","number":"2","client":"A","amount":"1"}"#,
                "not an invoice: duplicate field `number`",
            ),
            (
                r#"{"number":"1","client":"A\u0000","amount":"1"}"#,
                "client: it has a control character",
            ),
            (
                r#"{"number":"1","client":"A\u202Eb","amount":"1"}"#,
                "client: it has a character that turns the direction of text",
            ),
            (
                r#"{"number":"1","client":"A","amount":"1e3"}"#,
                "amount \"1e3\": it is no decimal number such as 12.34",
            ),
            (
                r#"{"number":"1","client":"A","amount":"1","currency":"USD"}"#,
                "currency is \"USD\", this run counts EUR",
            ),
            (
                r#"{"number":"1","client":"A","amount":"1","issued_at":"yesterday"}"#,
                "issued_at \"yesterday\": it is no time with an offset such as 2026-11-22T10:00:00.000Z",
            ),
            (
                r#"{"number":"1","client":"A","amount":"1","issued_at":"1969-12-31T23:59:59Z"}"#,
                "issued_at \"1969-12-31T23:59:59Z\": it lies before 1970",
            ),
        ] {
            let found = refusal(json);
            assert!(found.starts_with(reason), "{json}: {found}");
        }
    }

    #[test]
    fn a_name_has_two_hundred_characters_at_most() {
        let of = |letter: &str, length| {
            let client = letter.repeat(length);
            read(&format!(r#"{{"number":"1","client":"{client}","amount":"1"}}"#))
        };
        for letter in ["a", "é", "中"] {
            assert_eq!(of(letter, 200).unwrap().client, letter.repeat(200));
            let refusal = of(letter, 201).unwrap_err().to_string();
            assert_eq!(refusal, "client: it has more than 200 characters");
        }
        assert!(of("a", 10_000).is_err());
    }

    fn issued(text: &str) -> Result<Invoice, BadInvoice> {
        read(&format!(r#"{{"number":"1","client":"A","amount":"1","issued_at":"{text}"}}"#))
    }

    #[test]
    fn times_of_all_kinds_are_read_or_refused() {
        for (text, ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T01:00:00+01:00", 0),
            ("2026-11-22T10:00:00.0009Z", 1_795_341_600_000),
            ("2026-11-22 10:00:00+00:00", 1_795_341_600_000),
            ("2026-11-22T15:45:00+05:45", 1_795_341_600_000),
            ("2026-11-21T22:00:00-12:00", 1_795_341_600_000),
            // A leap second is the second before it, as in POSIX.
            ("2016-12-31T23:59:60Z", 1_483_228_799_000),
        ] {
            let found = issued(text).map(|invoice| invoice.issued_at);
            assert_eq!(found, Ok(Some(Timestamp(ms))), "{text}");
        }
        for (text, reason) in [
            ("1969-12-31T23:59:59.999Z", "before 1970"),
            ("1970-01-01T00:59:59+01:00", "before 1970"),
            ("0000-01-01T00:00:00Z", "before 1970"),
            ("-000001-01-01T00:00:00Z", "before 1970"),
            ("10000-01-01T00:00:00Z", "no time with an offset"),
            ("9999-12-31T23:59:59Z", "no time with an offset"),
            ("2026-11-22T10:00:00", "no time with an offset"),
            ("2026-02-29T10:00:00Z", "no time with an offset"),
            ("2026-11-22T24:00:01Z", "no time with an offset"),
            ("2026-11-22T10:00:00+99:00", "no time with an offset"),
            ("", "no time with an offset"),
        ] {
            let found = issued(text).unwrap_err().to_string();
            assert!(found.contains(reason), "{text}: {found}");
        }
    }

    #[test]
    fn a_time_is_taken_up_to_the_bound_ahead_of_the_record() {
        const DAY: Duration = Duration::from_secs(86_400);
        let at = |ms: i64| Invoice {
            issued_at: Some(Timestamp(ms)),
            ..issued("1970-01-01T00:00:00Z").unwrap()
        };
        let (record, ahead) = (Timestamp(1_795_341_600_000), 86_400_000);
        for good in [0, record.0, record.0 + ahead] {
            assert_eq!(at(good).time(record, DAY), Ok(Timestamp(good)));
        }
        let refusal = at(record.0 + ahead + 1).time(record, DAY).unwrap_err().to_string();
        assert_eq!(
            refusal,
            "issued_at \"2026-11-23T10:00:00.001Z\": it lies more than 86400 s after the record's \
             time, 2026-11-22T10:00:00.000Z"
        );
        assert_eq!(at(record.0 + 1).time(record, Duration::ZERO).map_err(|_| ()), Err(()));
    }

    #[test]
    fn no_time_is_taken_whose_window_could_not_be_written() {
        let forever = Duration::MAX;
        let none = Invoice { issued_at: None, ..issued("1970-01-01T00:00:00Z").unwrap() };
        let says = |ms: i64| Invoice { issued_at: Some(Timestamp(ms)), ..none.clone() };
        let last = Timestamp(TIME_LIMIT_MS - 1);
        assert_eq!(utc_text(last).unwrap(), "9998-12-31T23:59:59.999Z");
        assert_eq!(none.time(last, forever), Ok(last));
        assert_eq!(says(last.0).time(Timestamp(0), forever), Ok(last));
        assert_eq!(says(last.0).time(Timestamp(-1), Duration::ZERO), Ok(last));
        for (invoice, record) in [
            (&none, Timestamp(TIME_LIMIT_MS)),
            (&none, Timestamp(i64::MAX)),
            (&none, Timestamp(-1)),
            (&says(TIME_LIMIT_MS), Timestamp(0)),
            (&says(TIME_LIMIT_MS), Timestamp(-1)),
            (&says(i64::MAX), Timestamp(i64::MAX)),
        ] {
            assert!(invoice.time(record, forever).is_err(), "{invoice:?} {record:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let serde = InvoiceSerde { currency: "CHF".parse().unwrap() };
        let invoice = Invoice {
            number: "7".to_owned(),
            client: "\"B\"".to_owned(),
            amount: "0.5".parse().unwrap(),
            issued_at: Some(Timestamp(5)),
        };
        let mut bytes = Vec::new();
        serde.write(&invoice, &mut bytes).unwrap();
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#"{"number":"7","client":"\"B\"","amount":"0.50","currency":"CHF","issued_at":"1970-01-01T00:00:00.005Z"}"#
        );
        assert_eq!(serde.read(&bytes).unwrap(), invoice);
        assert!(InvoiceSerde::default().read(&bytes).is_err());
    }
}
