//! A key that nobody keeps, for issuers of tests and demos.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use rand::Rng as _;

/// PKCS#8 of a key on P-256, up to its 32 bytes: version 0, ecPublicKey on prime256v1, then version 1 of SEC 1.
const PKCS8: [u8; 35] = [
    0x30, 0x41, 0x02, 0x01, 0x00, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
    0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x04, 0x27, 0x30, 0x25, 0x02, 0x01,
    0x01, 0x04, 0x20,
];
/// One number in four thousand million is no key.
const TRIES_MAX: usize = 4;

/// A new key for ES256.
///
/// # Errors
/// If the library takes none of those that were made.
pub fn throw_away_key() -> anyhow::Result<EncodingKey> {
    for _ in 0..TRIES_MAX {
        let secret: [u8; 32] = rand::rng().random();
        let key = EncodingKey::from_ec_der(&[&PKCS8[..], &secret].concat());
        if Jwk::from_encoding_key(&key, Algorithm::ES256).is_ok() {
            return Ok(key);
        }
    }
    anyhow::bail!("no key could be made")
}
