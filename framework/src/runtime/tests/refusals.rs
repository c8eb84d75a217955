//! What a topic refuses for good follows the policy of its sink, and is never tried for ever.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{PATIENCE, committed, config, counts, values, wait_until};
use crate::chain::{PunctuationType, Schedule};
use crate::config::ProcessingGuarantee;
use crate::error::BoxError;
use crate::log::memory::MemoryLog;
use crate::log::{Log, NewTopic};
use crate::operators::{Context, Processor};
use crate::policy::OnError;
use crate::record::{Headers, Record, Timestamp, TopicPartition};
use crate::runtime::board::StreamsState;
use crate::runtime::clock::{SystemClock, WallClock as _};
use crate::runtime::streams::Streams;
use crate::sink::Produced;
use crate::time::JoinWindows;
use crate::topology::{StreamsBuilder, Topology};

const GUARANTEES: [ProcessingGuarantee; 2] =
    [ProcessingGuarantee::ExactlyOnceV2, ProcessingGuarantee::AtLeastOnce];

fn log_with(topics: &[(&str, &[(&str, &str)])]) -> MemoryLog {
    let log = MemoryLog::new();
    let new = |(name, config): &(&str, &[(&str, &str)])| NewTopic {
        name: (*name).to_owned(),
        partitions: 1,
        replication_factor: 1,
        config: config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    log.create(&topics.iter().map(new).collect::<Vec<_>>()).unwrap();
    log
}

fn start(
    log: &MemoryLog,
    dir: &tempfile::TempDir,
    guarantee: ProcessingGuarantee,
    topology: Topology,
) -> Streams {
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let config = config(dir, guarantee).retry_backoff_ms(1).retry_backoff_max_ms(20);
    Streams::with(topology, config).log(shared).start().unwrap()
}

fn copying(policy: OnError) -> Topology {
    let builder = StreamsBuilder::new();
    builder.stream::<Option<String>, String>("in").to(Produced::from("out").on_error(policy));
    builder.build().unwrap()
}

fn put(log: &MemoryLog, key: Option<&str>, value: &str, at: i64) {
    let bytes = (key.map(str::as_bytes), Some(value.as_bytes()));
    log.append(&TopicPartition::new("in", 0), bytes.0, bytes.1, at, &Headers::default()).unwrap();
}

/// The value of a metric, summed over its series with this in their labels.
fn metric(streams: &Streams, name: &str, label: &str) -> u64 {
    let all = streams.metrics();
    let lines = all.lines().filter(|line| line.starts_with(name) && line.contains(label));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
}

fn distinct(log: &MemoryLog, topic: &str) -> BTreeSet<String> {
    values(log, topic).into_iter().collect()
}

/// Of each dead letter the coordinates.
fn letters(log: &MemoryLog) -> BTreeSet<String> {
    let text = |headers: &Headers, name: &str| {
        let value = headers.last(&format!("__streams.errors.{name}"));
        String::from_utf8(value.unwrap().to_vec()).unwrap()
    };
    let at = |headers: &Headers| format!("{}@{}", text(headers, "topic"), text(headers, "offset"));
    log.records("letters").iter().map(|letter| at(&letter.headers)).collect()
}

/// Runs 20 records through, of which the 8th and the 14th are refused by a topic with this setting.
fn what_is_refused_follows_the_policy(
    setting: (&str, &str),
    bad: impl Fn(&MemoryLog, usize),
    guarantee: ProcessingGuarantee,
    policy: &OnError,
) {
    let log = log_with(&[("in", &[]), ("out", &[setting]), ("letters", &[])]);
    let now = clock_of(&log);
    for number in 0..20 {
        match number {
            7 | 13 => bad(&log, number),
            _ => put(&log, Some("k"), &format!("good{number:02}"), now),
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let streams = start(&log, &dir, guarantee, copying(policy.clone()));
    let wanted: BTreeSet<String> = (0..20)
        .filter(|number| ![7, 13].contains(number))
        .map(|number| format!("good{number:02}"))
        .collect();
    wait_until(|| distinct(&log, "out"), |found| *found == wanted);
    if *policy != OnError::Skip {
        let refused = ["in@13", "in@7"].map(str::to_owned).into();
        wait_until(|| letters(&log), |found| *found == refused);
    }
    wait_until(|| metric(&streams, "millstream_records_dropped_total", "refused"), |n| *n >= 2);
    let aborts = metric(&streams, "millstream_aborts_total", "");
    assert_eq!(aborts, 1, "{setting:?} {guarantee:?} {policy:?}");
    streams.close().unwrap();
    if guarantee == ProcessingGuarantee::ExactlyOnceV2 {
        assert_eq!(values(&log, "out").len(), 18);
    }
}

const REFUSING: [(&str, &str); 3] = [
    ("max.message.bytes", "1000"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("cleanup.policy", "compact"),
];

fn put_bad(log: &MemoryLog, (setting, _): (&str, &str), number: usize) {
    let now = clock_of(log);
    match setting {
        "max.message.bytes" => put(log, Some("k"), &"x".repeat(3_000 + number), now),
        "cleanup.policy" => put(log, None, "keyless", now),
        _ => put(log, Some("k"), "two hours ahead", now + 7_200_000),
    }
}

/// The machine's time, which the log's clock shows from now on.
fn clock_of(log: &MemoryLog) -> i64 {
    let now = SystemClock::new().now().0;
    log.set_time(now);
    now
}

#[test]
fn a_refused_record_is_skipped_and_counted_if_its_sink_says_so() {
    for guarantee in GUARANTEES {
        for setting in REFUSING {
            let bad = |log: &MemoryLog, number| put_bad(log, setting, number);
            what_is_refused_follows_the_policy(setting, bad, guarantee, &OnError::Skip);
        }
    }
}

#[test]
fn a_refused_record_becomes_a_dead_letter_if_its_sink_says_so() {
    for guarantee in GUARANTEES {
        for setting in REFUSING {
            let bad = |log: &MemoryLog, number| put_bad(log, setting, number);
            let policy = OnError::dead_letter("letters");
            what_is_refused_follows_the_policy(setting, bad, guarantee, &policy);
        }
    }
}

#[test]
fn without_a_policy_a_refused_record_ends_the_instance_and_the_error_names_it() {
    for guarantee in GUARANTEES {
        for setting in REFUSING {
            let log = log_with(&[("in", &[]), ("out", &[setting])]);
            let now = clock_of(&log);
            put(&log, Some("k"), "good", now);
            put_bad(&log, setting, 1);
            put(&log, Some("k"), "behind", now);
            let dir = tempfile::tempdir().unwrap();
            let streams = start(&log, &dir, guarantee, copying(OnError::Fail));
            let state = streams.wait_for(&[StreamsState::Failed], PATIENCE);
            assert_eq!(state, StreamsState::Failed, "{setting:?}");
            // Those at the end included.
            assert!(metric(&streams, "millstream_aborts_total", "") <= 4);
            let text = format!("{:?}", streams.close().unwrap_err());
            for part in ["in-0@1", "KSTREAM-SINK-0000000001", "out-0"] {
                assert!(text.contains(part), "{part}: {text}");
            }
            assert!(!values(&log, "out").contains(&"behind".to_owned()), "{setting:?}");
        }
    }
}

#[test]
fn a_stream_of_refused_records_costs_one_abort() {
    let log = log_with(&[("in", &[]), ("out", &[("max.message.bytes", "1000")])]);
    let put_some = |from: usize| {
        for number in from..from + 500 {
            let bytes = if number % 10 == 3 { 2_000 + number } else { 100 };
            put(&log, Some("k"), &format!("{number:0>bytes$}"), 7);
        }
    };
    put_some(0);
    let dir = tempfile::tempdir().unwrap();
    let guarantee = ProcessingGuarantee::ExactlyOnceV2;
    let streams = start(&log, &dir, guarantee, copying(OnError::Skip));
    wait_until(|| values(&log, "out").len(), |outputs| *outputs == 450);
    put_some(500);
    wait_until(|| values(&log, "out").len(), |outputs| *outputs == 900);
    assert_eq!(metric(&streams, "millstream_aborts_total", ""), 1);
    streams.close().unwrap();
}

/// What is written again need not be the same: nothing may depend on it.
#[test]
fn an_output_that_differs_each_time_is_no_loop() {
    let builder = StreamsBuilder::new();
    let round = AtomicUsize::new(0);
    builder
        .stream::<String, String>("in")
        .map_values(move |value: String| {
            let bytes = if value == "large" { 3_000 } else { 10 };
            format!("{:0>bytes$}", round.fetch_add(1, Ordering::Relaxed))
        })
        .to(Produced::from("out").on_error(OnError::Skip));
    let topology = builder.build().unwrap();
    let log = log_with(&[("in", &[]), ("out", &[("max.message.bytes", "1000")])]);
    for value in ["small", "large", "small", "large", "small"] {
        put(&log, Some("k"), value, 7);
    }
    let dir = tempfile::tempdir().unwrap();
    let streams = start(&log, &dir, ProcessingGuarantee::ExactlyOnceV2, topology);
    wait_until(|| values(&log, "out").len(), |outputs| *outputs == 3);
    assert_eq!(metric(&streams, "millstream_aborts_total", ""), 1);
    streams.close().unwrap();
}

/// Nothing can be left out of a changelog or a repartition topic.
#[test]
fn a_refused_record_of_an_internal_topic_ends_the_instance() {
    for topic in ["app-counts-changelog", "app-counts-repartition"] {
        for guarantee in GUARANTEES {
            let limited: &[(&str, &str)] = &[("max.message.bytes", "400")];
            let log = log_with(&[("in", &[]), ("out", &[]), (topic, limited)]);
            put(&log, Some("k"), "small", 7);
            put(&log, Some("k"), &"x".repeat(500), 7);
            let dir = tempfile::tempdir().unwrap();
            let streams = start(&log, &dir, guarantee, counts());
            let state = streams.wait_for(&[StreamsState::Failed], PATIENCE);
            assert_eq!(state, StreamsState::Failed, "{topic}");
            assert!(metric(&streams, "millstream_aborts_total", "") <= 4, "{topic}");
            let text = format!("{:?}", streams.close().unwrap_err());
            for part in [&format!("{topic}-0"), "max.message.bytes"] {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
    }
}

/// Sends one large record by the wall clock.
struct Alarm(Option<Schedule>);

impl Processor<Option<String>, String> for Alarm {
    type KOut = Option<String>;
    type VOut = String;

    fn init(&mut self, ctx: &mut Context<'_, Option<String>, String>) -> Result<(), BoxError> {
        self.0 = Some(ctx.schedule(Duration::from_millis(1), PunctuationType::WallClockTime));
        Ok(())
    }

    fn process(
        &mut self,
        _: Record<Option<String>, String>,
        _: &mut Context<'_, Option<String>, String>,
    ) -> Result<(), BoxError> {
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: Schedule,
        _: Timestamp,
        ctx: &mut Context<'_, Option<String>, String>,
    ) -> Result<(), BoxError> {
        if let Some(schedule) = self.0.take() {
            ctx.cancel(schedule);
            ctx.forward(Record::new(Some("alarm".to_owned()), "!".repeat(2_000), Timestamp(7)));
            ctx.request_commit();
        }
        Ok(())
    }
}

/// Where a punctuation made the output there is no source record: the letter is the output.
#[test]
fn a_refused_output_of_a_punctuation_becomes_a_dead_letter_of_its_own() {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<Option<String>, String>("in");
    let policy = OnError::dead_letter("letters");
    stream.process("alarm", (), |()| Alarm(None)).to(Produced::from("out").on_error(policy));
    let topology = builder.build().unwrap();
    let limited: &[(&str, &str)] = &[("max.message.bytes", "1000")];
    let log = log_with(&[("in", &[]), ("out", limited), ("letters", &[])]);
    let dir = tempfile::tempdir().unwrap();
    let streams = start(&log, &dir, ProcessingGuarantee::ExactlyOnceV2, topology);
    let letters = wait_until(|| log.records("letters"), |letters| !letters.is_empty());
    assert_eq!(letters[0].key.as_deref(), Some(&b"alarm"[..]));
    assert_eq!(letters[0].value.as_ref().map(Vec::len), Some(2_000));
    assert_eq!(letters[0].headers.last("__streams.errors.topic"), None);
    let message = letters[0].headers.last("__streams.errors.message").unwrap();
    assert!(message.starts_with(b"out-0 refuses"), "{message:?}");
    streams.close().unwrap();
}

/// A letter that its own topic refuses gets smaller until it is taken.
#[test]
fn a_dead_letter_that_is_refused_is_cut() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .try_map_values(|value: String| if value.len() > 10 { Err("long") } else { Ok(value) })
        .on_error(OnError::dead_letter("letters"))
        .to("out");
    let topology = builder.build().unwrap();
    let limited: &[(&str, &str)] = &[("max.message.bytes", "1000")];
    let log = log_with(&[("in", &[]), ("out", &[]), ("letters", limited)]);
    put(&log, Some("k"), "short", 7);
    put(&log, Some("k"), &"x".repeat(4_000), 7);
    put(&log, Some("k"), "brief", 7);
    let dir = tempfile::tempdir().unwrap();
    let streams = start(&log, &dir, ProcessingGuarantee::ExactlyOnceV2, topology);
    wait_until(|| values(&log, "out"), |found| found == &["brief", "short"]);
    let letters = log.records("letters");
    assert_eq!(letters[0].value.as_ref().map(Vec::len), Some(500));
    let said = letters[0].headers.last("__millstream.errors.truncated");
    assert_eq!(said, Some(&b"value: 500 of 4000 bytes"[..]));
    assert_eq!(metric(&streams, "millstream_aborts_total", ""), 1);
    streams.close().unwrap();
}

/// `offset.metadata.max.bytes` of a broker: what is larger is refused, and with it each commit.
const NOTED_MAX: usize = 4_096;

#[test]
fn what_twenty_joins_note_fits_into_a_commit() {
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.stream::<String, String>("in"), builder.stream("right"));
    for number in 0..20 {
        let within = JoinWindows::within(Duration::from_secs(1)).no_grace();
        let name = format!("orders-with-payments-of-the-last-hour-{number:02}");
        let joined = left.left_join(&*name, &right, within, |_, _: Option<&String>| 1_i64);
        joined.for_each(|_, _| {});
    }
    let dir = tempfile::tempdir().unwrap();
    let log = super::log_with(&[("in", 1), ("right", 1)]);
    let config = config(&dir, ProcessingGuarantee::AtLeastOnce);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    super::put(&log, 0, "a", "x");
    wait_until(|| committed(&log), |taken| *taken == 1);
    streams.close().unwrap();
    let noted = log.group_offsets("app").into_iter().map(|(_, it)| it.metadata.len()).max();
    assert!(noted.is_some_and(|noted| noted <= NOTED_MAX), "{noted:?} bytes");
}
