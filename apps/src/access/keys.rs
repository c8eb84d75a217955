//! The keys of an issuer, fetched from where they are when it is time ([`Rotation`] says when).

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use millstream::BoxError;

use super::key_set::KeySet;
use super::refused::Refused;
use super::rotation::Rotation;

/// What came when keys were fetched.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The key set as it is published.
    pub json: Vec<u8>,
    /// For how long it says it is fresh (`Cache-Control: max-age`).
    pub fresh_for: Option<Duration>,
}

/// Where an issuer's keys are. Called by whoever verifies a token, who waits for it: it must have a time limit.
pub trait KeySource: Send + Sync {
    /// Fetches them.
    ///
    /// # Errors
    /// Whatever kept it from that.
    fn fetch(&self) -> Result<Fetched, BoxError>;
}

impl<F: Fn() -> Result<Fetched, BoxError> + Send + Sync> KeySource for F {
    fn fetch(&self) -> Result<Fetched, BoxError> {
        self()
    }
}

/// The keys of an issuer, for many threads.
pub struct Keys {
    source: Box<dyn KeySource>,
    rotation: Mutex<Rotation>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keys").field("rotation", &self.rotation).finish_non_exhaustive()
    }
}

impl Keys {
    /// Keys that are fetched from there when the first token comes.
    pub fn from(source: impl KeySource + 'static) -> Self {
        Self { source: Box::new(source), rotation: Mutex::default() }
    }

    /// The keys for a token with this kid, fetched first if it is time. One thread fetches, the others go on with what
    /// there is.
    ///
    /// # Errors
    /// [`Refused::NoKeys`] if there are none.
    pub fn for_kid(&self, kid: &str, now: Timestamp) -> Result<Arc<KeySet>, Refused> {
        if self.rotation().begins_fetch(kid, now) {
            self.fetch(now);
        }
        self.rotation().keys(now)
    }

    /// When keys came last, for whoever watches it.
    pub fn fetched_at(&self) -> Option<Timestamp> {
        self.rotation().fetched_at()
    }

    fn fetch(&self, now: Timestamp) {
        let fetched = self.source.fetch();
        let read = fetched.and_then(|fetched| {
            Ok::<_, BoxError>((KeySet::read(&fetched.json)?, fetched.fresh_for))
        });
        match read {
            Ok((keys, fresh_for)) => self.rotation().fetched(keys, fresh_for, now),
            Err(error) => tracing::warn!(%error, "the issuer's keys cannot be fetched"),
        }
    }

    fn rotation(&self) -> std::sync::MutexGuard<'_, Rotation> {
        // No panic leaves it half changed: each change is one assignment.
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::forge::{Forge, set_of};
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_341_600 + second).unwrap()
    }

    /// What the issuer answers, one after the other, the last for good; and how often it was asked.
    fn keys(answers: Vec<Result<Vec<u8>, &'static str>>) -> (Keys, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let keys = Keys::from(move || {
            let number = count.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            let json = answers[number].clone()?;
            Ok(Fetched { json, fresh_for: None })
        });
        (keys, asked)
    }

    #[test]
    fn a_rotated_key_is_found_and_a_bad_answer_takes_no_good_key_away() {
        let (rsa, ec) = (set_of(&[Forge::rsa().published()]), set_of(&[Forge::ec().published()]));
        let (keys, asked) = keys(vec![
            Err("away"),
            Ok(rsa),
            Ok(br#"{"keys":[]}"#.to_vec()),
            Ok(b"<html>".to_vec()),
            Ok(ec),
        ]);
        assert_eq!(keys.for_kid("rsa-1", at(0)).unwrap_err(), Refused::NoKeys);
        assert_eq!(keys.for_kid("rsa-1", at(9)).unwrap_err(), Refused::NoKeys);
        assert!(keys.for_kid("rsa-1", at(10)).unwrap().has("rsa-1"));
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        // The new key is not there yet: an empty set, a page, and then it is.
        assert!(!keys.for_kid("ec-1", at(40)).unwrap().has("ec-1"));
        assert!(keys.for_kid("ec-1", at(70)).unwrap().has("rsa-1"));
        assert!(keys.for_kid("ec-1", at(99)).unwrap().has("rsa-1"));
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        assert!(keys.for_kid("ec-1", at(100)).unwrap().has("ec-1"));
        assert_eq!((asked.load(Ordering::SeqCst), keys.fetched_at()), (5, Some(at(100))));
    }

    #[test]
    fn while_one_thread_fetches_the_others_go_on() {
        let (entered, release) = (std::sync::Barrier::new(2), std::sync::Barrier::new(2));
        let both = Arc::new((entered, release));
        let (inside, calls) = (Arc::clone(&both), AtomicUsize::new(0));
        let json = set_of(&[Forge::ec().published()]);
        let keys = Arc::new(Keys::from(move || {
            if calls.fetch_add(1, Ordering::SeqCst) > 0 {
                inside.0.wait();
                inside.1.wait();
            }
            Ok(Fetched { json: json.clone(), fresh_for: None })
        }));
        assert!(keys.for_kid("ec-1", at(0)).is_ok());
        let waiting = Arc::clone(&keys);
        let thread = std::thread::spawn(move || waiting.for_kid("other", at(30)).is_ok());
        both.0.wait();
        assert!(keys.for_kid("ec-1", at(30)).unwrap().has("ec-1"));
        assert!(keys.for_kid("another", at(31)).is_ok());
        both.1.wait();
        assert!(thread.join().unwrap());
    }
}
