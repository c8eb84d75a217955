//! Questions about topics and offsets, and the few changes the runtime makes to topics.
//!
//! The client's administration speaks in futures that its own thread completes; here they are
//! waited for by parking, so that this works with and without an async runtime around.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as NativeNewTopic, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::error;
use super::events::{Consumer, OtherEvents};
use super::listening::Ear;
use super::settings::KafkaSettings;
use crate::error::{Error, Result};
use crate::log::deadline::Deadline;
use crate::log::locked::locked;
use crate::log::{
    Committed, Isolation, NewTopic, OffsetRange, SIZE_BOUND, TIME_BOUNDS, TopicDescription,
};
use crate::record::TopicPartition;

/// The clients that ask and administer, opened when first needed.
pub(super) struct Admin {
    settings: KafkaSettings,
    changing: Mutex<Option<Arc<Changing>>>,
    asking: Mutex<HashMap<Asking, Arc<Consumer>>>,
}

/// The client that changes topics.
pub(super) struct Changing {
    /// Dropped before the client.
    _ear: Option<Ear>,
    pub(super) client: AdminClient<OtherEvents>,
}

/// What a question needs of its client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Asking {
    /// Ends as readers of this isolation see them.
    Ends(bool),
    /// Committed positions of a group.
    Group(String),
}

/// A topic that was just created is known everywhere after a moment; asked for so often.
pub(super) const CREATED_PAUSE: Duration = Duration::from_millis(20);

/// So long one try to reach a broker lasts before it is looked why it does not answer.
const ASK_STEP: Duration = Duration::from_secs(1);

/// A position that is part of an open transaction may stay so for long: the caller asks again.
const COMMITTED_PATIENCE: Duration = Duration::from_secs(2);

/// Where a broker keeps its transactions: a question about this topic alone is a cheap one.
const TRANSACTIONS_TOPIC: &str = "__transaction_state";
/// Where brokers keep what they note: no source reads them, whatever its pattern.
const BROKERS_TOPICS: [&str; 3] = ["__consumer_offsets", TRANSACTIONS_TOPIC, "__share_group_state"];
/// A broker that does not answer within this is taken for one that is away.
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);

impl Admin {
    /// Opens nothing yet.
    pub(super) fn new(settings: KafkaSettings) -> Self {
        Self { settings, changing: Mutex::default(), asking: Mutex::default() }
    }

    pub(super) fn patience(&self) -> Duration {
        self.settings.request_timeout
    }

    pub(super) fn changing(&self) -> Result<Arc<Changing>> {
        let mut client = locked(&self.changing);
        if let Some(client) = &*client {
            return Ok(Arc::clone(client));
        }
        let opened: AdminClient<OtherEvents> = self
            .settings
            .admin()?
            .create_with_context(OtherEvents)
            .map_err(|error| error::from_client("opening an admin client", None, &error))?;
        let opened = Changing { _ear: Ear::on(opened.inner()), client: opened };
        Ok(Arc::clone(client.insert(Arc::new(opened))))
    }

    pub(super) fn asking(&self, asking: Asking) -> Result<Arc<Consumer>> {
        let mut clients = locked(&self.asking);
        if let Some(client) = clients.get(&asking) {
            // Nobody else serves its events; they would pile up.
            while client.poll(Duration::ZERO).is_some() {}
            return Ok(Arc::clone(client));
        }
        let config = match &asking {
            Asking::Ends(false) => self.settings.asking(Isolation::ReadUncommitted, None)?,
            Asking::Ends(true) => self.settings.asking(Isolation::ReadCommitted, None)?,
            Asking::Group(group) => {
                self.settings.asking(Isolation::ReadCommitted, Some(group.as_str()))?
            }
        };
        let opened = Consumer::open(&config)
            .map_err(|error| error::from_client("opening a client", None, &error))?;
        opened.context().close();
        let opened = Arc::new(opened);
        clients.insert(asking, Arc::clone(&opened));
        Ok(opened)
    }

    /// Describes a topic; `None` if it does not exist.
    pub(super) fn describe(&self, topic: &str) -> Result<Option<TopicDescription>> {
        let client = self.asking(Asking::Ends(false))?;
        let what = format!("description of {topic}");
        let metadata = self.ask_for_metadata(&client, Some(topic), &what)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(Code::from) {
            None if found.partitions().is_empty() => Ok(None),
            None => Ok(Some(TopicDescription {
                name: topic.to_owned(),
                partitions: i32::try_from(found.partitions().len()).unwrap_or(i32::MAX),
            })),
            Some(Code::UnknownTopicOrPartition | Code::UnknownTopic) => Ok(None),
            Some(code) => Err(error::from_code(&what, Some(topic), code, "")),
        }
    }

    /// The names of all topics that are not the broker's own.
    pub(super) fn topics(&self) -> Result<Vec<String>> {
        let client = self.asking(Asking::Ends(false))?;
        let metadata = self.ask_for_metadata(&client, None, "the list of topics")?;
        let known = metadata.topics().iter().filter(|topic| topic.error().is_none());
        let mut names: Vec<String> = known
            .map(|topic| topic.name().to_owned())
            .filter(|name| !BROKERS_TOPICS.contains(&name.as_str()))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Asks in steps: it is the first thing an instance asks, and a broker that refuses who asks
    /// would be waited for in vain.
    fn ask_for_metadata(
        &self,
        client: &Consumer,
        topic: Option<&str>,
        what: &str,
    ) -> Result<Metadata> {
        let deadline = Deadline::after(self.patience());
        loop {
            let failed = match client.fetch_metadata(topic, deadline.left().min(ASK_STEP)) {
                Ok(metadata) => return Ok(metadata),
                Err(failed) => failed,
            };
            while client.poll(Duration::ZERO).is_some() {}
            if let Some(reason) = client.context().refusal() {
                return Err(Error::Fatal { what: "connecting to the cluster".to_owned(), reason });
            }
            let error = error::from_client(what, topic, &failed);
            if deadline.passed() || !matches!(error, Error::Unavailable { .. }) {
                return Err(error);
            }
        }
    }

    /// The cluster's id, once a broker has answered.
    pub(super) fn cluster_id(&self) -> Result<Option<String>> {
        let client = self.asking(Asking::Ends(false))?;
        // Answers with what is known already, or waits for the first answer of a broker.
        self.ask_for_metadata(&client, Some(TRANSACTIONS_TOPIC), "the id of the cluster")?;
        Ok(client.client().fetch_cluster_id(ANSWER_PATIENCE))
    }

    /// True if a broker answers now.
    pub(super) fn is_answered(&self) -> bool {
        self.asking(Asking::Ends(false)).is_ok_and(|client| {
            let patience = self.patience().min(ANSWER_PATIENCE);
            client.fetch_metadata(Some(TRANSACTIONS_TOPIC), patience).is_ok()
        })
    }

    /// Creates topics and waits until they are known.
    pub(super) fn create(&self, topics: &[NewTopic]) -> Result<()> {
        let again = self.try_create(topics)?;
        let again = self.try_create(&again)?;
        if let Some(topic) = again.first() {
            let reason = "the broker refuses its settings".to_owned();
            return Err(Error::Topic { topic: topic.name.clone(), reason });
        }
        let deadline = Deadline::after(self.patience());
        for topic in topics {
            while self.describe(&topic.name)?.is_none() {
                if deadline.passed() {
                    return Err(Error::Unavailable {
                        what: format!("creation of {}", topic.name),
                        reason: "the topic is created but not known yet".to_owned(),
                    });
                }
                deadline.rest(CREATED_PAUSE);
            }
        }
        Ok(())
    }

    /// Asks for topics. Returns those that were refused for settings which an older broker does
    /// not know or a hosted one does not allow, without these settings.
    fn try_create(&self, topics: &[NewTopic]) -> Result<Vec<NewTopic>> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        let client = self.changing()?;
        let wanted: Vec<NativeNewTopic<'_>> = topics
            .iter()
            .map(|topic| {
                let replication = TopicReplication::Fixed(i32::from(topic.replication_factor));
                let new = NativeNewTopic::new(&topic.name, topic.partitions, replication);
                topic.config.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let results = wait(client.client.create_topics(&wanted, &self.options()))
            .map_err(|error| self.admin_error("creation of topics", &error))?;
        let mut again = Vec::new();
        for result in results {
            match result {
                Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let refused = matches!(code, Code::InvalidConfig | Code::PolicyViolation);
                    let asked = topics.iter().filter(|asked| refused && asked.name == topic);
                    if let Some(without) = asked.filter_map(without_bounds).next() {
                        again.push(without);
                        continue;
                    }
                    return Err(error::topic_refused("creation", topic, code));
                }
            }
        }
        Ok(again)
    }

    /// Deletes the records below an offset of each partition.
    pub(super) fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<()> {
        if before.is_empty() {
            return Ok(());
        }
        let what = "deletion of records";
        let client = self.changing()?;
        let mut list = TopicPartitionList::with_capacity(before.len());
        for (partition, offset) in before {
            list.add_partition_offset(
                &partition.topic,
                partition.partition,
                Offset::Offset(*offset),
            )
            .map_err(|error| error::from_client(what, Some(&partition.topic), &error))?;
        }
        let results = wait(client.client.delete_records(&list, &self.options()))
            .map_err(|error| self.admin_error(what, &error))?;
        for element in results.elements() {
            let Err(error) = element.error() else { continue };
            let partition = TopicPartition::new(element.topic(), element.partition());
            let asked = before.iter().find(|(p, _)| *p == partition).map_or(-1, |(_, o)| *o);
            return Err(match error.rdkafka_error_code() {
                Some(Code::OffsetOutOfRange) => {
                    Error::OffsetOutOfRange { partition, offset: asked }
                }
                _ => {
                    let what = format!("{what} of {partition}");
                    error::from_client(&what, Some(&partition.topic), &error)
                }
            });
        }
        Ok(())
    }

    /// The first offset and the end of a partition.
    pub(super) fn offsets(
        &self,
        partition: &TopicPartition,
        isolation: Isolation,
    ) -> Result<OffsetRange> {
        let client = self.asking(Asking::Ends(isolation == Isolation::ReadCommitted))?;
        let (topic, number) = (&*partition.topic, partition.partition);
        let ask = || client.fetch_watermarks(topic, number, self.patience());
        let (earliest, end) = self.ask_again_if_new(&client, topic, ask).map_err(|error| {
            let what = format!("offsets of {partition}");
            match error.rdkafka_error_code() {
                Some(code) => error::from_reading(&what, topic, code, ""),
                None => error::from_client(&what, Some(topic), &error),
            }
        })?;
        Ok(OffsetRange { earliest, end })
    }

    /// Asks once more for what the client does not know: a partition that was added after it had
    /// last looked at the topic, which it does every five minutes.
    fn ask_again_if_new<T>(
        &self,
        client: &Consumer,
        topic: &str,
        ask: impl Fn() -> KafkaResult<T>,
    ) -> KafkaResult<T> {
        ask().or_else(|error| {
            let code = error.rdkafka_error_code();
            if !matches!(code, Some(Code::UnknownPartition | Code::UnknownTopicOrPartition)) {
                return Err(error);
            }
            client.fetch_metadata(Some(topic), self.patience())?;
            ask()
        })
    }

    /// The first offset whose record is not older than `timestamp`.
    pub(super) fn offset_at(
        &self,
        partition: &TopicPartition,
        timestamp: i64,
    ) -> Result<Option<i64>> {
        let client = self.asking(Asking::Ends(false))?;
        let what = format!("offset of {partition} at {timestamp}");
        let failed = |error: &KafkaError| error::from_client(&what, Some(&partition.topic), error);
        let mut list = TopicPartitionList::with_capacity(1);
        let at = Offset::Offset(timestamp.max(0));
        list.add_partition_offset(&partition.topic, partition.partition, at)
            .map_err(|error| failed(&error))?;
        let ask = || client.offsets_for_times(list.clone(), self.patience());
        let found = self
            .ask_again_if_new(&client, &partition.topic, ask)
            .map_err(|error| failed(&error))?;
        let elements = found.elements();
        let Some(element) = elements.first() else { return Ok(None) };
        element.error().map_err(|error| failed(&error))?;
        match element.offset() {
            Offset::Offset(offset) => Ok(Some(offset)),
            _ => Ok(None),
        }
    }

    /// The committed positions of a group; only stable ones.
    pub(super) fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let what = format!("committed positions of group {group}");
        let client = self.asking(Asking::Group(group.to_owned()))?;
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&partition.topic, partition.partition);
        }
        let patience = self.patience().min(COMMITTED_PATIENCE);
        let found = client
            .committed_offsets(list, patience)
            .map_err(|error| error::from_client(&what, None, &error))?;
        let mut all = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let element = found.find_partition(&partition.topic, partition.partition);
            let Some(element) = element else {
                all.push(None);
                continue;
            };
            match element.error().map_err(|error| error.rdkafka_error_code()) {
                // A topic that does not exist has no positions.
                Err(Some(Code::UnknownTopicOrPartition)) => all.push(None),
                Err(code) => {
                    let code = code.unwrap_or(Code::Fail);
                    return Err(error::from_code(&what, Some(&partition.topic), code, ""));
                }
                Ok(()) => all.push(match element.offset() {
                    Offset::Offset(offset) => {
                        Some(Committed { offset, metadata: element.metadata().to_owned() })
                    }
                    _ => None,
                }),
            }
        }
        Ok(all)
    }

    pub(super) fn options(&self) -> AdminOptions {
        let patience = Some(self.patience());
        AdminOptions::new().request_timeout(patience).operation_timeout(patience)
    }

    pub(super) fn admin_error(&self, what: &str, error: &KafkaError) -> Error {
        error::from_client(what, None, error)
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Admin")
    }
}

/// The topic without bounds of its records, if it has any. Kafka knows those of timestamps since 3.6;
/// before that it has the widest. A hosted one may forbid the one of sizes.
fn without_bounds(topic: &NewTopic) -> Option<NewTopic> {
    let mut without = topic.clone();
    without.config.retain(|(name, _)| !TIME_BOUNDS.contains(&name.as_str()) && name != SIZE_BOUND);
    (without.config.len() < topic.config.len()).then_some(without)
}

/// Wakes the thread that waits for a future.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future that somebody else's thread completes.
pub(super) fn wait<T>(future: impl Future<Output = KafkaResult<T>>) -> KafkaResult<T> {
    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(result) => return result,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bounds_are_left_out() {
        let set = |name: &str| (name.to_owned(), "1".to_owned());
        let mut topic = NewTopic {
            name: "t".to_owned(),
            partitions: 1,
            replication_factor: 1,
            config: [TIME_BOUNDS[0], SIZE_BOUND, "retention.ms", TIME_BOUNDS[1]].map(set).to_vec(),
        };
        let without = without_bounds(&topic).expect("it has bounds");
        assert_eq!(without.config, [set("retention.ms")]);
        topic.config = without.config;
        assert_eq!(without_bounds(&topic), None);
    }

    #[test]
    fn a_future_of_another_thread_is_waited_for() {
        let (done, pending) = tokio::sync::oneshot::channel();
        let other = std::thread::spawn(move || done.send(7));
        let waited = wait(async move { pending.await.map_err(|_| KafkaError::Canceled) });
        assert_eq!(waited, Ok(7));
        assert!(other.join().expect("no panic").is_ok());
    }
}
