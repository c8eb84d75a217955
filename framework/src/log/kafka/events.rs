//! What librdkafka tells on its own: rebalances, statistics, errors, log lines.
//!
//! Log lines are heard by [`super::listening`]; the callbacks only note things down. A rebalance is answered by [`super::membership`] after
//! the poll has returned, with the listener at hand: librdkafka waits for the answer, not for the
//! callback.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

use super::identity::Identity;
use super::lag::{Brokers, Reports};
use super::listening::{self, Ear};
use super::repeats::{Line, Severity};
use crate::log::locked::locked;
use crate::record::TopicPartition;

/// Every consumer of this module: members, readers, and those that only ask.
pub(super) struct Consumer {
    /// Dropped before the client.
    _ear: Option<Ear>,
    client: NativeConsumer,
}

/// The client as the callbacks see it.
pub(super) type NativeConsumer = BaseConsumer<ConsumerEvents>;

impl Consumer {
    /// Makes the client.
    pub(super) fn open(config: &ClientConfig) -> KafkaResult<Self> {
        Self::with(config, ConsumerEvents::default())
    }

    /// Makes the client of a member, whose brokers are told to others.
    pub(super) fn member(config: &ClientConfig, brokers: &Arc<Brokers>) -> KafkaResult<Self> {
        let reports = Reports::telling(Arc::clone(brokers));
        Self::with(config, ConsumerEvents { reports, ..ConsumerEvents::default() })
    }

    fn with(config: &ClientConfig, events: ConsumerEvents) -> KafkaResult<Self> {
        let client: NativeConsumer = config.create_with_context(events)?;
        Ok(Self { _ear: Ear::on(client.client()), client })
    }
}

impl Deref for Consumer {
    type Target = NativeConsumer;

    fn deref(&self) -> &NativeConsumer {
        &self.client
    }
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
    /// Set when the listener is gone: rebalances are answered right in the callback.
    closing: AtomicBool,
    /// What statistics say of fetch positions.
    pub(super) reports: Reports,
    last: Mutex<Said>,
}

/// What the client said with its errors.
#[derive(Debug, Default)]
struct Said {
    last: String,
    /// With the last one after which trying again is no use.
    refusal: Option<String>,
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
        locked(&self.last).last.clone()
    }

    /// Why the broker (or the client, of the broker) does not accept who is at the other end.
    pub(super) fn refusal(&self) -> Option<String> {
        locked(&self.last).refusal.clone()
    }
}

impl ClientContext for ConsumerEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        say_line(level, facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        self.reports.take(statistics);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut said = locked(&self.last);
        reason.clone_into(&mut said.last);
        if is_refusal(&error, reason) {
            said.refusal = Some(reason.to_owned());
        }
        drop(said);
        say_error(&error, reason);
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
pub(super) fn is_incremental(consumer: &NativeConsumer) -> bool {
    matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative)
}

/// Answers a rebalance without a listener: nothing is taken, everything is given back. An unanswered one
/// would keep the client from ever closing.
pub(super) fn decline(consumer: &NativeConsumer, rebalance: &Rebalance) {
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

/// The callbacks of a client without any that matter: producers, and what administers.
#[derive(Debug, Default)]
pub(super) struct OtherEvents;

impl ClientContext for OtherEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        say_line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        say_error(&error, reason);
    }
}

/// True if the other end is not accepted. A connection that ended early is no refusal: so it
/// looks too when a broker goes away in the middle of a greeting.
fn is_refusal(error: &KafkaError, reason: &str) -> bool {
    match error.rdkafka_error_code() {
        Some(Code::Authentication) => true,
        Some(Code::SSL) => !reason.contains("Disconnected"),
        _ => false,
    }
}

/// What is wrong with a connection is a log line as well, and heard as such at once.
fn say_error(error: &KafkaError, reason: &str) {
    let is_connection = matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::Resolve
                | Code::Authentication
                | Code::SSL
                | Code::OperationTimedOut
        )
    );
    if is_connection {
        tracing::debug!(target: "librdkafka", %error, reason, "client error");
    } else if error.rdkafka_error_code() == Some(Code::AllBrokersDown) {
        // Its counts change all the time and say nothing more.
        listening::say(Line::new(Severity::Warning, "ERROR", "all brokers are down"));
    } else {
        listening::say(Line::new(Severity::Warning, "ERROR", reason));
    }
}

/// Lines from before the client's ear was there.
fn say_line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let severity = match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error => Severity::Error,
        RDKafkaLogLevel::Warning => Severity::Warning,
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => Severity::Info,
        RDKafkaLogLevel::Debug => Severity::Debug,
    };
    listening::say(Line::new(severity, facility, message));
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

    #[test]
    fn a_refusal_is_told_from_a_connection_that_ended() {
        let events = ConsumerEvents::default();
        events.error(KafkaError::Global(Code::BrokerTransportFailure), "connection refused");
        events.error(KafkaError::Global(Code::SSL), "SSL handshake failed: Disconnected");
        assert_eq!(events.refusal(), None);
        events.error(KafkaError::Global(Code::Authentication), "invalid password");
        events.error(KafkaError::Global(Code::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(events.refusal().as_deref(), Some("invalid password"));
        let events = ConsumerEvents::default();
        events.error(KafkaError::Global(Code::SSL), "certificate verify failed");
        assert!(events.refusal().is_some());
    }
}
