//! Time on idle inputs.

use std::sync::atomic::AtomicBool;

use tokio::sync::Semaphore;

use super::*;
use crate::log::{
    Committed, GroupSpec, Membership, OffsetRange, Producer, ProducerSpec, Reader, TopicDescription,
};
use crate::operators::{
    FixedKeyContext, FixedKeyProcessor, FixedKeyRecord, KGroupedStream, KStream,
};
use crate::runtime::clock::{SystemClock, WallClock as _};
use crate::task::Progress;
use crate::time::{Emit, Suppress, TimeWindows};

fn windows() -> Topology {
    let builder = StreamsBuilder::new();
    let stream = builder.stream::<String, String>("in").group_by_key();
    let windows = TimeWindows::of(Duration::from_millis(100)).no_grace();
    let closed = stream.windowed_by(windows).emit(Emit::OnWindowClose).count("w").updates();
    closed.map(|window, count| (window.key, format!("{}: {count}", window.start))).to("out");
    builder.build().unwrap()
}

/// The time that is noted with the committed offsets.
fn noted(log: &MemoryLog) -> Option<i64> {
    let all = log.group_offsets("app");
    all.iter().find_map(|(_, committed)| {
        Progress::decode(&committed.metadata).processors.get("stream time").copied()
    })
}

#[test]
fn windows_close_on_a_quiet_topic_and_a_restart_knows_it() {
    for guarantee in BOTH {
        let dir = tempfile::tempdir().unwrap();
        let log = log_with(&[("in", 1), ("out", 1)]);
        let start = || {
            let shared: Arc<dyn Log> = Arc::new(log.clone());
            let config = config(&dir, guarantee).idle_timeout_ms(20_u64);
            Streams::with(windows(), config).log(shared).start().unwrap()
        };
        put(&log, 0, "a", "x");
        let streams = start();
        wait_for(&log, "out", &["0: 1"]);
        wait_until(|| noted(&log), |at| at.is_some_and(|at| at >= 100));
        streams.close().unwrap();
        let streams = start();
        put(&log, 0, "a", "late");
        wait_until(|| streams.drops().of(crate::policy::DropReason::Late), |late| *late == 1);
        streams.close().unwrap();
        assert_eq!(values(&log, "out"), ["0: 1"]);
    }
}

/// A log whose brokers may be away.
#[derive(Clone, Debug)]
struct Away(MemoryLog, Arc<AtomicBool>);

impl Log for Away {
    fn brokers_connected(&self) -> Option<usize> {
        Some(usize::from(!self.1.load(Ordering::SeqCst)))
    }
    fn describe(&self, topics: &[&str]) -> crate::error::Result<Vec<Option<TopicDescription>>> {
        self.0.describe(topics)
    }
    fn create(&self, topics: &[NewTopic]) -> crate::error::Result<()> {
        self.0.create(topics)
    }
    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> crate::error::Result<()> {
        self.0.delete_records(before)
    }
    fn offsets(
        &self,
        p: &TopicPartition,
        isolation: Isolation,
    ) -> crate::error::Result<OffsetRange> {
        self.0.offsets(p, isolation)
    }
    fn offset_at(&self, p: &TopicPartition, timestamp: i64) -> crate::error::Result<Option<i64>> {
        self.0.offset_at(p, timestamp)
    }
    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> crate::error::Result<Vec<Option<Committed>>> {
        self.0.committed(group, partitions)
    }
    fn producer(&self, spec: &ProducerSpec) -> crate::error::Result<Box<dyn Producer>> {
        self.0.producer(spec)
    }
    fn join(&self, spec: &GroupSpec) -> crate::error::Result<Box<dyn Membership>> {
        self.0.join(spec)
    }
    fn reader(&self, isolation: Isolation) -> crate::error::Result<Box<dyn Reader>> {
        self.0.reader(isolation)
    }
}

/// Nobody knows then what there would be to read.
#[test]
fn time_stands_still_while_the_brokers_are_away() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    let away = Arc::new(AtomicBool::new(true));
    let shared: Arc<dyn Log> = Arc::new(Away(log.clone(), Arc::clone(&away)));
    let config = config(&dir, ProcessingGuarantee::AtLeastOnce).idle_timeout_ms(20_u64);
    put(&log, 0, "a", "x");
    let streams = Streams::with(windows(), config).log(shared).start().unwrap();
    wait_until(|| committed(&log), |taken| *taken == 1);
    let started = SystemClock::new();
    wait_until(|| started.elapsed(), |passed| *passed >= Duration::from_millis(400));
    assert_eq!(values(&log, "out"), Vec::<String>::new());
    away.store(false, Ordering::SeqCst);
    wait_for(&log, "out", &["0: 1"]);
    streams.close().unwrap();
}

/// Asks for a commit where the value says so.
struct Asks;

impl FixedKeyProcessor<String, String> for Asks {
    type VOut = String;

    fn process(
        &mut self,
        record: FixedKeyRecord<String, String>,
        ctx: &mut FixedKeyContext<'_, String, String>,
    ) -> Result<(), BoxError> {
        if record.value == "commit" {
            ctx.request_commit();
        }
        ctx.forward(record);
        Ok(())
    }
}

/// The first time that is told closes all windows.
fn seldom(dir: &tempfile::TempDir) -> StreamsConfig {
    let config = config(dir, ProcessingGuarantee::AtLeastOnce).idle_timeout_ms(150_u64);
    config.commit_interval_ms(3_000).num_stream_threads(1)
}

/// What comes of a second record, which waits in a cache while time passes, and how many were late; `meanwhile` is done
/// once it was put.
fn over_a_pause(topology: Topology, meanwhile: impl FnOnce()) -> (Vec<String>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("out", 1)]);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let streams = Streams::with(topology, seldom(&dir)).log(shared).start().unwrap();
    assert_eq!(streams.wait_for(&[StreamsState::Running], PATIENCE), StreamsState::Running);
    put(&log, 0, "a", "commit");
    wait_until(|| committed(&log), |taken| *taken == 1);
    put(&log, 0, "a", "x");
    meanwhile();
    wait_until(|| committed(&log), |taken| *taken == 2);
    wait_until(|| noted(&log), |at| at.is_some_and(|at| at >= 1_000));
    let late = streams.drops().of(crate::policy::DropReason::Late);
    streams.close().unwrap();
    (values(&log, "out"), late)
}

fn asked(builder: &StreamsBuilder) -> KGroupedStream<String, String> {
    builder.stream::<String, String>("in").process_values("asks", (), |()| Asks).group_by_key()
}

/// The number of changes that a window has taken, once it is closed.
fn in_windows(counts: &KStream<String, i64>) {
    let windows = TimeWindows::of(Duration::from_millis(100)).no_grace();
    let windowed = counts.group_by_key().windowed_by(windows).emit(Emit::OnWindowClose).count("w");
    windowed.updates().map(|window, count: i64| (window.key, count.to_string())).to("out");
}

/// Before time passes on idle inputs what their records came to has gone where it belongs.
#[test]
fn what_a_cache_holds_back_is_not_late() {
    let builder = StreamsBuilder::new();
    in_windows(&asked(&builder).count("n").updates());
    assert_eq!(over_a_pause(builder.build().unwrap(), || ()), (vec!["2".to_owned()], 0));
}

#[test]
fn what_a_future_makes_of_it_is_not_late_either() {
    let builder = StreamsBuilder::new();
    // The first passes.
    let gate = Arc::new(Semaphore::new(1));
    let closed = Arc::clone(&gate);
    let slow = asked(&builder).count("n").updates().map_async(2, move |_, count: i64| {
        let gate = Arc::clone(&closed);
        async move {
            gate.acquire().await?.forget();
            Ok::<_, BoxError>(count)
        }
    });
    in_windows(&slow);
    let meanwhile = || {
        let put = SystemClock::new();
        wait_until(|| put.elapsed(), |passed| *passed >= Duration::from_millis(400));
        gate.add_permits(1);
    };
    assert_eq!(over_a_pause(builder.build().unwrap(), meanwhile), (vec!["2".to_owned()], 0));
}

#[test]
fn a_window_that_a_cache_holds_back_is_given_out_once_and_whole() {
    let builder = StreamsBuilder::new();
    let windows = TimeWindows::of(Duration::from_millis(100)).no_grace();
    let closed = asked(&builder).windowed_by(windows).count("w");
    let closed = closed.suppress("s", Suppress::until_window_closes());
    closed.updates().map(|window, count: i64| (window.key, count.to_string())).to("out");
    assert_eq!(over_a_pause(builder.build().unwrap(), || ()), (vec!["2".to_owned()], 0));
}
