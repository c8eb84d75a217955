//! Faults on command: what the simulation does to a broker.
//!
//! A fault is planned for an operation and a number of calls, and is used up by them in order.
//! Nothing here knows what the operations mean; each asks before it acts.

use std::collections::VecDeque;

use crate::error::{Error, Result};

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// [`crate::log::Log::describe`], `create`, `delete_records`, `offsets` and `offset_at`.
    Admin,
    /// [`crate::log::Log::committed`].
    Committed,
    /// [`crate::log::Log::producer`].
    OpenProducer,
    /// [`crate::log::Producer::begin`].
    Begin,
    /// [`crate::log::Producer::send`].
    Send,
    /// [`crate::log::Producer::flush`].
    Flush,
    /// [`crate::log::Producer::send_offsets`].
    SendOffsets,
    /// [`crate::log::Producer::commit`].
    Commit,
    /// [`crate::log::Producer::abort`].
    Abort,
    /// [`crate::log::Member::commit`].
    CommitOffsets,
    /// [`crate::log::Membership::poll`].
    Poll,
    /// [`crate::log::PartitionQueue::pull`].
    Pull,
    /// [`crate::log::Reader::read`].
    Read,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It does not happen: `Error::Unavailable`.
    Unavailable,
    /// It does not happen: `Error::Fenced`.
    Fenced,
    /// It does not happen: `Error::Aborted`.
    Aborted,
    /// It happens, but the answer is lost: the caller gets `Error::Aborted` from the end of a
    /// transaction and `Error::Unavailable` elsewhere.
    LostAnswer,
    /// It happens twice; only [`Operation::Send`] outside transactions knows this one, for others
    /// it is as no fault.
    Repeated,
}

/// What an operation that is allowed to go on must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Normal,
    LoseAnswer,
    Repeat,
}

/// The faults still to come.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    planned: VecDeque<(Operation, Fault, usize)>,
}

impl Faults {
    pub(crate) fn plan(&mut self, operation: Operation, fault: Fault, times: usize) {
        if times > 0 {
            self.planned.push_back((operation, fault, times));
        }
    }

    /// Asked by every operation before it acts.
    pub(crate) fn before(&mut self, operation: Operation) -> Result<Course> {
        let Some(index) = self.planned.iter().position(|(of, _, _)| *of == operation) else {
            return Ok(Course::Normal);
        };
        let Some((_, fault, times)) = self.planned.get_mut(index) else {
            return Ok(Course::Normal);
        };
        let fault = *fault;
        *times -= 1;
        if *times == 0 {
            self.planned.remove(index);
        }
        let (what, reason) = (format!("{operation:?}"), "fault on command".to_owned());
        match fault {
            Fault::Unavailable => Err(Error::Unavailable { what, reason }),
            Fault::Fenced => Err(Error::Fenced { what, reason }),
            Fault::Aborted => Err(Error::Aborted { what, reason }),
            Fault::LostAnswer => Ok(Course::LoseAnswer),
            Fault::Repeated => Ok(Course::Repeat),
        }
    }

    /// The answer of an operation that was done, on its way to the caller.
    pub(crate) fn answer<T>(course: Course, operation: Operation, answer: T) -> Result<T> {
        if course != Course::LoseAnswer {
            return Ok(answer);
        }
        let (what, reason) = (format!("{operation:?}"), "answer lost on command".to_owned());
        match operation {
            Operation::Commit | Operation::Abort => Err(Error::Aborted { what, reason }),
            _ => Err(Error::Unavailable { what, reason }),
        }
    }
}
