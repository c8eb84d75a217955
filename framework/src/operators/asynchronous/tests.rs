//! Futures in the test driver: order, limits, failures, origins.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::error::BoxError;
use crate::log::memory::MemoryRecord;
use crate::operators::KStream;
use crate::operators::asynchronous::Async;
use crate::policy::{DropReason, OnError};
use crate::record::{Record, Timestamp};
use crate::testing::{DriverOptions, TopologyDriver, text};
use crate::topology::StreamsBuilder;

type Texts = KStream<String, String>;

/// Those that wait until they are let go, one by one or together.
#[derive(Clone, Default)]
struct Gates(Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Semaphore>>>>);

impl Gates {
    fn of(&self, name: &str) -> Arc<tokio::sync::Semaphore> {
        let mut all = self.0.lock().unwrap();
        let closed = || Arc::new(tokio::sync::Semaphore::new(0));
        Arc::clone(all.entry(name.to_owned()).or_insert_with(closed))
    }

    fn open(&self, name: &str) {
        self.of(name).add_permits(1);
    }

    async fn pass(self, name: String) -> Result<String, BoxError> {
        self.of(&name).acquire().await?.forget();
        Ok(name)
    }
}

fn driver(build: impl FnOnce(&Texts)) -> TopologyDriver {
    let builder = StreamsBuilder::new();
    build(&builder.stream("in"));
    TopologyDriver::new(&builder.build().unwrap()).unwrap()
}

fn values(driver: &mut TopologyDriver, topic: &str) -> Vec<String> {
    let read = driver.read::<String, String>(topic).unwrap();
    read.into_iter().map(|record| record.value).collect()
}

/// Each is done only when a later one runs: in whatever order they are done, they go on in order, and
/// as many run at once.
#[test]
fn results_go_on_in_order_though_they_are_done_in_another() {
    let gates = Gates::default();
    let passing = gates.clone();
    let mut driver = driver(|stream| {
        let opens = |name: &str| match name {
            "c" => Some("b"),
            "b" => Some("a"),
            _ => None,
        };
        let passed = stream.map_async(3, move |_, name: String| {
            let gates = passing.clone();
            async move {
                if name != "c" {
                    gates.clone().pass(name.clone()).await?;
                }
                opens(&name).into_iter().for_each(|next| gates.open(next));
                Ok::<_, BoxError>(name)
            }
        });
        passed.to("out");
    });
    driver.pipe_together("in", ["a", "b", "c"].map(|value| text("k", value, 1))).unwrap();
    assert_eq!(values(&mut driver, "out"), ["a", "b", "c"]);
}

#[test]
fn unordered_results_go_on_as_they_are_done() {
    let gates = Gates::default();
    let passing = gates.clone();
    let mut driver = driver(|stream| {
        let passed = stream.map_async(Async::unordered(2), move |_, name: String| {
            let gates = passing.clone();
            async move { if name == "a" { gates.pass(name).await } else { Ok(name) } }
        });
        let opener = gates.clone();
        passed
            .peek(move |_, name| {
                if name == "b" {
                    opener.open("a")
                }
            })
            .to("out");
    });
    driver.pipe_together("in", ["a", "b"].map(|value| text("k", value, 1))).unwrap();
    assert_eq!(values(&mut driver, "out"), ["b", "a"]);
}

/// How many run at once, and at most.
#[derive(Clone, Default)]
struct Crowd(Arc<(AtomicUsize, AtomicUsize)>);

impl Crowd {
    async fn join<T: Send>(self, value: T) -> Result<T, BoxError> {
        let inside = self.0.0.fetch_add(1, Ordering::SeqCst) + 1;
        self.0.1.fetch_max(inside, Ordering::SeqCst);
        // Others get in meanwhile, if they may.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        self.0.0.fetch_sub(1, Ordering::SeqCst);
        Ok(value)
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }
}

/// One record may become more than may run at once: the others wait, and none is lost.
#[test]
fn no_more_run_than_the_limit_says() {
    let crowd = Crowd::default();
    let joined = crowd.clone();
    let mut driver = driver(|stream| {
        stream
            .flat_map_values(|line| line.chars().map(String::from).collect::<Vec<_>>())
            .map_async(2, move |_, letter: String| joined.clone().join(letter))
            .to("out");
    });
    driver.pipe_together("in", ["abcde", "fgh"].map(|value| text("k", value, 1))).unwrap();
    assert_eq!(values(&mut driver, "out").concat(), "abcdefgh");
    assert!((1..=2).contains(&crowd.most()), "{} at once", crowd.most());
}

#[test]
fn those_of_one_key_run_one_after_the_other_in_their_order() {
    let (crowds, all) = (Arc::new(["a", "b"].map(|_| Crowd::default())), Crowd::default());
    let (each, together) = (Arc::clone(&crowds), all.clone());
    let mut driver = driver(|stream| {
        stream
            .map_async(Async::by_key(8), move |key, value: String| {
                let (own, all) = (each[usize::from(key == "b")].clone(), together.clone());
                async move { all.join(own.join(value).await?).await }
            })
            .to("out");
    });
    let records = (0..40).map(|at| text(["a", "b"][at % 2], &format!("{at:02}"), 1));
    driver.pipe_together("in", records).unwrap();
    let out = driver.read::<String, String>("out").unwrap();
    assert_eq!(out.len(), 40);
    for key in ["a", "b"] {
        let own: Vec<&str> =
            out.iter().filter(|r| r.key == key).map(|record| record.value.as_str()).collect();
        assert!(own.len() == 20 && own.is_sorted(), "{key}: {own:?}");
    }
    assert_eq!(crowds.each_ref().map(Crowd::most), [1, 1]);
}

fn flaky(
    failures: usize,
    how: Async<String>,
    policy: OnError,
) -> (TopologyDriver, Arc<AtomicUsize>) {
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let driver = driver(|stream| {
        stream
            .map_async(how, move |_, value: String| {
                let tried = counted.fetch_add(1, Ordering::SeqCst);
                async move {
                    match value.as_str() {
                        "never" => std::future::pending().await,
                        "panics" => panic!("as it was told"),
                        _ if tried < failures => Err(format!("no answer to try {tried}")),
                        _ => Ok(value),
                    }
                }
            })
            .on_error(policy)
            .to("out");
    });
    (driver, tries)
}

#[test]
fn what_fails_is_tried_again_as_often_as_it_may() {
    let how = || Async::ordered(4).retries(2, Duration::from_millis(1));
    let (mut driver, tries) = flaky(2, how(), OnError::Fail);
    driver.pipe("in", &text("k", "v", 1)).unwrap();
    assert_eq!(
        (values(&mut driver, "out").concat(), tries.load(Ordering::SeqCst)),
        ("v".into(), 3)
    );

    let (mut driver, tries) = flaky(3, how(), OnError::Fail);
    let error = format!("{:?}", driver.pipe("in", &text("k", "v", 1)).unwrap_err());
    assert_eq!(tries.load(Ordering::SeqCst), 3);
    for part in ["in-0@0", "tried 3 times", "no answer to try 2", "KSTREAM-MAPASYNC-0000000001"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn what_takes_too_long_or_panics_follows_the_policy() {
    for (value, says) in [("never", "within 5ms"), ("panics", "panicked: as it was told")] {
        let how = Async::ordered(4).timeout(Duration::from_millis(5));
        let (mut driver, _) = flaky(0, how, OnError::dead_letter("letters"));
        driver.pipe_together("in", ["before", value, "after"].map(|v| text("k", v, 9))).unwrap();
        assert_eq!(values(&mut driver, "out"), ["before", "after"]);
        assert_eq!(driver.dropped(DropReason::Failed), 1);
        let letters: Vec<MemoryRecord> = driver.read_raw("letters").unwrap();
        let [letter] = &letters[..] else { panic!("{letters:?}") };
        assert_eq!(letter.value.as_deref(), Some(value.as_bytes()));
        assert!(letter_says(letter, "in") && letter_says(letter, says), "{letter:?}");
    }
}

fn letter_says(letter: &MemoryRecord, text: &str) -> bool {
    letter.headers.iter().any(|header| {
        let value = header.value.as_deref();
        value.is_some_and(|value| String::from_utf8_lossy(value).contains(text))
    })
}

/// A panic is a fault of the program, which another try does not mend.
#[test]
fn a_panic_is_not_tried_again() {
    let how = Async::ordered(1).retries(5, Duration::ZERO);
    let (mut driver, tries) = flaky(0, how, OnError::Skip);
    driver.pipe("in", &text("k", "panics", 1)).unwrap();
    assert_eq!(tries.load(Ordering::SeqCst), 1);
}

/// What is refused behind a future is still the record that it was started for, though others came
/// since; and a row of a table is its changelog record.
#[test]
fn what_fails_behind_a_future_knows_where_it_came_from() {
    let refusing = |through_a_table: bool, cache_bytes| {
        let builder = StreamsBuilder::new();
        let stream: Texts = builder.stream("in");
        let stream = if through_a_table {
            stream.group_by_key().reduce("kept", |_, new| new).updates()
        } else {
            stream
        };
        stream
            .map_async(4, |_, value: String| async move { Ok::<_, BoxError>(value) })
            .try_map_values(|value| value.parse::<i64>())
            .on_error(OnError::dead_letter("letters"))
            .to("out");
        let options = DriverOptions { cache_bytes, ..DriverOptions::default() };
        let mut driver = TopologyDriver::with_options(&builder.build().unwrap(), &options).unwrap();
        let records = [("a", "1"), ("a", "x"), ("b", "2")].map(|(key, value)| text(key, value, 7));
        driver.pipe_together("in", records).unwrap();
        let letters = driver.read_raw("letters").unwrap();
        assert_eq!(letters.len(), 1);
        let letter = letters.into_iter().next().unwrap();
        assert_eq!(letter.value.as_deref(), Some(&b"x"[..]));
        letter
    };
    let letter = refusing(false, 0);
    assert!(letter_says(&letter, "in") && letter_says(&letter, "1"), "{letter:?}");
    for cache_bytes in [0, 1 << 20] {
        let letter = refusing(true, cache_bytes);
        let from = if cache_bytes == 0 { "in" } else { "app-kept-changelog" };
        assert!(letter_says(&letter, from), "{letter:?}");
    }
}

/// What a flush of a cache starts is part of the same commit.
#[test]
fn what_a_cache_lets_out_is_waited_for() {
    let builder = StreamsBuilder::new();
    builder
        .stream::<String, String>("in")
        .group_by_key()
        .count("counts")
        .updates()
        .map_async(2, |_, count: i64| async move { Ok::<_, BoxError>(count) })
        .group_by(|_, count| format!("seen {count}"))
        .count("again")
        .updates()
        .map_async(2, |_, count: i64| async move { Ok::<_, BoxError>(count) })
        .to("out");
    let options = DriverOptions { cache_bytes: 1 << 20, ..DriverOptions::default() };
    let mut driver = TopologyDriver::with_options(&builder.build().unwrap(), &options).unwrap();
    driver.pipe_together("in", ["a", "b", "c", "a"].map(|key| text(key, "x", 1))).unwrap();
    let mut out = driver.read::<String, i64>("out").unwrap();
    out.sort_by(|one, other| one.key.cmp(&other.key));
    let wanted = [("seen 1", 2), ("seen 2", 1)];
    assert_eq!(out, wanted.map(|(key, n)| Record::new(key.to_owned(), n, Timestamp(1))));
}

/// What it comes to, if it comes to an end soon.
fn soon<R: Send + 'static>(run: impl FnOnce() -> R + Send + 'static) -> Option<R> {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = tell.send(run());
    });
    told.recv_timeout(Duration::from_secs(10)).ok()
}

/// Panics wherever it is dropped, as a runtime does that is dropped within another one.
struct PanicsWhenDropped;

impl Drop for PanicsWhenDropped {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("dropped in a runtime");
        }
    }
}

/// A future that is given up when its time is up is dropped outside of its own polls.
#[test]
fn a_future_that_panics_when_it_is_dropped_follows_the_policy() {
    let dropped = soon(|| {
        let mut driver = driver(|stream| {
            let how = Async::ordered(2).timeout(Duration::from_millis(5));
            stream
                .map_async(how, |_, value: String| async move {
                    let _client = PanicsWhenDropped;
                    std::future::pending::<()>().await;
                    Ok::<_, BoxError>(value)
                })
                .on_error(OnError::Skip)
                .to("out");
        });
        driver.pipe("in", &text("k", "v", 1)).unwrap();
        driver.dropped(DropReason::Failed)
    });
    assert_eq!(dropped, Some(1), "the record is on its way for ever");
}

/// Whose clone panics.
struct Unclonable;

impl Clone for Unclonable {
    fn clone(&self) -> Self {
        panic!("it cannot be cloned")
    }
}

/// A value is cloned for each further try, beside the guarded part.
#[test]
fn a_value_that_panics_when_it_is_cloned_follows_the_policy() {
    let dropped = soon(|| {
        let mut driver = driver(|stream| {
            let how = Async::ordered(2).retries(1, Duration::ZERO);
            stream
                .map_values(|_: String| Unclonable)
                .map_async(how, |_, _: Unclonable| async move { Ok::<_, BoxError>("v".to_owned()) })
                .on_error(OnError::Skip)
                .to("out");
        });
        driver.pipe("in", &text("k", "v", 1)).unwrap();
        driver.dropped(DropReason::Failed)
    });
    assert_eq!(dropped, Some(1), "the record is on its way for ever");
}

/// Forwards when it begins; counts records, and tells the count when its time comes.
#[derive(Default)]
struct Ticking(u32);

impl crate::operators::Processor<String, String> for Ticking {
    type KOut = String;
    type VOut = String;

    fn init(
        &mut self,
        ctx: &mut crate::operators::Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        ctx.schedule(Duration::from_millis(50), crate::chain::PunctuationType::StreamTime);
        ctx.forward(text("k", "began", 0));
        Ok(())
    }

    fn process(
        &mut self,
        _: Record<String, String>,
        _: &mut crate::operators::Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        self.0 += 1;
        Ok(())
    }

    fn punctuate(
        &mut self,
        _: crate::chain::Schedule,
        now: Timestamp,
        ctx: &mut crate::operators::Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        ctx.forward(text("k", &format!("{} at {}", self.0, now.0), now.0));
        Ok(())
    }
}

/// What an operator forwards when it begins is waited for, as all else is.
#[test]
fn what_is_forwarded_at_the_start_is_waited_for() {
    let mut driver = driver(|stream| {
        stream
            .process("ticking", (), |()| Ticking::default())
            .map_async(2, |_, value: String| async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok::<_, BoxError>(value)
            })
            .to("out");
    });
    assert_eq!(values(&mut driver, "out"), ["began"]);
}

/// A program may test within its own runtime.
#[test]
fn a_driver_works_within_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut driver = driver(|stream| {
            stream
                .map_async(2, |_, value: String| async move {
                    let value = tokio::task::spawn_blocking(move || value).await?;
                    Ok::<_, BoxError>(tokio::task::block_in_place(|| value))
                })
                .to("out");
        });
        driver.pipe("in", &text("k", "v", 1)).unwrap();
        assert_eq!(values(&mut driver, "out"), ["v"]);
    });
}

/// At the ends of what can be said.
#[test]
fn limits_and_times_at_their_ends() {
    for (limit, timeout) in [(0, Duration::MAX), (usize::MAX, Duration::MAX), (1, Duration::ZERO)] {
        let mut driver = driver(|stream| {
            let how = Async::unordered(limit).timeout(timeout);
            stream
                .map_async(how, |_, value: String| async move { Ok::<_, BoxError>(value) })
                .to("out");
        });
        driver.pipe_together("in", ["a", "b"].map(|value| text("k", value, 1))).unwrap();
        assert_eq!(values(&mut driver, "out").len(), 2);
    }
}
