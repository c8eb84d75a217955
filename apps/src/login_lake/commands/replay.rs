//! `login-lake replay`: a file of sign-ins through the topology, without a broker; what comes out as JSON lines.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use millstream::log::memory::MemoryRecord;
use millstream::record::{Headers, Timestamp};
use millstream::testing::{DriverOptions, TopologyDriver};
use serde_json::{Map, Value, json};

use crate::login_lake::moment::Moment;
use crate::login_lake::topics;
use crate::login_lake::topology::topology;

const DAY: Duration = Duration::from_secs(86_400);

/// A file through the topology.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// Sign-ins as they stand in the topic, one a line, each at the time that it says
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Erasures that come after them, one a line: {"sub": "..", "requested_at": ".."}
    #[arg(long, value_name = "FILE")]
    erasures: Option<PathBuf>,
    /// What to print: a topic, or all of them
    #[arg(long, value_name = "NAME", default_value = "all")]
    topic: String,
}

impl Replay {
    /// Prints `{topic, key, value, headers}` of each record of the topics; at the end as if a day had passed.
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let wanted: Vec<&str> = topics::WRITTEN
            .into_iter()
            .filter(|topic| self.topic == "all" || self.topic == *topic)
            .collect();
        if wanted.is_empty() {
            bail!(
                "there is no topic {}: all, or one of {}",
                self.topic,
                topics::WRITTEN.join(", ")
            );
        }
        let application_id = "login-lake".to_owned();
        let options = DriverOptions { application_id, ..DriverOptions::default() };
        let mut driver = TopologyDriver::with_options(&topology()?, &options)?;
        let inputs = [
            (topics::LOGINS, "signed_in_at", Some(&self.input)),
            (topics::ERASURES, "requested_at", self.erasures.as_ref()),
        ];
        let mut at = Timestamp(0);
        for (topic, time, file) in inputs {
            let Some(file) = file else { continue };
            for line in lines(file)?.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                let row: Option<Value> = serde_json::from_slice(line).ok();
                let text = |name: &str| row.as_ref()?.get(name)?.as_str();
                // What says no time comes with what was before it.
                let said = text(time).and_then(|text| text.parse::<Moment>().ok());
                at = said.map_or(at, |said| Timestamp(said.ms()));
                let key = text("sub").unwrap_or_default().as_bytes();
                driver.pipe_raw(topic, (Some(key), Some(line)), at, &Headers::default())?;
                print(&mut driver, &wanted, out)?;
            }
        }
        driver.advance_wall_clock(DAY)?;
        print(&mut driver, &wanted, out)?;
        Ok(out.flush()?)
    }
}

fn lines(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("reading {}", file.display()))
}

fn print(driver: &mut TopologyDriver, wanted: &[&str], out: &mut impl Write) -> anyhow::Result<()> {
    for topic in wanted {
        for record in driver.read_raw(topic)? {
            writeln!(out, "{}", object(topic, &record))?;
        }
    }
    Ok(())
}

/// JSON is JSON, all else is text with marks where it is none.
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

    fn replayed(topic: &str) -> anyhow::Result<Vec<Value>> {
        let dir = tempfile::tempdir()?;
        let (input, erasures) = (dir.path().join("logins"), dir.path().join("erasures"));
        let sign_in = |sub: &str, name: &str, second: u8| {
            format!(
                r#"{{"sub":"{sub}","username":"{name}","email":"a@b.example","issuer":"local","signed_in_at":"2026-11-22T10:00:0{second}Z","token_id":"{sub}{second}"}}"#
            )
        };
        let all = [
            sign_in("1", "Ada", 0),
            sign_in("1", "Ada", 0),
            sign_in("2", "", 1),
            "no sign-in".to_owned(),
            String::new(),
            sign_in("3", "Eva", 2),
        ];
        fs::write(&input, all.join("\n"))?;
        fs::write(&erasures, r#"{"sub":"1","requested_at":"2026-11-22T11:00:00Z"}"#)?;
        let mut out = Vec::new();
        Replay { input, erasures: Some(erasures), topic: topic.to_owned() }.run(&mut out)?;
        String::from_utf8(out)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
    }

    #[test]
    fn everything_comes_out() {
        let silver: Vec<_> =
            replayed("logins-silver").unwrap().iter().map(|it| it["key"].clone()).collect();
        assert_eq!(silver, ["1", "3"]);
        let letters = replayed("login-lake-dlq").unwrap();
        let reasons: Vec<_> =
            letters.iter().map(|it| it["headers"]["__streams.errors.exception"].clone()).collect();
        assert_eq!(reasons, ["Null", "Unreadable"]);
        assert_eq!(letters[1]["value"], "no sign-in");
        let all = replayed("all").unwrap();
        let last = all.last().unwrap();
        assert_eq!((last["key"].as_str(), &last["value"]), (Some("users/1"), &Value::Null));
        let refusal = replayed("gold").unwrap_err().to_string();
        assert!(
            refusal.starts_with("there is no topic gold: all, or one of logins-silver"),
            "{refusal}"
        );
    }
}
