//! The member of the group: what it owns, which tasks that makes, and who waits for whom while
//! the group shares partitions out anew.
//!
//! ```text
//!   group (poll)      listener (host)         machine              worker (another thread)
//!      │  revoked  ──►   Revoked        ──►  Revoke ───────────────►  commits, suspends
//!      │                 waits for            │                        │
//!      │  (the group     an answer,  ◄────────┼──────── Answer ────────┘ in time
//!      │   waits)        or until             │
//!      │                 the deadline ──►  Expire: lost, before the group is told
//!      │                                     Displaced, Assign (what stays)
//!      │  ◄── returns ──────┘                 │
//!      │  (goes on)                           │ ◄────── Answer ──────── late: commits nothing,
//!      │                   Answered     ──►  Assign (what was owned      gives its queues back
//!      │                                     all the while)
//!      │  assigned ──►   Assigned       ──►  Assign, Placed ────────►  builds, restores, runs
//! ```
//!
//! | wait | of whom | at most |
//! |---|---|---|
//! | revocation | the group for all workers together | half of `max_poll_interval_ms`; in a stop two thirds of `close_timeout_ms` if that is sooner |
//! | start positions | the group for the broker's answer | until told to stop: the client goes on with heartbeats |
//! | late answer | none | for ever: it is taken in whenever it comes |

mod assignment;
pub(super) mod machine;
mod grown;
pub(crate) mod subscription;
mod listener;
mod control;
#[cfg(test)]
mod tests;

pub(super) use control::Control;
