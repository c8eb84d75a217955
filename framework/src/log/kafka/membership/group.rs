//! What the polling thread and the member handles share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::log::kafka::events::Consumer;
use crate::log::kafka::tap::Tap;
use crate::record::TopicPartition;

/// A group that this process is a member of.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) consumer: Arc<Consumer>,
    pub(super) taps: Mutex<BTreeMap<TopicPartition, Arc<Tap>>>,
    pub(super) request_timeout: Duration,
}
