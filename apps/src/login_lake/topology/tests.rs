//! What comes of sign-ins and erasures, on the test driver.

use std::collections::{BTreeMap, BTreeSet};

use millstream::log::memory::MemoryRecord;
use millstream::record::{Headers, Timestamp};
use millstream::testing::{DriverOptions, TopologyDriver};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::pseudonym::pseudonym;
use super::*;

/// 2026-11-22T10:00:00Z.
const TEN: i64 = 1_795_341_600_000;
const DAY: i64 = 86_400_000;

struct Bench(TopologyDriver);

impl Bench {
    fn new() -> Self {
        let application_id = "app".to_owned();
        let options = DriverOptions { application_id, ..DriverOptions::default() };
        Self(TopologyDriver::with_options(&topology().unwrap(), &options).unwrap())
    }

    fn pipe(&mut self, topic: &str, (key, value): (Option<&str>, Option<&str>), at: i64) {
        let record = (key.map(str::as_bytes), value.map(str::as_bytes));
        self.0.pipe_raw(topic, record, Timestamp(at), &Headers::default()).unwrap();
    }

    /// A sign-in that comes when it happened.
    fn sign_in(&mut self, sub: &str, token: &str, at: i64) {
        self.pipe("logins", (Some(sub), Some(&sign_in(sub, token, at).to_string())), at);
    }

    fn erase(&mut self, sub: &str, at: i64) {
        let value = json!({"requested_at": Moment::of_ms(at).unwrap().to_string()}).to_string();
        self.pipe("erasures", (Some(sub), Some(&value)), at);
    }

    fn user(&self, sub: &str) -> Option<User> {
        self.0.key_value_store("users").unwrap().get(&sub.to_owned()).unwrap()
    }

    fn count(&self, sub: &str) -> u64 {
        self.user(sub).map_or(0, |user| user.count)
    }

    fn table(&self, name: &str) -> BTreeMap<String, i64> {
        let rows = self.0.table::<String, i64>(name).unwrap();
        rows.into_iter().map(|(day, count, _)| (day, count)).collect()
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let metrics = self.0.metrics();
        let line = metrics.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn outcome(&self, outcome: &str) -> Option<f64> {
        let metrics = self.0.metrics();
        let label = format!(r#"outcome="{outcome}""#);
        let is_it =
            |line: &&str| line.starts_with("login_lake_sign_ins_total{") && line.contains(&label);
        metrics.lines().find(is_it)?.rsplit(' ').next()?.parse().ok()
    }

    /// The last value of each key.
    fn last(&mut self, topic: &str) -> BTreeMap<String, Option<Value>> {
        let text = |record: &MemoryRecord| String::from_utf8(record.key.clone().unwrap()).unwrap();
        let json = |bytes: &[u8]| serde_json::from_slice(bytes).unwrap();
        let all = self.0.read_raw(topic).unwrap();
        all.iter().map(|it| (text(it), it.value.as_deref().map(json))).collect()
    }
}

fn sign_in(sub: &str, token: &str, at: i64) -> Value {
    json!({
        "sub": sub, "username": format!("name of {sub}"), "email": format!("{sub}@example.com"),
        "email_verified": true, "picture": format!("https://example.com/{sub}.png"),
        "hosted_domain": null, "issuer": "local", "token_id": token,
        "signed_in_at": Moment::of_ms(at).unwrap().to_string(),
    })
}

#[test]
fn a_repetition_is_the_same_token_or_the_same_person_within_the_same_second() {
    let mut bench = Bench::new();
    bench.sign_in("1", "a", TEN);
    bench.sign_in("1", "a", TEN + 5_000);
    bench.sign_in("1", "b", TEN + 999);
    bench.sign_in("2", "c", TEN + 999);
    assert_eq!((bench.count("1"), bench.count("2")), (1, 1));
    bench.sign_in("1", "d", TEN + 1_000);
    assert_eq!(bench.count("1"), 2);
    assert_eq!(bench.last("logins-silver").len(), 2);
    assert_eq!((bench.outcome("counted"), bench.outcome("repeated")), (Some(3.0), Some(2.0)));
}

#[test]
fn sign_ins_are_remembered_for_a_day() {
    let mut bench = Bench::new();
    bench.sign_in("1", "a", TEN);
    // Somebody else moves time on.
    bench.sign_in("2", "b", TEN + DAY - 1);
    bench.sign_in("1", "a", TEN + DAY - 1);
    assert_eq!(bench.count("1"), 1);
    // One that comes late is remembered from when it came.
    bench.pipe("logins", (Some("3"), Some(&sign_in("3", "late", TEN).to_string())), TEN + DAY - 1);
    bench.sign_in("2", "c", TEN + DAY);
    bench.sign_in("1", "a", TEN + DAY);
    bench.pipe("logins", (Some("3"), Some(&sign_in("3", "late", TEN).to_string())), TEN + DAY);
    assert_eq!((bench.count("1"), bench.count("3")), (2, 1));
}

#[test]
fn nulls_and_what_is_no_sign_in_are_dead_letters_as_they_came() {
    let mut bench = Bench::new();
    let with = |name: &str, value: Value| {
        let mut sign_in = sign_in("1", "a", TEN);
        sign_in[name] = value;
        sign_in.to_string()
    };
    let cases = [
        (Some("1"), with("username", Value::Null), "Null"),
        (Some("1"), with("email", json!("")), "Null"),
        (Some("1"), with("token_id", Value::Null), "MissingField"),
        (Some("1"), with("signed_in_at", json!("now")), "BadTime"),
        (Some("2"), with("username", json!("Ada")), "OtherKey"),
        (Some("1"), "no sign-in".to_owned(), "Unreadable"),
    ];
    for (key, value, _) in &cases {
        bench.pipe("logins", (*key, Some(value)), TEN);
    }
    bench.pipe("logins", (Some("1"), None), TEN);
    let letters = bench.0.read_raw("login-lake-dlq").unwrap();
    assert_eq!(letters.len(), cases.len() + 1);
    for (letter, (key, value, reason)) in letters.iter().zip(&cases) {
        let header =
            |name: &str| String::from_utf8(letter.headers.last(name).unwrap().to_vec()).unwrap();
        assert_eq!(letter.key.as_deref(), key.map(str::as_bytes));
        assert_eq!(letter.value.as_deref(), Some(value.as_bytes()));
        assert_eq!(header("__streams.errors.exception"), *reason);
        assert!(!header("__streams.errors.message").contains("example.com"));
    }
    assert_eq!((bench.outcome("null"), bench.outcome("unreadable")), (Some(2.0), Some(2.0)));
    assert_eq!(bench.count("1"), 0);
    // No key, and a time before there were any: before anything is looked at.
    bench.pipe("logins", (None, Some(&with("hosted_domain", json!("x")))), TEN);
    bench.pipe("logins", (Some("1"), Some(&with("hosted_domain", json!("x")))), -5);
    assert_eq!(bench.0.read_raw("login-lake-dlq").unwrap().len(), 2);
}

#[test]
fn persons_and_days_are_documents() {
    let mut bench = Bench::new();
    bench.sign_in("1", "a", TEN);
    bench.sign_in("1", "b", TEN + 60_000);
    bench.sign_in("2", "c", TEN + 60_000);
    bench.sign_in("1", "d", TEN + DAY);
    let gold = bench.last("logins-gold");
    let person = json!({
        "_id": "1", "username": "name of 1", "email": "1@example.com", "picture": "https://example.com/1.png",
        "first_sign_in": "2026-11-22T10:00:00.000Z", "last_sign_in": "2026-11-23T10:00:00.000Z", "count": 3,
        "days": [{"date": "2026-11-22", "count": 2}, {"date": "2026-11-23", "count": 1}],
    });
    assert_eq!(gold["users/1"], Some(person));
    let day = json!({"_id": "2026-11-22", "active_users": 2, "sign_ins": 3});
    assert_eq!(gold["days/2026-11-22"], Some(day));
    let keys: Vec<_> = gold.keys().map(String::as_str).collect();
    assert_eq!(keys, ["days/2026-11-22", "days/2026-11-23", "users/1", "users/2"]);
}

/// A person whose id, name and address are found wherever they are.
const MARKED: &str = "MARKER-7d1f";

fn holds(bytes: Option<&[u8]>) -> bool {
    bytes.is_some_and(|it| it.windows(MARKED.len()).any(|part| part == MARKED.as_bytes()))
}

/// All topics with their records, what comes in and the history of it aside.
fn topics_of(bench: &mut Bench) -> BTreeMap<String, Vec<MemoryRecord>> {
    // These keep what they have for their time, and erasures are who is to be erased.
    let by_retention = ["logins", "logins-silver", "login-lake-dlq", "erasures"];
    let names = bench.0.topic_names().into_iter().filter(|it| !by_retention.contains(&it.as_str()));
    names
        .map(|name| {
            let all = bench.0.read_raw(&name).unwrap();
            (name, all)
        })
        .collect()
}

#[test]
fn an_erasure_leaves_nothing_of_the_person() {
    let mut bench = Bench::new();
    for step in 0..50 {
        bench.sign_in(MARKED, &format!("one-token-{step}"), TEN + step * DAY / 10);
        bench.sign_in("other", &format!("other-token-{step}"), TEN + step * DAY / 10);
    }
    let (days, now) = (bench.table("active-users-per-day"), TEN + 5 * DAY);
    bench.erase(MARKED, now);
    // The stores, by the bytes of the topics behind them, and what goes out.
    let mut held_before = BTreeSet::new();
    let topics = topics_of(&mut bench);
    for store in bench.0.store_names() {
        assert!(topics.contains_key(&format!("app-{store}-changelog")), "{store} in {topics:?}");
    }
    for (name, records) in &topics {
        let is_held = |it: &MemoryRecord| holds(it.key.as_deref()) || holds(it.value.as_deref());
        if records.iter().any(is_held) {
            held_before.insert(name.as_str());
        }
        let last: BTreeMap<_, _> = records.iter().map(|it| (&it.key, &it.value)).collect();
        for (key, value) in last {
            let is_held = value.is_some() && (holds(key.as_deref()) || holds(value.as_deref()));
            assert!(!is_held, "{name} still holds the person");
        }
    }
    let wanted = ["app-users-changelog", "logins-gold"];
    assert_eq!(held_before.into_iter().collect::<Vec<_>>(), wanted, "what held the person before");
    // The stores themselves.
    let users = bench.0.key_value_store::<String, User>("users").unwrap();
    let keys: Vec<String> = users.all().unwrap().map(|row| row.unwrap().0).collect();
    assert_eq!(keys, ["other"]);
    let seen = bench.0.window_store::<String, i64>("seen-logins").unwrap();
    let seen: Vec<String> = seen.all().map(|entry| entry.unwrap().0.key).collect();
    let other = pseudonym("other");
    assert!(!seen.is_empty() && seen.iter().all(|key| key.starts_with(&other)), "{seen:?}");
    assert_eq!(bench.count("other"), 50);
    // Nobody in particular is in the days.
    assert_eq!(bench.table("active-users-per-day"), days);
    assert_eq!(bench.metric("login_lake_erasures_total"), Some(1.0));
    assert_eq!(bench.metric("login_lake_erasure_seconds_count"), Some(1.0));
}

#[test]
fn what_was_erased_does_not_come_back_and_the_person_may() {
    let mut bench = Bench::new();
    bench.sign_in("1", "a", TEN);
    bench.sign_in("12", "b", TEN);
    bench.erase("1", TEN + 1_000);
    assert_eq!((bench.count("1"), bench.count("12")), (0, 1));
    // The same again, and an older one that comes late.
    bench.sign_in("1", "a", TEN);
    bench.pipe(
        "logins",
        (Some("1"), Some(&sign_in("1", "old", TEN + 1_000).to_string())),
        TEN + 9_000,
    );
    assert_eq!((bench.count("1"), bench.outcome("erased")), (0, Some(2.0)));
    bench.sign_in("1", "c", TEN + 1_001);
    assert_eq!(bench.count("1"), 1);
    // The last erasure holds; one that is taken back (null) erases nothing.
    bench.erase("1", TEN + 500);
    bench.pipe("erasures", (Some("12"), None), TEN + 9_000);
    bench.sign_in("1", "d", TEN + 900);
    assert_eq!((bench.count("1"), bench.count("12")), (0, 1));
}

#[test]
fn an_erasure_that_cannot_be_read_or_lies_ahead_erases_until_its_record() {
    for value in [
        "",
        "now",
        "{}",
        r#"{"requested_at":"soon"}"#,
        r#"{"requested_at":"9000-01-01T00:00:00Z"}"#,
    ] {
        let mut bench = Bench::new();
        bench.sign_in("1", "a", TEN);
        bench.pipe("erasures", (Some("1"), Some(value)), TEN + 1_000);
        bench.sign_in("1", "b", TEN + 1_000);
        assert_eq!(bench.count("1"), 0, "{value}");
        bench.sign_in("1", "c", TEN + 1_001);
        assert_eq!(bench.count("1"), 1, "{value}");
    }
}

/// Who signed in in which second of three days, each some times.
fn sign_ins() -> impl Strategy<Value = Vec<(u8, i64)>> {
    let one = (0_u8..4, 0_i64..3 * 86_400, 1_usize..4);
    let repeated = |all: Vec<(u8, i64, usize)>| -> Vec<(u8, i64)> {
        let each = |(who, second, times)| std::iter::repeat_n((who, second), times);
        all.into_iter().flat_map(each).collect()
    };
    prop::collection::vec(one, 1..40).prop_map(repeated).prop_shuffle()
}

/// First, last, count and days of each person.
type Batch = BTreeMap<String, (i64, i64, u64, BTreeMap<String, u32>)>;

fn batch(sign_ins: &[(u8, i64)]) -> Batch {
    let mut batch = Batch::new();
    for (who, second) in sign_ins.iter().collect::<BTreeSet<_>>() {
        let at = TEN + second * 1_000;
        let row = batch.entry(who.to_string()).or_insert((at, at, 0, BTreeMap::new()));
        (row.0, row.1, row.2) = (row.0.min(at), row.1.max(at), row.2 + 1);
        *row.3.entry(Moment::of_ms(at).unwrap().day().to_string()).or_default() += 1;
    }
    batch
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// In whatever order they come, and however often, the tables are those of a batch over all of them.
    #[test]
    fn tables_are_those_of_a_batch(sign_ins in sign_ins()) {
        let mut bench = Bench::new();
        let arrival = TEN + 4 * DAY;
        for (index, (who, second)) in sign_ins.iter().enumerate() {
            let at = TEN + second * 1_000;
            // The name changes with each sign-in: that of the latest must be shown.
            let mut value = sign_in(&who.to_string(), &format!("{who}-{second}"), at);
            value["username"] = json!(format!("{second}"));
            let (key, value) = (who.to_string(), value.to_string());
            bench.pipe("logins", (Some(&key), Some(&value)), arrival + index as i64);
        }
        let wanted = batch(&sign_ins);
        let gold = bench.last("logins-gold");
        let (mut per_day, mut active) = (BTreeMap::<String, i64>::new(), BTreeMap::<String, i64>::new());
        for (who, (first, last, count, days)) in &wanted {
            let user = bench.user(who).unwrap();
            let found: BTreeMap<_, _> = user.days.iter().map(|(day, n)| (day.to_string(), *n)).collect();
            prop_assert_eq!((user.first.ms(), user.last.ms(), user.count, &found), (*first, *last, *count, days));
            prop_assert_eq!(user.username, ((last - TEN) / 1_000).to_string());
            let document = gold[&format!("users/{who}")].as_ref().unwrap();
            prop_assert_eq!(&document["count"], &json!(count));
            for (day, times) in days {
                *per_day.entry(day.clone()).or_default() += i64::from(*times);
                *active.entry(day.clone()).or_default() += 1;
            }
        }
        for (day, sign_ins) in &per_day {
            let wanted = json!({"_id": day, "active_users": active[day], "sign_ins": sign_ins});
            prop_assert_eq!(gold[&format!("days/{day}")].as_ref(), Some(&wanted));
        }
        prop_assert_eq!(bench.table("sign-ins-per-day"), per_day);
        prop_assert_eq!(bench.table("active-users-per-day"), active);
    }
}
