//! What an operator tells the store of a table, and what it is told.

use crate::record::{Change, Headers, Timestamp};

/// The record that causes a write: its time and its headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: &'a Headers,
}

/// What the operator does after a write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome<V> {
    /// Forward this now, with the headers of the record in hand.
    Forward { change: Change<V>, timestamp: Timestamp },
    /// Nothing: the cache holds it until the flush.
    Held,
    /// Flush now: the cache is full.
    Full,
    /// Nothing: the window has expired. The store counted it.
    Expired,
}

/// A change that the cache held back, to be forwarded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held<K, V> {
    pub(crate) key: K,
    pub(crate) change: Change<V>,
    pub(crate) timestamp: Timestamp,
    pub(crate) headers: Headers,
}
