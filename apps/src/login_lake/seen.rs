//! Which sign-ins were there lately: by their tokens, and by person and second.
//!
//! ```text
//! key: pseudonym ‖ "/t/" ‖ token_id        start: stream time when it came
//!      pseudonym ‖ "/s/" ‖ second          value: the same
//! ```
//!
//! The id itself is not in it: what has expired can no longer be deleted, and stays on disk and in the changelog for up
//! to a day more.

use std::time::Duration;

use millstream::record::Timestamp;
use millstream::{Result, Window, WindowStore};

use super::sign_in::SignIn;

pub(super) const STORE: &str = "seen-logins";
/// How long a sign-in is remembered after it came. Larger: more disk. Smaller: one that is sent again later counts
/// twice.
pub(super) const REMEMBERED: Duration = Duration::from_secs(86_400);
const REMEMBERED_MS: i64 = 86_400_000;

/// Declares the store.
pub(super) fn kind() -> Window<String, i64> {
    Window::named(STORE, REMEMBERED, REMEMBERED)
}

/// The sign-ins of a day.
#[derive(Debug)]
pub(super) struct Seen(WindowStore<String, i64>);

impl Seen {
    pub(super) fn of(store: WindowStore<String, i64>) -> Self {
        Self(store)
    }

    /// Remembers a sign-in of this person; false: it was there already.
    pub(super) fn is_new(&self, person: &str, sign_in: &SignIn, now: Timestamp) -> Result<bool> {
        let second = sign_in.signed_in_at.second();
        let keys = [format!("{person}/t/{}", sign_in.token_id), format!("{person}/s/{second}")];
        let since = Timestamp(now.0.saturating_sub(REMEMBERED_MS).saturating_add(1).max(0));
        for key in &keys {
            // To the end of time: after a failover stream time may stand a little before where it was.
            if self.0.fetch_range(key, since, Timestamp(i64::MAX))?.next().transpose()?.is_some() {
                return Ok(false);
            }
        }
        for key in keys {
            self.0.put(key, now.0, now)?;
        }
        Ok(true)
    }

    /// Forgets all of this person.
    pub(super) fn forget(&self, person: &str) -> Result<()> {
        // What follows "/" is "0": all that begin with the person and a "/".
        let all = format!("{person}/")..format!("{person}0");
        for entry in self.0.fetch_keys(all, Timestamp(0), Timestamp(i64::MAX))? {
            let (window, _) = entry?;
            self.0.delete(&window.key, Timestamp(window.start))?;
        }
        Ok(())
    }
}
