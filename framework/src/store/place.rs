//! Where the stores of a task are made.

use std::sync::Arc;

use millstream_state::{StoreId, TaskStores};

use crate::collector::Collector;
use crate::record::RecordTime;
use crate::store::cache::CacheBudget;
use crate::store::uncommitted::UncommittedBytes;

/// Where a store is made.
#[derive(Clone, Debug)]
pub(crate) struct StorePlace {
    /// The store's place among the task's stores.
    pub(crate) id: StoreId,
    /// The bytes below.
    pub(crate) stores: TaskStores,
    /// The way to the changelog.
    pub(crate) collector: Collector,
    /// The prefix of the changelog's name.
    pub(crate) application_id: Arc<str>,
    /// The time of the record in hand.
    pub(crate) record_time: RecordTime,
    /// The task's partition.
    pub(crate) partition: i32,
    /// What the record caches of the worker share.
    pub(crate) cache_budget: CacheBudget,
    /// What counts the uncommitted bytes of the task's stores.
    pub(crate) uncommitted: UncommittedBytes,
}
