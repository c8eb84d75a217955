//! What librdkafka tells on its own: rebalances, statistics, errors, log lines.
//!
//! The callbacks only note things down. A rebalance is answered by [`super::membership`] after
//! the poll has returned, with the listener at hand: librdkafka waits for the answer, not for the
//! callback.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::deadline::now;
use super::lag::Reports;
use super::queue::Identity;
use crate::log::TopicPartition;

/// Every consumer of this module: members, readers, and those that only ask.
pub(super) type Consumer = BaseConsumer<ConsumerEvents>;

/// A lock whose owner panicked still holds whole values here.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The group's wish, to be answered by assigning or unassigning.
#[derive(Clone, Debug)]
pub(super) enum Rebalance {
    /// These were added.
    Assign(Vec<TopicPartition>),
    /// These go away; `lost` if they are gone already.
    Revoke {
        /// The partitions.
        partitions: Vec<TopicPartition>,
        /// True if they are gone already.
        lost: bool,
    },
}

/// The callbacks of a consumer.
#[derive(Debug, Default)]
pub(super) struct ConsumerEvents {
    /// Rebalances that wait for an answer.
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// Set when nobody listens any more: rebalances are answered right in the callback.
    closing: AtomicBool,
    /// What statistics say of fetch positions.
    pub(super) reports: Reports,
    noise: Noise,
}

impl ConsumerEvents {
    /// The oldest rebalance that waits for an answer; it waits until `answered`.
    pub(super) fn next_rebalance(&self) -> Option<Rebalance> {
        locked(&self.rebalances).front().cloned()
    }

    /// The oldest rebalance has its answer.
    pub(super) fn answered(&self) {
        locked(&self.rebalances).pop_front();
    }

    /// From now on rebalances are answered without a listener.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// What the client said with its last error.
    pub(super) fn said(&self) -> String {
        locked(&self.noise.last).as_ref().map_or_else(String::new, |last| last.text.clone())
    }
}

impl ClientContext for ConsumerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.reports.take(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.noise.error(&error, reason);
    }
}

impl ConsumerContext for ConsumerEvents {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let partitions = partitions_of(list);
        let rebalance = if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            Rebalance::Assign(partitions)
        } else {
            // A member that was put out while the group rebalanced is told to give back what it
            // has lost already.
            let member = Identity::of(consumer).is_some_and(|identity| identity.is_member());
            Rebalance::Revoke { partitions, lost: !member || consumer.assignment_lost() }
        };
        if self.closing.load(Ordering::Acquire) {
            decline(consumer, &rebalance);
        } else {
            locked(&self.rebalances).push_back(rebalance);
        }
    }
}

/// True if assignments change by what is added and removed, and not as a whole.
pub(super) fn is_incremental(consumer: &Consumer) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Answers a rebalance for nobody: nothing is taken, everything is given back. An unanswered one
/// would keep the client from ever closing.
pub(super) fn decline(consumer: &Consumer, rebalance: &Rebalance) {
    let incremental = is_incremental(consumer);
    let answer = match rebalance {
        Rebalance::Assign(_) if incremental => {
            consumer.incremental_assign(&TopicPartitionList::new())
        }
        Rebalance::Revoke { partitions, .. } if incremental => {
            consumer.incremental_unassign(&list_of(partitions))
        }
        Rebalance::Assign(_) => consumer.assign(&TopicPartitionList::new()),
        Rebalance::Revoke { .. } => consumer.unassign(),
    };
    if let Err(error) = answer {
        tracing::debug!(%error, "a rebalance was not declined");
    }
}

/// Partitions as the client wants them.
pub(super) fn list_of(partitions: &[TopicPartition]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(partitions.len());
    for partition in partitions {
        list.add_partition(&partition.topic, partition.partition);
    }
    list
}

fn partitions_of(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|e| TopicPartition::new(e.topic(), e.partition())).collect()
}

/// The callbacks of a producer's client.
#[derive(Debug, Default)]
pub(super) struct ProducerEvents {
    noise: Noise,
}

impl ClientContext for ProducerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.noise.error(&error, reason);
    }
}

/// The callbacks of a client that only administers.
#[derive(Debug, Default)]
pub(super) struct AdminEvents;

impl ClientContext for AdminEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
    }
}

/// Keeps a broker that is down to one line in a while.
#[derive(Default)]
struct Noise {
    last: Mutex<Option<Said>>,
}

struct Said {
    code: Option<Code>,
    text: String,
    at: Instant,
}

/// So long the same error is not logged again.
const SAME_ERROR: Duration = Duration::from_secs(30);

impl Noise {
    fn error(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let mut last = locked(&self.last);
        let known = last.as_ref().is_some_and(|l| l.code == code && l.at.elapsed() < SAME_ERROR);
        let at = match last.take() {
            Some(said) if known => said.at,
            _ => now(),
        };
        *last = Some(Said { code, text: reason.to_owned(), at });
        drop(last);
        if known {
            tracing::debug!(target: "librdkafka", %error, reason, "client error, again");
        } else {
            tracing::warn!(target: "librdkafka", %error, reason, "client error");
        }
    }
}

impl fmt::Debug for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Noise")
    }
}

fn log_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let say = match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => say_error,
        RDKafkaLogLevel::Warning => say_warning,
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => say_info,
        RDKafkaLogLevel::Debug => say_debug,
    };
    say(facility, message);
}

fn say_error(facility: &str, message: &str) {
    tracing::error!(target: "librdkafka", facility, "{message}");
}

fn say_warning(facility: &str, message: &str) {
    tracing::warn!(target: "librdkafka", facility, "{message}");
}

fn say_info(facility: &str, message: &str) {
    tracing::info!(target: "librdkafka", facility, "{message}");
}

fn say_debug(facility: &str, message: &str) {
    tracing::debug!(target: "librdkafka", facility, "{message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_reason_of_the_client_is_remembered() {
        let events = ConsumerEvents::default();
        assert_eq!(events.said(), "");
        events.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        events.error(KafkaError::Global(Code::AllBrokersDown), "still down");
        assert_eq!(events.said(), "still down");
    }
}
