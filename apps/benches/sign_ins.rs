//! How many sign-ins one core admits: requests with tokens of RS256 (2,048 bits), each with a nonce of its own, from the
//! body to the record that is written.
//!
//! `cargo bench -p millstream-apps --bench sign_ins`

use std::io::Write as _;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use millstream_apps::access::{Fetched, Keys, Nonces, Verifier};
use millstream_apps::login_lake::{Admission, Login};
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use serde_json::json;

const ISSUER: &str = "https://issuer.example";
const ORIGIN: &str = "https://shop.example";
/// Signing them takes longer than admitting them.
const SIGN_INS: usize = 5_000;
const ROUNDS: usize = 3;

struct Issuer {
    key: EncodingKey,
    header: String,
}

impl Issuer {
    fn new() -> anyhow::Result<Self> {
        let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048)?;
        let key = EncodingKey::from_rsa_der(key.to_pkcs1_der()?.as_bytes());
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","kid":"1","typ":"JWT"}"#);
        Ok(Self { key, header })
    }

    fn key_set(&self) -> anyhow::Result<Vec<u8>> {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::RS256)?;
        jwk.common.key_id = Some("1".to_owned());
        Ok(json!({ "keys": [jwk] }).to_string().into_bytes())
    }

    /// What Google says of somebody.
    fn token(&self, nonce: &str, now: Timestamp) -> anyhow::Result<String> {
        let claims = json!({
            "iss": ISSUER, "aud": "web", "azp": "web", "sub": "110169484474386276334", "nonce": nonce,
            "iat": now.as_second(), "nbf": now.as_second(), "exp": now.as_second() + 3_600,
            "email": "ada@example.com", "email_verified": true, "name": "Ada Lovelace",
            "picture": "https://example.com/a/ada.png", "given_name": "Ada", "family_name": "Lovelace",
            "hd": "example.com", "jti": "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
        });
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = crypto::sign(signed.as_bytes(), &self.key, Algorithm::RS256)?;
        Ok(format!("{signed}.{signature}"))
    }
}

fn main() -> anyhow::Result<()> {
    let issuer = Issuer::new()?;
    let json = issuer.key_set()?;
    let keys = Keys::from(move || Ok(Fetched { json: json.clone(), fresh_for: None }));
    let verifier = Verifier::new(ISSUER, "web");
    let admission = Admission::new(verifier, keys, Nonces::with_own_key(), ORIGIN);
    let mut out = std::io::stdout().lock();
    for round in 1..=ROUNDS {
        let now = Timestamp::now();
        let mut requests = Vec::with_capacity(SIGN_INS);
        for _ in 0..SIGN_INS {
            let nonce = admission.issue_nonce(now);
            let body = json!({ "credential": issuer.token(&nonce, now)? }).to_string();
            requests.push((nonce, body));
        }
        let (begun, mut bytes) = (Timestamp::now(), 0);
        for (nonce, body) in &requests {
            let login = Login {
                content_type: Some("application/json"),
                body: body.as_bytes(),
                origin: Some(ORIGIN),
                csrf_cookie: None,
                nonce: Some(nonce),
            };
            let sign_in = admission.admit(&login, now).context("a good token was refused")?;
            bytes += serde_json::to_vec(&sign_in)?.len();
        }
        let seconds = Timestamp::now().duration_since(begun).as_secs_f64();
        let rate = SIGN_INS as f64 / seconds;
        let each = bytes / SIGN_INS;
        writeln!(out, "round {round}: {rate:.0} sign-ins/s on one core, {each} bytes each")?;
    }
    Ok(())
}
