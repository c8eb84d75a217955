//! What a topology says about a store, and how a task makes its own copy of it.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{SharedStore, StoreKind, StoreSpec};

use crate::error::{Error, Result};
use crate::store::described::Described;
use crate::store::options::StoreOptions;
use crate::store::place::StorePlace;
use crate::store::source_topic::SourceTopic;
use crate::store::state_store::StateStore;

/// A store as the topology knows it; each task makes its own from it.
pub(crate) trait StoreSupplier: Send + Sync + fmt::Debug {
    /// What it has in common with all kinds.
    fn options(&self) -> &StoreOptions;

    /// How its keys are laid out.
    fn kind(&self) -> StoreKind {
        StoreKind::KeyValue
    }

    /// How long it keeps rows that expire, if they do.
    fn retention_ms(&self) -> Option<i64> {
        None
    }

    /// Its name, unique in the topology.
    fn name(&self) -> &str {
        &self.options().name
    }

    /// What the bytes below need to know.
    fn spec(&self) -> StoreSpec {
        self.options().spec(self.kind())
    }

    /// The settings of its changelog topic; none if it is not logged. The changelog of a window
    /// store keeps `retention_extra_ms` more than the store: clocks differ, and what the broker
    /// deletes too early cannot be restored.
    fn changelog_config(&self, retention_extra_ms: i64) -> Option<Vec<(String, String)>> {
        let kept = self.retention_ms().map(|kept| kept.saturating_add(retention_extra_ms));
        self.options().changelog_config(kept)
    }

    /// How long it keeps earlier versions of its rows, if it does.
    fn history_ms(&self) -> Option<i64> {
        None
    }

    /// The same store, restored from this topic and without a changelog; none if it cannot be, or has none anyway.
    fn restored_from(&self, _source: &SourceTopic) -> Option<Arc<dyn StoreSupplier>> {
        None
    }

    /// Of a global table: its `Committed<K, V>` over the store that all threads read.
    fn committed_in(&self, _store: &SharedStore) -> Box<dyn Any> {
        Box::new(())
    }

    /// Why it cannot be, if it cannot.
    fn refusal(&self) -> Option<&'static str> {
        None
    }

    /// Makes the store of one task. Its changelog topic must exist.
    ///
    /// # Errors
    /// When the changelog topic is not there.
    fn make(&self, place: &StorePlace) -> Result<TaskStore>;
}

/// The store of one task: for the host without types, for its operators with them.
#[derive(Clone)]
pub(crate) struct TaskStore {
    state: Rc<RefCell<dyn StateStore>>,
    typed: Rc<dyn Any>,
    described: fn() -> String,
}

impl fmt::Debug for TaskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskStore")
    }
}

impl TaskStore {
    pub(crate) fn new<S: StateStore + Described + 'static>(store: S) -> Self {
        let typed = Rc::new(RefCell::new(store));
        let state: Rc<RefCell<dyn StateStore>> = Rc::<RefCell<S>>::clone(&typed);
        Self { state, typed, described: S::described }
    }

    /// The store as the host sees it.
    pub(crate) fn state(&self) -> &Rc<RefCell<dyn StateStore>> {
        &self.state
    }

    /// The store as its operators see it, for example `typed::<TableStore<String, i64>>()`.
    ///
    /// # Errors
    /// `Fatal` if it is of another type: a fault of the topology, or of the test that looks at it.
    pub(crate) fn typed<S: StateStore + Described + 'static>(&self) -> Result<Rc<RefCell<S>>> {
        Rc::clone(&self.typed).downcast::<RefCell<S>>().map_err(|_| Error::Fatal {
            what: format!("connecting store {}", self.state.borrow().name()),
            reason: format!("it is {}, not {}", (self.described)(), S::described()),
        })
    }
}
