//! An issuer of one's own, for tests and the demo.

mod local;
mod person;

pub(super) use local::LOCAL;
pub use local::{LocalIssuer, NotLoopback};
pub use person::Person;
