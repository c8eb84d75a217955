//! The producer: idempotent always, transactional if it has an id.
//!
//! Delivery is counted by what is in flight; the first failure is raised by the next call. A
//! transactional producer that may have lost track of a commit refuses to go on: only opening the
//! id anew settles whether it counted.

use std::fmt;
use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode as Code;

use super::error::{self, Refusal};
use super::identity::Identity;
use super::send::{Sender, Undelivered};
use super::settings::{KafkaSettings, transaction_timeout};
use crate::error::{Error, Result};
use crate::log::deadline::Deadline;
use crate::log::kafka::membership::list_of;
use crate::log::refused::Refused;
use crate::log::waiting::WaitingForBroker;
use crate::log::{Committed, Generation, OutgoingRecord, Producer, ProducerSpec, TopicHandle};
use crate::record::{RefusalKind, TopicPartition};

/// A producer over Kafka.
pub(super) struct KafkaProducer {
    sender: Sender,
    /// How long one operation may go on trying.
    patience: Duration,
    /// Sends since the client's events were taken in last.
    sends: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not transactional.
    Plain,
    /// Between transactions.
    Ready,
    /// In a transaction.
    Open,
    /// The end of the last transaction is not known.
    Unsettled,
}

/// The client's log lines and errors are taken in once in so many sends.
const SENDS_PER_SERVE: u32 = 4_096;

/// So long one wait for acknowledgements lasts before failures are looked for.
const STEP: Duration = Duration::from_millis(5);

impl KafkaProducer {
    /// Opens a producer; a transactional one fences its predecessor.
    pub(super) fn open(settings: &KafkaSettings, spec: &ProducerSpec) -> Result<Self> {
        let what = match &spec.transactional_id {
            Some(id) => format!("opening producer {id}"),
            None => "opening a producer".to_owned(),
        };
        let sender = Sender::open(&settings.producer(spec)?)
            .map_err(|error| error::from_client(&what, None, &error))?;
        let patience = settings.request_timeout.max(transaction_timeout(spec));
        let mut opened = Self { sender, patience, sends: 0, state: State::Plain };
        if spec.transactional_id.is_some() {
            opened.retrying(&what, opened.patience, Sender::init)?;
            opened.state = State::Ready;
        }
        Ok(opened)
    }

    /// Repeats a transactional call while the client says so; each goes on for `step` at most.
    fn retrying(
        &self,
        what: &str,
        step: Duration,
        call: impl Fn(&Sender, Duration) -> Result<(), Refusal>,
    ) -> Result<()> {
        let _waiting = WaitingForBroker::begin();
        let deadline = Deadline::after(self.patience);
        loop {
            let refusal = match call(&self.sender, deadline.left().min(step)) {
                Ok(()) => return Ok(()),
                Err(refusal) => refusal,
            };
            if !refusal.retriable || deadline.passed() {
                return Err(self.refusal(what, &refusal));
            }
            self.sender.serve(deadline.left().min(STEP));
        }
    }

    /// A call on a producer that is beyond repair says so only in general; the reason is asked.
    fn refusal(&self, what: &str, refusal: &Refusal) -> Error {
        match self.sender.fatal() {
            Some((code, text)) => {
                let refusal = Refusal { code, text, fatal: true, retriable: false, abort: false };
                error::from_refusal(what, &refusal)
            }
            None => error::from_refusal(what, refusal),
        }
    }

    /// The first failed delivery since the last call, as an error.
    fn failure(&self) -> Result<()> {
        if !self.sender.has_failed() {
            return Ok(());
        }
        match self.sender.take_failure() {
            Some(failure) => Err(self.undelivered(&failure)),
            None => Ok(()),
        }
    }

    fn undelivered(&self, failure: &Undelivered) -> Error {
        let what = format!("send to {}", failure.partition);
        if let Some(error) = self.beyond_repair(&what) {
            return error;
        }
        match error::from_code(&what, Some(&failure.partition.topic), failure.code, "") {
            hopeless if error::is_hopeless(failure.code) => hopeless,
            // The record is lost to this producer, so trying again means doing it again.
            Error::Unavailable { what, reason } | Error::Fatal { what, reason } => {
                Error::Aborted { what, reason }
            }
            other => other,
        }
    }

    fn beyond_repair(&self, what: &str) -> Option<Error> {
        let (code, text) = self.sender.fatal()?;
        let refusal = Refusal { code, text, fatal: true, retriable: false, abort: false };
        Some(error::from_refusal(what, &refusal))
    }

    #[cold]
    fn refused(&self, record: &OutgoingRecord<'_>, code: Code) -> Error {
        let topic = self.sender.name(record.topic).unwrap_or("unknown topic");
        let partition = TopicPartition::new(topic, record.partition);
        let what = format!("send to {partition}");
        if let Some(error) = self.beyond_repair(&what) {
            return error;
        }
        match code {
            Code::MessageSizeTooLarge => Error::Refused {
                partition,
                kind: RefusalKind::TooLarge,
                reason: format!("{code} (message.max.bytes of the producer, {})", told(record)),
            },
            // The client refuses records while it waits for the abort of a failed transaction. What
            // failed may be told a moment later.
            Code::State if self.state == State::Open => {
                self.sender.settle(COMPANY);
                if let Err(error) = self.failure() {
                    return error;
                }
                Error::Aborted { what, reason: code.to_string() }
            }
            code => error::from_code(&what, Some(topic), code, ""),
        }
    }

    /// The buffer is full: waits until some of it has been acknowledged or has failed.
    #[cold]
    fn wait_for_room(&mut self, record: &OutgoingRecord<'_>) -> Result<()> {
        let _waiting = WaitingForBroker::begin();
        loop {
            self.sender.settle(STEP);
            self.sender.serve(Duration::ZERO);
            self.failure()?;
            match self.sender.enqueue(record) {
                Ok(()) => return Ok(()),
                Err(Code::QueueFull) => {}
                Err(code) => return Err(self.refused(record, code)),
            }
        }
    }

    fn expect_state(&self, expected: State, what: &str) -> Result<()> {
        if self.state == expected {
            return Ok(());
        }
        let (what, reason) = (what.to_owned(), format!("the producer is {:?}", self.state));
        if self.state == State::Unsettled {
            Err(Error::Fenced { what, reason: "the last transaction's end is unknown".to_owned() })
        } else {
            Err(Error::Fatal { what, reason })
        }
    }
}

impl Producer for KafkaProducer {
    fn topic(&mut self, name: &str) -> Result<TopicHandle> {
        self.sender.topic(name).ok_or_else(|| Error::Topic {
            topic: name.to_owned(),
            reason: "the client refuses the name".to_owned(),
        })
    }

    fn send(&mut self, record: &OutgoingRecord<'_>) -> Result<()> {
        self.sends += 1;
        if self.sends >= SENDS_PER_SERVE {
            self.sends = 0;
            self.sender.serve(Duration::ZERO);
        }
        self.failure()?;
        match self.sender.enqueue(record) {
            Ok(()) => Ok(()),
            Err(Code::QueueFull) => self.wait_for_room(record),
            Err(code) => Err(self.refused(record, code)),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let _waiting = WaitingForBroker::begin();
        while !self.sender.settle(STEP) {
            self.sender.serve(Duration::ZERO);
            self.failure()?;
        }
        self.sender.serve(Duration::ZERO);
        self.failure()
    }

    fn take_refused(&mut self) -> Vec<Refused> {
        // Other batches that are under way may be refused too: better known now than met later.
        self.sender.settle(COMPANY);
        self.sender.serve(Duration::ZERO);
        self.sender.take_refused()
    }

    fn acknowledged(&self, topic: TopicHandle, partition: i32) -> Option<i64> {
        self.sender.acknowledged(topic, partition)
    }

    fn begin(&mut self) -> Result<()> {
        let what = "begin of a transaction";
        self.expect_state(State::Ready, what)?;
        // A failure that was noted while the last transaction was aborted is not this one's.
        self.sender.take_failure();
        self.sender.begin().map_err(|refusal| self.refusal(what, &refusal))?;
        self.state = State::Open;
        Ok(())
    }

    fn send_offsets(
        &mut self,
        offsets: &[(TopicPartition, Committed)],
        generation: &Generation,
    ) -> Result<()> {
        let what = "offsets of a transaction";
        self.expect_state(State::Open, what)?;
        let Some(member) = generation.0.downcast_ref::<Identity>() else {
            return Err(Error::Fatal {
                what: what.to_owned(),
                reason: "the generation is another log's".to_owned(),
            });
        };
        if offsets.is_empty() {
            return Ok(());
        }
        let list = list_of(offsets)?;
        self.retrying(what, self.patience, |sender, wait| sender.send_offsets(&list, member, wait))
    }

    fn commit(&mut self) -> Result<()> {
        let what = "commit of a transaction";
        self.expect_state(State::Open, what)?;
        self.flush()?;
        match self.retrying(what, self.patience, Sender::commit) {
            Ok(()) => {
                self.state = State::Ready;
                Ok(())
            }
            Err(Error::Unavailable { what, reason }) => {
                self.state = State::Unsettled;
                Err(Error::Aborted { what, reason: format!("{reason}; it may still count") })
            }
            Err(error) => Err(error),
        }
    }

    fn abort(&mut self) -> Result<()> {
        if self.state == State::Ready {
            return Ok(());
        }
        let what = "abort of a transaction";
        self.expect_state(State::Open, what)?;
        let aborted = self.retrying(what, ABORT_STEP, Sender::abort);
        self.sender.take_failure();
        match aborted {
            Ok(()) => {
                self.state = State::Ready;
                Ok(())
            }
            Err(Error::Unavailable { what, reason } | Error::Aborted { what, reason }) => {
                self.state = State::Unsettled;
                Err(Error::Fenced { what, reason })
            }
            Err(error) => Err(error),
        }
    }
}

/// A record in words: its sizes, since key and value may be anything.
fn told(record: &OutgoingRecord<'_>) -> String {
    let bytes = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
    format!("key of {} bytes, value of {}", bytes(record.key), bytes(record.value))
}

/// So long what is in flight beside a failed record is waited for.
const COMPANY: Duration = Duration::from_millis(20);

/// An abort waits inside the client until the failures of unsent records are taken in, which it
/// does not do itself; so it is called again in between.
const ABORT_STEP: Duration = Duration::from_millis(10);

impl fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KafkaProducer({:?}, {:?})", self.state, self.sender)
    }
}
