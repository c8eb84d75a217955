//! `login-lake demo`: sample sign-ins, and what comes of them, in one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use clap::Args;
use millstream::client::{Assignment, Consumer};
use millstream::log::Log;
use millstream::{LogKind, Streams, init_logging};
use serde_json::Value;

use super::APPLICATION;
use crate::login_lake::producing::{SignIns, produce};
use crate::login_lake::topics;
use crate::login_lake::topology::topology;
use crate::program::{Beside, Place, pause, repeat, say};

/// How often a line is printed at most.
const LINE_INTERVAL_S: f64 = 1.0;
const READ_MAX: Duration = Duration::from_millis(200);

/// Sample sign-ins and what comes of them.
#[derive(Debug, Args)]
pub(super) struct Demo {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    sign_ins: SignIns,
}

impl Demo {
    pub(super) fn run(&self) -> anyhow::Result<()> {
        let presets = [("log", "embedded"), ("log_level", "warn")];
        let config = self.place.configuration(&APPLICATION, &presets)?;
        init_logging(&config)?;
        let place = if config.log == LogKind::Kafka { "on Kafka" } else { "on the embedded log" };
        let kept = config.application_dir();
        let log = self.place.connect(&APPLICATION, &config)?;
        let streams = Streams::with(topology()?, config).log(Arc::clone(&log)).start()?;
        say(&format!("login lake {place}, state in {}", kept.display()));
        if let Some(address) = streams.http_address() {
            say(&format!("metrics and health: http://{address}"));
        }
        say("people who do not exist sign in, by tokens of a key that nobody keeps");
        say("Ctrl-C ends it, the next start goes on from there\n");
        let mut beside = Beside::default();
        let shown = Arc::clone(&log);
        beside.start("prints documents", move |stop| {
            repeat("printing documents", stop, || show(&shown, stop));
        });
        let sign_ins = self.sign_ins;
        beside.start("produces", move |stop| {
            repeat("producing", stop, || produce(&log, sign_ins, stop).map(|_| ()));
        });
        let outcome = streams.run_until_signal();
        beside.end();
        outcome?;
        say("stopped; everything counted so far is kept");
        Ok(())
    }
}

/// What the documents say, as last heard.
#[derive(Debug, Default)]
struct Board {
    /// Sign-ins by person.
    people: BTreeMap<String, u64>,
    /// Sign-ins and people by day.
    days: BTreeMap<String, (u64, u64)>,
    has_news: bool,
}

impl Board {
    fn take(&mut self, key: &str, document: Option<&Value>) {
        let number =
            |name: &str| document.and_then(|it| it.get(name)?.as_u64()).unwrap_or_default();
        self.has_news = true;
        match (key.split_once('/'), document) {
            (Some(("users", sub)), Some(_)) => {
                self.people.insert(sub.to_owned(), number("count"));
            }
            (Some(("users", sub)), None) => {
                self.people.remove(sub);
            }
            (Some(("days", day)), Some(_)) => {
                let counts = (number("sign_ins"), number("active_users"));
                self.days.insert(day.to_owned(), counts);
            }
            _ => {}
        }
    }

    /// What is new since the last call, in a line.
    fn news(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.has_news) {
            return None;
        }
        let (people, sign_ins) = (self.people.len(), self.people.values().sum::<u64>());
        let all = format!("{sign_ins:>8} sign-ins of {people} people");
        Some(match self.days.last_key_value() {
            Some((day, (sign_ins, people))) => {
                format!("{all}   {day}: {sign_ins} of {people}")
            }
            None => all,
        })
    }
}

/// Prints what the documents say, from the first one on.
fn show(log: &Arc<dyn Log>, stop: &Receiver<()>) -> anyhow::Result<()> {
    let all = Assignment::from(topics::GOLD).from_beginning();
    let mut consumer = Consumer::<String, Option<Document>>::open(log, all)?;
    let mut board = Board::default();
    let mut printed = jiff::Timestamp::now();
    while pause(stop, Duration::ZERO) {
        for found in consumer.poll(READ_MAX)? {
            board.take(&found.record.key, found.record.value.as_ref().map(|it| &it.0));
        }
        let now = jiff::Timestamp::now();
        if now.duration_since(printed).as_secs_f64() >= LINE_INTERVAL_S {
            printed = now;
            if let Some(line) = board.news() {
                say(&line);
            }
        }
    }
    Ok(())
}

/// A document of either collection.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
struct Document(Value);

impl millstream::serde::HasSerde for Document {
    type Serde = millstream::serde::Json;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_says_how_many_of_all_and_of_the_last_day() {
        let mut board = Board::default();
        assert_eq!(board.news(), None);
        board.take("users/1", Some(&json!({"count": 3})));
        assert_eq!(board.news().unwrap(), "       3 sign-ins of 1 people");
        assert_eq!(board.news(), None);
        board.take("users/1", Some(&json!({"count": 4})));
        board.take("users/2", Some(&json!({"count": 1})));
        board.take("days/2026-11-22", Some(&json!({"sign_ins": 4, "active_users": 2})));
        board.take("days/2026-11-21", Some(&json!({"sign_ins": 1, "active_users": 1})));
        assert_eq!(board.news().unwrap(), "       5 sign-ins of 2 people   2026-11-22: 4 of 2");
        board.take("users/1", None);
        assert!(board.news().unwrap().starts_with("       1 sign-ins of 1 people"));
    }
}
