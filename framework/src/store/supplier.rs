//! What a topology says about a store, and how a task makes its own copy of it.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{StoreId, StoreKind, StoreSpec, TaskStores, WindowLayout, WindowOrder};

use crate::collector::Collector;
use crate::error::{Error, Result};
use crate::record::{Data, RecordTime, Windowed};
use crate::serde::{HasSerde, Part, Serde};
use crate::store::StateStore;
use crate::store::cache_budget::CacheBudget;
use crate::store::changelog::Changelog;
use crate::store::codec::Codec;
use crate::store::expiry::Expiry;
use crate::store::key_value::KeyValueState;
use crate::store::rows::Rows;
use crate::store::table::TableStore;
use crate::store::table_keys::{PlainKeys, RowKeys, WindowKeys};
use crate::store::window::WindowState;

/// A store as the topology knows it; each task makes its own from it.
pub(crate) trait StoreSupplier: Send + Sync + fmt::Debug {
    /// Its name, unique in the topology.
    fn name(&self) -> &str;

    /// What the bytes below need to know.
    fn spec(&self) -> StoreSpec;

    /// The settings of its changelog topic; none if it is not logged. The changelog of a window
    /// store keeps `retention_extra_ms` more than the store: clocks differ, and what the broker
    /// deletes too early cannot be restored.
    fn changelog_config(&self, retention_extra_ms: i64) -> Option<Vec<(String, String)>>;

    /// Makes the store of one task. Its changelog topic must exist.
    ///
    /// # Errors
    /// When the changelog topic is not there.
    fn make(&self, place: &StorePlace) -> Result<TaskStore>;
}

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
    /// The task's partition.
    pub(crate) partition: i32,
    /// What the record caches of the worker share.
    pub(crate) cache_budget: CacheBudget,
    /// The time of the record in hand, as the nodes of the task set it.
    pub(crate) record_time: RecordTime,
}

/// The store of one task: for the host without types, for its operators with them.
#[derive(Clone)]
pub(crate) struct TaskStore {
    state: Rc<RefCell<dyn StateStore>>,
    typed: Rc<dyn Any>,
}

impl fmt::Debug for TaskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskStore")
    }
}

impl TaskStore {
    pub(crate) fn new<S: StateStore + 'static>(store: S) -> Self {
        let typed = Rc::new(RefCell::new(store));
        let state: Rc<RefCell<dyn StateStore>> = Rc::<RefCell<S>>::clone(&typed);
        Self { state, typed }
    }

    /// The store as the host sees it.
    pub(crate) fn state(&self) -> &Rc<RefCell<dyn StateStore>> {
        &self.state
    }

    /// The store as its operators see it, for example `typed::<TableStore<String, i64>>()`.
    ///
    /// # Errors
    /// `Fatal` if it is of another type: a fault of the topology.
    pub(crate) fn typed<S: StateStore + 'static>(&self) -> Result<Rc<RefCell<S>>> {
        Rc::clone(&self.typed).downcast::<RefCell<S>>().map_err(|_| Error::Fatal {
            what: format!("connecting store {}", self.state.borrow().name()),
            reason: format!("it is no {}", std::any::type_name::<S>()),
        })
    }
}

/// The serdes of a store.
pub(crate) struct Serdes<K, V> {
    pub(crate) key: Arc<dyn Serde<K>>,
    pub(crate) value: Arc<dyn Serde<V>>,
}

impl<K, V> Clone for Serdes<K, V> {
    fn clone(&self) -> Self {
        Self { key: Arc::clone(&self.key), value: Arc::clone(&self.value) }
    }
}

impl<K: HasSerde, V: HasSerde> Default for Serdes<K, V> {
    fn default() -> Self {
        Self { key: Arc::new(K::Serde::default()), value: Arc::new(V::Serde::default()) }
    }
}

impl<K: Data, V: Data> Serdes<K, V> {
    fn codecs(&self, name: &Arc<str>, place: &StorePlace) -> (Codec<K>, Codec<V>) {
        let topic: Arc<str> = changelog_topic(&place.application_id, name).into();
        let key =
            Codec::new(Arc::clone(&self.key), Part::Key, Arc::clone(name), Arc::clone(&topic));
        (key, Codec::new(Arc::clone(&self.value), Part::Value, Arc::clone(name), topic))
    }
}

/// The name of a store's changelog topic.
pub(crate) fn changelog_topic(application_id: &str, store: &str) -> String {
    format!("{application_id}-{store}-changelog")
}

/// What all kinds of stores have in common.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    /// Unique in the topology.
    pub(crate) name: Arc<str>,
    /// Not on disk: restored from the changelog's start each time.
    pub(crate) in_memory: bool,
    /// Whether there is a changelog.
    pub(crate) logged: bool,
    /// Settings of the changelog topic that go before the ones derived here.
    pub(crate) topic_config: Vec<(String, String)>,
}

impl StoreOptions {
    /// On disk and logged.
    pub(crate) fn named(name: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), in_memory: false, logged: true, topic_config: Vec::new() }
    }

    fn spec(&self, kind: StoreKind) -> StoreSpec {
        StoreSpec { name: self.name.to_string(), kind, in_memory: self.in_memory }
    }

    /// The settings of the changelog; `retention_ms` is that of a window store's topic.
    fn changelog_config(&self, retention_ms: Option<i64>) -> Option<Vec<(String, String)>> {
        if !self.logged {
            return None;
        }
        let mut config = vec![
            ("cleanup.policy".to_owned(), "compact".to_owned()),
            ("message.timestamp.type".to_owned(), "CreateTime".to_owned()),
        ];
        if let Some(retention_ms) = retention_ms {
            set(&mut config, "cleanup.policy", "compact,delete");
            set(&mut config, "retention.ms", &retention_ms.to_string());
        }
        for (name, value) in &self.topic_config {
            set(&mut config, name, value);
        }
        Some(config)
    }

    fn open_changelog(&self, place: &StorePlace) -> Result<Option<Changelog>> {
        if !self.logged {
            return Ok(None);
        }
        let topic = changelog_topic(&place.application_id, &self.name);
        Changelog::open(place.collector.clone(), &topic, place.partition).map(Some)
    }
}

fn set(config: &mut Vec<(String, String)>, name: &str, value: &str) {
    match config.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => config.push((name.to_owned(), value.to_owned())),
    }
}

/// A key-value store for processors.
pub(crate) struct KeyValueSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
}

/// A window store for processors.
pub(crate) struct WindowSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) retention_ms: i64,
    pub(crate) window_size_ms: i64,
    /// Keeps all values put for one key and start, in the order of their puts.
    pub(crate) duplicates: bool,
}

/// The store of a table.
pub(crate) struct TableSpec<K, V> {
    pub(crate) options: StoreOptions,
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) cached: bool,
}

/// The store of a table of windows: a [`TableStore`] of `Windowed<K>`.
pub(crate) struct WindowTableSpec<K, V> {
    pub(crate) options: StoreOptions,
    /// The key's serde is that of the key inside the window.
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) cached: bool,
    pub(crate) retention_ms: i64,
    pub(crate) window_size_ms: i64,
    /// `TimeFirst` for emit-on-close, `KeyFirst` otherwise.
    pub(crate) order: WindowOrder,
}

macro_rules! debug_by_options {
    ($($spec:ident),*) => { $(
        impl<K, V> fmt::Debug for $spec<K, V> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($spec)).field(&self.options).finish()
            }
        }
    )* };
}
debug_by_options!(KeyValueSpec, WindowSpec, TableSpec, WindowTableSpec);

impl<K: Data, V: Data> StoreSupplier for KeyValueSpec<K, V> {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn spec(&self) -> StoreSpec {
        self.options.spec(StoreKind::KeyValue)
    }

    fn changelog_config(&self, _retention_extra_ms: i64) -> Option<Vec<(String, String)>> {
        self.options.changelog_config(None)
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let name = &self.options.name;
        let codecs = self.serdes.codecs(name, place);
        let changelog = self.options.open_changelog(place)?;
        Ok(TaskStore::new(KeyValueState::new(Arc::clone(name), place, codecs, changelog)))
    }
}

impl<K, V> WindowSpec<K, V> {
    fn layout(&self) -> WindowLayout {
        WindowLayout::new(WindowOrder::KeyFirst, self.retention_ms)
    }
}

impl<K: Data, V: Data> StoreSupplier for WindowSpec<K, V> {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn spec(&self) -> StoreSpec {
        self.options.spec(StoreKind::Window(self.layout()))
    }

    fn changelog_config(&self, retention_extra_ms: i64) -> Option<Vec<(String, String)>> {
        let kept = self.retention_ms.saturating_add(retention_extra_ms);
        self.options.changelog_config(Some(kept))
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let name = &self.options.name;
        let codecs = self.serdes.codecs(name, place);
        let changelog = self.options.open_changelog(place)?;
        let expiry = Expiry::new(self.layout(), &place.stores, place.id);
        let sizes = (self.window_size_ms, self.duplicates);
        Ok(TaskStore::new(WindowState::new(name, place, codecs, (changelog, expiry), sizes)))
    }
}

impl<K: Data, V: Data> StoreSupplier for TableSpec<K, V> {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn spec(&self) -> StoreSpec {
        self.options.spec(StoreKind::KeyValue)
    }

    fn changelog_config(&self, _retention_extra_ms: i64) -> Option<Vec<(String, String)>> {
        self.options.changelog_config(None)
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let name = &self.options.name;
        let (keys, values) = self.serdes.codecs(name, place);
        let changelog = self.options.open_changelog(place)?;
        let rows = Rows::new(Arc::clone(name), place, values, changelog, None);
        let cache = self.cached.then_some(&place.cache_budget);
        Ok(TaskStore::new(TableStore::<K, V>::new(Rc::new(PlainKeys(keys)), rows, cache)))
    }
}

impl<K, V> WindowTableSpec<K, V> {
    fn layout(&self) -> WindowLayout {
        WindowLayout::new(self.order, self.retention_ms)
    }
}

impl<K: Data, V: Data> StoreSupplier for WindowTableSpec<K, V> {
    fn name(&self) -> &str {
        &self.options.name
    }

    fn spec(&self) -> StoreSpec {
        self.options.spec(StoreKind::Window(self.layout()))
    }

    fn changelog_config(&self, retention_extra_ms: i64) -> Option<Vec<(String, String)>> {
        let kept = self.retention_ms.saturating_add(retention_extra_ms);
        self.options.changelog_config(Some(kept))
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let name = &self.options.name;
        let (inner, values) = self.serdes.codecs(name, place);
        let changelog = self.options.open_changelog(place)?;
        let layout = self.layout();
        let expiry = Expiry::new(layout, &place.stores, place.id);
        let rows = Rows::new(Arc::clone(name), place, values, changelog, Some(expiry));
        let keys: Rc<dyn RowKeys<Windowed<K>>> =
            Rc::new(WindowKeys::new(inner, layout, self.window_size_ms));
        let cache = self.cached.then_some(&place.cache_budget);
        Ok(TaskStore::new(TableStore::<Windowed<K>, V>::new(keys, rows, cache)))
    }
}
