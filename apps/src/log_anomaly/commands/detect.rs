//! `log-anomaly detect --input FILE`: the detector alone.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::log_anomaly::detector::Detector;
use crate::log_anomaly::series::Rows;

/// The score of each row of a file.
#[derive(Debug, Args)]
pub(super) struct Detect {
    /// A CSV file with the columns `timestamp` and `value`; - for the standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
}

impl Detect {
    /// Writes `timestamp,value,anomaly_score`, a row for each row.
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let file = || self.input.display().to_string();
        let mut out = std::io::BufWriter::new(out);
        let remarks = detect(Rows::open(&self.input)?, &mut out).with_context(file);
        // What was scored before an error is right, too.
        out.flush()?;
        for remark in remarks?.lines() {
            writeln!(std::io::stderr(), "{}: {remark}", file())?;
        }
        Ok(())
    }
}

/// What was let pass, and on which line first.
#[derive(Debug, Default, PartialEq)]
struct Remarks {
    no_number: Passed,
    not_after: Passed,
}

#[derive(Debug, Default, PartialEq)]
struct Passed {
    count: u64,
    first_line: u64,
}

impl Passed {
    fn note(&mut self, line: u64) {
        if self.count == 0 {
            self.first_line = line;
        }
        self.count += 1;
    }

    fn told(&self, what: &str) -> Option<String> {
        let Self { count, first_line } = self;
        (*count > 0).then(|| format!("{count} {what}, the first on line {first_line}"))
    }
}

impl Remarks {
    fn lines(&self) -> impl Iterator<Item = String> {
        let no_number = self.no_number.told("values are missing or infinite and score 0");
        let not_after = self.not_after.told("times are not after the one before them");
        no_number.into_iter().chain(not_after)
    }
}

/// Reads rows and writes each with its score, in one pass.
///
/// # Errors
/// A row that cannot be read, after those before it were written; what the output says.
fn detect(mut rows: Rows, out: &mut impl Write) -> anyhow::Result<Remarks> {
    let (mut detector, mut remarks, mut before) = (Detector::default(), Remarks::default(), None);
    writeln!(out, "timestamp,value,anomaly_score")?;
    while let Some(row) = rows.next()? {
        if !row.value.is_finite() {
            remarks.no_number.note(row.line);
        }
        if before.replace(row.at).is_some_and(|before| row.at <= before) {
            remarks.not_after.note(row.line);
        }
        let score = detector.score(row.at, row.value);
        writeln!(out, "{},{},{score}", row.timestamp_text, row.value_text)?;
    }
    Ok(remarks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(text: &str) -> (anyhow::Result<Remarks>, String) {
        let mut out = Vec::new();
        let remarks = Rows::read(std::io::Cursor::new(text.to_owned()))
            .and_then(|rows| detect(rows, &mut out));
        (remarks, String::from_utf8(out).unwrap())
    }

    #[test]
    fn each_row_is_written_as_it_was_read_with_its_score() {
        let rows = (0..400).map(|i| format!("{},{}.50\n", i * 1_000, i % 7)).collect::<String>();
        let (remarks, out) = scored(&format!("timestamp,value\n{rows}400000,99\n"));
        assert_eq!(remarks.unwrap(), Remarks::default());
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 402);
        assert_eq!(lines[..2], ["timestamp,value,anomaly_score", "0,0.50,0"]);
        let score: f64 = lines[401].strip_prefix("400000,99,").unwrap().parse().unwrap();
        assert!(score > 0.5, "{score}");
    }

    #[test]
    fn a_row_does_not_change_the_scores_before_it() {
        let rows = (0..300).map(|i| format!("{},{}\n", i * 1_000, i * i % 11)).collect::<String>();
        let all = scored(&format!("timestamp,value\n{rows}300000,1e9\n")).1;
        let first = scored(&format!("timestamp,value\n{rows}")).1;
        assert_eq!(all.lines().take(301).collect::<Vec<_>>(), first.lines().collect::<Vec<_>>());
    }

    #[test]
    fn missing_values_and_times_out_of_order_are_let_pass_and_told() {
        let text = "timestamp,value\n3,1\n3,NaN\n2,\n4,-inf\n5,2\n";
        let (remarks, out) = scored(text);
        let told: Vec<String> = remarks.unwrap().lines().collect();
        let values = "3 values are missing or infinite and score 0, the first on line 3";
        assert_eq!(
            told,
            [values, "2 times are not after the one before them, the first on line 3"]
        );
        assert_eq!(out.lines().nth(2), Some("3,NaN,0"));
        assert_eq!(out.lines().count(), 6);
    }

    #[test]
    fn a_row_that_cannot_be_read_ends_it_with_its_line() {
        let (remarks, out) = scored("timestamp,value\n1,2\n2,much\n3,4\n");
        let text = format!("{:#}", remarks.unwrap_err());
        assert_eq!(text, "line 3: the value \"much\" is not a number");
        assert_eq!(out, "timestamp,value,anomaly_score\n1,2,0\n");
    }

    #[test]
    fn errors_name_the_file_and_what_was_scored_before_them_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let input = dir.path().join("series.csv");
        let run = |out: &mut Vec<u8>| {
            let error = Detect { input: input.clone() }.run(out).unwrap_err();
            format!("{error:#}")
        };
        assert!(run(&mut Vec::new()).contains("series.csv"));
        let mut out = Vec::new();
        std::fs::write(&input, "timestamp,value\n1,2\n2\n").unwrap();
        assert!(
            run(&mut out).ends_with("series.csv: line 3: it has no value"),
            "{}",
            run(&mut out)
        );
        assert!(out.starts_with(b"timestamp,value,anomaly_score\n1,2,0\n"));
        std::fs::write(&input, "").unwrap();
        assert!(run(&mut Vec::new()).contains("series.csv: it is empty"));
    }
}
