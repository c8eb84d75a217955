//! Keys and values in their places in a map.

use smallvec::SmallVec;

/// What one entry costs beside its key and value: its place in the map, a quarter of which is free.
pub(crate) const ENTRY_OVERHEAD: usize = 128;

/// A key in its place in the map: comparing keys is most of what a put costs, and need not leave
/// the node for it. A window's has 20 bytes beside its key.
pub(crate) type InlineKey = SmallVec<[u8; 32]>;

/// The bytes of a value; a count, a sum or a timestamp needs nothing on the heap.
pub(crate) type InlineValue = SmallVec<[u8; 24]>;
