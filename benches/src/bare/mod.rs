//! The engine `bare`: what a good programmer writes by hand on the client, with hash maps and without a framework.
//!
//! It is the ceiling of the comparison. Two workers pull batches from the queues of their partitions; each second a worker
//! writes what changed to the changelog and to the output, waits until it is acknowledged, and commits the offsets (with
//! `exactly_once` all of it in one transaction). It starts from nothing and never restores: it measures, it is no product.

mod outbox;
mod slots;
mod stateless;
mod count;
mod window;
mod totals;
mod worker;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::cluster::Cluster;
use crate::native::{Batch, Bell, PartitionQueue};
use crate::settings::Settings;
use crate::workload::{Guarantee, Workload};
use outbox::Outbox;
use worker::{Source, Worker};

/// What the engine is told on its command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address of the broker.
    pub bootstrap: String,
    /// What to do.
    pub workload: Workload,
    /// What to promise.
    pub guarantee: Guarantee,
    /// Topic of the invoices.
    pub input: String,
    /// Name of the group, and start of the names of all its topics.
    pub application: String,
    /// What all engines share.
    pub settings: Settings,
}

/// What is done with the records of one partition.
trait Work: Send {
    /// Takes in a batch.
    fn process(&mut self, batch: &Batch<'_>, outbox: &Outbox) -> Result<()>;

    /// Writes what has changed since the last commit, just before the next.
    fn flush(&mut self, _outbox: &Outbox) -> Result<()> {
        Ok(())
    }
}

/// The topics of one kind that are read, and what is done with each of their partitions.
struct Stage {
    topic: String,
    make: fn(&Options, partition: i32, &Outbox) -> Result<Box<dyn Work>>,
}

/// Runs until the process is ended from outside, or something fails.
pub fn run(options: &Options) -> Result<()> {
    let cluster = Cluster::at(&options.bootstrap);
    let topics = cluster.topics()?;
    let partitions = *topics.get(&options.input).context("the input topic does not exist")?;
    for topic in internal_topics(options) {
        cluster.create_topic(&topic, partitions)?;
    }
    let consumer = Arc::new(consumer(&cluster, options)?);
    let mut workers = workers(&consumer, options, partitions)?;
    let mut assignment = TopicPartitionList::new();
    for source in workers.iter().flat_map(|worker| &worker.sources) {
        assignment.add_partition_offset(&source.topic, source.partition, Offset::Stored)?;
    }
    consumer.assign(&assignment)?;
    for worker in workers.drain(..) {
        thread::Builder::new().name("worker".to_owned()).spawn(move || {
            let error = worker.run();
            tell_and_exit(&error);
        })?;
    }
    loop {
        // Records come by the partitions' own queues, so only errors and answers arrive here.
        if let Some(event) = consumer.poll(Duration::from_secs(1)) {
            event.map_err(|error| anyhow!(error)).context("the consumer failed")?;
        }
    }
}

/// A worker that has failed takes the process along: half an engine would never finish.
#[expect(clippy::print_stderr, reason = "this is the end of a command-line program")]
fn tell_and_exit(error: &anyhow::Error) -> ! {
    eprintln!("worker failed: {error:#}");
    std::process::exit(1);
}

fn consumer(cluster: &Cluster, options: &Options) -> Result<BaseConsumer> {
    let isolation = match options.guarantee {
        Guarantee::AtLeastOnce => "read_uncommitted",
        Guarantee::ExactlyOnce => "read_committed",
    };
    let mut config = cluster.client();
    config
        .set("group.id", &options.application)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", isolation)
        // A full local queue stops fetching for this long; the default of a second costs a factor of three.
        .set("fetch.queue.backoff.ms", "20")
        .set("queued.max.messages.kbytes", "16384");
    Ok(config.create()?)
}

fn workers(
    consumer: &Arc<BaseConsumer>,
    options: &Options,
    partitions: i32,
) -> Result<Vec<Worker>> {
    let threads = options.settings.threads.max(1);
    let mut workers = Vec::with_capacity(threads);
    for index in 0..threads {
        let bell = Arc::new(Bell::default());
        let outbox = Outbox::open(options, index)?;
        let mut sources = Vec::new();
        for stage in stages(options)? {
            for partition in (0..partitions).skip(index).step_by(threads) {
                let queue = PartitionQueue::take(consumer, &stage.topic, partition, &bell)?;
                let work = (stage.make)(options, partition, &outbox)?;
                sources.push(Source::new(stage.topic.clone(), partition, queue, work));
            }
        }
        let interval = options.settings.commit_interval;
        workers.push(Worker { sources, outbox, bell, consumer: Arc::clone(consumer), interval });
    }
    Ok(workers)
}

fn stages(options: &Options) -> Result<Vec<Stage>> {
    let input = options.input.clone();
    let stages = match options.workload {
        Workload::Stateless => vec![Stage { topic: input, make: stateless::make }],
        Workload::Count => vec![Stage { topic: input, make: count::make }],
        Workload::Window => vec![Stage { topic: input, make: window::make }],
        Workload::InvoiceTotals => vec![
            Stage { topic: input, make: totals::make_rekey },
            Stage { topic: totals::all_topic(options), make: totals::make_windows },
            Stage { topic: totals::client_topic(options), make: totals::make_clients },
        ],
        Workload::JoinStreams | Workload::JoinTable | Workload::Session | Workload::ForeignJoin => {
            bail!("{} is not written by hand", options.workload)
        }
    };
    Ok(stages)
}

fn internal_topics(options: &Options) -> Vec<String> {
    let name = |name: &str| format!("{}-{name}-changelog", options.application);
    match options.workload {
        Workload::Stateless
        | Workload::JoinStreams
        | Workload::JoinTable
        | Workload::Session
        | Workload::ForeignJoin => Vec::new(),
        Workload::Count => vec![name(count::STORE)],
        Workload::Window => vec![name(window::STORE)],
        Workload::InvoiceTotals => vec![
            totals::all_topic(options),
            totals::client_topic(options),
            name(totals::WINDOWS),
            name(totals::CLIENTS),
        ],
    }
}
