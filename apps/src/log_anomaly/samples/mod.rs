//! Lines that nobody's application wrote: the same for the same seed, with anomalies planted among them if wanted.

mod usual;
mod planted;
mod stream;

pub(super) use planted::Label;
pub(super) use stream::{HEADER, Samples};
