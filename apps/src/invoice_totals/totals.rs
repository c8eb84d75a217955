//! What comes out: totals as they are kept in stores and as they are written to topics.

use millstream::BoxError;
use millstream::record::{Timestamp, Windowed};
use millstream::serde::HasSerde;
use serde::{Deserialize, Serialize};

use super::invoice::utc_text;
use super::money::{Amount, Currency};
use super::object::JsonObject;

/// A sum in the making, as a store keeps it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Total {
    /// The sum.
    pub total: Amount,
    /// Of how many invoices.
    pub count: u64,
}

impl HasSerde for Total {
    type Serde = JsonObject;
}

impl Total {
    /// Takes in one more invoice.
    pub fn add(&mut self, amount: Amount) {
        self.total = self.total.plus(amount);
        self.count += 1;
    }
}

/// The total of a window, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowTotal {
    /// Start of the window, inclusive.
    pub from: String,
    /// End of the window, exclusive.
    pub to: String,
    /// The sum, with at least two digits after the point.
    pub total: String,
    /// Of how many invoices.
    pub count: u64,
    /// In which currency.
    pub currency: String,
}

impl HasSerde for WindowTotal {
    type Serde = JsonObject;
}

impl WindowTotal {
    /// The total of `window`.
    ///
    /// # Errors
    /// If the window lies beyond the year 9999.
    pub fn of<K>(
        window: &Windowed<K>,
        total: Total,
        currency: &Currency,
    ) -> Result<Self, BoxError> {
        Ok(Self {
            from: utc_text(Timestamp(window.start))?,
            to: utc_text(Timestamp(window.end))?,
            total: total.total.to_string(),
            count: total.count,
            currency: currency.to_string(),
        })
    }
}

/// The total of a client, as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientTotal {
    /// The sum, with at least two digits after the point.
    pub total: String,
    /// Of how many invoices.
    pub count: u64,
    /// In which currency.
    pub currency: String,
}

impl HasSerde for ClientTotal {
    type Serde = JsonObject;
}

impl ClientTotal {
    /// A client's total.
    pub fn of(total: Total, currency: &Currency) -> Self {
        Self { total: total.total.to_string(), count: total.count, currency: currency.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total() -> Total {
        let mut total = Total::default();
        total.add("1234".parse().unwrap());
        total.add("0.5".parse().unwrap());
        total
    }

    #[test]
    fn the_shapes_are_the_contracts() {
        let window = Windowed { key: "all", start: 1_795_341_600_000, end: 1_795_341_605_000 };
        let written = WindowTotal::of(&window, total(), &Currency::default()).unwrap();
        assert_eq!(
            serde_json::to_string(&written).unwrap(),
            r#"{"from":"2026-11-22T10:00:00.000Z","to":"2026-11-22T10:00:05.000Z","total":"1234.50","count":2,"currency":"EUR"}"#
        );
        assert_eq!(
            serde_json::to_string(&ClientTotal::of(total(), &Currency::default())).unwrap(),
            r#"{"total":"1234.50","count":2,"currency":"EUR"}"#
        );
    }

    #[test]
    fn a_store_keeps_the_sum_exactly() {
        let text = serde_json::to_string(&total()).unwrap();
        assert_eq!(text, r#"{"total":"1234.5","count":2}"#);
        assert_eq!(serde_json::from_str::<Total>(&text).unwrap(), total());
    }
}
