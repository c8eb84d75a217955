//! The timestamp of the record in hand, shared by a task with its stores.
//!
//! A store without timestamps of its own logs its writes at this time, as Kafka Streams does. The
//! node that hands a record to a processor of the user's sets it for the length of the call; inside
//! a punctuation it is the punctuation's time.

use std::cell::Cell;
use std::rc::Rc;

use crate::record::record::Timestamp;

/// The time of what is being processed; a clone shares it.
#[derive(Clone, Debug)]
pub(crate) struct RecordTime(Rc<Cell<Timestamp>>);

impl Default for RecordTime {
    fn default() -> Self {
        Self(Rc::new(Cell::new(Timestamp(-1))))
    }
}

impl RecordTime {
    /// The time now in force.
    #[inline]
    pub(crate) fn get(&self) -> Timestamp {
        self.0.get()
    }

    /// Sets the time and returns the one before, to be put back when the call is over: what a
    /// processor forwards may pass through another one.
    #[inline]
    pub(crate) fn replace(&self, time: Timestamp) -> Timestamp {
        self.0.replace(time)
    }
}
