//! Times and days as they are written: UTC, milliseconds with three digits.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 86_400_000;
/// 9999-01-01T00:00:00Z: what is later is no time of a sign-in.
const MS_LIMIT: i64 = 253_370_764_800_000;

/// A time from 1970 on and before the year 9999, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(i64);

/// A text or number is no time that a sign-in can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time from 1970 on and before the year 9999")]
pub struct BadMoment;

impl Moment {
    /// So many milliseconds after 1970.
    ///
    /// # Errors
    /// If it lies outside of the years in which people sign in.
    pub fn of_ms(ms: i64) -> Result<Self, BadMoment> {
        if (0..MS_LIMIT).contains(&ms) { Ok(Self(ms)) } else { Err(BadMoment) }
    }

    /// Milliseconds since 1970.
    pub fn ms(self) -> i64 {
        self.0
    }

    /// The second in which it lies.
    pub(super) fn second(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The day in which it lies.
    pub fn day(self) -> Day {
        Day(i32::try_from(self.0.div_euclid(DAY_MS)).unwrap_or(i32::MAX))
    }
}

impl TryFrom<Timestamp> for Moment {
    type Error = BadMoment;

    fn try_from(at: Timestamp) -> Result<Self, BadMoment> {
        Self::of_ms(at.as_millisecond())
    }
}

impl FromStr for Moment {
    type Err = BadMoment;

    fn from_str(text: &str) -> Result<Self, BadMoment> {
        text.parse::<Timestamp>().map_err(|_| BadMoment)?.try_into()
    }
}

impl TryFrom<String> for Moment {
    type Error = BadMoment;

    fn try_from(text: String) -> Result<Self, BadMoment> {
        text.parse()
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:.3}", Timestamp::from_millisecond(self.0).unwrap_or_default())
    }
}

/// A day, in days since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(i32);

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noon = Timestamp::from_millisecond(i64::from(self.0) * DAY_MS).unwrap_or_default();
        write!(out, "{}", noon.strftime("%Y-%m-%d"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_with_three_digits() {
        for (text, written) in [
            ("2026-11-22T10:00:00.07Z", "2026-11-22T10:00:00.070Z"),
            ("2026-11-22T11:00:00+01:00", "2026-11-22T10:00:00.000Z"),
            ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(text.parse::<Moment>().unwrap().to_string(), written);
        }
        for text in ["", "yesterday", "2026-11-22", "1969-12-31T23:59:59Z", "9999-01-01T00:00:00Z"]
        {
            assert_eq!(text.parse::<Moment>(), Err(BadMoment), "{text}");
        }
        for ms in [-1, i64::MIN, i64::MAX, MS_LIMIT] {
            assert_eq!(Moment::of_ms(ms), Err(BadMoment));
        }
    }

    #[test]
    fn a_day_ends_at_midnight() {
        let day = |text: &str| text.parse::<Moment>().unwrap().day().to_string();
        assert_eq!(day("2026-11-22T23:59:59.999Z"), "2026-11-22");
        assert_eq!(day("2026-11-23T00:00:00Z"), "2026-11-23");
        assert_eq!(day("1970-01-01T00:00:00Z"), "1970-01-01");
        assert_eq!(day("9998-12-31T23:59:59Z"), "9998-12-31");
    }
}
