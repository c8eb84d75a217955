//! When an issuer's keys are fetched, and for how long they go on: a machine without a clock and without a network.
//!
//! ```text
//!            fetched                     older than they say        24 h since they were fetched
//! none ────────────────► fresh ─────────────────────────► stale ─────────────────────────► none
//!   ▲ tried every 10 s     ▲ │ an unknown kid: tried,        │ tried every 10 s
//!   └── failed             └─┘ at most once in 30 s          └─► fresh
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::key_set::KeySet;
use super::refused::Refused;

/// How long keys go on that could not be fetched again. Larger: a key that its issuer withdrew signs people in for
/// longer. Smaller: an issuer that is away for a night locks everybody out.
const LAST_GOOD: SignedDuration = SignedDuration::from_hours(24);
/// Between two tries for an unknown key: anybody can name one.
const UNKNOWN_RETRY: SignedDuration = SignedDuration::from_secs(30);
/// Between two tries for keys that are missing or old.
const STALE_RETRY: SignedDuration = SignedDuration::from_secs(10);
/// If the issuer does not say for how long its keys are fresh.
const USUAL_AGE: SignedDuration = SignedDuration::from_hours(1);
/// What an issuer says is taken within these bounds.
const AGE_MIN: SignedDuration = SignedDuration::from_mins(5);

/// The keys of an issuer over time.
#[derive(Debug, Default)]
pub struct Rotation {
    held: Option<Held>,
    tried_at: Option<Timestamp>,
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    fetched_at: Timestamp,
    fresh_for: SignedDuration,
}

impl Rotation {
    /// Whether keys should be fetched before a token with this kid is looked at. True is said once: whoever hears it
    /// must fetch, and say what came of it.
    pub fn begins_fetch(&mut self, kid: &str, now: Timestamp) -> bool {
        let pause = match &self.held {
            Some(held) if since(held.fetched_at, now) < held.fresh_for => {
                if held.keys.has(kid) {
                    return false;
                }
                UNKNOWN_RETRY
            }
            _ => STALE_RETRY,
        };
        if self.tried_at.is_some_and(|tried_at| since(tried_at, now) < pause) {
            return false;
        }
        self.tried_at = Some(now);
        true
    }

    /// Keys came, fresh for so long if the issuer says so.
    pub fn fetched(&mut self, keys: KeySet, fresh_for: Option<Duration>, now: Timestamp) {
        let said = fresh_for.map(|age| SignedDuration::try_from(age).unwrap_or(LAST_GOOD));
        let fresh_for = said.unwrap_or(USUAL_AGE).clamp(AGE_MIN, LAST_GOOD);
        self.held = Some(Held { keys: Arc::new(keys), fetched_at: now, fresh_for });
    }

    /// The keys that hold now: the last good ones.
    ///
    /// # Errors
    /// [`Refused::NoKeys`] if there never were any, or for too long no new ones.
    pub fn keys(&self, now: Timestamp) -> Result<Arc<KeySet>, Refused> {
        let held = self.held.as_ref().ok_or(Refused::NoKeys)?;
        if since(held.fetched_at, now) < LAST_GOOD {
            Ok(Arc::clone(&held.keys))
        } else {
            Err(Refused::NoKeys)
        }
    }

    /// When keys came last, for whoever watches it.
    pub fn fetched_at(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.fetched_at)
    }
}

/// A clock that was put back gives nothing new: it is as if no time had passed.
fn since(earlier: Timestamp, now: Timestamp) -> SignedDuration {
    now.duration_since(earlier).max(SignedDuration::ZERO)
}

#[cfg(test)]
mod tests {
    use super::super::forge::{Forge, set_of};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_341_600 + second).unwrap()
    }

    fn keys() -> KeySet {
        KeySet::read(&set_of(&[Forge::ec().published()])).unwrap()
    }

    fn fetched(fresh_for_s: Option<u64>) -> Rotation {
        let mut rotation = Rotation::default();
        assert!(rotation.begins_fetch("ec-1", at(0)));
        rotation.fetched(keys(), fresh_for_s.map(Duration::from_secs), at(0));
        rotation
    }

    #[test]
    fn without_keys_they_are_fetched_every_ten_seconds() {
        let mut rotation = Rotation::default();
        assert_eq!(rotation.keys(at(0)).unwrap_err(), Refused::NoKeys);
        let begun: Vec<i64> = (0..31).filter(|s| rotation.begins_fetch("ec-1", at(*s))).collect();
        assert_eq!(begun, [0, 10, 20, 30]);
    }

    #[test]
    fn an_unknown_key_has_them_fetched_once_in_thirty_seconds() {
        let mut rotation = fetched(None);
        assert!(!rotation.begins_fetch("ec-1", at(29)));
        let of_many = |rotation: &mut Rotation, from: i64, to: i64| -> Vec<i64> {
            (from..to).filter(|s| rotation.begins_fetch(&format!("k{s}"), at(*s))).collect()
        };
        assert_eq!(of_many(&mut rotation, 1, 100), [30, 60, 90]);
        // The known ones go on meanwhile, and the fetch that failed changed nothing.
        assert!(rotation.keys(at(100)).unwrap().has("ec-1"));
        assert_eq!(rotation.fetched_at(), Some(at(0)));
    }

    #[test]
    fn keys_are_fetched_when_they_are_as_old_as_they_say() {
        for (said_s, fresh_s) in [
            (None, 3_600),
            (Some(0), 300),
            (Some(7_200), 7_200),
            (Some(10_000_000), 86_400),
            (Some(u64::MAX), 86_400),
        ] {
            let mut rotation = fetched(said_s);
            assert!(!rotation.begins_fetch("ec-1", at(fresh_s - 1)), "{said_s:?}");
            assert!(rotation.begins_fetch("ec-1", at(fresh_s)), "{said_s:?}");
            assert!(!rotation.begins_fetch("ec-1", at(fresh_s + 9)), "{said_s:?}");
            assert!(rotation.begins_fetch("ec-1", at(fresh_s + 10)), "{said_s:?}");
        }
    }

    #[test]
    fn the_last_good_keys_go_on_for_a_day() {
        let mut rotation = fetched(None);
        for hour in 1..24 {
            assert!(rotation.begins_fetch("ec-1", at(hour * 3_600)));
            assert!(rotation.keys(at(hour * 3_600)).is_ok());
        }
        assert!(rotation.keys(at(86_399)).is_ok());
        assert_eq!(rotation.keys(at(86_400)).unwrap_err(), Refused::NoKeys);
        assert!(rotation.begins_fetch("ec-1", at(86_400)));
        rotation.fetched(keys(), None, at(86_400));
        assert!(rotation.keys(at(2 * 86_400 - 1)).is_ok());
    }

    #[test]
    fn a_clock_that_was_put_back_fetches_nothing_by_itself() {
        let mut rotation = fetched(None);
        assert!(!rotation.begins_fetch("ec-1", at(-5_000)));
        assert!(!rotation.begins_fetch("other", at(-5_000)));
        assert!(rotation.keys(at(-5_000)).is_ok());
    }
}
