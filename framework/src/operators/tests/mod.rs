//! What several operators have in common.

mod idle;
