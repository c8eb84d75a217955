//! A key in a window.

/// A key in a window: `start` inclusive and `end` exclusive for time windows, in milliseconds.
///
/// ```
/// use millstream::record::Windowed;
///
/// let window = Windowed { key: "ada", start: 60_000, end: 120_000 };
/// assert_eq!((window.end - window.start) / 1_000, 60);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Windowed<K> {
    /// The key.
    pub key: K,
    /// Start of the window, inclusive.
    pub start: i64,
    /// End of the window (exclusive for time windows).
    pub end: i64,
}
