//! `login-lake verify`: a token by hand.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;
use jiff::Timestamp;

use crate::access::{KeySet, Kind, Verifier};

/// A token by hand.
#[derive(Debug, Args)]
pub(super) struct Verify {
    /// The token
    token: String,
    /// The issuer's keys, as it publishes them (JWKS)
    #[arg(long, value_name = "FILE")]
    keys: PathBuf,
    /// The client that must be in its audience
    #[arg(long, value_name = "CLIENT")]
    audience: String,
    /// The issuer, exactly
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The nonce that must stand in an ID token
    #[arg(long, required_unless_present = "access")]
    nonce: Option<String>,
    /// It is an access token, which has no nonce
    #[arg(long, conflicts_with = "nonce")]
    access: bool,
    /// As of this time [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
}

impl Verify {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<()> {
        let reading = || format!("reading {}", self.keys.display());
        let keys =
            KeySet::read(&fs::read(&self.keys).with_context(reading)?).with_context(reading)?;
        let kind = match self.access {
            true => Kind::Access,
            false => Kind::Id { nonce: self.nonce.as_deref() },
        };
        let now = self.at.unwrap_or_else(Timestamp::now);
        let verifier = Verifier::new(&self.issuer, &self.audience);
        let claims = verifier
            .verify(&self.token, kind, &keys, now)
            .map_err(|refused| anyhow!("{refused} ({})", refused.reason()))?;
        writeln!(out, "{}", serde_json::to_string(claims.all())?)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::issuer::LocalIssuer;
    use super::*;

    #[test]
    fn claims_are_printed_or_the_reason_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("jwks.json");
        let issuer = LocalIssuer::open("::1".parse().unwrap(), "web").unwrap();
        fs::write(&keys, issuer.key_set()).unwrap();
        let at: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let token = issuer.token(&LocalIssuer::people()[0], "N", at).unwrap();
        let verify = |audience: &str, nonce: Option<&str>, at: Timestamp| {
            let verify = Verify {
                token: token.clone(),
                keys: keys.clone(),
                audience: audience.to_owned(),
                issuer: "local".to_owned(),
                nonce: nonce.map(str::to_owned),
                access: nonce.is_none(),
                at: Some(at),
            };
            let mut out = Vec::new();
            let done = verify.run(&mut out).map_err(|error| error.to_string());
            done.map(|()| serde_json::from_slice::<serde_json::Value>(&out).unwrap())
        };
        let claims = verify("web", Some("N"), at).unwrap();
        assert_eq!(
            (claims["sub"].as_str(), claims["nonce"].as_str()),
            (Some("local-1"), Some("N"))
        );
        assert!(verify("web", None, at).is_ok());
        let refused = verify("app", Some("N"), at).unwrap_err();
        assert_eq!(refused, "the token is for another audience (audience)");
        let late = "2026-11-22T12:00:00Z".parse().unwrap();
        assert_eq!(verify("web", Some("N"), late).unwrap_err(), "the token has expired (expired)");
    }
}
