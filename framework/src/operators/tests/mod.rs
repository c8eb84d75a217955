//! What several operators have in common.

mod drops;
mod idle;
