//! `log-anomaly templates FILE`.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use crate::log_anomaly::line::message_of;
use crate::log_anomaly::templates::Miner;

/// The template of each line of a file.
#[derive(Debug, Args)]
pub(super) struct Templates {
    /// The file
    file: PathBuf,
    /// Its lines are messages without a header of time, level and the like
    #[arg(long)]
    plain: bool,
}

impl Templates {
    /// Writes `line_no,template_id,template`, a row for each line. A template becomes more general as lines
    /// come, so the texts are those at the end of the file; the ids do not change. A line of no known format is taken as it
    /// is.
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let reading = || format!("reading {}", self.file.display());
        let mut lines = BufReader::new(File::open(&self.file).with_context(reading)?);
        let mut miner = Miner::default();
        let (mut found, mut bytes) = (Vec::new(), Vec::new());
        while lines.read_until(b'\n', &mut bytes).with_context(reading)? > 0 {
            let message = message_of(&bytes).filter(|_| !self.plain);
            let line = message.map_or_else(|| String::from_utf8_lossy(&bytes), Cow::Owned);
            found.push(miner.learn(line.trim_end_matches(['\n', '\r'])).template);
            bytes.clear();
        }
        let mut csv = csv::Writer::from_writer(out);
        csv.write_record(["line_no", "template_id", "template"])?;
        for (at, id) in found.iter().enumerate() {
            // One that went, since there were too many, has no text any more.
            let text = miner.get(*id).map(|template| template.text()).unwrap_or_default();
            csv.write_record([&(at + 1).to_string(), &id.to_string(), &text])?;
        }
        Ok(csv.flush()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8], plain: bool) -> anyhow::Result<String> {
        let dir = tempfile::tempdir()?;
        let file = dir.path().join("lines");
        std::fs::write(&file, text)?;
        let mut out = Vec::new();
        Templates { file, plain }.run(&mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn each_line_has_a_row() {
        let found =
            rows(b"Found child 1 in slot 2\r\n\n\xff is no letter\nFound child 3 in slot 4", true)
                .unwrap();
        let lines: Vec<Vec<&str>> =
            found.lines().map(|line| line.splitn(3, ',').collect()).collect();
        assert_eq!(lines[0], ["line_no", "template_id", "template"]);
        let texts: Vec<&str> = lines.iter().skip(1).map(|row| row[2]).collect();
        assert_eq!(
            texts,
            [
                "Found child <*> in slot <*>",
                "",
                "\u{fffd} is no letter",
                "Found child <*> in slot <*>"
            ]
        );
        assert_eq!((lines[1][0], lines[4][0]), ("1", "4"));
        assert_eq!(lines[1][1], lines[4][1]);
        assert_eq!(lines[1][1].len(), 16);
    }

    #[test]
    fn headers_are_no_part_of_a_template() {
        let lines = b"[Sun Dec 04 04:47:44 2005] [error] state 6\n\
            Dec  4 04:47:44 host httpd[7]: state 7\nstate 8\n";
        let found = rows(lines, false).unwrap();
        let ids: Vec<&str> =
            found.lines().skip(1).filter_map(|row| row.split(',').nth(1)).collect();
        assert!(ids.len() == 3 && ids.iter().all(|id| *id == ids[0]), "{found}");
        assert!(found.ends_with(",state <*>\n"), "{found}");
    }

    #[test]
    fn an_empty_file_has_no_rows_and_one_that_is_not_there_is_named() {
        assert_eq!(rows(b"", true).unwrap(), "line_no,template_id,template\n");
        let away = Templates { file: PathBuf::from("not-here.log"), plain: true };
        let error = format!("{:#}", away.run(&mut Vec::new()).unwrap_err());
        assert!(error.contains("not-here.log"), "{error}");
    }
}
