//! The topics and tables by name.

use crate::program::Topics;

/// Where sign-ins come in, by person.
pub(super) const LOGINS: &str = "logins";
/// Sign-ins that count, once each.
pub(super) const SILVER: &str = "logins-silver";
/// Documents of persons and days, by collection and id; null deletes.
pub(super) const GOLD: &str = "logins-gold";
/// Persons to be erased.
pub(super) const ERASURES: &str = "erasures";
/// Nulls, and records that are no sign-ins, with the reason.
pub(super) const DEAD_LETTERS: &str = "login-lake-dlq";

/// The table of sign-ins by day.
pub(super) const SIGN_INS_PER_DAY: &str = "sign-ins-per-day";
/// The table of people by day.
pub(super) const ACTIVE_USERS_PER_DAY: &str = "active-users-per-day";

/// What the application writes.
pub(super) const WRITTEN: [&str; 3] = [SILVER, GOLD, DEAD_LETTERS];

/// All topics, internal ones aside.
pub(super) const TOPICS: Topics =
    Topics { all: &[LOGINS, SILVER, GOLD, ERASURES, DEAD_LETTERS], compacted: &[GOLD, ERASURES] };
