//! The producer of one worker, and with `exactly_once` its transactions.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::{ClientContext, TopicPartitionList};

use super::Options;
use crate::cluster::Cluster;
use crate::native::{self, OutTopic};
use crate::workload::Guarantee;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Remembers that a record was not delivered; the next commit then fails.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    failed: AtomicBool,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        if result.is_err() {
            self.failed.store(true, Ordering::Release);
        }
    }
}

/// A topic of the outbox.
pub(super) type Topic = OutTopic<Deliveries>;

/// What a worker writes goes through here.
pub(super) struct Outbox {
    producer: Arc<BaseProducer<Deliveries>>,
    transactional: bool,
    outputs: Vec<String>,
    application: String,
}

impl Outbox {
    pub(super) fn open(options: &Options, worker: usize) -> Result<Self> {
        let transactional = options.guarantee == Guarantee::ExactlyOnce;
        let mut config = Cluster::at(&options.bootstrap).client();
        config
            .set("enable.idempotence", "true")
            .set("compression.type", &options.settings.compression)
            .set("linger.ms", options.settings.linger.as_millis().to_string())
            .set("partitioner", "murmur2_random")
            // Without reports of success nothing has to be polled: a flush tells that all is acknowledged.
            .set("delivery.report.only.error", "true")
            .set("queue.buffering.max.messages", "500000")
            .set("queue.buffering.max.kbytes", "131072");
        if transactional {
            config.set("transactional.id", format!("{}-{worker}", options.application));
        }
        let producer: Arc<BaseProducer<Deliveries>> =
            Arc::new(config.create_with_context(Deliveries::default())?);
        if transactional {
            producer.init_transactions(TIMEOUT)?;
        }
        let outputs = options.workload.outputs(&options.application);
        let application = options.application.clone();
        Ok(Self { producer, transactional, outputs, application })
    }

    /// The only output of a workload that has one.
    pub(super) fn output(&self) -> Result<Topic> {
        self.output_of(0)
    }

    /// One of several outputs, in the order of `Workload::outputs`.
    pub(super) fn output_of(&self, index: usize) -> Result<Topic> {
        self.topic(self.outputs.get(index).context("the workload has no such output")?)
    }

    pub(super) fn changelog(&self, store: &str) -> Result<Topic> {
        self.topic(&format!("{}-{store}-changelog", self.application))
    }

    pub(super) fn topic(&self, name: &str) -> Result<Topic> {
        OutTopic::of(&self.producer, name)
    }

    /// Queues a record; waits while the queue is full.
    pub(super) fn send(
        &self,
        topic: &Topic,
        partition: Option<i32>,
        (key, value, timestamp): (&[u8], &[u8], i64),
    ) -> Result<()> {
        while let Err(code) = topic.produce(partition, key, value, timestamp) {
            if code != RDKafkaErrorCode::QueueFull {
                bail!("a record could not be queued: {code}");
            }
            self.producer.poll(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Opens a transaction, if that is the guarantee.
    pub(super) fn begin(&self) -> Result<()> {
        if self.transactional {
            self.producer.begin_transaction()?;
        }
        Ok(())
    }

    /// Waits until everything is acknowledged, then commits the offsets.
    pub(super) fn commit(
        &self,
        consumer: &BaseConsumer,
        offsets: &TopicPartitionList,
    ) -> Result<()> {
        native::flush(&self.producer, TIMEOUT)?;
        self.producer.poll(Duration::ZERO);
        if self.producer.context().failed.load(Ordering::Acquire) {
            bail!("a record was not delivered");
        }
        if !self.transactional {
            return Ok(consumer.commit(offsets, CommitMode::Sync)?);
        }
        let group = consumer.group_metadata().context("the consumer has no group")?;
        self.producer.send_offsets_to_transaction(offsets, &group, TIMEOUT)?;
        Ok(self.producer.commit_transaction(TIMEOUT)?)
    }
}
