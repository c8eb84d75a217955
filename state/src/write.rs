//! One write to a store, borrowed and owned.

/// One write to a store, on its way into a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write<'a> {
    Put(&'a [u8], &'a [u8]),
    Delete(&'a [u8]),
    DeleteRange(&'a [u8], &'a [u8]),
}

impl Write<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Put(first, second) | Self::DeleteRange(first, second) => {
                first.len() + second.len()
            }
            Self::Delete(key) => key.len(),
        }
    }
}

/// One write to a store in memory, owned while it waits in a batch.
#[derive(Debug)]
pub(crate) enum MemoryWrite {
    Put(Vec<u8>, Vec<u8>),
    Delete(Vec<u8>),
    DeleteRange(Vec<u8>, Vec<u8>),
}

impl From<Write<'_>> for MemoryWrite {
    fn from(write: Write<'_>) -> Self {
        match write {
            Write::Put(key, value) => Self::Put(key.to_vec(), value.to_vec()),
            Write::Delete(key) => Self::Delete(key.to_vec()),
            Write::DeleteRange(from, to) => Self::DeleteRange(from.to_vec(), to.to_vec()),
        }
    }
}
