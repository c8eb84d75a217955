//! `materialized`: keeps the rows of a node that computes them.

use std::sync::Arc;

use crate::operators::table::handle::KTable;
use crate::record::Data;
use crate::store::{Materialized, TableSpec};

impl<K: Data, V: Data> KTable<K, V> {
    /// Keeps the rows of the node just added in a store, so that they can be asked for; joins look rows up
    /// in the nearest store above by themselves. To be said before anything is added below the node.
    ///
    /// ```
    /// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
    /// let builder = StreamsBuilder::new();
    /// let open = builder
    ///     .table::<String, String>("orders", "orders")
    ///     .filter(|_, state| state == "open")
    ///     .materialized("open-orders");
    ///
    /// let mut driver = TopologyDriver::new(&builder.build()?)?;
    /// driver.pipe("orders", &text("1", "open", 1))?;
    /// driver.pipe("orders", &text("2", "paid", 2))?;
    /// assert_eq!(driver.table::<String, String>("open-orders")?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn materialized(self, store: impl Into<Materialized<K, V>>) -> Self {
        let spec = Arc::new(TableSpec::from(store.into()));
        self.graph.borrow_mut().keep_rows(self.node, spec);
        self
    }
}
