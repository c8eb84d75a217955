//! Verifies tokens of one issuer for one client.

use jiff::Timestamp;
use jsonwebtoken::Algorithm;

use super::claims::Claims;
use super::key_set::KeySet;
use super::parts::Parts;
use super::refused::Refused;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// It says to a client who signed in, in answer to the request with this nonce.
    Id {
        /// The nonce of that request; without one there is no such token.
        nonce: Option<&'a str>,
    },
    /// It is shown to an API with each request (bearer token).
    Access,
}

/// What tokens must say.
#[derive(Clone, Debug)]
pub struct Verifier {
    issuer: String,
    client: String,
}

/// The key id that a token names, by which keys are looked for; nothing is verified yet.
///
/// # Errors
/// What is wrong with its form.
pub fn kid_of(token: &str) -> Result<String, Refused> {
    Parts::of(token)?.header()?.kid.ok_or(Refused::NoKeyId)
}

impl Verifier {
    /// Tokens of exactly this issuer, with this client in their audience.
    #[must_use]
    pub fn new(issuer: &str, client: &str) -> Self {
        Self { issuer: issuer.to_owned(), client: client.to_owned() }
    }

    /// Verifies a token by these keys as of now. What it claims is looked at once its signature is right.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn verify(
        &self,
        token: &str,
        kind: Kind<'_>,
        keys: &KeySet,
        now: Timestamp,
    ) -> Result<Claims, Refused> {
        let parts = Parts::of(token)?;
        let header = parts.header()?;
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::RS256,
            "ES256" => Algorithm::ES256,
            _ => return Err(Refused::Algorithm),
        };
        if header.crit {
            return Err(Refused::Critical);
        }
        if header.brings_a_key() {
            return Err(Refused::OwnKey);
        }
        check_type(header.typ.as_deref(), kind)?;
        let kid = header.kid.ok_or(Refused::NoKeyId)?;
        keys.verify((&kid, algorithm), (parts.signed, parts.signature))?;
        let claims = Claims::of(parts.claims()?);
        self.check(&claims, kind, now)?;
        Ok(claims)
    }

    fn check(&self, claims: &Claims, kind: Kind<'_>, now: Timestamp) -> Result<(), Refused> {
        claims.check_issuer(&self.issuer)?;
        let audiences = claims.check_audience(&self.client)?;
        claims.check_times(now)?;
        claims.check_subject()?;
        if let Kind::Id { nonce } = kind {
            // The party of an access token is the client that got it, not the one it is shown to.
            claims.check_party(&self.client, audiences)?;
            claims.check_issue_time()?;
            match (nonce, claims.text("nonce")) {
                (Some(wanted), Some(found)) if wanted == found => {}
                (Some(_), Some(_)) => return Err(Refused::NonceOther),
                _ => return Err(Refused::NonceMissing),
            }
        }
        Ok(())
    }
}

/// A token that says what it is must be that: one for a page is no key to an API (RFC 9068).
fn check_type(said: Option<&str>, kind: Kind<'_>) -> Result<(), Refused> {
    let is_right = match said {
        None => true,
        Some(said) if said.eq_ignore_ascii_case("JWT") => true,
        Some(said) => kind == Kind::Access && said.eq_ignore_ascii_case("at+jwt"),
    };
    if is_right { Ok(()) } else { Err(Refused::OtherKind) }
}

#[cfg(test)]
mod tests;
