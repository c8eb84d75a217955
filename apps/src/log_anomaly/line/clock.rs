//! The times that lines carry: with zone, without, without a year.

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::fields::FoundTime;

/// How far a line may be ahead of its record: one absurd line must not close everybody's windows.
const AHEAD_MAX_MS: i64 = 3_600_000;

/// `2026-11-27T10:00:00.123Z`, with an offset, or with neither; a space for the `T`, a comma before the fraction.
pub(super) fn iso(text: &str) -> FoundTime {
    let text = text.trim().replace(',', ".");
    if let Ok(exact) = text.parse::<jiff::Timestamp>() {
        return FoundTime::Exact(exact.as_millisecond());
    }
    text.parse::<DateTime>().map_or(FoundTime::Absurd, FoundTime::WithoutZone)
}

/// `10/Oct/2000:13:55:36 -0700`.
pub(super) fn common(text: &str) -> FoundTime {
    let parsed = strtime::parse("%d/%b/%Y:%H:%M:%S %z", text).and_then(|time| time.to_timestamp());
    parsed.map_or(FoundTime::Absurd, |time| FoundTime::Exact(time.as_millisecond()))
}

/// `Sun Dec 04 04:47:44 2005`, also with a fraction of the second.
pub(super) fn apache(text: &str) -> FoundTime {
    // The day of the week is not held against the date: logs are written by hand now and then.
    let date = text.split_once(' ').map_or("", |(_, date)| date);
    let parsed = strtime::parse("%b %d %H:%M:%S%.f %Y", date).and_then(|time| time.to_datetime());
    parsed.map_or(FoundTime::Absurd, FoundTime::WithoutZone)
}

/// `Dec 10 06:55:46` or `Dec  1 06:55:46`.
pub(super) fn without_year(month: &str, day: &str, time: &str) -> FoundTime {
    // A leap year, so that the 29th of February is one.
    let text = format!("2000 {month} {day} {time}");
    let parsed = strtime::parse("%Y %b %d %H:%M:%S", text).and_then(|time| time.to_datetime());
    parsed.map_or(FoundTime::Absurd, FoundTime::WithoutYear)
}

/// The line's time in milliseconds since 1970, where it has one that can be; and whether it had one that cannot.
pub(super) fn resolve(found: FoundTime, record_ms: i64, zone: &TimeZone) -> (Option<i64>, bool) {
    let in_zone = |time: DateTime| {
        let zoned = time.to_zoned(zone.clone()).ok()?;
        Some(zoned.timestamp().as_millisecond())
    };
    let time = match found {
        FoundTime::None => return (None, false),
        FoundTime::Absurd => None,
        FoundTime::Exact(time) => Some(time),
        FoundTime::WithoutZone(time) => in_zone(time),
        FoundTime::WithoutYear(time) => nearest_year(time, record_ms, in_zone),
    };
    let time = time.filter(|time| *time >= 0 && *time <= record_ms.saturating_add(AHEAD_MAX_MS));
    (time, time.is_none())
}

/// The time in the year that brings it nearest to the record's.
fn nearest_year(
    time: DateTime,
    record_ms: i64,
    in_zone: impl Fn(DateTime) -> Option<i64>,
) -> Option<i64> {
    let record = jiff::Timestamp::from_millisecond(record_ms).ok()?;
    let year = record.to_zoned(TimeZone::UTC).year();
    let candidates = [year.checked_sub(1)?, year, year.checked_add(1)?];
    let in_year = |year: i16| time.with().year(year).build().ok().and_then(&in_zone);
    candidates.into_iter().filter_map(in_year).min_by_key(|at| at.abs_diff(record_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn resolved(found: FoundTime, record: &str) -> (Option<i64>, bool) {
        resolve(found, ms(record), &TimeZone::UTC)
    }

    const RECORD: &str = "2026-11-27T10:00:00Z";

    #[test]
    fn times_of_all_formats() {
        for (found, wanted) in [
            (iso("2026-11-27T09:59:59.5Z"), "2026-11-27T09:59:59.5Z"),
            (iso("2026-11-27T10:59:59+01:00"), "2026-11-27T09:59:59Z"),
            (iso("2026-11-27 09:00:00,250"), "2026-11-27T09:00:00.25Z"),
            (common("10/Oct/2000:13:55:36 -0700"), "2000-10-10T20:55:36Z"),
            (apache("Sun Dec 04 04:47:44 2005"), "2005-12-04T04:47:44Z"),
            (apache("Sun Dec 04 04:47:44.123456 2005"), "2005-12-04T04:47:44.123Z"),
            (without_year("Nov", "26", "06:55:46"), "2026-11-26T06:55:46Z"),
        ] {
            assert_eq!(resolved(found, RECORD), (Some(ms(wanted)), false), "{found:?}");
        }
    }

    #[test]
    fn a_year_is_the_one_that_is_nearest() {
        let time = without_year("Dec", "31", "23:59:59");
        assert_eq!(resolved(time, "2027-01-01T00:00:10Z").0, Some(ms("2026-12-31T23:59:59Z")));
        let time = without_year("Jan", "1", "00:00:01");
        assert_eq!(resolved(time, "2026-12-31T23:59:50Z").0, Some(ms("2027-01-01T00:00:01Z")));
        // In a year that has no such day it is another year's.
        let time = without_year("Feb", "29", "00:00:00");
        assert_eq!(resolved(time, "2028-03-01T00:00:00Z").0, Some(ms("2028-02-29T00:00:00Z")));
    }

    #[test]
    fn what_is_no_time_or_ahead_of_its_record_is_not_taken() {
        for found in [
            iso("yesterday"),
            common("32/Oct/2000:13:55:36 -0700"),
            apache("Sun Dec 04"),
            without_year("Foo", "1", "00:00:00"),
            iso("2026-11-27T11:00:01Z"),
            iso("1969-12-31T23:59:59Z"),
            iso("9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(resolved(found, RECORD), (None, true), "{found:?}");
        }
        assert!(!resolved(iso("2026-11-27T11:00:00Z"), RECORD).1);
        assert_eq!(resolved(FoundTime::None, RECORD), (None, false));
    }
}
