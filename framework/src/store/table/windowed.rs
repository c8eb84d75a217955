//! The store of a table of windows.

use std::rc::Rc;

use millstream_state::{StoreKind, WindowLayout, WindowOrder};

use crate::error::Result;
use crate::record::{Data, Windowed};
use crate::store::keys::{RowKeys, WindowKeys};
use crate::store::layout::Layout;
use crate::store::logged::Logged;
use crate::store::options::{StoreOptions, debug_by_options};
use crate::store::place::StorePlace;
use crate::store::serdes::Serdes;
use crate::store::supplier::{StoreSupplier, TaskStore};
use crate::store::table::rows::Rows;
use crate::store::table::table::TableStore;

/// The store of a table of windows: a [`TableStore`] of `Windowed<K>`.
pub(crate) struct WindowTableSpec<K, V> {
    pub(crate) options: StoreOptions,
    /// The key's serde is that of the key inside the window.
    pub(crate) serdes: Serdes<K, V>,
    pub(crate) cached: bool,
    pub(crate) retention_ms: i64,
    pub(crate) window_size_ms: i64,
    /// `TimeFirst` for emit-on-close (of sliding windows, whose store is not cached then, `KeyFirstAndTime`), `KeyFirst`
    /// otherwise.
    pub(crate) order: WindowOrder,
    /// Ranges of it are read at each record.
    pub(crate) ranged: bool,
}

impl<K, V> WindowTableSpec<K, V> {
    fn layout(&self) -> WindowLayout {
        WindowLayout::new(self.order, self.retention_ms)
    }
}

debug_by_options!(WindowTableSpec);

impl<K: Data, V: Data> StoreSupplier for WindowTableSpec<K, V> {
    fn options(&self) -> &StoreOptions {
        &self.options
    }

    fn kind(&self) -> StoreKind {
        StoreKind::Window(self.layout())
    }

    fn retention_ms(&self) -> Option<i64> {
        Some(self.retention_ms)
    }

    fn make(&self, place: &StorePlace) -> Result<TaskStore> {
        let (inner, values) = self.serdes.codecs(&self.options.name, place);
        let layout = self.layout();
        let rows =
            Rows::new(Logged::open(&self.options, Some(Layout::Window(layout)), place)?, values);
        let keys: Rc<dyn RowKeys<Windowed<K>>> =
            Rc::new(WindowKeys::new(inner, layout, self.window_size_ms));
        let cache = self.cached.then_some(&place.cache_budget);
        let mut store = TableStore::<Windowed<K>, V>::new(keys, rows, cache);
        if self.ranged {
            store.keep_ordered();
        }
        Ok(TaskStore::new(store))
    }
}
