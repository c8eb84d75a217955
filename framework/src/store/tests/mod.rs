//! The stores over a memory log: what they keep, what they log, what a restart finds.

mod buffer;
mod kept_rows;
mod key_value;
mod model;
mod bounded;
mod custom;
mod session;
mod sessions;
mod timestamped;
mod table;
mod versions;
mod window;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{StoreId, TaskStores};

use crate::collector::{Collector, WorkerProducer};
use crate::error::BoxError;
use crate::log::memory::{MemoryLog, MemoryRecord};
use crate::log::{Log, NewTopic, ProducerSpec, RawRecord};
use crate::record::{RecordTime, Timestamp};
use crate::serde::{Null, Place, Serde};
use crate::store::cache::CacheBudget;
use crate::store::place::StorePlace;
use crate::store::serdes::Serdes;
use crate::store::supplier::{StoreSupplier, TaskStore};
use crate::store::uncommitted::UncommittedBytes;

/// Strings as UTF-8.
pub(crate) struct Text;

impl Serde<String> for Text {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        value: &String,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        into.extend_from_slice(value.as_bytes());
        Ok(Null::No)
    }

    fn deserialize(&self, _: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<String, BoxError> {
        Ok(String::from_utf8(bytes.ok_or("null")?.to_vec())?)
    }
}

/// Longs as Java writes them; the smallest one stands for null.
pub(crate) struct Long;

impl Serde<i64> for Long {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        value: &i64,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        if *value == i64::MIN {
            return Ok(Null::Yes);
        }
        into.extend_from_slice(&value.to_be_bytes());
        Ok(Null::No)
    }

    fn deserialize(&self, _: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<i64, BoxError> {
        Ok(i64::from_be_bytes(bytes.ok_or("null")?.try_into()?))
    }
}

/// What Kafka Streams adds to the retention of a window changelog.
pub(crate) const DAY_MS: i64 = 86_400_000;

pub(crate) fn text_to_long() -> Serdes<String, i64> {
    Serdes::given(Arc::new(Text), Arc::new(Long))
}

pub(crate) fn text_to_text() -> Serdes<String, String> {
    Serdes::given(Arc::new(Text), Arc::new(Text))
}

/// One store of one task, with a log of its own.
pub(crate) struct Rig {
    log: MemoryLog,
    pub(crate) place: StorePlace,
    /// The time in hand of its handles.
    pub(crate) time: RecordTime,
    pub(crate) store: TaskStore,
    topic: String,
    cache_bytes: usize,
}

impl Rig {
    pub(crate) fn new(supplier: &dyn StoreSupplier, cache_bytes: usize) -> Self {
        Self::within(supplier, CacheBudget::new(cache_bytes), cache_bytes)
    }

    /// With so much room for what is kept after it was committed.
    pub(crate) fn keeping(supplier: &dyn StoreSupplier, bytes: usize) -> Self {
        Self::within(supplier, CacheBudget::new(0).with_kept_rows(bytes), 0)
    }

    fn within(supplier: &dyn StoreSupplier, cache_budget: CacheBudget, cache_bytes: usize) -> Self {
        let log = MemoryLog::new();
        let topic = format!("app-{}-changelog", supplier.name());
        let config = supplier.changelog_config(DAY_MS).unwrap_or_default();
        let name = topic.clone();
        log.create(&[NewTopic { name, partitions: 1, replication_factor: 1, config }]).unwrap();
        let producer = log.producer(&ProducerSpec::default()).unwrap();
        let producer = WorkerProducer::new(Arc::new(log.clone()), producer, false);
        let time = RecordTime::default();
        let place = StorePlace {
            id: StoreId(0),
            stores: TaskStores::in_memory(&[supplier.spec()]),
            collector: Collector::new(Rc::new(RefCell::new(producer))),
            application_id: "app".into(),
            record_time: time.clone(),
            partition: 0,
            cache_budget,
            uncommitted: UncommittedBytes::default(),
        };
        let store = supplier.make(&place).unwrap();
        Self { log, place, time, store, topic, cache_bytes }
    }

    /// The same store made anew over the same state: what a restart finds.
    pub(crate) fn reopened(&self, supplier: &dyn StoreSupplier) -> TaskStore {
        supplier.make(&self.place).unwrap()
    }

    pub(crate) fn at(&self, time: i64) {
        self.time.replace(Timestamp(time));
    }

    /// The commit of a store, after its record cache was flushed.
    pub(crate) fn commit(&self) {
        let mut batch = self.place.stores.batch();
        self.store.state().borrow_mut().drain(&mut batch);
        self.place.stores.write(batch).unwrap();
        self.store.state().borrow_mut().drop_expired().unwrap();
    }

    pub(crate) fn logged(&self) -> Vec<MemoryRecord> {
        self.log.records(&self.topic)
    }

    /// The changelog as `key=value@time` in hex.
    pub(crate) fn logged_hex(&self) -> Vec<String> {
        let line = |record: &MemoryRecord| {
            let value = record.value.as_deref().map_or("null".to_owned(), hex);
            format!("{}={value}@{}", hex(record.key.as_deref().unwrap()), record.timestamp)
        };
        self.logged().iter().map(line).collect()
    }

    /// A store of another task, restored from this one's changelog.
    pub(crate) fn restored(&self, supplier: &dyn StoreSupplier) -> Rig {
        let other = Rig::new(supplier, self.cache_bytes);
        other.restore(self.logged());
        other
    }

    /// Throws its content away and restores it from its changelog.
    pub(crate) fn rebuild(&self) {
        self.store.state().borrow_mut().clear().unwrap();
        self.restore(self.logged());
    }

    fn restore(&self, logged: Vec<MemoryRecord>) {
        let mut batch = self.place.stores.batch();
        for record in logged {
            let raw = RawRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: record.headers.clone(),
            };
            self.store.state().borrow_mut().restore(&mut batch, &raw).unwrap();
        }
        self.store.state().borrow_mut().restored(&mut batch);
        self.place.stores.write(batch).unwrap();
    }

    pub(crate) fn rollback(&self) {
        self.store.state().borrow_mut().rollback();
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
