//! Everything this package asks of C directly, in one file: pulling whole batches from a partition's queue, producing
//! without a copy of the topic's name, waiting for the producer without polling, and the usage of a finished child.

#![expect(
    unsafe_code,
    reason = "the safe bindings offer none of these four; each block says why it is sound"
)]

use std::ffi::{CString, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rdkafka::bindings as c;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka::types::{RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr, RDKafkaTopic};

/// How many messages one pull takes at most: enough to make the call's cost vanish, small enough to stay in the caches.
const BATCH: usize = 1000;

/// Wakes a worker; rings before the wait are not lost.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<bool>,
    heard: Condvar,
}

impl Bell {
    /// Ends the current or the next wait.
    pub fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.heard.notify_one();
    }

    /// Waits for a ring, at most for `timeout`.
    pub fn wait(&self, timeout: Duration) {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.heard.wait_timeout_while(rung, timeout, |rung| !*rung);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}

#[derive(Debug)]
struct Wake {
    ready: AtomicBool,
    bell: Arc<Bell>,
}

/// Called by librdkafka's threads when an empty queue gets its first message.
extern "C" fn on_message(_client: *mut c::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the `Wake` boxed in the `PartitionQueue` that enabled this callback; its `drop` disables the
    // callback (under the queue's lock, which is also held during calls) before the box is freed.
    let wake = unsafe { &*opaque.cast::<Wake>() };
    if !wake.ready.swap(true, Ordering::AcqRel) {
        wake.bell.ring();
    }
}

/// The queue of one partition, taken off the consumer's main queue.
pub struct PartitionQueue {
    queue: NonNull<RDKafkaQueue>,
    wake: Box<Wake>,
    messages: Vec<*mut RDKafkaMessage>,
    /// Keeps the client alive while the queue is.
    _consumer: Arc<BaseConsumer>,
}

// SAFETY: librdkafka's queues may be used from any thread; the message pointers are null between pulls.
unsafe impl Send for PartitionQueue {}

impl fmt::Debug for PartitionQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartitionQueue").field("wake", &self.wake).finish_non_exhaustive()
    }
}

impl PartitionQueue {
    /// Takes the queue off the main queue; to be done before the partition is assigned.
    pub fn take(
        consumer: &Arc<BaseConsumer>,
        topic: &str,
        partition: i32,
        bell: &Arc<Bell>,
    ) -> Result<Self> {
        let name = CString::new(topic)?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client is alive (`consumer`), the name is copied by the call.
        let queue = unsafe { c::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) };
        let queue = NonNull::new(queue).context("the partition has no queue")?;
        let wake = Box::new(Wake { ready: AtomicBool::new(true), bell: Arc::clone(bell) });
        // SAFETY: the queue was just acquired; `wake` outlives the callback, see `on_message`.
        unsafe {
            c::rd_kafka_queue_forward(queue.as_ptr(), ptr::null_mut());
            c::rd_kafka_queue_cb_event_enable(
                queue.as_ptr(),
                Some(on_message),
                ptr::from_ref::<Wake>(&wake).cast_mut().cast(),
            );
        }
        let messages = vec![ptr::null_mut(); BATCH];
        Ok(Self { queue, wake, messages, _consumer: Arc::clone(consumer) })
    }

    /// Takes what is there, without waiting; an empty batch when nothing was announced.
    pub fn pull(&mut self) -> Batch<'_> {
        if !self.wake.ready.swap(false, Ordering::AcqRel) {
            return Batch { messages: &mut [] };
        }
        // SAFETY: the buffer has room for as many messages as the call is told.
        let pulled = unsafe {
            c::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                0,
                self.messages.as_mut_ptr(),
                self.messages.len(),
            )
        };
        let pulled = usize::try_from(pulled).unwrap_or(0).min(BATCH);
        if pulled > 0 {
            // There may be more, which no callback would announce: only the first message of an empty queue does.
            self.wake.ready.store(true, Ordering::Release);
        }
        Batch { messages: self.messages.get_mut(..pulled).unwrap_or_default() }
    }
}

impl Drop for PartitionQueue {
    fn drop(&mut self) {
        // SAFETY: the queue is ours until here; after the first call no callback runs any more.
        unsafe {
            c::rd_kafka_queue_cb_event_enable(self.queue.as_ptr(), None, ptr::null_mut());
            c::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// Messages pulled at once; given back to librdkafka when dropped.
#[derive(Debug)]
pub struct Batch<'a> {
    messages: &'a mut [*mut RDKafkaMessage],
}

impl Batch<'_> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The records, or the consumer's error that came in place of one.
    pub fn records(&self) -> impl Iterator<Item = Result<Pulled<'_>>> {
        self.messages.iter().map(|message| {
            // SAFETY: librdkafka gave us this message, which lives until `drop`.
            let message = unsafe { &**message };
            match message.err {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(Pulled { message }),
                error => bail!("the consumer failed: {error:?}"),
            }
        })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in self.messages.iter() {
            // SAFETY: each message is given back once; `records` borrows the batch, so no record outlives it.
            unsafe { c::rd_kafka_message_destroy(*message) };
        }
    }
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct Pulled<'a> {
    message: &'a RDKafkaMessage,
}

impl<'a> Pulled<'a> {
    /// The key's bytes; empty when there is none.
    #[must_use]
    pub fn key(&self) -> &'a [u8] {
        // SAFETY: pointer and length come together from librdkafka and live as long as the message.
        unsafe { bytes(self.message.key, self.message.key_len) }
    }

    /// The value's bytes; empty when there is none.
    #[must_use]
    pub fn value(&self) -> &'a [u8] {
        // SAFETY: as for the key.
        unsafe { bytes(self.message.payload, self.message.len) }
    }

    /// Where it stands in its partition.
    #[must_use]
    pub fn offset(&self) -> i64 {
        self.message.offset
    }

    /// Milliseconds since 1970, -1 when there is none.
    #[must_use]
    pub fn timestamp(&self) -> i64 {
        // SAFETY: the message is alive; the second pointer may be null.
        unsafe { c::rd_kafka_message_timestamp(self.message, ptr::null_mut()) }
    }
}

/// # Safety
/// `start` is null or points to `len` bytes that live for `'a`.
unsafe fn bytes<'a>(start: *mut c_void, len: usize) -> &'a [u8] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(start.cast(), len) }
}

/// A topic to produce to, looked up once.
pub struct OutTopic<X: ProducerContext + 'static> {
    topic: NonNull<RDKafkaTopic>,
    producer: Arc<BaseProducer<X>>,
}

// SAFETY: librdkafka's topic handles may be used from any thread.
unsafe impl<X: ProducerContext + 'static> Send for OutTopic<X> {}

impl<X: ProducerContext + 'static> fmt::Debug for OutTopic<X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutTopic").finish_non_exhaustive()
    }
}

impl<X: ProducerContext + 'static> OutTopic<X> {
    /// Looks the topic up.
    pub fn of(producer: &Arc<BaseProducer<X>>, topic: &str) -> Result<Self> {
        let name = CString::new(topic)?;
        let client = producer.client().native_ptr();
        // SAFETY: the client is alive, the name is copied, a null configuration means the client's.
        let topic = unsafe { c::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
        let topic = NonNull::new(topic).context("the topic cannot be opened")?;
        Ok(Self { topic, producer: Arc::clone(producer) })
    }

    /// Queues a record; key and value are copied. Without a partition the client's partitioner chooses by the key.
    pub fn produce(
        &self,
        partition: Option<i32>,
        key: &[u8],
        value: &[u8],
        timestamp: i64,
    ) -> Result<(), RDKafkaErrorCode> {
        // SAFETY: the variadic list holds pairs of a tag and what that tag demands, and ends with the end tag;
        // with MSG_F_COPY nothing is kept of key and value.
        let code = unsafe {
            c::rd_kafka_producev(
                self.producer.client().native_ptr(),
                c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_RKT,
                self.topic.as_ptr(),
                c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_PARTITION,
                partition.unwrap_or(-1),
                c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_MSGFLAGS,
                c::RD_KAFKA_MSG_F_COPY,
                c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_KEY,
                key.as_ptr(),
                key.len(),
                c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_VALUE,
                value.as_ptr(),
                value.len(),
                c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TIMESTAMP,
                timestamp,
                c::rd_kafka_vtype_t::RD_KAFKA_VTYPE_END,
            )
        };
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            error => Err(error.into()),
        }
    }
}

impl<X: ProducerContext + 'static> Drop for OutTopic<X> {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and used no more.
        unsafe { c::rd_kafka_topic_destroy(self.topic.as_ptr()) };
    }
}

/// Waits until everything produced is acknowledged, sending at once what still lingers. The safe `flush` does not end
/// the lingering and looks in steps of 100 ms. Needs `delivery.report.only.error`: reports would have to be polled.
pub fn flush<X: ProducerContext + 'static>(
    producer: &BaseProducer<X>,
    timeout: Duration,
) -> Result<()> {
    let millis = i32::try_from(timeout.as_millis())?;
    // SAFETY: the client is alive.
    match unsafe { c::rd_kafka_flush(producer.client().native_ptr(), millis) } {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => bail!("not everything was acknowledged in {timeout:?}: {error:?}"),
    }
}

/// What a process has used, from its start to its end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// The largest resident set it had.
    pub peak_rss_bytes: u64,
}

/// A child that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// What it has used.
    pub usage: Usage,
    /// Its exit code, or minus the signal that ended it.
    pub status: i32,
}

/// Looks whether the child has ended, and reaps it then.
pub fn try_wait(pid: u32) -> Result<Option<Ended>> {
    let pid = libc::pid_t::try_from(pid)?;
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is a valid one; both pointers are to locals.
    let (reaped, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::wait4(pid, &raw mut status, libc::WNOHANG, &raw mut usage), usage)
    };
    match reaped {
        0 => Ok(None),
        -1 => Err(std::io::Error::last_os_error()).context("wait4"),
        _ => {
            let status = if libc::WIFEXITED(status) {
                libc::WEXITSTATUS(status)
            } else {
                -libc::WTERMSIG(status)
            };
            let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
            let peak_rss_bytes = u64::try_from(usage.ru_maxrss)? * 1024;
            Ok(Some(Ended { usage: Usage { cpu, peak_rss_bytes }, status }))
        }
    }
}

fn seconds(time: libc::timeval) -> Duration {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0));
    seconds + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
}

/// Sends a signal to a process we started.
pub fn signal(pid: u32, signal: i32) -> Result<()> {
    let pid = libc::pid_t::try_from(pid)?;
    // SAFETY: no memory is involved.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error()).context("kill"),
    }
}
