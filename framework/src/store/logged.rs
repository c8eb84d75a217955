//! What every store of a task has below its types: uncommitted writes, the changelog, what expires.
//!
//! A kind of store is a typed face above one of these: it makes local keys and the bytes of values, and
//! says what is logged. Local keys that expire are laid out as their [`Layout`] says; in
//! the changelog they stand as Java writes them.

use std::sync::Arc;

use millstream_state::{
    Appended, Batch, Direction, Dirty, KeyRange, Layers, Merged, StoreId, TaskStores,
};

use crate::error::Result;
use crate::record::{Headers, Timestamp};
use crate::store::changelog::Changelog;
use crate::store::expiry::Expiry;
use crate::store::layout::Layout;
use crate::store::options::StoreOptions;
use crate::store::place::StorePlace;
use crate::store::row::too_short;
use crate::store::source_topic::SourceTopic;
use crate::store::uncommitted::UncommittedBytes;

/// The part of a store that is the same for all kinds.
pub(super) struct Logged<V> {
    name: Arc<str>,
    id: StoreId,
    stores: TaskStores,
    dirty: Dirty<V>,
    /// Uncommitted rows that whoever put them reads elsewhere.
    appended: Appended,
    /// The uncommitted entries by time, of stores whose layout has them.
    entries: Dirty<()>,
    changelog: Option<Changelog>,
    /// What it is restored from instead.
    source: Option<SourceTopic>,
    /// Of stores with windows or sessions.
    expiry: Option<Expiry>,
    /// What stands before each key in the store, and not in the changelog.
    prefix: Option<u8>,
    /// The changelog's key in hand.
    changelog_key: Vec<u8>,
    /// The count of the task, and what of it is ours.
    uncommitted: UncommittedBytes,
    counted: usize,
}

impl<V> Drop for Logged<V> {
    fn drop(&mut self) {
        self.forget();
    }
}

impl<V> Logged<V> {
    /// Opens the store's changelog, whose topic must exist.
    pub(super) fn open(
        options: &StoreOptions,
        layout: Option<Layout>,
        place: &StorePlace,
    ) -> Result<Self> {
        Ok(Self {
            name: Arc::clone(&options.name),
            id: place.id,
            stores: place.stores.clone(),
            dirty: Dirty::new(),
            appended: Appended::new(),
            entries: Dirty::new(),
            changelog: options.open_changelog(place)?,
            source: options.source.clone(),
            expiry: layout.map(|layout| Expiry::new(layout, &place.stores, place.id)),
            prefix: None,
            changelog_key: Vec::new(),
            uncommitted: place.uncommitted.clone(),
            counted: 0,
        })
    }

    /// With local keys that have this before the key; the changelog has not.
    pub(super) fn with_prefix(mut self, prefix: u8) -> Self {
        self.prefix = Some(prefix);
        self
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn id(&self) -> StoreId {
        self.id
    }

    pub(super) fn stores(&self) -> &TaskStores {
        &self.stores
    }

    pub(super) fn changelog(&self) -> Option<&Changelog> {
        self.changelog.as_ref()
    }

    pub(super) fn source(&self) -> Option<&SourceTopic> {
        self.source.as_ref()
    }

    pub(super) fn expiry(&self) -> Option<&Expiry> {
        self.expiry.as_ref()
    }

    pub(super) fn expiry_mut(&mut self) -> Option<&mut Expiry> {
        self.expiry.as_mut()
    }

    /// About how many entries there are.
    pub(super) fn entries_estimate(&self) -> u64 {
        self.stores.entries_estimate(self.id) + (self.dirty.len() + self.appended.len()) as u64
    }

    /// The value of a local key, uncommitted or as `decode` reads it from what is stored.
    #[inline]
    pub(super) fn find(
        &self,
        local: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<V>,
    ) -> Result<Option<V>>
    where
        V: Clone,
    {
        if let Some(entry) = self.dirty.get(local) {
            return Ok(entry.value.clone());
        }
        self.stores.get_with(self.id, local, decode)?.transpose()
    }

    /// Whether there is a value of a local key, without reading it.
    pub(super) fn has(&self, local: &[u8]) -> Result<bool> {
        match self.dirty.get(local) {
            Some(entry) => Ok(entry.value.is_some()),
            None => Ok(self.stores.get_with(self.id, local, |_| ())?.is_some()),
        }
    }

    /// Writes a record of the changelog, if there is one; no value is a deletion.
    #[inline]
    pub(super) fn log(&mut self, local: &[u8], value: Option<&[u8]>, at: Timestamp) -> Result<()> {
        let mut key = self.without_prefix(local);
        if let Some(expiry) = &mut self.expiry
            && let Some(time) = expiry.layout().changelog_key(local, &mut self.changelog_key)
        {
            expiry.wrote(time);
            key = &self.changelog_key;
        }
        match &mut self.changelog {
            Some(changelog) => changelog.log(key, value, at),
            None => Ok(()),
        }
    }

    /// As [`Self::log`], with headers, and the time that the producer gives it.
    pub(super) fn log_untimed(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        headers: &Headers,
    ) -> Result<()> {
        match &mut self.changelog {
            Some(changelog) => changelog.log_untimed(key, value, headers),
            None => Ok(()),
        }
    }

    /// What was written since the last commit, by local key; none: deleted.
    pub(super) fn uncommitted(&self) -> Vec<(Vec<u8>, Option<V>)>
    where
        V: Clone,
    {
        self.dirty.snapshot(&KeyRange::all(), Direction::Forward)
    }

    /// A local key as the changelog has it.
    pub(super) fn changelog_key(&self, local: &[u8]) -> Vec<u8> {
        let mut key = Vec::new();
        let layout = self.expiry.as_ref().map(Expiry::layout);
        if layout.and_then(|layout| layout.changelog_key(local, &mut key)).is_none() {
            key.extend_from_slice(self.without_prefix(local));
        }
        key
    }

    fn without_prefix<'a>(&self, local: &'a [u8]) -> &'a [u8] {
        match self.prefix {
            Some(_) => local.get(1..).unwrap_or_default(),
            None => local,
        }
    }

    /// Puts a value, with its bytes as they are stored.
    #[inline]
    pub(super) fn put(&mut self, local: &[u8], value: V, stored: &[u8]) {
        self.dirty.put(local, value, stored);
        self.enter(local, true);
        self.count();
    }

    /// Puts a new key's value that is not read here before it is committed, in a layout without entries by time.
    #[inline]
    pub(super) fn append(&mut self, local: &[u8], stored: &[u8]) {
        self.appended.push(local, stored);
        self.count();
    }

    /// Deletes a local key.
    #[inline]
    pub(super) fn delete(&mut self, local: &[u8]) {
        self.dirty.delete(local);
        self.enter(local, false);
        self.count();
    }

    /// Writes or deletes the entry by time of a row, if the layout has them.
    #[inline]
    fn enter(&mut self, local: &[u8], is_there: bool) {
        let layout = self.expiry.as_ref().map(Expiry::layout);
        if let Some(layout) = layout.filter(|layout| layout.has_entries())
            && layout.entry(local, &mut self.changelog_key).is_some()
        {
            match is_there {
                true => self.entries.put(&self.changelog_key, (), &[]),
                false => self.entries.delete(&self.changelog_key),
            }
        }
    }

    /// The entries of the rows whose times lie in `[from, to]`, by time, of a layout that has them.
    pub(super) fn entries(&self, from: i64, to: i64) -> Merged<()> {
        let range = vec![Layout::entries(from, to)];
        Merged::over(&self.entries, &self.stores, self.id, range, Direction::Forward)
    }

    /// The first of them.
    pub(super) fn first_entry(&self, from: i64) -> Result<Option<Vec<u8>>> {
        let range = Layout::entries(from, i64::MAX);
        Ok(self.entries.edge(&self.stores, self.id, &range, Direction::Forward)?)
    }

    /// The first (last, if read backwards) local key of a range; nothing is copied for it.
    pub(super) fn edge(&self, range: &KeyRange, direction: Direction) -> Result<Option<Vec<u8>>> {
        Ok(self.dirty.edge(&self.stores, self.id, range, direction)?)
    }

    /// Ranges of local keys, read one after another.
    pub(super) fn scan(&self, ranges: Vec<KeyRange>, direction: Direction) -> Merged<V>
    where
        V: Clone,
    {
        self.scan_below(ranges, direction, Vec::new(), i64::MIN)
    }

    /// As [`Self::scan`], with `above` (by local key; none: there is nothing) on top of all that is here. What has a
    /// time before `from` is not wanted.
    pub(super) fn scan_below(
        &self,
        ranges: Vec<KeyRange>,
        direction: Direction,
        above: Vec<(Vec<u8>, Option<V>)>,
        from: i64,
    ) -> Merged<V>
    where
        V: Clone,
    {
        let committed = self.expiry.as_ref().is_none_or(|expiry| expiry.may_be_committed(from));
        let stored = committed.then_some((&self.stores, self.id));
        Layers { above, dirty: &self.dirty, stored }.scan(ranges, direction)
    }

    /// Takes over a record of the changelog, with its value as it is stored; of windows that have expired
    /// only the time counts.
    pub(super) fn restore(
        &mut self,
        batch: &mut Batch,
        key: &[u8],
        stored: Option<&[u8]>,
    ) -> Result<()> {
        let mut local = Vec::new();
        let key = match &mut self.expiry {
            None => key,
            Some(expiry) => {
                let time = expiry.layout().local_key(key, &mut local);
                let time = time.ok_or_else(|| too_short(&self.name))?;
                if !expiry.restores(time, batch, self.id) {
                    return Ok(());
                }
                &local
            }
        };
        match stored {
            Some(stored) => batch.put(self.id, key, stored),
            None => batch.delete(self.id, key),
        }
        let mut entry = Vec::new();
        let layout = self.expiry.as_ref().map(Expiry::layout);
        if layout.and_then(|layout| layout.entry(key, &mut entry)).is_some() {
            match stored {
                Some(_) => batch.put(self.id, &entry, &[]),
                None => batch.delete(self.id, &entry),
            }
        }
        Ok(())
    }

    /// Moves everything uncommitted into the batch.
    pub(super) fn drain(&mut self, batch: &mut Batch) {
        self.dirty.drain_into(batch, self.id);
        self.appended.drain_into(batch, self.id);
        self.entries.drain_into(batch, self.id);
        self.count();
        if let Some(expiry) = &mut self.expiry {
            expiry.note(batch, self.id);
        }
    }

    pub(super) fn drop_expired(&self) -> Result<()> {
        self.expiry.as_ref().map_or(Ok(()), |expiry| expiry.drop_expired(&self.stores, self.id))
    }

    /// How many puts were dropped as expired since the last call.
    pub(super) fn take_expired(&mut self) -> u64 {
        self.expiry.as_mut().map_or(0, Expiry::take_dropped)
    }

    /// Forgets everything uncommitted.
    pub(super) fn rollback(&mut self) {
        self.forget();
        if let Some(expiry) = &mut self.expiry {
            expiry.rollback();
        }
    }

    fn forget(&mut self) {
        self.dirty.clear();
        self.appended.clear();
        self.entries.clear();
        self.count();
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.rollback();
        if let Some(expiry) = &mut self.expiry {
            expiry.clear();
        }
        Ok(self.stores.clear(self.id)?)
    }

    #[inline]
    fn count(&mut self) {
        // Who appends has the values in memory, too, typed.
        let bytes = self.dirty.bytes() + self.entries.bytes() + 2 * self.appended.bytes();
        self.uncommitted.change(self.counted, bytes);
        self.counted = bytes;
    }
}

#[cfg(test)]
mod tests {
    use crate::store::key_value::{KeyValueSpec, KeyValueStore};
    use crate::store::options::StoreOptions;
    use crate::store::tests::{DAY_MS, Rig, text_to_text};

    #[test]
    fn the_task_counts_what_its_stores_hold() {
        let spec = || KeyValueSpec {
            options: StoreOptions::named("s"),
            serdes: text_to_text(),
            entries_max: None,
        };
        let rig = Rig::new(&spec(), 0);
        let store = KeyValueStore::<String, String>::of(&rig.store, &rig.time).unwrap();
        let count = || rig.place.uncommitted.get();
        assert_eq!(count(), 0);
        store.put("key".to_owned(), "x".repeat(1_000)).unwrap();
        let one = count();
        assert!(one > 2_000 && one < DAY_MS as usize, "{one}");
        store.put("key".to_owned(), "y".repeat(1_000)).unwrap();
        assert_eq!(count(), one, "the same key again");
        store.put("other".to_owned(), String::new()).unwrap();
        assert!(count() > one);
        rig.rollback();
        assert_eq!(count(), 0);
        store.put("key".to_owned(), "z".to_owned()).unwrap();
        let other = rig.reopened(&spec());
        let second = KeyValueStore::<String, String>::of(&other, &rig.time).unwrap();
        second.put("more".to_owned(), "z".to_owned()).unwrap();
        let both = count();
        rig.commit();
        assert!(count() > 0 && count() < both, "the other store still holds its own");
        drop((second, other));
        assert_eq!(count(), 0, "what a store held goes with it");
    }
}
