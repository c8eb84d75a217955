//! Nonces of sign-in pages: each is good for one sign-in.
//!
//! A nonce proves by itself that it was issued here, and when, so that pages cost no memory. Only those that somebody
//! signed in with are remembered, until they are too old anyway: whoever fills this memory has signed in as often.
//!
//! ```text
//! nonce = base64url( issued at, s: 8 bytes ‖ random: 8 bytes ‖ HMAC-SHA-256 of both, first 16 bytes )
//! ```
//!
//! Instances that share the key know each other's nonces, but not which were used: what comes to two of them within the
//! minutes of a nonce's life has the same `token_id`, by which it counts once.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use rand::Rng as _;
use sha2::Sha256;

use super::refused::Refused;

/// For how long a page can be open before its button is pressed. Larger: more used nonces to remember.
const LIFE_S: u64 = 600;
/// Clocks of instances that share a key may differ by so much.
const LEEWAY_S: u64 = 60;
/// 2,000 sign-ins a second for as long as a nonce lives, and more; some 40 MB. With more they are refused, since one
/// that is forgotten could be used again.
const USED_MAX: usize = 2_000_000;
const STAMP_BYTES: usize = 16;
const MAC_BYTES: usize = 16;

/// Issues nonces, and takes each of them once.
pub struct Nonces {
    /// What is mixed into each nonce's proof.
    keyed: Hmac<Sha256>,
    /// When it ends, and its random part.
    used: BTreeSet<(u64, u64)>,
    used_max: usize,
    /// The latest time that was seen: a clock that is put back makes no used nonce good again.
    latest_s: u64,
}

impl fmt::Debug for Nonces {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Nonces").field("used", &self.used.len()).finish_non_exhaustive()
    }
}

impl Nonces {
    /// With this key, which is a secret.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        // HMAC fills a short key up with zeros to the block of its hash.
        let mut block = [0; 64];
        for (place, byte) in block.iter_mut().zip(key) {
            *place = byte;
        }
        let keyed = Hmac::<Sha256>::new(&block.into()).chain_update(b"sign-in nonce");
        Self { keyed, used: BTreeSet::new(), used_max: USED_MAX, latest_s: 0 }
    }

    /// With a key that only this process has.
    #[must_use]
    pub fn with_own_key() -> Self {
        Self::new(rand::rng().random())
    }

    /// A new one.
    pub fn issue(&self, now: Timestamp) -> String {
        let mut nonce = [0; STAMP_BYTES + MAC_BYTES];
        let (stamp, mac) = nonce.split_at_mut(STAMP_BYTES);
        let (time, random) = stamp.split_at_mut(8);
        time.copy_from_slice(&seconds(now).to_be_bytes());
        random.copy_from_slice(&rand::rng().random::<u64>().to_be_bytes());
        let full = self.mac(stamp).finalize().into_bytes();
        mac.copy_from_slice(full.get(..MAC_BYTES).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(nonce)
    }

    /// Takes a nonce that is signed in with.
    ///
    /// # Errors
    /// If it was not issued with this key, too long ago, or was taken before; if there is no room to remember it.
    pub fn take(&mut self, nonce: &str, now: Timestamp) -> Result<(), Refused> {
        let (issued_s, random) = self.stamp_of(nonce).ok_or(Refused::NonceOther)?;
        self.latest_s = self.latest_s.max(seconds(now));
        let end_s = issued_s.saturating_add(LIFE_S);
        if end_s <= self.latest_s || issued_s > self.latest_s.saturating_add(LEEWAY_S) {
            return Err(Refused::NonceOther);
        }
        while self.used.first().is_some_and(|(end_s, _)| *end_s <= self.latest_s) {
            self.used.pop_first();
        }
        if self.used.contains(&(end_s, random)) {
            return Err(Refused::NonceUsed);
        }
        if self.used.len() >= self.used_max {
            return Err(Refused::NoncesFull);
        }
        self.used.insert((end_s, random));
        Ok(())
    }

    /// When a nonce of ours was issued, and its random part.
    fn stamp_of(&self, nonce: &str) -> Option<(u64, u64)> {
        let mut bytes = [0; STAMP_BYTES + MAC_BYTES];
        if URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes).ok()? != bytes.len() {
            return None;
        }
        let (stamp, mac) = bytes.split_at(STAMP_BYTES);
        self.mac(stamp).verify_truncated_left(mac).ok()?;
        let number = |part: &[u8]| part.try_into().ok().map(u64::from_be_bytes);
        let (time, random) = stamp.split_at(8);
        Some((number(time)?, number(random)?))
    }

    fn mac(&self, stamp: &[u8]) -> Hmac<Sha256> {
        self.keyed.clone().chain_update(stamp)
    }
}

fn seconds(now: Timestamp) -> u64 {
    u64::try_from(now.as_second()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_795_341_600 + second).unwrap()
    }

    #[test]
    fn a_nonce_works_once() {
        let mut nonces = Nonces::with_own_key();
        let (one, other) = (nonces.issue(at(0)), nonces.issue(at(0)));
        assert_ne!(one, other);
        assert_eq!(nonces.take(&one, at(5)), Ok(()));
        assert_eq!(nonces.take(&one, at(6)), Err(Refused::NonceUsed));
        assert_eq!(nonces.take(&other, at(599)), Ok(()));
    }

    #[test]
    fn one_that_is_not_ours_or_too_old_is_another() {
        let mut nonces = Nonces::new([1; 32]);
        let ours = nonces.issue(at(0));
        assert_eq!(
            nonces.take(&Nonces::new([2; 32]).issue(at(0)), at(0)),
            Err(Refused::NonceOther)
        );
        for nonce in ["", "n", &ours[1..], &format!("{ours}A"), &format!("B{}", &ours[1..])] {
            assert_eq!(nonces.take(nonce, at(0)), Err(Refused::NonceOther), "{nonce}");
        }
        let later = nonces.issue(at(61));
        assert_eq!(nonces.take(&later, at(0)), Err(Refused::NonceOther));
        assert_eq!(nonces.take(&ours, at(600)), Err(Refused::NonceOther));
        // A clock that is put back makes it no younger.
        assert_eq!(nonces.take(&ours, at(0)), Err(Refused::NonceOther));
        // The same key of another instance.
        let mut fellow = Nonces::new([1; 32]);
        assert_eq!(fellow.take(&ours, at(0)), Ok(()));
    }

    #[test]
    fn only_used_ones_are_remembered_and_only_while_they_live() {
        let mut nonces = Nonces::with_own_key();
        nonces.used_max = 3;
        for second in 0..100 {
            nonces.issue(at(second));
        }
        for second in [0, 1, 2] {
            let nonce = nonces.issue(at(second));
            assert_eq!(nonces.take(&nonce, at(2)), Ok(()));
        }
        let fourth = nonces.issue(at(2));
        assert_eq!(nonces.take(&fourth, at(3)), Err(Refused::NoncesFull));
        // The first has ended: there is room for one.
        assert_eq!(nonces.take(&fourth, at(600)), Ok(()));
        assert_eq!(nonces.used.len(), 3);
        assert_eq!(nonces.take(&fourth, at(601)), Err(Refused::NonceUsed));
    }
}
