//! Log anomaly: what an application's logs say, as it happens.
//!
//! The modules stand in the order in which a line meets them.

pub mod line;
pub mod templates;
pub mod detector;
mod series;
mod commands;

pub use commands::run;
