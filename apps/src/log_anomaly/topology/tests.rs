//! The whole topology on the test driver: what comes in as bytes, and what comes out of it.

use millstream::DropReason;
use millstream::record::{Headers, Record};
use millstream::testing::{DriverOptions, TopologyDriver};

use super::*;
use crate::log_anomaly::anomalies::{Anomaly, Kind, State};
use crate::log_anomaly::mine::TemplateRow;

/// 2026-11-22T10:00:00Z.
const TEN: i64 = 1_795_341_600_000;

struct Bench(TopologyDriver);

impl Bench {
    fn new() -> Self {
        Self::of(&Settings::default(), &DriverOptions::default())
    }

    /// What is learned is told from the first line on.
    fn told_at_once() -> Self {
        let settings =
            Settings { warm_up_lines: 0, warm_up: Duration::ZERO, ..Settings::default() };
        Self::of(&settings, &DriverOptions::default())
    }

    fn of(settings: &Settings, options: &DriverOptions) -> Self {
        Self(TopologyDriver::with_options(&topology(settings).unwrap(), options).unwrap())
    }

    fn pipe(&mut self, line: impl AsRef<[u8]>, at: i64) {
        let value = (Some(b"k".as_slice()), Some(line.as_ref()));
        self.0.pipe_raw(topics::LINES, value, Timestamp(at), &Headers::default()).unwrap();
    }

    fn letters(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let letters = self.0.read_raw(topics::DEAD_LETTERS).unwrap();
        let reason = |headers: &Headers| {
            String::from_utf8(headers.last("__streams.errors.exception").unwrap().to_vec()).unwrap()
        };
        letters.into_iter().map(|letter| (reason(&letter.headers), letter.value)).collect()
    }

    fn templates(&mut self) -> Vec<TemplateRow> {
        let rows = self.0.read::<String, TemplateRow>(topics::TEMPLATES).unwrap();
        rows.into_iter().map(|row| row.value).collect()
    }

    /// Metrics of requests, as JSON: other kinds of them are in the same topic.
    fn metrics(&mut self) -> Vec<serde_json::Value> {
        let records = self.0.read_raw(topics::METRICS).unwrap();
        let values = records.into_iter().map(|record| record.value.unwrap());
        values.map(|value| serde_json::from_slice(&value).unwrap()).collect()
    }

    fn sessions(&mut self) -> Vec<Session> {
        let all = self.0.read::<String, Session>(topics::SESSIONS).unwrap();
        all.into_iter().map(|record| record.value).collect()
    }

    fn anomalies(&mut self) -> Vec<Anomaly> {
        let all = self.0.read::<String, Anomaly>(topics::ANOMALIES).unwrap();
        all.into_iter().map(|record: Record<String, Anomaly>| record.value).collect()
    }

    fn opened(&mut self) -> Vec<(Kind, String)> {
        let all = self.anomalies().into_iter().filter(|it| it.state == State::Open);
        all.map(|it| (it.kind, it.subject)).collect()
    }
}

fn json(fields: &str) -> String {
    format!(r#"{{"service":"shop","message":"went well",{fields}}}"#)
}

#[test]
fn bad_lines_are_dead_letters_with_their_bytes_and_a_reason() {
    let mut bench = Bench::new();
    let long = [b"{\"message\":\"".as_slice(), &vec![b'x'; 64 * 1024], b"\"}"].concat();
    let bad: [(&[u8], &str); 5] = [
        (b"of no format at all", "UnknownFormat"),
        (b"{\"message\":", "BadJson"),
        (b"{\"level\":\"info\"}", "Empty"),
        (b"", "Empty"),
        (&long, "TooLong"),
    ];
    for (bytes, reason) in bad {
        bench.pipe(bytes, TEN);
        assert_eq!(bench.letters(), [(reason.to_owned(), Some(bytes.to_vec()))]);
    }
    // Kafka's null is no line either.
    let null = (None, None);
    bench.0.pipe_raw(topics::LINES, null, Timestamp(TEN), &Headers::default()).unwrap();
    assert_eq!(bench.letters(), [("Empty".to_owned(), None)]);
    assert_eq!(bench.0.dropped(DropReason::Failed), 6);
    let metrics = bench.0.metrics();
    for (reason, count) in [("UnknownFormat", 1), ("BadJson", 1), ("Empty", 3), ("TooLong", 1)] {
        let line = format!(
            "log_anomaly_unparsed_total{{reason=\"{reason}\",application=\"app\"}} {count}"
        );
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    // All the same the next line is one.
    bench.pipe(json(r#""status":200"#), TEN);
    assert_eq!(bench.templates().len(), 1);
}

#[test]
fn what_is_no_text_is_replaced_and_counted() {
    let mut bench = Bench::new();
    bench.pipe(b"{\"service\":\"shop\",\"message\":\"a\x00b \xff\"}", TEN);
    assert_eq!(bench.templates()[0].example, "a\u{fffd}b \u{fffd}");
    let line = "log_anomaly_odd_total{what=\"replaced\",application=\"app\"} 1";
    assert!(bench.0.metrics().contains(line), "{}", bench.0.metrics());
}

#[test]
fn absurd_values_are_none_and_counted_and_an_absurd_time_closes_no_window() {
    let mut bench = Bench::new();
    let fields = [
        r#""timestamp":"2031-01-01T00:00:00Z""#,
        r#""timestamp":"yesterday""#,
        r#""status":99"#,
        r#""status":1000"#,
        r#""latency_ms":-1"#,
        r#""latency_ms":"NaN""#,
        r#""latency_ms":1000000000"#,
        r#""ip":"fe80::1%eth0""#,
    ];
    for field in fields {
        bench.pipe(json(field), TEN);
    }
    bench.pipe(json(r#""method":"get","path":"/cart""#), TEN);
    let metrics = bench.metrics();
    assert!(metrics.iter().all(|it| it["final"] == false), "nothing is closed");
    let last = metrics.iter().rfind(|it| it["route"].is_null()).unwrap();
    assert_eq!((&last["requests"], &last["max"]), (&9.into(), &serde_json::Value::Null));
    assert!(metrics.iter().any(|it| it["method"] == "GET"), "lower case is raised");
    let metrics = bench.0.metrics();
    for (what, count) in [("time", 2), ("status", 2), ("latency", 3), ("address", 1)] {
        let line = format!("log_anomaly_odd_total{{what=\"{what}\",application=\"app\"}} {count}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    assert!(metrics.contains("log_anomaly_clock_ahead_total{application=\"app\"} 2"));
    let line = "log_anomaly_lines_total{service=\"shop\",format=\"json\",application=\"app\"} 9";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn a_record_from_no_time_is_a_dead_letter() {
    let mut bench = Bench::new();
    bench.pipe(json(r#""status":200"#), i64::MAX);
    assert_eq!(bench.letters()[0].0, "BadRecordTime");
}

#[test]
fn a_template_keeps_its_id_when_it_becomes_general_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let state_dir = Some(dir.path().to_owned());
    let options = DriverOptions { state_dir, ..DriverOptions::default() };
    let line = |user: &str| {
        format!(
            r#"{{"service":"shop","message":"the user {user} has paid for what is in the cart"}}"#
        )
    };
    let mut bench = Bench::of(&Settings::default(), &options);
    for user in ["ada", "bob", "eve"] {
        bench.pipe(line(user), TEN);
    }
    let rows = bench.templates();
    assert_eq!(rows.len(), 2, "written when it changes: {rows:?}");
    assert!(rows[0].id == rows[1].id && rows[1].template.contains("user <*> has paid"), "{rows:?}");
    assert_eq!(
        (rows[0].service.as_str(), rows[0].first_seen.as_str()),
        ("shop", "2026-11-22T10:00:00.000Z")
    );
    // Counts follow once a minute.
    bench.0.advance_wall_clock(Duration::from_secs(60)).unwrap();
    assert_eq!(bench.templates().iter().map(|row| row.count).collect::<Vec<_>>(), [3]);
    drop(bench);
    let mut bench = Bench::of(&Settings::default(), &options);
    bench.pipe(line("joe"), TEN + 1_000);
    assert_eq!(bench.templates(), [], "nothing about it is new");
    bench.0.advance_wall_clock(Duration::from_secs(60)).unwrap();
    let after = bench.templates();
    assert_eq!((after.len(), after[0].count, &after[0].id), (1, 4, &rows[0].id));
    assert!(
        bench.0.metrics().contains("log_anomaly_templates{service=\"shop\",application=\"app\"} 1")
    );
}

#[test]
fn windows_run_and_are_told_once_more_when_they_close_and_five_minutes_slide() {
    let mut bench = Bench::new();
    let request = |user: &str, latency: u32, status: u32| {
        json(&format!(
            r#""method":"GET","path":"/cart/7?x","user_id":"{user}","latency_ms":{latency},"status":{status}"#
        ))
    };
    bench.pipe(request("ada", 100, 200), TEN);
    bench.pipe(request("bob", 200, 500), TEN + 9_999);
    let running = bench.metrics();
    let series: Vec<_> = running
        .iter()
        .map(|it| {
            (it["series"].as_str().unwrap(), it["route"].as_str(), it["requests"].as_u64().unwrap())
        })
        .collect();
    let cart = Some("/cart/{}");
    assert_eq!(series, [("10s", cart, 1), ("10s", None, 1), ("10s", cart, 2), ("10s", None, 2)]);
    // A line two windows later closes the first: its grace is one window.
    bench.pipe(request("ada", 300, 200), TEN + 20_000);
    let over: Vec<_> = bench.metrics().into_iter().filter(|it| it["final"] == true).collect();
    let [ten, five] = &over.iter().filter(|it| it["route"].is_null()).collect::<Vec<_>>()[..]
    else {
        panic!("{over:?}")
    };
    assert_eq!((&ten["series"], &five["series"]), (&"10s".into(), &"5m".into()));
    assert_eq!(
        (&ten["from"], &ten["to"]),
        (&"2026-11-22T10:00:00.000Z".into(), &"2026-11-22T10:00:10.000Z".into())
    );
    assert_eq!(
        (&five["from"], &five["to"]),
        (&"2026-11-22T09:55:10.000Z".into(), &"2026-11-22T10:00:10.000Z".into())
    );
    for metric in [ten, five] {
        let wanted = [
            ("requests", 2.0),
            ("errors", 1.0),
            ("error_rate", 0.5),
            ("max", 200.0),
            ("users", 2.0),
        ];
        for (name, wanted) in wanted {
            assert_eq!(metric[name].as_f64(), Some(wanted), "{name} of {metric}");
        }
    }
    bench.pipe(request("ada", 300, 200), TEN + 60_000);
    let five = bench.metrics().into_iter().rfind(|it| it["series"] == "5m").unwrap();
    assert_eq!((&five["requests"], &five["users"]), (&3.into(), &2.into()));
}

#[test]
fn a_visit_is_told_when_it_changes_and_once_when_it_is_over() {
    let mut bench = Bench::new();
    let view = |user: &str, path: &str, status: u32| {
        json(&format!(
            r#""user_id":"{user}","path":"{path}","action":"view","status":{status},"user_agent":"curl/8.5.0""#
        ))
    };
    bench.pipe(view("ada", "/", 200), TEN);
    bench.pipe(view("ada", "/cart", 404), TEN + 60_000);
    let told = bench.sessions();
    assert_eq!(
        told.iter().map(|it| (it.pages, it.closed)).collect::<Vec<_>>(),
        [(1, false), (2, false)]
    );
    bench.pipe(view("bob", "/", 200), TEN + 60_000 + 1_800_000 + 10_000);
    bench.pipe(view("bob", "/", 200), TEN + 60_000 + 1_800_000 + 10_001);
    let over: Vec<_> = bench.sessions().into_iter().filter(|it| it.closed).collect();
    let [ada] = &over[..] else { panic!("{over:?}") };
    assert_eq!((ada.user.as_str(), ada.duration, ada.errors, ada.is_bot), ("ada", 60_000, 1, true));
    assert_eq!((ada.entry.as_deref(), ada.exit.as_deref()), (Some("/"), Some("/cart")));
    let hour = bench.metrics().into_iter().rfind(|it| it["series"] == "behaviour-1h").unwrap();
    assert_eq!((&hour["visits"], &hour["bots"]), (&0.into(), &1.into()));
}

#[test]
fn a_shop_has_its_hours() {
    let mut bench = Bench::new();
    bench.pipe(json(r#""product_id":"p1""#), TEN);
    bench.pipe(json(r#""cart_size":4"#), TEN);
    bench.pipe(json(r#""checkout_status":"paid","cart_size":2"#), TEN);
    bench.pipe(json(r#""product_id":"p1""#), TEN + 3_610_000);
    let hour = bench.metrics();
    let hour = hour.iter().find(|it| it["series"] == "shop-1h" && it["final"] == true).unwrap();
    assert_eq!((&hour["views"], &hour["carts"]), (&1.into(), &2.into()));
    assert_eq!((&hour["cart_size_mean"], &hour["checkouts"]["paid"]), (&3.0.into(), &1.into()));
}

#[test]
fn nothing_learned_is_told_before_a_service_is_known() {
    let mut bench = Bench::new();
    bench.pipe(json(r#""method":"GET""#), TEN);
    bench.pipe(r#"{"service":"shop","message":"a word that nobody knew","method":"PURGE"}"#, TEN);
    assert_eq!(bench.opened(), []);
    let mut bench = Bench::told_at_once();
    bench.pipe(json(r#""method":"GET""#), TEN);
    bench.pipe(r#"{"service":"shop","message":"a word that nobody knew","method":"PURGE"}"#, TEN);
    let kinds: Vec<_> = bench.opened().into_iter().map(|it| it.0).collect();
    assert_eq!(kinds, [Kind::NewTemplate, Kind::NewTemplate, Kind::RareValue]);
}

/// A million is the same: what is beyond the bound is one series, and is counted.
#[test]
fn many_services_and_routes_are_other() {
    let mut bench = Bench::new();
    for n in 0..1_010 {
        bench.pipe(format!(r#"{{"service":"s{n}","message":"went well"}}"#), TEN);
    }
    let services: std::collections::BTreeSet<_> =
        bench.templates().into_iter().map(|row| row.service).collect();
    assert_eq!(services.len(), 1_001);
    assert!(services.contains("other") && !services.contains("s1005"));
    // The counters of one name are bounded too.
    assert!(bench.0.metrics().matches("log_anomaly_lines_total{").count() <= 101);
    let mut bench = Bench::new();
    for n in 0..300 {
        bench.pipe(json(&format!(r#""method":"GET","path":"/page{n}x""#)), TEN);
    }
    let routes: std::collections::BTreeSet<_> =
        bench.metrics().iter().filter_map(|it| it["route"].as_str().map(str::to_owned)).collect();
    assert_eq!(routes.len(), 101);
    let others = "log_anomaly_other_routes_total{application=\"app\"} 200";
    assert!(bench.0.metrics().contains(others), "{}", bench.0.metrics());
}

#[test]
fn a_service_that_was_busy_and_is_silent_is_told_by_the_clock_until_it_is_back() {
    let options =
        DriverOptions { idle_timeout: Some(Duration::from_secs(5)), ..DriverOptions::default() };
    let settings = Settings { warm_up_lines: 0, warm_up: Duration::ZERO, ..Settings::default() };
    let mut bench = Bench::of(&settings, &options);
    let second = Duration::from_secs(1);
    for at in 0..60 {
        (0..3).for_each(|n| bench.pipe(json(r#""status":200"#), TEN + at * 1_000 + n));
        bench.0.advance_wall_clock(second).unwrap();
    }
    bench.anomalies();
    (0..50).for_each(|_| bench.0.advance_wall_clock(second).unwrap());
    assert_eq!(bench.opened(), [], "less than a minute");
    (0..60).for_each(|_| bench.0.advance_wall_clock(second).unwrap());
    assert_eq!(bench.opened(), [(Kind::RateDrop, "shop".to_owned())]);
    for at in 170..260 {
        (0..3).for_each(|n| bench.pipe(json(r#""status":200"#), TEN + at * 1_000 + n));
        bench.0.advance_wall_clock(second).unwrap();
    }
    let last = bench.anomalies().into_iter().rfind(|it| it.kind == Kind::RateDrop).unwrap();
    assert_eq!(last.state, State::Closed);
}

#[test]
fn a_template_that_was_away_for_a_day_is_back() {
    let mut bench = Bench::told_at_once();
    let line = r#"{"service":"shop","message":"the backup was written"}"#;
    bench.pipe(line, TEN);
    bench.pipe(line, TEN + 86_399_999);
    bench.pipe(line, TEN + 2 * 86_400_000);
    let kinds: Vec<_> = bench.opened().into_iter().map(|it| it.0).collect();
    assert_eq!(kinds, [Kind::NewTemplate, Kind::TemplateBack]);
}

/// The sample of a real sshd: six addresses failed ten times and more, and the one success had no failure before.
#[test]
fn the_attackers_of_a_real_log_are_found_and_nobody_else() {
    let named = std::env::var_os("LOG_ANOMALY_SAMPLES").map(std::path::PathBuf::from);
    let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/logs");
    let Some(folder) = named.or_else(|| beside.is_dir().then_some(beside)) else { return };
    let lines = std::fs::read_to_string(folder.join("OpenSSH_2k.log")).unwrap();
    let mut bench = Bench::new();
    // The evening of the day on which it was written.
    lines.lines().for_each(|line| bench.pipe(line, 1_796_943_600_000));
    let opened = bench.opened();
    let of = |kind| {
        let found = opened.iter().filter(|it| it.0 == kind).map(|it| it.1.as_str());
        found.collect::<std::collections::BTreeSet<_>>()
    };
    let attackers = [
        "103.99.0.122",
        "112.95.230.3",
        "183.62.140.253",
        "185.190.58.151",
        "187.141.143.180",
        "5.188.10.180",
    ];
    assert_eq!(of(Kind::BruteForce).into_iter().collect::<Vec<_>>(), attackers);
    assert!(of(Kind::Compromised).is_empty());
    assert!(!of(Kind::BreakIn).is_empty() && !of(Kind::UserScan).is_empty());
}
