//! What several operators have in common.

mod drops;
mod held_back;
mod idle;
mod negative_times;
