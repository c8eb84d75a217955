//! The broker in this process: what the memory log and the embedded log share.
//!
//! One lock holds what the broker knows ([`state`]); a [`storage`] keeps records and positions.
//! Groups work as Kafka's classic protocol ([`group`]), transactions as Kafka's: records take
//! their offsets when they are sent, hold back the last stable offset until the end, and the end
//! takes an offset for a control record in each partition it wrote to ([`transaction`]). As on
//! Kafka the control records come partition by partition: the memory log can hold one back.

pub(crate) mod broker;
pub(crate) mod cleaning;
pub(crate) mod clock;
pub(crate) mod fault;
pub(crate) mod group;
pub(crate) mod handle;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod member;
pub(crate) mod producer;
pub(crate) mod queue;
pub(crate) mod reader;
mod signal;
pub(crate) mod state;
pub(crate) mod storage;
pub(crate) mod transaction;

pub(crate) use broker::{Broker, Manners};
pub(crate) use clock::Clock;
pub(crate) use log::LocalLog;
