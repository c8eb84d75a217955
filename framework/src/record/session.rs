//! A key in a session.

/// A key in a session: the times of its first and of its last record, in milliseconds, both inclusive.
///
/// ```
/// use millstream::record::Session;
///
/// let visit = Session { key: "ada", start: 60_000, end: 95_000 };
/// assert_eq!((visit.end - visit.start) / 1_000, 35);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Session<K> {
    /// The key.
    pub key: K,
    /// The time of the first record.
    pub start: i64,
    /// The time of the last record.
    pub end: i64,
}
