//! A topology with every kind of store, over a memory log, fed one record at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use millstream::log::memory::MemoryLog;
use millstream::log::{Log, NewTopic};
use millstream::record::{Headers, Session, TopicPartition, Windowed};
use millstream::{
    Emit, JoinWindows, Joined, KStream, Materialized, ProcessingGuarantee, SessionWindows,
    SlidingWindows, Streams, StreamsBuilder, StreamsConfig, StreamsState, Suppress, TimeWindows,
    Topology, murmur2_partition,
};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
const MS: fn(u64) -> Duration = Duration::from_millis;

/// A grace that no record outlasts. As in Kafka Streams, what is given out on update knows no stream time after a
/// restart, and so takes what would have been late.
const NEVER_LATE: u64 = 70;

pub(crate) const INPUTS: [&str; 5] = ["a", "b", "l", "r", "v"];
/// One output for each operator.
pub(crate) const OUTPUTS: [&str; 14] = [
    "sessions",
    "closed-sessions",
    "sliding",
    "closed-windows",
    "limited",
    "outer",
    "left",
    "graced",
    "foreign",
    "tables",
    "grouped",
    "global",
    "dropped",
    "counts",
];

/// One record; a table's row is deleted where there is no value.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) topic: &'static str,
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) at: i64,
}

/// Numbers that look like chance, the same ones each time.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Records of all inputs whose times move on, some of them late.
pub(crate) fn inputs(seed: u64, count: usize) -> Vec<Input> {
    let (mut noise, mut now) = (Noise(seed), 100_i64);
    let record = |_| {
        now += noise.below(25) as i64;
        let late = if noise.below(4) == 0 { noise.below(60) as i64 } else { 0 };
        let topic = ["a", "a", "a", "b", "b", "l", "l", "r", "v"][noise.below(9) as usize];
        let number = noise.below(3);
        let key = if topic == "r" { format!("f{number}") } else { format!("k{number}") };
        let value = match topic {
            "l" => format!("f{}", noise.below(3)),
            _ => format!("{topic}{}", noise.below(90)),
        };
        let is_gone = matches!(topic, "l" | "r" | "v") && noise.below(5) == 0;
        Input { topic, key, value: (!is_gone).then_some(value), at: (now - late).max(0) }
    };
    (0..count).map(record).collect()
}

fn sessions(topic: &KStream<Session<String>, Option<i64>>, to: &str) {
    topic
        .map(|session, count| {
            (session.key, format!("{}..{} {count:?}", session.start, session.end))
        })
        .to(to);
}

fn windows(topic: &KStream<Windowed<String>, i64>, to: &str) {
    topic.map(|window, count| (window.key, format!("{} {count}", window.start))).to(to);
}

/// Sessions, sliding and other windows, what is held back, versions, joins of all kinds, and a global table.
pub(crate) fn every_store() -> Topology {
    let builder = StreamsBuilder::new();
    let a = builder.stream::<String, String>("a");
    let b = builder.stream::<String, String>("b");
    let l = builder.table::<String, String>("l", "l-rows");
    let r = builder.table::<String, String>("r", "r-rows");
    let versions = Materialized::named("v-rows").versioned(Duration::from_secs(3));
    let v = builder.table::<String, String>("v", versions);
    let g = builder.global_table::<String, String>("g", "g-rows");

    let by_key = a.group_by_key();
    let gap = |grace| SessionWindows::with_gap(MS(40)).grace(MS(grace));
    sessions(&by_key.windowed_by(gap(NEVER_LATE)).count("sessions-rows").to_stream(), "sessions");
    let closed =
        by_key.windowed_by(gap(30)).emit(Emit::OnWindowClose).count("closed-sessions-rows");
    sessions(&closed.to_stream(), "closed-sessions");
    let sliding = SlidingWindows::of_difference(MS(30)).grace(MS(NEVER_LATE));
    windows(&by_key.windowed_by(sliding).count("sliding-rows").updates(), "sliding");
    let fifty = TimeWindows::of(MS(50)).grace(MS(NEVER_LATE));
    let counted = by_key.windowed_by(fifty).count("windows-rows");
    let closed = counted.suppress("closed-windows-held", Suppress::until_window_closes());
    windows(&closed.updates(), "closed-windows");
    let counts = by_key.count("counts-rows");
    counts.to_stream().map_values(|count| format!("{count:?}")).to("counts");
    let limited = counts.suppress("limited-held", Suppress::until_time_limit(MS(45)));
    limited.to_stream().map_values(|count| format!("{count:?}")).to("limited");

    let near = || JoinWindows::within(MS(20)).grace(MS(20));
    a.outer_join("outer", &b, near(), |a, b| format!("{a:?} {b:?}")).to("outer");
    b.left_join("left", &a, near(), |b, a| format!("{b:?} {a:?}")).to("left");
    let graced = Joined::named("graced").grace(MS(25));
    b.left_join_table_with(graced, &v, |b, v| format!("{b} {v:?}")).to("graced");
    let foreign = |_: &String, row: &String| Some(row.clone());
    let joined = l.left_join_foreign("foreign", &r, foreign, |l, r| format!("{l} {r:?}"));
    joined
        .materialized("foreign-rows")
        .to_stream()
        .map_values(|row| format!("{row:?}"))
        .to("foreign");
    l.outer_join(&v, |l, v| format!("{l:?} {v:?}"))
        .materialized("tables-rows")
        .to_stream()
        .map_values(|row| format!("{row:?}"))
        .to("tables");
    let grouped = l.group_by(|_, row| (row.clone(), 1_i64)).count("grouped-rows");
    grouped.to_stream().map_values(|count| format!("{count:?}")).to("grouped");
    a.left_join_global(&g, |key, _| Some(key.clone()), |a, g| format!("{a} {g:?}")).to("global");
    // A view above kept rows, looked up and never kept itself.
    let view = l.filter(|_, row| row != "f0").map_values(|row: &String| format!("<{row}>"));
    b.left_join_table(&view, |b, row| format!("{b} {row:?}")).to("dropped");
    builder.build().unwrap()
}

/// A record of an output without its place.
pub(crate) type Line = (String, Option<String>, i64);

/// A log with an application on it.
pub(crate) struct World {
    pub(crate) log: MemoryLog,
    partitions: i32,
    pub(crate) guarantee: ProcessingGuarantee,
    pub(crate) cache_bytes: usize,
}

impl World {
    pub(crate) fn new(partitions: i32, guarantee: ProcessingGuarantee) -> Self {
        let log = MemoryLog::new();
        let topic = |name: &str, partitions| NewTopic {
            name: name.to_owned(),
            partitions,
            replication_factor: 1,
            config: Vec::new(),
        };
        let inputs = INPUTS.iter().chain(&["g"]).map(|name| topic(name, partitions));
        let outputs = OUTPUTS.iter().map(|name| topic(name, 1));
        log.create(&inputs.chain(outputs).collect::<Vec<_>>()).unwrap();
        let world = Self { log, partitions, guarantee, cache_bytes: 0 };
        for number in 0..2 {
            let (key, value) = (format!("k{number}"), Some(format!("g{number}")));
            world.append(&Input { topic: "g", key, value, at: 1 });
        }
        world
    }

    pub(crate) fn append(&self, input: &Input) {
        let partition = murmur2_partition(input.key.as_bytes(), self.partitions);
        let at = TopicPartition::new(input.topic, partition);
        let value = input.value.as_ref().map(String::as_bytes);
        let key = Some(input.key.as_bytes());
        self.log.append(&at, key, value, input.at, &Headers::default()).unwrap();
    }

    pub(crate) fn start(&self, topology: &Topology, dir: &tempfile::TempDir) -> Streams {
        let config = StreamsConfig::new("app")
            .state_dir(dir.path())
            .commit_interval_ms(1)
            .processing_guarantee(self.guarantee)
            .cache_bytes_max(self.cache_bytes)
            .num_stream_threads(1);
        let shared: Arc<dyn Log> = Arc::new(self.log.clone());
        let streams = Streams::with(topology.clone(), config).log(shared).start().unwrap();
        let state = streams.wait_for(&[StreamsState::Running], PATIENCE);
        assert_eq!(state, StreamsState::Running);
        streams
    }

    /// Waits until everything that was put in was processed, through all topics between, and is committed.
    pub(crate) fn settle(&self, streams: &Streams) {
        for _ in 0..PATIENCE.as_millis() {
            if self.is_settled() {
                return;
            }
            assert_ne!(streams.state(), StreamsState::Failed, "the application failed");
            std::thread::park_timeout(Duration::from_millis(1));
        }
        panic!("not processed after {PATIENCE:?}: {:?}", self.log.group_offsets("app"));
    }

    fn is_settled(&self) -> bool {
        let names = self.log.topic_names();
        // Answers come after subscriptions, in the order of the names.
        let ends = ["-repartition", "-registration-topic", "-response-topic"];
        let between = ends.iter().flat_map(|end| names.iter().filter(move |it| it.ends_with(end)));
        let inputs = INPUTS.iter().copied();
        inputs.chain(between.map(String::as_str)).all(|topic| self.is_consumed(topic))
    }

    fn is_consumed(&self, topic: &str) -> bool {
        let committed: BTreeMap<(String, i32), i64> = self
            .log
            .group_offsets("app")
            .into_iter()
            .map(|(at, committed)| ((at.topic.to_string(), at.partition), committed.offset))
            .collect();
        self.log.records(topic).iter().all(|record| {
            let next = committed.get(&(topic.to_owned(), record.partition));
            next.is_some_and(|next| *next > record.offset)
        })
    }

    /// What came to an output, in order.
    pub(crate) fn lines(&self, topic: &str) -> Vec<Line> {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let line = |record: millstream::log::memory::MemoryRecord| {
            (text(record.key.unwrap_or_default()), record.value.map(text), record.timestamp)
        };
        self.log.records(topic).into_iter().map(line).collect()
    }

    pub(crate) fn all_lines(&self) -> BTreeMap<&'static str, Vec<Line>> {
        OUTPUTS.iter().map(|topic| (*topic, self.lines(topic))).collect()
    }

    /// What an output says last of each key.
    pub(crate) fn rows(&self, topic: &str) -> BTreeMap<String, Option<String>> {
        self.lines(topic).into_iter().map(|(key, value, _)| (key, value)).collect()
    }
}
