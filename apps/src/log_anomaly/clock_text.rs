//! Times, as they are written.

use millstream::BoxError;

/// `2026-11-27T10:00:00.000Z` of milliseconds since 1970.
///
/// # Errors
/// For a time beyond the year 9999.
pub(super) fn utc_text(ms: i64) -> Result<String, BoxError> {
    Ok(format!("{:.3}", jiff::Timestamp::from_millisecond(ms)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_have_three_digits() {
        assert_eq!(utc_text(0).unwrap(), "1970-01-01T00:00:00.000Z");
        assert_eq!(utc_text(1_795_341_600_070).unwrap(), "2026-11-22T10:00:00.070Z");
        assert!(utc_text(i64::MAX).is_err());
    }
}
