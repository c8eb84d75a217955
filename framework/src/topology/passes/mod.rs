//! Passes over a drawing that is finished, before it is checked and divided: each changes attributes and edges.

mod null_keys;
mod self_join;

pub(super) use null_keys::let_null_keys_pass;
pub(super) use self_join::join_with_one_store;
