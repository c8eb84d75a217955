//! Where what is in hand came from: a record of a topic, or a row that a table hands on.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::collector::{HandsOnRows, RowInHand};
use crate::error::Result;
use crate::log::RecordBatch;

/// The origin of the record in hand; the batch is kept so that a dead letter can carry the
/// original bytes.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) batch: Rc<dyn RecordBatch>,
    pub(super) index: usize,
}

/// The origin of the rows that a table is handing on: the store knows which row is in hand.
pub(super) struct HeldRows {
    pub(super) store: Rc<RefCell<dyn HandsOnRows>>,
    /// The changelog's name.
    pub(super) topic: Arc<str>,
}

/// The origin of a record that an operator keeps for later, since a future is on its way for it.
pub(crate) struct HeldOrigin(pub(super) Held);

pub(super) enum Held {
    /// It was made by a punctuation.
    Nobody,
    Record(Origin),
    Row(Rc<RefCell<HeldRow>>),
}

impl fmt::Debug for HeldOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Held::Nobody => f.write_str("a punctuation"),
            Held::Record(at) => write!(f, "{}-{}@{}", at.topic, at.partition, at.offset),
            Held::Row(row) => write!(f, "a row of {}", row.borrow().topic),
        }
    }
}

/// A row that was handed on, with its bytes.
pub(super) struct HeldRow {
    pub(super) topic: Arc<str>,
    pub(super) row: RowInHand,
}

impl HandsOnRows for HeldRow {
    fn changelog_name(&self) -> &Arc<str> {
        &self.topic
    }

    fn row_in_hand(&self) -> Result<RowInHand> {
        Ok(self.row.clone())
    }
}
