//! The local issuer: tokens for whoever asks, by a key that lives as long as the process.

use std::net::IpAddr;

use jiff::Timestamp;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rand::Rng as _;
use serde_json::json;

use super::person::Person;
use crate::access::throw_away_key;

/// What tokens say who made them, and what `issuer` is set to.
pub(in crate::login_lake) const LOCAL: &str = "local";
/// As those of Google.
const TOKEN_LIFE_S: i64 = 3_600;

/// Anybody could sign in as anybody: such an issuer is for one machine only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the local issuer lets anybody in as anybody: it starts on a loopback address only, not on {0}"
)]
pub struct NotLoopback(pub IpAddr);

/// An issuer for tests and the demo.
pub struct LocalIssuer {
    key: EncodingKey,
    kid: String,
    key_set: Vec<u8>,
    client: String,
}

impl std::fmt::Debug for LocalIssuer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "LocalIssuer({})", self.kid)
    }
}

impl LocalIssuer {
    /// Opens one for this client, if the address at which people reach it is this machine's own.
    ///
    /// # Errors
    /// [`NotLoopback`] if it is not; if no key can be made.
    pub fn open(listen: IpAddr, client: &str) -> anyhow::Result<Self> {
        if !listen.to_canonical().is_loopback() {
            return Err(NotLoopback(listen).into());
        }
        let key = throw_away_key()?;
        let kid = format!("local-{:08x}", rand::rng().random::<u32>());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        jwk.common.key_id = Some(kid.clone());
        jwk.common.public_key_use = Some(PublicKeyUse::Signature);
        let key_set = serde_json::to_vec(&JwkSet { keys: vec![jwk] })?;
        Ok(Self { key, kid, key_set, client: client.to_owned() })
    }

    /// Who stands in its form.
    pub fn people() -> [Person; 3] {
        Person::three()
    }

    /// Its keys, as issuers publish them.
    pub fn key_set(&self) -> &[u8] {
        &self.key_set
    }

    /// A token for this person, in answer to the page with this nonce.
    ///
    /// # Errors
    /// If it cannot be signed.
    pub fn token(&self, person: &Person, nonce: &str, now: Timestamp) -> anyhow::Result<String> {
        let mut claims = person.claims();
        let issued_at = now.as_second();
        for (name, value) in [
            ("iss", json!(LOCAL)),
            ("aud", json!(self.client)),
            ("azp", json!(self.client)),
            ("nonce", json!(nonce)),
            ("iat", json!(issued_at)),
            ("exp", json!(issued_at + TOKEN_LIFE_S)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.kid.clone());
        Ok(encode(&header, &claims, &self.key)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{KeySet, Kind, Refused, Verifier};

    #[test]
    fn its_tokens_are_good_for_an_hour_and_its_key_is_its_own() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let open = || LocalIssuer::open("127.0.0.1".parse().unwrap(), "page").unwrap();
        let (issuer, other) = (open(), open());
        let verifier = Verifier::new("local", "page");
        let kind = Kind::Id { nonce: Some("n") };
        for person in LocalIssuer::people() {
            let token = issuer.token(&person, "n", now).unwrap();
            let keys = KeySet::read(issuer.key_set()).unwrap();
            let claims = verifier.verify(&token, kind, &keys, now).unwrap();
            assert_eq!(
                (claims.subject(), claims.text("name")),
                (&*person.sub, Some(&*person.name))
            );
            let later = now + jiff::SignedDuration::from_secs(3_660);
            assert_eq!(verifier.verify(&token, kind, &keys, later), Err(Refused::Expired));
            let others = KeySet::read(other.key_set()).unwrap();
            assert_eq!(verifier.verify(&token, kind, &others, now), Err(Refused::UnknownKey));
        }
    }

    #[test]
    fn it_starts_on_a_loopback_address_only() {
        for address in [
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "192.168.1.1",
            "203.0.113.9",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            let address: IpAddr = address.parse().unwrap();
            let refused = LocalIssuer::open(address, "page").unwrap_err();
            assert_eq!(refused.downcast_ref(), Some(&NotLoopback(address)));
        }
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(LocalIssuer::open(address.parse().unwrap(), "page").is_ok(), "{address}");
        }
    }
}
