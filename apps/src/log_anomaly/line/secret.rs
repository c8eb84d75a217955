//! What stands for a token, so that the token itself goes nowhere.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A key that only this installation has.
#[derive(Clone)]
pub(super) struct Secret(Hmac<Sha256>);

impl Secret {
    pub(super) fn new(key: &[u8]) -> Self {
        // A key of any length is one.
        Self(Hmac::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default())))
    }

    /// Eight hexadecimal digits, the same for the same token under the same key.
    pub(super) fn stands_for(&self, token: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(token.as_bytes());
        mac.finalize().into_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_tokens_have_equal_marks_under_one_key_only() {
        let (ours, theirs) = (Secret::new(b"ours"), Secret::new(b"theirs"));
        let mark = ours.stands_for("eyJhbGciOi");
        assert_eq!(mark.len(), 8);
        assert_eq!(mark, ours.stands_for("eyJhbGciOi"));
        assert_ne!(mark, ours.stands_for("eyJhbGciOj"));
        assert_ne!(mark, theirs.stands_for("eyJhbGciOi"));
        assert_eq!(Secret::new(&[7; 10_000]).stands_for("").len(), 8);
    }
}
