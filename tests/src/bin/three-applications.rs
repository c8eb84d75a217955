//! The process that the broker suite kills: three applications on one embedded log, each reading what the one before
//! it wrote, and a producer.
//!
//! ```text
//!   raw ─► clean ─► [counts] ─► counts ─► every tenth ─► tens
//! ```
//!
//! It prints a line when something happens that a test waits for: `counted N` for each 500 that were ever counted, and
//! `complete` when everything that was ever sent is counted.

#![expect(clippy::print_stdout, reason = "the test that started this process reads its lines")]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Parser;
use millstream::client::{Assignment, Consumer, Producer};
use millstream::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millstream::log::{Log, NewTopic};
use millstream::record::{Record, Timestamp};
use millstream::{ProcessingGuarantee, Streams, StreamsBuilder, StreamsConfig, Topology};

const TOPICS: [&str; 4] = ["raw", "clean", "counts", "tens"];
/// Sent between two looks at what is counted.
const BURST: u64 = 20;
/// Counted between two lines.
const TOLD_EACH: usize = 500;

#[derive(Debug, Parser)]
struct Options {
    #[arg(long)]
    state_dir: PathBuf,
    /// Sends so many records.
    #[arg(long)]
    records: u64,
}

fn topology(application: &str) -> anyhow::Result<Topology> {
    let builder = StreamsBuilder::new();
    match application {
        "clean" => builder.stream::<String, i64>("raw").map_values(i64::abs).to("clean"),
        "count" => {
            let clean = builder.stream::<String, i64>("clean").group_by_key();
            clean.count("counts").updates().to("counts");
        }
        _ => builder.stream::<String, i64>("counts").filter(|_, count| count % 10 == 0).to("tens"),
    }
    Ok(builder.build()?)
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let directory = options.state_dir.join("log");
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(directory, EmbeddedOptions::default())?);
    if log.describe(&TOPICS)?.iter().any(Option::is_none) {
        log.create(&TOPICS.map(|name| NewTopic::new(name, 3)))?;
    }
    let start = |application: &str| -> anyhow::Result<Streams> {
        let config = StreamsConfig::new(application)
            .state_dir(&options.state_dir)
            .processing_guarantee(ProcessingGuarantee::ExactlyOnceV2)
            .commit_interval_ms(30)
            .cache_bytes_max(0_usize);
        Ok(Streams::with(topology(application)?, config).log(Arc::clone(&log)).start()?)
    };
    let applications = [start("clean")?, start("count")?, start("tens")?];
    std::thread::scope(|scope| {
        // Each hears the signal; one after the other they would need one each.
        let ends = applications.map(|streams| scope.spawn(|| streams.run_until_signal()));
        let mut counted = Counted::from_the_first(&log)?;
        produce(&log, options.records, &mut counted)?;
        counted.wait_for_all(&log)?;
        println!("complete");
        ends.into_iter().try_for_each(|end| {
            Ok(end.join().map_err(|_| anyhow!("a thread of an application died"))??)
        })
    })
}

fn produce(log: &Arc<dyn Log>, records: u64, counted: &mut Counted) -> anyhow::Result<()> {
    let mut producer = Producer::<String, i64>::open(log, "raw")?;
    for sent in 1..=records {
        let value = i64::try_from(sent)?;
        producer.send(Record::new(format!("key-{}", sent % 7), -value, Timestamp(value)))?;
        if sent % BURST == 0 {
            producer.flush()?;
            counted.look(Duration::ZERO)?;
        }
    }
    Ok(producer.close()?)
}

/// What is counted of all that was ever sent.
struct Counted {
    counts: Consumer<String, i64>,
    seen: usize,
}

impl Counted {
    fn from_the_first(log: &Arc<dyn Log>) -> anyhow::Result<Self> {
        let assignment = Assignment::<String, i64>::from("counts").from_beginning();
        Ok(Self { counts: Consumer::open(log, assignment)?, seen: 0 })
    }

    fn look(&mut self, most: Duration) -> anyhow::Result<()> {
        let told = self.seen / TOLD_EACH;
        self.seen += self.counts.poll(most).context("counts")?.len();
        for more in told + 1..=self.seen / TOLD_EACH {
            println!("counted {}", more * TOLD_EACH);
        }
        Ok(())
    }

    /// Each record that was sent makes one count.
    fn wait_for_all(mut self, log: &Arc<dyn Log>) -> anyhow::Result<()> {
        let assignment = Assignment::<String, i64>::from("raw").from_beginning();
        let mut raw = Consumer::open(log, assignment)?;
        let wanted = raw.read_to_end(Duration::from_secs(60))?.len();
        while self.seen < wanted {
            self.look(Duration::from_millis(200))?;
        }
        Ok(())
    }
}
