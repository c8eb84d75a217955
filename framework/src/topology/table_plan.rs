//! What a table is, written in the graph and read when a task is made: whether its rows are kept, and whether
//! it hands on old values.

use std::sync::Arc;

use crate::store::StoreSupplier;
use crate::topology::fault::TopologyFault;
use crate::topology::graph::Graph;
use crate::topology::ids::{NodeId, StoreIndex};
use crate::topology::table_traits::TableTraits;

impl Graph {
    /// Asks a table for old values, and the tables it computes its rows from up to the first that keeps its
    /// own. False if none of them does; with `force` a source above keeps its rows from now on.
    ///
    /// Called when the operator is added that asks: Java's outputs depend on that moment.
    pub(crate) fn want_old(&mut self, table: NodeId, force: bool) -> bool {
        let Some(traits) = self.table(table).cloned() else { return false };
        if traits.sends_old {
            return true;
        }
        let given = if traits.joins {
            for above in &traits.above {
                self.want_old(*above, true);
            }
            true
        } else {
            match (traits.kept, traits.above.first()) {
                (true, _) => true,
                (false, Some(above)) => self.want_old(*above, force),
                (false, None) => force && self.keep_spare(table),
            }
        };
        for node in traits.writers.into_iter().chain([table]).filter(|_| given) {
            if let Some(traits) = self.table_mut(node) {
                traits.sends_old = true;
            }
        }
        given
    }

    /// How long after its end the windows of a table may change; the longest of all that are above, if any are.
    pub(crate) fn closes_after(&self, table: NodeId) -> Option<i64> {
        let node = self.node(table)?;
        let own = self.table(table).and_then(|traits| traits.closes_after_ms);
        own.or_else(|| node.parents.iter().filter_map(|above| self.closes_after(*above)).max())
    }

    /// Notes how long after its end the windows of a table may change; none: they never close.
    pub(crate) fn set_closes_after(&mut self, table: NodeId, ms: Option<i64>) {
        if let Some(traits) = self.table_mut(table) {
            traits.closes_after_ms = ms;
        }
    }

    /// The store that a table keeps its rows in, if it does; a source does so from now on.
    pub(crate) fn store_of_rows(&mut self, table: NodeId) -> Option<StoreIndex> {
        let kept = self.table(table).is_some_and(|traits| traits.kept);
        let written = self.table(table).and_then(|traits| traits.written);
        (kept || self.keep_spare(table))
            .then(|| written.or_else(|| self.node(table)?.stores.first().copied()))?
    }

    /// How long the rows of a table keep their versions, if they do.
    pub(crate) fn history_ms(&self, table: NodeId) -> Option<i64> {
        let traits = self.table(table)?;
        match (traits.kept, &traits.spare) {
            (true, _) => {
                let own = traits.written.or_else(|| self.node(table)?.stores.first().copied())?;
                self.stores().get(own.0)?.history_ms()
            }
            (false, Some(spare)) => spare.history_ms(),
            (false, None) if traits.joins => None,
            (false, None) => self.history_ms(*traits.above.first()?),
        }
    }

    /// Opens the store that a source has in reserve; false if it has none.
    pub(crate) fn keep_spare(&mut self, table: NodeId) -> bool {
        let Some(spare) = self.table_mut(table).and_then(|traits| traits.spare.take()) else {
            let unsaid = |traits: &mut TableTraits| traits.reserved.take();
            if self.table_mut(table).and_then(unsaid).is_some() {
                let node = self.name_of(table).to_owned();
                self.fault(TopologyFault::RowsNotKept(node));
            }
            return false;
        };
        self.keep(table, spare);
        true
    }

    /// Keeps the rows of a table that computes them.
    pub(crate) fn keep_rows(&mut self, table: NodeId, store: Arc<dyn StoreSupplier>) {
        let traits = self.table(table);
        if traits.is_none_or(|traits| traits.kept) || self.has_children(table) {
            let node = self.name_of(table).to_owned();
            return self.fault(TopologyFault::KeptTooLate { node, store: store.name().to_owned() });
        }
        let reserved = self.table_mut(table).and_then(|traits| traits.reserved.take());
        if let Some(reserved) = reserved.filter(|reserved| *reserved != *store.name()) {
            self.give_back(&reserved);
        }
        self.keep(table, store);
    }

    fn keep(&mut self, table: NodeId, store: Arc<dyn StoreSupplier>) {
        let index = self.add_store(store);
        self.connect(table, index);
        if let Some(traits) = self.table_mut(table) {
            traits.kept = true;
        }
    }
}
