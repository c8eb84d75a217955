//! What is counted, and how it is asked for. Operators count in plain integers of their task; the
//! host carries the sums to the registry once per turn or interval, so that no record pays for a
//! shared counter.

mod health;
mod http;
mod registry;
mod tasks;
#[cfg(test)]
mod reference;

pub(crate) use health::{Beating, Heartbeats};
pub(crate) use http::{HttpServer, Probe};
pub(crate) use registry::Metrics;
