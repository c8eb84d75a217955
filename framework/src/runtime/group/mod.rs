//! The side of the group: what is assigned and taken away, and what workers are told of it.

mod assignment;
mod late;
mod grown;
mod listener;
mod control;

pub(super) use control::Control;
