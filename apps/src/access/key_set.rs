//! The keys of an issuer, as it publishes them (JWKS, RFC 7517).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;

use super::refused::Refused;

/// Issuers have two to five keys; more bytes or keys than this are none of theirs.
const SET_BYTES_MAX: usize = 256 * 1024;
const KEYS_MAX: usize = 100;
/// What NIST allows for signatures, and what a verification may cost.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
/// 65537 needs three.
const EXPONENT_BYTES_MAX: usize = 8;
/// Of a coordinate on P-256.
const COORDINATE_BYTES: usize = 32;

/// Why bytes are no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKeySet {
    /// Not the JSON of a key set, or too long.
    #[error("it is no key set")]
    Unreadable,
    /// Nothing in it verifies RS256 or ES256.
    #[error("it has no key for RS256 or ES256")]
    NoUsableKey,
}

#[derive(Deserialize)]
struct Published {
    keys: Vec<serde_json::Value>,
}

/// A key as it is published; what is not needed is not read.
#[derive(Deserialize)]
struct PublishedKey {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// A key with the one algorithm that it is for.
struct Key {
    kid: String,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The keys of an issuer that verify RS256 or ES256.
pub struct KeySet(Vec<Key>);

impl fmt::Debug for KeySet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kids = self.0.iter().map(|key| (&key.kid, key.algorithm));
        out.debug_list().entries(kids).finish()
    }
}

impl KeySet {
    /// Reads a key set. Keys of other kinds and for other uses are passed over, as RFC 7517 asks.
    ///
    /// # Errors
    /// If it is none, or nothing is left.
    pub fn read(json: &[u8]) -> Result<Self, BadKeySet> {
        if json.len() > SET_BYTES_MAX {
            return Err(BadKeySet::Unreadable);
        }
        let set: Published = serde_json::from_slice(json).map_err(|_| BadKeySet::Unreadable)?;
        if set.keys.len() > KEYS_MAX {
            return Err(BadKeySet::Unreadable);
        }
        let keys: Vec<Key> = (set.keys.into_iter())
            .filter_map(|key| usable(&serde_json::from_value(key).ok()?))
            .collect();
        if keys.is_empty() { Err(BadKeySet::NoUsableKey) } else { Ok(Self(keys)) }
    }

    /// Whether there is a key of this id.
    pub fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid == kid)
    }

    /// Verifies a signature by the key of this id.
    pub(super) fn verify(
        &self,
        (kid, algorithm): (&str, Algorithm),
        (signed, signature): (&str, &str),
    ) -> Result<(), Refused> {
        if !self.has(kid) {
            return Err(Refused::UnknownKey);
        }
        let key = self.0.iter().find(|key| key.kid == kid && key.algorithm == algorithm);
        let key = key.ok_or(Refused::OtherKeyType)?;
        match crypto::verify(signature, signed.as_bytes(), &key.key, algorithm) {
            Ok(true) => Ok(()),
            _ => Err(Refused::Signature),
        }
    }
}

fn usable(published: &PublishedKey) -> Option<Key> {
    if published.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let (name, algorithm, key) = match published.kty.as_str() {
        "RSA" => ("RS256", Algorithm::RS256, rsa(published)?),
        "EC" => ("ES256", Algorithm::ES256, ec(published)?),
        _ => return None,
    };
    // One that is published for another algorithm of its type is for no other.
    if published.alg.as_deref().is_some_and(|alg| alg != name) {
        return None;
    }
    Some(Key { kid: published.kid.clone(), algorithm, key })
}

fn rsa(published: &PublishedKey) -> Option<DecodingKey> {
    let number = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_ref()?).ok();
    let (modulus, exponent) = (number(&published.n)?, number(&published.e)?);
    let is_sound = MODULUS_BYTES.contains(&modulus.len())
        && modulus.first() != Some(&0)
        && (1..=EXPONENT_BYTES_MAX).contains(&exponent.len());
    is_sound.then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

fn ec(published: &PublishedKey) -> Option<DecodingKey> {
    let (x, y) = (published.x.as_ref()?, published.y.as_ref()?);
    let coordinate =
        |text: &str| URL_SAFE_NO_PAD.decode(text).is_ok_and(|it| it.len() == COORDINATE_BYTES);
    let is_sound = published.crv.as_deref() == Some("P-256") && coordinate(x) && coordinate(y);
    is_sound.then(|| DecodingKey::from_ec_components(x, y).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::super::forge::{Forge, set_of};
    use super::*;

    fn kids(keys: &[serde_json::Value]) -> Result<Vec<String>, BadKeySet> {
        let set = KeySet::read(&set_of(keys))?;
        Ok(set.0.iter().map(|key| format!("{} {:?}", key.kid, key.algorithm)).collect())
    }

    fn with(
        mut key: serde_json::Value,
        name: &str,
        value: impl Into<serde_json::Value>,
    ) -> serde_json::Value {
        key[name] = value.into();
        key
    }

    #[test]
    fn keys_of_other_kinds_are_passed_over() {
        let (rsa, ec) = (Forge::rsa().published(), Forge::ec().published());
        let all = [
            serde_json::json!({"kty": "oct", "kid": "secret", "k": "c2VjcmV0"}),
            serde_json::json!({"kty": "RSA"}),
            serde_json::json!(7),
            with(rsa.clone(), "use", "enc"),
            with(rsa.clone(), "alg", "RS512"),
            // 1,032 bits.
            with(rsa.clone(), "n", &rsa["n"].as_str().unwrap()[..172]),
            with(ec.clone(), "crv", "P-384"),
            with(ec.clone(), "x", "AAAA"),
            with(ec.clone(), "alg", "RS256"),
        ];
        assert_eq!(kids(&all), Err(BadKeySet::NoUsableKey));
        let good = [rsa, ec];
        let wanted = ["rsa-1 RS256".to_owned(), "ec-1 ES256".to_owned()];
        assert_eq!(kids(&[&all[..], &good].concat()), Ok(wanted.to_vec()));
    }

    #[test]
    fn what_is_no_key_set_is_refused() {
        let long = format!(r#"{{"keys":[]{}}}"#, " ".repeat(SET_BYTES_MAX));
        for json in ["", "{}", "[]", r#"{"keys":{}}"#, &long] {
            assert_eq!(KeySet::read(json.as_bytes()).unwrap_err(), BadKeySet::Unreadable);
        }
        let key = Forge::ec().published();
        assert_eq!(kids(&vec![key; KEYS_MAX + 1]), Err(BadKeySet::Unreadable));
        assert_eq!(kids(&[]), Err(BadKeySet::NoUsableKey));
    }
}
