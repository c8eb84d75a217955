//! Anomalies: what operators see (`signal`), and what comes of it (`merge`).

mod kind;
mod signal;
mod sign_in;
mod watch;
mod values;
mod baseline;
mod detect;
mod anomaly;
mod merge;

pub use anomaly::{Anomaly, State};
pub(super) use baseline::Baseline;
pub(super) use detect::Detect;
pub use kind::{Kind, Severity};
pub(super) use merge::{Merge, Open};
pub(super) use sign_in::act_of;
pub(super) use signal::Signal;
pub(super) use values::{Values, ValuesKept};
pub(super) use watch::{ADDRESSES_MAX, Attempts, Watch};
