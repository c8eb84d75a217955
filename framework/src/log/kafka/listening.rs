//! Hearing what clients say when they say it.
//!
//! librdkafka's log lines wait in a queue of their client until somebody polls it. Most clients of
//! an instance are polled only when they are used, so that lines came minutes late, as a wall, with
//! the time of printing. Here the lines of each client go to a queue of their own, and one thread
//! of the process empties all of these as soon as one is rung. Why it is sound:
//! * An [`Ear`] is dropped before its client ([`Consumer`](super::events::Consumer) and the others
//!   that hold one declare it first). It gives the lines back to the main queue and then its queue,
//!   under the lock under which the thread polls it: nobody touches either of them afterwards.
//! * librdkafka rings with the queue's lock held, and switches ringing off under the same lock. The
//!   listener that it is given as opaque pointer is held by the ear.
#![expect(unsafe_code, reason = "the client's log queue has no safe wrapper")]

use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError, Weak};
use std::time::Duration;

use rdkafka::bindings as native;
use rdkafka::client::{Client, ClientContext};

use super::repeats::{Line, Repeats, Severity};
use crate::log::deadline::now;
use crate::log::locked::locked;

/// The ear on one client: to be dropped before the client.
pub(super) struct Ear {
    client: NonNull<native::rd_kafka_t>,
    lines: Arc<Lines>,
    /// Held for the bell, which has its address.
    _listener: Arc<Listener>,
}

// SAFETY: librdkafka's clients may be used from any thread; the rest is `Send` and `Sync`.
unsafe impl Send for Ear {}
// SAFETY: as above; a shared ear does nothing.
unsafe impl Sync for Ear {}

impl Ear {
    /// Listens to a client that was just made. Without memory for a queue its lines stay where
    /// they were.
    pub(super) fn on<C: ClientContext>(client: &Client<C>) -> Option<Self> {
        Self::of_listener(client, &LISTENER)
    }

    fn of_listener<C: ClientContext>(client: &Client<C>, listener: &Arc<Listener>) -> Option<Self> {
        let client = NonNull::new(client.native_ptr())?;
        // SAFETY: the client lives; the queue is ours to destroy.
        let queue = NonNull::new(unsafe { native::rd_kafka_queue_new(client.as_ptr()) })?;
        let lines = Arc::new(Lines(Mutex::new(Some(Queue(queue)))));
        listener.add(&lines);
        // SAFETY: client and queue live; the ear holds the listener while ringing is on.
        unsafe {
            let opaque = Arc::as_ptr(listener).cast_mut().cast::<c_void>();
            native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), Some(ring), opaque);
            native::rd_kafka_set_log_queue(client.as_ptr(), queue.as_ptr());
        }
        Some(Self { client, lines, _listener: Arc::clone(listener) })
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut lines = locked(&self.lines.0);
        let Some(Queue(queue)) = lines.take() else { return };
        // SAFETY: the client lives longer than its ear; the queue was ours alone to destroy, and
        // after the first two calls nothing of the client refers to it or rings.
        unsafe {
            native::rd_kafka_set_log_queue(self.client.as_ptr(), ptr::null_mut());
            native::rd_kafka_queue_cb_event_enable(queue.as_ptr(), None, ptr::null_mut());
            native::rd_kafka_queue_destroy(queue.as_ptr());
        }
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ear")
    }
}

/// The log queue of one client, until its ear goes.
struct Lines(Mutex<Option<Queue>>);

struct Queue(NonNull<native::rd_kafka_queue_t>);

// SAFETY: librdkafka locks its queues.
unsafe impl Send for Queue {}

impl Lines {
    /// Adds what there is to `all`; false once the client has gone.
    fn take(&self, all: &mut Vec<Line>) -> bool {
        let lines = locked(&self.0);
        let Some(Queue(queue)) = &*lines else { return false };
        // SAFETY: the queue is not destroyed while the lock is held; event and texts are ours.
        unsafe {
            loop {
                let event = native::rd_kafka_queue_poll(queue.as_ptr(), 0);
                if event.is_null() {
                    return true;
                }
                let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
                let failed = native::rd_kafka_event_log(
                    event,
                    &raw mut facility,
                    &raw mut text,
                    &raw mut level,
                );
                if failed == 0 {
                    all.push(Line::new(severity(level), &owned(facility), &owned(text)));
                }
                native::rd_kafka_event_destroy(event);
            }
        }
    }
}

/// # Safety
/// `text` is null or a C string.
unsafe fn owned(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
}

/// By syslog's levels.
fn severity(level: i32) -> Severity {
    match level {
        ..=3 => Severity::Error,
        4 => Severity::Warning,
        5 | 6 => Severity::Info,
        _ => Severity::Debug,
    }
}

/// Called by librdkafka with the queue's lock held, from its own threads.
unsafe extern "C" fn ring(_client: *mut native::rd_kafka_t, opaque: *mut c_void) {
    // SAFETY: `opaque` is the listener that the ear holds while ringing is on.
    let listener = unsafe { &*opaque.cast::<Listener>() };
    listener.ring();
}

/// Where lines go.
type Say = Box<dyn Fn(&Line) + Send>;

/// What the thread and the ears share.
struct Listener {
    rung: Mutex<bool>,
    changed: Condvar,
    clients: Mutex<Vec<Weak<Lines>>>,
    repeats: Mutex<Repeats>,
    say: Mutex<Say>,
}

/// One for the process: a broker that is away is the same to all of its clients.
static LISTENER: LazyLock<Arc<Listener>> = LazyLock::new(|| Listener::start(Box::new(write)));

/// How often it is looked whether something has ended, while something is held back.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// Says it for a client, unless it was said by any of them a moment ago.
pub(super) fn say(line: Line) {
    LISTENER.hear(vec![line]);
}

impl Listener {
    fn start(say: Say) -> Arc<Self> {
        let listener = Arc::new(Self {
            rung: Mutex::new(false),
            changed: Condvar::new(),
            clients: Mutex::default(),
            repeats: Mutex::default(),
            say: Mutex::new(say),
        });
        let own = Arc::clone(&listener);
        let started = std::thread::Builder::new()
            .name("kafka-log-lines".to_owned())
            .spawn(move || own.listen());
        if let Err(error) = started {
            tracing::error!(%error, "no thread for the log lines of Kafka clients: they are lost");
        }
        listener
    }

    fn add(&self, lines: &Arc<Lines>) {
        locked(&self.clients).push(Arc::downgrade(lines));
    }

    fn ring(&self) {
        *locked(&self.rung) = true;
        self.changed.notify_one();
    }

    fn listen(&self) {
        loop {
            self.wait();
            let mut heard = Vec::new();
            let clients: Vec<_> = locked(&self.clients).iter().filter_map(Weak::upgrade).collect();
            for lines in &clients {
                lines.take(&mut heard);
            }
            drop(clients);
            locked(&self.clients).retain(|lines| lines.strong_count() > 0);
            self.hear(heard);
            let ended = locked(&self.repeats).over(now());
            self.write(&ended);
        }
    }

    fn wait(&self) {
        let patience = locked(&self.repeats).holds().then_some(LOOK_INTERVAL);
        let mut rung = locked(&self.rung);
        while !*rung {
            let Some(patience) = patience else {
                rung = self.changed.wait(rung).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let waited = self.changed.wait_timeout(rung, patience);
            rung = waited.unwrap_or_else(PoisonError::into_inner).0;
            break;
        }
        *rung = false;
    }

    fn hear(&self, lines: Vec<Line>) {
        let mut repeats = locked(&self.repeats);
        let said: Vec<Line> =
            lines.into_iter().filter_map(|line| repeats.hear(now(), line)).collect();
        drop(repeats);
        self.write(&said);
    }

    fn write(&self, lines: &[Line]) {
        let say = locked(&self.say);
        lines.iter().for_each(&*say);
    }
}

fn write(line: &Line) {
    let say = match line.severity {
        Severity::Error => say_error,
        Severity::Warning => say_warning,
        Severity::Info => say_info,
        Severity::Debug => say_debug,
    };
    say(&line.facility, &line.message);
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
    use std::sync::mpsc::{Receiver, channel};

    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};
    use rdkafka::producer::{BaseProducer, Producer as _};

    use super::*;

    /// Generous: the machine may be busy.
    const PATIENCE: Duration = Duration::from_secs(60);

    fn listener() -> (Arc<Listener>, Receiver<Line>) {
        let (tell, lines) = channel();
        let say = move |line: &Line| tell.send(line.clone()).unwrap_or_default();
        (Listener::start(Box::new(say)), lines)
    }

    /// Nobody listens at this port.
    fn nowhere() -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", "127.0.0.1:1").set("group.id", "app");
        config
    }

    fn refusal(lines: &Receiver<Line>) -> Line {
        loop {
            let line = lines.recv_timeout(PATIENCE).expect("heard");
            if line.message.contains("Connection refused") {
                return line;
            }
        }
    }

    #[test]
    fn a_client_that_nobody_polls_is_heard() {
        let (listener, lines) = listener();
        let client: BaseConsumer = nowhere().create().expect("made");
        let ear = Ear::of_listener(client.client(), &listener).expect("memory");
        let heard = refusal(&lines);
        assert_eq!((heard.severity, &*heard.facility), (Severity::Error, "FAIL"));
        assert!(heard.message.starts_with("127.0.0.1:1/bootstrap: Connect to"), "{heard:?}");
        drop(ear);
        drop(client);
    }

    #[test]
    fn the_same_failure_of_several_clients_is_said_once() {
        let (listener, lines) = listener();
        let clients: Vec<(Ear, BaseProducer)> = (0..4)
            .map(|_| {
                let client: BaseProducer = nowhere().create().expect("made");
                (Ear::of_listener(client.client(), &listener).expect("memory"), client)
            })
            .collect();
        refusal(&lines);
        // Each of the four has failed by then.
        let deadline = crate::log::Deadline::after(PATIENCE);
        let held = || locked(&listener.repeats).held("127.0.0.1:1/bootstrap: Connect to");
        while held() < 3 {
            assert!(!deadline.passed(), "{} of 3 were held back", held());
            deadline.rest(Duration::from_millis(10));
        }
        assert!(!lines.try_iter().any(|line| line.message.contains("Connection refused")));
        drop(clients);
    }
}
