//! What a task remembers beside its data.

use crate::spec::StoreId;

/// Something the task remembers beside its data.
#[derive(Clone, Debug)]
pub(crate) enum Note {
    Offset(StoreId, i64),
    Observed(StoreId, i64),
    FreshAt(StoreId, i64),
    Meta(Vec<u8>, Vec<u8>),
}
