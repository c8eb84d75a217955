//! The logs under test.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use millstream::log::embedded::{EmbeddedLog, EmbeddedOptions};
use millstream::log::kafka::{GroupProtocol, KafkaLog, KafkaSettings};
use millstream::log::memory::MemoryLog;
use millstream::log::{Log, TopicPartition};
use millstream_tests::kafka::Broker;
use tempfile::TempDir;

/// A log, and what a test can do to it from outside.
pub(crate) trait LogUnderTest {
    /// The log.
    fn log(&self) -> Arc<dyn Log>;

    /// Lets time pass where it does not pass by itself.
    fn pass(&self, _time: Duration) {}

    /// Keeps the ends of transactions from a partition; false if that cannot be had.
    fn hold_markers(&self, _at: &TopicPartition) -> Result<bool> {
        Ok(false)
    }

    /// Lets the partition know of them.
    fn release_markers(&self, _at: &TopicPartition) -> Result<()> {
        Ok(())
    }

    /// What its clock shows, in milliseconds.
    fn now(&self) -> i64 {
        system_now()
    }

    /// Gives a topic more partitions.
    fn add_partitions(&self, topic: &str, partitions: i32) -> Result<()>;

    /// Ends the sessions of all members of a group; false if that cannot be had.
    fn end_sessions(&self, _group: &str) -> bool {
        false
    }
}

#[expect(clippy::disallowed_methods, reason = "a broker checks times by the system's clock")]
fn system_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}

/// The memory log.
pub(crate) struct Memory(MemoryLog);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(MemoryLog::new())
    }
}

impl LogUnderTest for Memory {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.0.clone())
    }

    fn add_partitions(&self, topic: &str, partitions: i32) -> Result<()> {
        Ok(self.0.add_partitions(topic, partitions)?)
    }

    fn pass(&self, time: Duration) {
        self.0.advance(time);
    }

    fn hold_markers(&self, at: &TopicPartition) -> Result<bool> {
        self.0.hold_markers(at)?;
        Ok(true)
    }

    fn release_markers(&self, at: &TopicPartition) -> Result<()> {
        Ok(self.0.release_markers(at)?)
    }

    fn now(&self) -> i64 {
        self.0.now()
    }

    fn end_sessions(&self, group: &str) -> bool {
        self.0.end_sessions(group);
        true
    }
}

/// A real Kafka, with one of its group protocols.
pub(crate) struct Kafka {
    log: Arc<KafkaLog>,
    broker: Arc<Broker>,
}

impl Kafka {
    pub(crate) fn new(protocol: GroupProtocol) -> Result<Self> {
        let broker = Broker::shared()?;
        let mut settings = KafkaSettings::new(broker.bootstrap(), "contract");
        settings.group_protocol = protocol;
        settings.session_timeout = Duration::from_secs(6);
        // By default a client looks for new partitions every five minutes.
        settings.consumer.insert("topic.metadata.refresh.interval.ms", "1000");
        Ok(Self { log: Arc::new(KafkaLog::new(settings)?), broker })
    }
}

impl LogUnderTest for Kafka {
    fn log(&self) -> Arc<dyn Log> {
        Arc::<KafkaLog>::clone(&self.log)
    }

    fn add_partitions(&self, topic: &str, partitions: i32) -> Result<()> {
        self.broker.add_partitions(topic, usize::try_from(partitions)?)
    }
}

/// The embedded log.
pub(crate) struct Embedded {
    log: EmbeddedLog,
    /// Removed behind the log.
    _dir: TempDir,
}

impl Embedded {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let log = EmbeddedLog::open(dir.path(), EmbeddedOptions::default())?;
        Ok(Self { log, _dir: dir })
    }
}

impl LogUnderTest for Embedded {
    fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.log.clone())
    }

    fn add_partitions(&self, topic: &str, partitions: i32) -> Result<()> {
        Ok(self.log.add_partitions(topic, partitions)?)
    }
}
