//! Sources: from bytes in a partition to typed records with a timestamp.

mod consumed;
mod decoding;

pub use consumed::Consumed;
pub(crate) use consumed::{Extractor, Reading};
pub(crate) use decoding::Decoding;
