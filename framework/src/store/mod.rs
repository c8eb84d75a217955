//! Stores as operators and processors see them: typed, above the bytes of `millstream-state`.
//!
//! One file per layer. A write goes down, a read stops at the first layer that knows the key:
//!
//! ```text
//!   operator ──► TableStore ──► RecordCache ─┐ (flush: once per key and commit)
//!   processor ─► KeyValueStore / WindowStore ┼─► Changelog (each put, in order)
//!                                            └─► Dirty ── commit ──► Batch ──► TaskStores
//! ```
//!
//! | kind | made by | cached | changelog record |
//! |---|---|---|---|
//! | [`KeyValueStore`] | [`KeyValueSpec`] | no | value, time of the record in hand |
//! | [`WindowStore`] | [`WindowSpec`] | no | value, time of the record in hand |
//! | [`SessionStore`] | [`SessionSpec`] | no | value, time of the record in hand |
//! | [`TimestampedKeyValueStore`], [`VersionedKeyValueStore`] | [`TableSpec`] | no | value, with the time that was put |
//! | [`CustomStore`], the user's own | [`CustomSpec`] | no | what it logs |
//! | [`TableStore`] of any key | [`TableSpec`] | if wanted | value, time of the row |
//! | [`TableStore`] of a global table, read as [`GlobalRows`] | [`GlobalSpec`] | no | none |
//! | [`TableStore`] of `Windowed` keys | [`WindowTableSpec`] | if wanted | value, time of the row |
//! | [`BufferStore`] | [`BufferSpec`] | no | Java's bytes of a suppressed change, no time |
//! | [`WaitingStore`] | [`WaitingSpec`] | no | the same of a record that waits, no time |
//!
//! All are shared inside one task as `Rc<RefCell<..>>` and never leave its thread. The commit of the
//! host is: `Node::flush` of all operators (which empties the record caches), producer and offsets,
//! then [`StateStore::drain`] of all stores into one batch, then `TaskStores::write`.

mod changelog;
mod codec;
mod expiry;
mod layout;
mod keys;
mod ranges;
mod row;
mod described;
mod cache;
mod uncommitted;
mod place;
mod serdes;
mod source_topic;
mod state_store;
mod committed;
mod options;
mod supplier;
mod logged;
mod materialized;
mod key_value;
mod window;
mod session;
mod table;
mod global;
mod read_only;
mod timestamped;
mod versioned;
mod custom;
mod unmatched;
mod buffer;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzzing;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use buffer::any_held_change;
pub(crate) use buffer::{BufferSpec, BufferStore, WaitingSpec, WaitingStore};
pub(crate) use cache::CacheBudget;
pub(crate) use changelog::{Changelog, changelog_topic};
pub(crate) use committed::Committed;
pub use committed::StoredEntry;
pub use custom::{ChangelogRecord, CustomStore, StoreChangelog};
pub(crate) use custom::{CustomSpec, CustomState};
pub(crate) use described::short_name;
#[cfg(test)]
pub(crate) use fuzzing::sample_of_a_changelog;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzzing::{any_changelog, any_local_key};
pub(crate) use global::{GlobalRows, GlobalSpec, GlobalStores};
pub(crate) use key_value::KeyValueSpec;
pub use key_value::{KeyValueIterator, KeyValueStore};
pub use materialized::Materialized;
#[cfg(test)]
pub(crate) use millstream_state::{Direction, WindowOrder};
pub(crate) use options::StoreOptions;
pub(crate) use place::StorePlace;
pub use read_only::{ReadOnlyStore, RowIterator};
pub(crate) use serdes::{Serdes, written_by};
pub(crate) use session::SessionSpec;
pub use session::{SessionIterator, SessionStore};
pub(crate) use source_topic::SourceTopic;
pub(crate) use state_store::StateStore;
pub(crate) use supplier::{StoreSupplier, TaskStore};
pub(crate) use table::{Outcome, SessionTableSpec, Stamp, TableSpec, TableStore, WindowTableSpec};
pub use timestamped::TimestampedKeyValueStore;
pub(crate) use uncommitted::UncommittedBytes;
pub(crate) use unmatched::{Either, Position, Unmatched, UnmatchedSpec};
pub use versioned::{VersionPut, VersionedKeyValueStore, VersionedRecord};
pub use window::{WindowIterator, WindowStore, WindowedIterator};
pub(crate) use window::{WindowSpec, WindowState};

#[cfg(test)]
pub(crate) mod tests;
