//! Partition queues of librdkafka, and the messages that come out of them.
//!
//! The safe wrapper of the client hands out one message at a time and cannot commit with a time
//! limit; this file makes the few calls it lacks. Why they are sound:
//! * Every pointer belongs to a client. A [`NativeQueue`] and each [`Messages`] hold the client by
//!   `Arc` and give their pointers back (`rd_kafka_queue_destroy`, `rd_kafka_message_destroy`)
//!   before that reference goes, so none outlives its client, and the client's own destruction
//!   never finds one outstanding.
//! * The bell that the event callback gets as opaque pointer is held by the queue, which switches
//!   the callback off before it lets go. librdkafka calls it and switches it off under the same
//!   lock of the queue, so no call is under way afterwards.
//! * A message may move to another thread but is never shared (reading its headers changes it):
//!   `Messages` is `Send` and not `Sync`. The queue is librdkafka's own, which locks it: that one
//!   may be shared too.
//! * Slices into a message live as long as the borrow of the `Messages` that owns it.
#![expect(unsafe_code, reason = "librdkafka's batch calls have no safe wrapper")]

use std::ffi::{CStr, CString, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::topic_partition_list::TopicPartitionList;

use super::events::{Consumer, NativeConsumer};
use crate::log::locked::locked;
use crate::log::{RawRecord, RecordBatch, Wake};
use crate::record::{Header, Headers, TopicPartition};

/// Rung by librdkafka's threads when a queue that was empty has something.
#[derive(Default)]
pub(super) struct Bell {
    /// True if there may be something to pull.
    pending: AtomicBool,
    wake: Mutex<Option<Wake>>,
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bell({})", self.pending.load(Ordering::Relaxed))
    }
}

impl Bell {
    /// A bell that has been rung: what is there already will not ring it.
    pub(super) fn rung() -> Arc<Self> {
        Arc::new(Self { pending: AtomicBool::new(true), wake: Mutex::default() })
    }

    /// Notes that there may be something, and wakes the waiting reader, once until the queue was read empty.
    pub(super) fn ring(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            self.call();
        }
    }

    /// True if it was rung since the last call.
    pub(super) fn take(&self) -> bool {
        self.pending.swap(false, Ordering::AcqRel)
    }

    /// Notes that there is more, without waking anybody: the puller knows.
    pub(super) fn keep(&self) {
        self.pending.store(true, Ordering::Release);
    }

    /// Sets who is woken, and wakes them if there may be something already.
    pub(super) fn on_ring(&self, wake: Wake) {
        *locked(&self.wake) = Some(wake);
        if self.pending.load(Ordering::Acquire) {
            self.call();
        }
    }

    fn call(&self) {
        // Not under the lock: the callee may set another one.
        let wake = locked(&self.wake).clone();
        if let Some(wake) = wake {
            wake();
        }
    }
}

/// Called by librdkafka with the queue's lock held, from its own threads.
unsafe extern "C" fn ring(_client: *mut native::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Bell` that the queue holds while the callback is switched on.
    let bell = unsafe { &*opaque.cast::<Bell>() };
    bell.ring();
}

/// The queue of one partition, taken off the client's main queue.
pub(super) struct NativeQueue {
    queue: NonNull<native::rd_kafka_queue_t>,
    topic: CString,
    partition: i32,
    /// One element, for asking the consumed position without an allocation.
    position: Mutex<TopicPartitionList>,
    bell: Arc<Bell>,
    consumer: Arc<Consumer>,
}

// SAFETY: librdkafka locks its queues; everything else in here is `Send` itself, except for the
// list, which is plain memory with no other pointer into it.
unsafe impl Send for NativeQueue {}
// SAFETY: as above; the list is behind a lock.
unsafe impl Sync for NativeQueue {}

impl NativeQueue {
    /// Takes the partition's queue off the main queue. To be done before the partition is
    /// assigned: what was fetched in between would go to the main queue.
    pub(super) fn take_off(
        consumer: &Arc<Consumer>,
        partition: &TopicPartition,
        bell: Arc<Bell>,
    ) -> Option<Self> {
        let topic = CString::new(&*partition.topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client lives, the name is a C string; the result is ours to destroy.
        let queue = unsafe {
            native::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition.partition)
        };
        let queue = NonNull::new(queue)?;
        let mut position = TopicPartitionList::with_capacity(1);
        position.add_partition(&partition.topic, partition.partition);
        let position = Mutex::new(position);
        let consumer = Arc::clone(consumer);
        let number = partition.partition;
        let taken = Self { queue, topic, partition: number, position, bell, consumer };
        // SAFETY: both calls take the queue that `taken` holds; the bell is held by it too.
        unsafe {
            native::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            let opaque = Arc::as_ptr(&taken.bell).cast_mut().cast::<c_void>();
            native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring), opaque);
        }
        Some(taken)
    }

    /// The client that the queue belongs to.
    pub(super) fn consumer(&self) -> &Consumer {
        &self.consumer
    }

    /// Up to `max` messages that are there now, without waiting.
    pub(super) fn drain(&self, max: usize) -> Messages {
        let max = max.min(DRAIN_MAX);
        let mut all: Vec<*mut native::rd_kafka_message_t> = Vec::with_capacity(max);
        // SAFETY: the queue lives; the buffer has room for `max` pointers, and the call writes as
        // many as it returns (or -1 for none).
        unsafe {
            let queue = self.queue.as_ptr();
            let count = native::rd_kafka_consume_batch_queue(queue, 0, all.as_mut_ptr(), max);
            all.set_len(usize::try_from(count).unwrap_or(0).min(max));
        }
        Messages { all, consumer: Arc::clone(&self.consumer) }
    }

    /// First offset and high watermark as the last fetch told them; negative if none has yet.
    pub(super) fn watermarks(&self) -> (i64, i64) {
        let (mut low, mut high) = (-1, -1);
        let client = self.consumer.client().native_ptr();
        // SAFETY: the client lives, the name is a C string, the results are our own variables.
        let code = unsafe {
            native::rd_kafka_get_watermark_offsets(
                client,
                self.topic.as_ptr(),
                self.partition,
                &raw mut low,
                &raw mut high,
            )
        };
        if code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            (low, high)
        } else {
            (-1, -1)
        }
    }

    /// The position after everything drained, control records included; negative before that.
    pub(super) fn consumed(&self) -> i64 {
        let list = locked(&self.position);
        let client = self.consumer.client().native_ptr();
        // SAFETY: the list is a valid one with a single element, which the call fills in.
        unsafe {
            native::rd_kafka_position(client, list.ptr());
            (*(*list.ptr()).elems).offset
        }
    }
}

impl Drop for NativeQueue {
    fn drop(&mut self) {
        // SAFETY: the queue was ours alone to destroy; after the first call no callback runs.
        unsafe {
            let queue = self.queue.as_ptr();
            native::rd_kafka_queue_cb_event_enable(queue, None, ptr::null_mut());
            native::rd_kafka_queue_destroy(queue);
        }
    }
}

impl fmt::Debug for NativeQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NativeQueue({:?}-{})", self.topic, self.partition)
    }
}

/// More than this at once would only hold memory longer.
const DRAIN_MAX: usize = 10_000;

/// Messages of one partition, in order; given back to the client when dropped.
pub(super) struct Messages {
    all: Vec<*mut native::rd_kafka_message_t>,
    consumer: Arc<Consumer>,
}

// SAFETY: a message is not bound to a thread; without `Sync` only one at a time uses it.
unsafe impl Send for Messages {}

/// What librdkafka puts between the messages of a partition instead of one.
#[derive(Debug)]
pub(super) struct Fault {
    /// What it is; an end of partition is one too.
    pub(super) code: Code,
    /// The offset it is about.
    pub(super) offset: i64,
    /// The client's words.
    pub(super) text: String,
}

impl Messages {
    /// The index of the first fault.
    pub(super) fn first_fault(&self) -> Option<usize> {
        let fine = native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        // SAFETY: each pointer is a message that we own.
        self.all.iter().position(|message| unsafe { (**message).err != fine })
    }

    /// The fault at `index`, if there is one.
    pub(super) fn fault(&self, index: usize) -> Option<Fault> {
        let message = *self.all.get(index)?;
        // SAFETY: the pointer is a message that we own; the text is a C string or null.
        unsafe {
            let err = (*message).err;
            if err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            let text = native::rd_kafka_message_errstr(message);
            let text = if text.is_null() {
                String::new()
            } else {
                CStr::from_ptr(text).to_string_lossy().into_owned()
            };
            Some(Fault { code: Code::from(err), offset: (*message).offset, text })
        }
    }

    /// Cuts off what begins at `index`.
    pub(super) fn split_off(&mut self, index: usize) -> Self {
        let all = self.all.split_off(index.min(self.all.len()));
        Self { all, consumer: Arc::clone(&self.consumer) }
    }

    /// The offsets of the first and the last message.
    pub(super) fn bounds(&self) -> Option<(i64, i64)> {
        let (first, last) = (self.all.first()?, self.all.last()?);
        // SAFETY: both pointers are messages that we own.
        unsafe { Some(((**first).offset, (**last).offset)) }
    }
}

impl RecordBatch for Messages {
    fn len(&self) -> usize {
        self.all.len()
    }

    fn get(&self, index: usize) -> Option<RawRecord<'_>> {
        let message = *self.all.get(index)?;
        // SAFETY: the pointer is a message that we own and that lives as long as `self`; its
        // payload and key are null or valid for the lengths beside them.
        unsafe {
            let m = &*message;
            let timestamp = native::rd_kafka_message_timestamp(message, ptr::null_mut());
            Some(RawRecord {
                offset: m.offset,
                timestamp,
                key: bytes(m.key, m.key_len),
                value: bytes(m.payload, m.len),
                headers: if may_have_headers(message) {
                    headers_of(message)
                } else {
                    Headers::default()
                },
            })
        }
    }
}

/// # Safety
/// `start` is null or valid for `len` bytes for the whole of `'a`.
unsafe fn bytes<'a>(start: *const c_void, len: usize) -> Option<&'a [u8]> {
    // SAFETY: see above.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start.cast::<u8>(), len) })
}

/// False if a message surely has no headers. Asking the client costs more than everything else
/// about a record, since it makes a buffer to find out.
///
/// # Safety
/// `message` is a valid message without a fault.
unsafe fn may_have_headers(message: *const native::rd_kafka_message_t) -> bool {
    // SAFETY: the message is valid. Only records of format 2 come with a leader epoch, and in that
    // format the number of headers stands right behind the value, as a variable-length integer of
    // at least one byte; brokers refuse records without it, and the client keeps the whole record
    // in one piece of memory. Values of no bytes stand elsewhere, so those are asked for.
    unsafe {
        let value = (*message).payload.cast::<u8>();
        let len = (*message).len;
        let known =
            !value.is_null() && len > 0 && native::rd_kafka_message_leader_epoch(message) >= 0;
        !known || *value.add(len) != 0
    }
}

/// # Safety
/// `message` is a valid message, and no other thread uses it.
unsafe fn headers_of(message: *const native::rd_kafka_message_t) -> Headers {
    let fine = native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    let mut list = ptr::null_mut();
    // SAFETY: the message is valid; the list belongs to it.
    if unsafe { native::rd_kafka_message_headers(message, &raw mut list) } != fine {
        return Headers::default();
    }
    let mut headers = Vec::new();
    loop {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the list is valid; the results are our own variables. Name and value point
        // into the message and are copied before anything else happens to it.
        unsafe {
            let index = headers.len();
            let code = native::rd_kafka_header_get_all(
                list,
                index,
                &raw mut name,
                &raw mut value,
                &raw mut size,
            );
            if code != fine {
                return headers.into_iter().collect();
            }
            let name = CStr::from_ptr(name).to_string_lossy().into();
            headers.push(Header { name, value: bytes(value, size).map(<[u8]>::to_vec) });
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        for message in &self.all {
            // SAFETY: each message is ours and is given back once.
            unsafe { native::rd_kafka_message_destroy(*message) }
        }
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Messages({})", self.all.len())
    }
}

/// Commits positions of a member and waits for the answer, up to `wait`.
///
/// On a queue of its own: the thread that serves the main queue may be waiting for just this.
pub(super) fn commit(
    consumer: &NativeConsumer,
    offsets: &TopicPartitionList,
    wait: Duration,
) -> Result<(), Code> {
    let client = consumer.client().native_ptr();
    let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client lives during the call; queue and event are made and destroyed here. An
    // answer that comes too late finds its queue gone, which librdkafka provides for.
    unsafe {
        let queue = native::rd_kafka_queue_new(client);
        let sent =
            native::rd_kafka_commit_queue(client, offsets.ptr(), queue, None, ptr::null_mut());
        let mut code = Code::from(sent);
        if code == Code::NoError {
            let event = native::rd_kafka_queue_poll(queue, wait);
            code = if event.is_null() { Code::OperationTimedOut } else { verdict(event) };
            if !event.is_null() {
                native::rd_kafka_event_destroy(event);
            }
        }
        native::rd_kafka_queue_destroy(queue);
        if code == Code::NoError { Ok(()) } else { Err(code) }
    }
}

/// # Safety
/// `event` is a valid event of a commit.
unsafe fn verdict(event: *mut native::rd_kafka_event_t) -> Code {
    // SAFETY: the event is valid, and the list belongs to it.
    unsafe {
        let whole = Code::from(native::rd_kafka_event_error(event));
        let list = native::rd_kafka_event_topic_partition_list(event);
        if whole != Code::NoError || list.is_null() {
            return whole;
        }
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        (0..count)
            .map(|index| Code::from((*(*list).elems.add(index)).err))
            .find(|code| *code != Code::NoError)
            .unwrap_or(Code::NoError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn a_bell_wakes_once_per_silence() {
        let count = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&count);
        let bell = Bell::rung();
        bell.on_ring(Arc::new(move || {
            seen.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(count.load(Ordering::Relaxed), 1, "there may be something already");
        bell.ring();
        assert_eq!(count.load(Ordering::Relaxed), 1, "nobody has looked since");
        assert!(bell.take() && !bell.take());
        bell.ring();
        bell.ring();
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
