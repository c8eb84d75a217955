//! The application of sign-ins as its users run it: two processes on a real Kafka, one killed under load. Every sign-in
//! is in every table once, and an erased person is in none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use millstream::StreamsConfig;
use millstream::client::{Assignment, Consumer, Producer};
use millstream::log::Log;
use millstream::record::{Record, Timestamp};
use millstream_apps::login_lake::{Moment, SignIn};
use millstream_tests::kafka::Broker;
use millstream_tests::wait;
use serde_json::Value;

use crate::process::{PATIENCE, Running, start};

/// 2026-11-22T10:00:00Z.
const TEN: i64 = 1_795_341_600_000;
const PEOPLE: usize = 7;

/// Sign-ins on a broker, and what must come of them.
struct Site {
    broker: Broker,
    log: Arc<dyn Log>,
    producer: Producer<String, SignIn>,
    sent: usize,
    /// How often each person signed in.
    people: BTreeMap<String, u64>,
    /// How often somebody did on each day, and who.
    days: BTreeMap<String, (u64, BTreeSet<String>)>,
}

impl Site {
    fn open() -> anyhow::Result<Self> {
        let broker = Broker::start()?;
        for topic in ["logins", "erasures"] {
            broker.create_topic(topic, 4)?;
        }
        let log = StreamsConfig::new("site").bootstrap_servers(broker.bootstrap()).connect()?;
        let producer = Producer::open(&log, "logins")?;
        let (people, days) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { broker, log, producer, sent: 0, people, days })
    }

    fn instance(&self, state: &Path) -> anyhow::Result<Running> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_login-lake-here"));
        command.args(["run", "--http", "off", "--bootstrap-servers", self.broker.bootstrap()]);
        command.args(["--set", "session_timeout_ms=6000", "--set", "transaction_timeout_ms=10000"]);
        start(command.arg("--state-dir").arg(state))
    }

    /// So many sign-ins, of three days; every tenth comes twice, every hundredth as a null.
    fn sign_in(&mut self, times: usize) -> anyhow::Result<()> {
        for _ in 0..times {
            self.sent += 1;
            let sub = format!("person-{}", self.sent % PEOPLE);
            // A second of their own each, and all of them within a day of another.
            let at = TEN + i64::try_from(self.sent)? * 10_000;
            let mut sign_in = SignIn {
                sub: sub.clone(),
                username: Some(format!("Name of {sub}")),
                email: Some(format!("{sub}@example.com")),
                email_verified: true,
                picture: None,
                hosted_domain: None,
                issuer: "local".to_owned(),
                signed_in_at: Moment::of_ms(at)?,
                token_id: format!("token-{}", self.sent),
            };
            let day = sign_in.signed_in_at.day().to_string();
            let mut send = |sign_in: &SignIn| {
                let record = Record::new(sub.clone(), sign_in.clone(), Timestamp(at));
                self.producer.send(record)
            };
            send(&sign_in)?;
            if self.sent.is_multiple_of(10) {
                send(&sign_in)?;
            }
            if self.sent.is_multiple_of(100) {
                sign_in.email = None;
                send(&sign_in)?;
            }
            *self.people.entry(sub.clone()).or_default() += 1;
            let of_day = self.days.entry(day).or_default();
            of_day.0 += 1;
            of_day.1.insert(sub);
        }
        Ok(self.producer.flush()?)
    }

    fn reader<V: millstream::serde::HasSerde>(
        &self,
        topic: &str,
    ) -> anyhow::Result<Consumer<String, V>> {
        // The first instance makes it.
        wait::until_true(PATIENCE, topic, || {
            Ok(self.log.describe(&[topic])?.iter().all(Option::is_some))
        })?;
        Ok(Consumer::open(&self.log, Assignment::from(topic).from_beginning())?)
    }

    /// Reads the documents until they are right; no count of a person is committed twice.
    fn wait_for_documents(&self) -> anyhow::Result<()> {
        let mut reader = self.reader::<Option<String>>("logins-gold")?;
        let mut people = BTreeMap::new();
        let mut days = BTreeMap::new();
        let active = |(day, of_day): (&String, &(u64, BTreeSet<String>))| {
            (day.clone(), (of_day.0, of_day.1.len() as u64))
        };
        let wanted: BTreeMap<String, (u64, u64)> = self.days.iter().map(active).collect();
        let right = wait::until_true(PATIENCE, "the documents", || {
            for read in reader.poll(Duration::from_millis(100))? {
                let Record { key, value, .. } = read.record;
                let (kind, id) = key.split_once('/').context("a key without a collection")?;
                let Some(value) = value else {
                    people.remove(id);
                    continue;
                };
                let document: Value = serde_json::from_str(&value)?;
                let number =
                    |name: &str| document.get(name).and_then(Value::as_u64).context("no number");
                if kind == "users" {
                    let count = number("count")?;
                    let before = people.insert(id.to_owned(), count).unwrap_or_default();
                    ensure!(count > before, "{id}: {count} after {before}");
                } else {
                    days.insert(id.to_owned(), (number("sign_ins")?, number("active_users")?));
                }
            }
            Ok(people == self.people && days == wanted)
        });
        right
            .with_context(|| format!("{people:?} {days:?} instead of {:?} {wanted:?}", self.people))
    }

    /// Each token is among what counts once.
    fn check_silver(&self) -> anyhow::Result<()> {
        let silver = self.reader::<SignIn>("logins-silver")?.read_to_end(PATIENCE)?;
        let tokens: BTreeSet<_> = silver.iter().map(|it| &it.record.value.token_id).collect();
        assert_eq!((silver.len(), tokens.len()), (self.sent, self.sent));
        Ok(())
    }

    /// So many nulls, and nothing else.
    fn check_letters(&self) -> anyhow::Result<()> {
        let letters = self.reader::<String>("login-lake-dlq")?.read_to_end(PATIENCE)?;
        for letter in &letters {
            let reason = letter.record.headers.last("__streams.errors.exception");
            assert_eq!(reason, Some(&b"Null"[..]));
        }
        assert_eq!(letters.len(), self.sent / 100);
        Ok(())
    }

    /// A person is erased: the document goes, and what is known of the days stays.
    fn erase(&mut self, sub: &str) -> anyhow::Result<()> {
        let mut producer = Producer::<String, String>::open(&self.log, "erasures")?;
        let at = TEN + i64::try_from(self.sent)? * 10_000;
        let value = format!(r#"{{"requested_at":"{}"}}"#, Moment::of_ms(at)?);
        producer.send(Record::new(sub.to_owned(), value, Timestamp(at)))?;
        producer.close()?;
        self.people.remove(sub).with_context(|| format!("{sub} never signed in"))?;
        self.wait_for_documents()
    }
}

#[test]
fn two_instances_count_every_sign_in_once_though_one_is_killed_under_load() -> anyhow::Result<()> {
    let mut site = Site::open()?;
    let states = [tempfile::tempdir()?, tempfile::tempdir()?];
    let mut doomed = site.instance(states[0].path())?;
    site.sign_in(3_000)?;
    site.wait_for_documents()?;
    let lasting = site.instance(states[1].path())?;
    for round in 0..3 {
        // While these are on their way.
        site.sign_in(2_000 + round * 500)?;
        doomed.kill()?;
        site.sign_in(2_000)?;
        doomed = site.instance(states[0].path())?;
        site.sign_in(1_000)?;
    }
    site.wait_for_documents()?;
    site.check_silver()?;
    site.check_letters()?;
    site.erase("person-3")?;
    doomed.terminate()?;
    lasting.terminate()
}
