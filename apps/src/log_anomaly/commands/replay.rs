//! `log-anomaly replay`: a file through the topology, without a broker; what comes out as JSON lines.

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use millstream::log::memory::MemoryRecord;
use millstream::record::Headers;
use serde_json::{Map, Value, json};

use super::reading::Reading;
use crate::log_anomaly::driving::{Drive, each_line};
use crate::log_anomaly::topics;

/// Lines between two looks at what came out.
const LINES_AT_ONCE: u64 = 1_000;

/// A file through the topology.
#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    reading: Reading,
    /// The file, a line each
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// What to print: a topic, or all of them
    #[arg(long, value_name = "NAME", default_value = "all")]
    topic: String,
}

impl Replay {
    /// Prints `{topic, key, value, headers}` of each record of the topics, in the order in which they got them.
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let topics: Vec<&str> = topics::WRITTEN
            .into_iter()
            .filter(|topic| self.topic == "all" || self.topic == *topic)
            .collect();
        if topics.is_empty() {
            bail!(
                "there is no topic {}: all, or one of {}",
                self.topic,
                topics::WRITTEN.join(", ")
            );
        }
        let opening = || format!("reading {}", self.input.display());
        let file = BufReader::new(File::open(&self.input).with_context(opening)?);
        let mut drive = Drive::new(&self.reading.settings()?)?;
        let mut lines = 0;
        each_line(file, |line| {
            drive.feed(line, &Headers::default())?;
            lines += 1;
            if lines % LINES_AT_ONCE == 0 {
                print(&mut drive, &topics, out)?;
            }
            Ok(())
        })
        .with_context(opening)?;
        drive.end()?;
        print(&mut drive, &topics, out)
    }
}

fn print(drive: &mut Drive, topics: &[&str], out: &mut impl Write) -> anyhow::Result<()> {
    for topic in topics {
        for record in drive.written(topic)? {
            writeln!(out, "{}", object(topic, &record))?;
        }
    }
    Ok(())
}

/// Text is text, JSON is JSON, and what is neither is text with marks where it is none.
fn object(topic: &str, record: &MemoryRecord) -> Value {
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
    let value = record.value.as_deref().map(|bytes| {
        let parsed = serde_json::from_slice::<Value>(bytes).ok().filter(Value::is_object);
        parsed.unwrap_or_else(|| text(bytes))
    });
    let mut headers = Map::new();
    for header in record.headers.iter() {
        let value = header.value.as_deref().map_or(Value::Null, text);
        headers.insert(header.name.to_string(), value);
    }
    let key = record.key.as_deref().map(text);
    json!({"topic": topic, "key": key, "value": value, "headers": headers})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log_anomaly::commands::tests::reading;

    fn replay(text: &str, topic: &str) -> anyhow::Result<Vec<Value>> {
        let dir = tempfile::tempdir()?;
        let input = dir.path().join("lines");
        std::fs::write(&input, text)?;
        let mut out = Vec::new();
        let topic = topic.to_owned();
        Replay { reading: reading(), input, topic }.run(&mut out)?;
        Ok(out.lines_json())
    }

    trait LinesJson {
        fn lines_json(&self) -> Vec<Value>;
    }

    impl LinesJson for Vec<u8> {
        fn lines_json(&self) -> Vec<Value> {
            let text = String::from_utf8(self.clone()).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        }
    }

    /// Eleven failures, a second apart, of a year that the lines do not name.
    #[test]
    fn a_file_goes_through_and_everything_closes() {
        let text: String = (10..21)
            .map(|n| format!("Dec 10 06:55:{n} web sshd[1]: Failed password for root from 10.0.0.1 port {n} ssh2\n"))
            .collect();
        let found = replay(&text, topics::ANOMALIES).unwrap();
        let states: Vec<_> =
            found.iter().map(|it| (&it["value"]["kind"], &it["value"]["state"])).collect();
        let (kind, open, closed) = ("brute_force".into(), "open".into(), "closed".into());
        assert_eq!(states, [(&kind, &open), (&kind, &closed)]);
        assert_eq!(found[0]["value"]["subject"], "10.0.0.1");
        assert_eq!(found[0]["key"], found[0]["value"]["id"]);
        assert!(found[0]["value"]["first_seen"].as_str().unwrap().contains("-12-10T06:55:19"));
        let all = replay(&text, "all").unwrap();
        let of = |topic: &str| all.iter().filter(|it| it["topic"] == topic).count();
        assert_eq!((of(topics::ANOMALIES), of(topics::DEAD_LETTERS)), (2, 0));
        assert!(of(topics::METRICS) > 2 && of(topics::TEMPLATES) > 0);
        let metrics: Vec<_> = all.iter().filter(|it| it["topic"] == topics::METRICS).collect();
        let closed = |it: &&&Value| it["value"]["series"] == "10s" && it["value"]["final"] == true;
        let lines: u64 =
            metrics.iter().filter(closed).map(|it| it["value"]["requests"].as_u64().unwrap()).sum();
        assert_eq!(lines, 11, "every window is over");
    }

    #[test]
    fn bad_lines_come_with_their_reason_and_unknown_topics_are_named() {
        let found = replay("no format\n", topics::DEAD_LETTERS).unwrap();
        assert_eq!((found[0]["value"].as_str(), found.len()), (Some("no format"), 1));
        assert_eq!(found[0]["headers"]["__streams.errors.exception"], "UnknownFormat");
        let error = replay("", "anomalies").unwrap_err().to_string();
        assert!(error.contains("log-anomalies"), "{error}");
    }
}
