//! Admits sign-ins.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::credential::{Posted, posted};
use super::forgery::check_sender;
use super::refusal::Refusal;
use crate::access::{Keys, Kind, Nonces, Verifier, kid_of};
use crate::login_lake::moment::Moment;
use crate::login_lake::sign_in::SignIn;

/// The parts of a request to sign in.
#[derive(Clone, Copy, Default)]
pub struct Login<'a> {
    /// `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// `Origin`.
    pub origin: Option<&'a str>,
    /// The cookie `g_csrf_token`.
    pub csrf_cookie: Option<&'a str>,
    /// The nonce of the page, by a cookie that only this server reads.
    pub nonce: Option<&'a str>,
}

/// Without body and cookies, which are secrets.
impl std::fmt::Debug for Login<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (content_type, origin) = (self.content_type, self.origin);
        write!(out, "Login({content_type:?}, {origin:?}, {} bytes)", self.body.len())
    }
}

/// Admits sign-ins of one issuer to one site.
#[derive(Debug)]
pub struct Admission {
    verifier: Verifier,
    keys: Keys,
    nonces: Mutex<Nonces>,
    own_origin: String,
}

impl Admission {
    /// For a page of this origin, for example `https://shop.example`.
    pub fn new(verifier: Verifier, keys: Keys, nonces: Nonces, own_origin: &str) -> Self {
        Self { verifier, keys, nonces: Mutex::new(nonces), own_origin: own_origin.to_owned() }
    }

    /// A nonce for a page that is shown.
    pub fn issue_nonce(&self, now: Timestamp) -> String {
        self.nonces().issue(now)
    }

    /// When the issuer's keys came last, for whoever watches it.
    pub fn keys_fetched_at(&self) -> Option<Timestamp> {
        self.keys.fetched_at()
    }

    /// Takes a request to sign in. It may wait for the issuer's keys. The nonce is taken last: what is refused for
    /// another reason can be tried again by the same page.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn admit(&self, login: &Login<'_>, now: Timestamp) -> Result<SignIn, Refusal> {
        let posted = posted(login.content_type, login.body)?;
        check_sender(&posted, login.csrf_cookie, (login.origin, &self.own_origin))?;
        let (Posted::Json { credential } | Posted::Form { credential, .. }) = &posted;
        let keys = self.keys.for_kid(&kid_of(credential)?, now)?;
        let kind = Kind::Id { nonce: login.nonce };
        let claims = self.verifier.verify(credential, kind, &keys, now)?;
        let signed_in_at = Moment::try_from(now).map_err(|_| Refusal::Clock)?;
        self.nonces().take(login.nonce.unwrap_or_default(), now)?;
        Ok(SignIn::of(&claims, credential, signed_in_at))
    }

    fn nonces(&self) -> std::sync::MutexGuard<'_, Nonces> {
        // No panic leaves them half changed: what is taken is one insertion.
        self.nonces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
