//! The node of a join of a stream with a table: a record meets the row of its key.

use std::sync::Arc;

use crate::chain::{Children, Faults, Node, Operator, TaskContext};
use crate::error::Result;
use crate::operators::table::{KTable, Lookup, View};
use crate::policy::DropReason;
use crate::record::{Data, Record};
use crate::serde::Serde;
use crate::store::Serdes;
use crate::topology::Linker;

/// What is null, and what becomes of it.
pub(super) struct Nulls<K, V> {
    key: Arc<dyn Serde<K>>,
    value: Option<Arc<dyn Serde<V>>>,
    /// Null keys go on, without a row.
    keys_pass: bool,
}

impl<K, V> Clone for Nulls<K, V> {
    fn clone(&self) -> Self {
        Self { key: Arc::clone(&self.key), value: self.value.clone(), keys_pass: self.keys_pass }
    }
}

impl<K, V: 'static> Nulls<K, V> {
    pub(super) fn of_table<R>(table: &KTable<K, R>) -> Self {
        Self { key: Arc::clone(&table.key), value: None, keys_pass: false }
    }

    pub(super) fn of(serdes: &Serdes<K, V>) -> Self {
        let (key, value) = (Arc::clone(&serdes.key), Some(Arc::clone(&serdes.value)));
        Self { key, value, keys_pass: false }
    }

    pub(super) fn left(self) -> Self {
        Self { keys_pass: true, ..self }
    }

    /// Whether records without a key go on, without a row.
    pub(super) fn keys_pass(&self) -> bool {
        self.keys_pass
    }

    /// Whether a value is null, where that is looked at.
    fn is_null(&self, value: &V) -> bool {
        self.value.as_ref().is_some_and(|serde| serde.is_null(value))
    }
}

pub(super) struct StreamTable<K, V, R, VO, F> {
    f: Arc<F>,
    rows: Box<dyn Lookup<K, R>>,
    nulls: Nulls<K, V>,
    children: Children<K, VO>,
    pub(super) faults: Faults,
}

impl<K: Data, V: Data, R: Data, VO: Data, F> StreamTable<K, V, R, VO, F> {
    pub(super) fn make(
        linker: &mut Linker<'_>,
        view: &View<K, R>,
        nulls: &Nulls<K, V>,
        f: &Arc<F>,
    ) -> Result<Self> {
        linker.may_drop(&[DropReason::NullKey, DropReason::NullValue])?;
        Ok(Self {
            f: Arc::clone(f),
            rows: view.open(linker)?,
            nulls: nulls.clone(),
            children: linker.children::<K, VO>()?,
            faults: linker.faults()?,
        })
    }

    /// Whether a record has a key and a value, without which it does not wait.
    pub(super) fn can_wait(&self, record: &Record<K, V>) -> bool {
        !self.nulls.is_null(&record.value) && !self.nulls.key.is_null(&record.key)
    }
}

impl<K, V, R, VO, F> Node for StreamTable<K, V, R, VO, F> {}

impl<K, V, R, VO, F> Operator<K, V> for StreamTable<K, V, R, VO, F>
where
    K: Data,
    V: Data,
    R: Data,
    VO: Data,
    F: Fn(V, Option<&R>) -> Option<VO>,
{
    #[inline]
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        let Record { key, value, timestamp, headers } = record;
        if self.nulls.is_null(&value) {
            return self.faults.dropped(
                DropReason::NullValue,
                ctx,
                format_args!("its value is null"),
            );
        }
        let row = match self.nulls.key.is_null(&key) {
            false => self.rows.get_as_of(&key, timestamp)?,
            true if self.nulls.keys_pass => None,
            true => {
                return self.faults.dropped(
                    DropReason::NullKey,
                    ctx,
                    format_args!("its key is null"),
                );
            }
        };
        match (self.f)(value, row.as_ref().map(|(row, _)| row)) {
            Some(value) => self.children.forward(Record { key, value, timestamp, headers }, ctx),
            None => Ok(()),
        }
    }
}
