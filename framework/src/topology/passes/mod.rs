//! Passes over a drawing that is finished, before it is checked and divided: each changes attributes and edges.

mod merge_repartitions;
mod null_keys;
mod self_join;
mod source_topics;

pub(super) use merge_repartitions::merge_repartitions;
pub(super) use null_keys::let_null_keys_pass;
pub(super) use self_join::join_with_one_store;
pub(super) use source_topics::restore_from_source_topics;
