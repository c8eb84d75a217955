//! Series of numbers in CSV files.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, bail};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use millstream::record::Timestamp;

/// A line is no longer; what is longer has no lines at all.
const LINE_MAX: usize = 64 * 1024;

/// Reads a file with the columns `timestamp` and `value`, in any order and among others, row by row;
/// each row is a line.
///
/// Times are `2026-11-27 08:30:00` (in UTC), with a `T`, a fraction or an offset if they have one,
/// or milliseconds since 1970. Values are decimal numbers; an empty one, `NaN` and `inf` are values that
/// are missing, 1e999 is infinite. Empty lines are passed over.
pub(super) struct Rows {
    source: Box<dyn BufRead>,
    text: Vec<u8>,
    line: u64,
    columns: Columns,
}

/// Their places.
#[derive(Default)]
struct Columns {
    timestamp: usize,
    value: usize,
}

/// One row.
#[derive(Debug)]
pub(super) struct Row<'a> {
    pub(super) line: u64,
    pub(super) at: Timestamp,
    pub(super) value: f64,
    /// As they stand there.
    pub(super) timestamp_text: &'a str,
    pub(super) value_text: &'a str,
}

impl Rows {
    /// # Errors
    /// A file that cannot be opened; its first line, if it does not name the columns.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = || path.display().to_string();
        if path.as_os_str() == "-" {
            return Self::read(std::io::stdin());
        }
        Self::read(File::open(path).with_context(name)?).with_context(name)
    }

    /// # Errors
    /// The first line, if it does not name the columns.
    pub(super) fn read(source: impl Read + 'static) -> anyhow::Result<Self> {
        let source = Box::new(BufReader::new(source));
        let (text, columns) = (Vec::new(), Columns::default());
        let mut rows = Self { source, text, line: 0, columns };
        if !rows.next_line()? {
            bail!("it is empty; a line with the names of the columns is missing: timestamp,value");
        }
        let names = line_text(&rows.text, rows.line)?.trim().trim_start_matches('\u{feff}');
        let place = |wanted: &str| {
            let place = fields(names).position(|name| name == wanted);
            place.with_context(|| {
                format!("line {}: no column of {names:?} is {wanted:?}", rows.line)
            })
        };
        rows.columns = Columns { timestamp: place("timestamp")?, value: place("value")? };
        Ok(rows)
    }

    /// The next row; none at the end.
    ///
    /// # Errors
    /// A row that cannot be read, with its line.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Row<'_>>> {
        if !self.next_line()? {
            return Ok(None);
        }
        let line = self.line;
        let text = line_text(&self.text, line)?;
        let field = |place: usize, name: &str| {
            fields(text).nth(place).with_context(|| format!("line {line}: it has no {name}"))
        };
        let timestamp_text = field(self.columns.timestamp, "timestamp")?;
        let value_text = field(self.columns.value, "value")?;
        let at = time(timestamp_text)
            .with_context(|| format!("line {line}: the timestamp {timestamp_text:?} is no time"))?;
        let value = if value_text.is_empty() { Some(f64::NAN) } else { value_text.parse().ok() };
        let value = value
            .with_context(|| format!("line {line}: the value {value_text:?} is not a number"))?;
        Ok(Some(Row { line, at, value, timestamp_text, value_text }))
    }

    /// Goes to the next line that is not empty; false at the end.
    fn next_line(&mut self) -> anyhow::Result<bool> {
        loop {
            self.text.clear();
            self.line += 1;
            let mut source = (&mut self.source).take(LINE_MAX as u64 + 1);
            let read = source.read_until(b'\n', &mut self.text);
            if read.with_context(|| format!("line {}", self.line))? == 0 {
                return Ok(false);
            }
            if self.text.len() > LINE_MAX {
                bail!("line {}: it is longer than {LINE_MAX} bytes", self.line);
            }
            if !self.text.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}

fn line_text(bytes: &[u8], line: u64) -> anyhow::Result<&str> {
    std::str::from_utf8(bytes).with_context(|| format!("line {line}"))
}

/// What stands between the commas that are not in quotes, without blanks and quotes around it.
fn fields(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let parts = line.split(move |character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    parts.map(|part| {
        let part = part.trim();
        part.strip_prefix('"').and_then(|part| part.strip_suffix('"')).map_or(part, str::trim)
    })
}

/// A point in time as people and programs write it.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    if let Ok(milliseconds) = text.parse() {
        return Some(Timestamp(milliseconds));
    }
    let at = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let local = text.parse::<DateTime>().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    });
    at.map(|at| Timestamp(at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> anyhow::Result<Vec<(u64, i64, f64)>> {
        let mut rows = Rows::read(std::io::Cursor::new(text.to_owned()))?;
        let mut all = Vec::new();
        while let Some(row) = rows.next()? {
            all.push((row.line, row.at.0, row.value));
        }
        Ok(all)
    }

    fn refused(text: &str) -> String {
        format!("{:#}", all(text).unwrap_err())
    }

    #[test]
    fn columns_are_found_by_name() {
        assert_eq!(all("timestamp,value\n1,2.5\n\n2,-3\n").unwrap(), [(2, 1, 2.5), (4, 2, -3.0)]);
        let text = "\u{feff}timestamp,label, value \r\n7,\"x, y\",\"1e3\"\r\n";
        assert_eq!(all(text).unwrap(), [(2, 7, 1000.0)]);
        assert_eq!(all("timestamp,value\n").unwrap(), []);
    }

    #[test]
    fn times_are_read_as_they_are_written() {
        let noon = Some(Timestamp(1_392_379_200_000));
        for text in ["2014-02-14 12:00:00", "2014-02-14T12:00:00Z", "2014-02-14T13:00+01:00"] {
            assert_eq!(time(text), noon, "{text}");
        }
        assert_eq!(time("2014-02-14 12:00:00.000000"), noon);
        assert_eq!(time("1392379200000"), noon);
        for text in ["", "noon", "2014-02-30 12:00:00", "99999999999999999999", "12:00"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_line() {
        assert!(refused("").contains("it is empty"), "{}", refused(""));
        let other = refused("time,count\n1,2\n");
        assert_eq!(other, "line 1: no column of \"time,count\" is \"timestamp\"");
        assert!(refused("timestamp,count\n1,2\n").contains("is \"value\""));
        assert_eq!(refused("timestamp,value\n1,2\n3\n"), "line 3: it has no value");
        let time = refused("timestamp,value\n\nyesterday,2\n");
        assert_eq!(time, "line 3: the timestamp \"yesterday\" is no time");
        assert!(refused("timestamp,value\n1,0x10\n").contains("line 2: the value \"0x10\""));
        let text = b"timestamp,value\n1,2\n2,\xff\n".as_slice();
        let mut rows = Rows::read(text).unwrap();
        assert!(rows.next().unwrap().is_some());
        assert_eq!(rows.next().unwrap_err().to_string(), "line 3");
        let long = refused(&format!("timestamp,value\n1,2\n{}", "9".repeat(70_000)));
        assert_eq!(long, "line 3: it is longer than 65536 bytes");
    }

    #[test]
    fn missing_and_infinite_values_are_no_errors() {
        let values = all("timestamp,value\n1,\n2,NaN\n3,inf\n4,1e999\n").unwrap();
        assert!(values.iter().all(|(_, _, value)| !value.is_finite()), "{values:?}");
    }
}
