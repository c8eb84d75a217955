//! Money: exact decimals, never floats, and one currency per run.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use millstream::serde::{HasSerde, Json};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::{Deserialize, Serialize};

/// No invoice is as large as this; the bound keeps every sum of fewer than 10^12 invoices exact.
const AMOUNT_LIMIT: i64 = 1_000_000_000_000;
/// Digits after the point: enough for every currency and for unit prices.
const DIGITS_MAX: u32 = 4;
/// Digits after the point that are always shown.
const DIGITS_SHOWN_MIN: u32 = 2;

/// An amount of money, exact. Negative ones are credit notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(Decimal);

impl HasSerde for Amount {
    type Serde = Json;
}

impl Amount {
    /// The sum. It cannot overflow below 10^12 invoices; beyond, it stays at the largest amount.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// So many of it, exact: below 10^12 the product has room.
    #[must_use]
    pub fn times(self, quantity: u32) -> Self {
        Self(self.0.saturating_mul(Decimal::from(quantity)))
    }

    /// Its whole units, none if it is negative, and what is left of it.
    #[must_use]
    pub fn split_whole(self) -> (u64, Self) {
        match self.0.trunc().to_u64() {
            Some(whole) if whole > 0 => (whole, Self(self.0 - Decimal::from(whole))),
            _ => (0, self),
        }
    }

    /// Whether it is a credit note's.
    pub fn is_negative(self) -> bool {
        self.0.is_sign_negative()
    }

    /// So many hundredths.
    pub fn cents(cents: i64) -> Self {
        Self(Decimal::new(cents, DIGITS_SHOWN_MIN))
    }
}

impl FromStr for Amount {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'-');
        if text.is_empty() || !text.bytes().all(plain) {
            return Err("it is no decimal number such as 12.34");
        }
        let number =
            Decimal::from_str_exact(text).map_err(|_| "it is no decimal number such as 12.34")?;
        if number.scale() > DIGITS_MAX {
            return Err("it has more than 4 digits after the point");
        }
        if number.abs() >= Decimal::from(AMOUNT_LIMIT) {
            return Err("it is not below 10^12");
        }
        Ok(Self(number))
    }
}

impl fmt::Display for Amount {
    /// At least two digits after the point, more only where they were given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = self.0;
        if shown.scale() < DIGITS_SHOWN_MIN {
            shown.rescale(DIGITS_SHOWN_MIN);
        }
        f.pad(&shown.to_string())
    }
}

/// A currency by its three letters (ISO 4217).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Currency(Arc<str>);

impl Currency {
    /// Its letters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self("EUR".into())
    }
}

impl FromStr for Currency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == 3 && text.bytes().all(|b| b.is_ascii_uppercase()) {
            Ok(Self(text.into()))
        } else {
            Err(format!("\"{text}\" is no currency such as EUR"))
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn sums_are_exact() {
        let tenth = amount("0.10");
        let sum = (0..10_000).fold(Amount::default(), |sum, _| sum.plus(tenth));
        assert_eq!(sum.to_string(), "1000.00");
        assert_eq!(amount("0.1").plus(amount("0.2")), amount("0.3"));
        assert_eq!(amount("5").plus(amount("-7.25")).to_string(), "-2.25");
        assert_eq!(Amount::cents(1234), amount("12.34"));
    }

    #[test]
    fn whole_units_are_split_off() {
        for (given, whole, left) in
            [("12.34", 12, "0.34"), ("0.99", 0, "0.99"), ("-5.5", 0, "-5.5"), ("3", 3, "0")]
        {
            assert_eq!(amount(given).split_whole(), (whole, amount(left)), "{given}");
        }
        assert_eq!(amount("0.1001").times(3), amount("0.3003"));
    }

    #[test]
    fn at_least_two_digits_are_shown_and_none_is_lost() {
        for (given, shown) in
            [("3", "3.00"), ("3.5", "3.50"), ("3.1234", "3.1234"), ("-0.5", "-0.50")]
        {
            assert_eq!(amount(given).to_string(), shown);
        }
        assert_eq!(Amount::default().to_string(), "0.00");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", "-", ".", "1e3", "1,5", "+1", " 1", "NaN", "12.34.5", "1_000"] {
            assert!(text.parse::<Amount>().is_err(), "{text:?} was taken");
        }
        assert!("0.00001".parse::<Amount>().unwrap_err().contains("4 digits"));
        assert!("1000000000000".parse::<Amount>().unwrap_err().contains("10^12"));
        assert!("-1000000000000".parse::<Amount>().is_err());
        assert_eq!(amount("999999999999.9999").to_string(), "999999999999.9999");
    }

    #[test]
    fn a_currency_has_three_capitals() {
        assert_eq!("EUR".parse::<Currency>().unwrap(), Currency::default());
        for text in ["", "eur", "EURO", "€€€", "E R"] {
            assert!(text.parse::<Currency>().is_err(), "{text:?} was taken");
        }
    }
}
