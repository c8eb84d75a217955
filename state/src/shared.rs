//! A store that all threads read, while the one that owns it writes.

use crate::chunk::Chunk;
use crate::error::Result;
use crate::memory::MemoryStore;
use crate::rocks::SharedFamily;
use std::sync::{Arc, PoisonError, RwLock};

/// A handle from [`TaskStores::share`](crate::TaskStores::share): it reads what was written to the
/// store so far, batch by batch. A clone reads the same.
///
/// ```
/// use millstream_state::{Direction, KeyRange, StoreId, StoreKind, StoreSpec, TaskStores};
///
/// let spec = StoreSpec { name: "names".into(), kind: StoreKind::KeyValue, in_memory: true };
/// let (names, stores) = (StoreId(0), TaskStores::in_memory(&[spec]));
/// let shared = stores.share(names)?;
/// let mut batch = stores.batch();
/// batch.put(names, b"7", b"Ada");
/// stores.write(batch)?;
/// let length = std::thread::spawn(move || shared.get_with(b"7", <[u8]>::len)).join();
/// assert_eq!(length.unwrap()?, Some(3));
/// assert_eq!(stores.share(names)?.scan(KeyRange::all(), Direction::Forward).count(), 1);
/// # Ok::<(), millstream_state::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct SharedStore(Place);

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<RwLock<MemoryStore>>),
    Disk(SharedFamily),
}

impl SharedStore {
    pub(crate) fn in_memory(store: Arc<RwLock<MemoryStore>>) -> Self {
        Self(Place::Memory(store))
    }

    pub(crate) fn on_disk(family: SharedFamily) -> Self {
        Self(Place::Disk(family))
    }

    /// What `read` makes of the value of a key. No lock is held while it runs.
    ///
    /// # Errors
    /// The database refuses.
    pub fn get_with<R>(&self, key: &[u8], read: impl FnOnce(&[u8]) -> R) -> Result<Option<R>> {
        match &self.0 {
            Place::Disk(family) => family.get_with(key, read),
            Place::Memory(store) => {
                let store = store.read().unwrap_or_else(PoisonError::into_inner);
                let found = store.get(key).map(<[u8]>::to_vec);
                drop(store);
                Ok(found.map(|value| read(&value)))
            }
        }
    }

    pub(crate) fn read_chunk(&self, chunk: Chunk<'_>) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        match &self.0 {
            Place::Disk(family) => family.chunk(chunk),
            Place::Memory(store) => {
                Ok(store.read().unwrap_or_else(PoisonError::into_inner).chunk(chunk))
            }
        }
    }
}
