//! What tells one application from the others.

use super::topics::Topics;

/// An application, as far as its commands are like those of all others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Application {
    /// `application_id`, unless it is set otherwise.
    pub(crate) id: &'static str,
    /// `idle_timeout_ms`, unless it is set otherwise.
    pub(crate) idle_timeout_ms: &'static str,
    pub(crate) topics: Topics,
}
