//! The process that the broker suite kills: counts records per key from one topic to another.
//!
//! It prints a line when something happens that a test waits for: `all tasks run`, and `at STEP` when it
//! has reached the step of a commit at which it was told to wait to be killed.

#![expect(clippy::print_stdout, reason = "the test that started this process reads its lines")]

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser;
use millstream::{
    Async, CommitStep, Consumed, GroupProtocol, JoinWindows, ProcessingGuarantee, SessionWindows,
    Streams, StreamsBuilder, StreamsConfig, StreamsState, Suppress, Topology, TopologyOptions,
};
use millstream_tests::files::Files;

/// Counts records per key.
#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    bootstrap: String,
    #[arg(long)]
    application_id: String,
    #[arg(long)]
    state_dir: PathBuf,
    #[arg(long, default_value = "in")]
    input: String,
    /// Reads all topics that match it, instead of the input.
    #[arg(long)]
    pattern: Option<String>,
    #[arg(long, default_value_t = 300_000)]
    metadata_ms: u64,
    #[arg(long, default_value = "out")]
    output: String,
    /// Counts only records whose key has a row in this topic, as a global table.
    #[arg(long)]
    global: Option<String>,
    /// Counts by way of all stateful operators; the keys have rows in this topic.
    #[arg(long)]
    mixed: Option<String>,
    /// With as few topics as may be: the rows of those operators are restored from their own topic.
    #[arg(long)]
    fewer_topics: bool,
    /// Exactly-once instead of at-least-once.
    #[arg(long)]
    exactly_once: bool,
    /// KIP-848 instead of the classic protocol.
    #[arg(long)]
    consumer_protocol: bool,
    #[arg(long, default_value_t = 100)]
    commit_ms: u64,
    #[arg(long, default_value_t = 0)]
    cache_bytes: usize,
    #[arg(long, default_value_t = 1)]
    workers: usize,
    #[arg(long, default_value_t = 6000)]
    session_ms: u64,
    #[arg(long, default_value_t = 10_000)]
    transaction_ms: u64,
    /// `STEP:N`: wait for the end at the N-th time this step of a commit is reached.
    #[arg(long)]
    wait_at: Option<String>,
    /// Microseconds that each record takes.
    #[arg(long, default_value_t = 0)]
    slow_us: u64,
    /// Milliseconds that the future of each record takes; without it there are none.
    #[arg(long)]
    future_ms: Option<u64>,
    /// Stores the records in files of this folder instead of counting them.
    #[arg(long)]
    outlet: Option<PathBuf>,
    /// `NAME=VALUE`: a setting of all Kafka clients.
    #[arg(long)]
    kafka: Vec<String>,
    #[arg(long, default_value_t = 30_000)]
    close_ms: u64,
    /// A record with this value ends the instance.
    #[arg(long)]
    poison: Option<String>,
    /// Bytes fetched ahead.
    #[arg(long, default_value_t = 64 << 20)]
    prefetch_bytes: usize,
}

fn main() -> anyhow::Result<()> {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false);
    log.with_env_filter("info").init();
    let options = Options::parse();
    let wait_at = options.wait_at.as_deref().map(parse_step).transpose()?;
    let topology = topology(&options)?;
    let mut streams = Streams::with(topology, config(&options));
    if let Some((wanted, times)) = wait_at {
        let seen = AtomicU32::new(0);
        streams = streams.on_commit(move |step| {
            if step == wanted && seen.fetch_add(1, Ordering::Relaxed) + 1 == times {
                println!("at {wanted:?}");
                loop {
                    std::thread::park();
                }
            }
        });
    }
    let streams = streams.start()?;
    if streams.wait_for(&[StreamsState::Running, StreamsState::Failed], Duration::from_secs(120))
        == StreamsState::Running
    {
        println!("all tasks run");
    }
    Ok(streams.run_until_signal()?)
}

fn topology(options: &Options) -> anyhow::Result<Topology> {
    let slow = Duration::from_micros(options.slow_us);
    let poison = options.poison.clone();
    let builder = StreamsBuilder::new();
    if let Some(rows) = &options.mixed {
        mixed(&builder, options, rows);
        let fewer = TopologyOptions::default().reuse_table_source_topics().merge_repartitions();
        let how = if options.fewer_topics { fewer } else { TopologyOptions::default() };
        return Ok(builder.build_with(&how)?);
    }
    let mut stream = match &options.pattern {
        Some(pattern) => builder.stream(Consumed::<String, String>::pattern(pattern)),
        None => builder.stream::<String, String>(options.input.as_str()),
    };
    if let Some(dir) = options.outlet.clone() {
        stream.sink("files", move || anyhow::Ok(Files::in_dir(&dir)));
        return Ok(builder.build()?);
    }
    if let Some(topic) = &options.global {
        let rows = builder.global_table::<String, String>(topic.as_str(), "rows");
        stream = stream.join_global(&rows, |key, _| key.clone(), |value, _| value);
    }
    if let Some(takes) = options.future_ms {
        stream = stream.map_async(Async::unordered(32), move |_, value| later(value, takes));
    }
    stream
        .peek(move |_, value| {
            assert_ne!(Some(value), poison.as_ref(), "poison");
            if slow > Duration::from_secs(1) {
                println!("a slow record");
            }
            if !slow.is_zero() {
                std::thread::park_timeout(slow);
            }
        })
        .group_by_key()
        .count("counts")
        .updates()
        .to(options.output.as_str());
    Ok(builder.build()?)
}

/// The value, after so many milliseconds.
async fn later<V>(value: V, takes_ms: u64) -> Result<V, Infallible> {
    tokio::time::sleep(Duration::from_millis(takes_ms)).await;
    Ok(value)
}

/// Each record meets itself once, and is counted in the one session of its key; the counts are held back, wait for a
/// future, and come out where their key has a row.
fn mixed(builder: &StreamsBuilder, options: &Options, rows: &str) {
    let hour = Duration::from_secs(3600);
    let rows = builder.table::<String, String>(rows, "rows");
    let records = builder
        .stream::<String, String>(options.input.as_str())
        .map(|key, number| (number, key))
        .repartition("by-number");
    let once = JoinWindows::within(Duration::ZERO).grace(hour);
    let visits = SessionWindows::with_gap(hour).no_grace();
    let met = records.join("met", &records, once, |key: &String, _: &String| key.clone());
    met.group_by(|_, key| key.clone())
        .windowed_by(visits)
        .count("visits")
        .suppress("held", Suppress::until_time_limit(Duration::ZERO))
        .updates()
        .map(|visit, count| (visit.key, count))
        .map_async(Async::by_key(32), |_, count| later(count, 10))
        .repartition("by-key")
        .to_table("counted")
        .join_foreign("named", &rows, |key, _| Some(key.clone()), |count, _| *count)
        .updates()
        .to(options.output.as_str());
}

fn config(options: &Options) -> StreamsConfig {
    let mut config = StreamsConfig::new(options.application_id.as_str())
        .bootstrap_servers(options.bootstrap.as_str())
        .state_dir(options.state_dir.clone())
        .commit_interval_ms(options.commit_ms)
        .cache_bytes_max(options.cache_bytes)
        .num_stream_threads(options.workers)
        .session_timeout_ms(options.session_ms)
        .transaction_timeout_ms(options.transaction_ms)
        .close_timeout_ms(options.close_ms)
        .prefetch_bytes_max(options.prefetch_bytes)
        .metadata_max_age_ms(options.metadata_ms);
    for (name, value) in options.kafka.iter().filter_map(|setting| setting.split_once('=')) {
        config.kafka.all.insert(name, value);
    }
    if options.exactly_once {
        config = config.processing_guarantee(ProcessingGuarantee::ExactlyOnceV2);
    }
    if options.consumer_protocol {
        config = config.group_protocol(GroupProtocol::Consumer);
    }
    config
}

fn parse_step(text: &str) -> anyhow::Result<(CommitStep, u32)> {
    let (step, times) = text.split_once(':').context("STEP:N")?;
    let step = match step {
        "offsets-sent" => CommitStep::OffsetsSent,
        "ending" => CommitStep::Ending,
        "ended" => CommitStep::Ended,
        "applying" => CommitStep::Applying,
        other => bail!("there is no step {other}"),
    };
    Ok((step, times.parse()?))
}
