//! The kafka log.
