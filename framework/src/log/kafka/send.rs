//! Handing records to librdkafka's producer, as cheaply as it goes.
//!
//! The safe wrapper looks the topic up by name for each record, allocates a C string for it, wakes
//! the sending thread for each delivery, and flushes in steps of 100 ms. Here a record carries a
//! pointer to its [`Lane`], in which the client's own thread notes how far the partition is
//! acknowledged; only failures are queued; and a flush ends when the last record is. Why it is
//! sound:
//! * Topics and the queue come from this client and are given back before it is destroyed; lanes
//!   are boxed, so they stay where they are, and are dropped after it. The order of the fields of
//!   [`Sender`] is that order.
//! * The client copies key and value before `rd_kafka_producev` returns (`RD_KAFKA_MSG_F_COPY`);
//!   it takes the headers over only if the call succeeds, else they are destroyed here. The
//!   variable arguments are the pairs that librdkafka documents, with exactly those types.
//! * The acknowledgement interceptor is added while the client is made, as required. It runs on
//!   the client's threads and touches only atomics and a lock.
#![expect(unsafe_code, reason = "the safe producer costs too much per record and per commit")]

use std::ffi::{CStr, CString, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext as _};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaType;

use super::error::Refusal;
use super::events::OtherEvents;
use super::identity::Identity;
use super::listening::Ear;
use super::refused::refused;
use super::timestamp::native_timestamp;
use crate::log::locked::locked;
use crate::log::{OutgoingRecord, Refused, TopicHandle};
use crate::record::{Headers, TopicPartition};

/// A producer, the topics it knows, and how far each partition is acknowledged.
pub(super) struct Sender {
    topics: Vec<Topic>,
    events: EventQueue,
    _ear: Option<Ear>,
    client: Client<OtherEvents>,
    /// By topic, then by partition.
    lanes: Vec<Vec<Option<Box<Lane>>>>,
    outcome: Arc<Outcome>,
}

struct Topic {
    name: Arc<str>,
    native: NonNull<native::rd_kafka_topic_t>,
}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: the topic is ours, and its client lives longer.
        unsafe { native::rd_kafka_topic_destroy(self.native.as_ptr()) }
    }
}

struct EventQueue(NonNull<native::rd_kafka_queue_t>);

impl Drop for EventQueue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours, and its client lives longer.
        unsafe { native::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// What the client notes of the records of one partition.
struct Lane {
    partition: TopicPartition,
    acknowledged: AtomicI64,
    outcome: Arc<Outcome>,
}

/// What went wrong since it was asked last.
#[derive(Default)]
struct Outcome {
    failed: AtomicBool,
    first: Mutex<Option<Undelivered>>,
    /// Records that were refused for good.
    refused: Mutex<Vec<Refused>>,
}

/// A record that was not delivered.
#[derive(Clone, Debug)]
pub(super) struct Undelivered {
    /// Where it should have gone.
    pub(super) partition: TopicPartition,
    /// Why not.
    pub(super) code: Code,
}

/// Called by the client for each record when its fate is known.
unsafe extern "C" fn acknowledged(
    _client: *mut native::rd_kafka_t,
    message: *mut native::rd_kafka_message_t,
    _opaque: *mut c_void,
) -> native::rd_kafka_resp_err_t {
    // SAFETY: the message is valid during the call; each was sent with a lane of its sender,
    // which outlives the client.
    unsafe {
        let message = &mut *message;
        if let Some(lane) = message._private.cast::<Lane>().as_ref() {
            if message.err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                lane.acknowledged.fetch_max(message.offset, Ordering::Release);
            } else {
                if let Some(refused) = refused(&lane.partition, message) {
                    refused.add_to(&mut locked(&lane.outcome.refused));
                }
                lane.fail(Code::from(message.err));
            }
        }
    }
    native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// Called by the client while it is made: the only moment to add an interceptor.
unsafe extern "C" fn made(
    client: *mut native::rd_kafka_t,
    _config: *const native::rd_kafka_conf_t,
    _opaque: *mut c_void,
    _error: *mut std::ffi::c_char,
    _error_size: usize,
) -> native::rd_kafka_resp_err_t {
    // SAFETY: the client is valid during the call, the name is a C string with static life.
    unsafe {
        native::rd_kafka_interceptor_add_on_acknowledgement(
            client,
            INTERCEPTOR.as_ptr(),
            Some(acknowledged),
            ptr::null_mut(),
        )
    }
}

const INTERCEPTOR: &CStr = c"millstream";

impl Lane {
    #[cold]
    fn fail(&self, code: Code) {
        let failure = Undelivered { partition: self.partition.clone(), code };
        locked(&self.outcome.first).get_or_insert(failure);
        self.outcome.failed.store(true, Ordering::Release);
    }
}

/// A topic has no more partitions than this in practice; more is a mistake of the caller.
const PARTITIONS_MAX: usize = 1 << 20;

impl Sender {
    /// Makes the client.
    pub(super) fn open(config: &ClientConfig) -> KafkaResult<Self> {
        let native_config = config.create_native_config()?;
        // SAFETY: the configuration is valid, the name is a C string with static life.
        unsafe {
            let events = native::RD_KAFKA_EVENT_DR | native::RD_KAFKA_EVENT_ERROR;
            native::rd_kafka_conf_set_events(native_config.ptr(), events);
            native::rd_kafka_conf_interceptor_add_on_new(
                native_config.ptr(),
                INTERCEPTOR.as_ptr(),
                Some(made),
                ptr::null_mut(),
            );
        }
        let kind = RDKafkaType::RD_KAFKA_PRODUCER;
        let client = Client::new(config, native_config, kind, OtherEvents)?;
        // SAFETY: the client lives; the reference is ours to give back.
        let events = unsafe { native::rd_kafka_queue_get_main(client.native_ptr()) };
        let events = NonNull::new(events).map(EventQueue).ok_or(KafkaError::Canceled)?;
        let (ear, outcome) = (Ear::on(&client), Arc::default());
        Ok(Self { topics: Vec::new(), events, _ear: ear, client, lanes: Vec::new(), outcome })
    }

    /// Why the producer is beyond repair, if it is.
    pub(super) fn fatal(&self) -> Option<(Code, String)> {
        self.client.fatal_error()
    }

    /// Makes a topic known; `None` if the client refuses the name.
    pub(super) fn topic(&mut self, name: &str) -> Option<TopicHandle> {
        let known = self.topics.iter().position(|topic| &*topic.name == name);
        let index = match known {
            Some(index) => index,
            None => {
                let c_name = CString::new(name).ok()?;
                // SAFETY: the client lives; a null configuration is the client's default.
                let topic = unsafe {
                    let client = self.client.native_ptr();
                    native::rd_kafka_topic_new(client, c_name.as_ptr(), ptr::null_mut())
                };
                let native = NonNull::new(topic)?;
                self.topics.push(Topic { name: Arc::from(name), native });
                self.lanes.push(Vec::new());
                self.topics.len() - 1
            }
        };
        u32::try_from(index).ok().map(TopicHandle)
    }

    /// The name of a topic of this producer.
    pub(super) fn name(&self, topic: TopicHandle) -> Option<&str> {
        Some(&self.topics.get(index(topic))?.name)
    }

    /// How far a partition is acknowledged.
    pub(super) fn acknowledged(&self, topic: TopicHandle, partition: i32) -> Option<i64> {
        let partition = usize::try_from(partition).ok()?;
        let lane = self.lanes.get(index(topic))?.get(partition)?.as_ref()?;
        let offset = lane.acknowledged.load(Ordering::Acquire);
        (offset >= 0).then_some(offset)
    }

    fn lane(&mut self, topic: TopicHandle, partition: i32) -> Option<&Lane> {
        let number = usize::try_from(partition).ok().filter(|number| *number < PARTITIONS_MAX)?;
        let lanes = self.lanes.get_mut(index(topic))?;
        if lanes.len() <= number {
            lanes.resize_with(number + 1, || None);
        }
        let slot = lanes.get_mut(number)?;
        if slot.is_none() {
            let name = Arc::clone(&self.topics.get(index(topic))?.name);
            *slot = Some(Box::new(Lane {
                partition: TopicPartition { topic: name, partition },
                acknowledged: AtomicI64::new(-1),
                outcome: Arc::clone(&self.outcome),
            }));
        }
        slot.as_deref()
    }

    /// True if a record was not delivered since the last `take_failure`.
    pub(super) fn has_failed(&self) -> bool {
        self.outcome.failed.load(Ordering::Acquire)
    }

    /// The first failure since the last call.
    pub(super) fn take_failure(&self) -> Option<Undelivered> {
        let mut first = locked(&self.outcome.first);
        self.outcome.failed.store(false, Ordering::Release);
        first.take()
    }

    /// What was refused for good since the last call.
    pub(super) fn take_refused(&self) -> Vec<Refused> {
        std::mem::take(&mut locked(&self.outcome.refused))
    }

    /// Hands a record over; the bytes are copied.
    pub(super) fn enqueue(&mut self, record: &OutgoingRecord<'_>) -> Result<(), Code> {
        let lane = self.lane(record.topic, record.partition).ok_or(Code::UnknownPartition)?;
        let lane = ptr::from_ref(lane).cast_mut();
        let topic = self.topics.get(index(record.topic)).ok_or(Code::UnknownTopic)?;
        let (key, key_len) = parts(record.key);
        let (value, value_len) = parts(record.value);
        let headers = if record.headers.is_empty() {
            ptr::null_mut()
        } else {
            native_headers(record.headers)?
        };
        // SAFETY: see the module's beginning; key and value are valid during the call.
        let code = unsafe {
            use native::rd_kafka_vtype_t as kind;
            native::rd_kafka_producev(
                self.client.native_ptr(),
                kind::RD_KAFKA_VTYPE_RKT,
                topic.native.as_ptr(),
                kind::RD_KAFKA_VTYPE_PARTITION,
                record.partition,
                kind::RD_KAFKA_VTYPE_MSGFLAGS,
                native::RD_KAFKA_MSG_F_COPY,
                kind::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                kind::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                kind::RD_KAFKA_VTYPE_TIMESTAMP,
                native_timestamp(record.timestamp),
                kind::RD_KAFKA_VTYPE_OPAQUE,
                lane.cast::<c_void>(),
                kind::RD_KAFKA_VTYPE_HEADERS,
                headers,
                kind::RD_KAFKA_VTYPE_END,
            )
        };
        if code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Ok(());
        }
        if !headers.is_null() {
            // SAFETY: the call failed, so the headers are still ours.
            unsafe { native::rd_kafka_headers_destroy(headers) }
        }
        Err(Code::from(code))
    }

    /// Sends what waits for company, and waits up to `step` until nothing is in flight. Returns
    /// true then; failed records count as in flight until `serve`.
    pub(super) fn settle(&self, step: Duration) -> bool {
        // SAFETY: the client lives. As deliveries are events, the call serves none and waits.
        let code = unsafe { native::rd_kafka_flush(self.client.native_ptr(), millis(step)) };
        code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    /// Takes in what the client has to tell, waiting up to `wait` for the first of it.
    pub(super) fn serve(&self, mut wait: Duration) {
        loop {
            // SAFETY: queue and event are ours; texts belong to the event.
            unsafe {
                let event = native::rd_kafka_queue_poll(self.events.0.as_ptr(), millis(wait));
                if event.is_null() {
                    return;
                }
                self.take_in(event);
                native::rd_kafka_event_destroy(event);
            }
            wait = Duration::ZERO;
        }
    }

    /// # Safety
    /// `event` is valid.
    unsafe fn take_in(&self, event: *mut native::rd_kafka_event_t) {
        // SAFETY: the event is valid, and so are its texts while it is.
        unsafe {
            match native::rd_kafka_event_type(event) {
                native::RD_KAFKA_EVENT_LOG => {
                    let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                    native::rd_kafka_event_log(
                        event,
                        &raw mut facility,
                        &raw mut text,
                        &raw mut level,
                    );
                    self.client.context().log(log_level(level), &owned(facility), &owned(text));
                }
                native::RD_KAFKA_EVENT_ERROR => {
                    let code = Code::from(native::rd_kafka_event_error(event));
                    let text = owned(native::rd_kafka_event_error_string(event));
                    self.client.context().error(KafkaError::Global(code), &text);
                }
                // Failed deliveries were noted by the interceptor; the event only holds them.
                _ => {}
            }
        }
    }
}

/// The transactional calls: a null result is success.
impl Sender {
    /// Takes the transactional id over.
    pub(super) fn init(&self, wait: Duration) -> Result<(), Refusal> {
        // SAFETY: the client lives, here and below; the result is taken over.
        unsafe { taken(native::rd_kafka_init_transactions(self.client.native_ptr(), millis(wait))) }
    }

    /// Starts a transaction.
    pub(super) fn begin(&self) -> Result<(), Refusal> {
        // SAFETY: as in `init`.
        unsafe { taken(native::rd_kafka_begin_transaction(self.client.native_ptr())) }
    }

    /// Makes positions part of the transaction.
    pub(super) fn send_offsets(
        &self,
        offsets: &TopicPartitionList,
        member: &Identity,
        wait: Duration,
    ) -> Result<(), Refusal> {
        let (client, wait) = (self.client.native_ptr(), millis(wait));
        // SAFETY: as in `init`; list and identity are valid during the call.
        unsafe {
            taken(native::rd_kafka_send_offsets_to_transaction(
                client,
                offsets.ptr(),
                member.as_ptr(),
                wait,
            ))
        }
    }

    /// Ends the transaction: it counts.
    pub(super) fn commit(&self, wait: Duration) -> Result<(), Refusal> {
        // SAFETY: as in `init`.
        unsafe {
            taken(native::rd_kafka_commit_transaction(self.client.native_ptr(), millis(wait)))
        }
    }

    /// Ends the transaction: it does not count.
    pub(super) fn abort(&self, wait: Duration) -> Result<(), Refusal> {
        // SAFETY: as in `init`.
        unsafe { taken(native::rd_kafka_abort_transaction(self.client.native_ptr(), millis(wait))) }
    }
}

impl Drop for Sender {
    /// What was not flushed is given up: destroying the client would complain about it.
    fn drop(&mut self) {
        let flags = native::RD_KAFKA_PURGE_F_QUEUE | native::RD_KAFKA_PURGE_F_INFLIGHT;
        // SAFETY: the client lives.
        unsafe { native::rd_kafka_purge(self.client.native_ptr(), flags) };
        self.serve(Duration::ZERO);
        if !self.settle(Duration::from_millis(100)) {
            self.serve(Duration::ZERO);
        }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.topics.iter().map(|topic| &topic.name)).finish()
    }
}

fn index(topic: TopicHandle) -> usize {
    usize::try_from(topic.0).unwrap_or(usize::MAX)
}

fn millis(wait: Duration) -> i32 {
    i32::try_from(wait.as_millis()).unwrap_or(i32::MAX)
}

/// # Safety
/// `error` is null or an error that is ours to destroy.
unsafe fn taken(error: *mut native::rd_kafka_error_t) -> Result<(), Refusal> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: the error is valid until it is destroyed, and its text is copied before.
    unsafe {
        let refusal = Refusal {
            code: Code::from(native::rd_kafka_error_code(error)),
            text: owned(native::rd_kafka_error_string(error)),
            fatal: native::rd_kafka_error_is_fatal(error) != 0,
            retriable: native::rd_kafka_error_is_retriable(error) != 0,
            abort: native::rd_kafka_error_txn_requires_abort(error) != 0,
        };
        native::rd_kafka_error_destroy(error);
        Err(refusal)
    }
}

/// # Safety
/// `text` is null or a C string.
unsafe fn owned(text: *const std::ffi::c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(text).to_string_lossy().trim().to_owned() }
}

fn log_level(level: i32) -> RDKafkaLogLevel {
    match level {
        0..=3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

/// Null is not empty: an empty slice has an address too.
fn parts(bytes: Option<&[u8]>) -> (*mut c_void, usize) {
    match bytes {
        Some(bytes) => (bytes.as_ptr().cast_mut().cast(), bytes.len()),
        None => (ptr::null_mut(), 0),
    }
}

fn native_headers(headers: &Headers) -> Result<*mut native::rd_kafka_headers_t, Code> {
    // SAFETY: the list is made here and destroyed here if it cannot be filled; names and values
    // are copied by the calls.
    unsafe {
        let list = native::rd_kafka_headers_new(headers.len());
        for header in headers.iter() {
            let (value, value_len) = parts(header.value.as_deref());
            let code = native::rd_kafka_header_add(
                list,
                header.name.as_ptr().cast(),
                header.name.len().cast_signed(),
                value,
                value_len.cast_signed(),
            );
            if code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                native::rd_kafka_headers_destroy(list);
                return Err(Code::from(code));
            }
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Sender {
        Sender::open(ClientConfig::new().set("bootstrap.servers", "localhost:1")).expect("valid")
    }

    #[test]
    fn a_topic_keeps_its_handle() {
        let mut sender = sender();
        let orders = sender.topic("orders");
        assert_eq!((orders, sender.topic("other")), (Some(TopicHandle(0)), Some(TopicHandle(1))));
        assert_eq!(sender.topic("orders"), orders);
        assert_eq!(sender.name(TopicHandle(1)), Some("other"));
        assert_eq!(sender.topic("nul\0"), None);
    }

    #[test]
    fn records_that_are_given_up_are_noted_as_failed() {
        let mut sender = sender();
        let topic = sender.topic("orders").expect("valid");
        let headers = Headers::default();
        let (key, value, timestamp) = (None, Some(&b"v"[..]), None);
        let record =
            OutgoingRecord { topic, partition: 2, key, value, timestamp, headers: &headers };
        assert_eq!(sender.enqueue(&record), Ok(()));
        assert!(!sender.settle(Duration::ZERO) && !sender.has_failed());
        // SAFETY: the client lives.
        unsafe {
            let flags = native::RD_KAFKA_PURGE_F_QUEUE;
            native::rd_kafka_purge(sender.client.native_ptr(), flags);
        }
        sender.serve(Duration::from_secs(5));
        assert!(sender.settle(Duration::from_secs(5)) && sender.has_failed());
        let failure = sender.take_failure().expect("noted");
        assert_eq!(failure.partition, TopicPartition::new("orders", 2));
        assert!(!sender.has_failed() && sender.take_failure().is_none());
        assert_eq!(sender.acknowledged(topic, 2), None);
    }

    #[test]
    fn null_is_not_empty() {
        assert!(parts(None).0.is_null());
        assert!(!parts(Some(b"")).0.is_null());
    }
}
