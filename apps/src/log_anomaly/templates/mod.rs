//! Templates: what lines of a log have in common, found online.
//!
//! ```text
//!   Failed password for root from 10.1.1.7 port 41000 ssh2
//!   Failed password for admin from 10.9.0.3 port 2211 ssh2     ──► Failed password for <*> from <*> port <*> <*>
//! ```
//!
//! Drain (He et al., 2017): a tree of fixed depth finds the few templates that a line may be of, the most
//! similar one takes it and becomes more general. See `masked` for what is a variable by itself, and
//! `miner` for the tree.

mod masked;
mod template;
mod miner;
mod grouping;
mod structured;

pub use grouping::grouping_accuracy;
pub use masked::VARIABLE;
pub use miner::{Learned, Miner};
pub use structured::Structured;
pub use template::{Template, TemplateId};
