//! Global tables: the thread that reads their topics whole, before any task runs and then on.

mod handover;
mod table;
mod reading;
mod thread;

pub(super) use handover::Globals;
pub(super) use thread::GlobalThread;
