//! Makes tokens for tests, good and hostile ones, with real keys and signatures.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde_json::{Value, json};

use super::throw_away::throw_away_key;

/// A key with its id.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) kid: &'static str,
    algorithm: Algorithm,
    key: EncodingKey,
}

fn rsa_key() -> EncodingKey {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap();
    EncodingKey::from_rsa_der(key.to_pkcs1_der().unwrap().as_bytes())
}

impl Forge {
    /// The RSA key of all tests: making one takes seconds.
    pub(crate) fn rsa() -> Self {
        static KEY: OnceLock<EncodingKey> = OnceLock::new();
        let key = KEY.get_or_init(rsa_key).clone();
        Self { kid: "rsa-1", algorithm: Algorithm::RS256, key }
    }

    /// The EC key of all tests.
    pub(crate) fn ec() -> Self {
        static KEY: OnceLock<EncodingKey> = OnceLock::new();
        let key = KEY.get_or_init(|| throw_away_key().unwrap()).clone();
        Self { kid: "ec-1", algorithm: Algorithm::ES256, key }
    }

    /// Somebody else's key under the id of the EC key.
    pub(crate) fn other_ec() -> Self {
        Self { key: throw_away_key().unwrap(), ..Self::ec() }
    }

    /// As the issuer publishes it.
    pub(crate) fn published(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, self.algorithm).unwrap();
        jwk.common.key_id = Some(self.kid.to_owned());
        serde_json::to_value(jwk).unwrap()
    }

    /// The header of its tokens.
    pub(crate) fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "kid": self.kid, "typ": "JWT"})
    }

    /// Signs whatever stands there.
    pub(crate) fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = crypto::sign(signed.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }
}

/// A key set as an issuer publishes it.
pub(crate) fn set_of(keys: &[Value]) -> Vec<u8> {
    json!({ "keys": keys }).to_string().into_bytes()
}
