//! What the suites share: a real Kafka of their own, and waiting for a condition with a deadline.
//!
//! The suites themselves are the test targets of this package: `contract`, `conformance`, `broker` and `tidy`;
//! `./test SUITE` in the repository's root runs one of them.

pub mod files;
pub mod kafka;
pub mod wait;
