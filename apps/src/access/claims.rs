//! What a token says, once its signature is known to be right.

use std::fmt;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::refused::Refused;

/// Clocks may differ by so much.
const LEEWAY_S: f64 = 60.0;
/// OpenID Connect's bound.
const SUBJECT_BYTES_MAX: usize = 255;

/// The claims of a verified token.
#[derive(Clone, PartialEq)]
pub struct Claims(Map<String, Value>);

/// Their names only: what is printed ends in logs.
impl fmt::Debug for Claims {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.0.keys()).finish()
    }
}

impl Claims {
    pub(super) fn of(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// Who it is: unlike names and addresses, it never goes to another person of this issuer.
    pub fn subject(&self) -> &str {
        self.text("sub").unwrap_or_default()
    }

    /// A claim that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A claim that is true; some issuers write it as text.
    pub fn is_true(&self, name: &str) -> bool {
        match self.0.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text == "true",
            _ => false,
        }
    }

    /// All of them.
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Exactly this issuer.
    pub(super) fn check_issuer(&self, issuer: &str) -> Result<(), Refused> {
        if self.text("iss") == Some(issuer) { Ok(()) } else { Err(Refused::Issuer) }
    }

    /// One of the audience is this client; how many there are.
    pub(super) fn check_audience(&self, client: &str) -> Result<usize, Refused> {
        let all = match self.0.get("aud") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(many)) => {
                let texts = many.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
                texts.ok_or(Refused::BadClaims)?
            }
            _ => return Err(Refused::Audience),
        };
        if all.contains(&client) { Ok(all.len()) } else { Err(Refused::Audience) }
    }

    /// It was given to this client, which must be said where it is for several.
    pub(super) fn check_party(&self, client: &str, audiences: usize) -> Result<(), Refused> {
        match self.0.get("azp") {
            None if audiences == 1 => Ok(()),
            Some(Value::String(party)) if party == client => Ok(()),
            _ => Err(Refused::AuthorizedParty),
        }
    }

    /// It holds now.
    pub(super) fn check_times(&self, now: Timestamp) -> Result<(), Refused> {
        let now = now.as_duration().as_secs_f64();
        let expiry = self.seconds("exp")?.ok_or(Refused::NoExpiry)?;
        if now >= expiry + LEEWAY_S {
            return Err(Refused::Expired);
        }
        if self.seconds("nbf")?.is_some_and(|from| now + LEEWAY_S < from) {
            return Err(Refused::NotYet);
        }
        if self.seconds("iat")?.is_some_and(|issued| issued > now + LEEWAY_S) {
            return Err(Refused::FromTheFuture);
        }
        Ok(())
    }

    pub(super) fn check_issue_time(&self) -> Result<(), Refused> {
        self.seconds("iat")?.map(drop).ok_or(Refused::NoIssueTime)
    }

    pub(super) fn check_subject(&self) -> Result<(), Refused> {
        let is_usable = |sub: &str| {
            (1..=SUBJECT_BYTES_MAX).contains(&sub.len())
                && sub.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if self.text("sub").is_some_and(is_usable) { Ok(()) } else { Err(Refused::Subject) }
    }

    /// Seconds since 1970, which may have a fraction.
    fn seconds(&self, name: &str) -> Result<Option<f64>, Refused> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Refused::BadClaims),
        }
    }
}

/// Claims that nobody verified, for tests.
#[cfg(test)]
pub(crate) fn claims_of(claims: Value) -> Claims {
    match claims {
        Value::Object(claims) => Claims(claims),
        other => panic!("no claims: {other}"),
    }
}
