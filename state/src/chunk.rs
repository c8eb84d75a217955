//! What is read of a store at once.

use crate::range::Direction;

/// What to read at once: at most `len` entries from `start` up to before `end`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunk<'a> {
    pub(crate) start: &'a [u8],
    pub(crate) end: Option<&'a [u8]>,
    pub(crate) direction: Direction,
    pub(crate) len: usize,
}

impl Chunk<'static> {
    /// Everything at once, for what is known to be small.
    pub(crate) fn whole() -> Self {
        Self { start: &[], end: None, direction: Direction::Forward, len: usize::MAX }
    }
}
