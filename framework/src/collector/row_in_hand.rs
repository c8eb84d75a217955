//! Rows that a table hands on later: what a dead letter about one of them is made of.

use std::sync::Arc;

use crate::error::Result;
use crate::record::{Headers, Timestamp};

/// A row that a table is handing on, as its changelog has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowInHand {
    pub(crate) key: Vec<u8>,
    /// None if the row was deleted.
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Timestamp,
    /// Those of the record that changed it last, as long as the record cache has them.
    pub(crate) headers: Headers,
}

/// What hands on rows that may be far from the record that set this off.
pub(crate) trait HandsOnRows {
    /// The name of its changelog, also if it is not logged: the topic that its rows are said to come from.
    fn changelog_name(&self) -> &Arc<str>;

    /// The row that is being handed on; looked up only when something downstream refuses it.
    ///
    /// # Errors
    /// When the local state fails.
    fn row_in_hand(&self) -> Result<RowInHand>;
}

/// A record as its node would write it, for a dead letter about one that came from nowhere.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: Headers,
}

impl Written {
    /// Key and value with time and headers.
    pub(crate) fn new(
        (key, value): (Option<Vec<u8>>, Option<Vec<u8>>),
        timestamp: Timestamp,
        headers: &Headers,
    ) -> Self {
        Self { key, value, timestamp, headers: headers.clone() }
    }
}
