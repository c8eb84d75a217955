//! A token's three parts, and what its header says.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserializer, IgnoredAny};
use serde::{Deserialize, de::DeserializeOwned};

use super::refused::Refused;

/// A longer token is nobody's: those of large issuers have some 2 KiB, with many roles perhaps 6.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A token, taken apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    pub(super) signature: &'a str,
    /// What is signed: header, dot, claims.
    pub(super) signed: &'a str,
}

/// What the header says. A name that stands there twice is refused.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    pub(super) typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(super) crit: bool,
    #[serde(default, deserialize_with = "present")]
    jku: bool,
    #[serde(default, deserialize_with = "present")]
    jwk: bool,
    #[serde(default, deserialize_with = "present")]
    x5u: bool,
    #[serde(default, deserialize_with = "present")]
    x5c: bool,
}

impl Header {
    /// Whether it says by which key it wants to be verified.
    pub(super) fn brings_a_key(&self) -> bool {
        self.jku || self.jwk || self.x5u || self.x5c
    }
}

/// Whatever stands there, null too: it is there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Parts<'a> {
    pub(super) fn of(token: &'a str) -> Result<Self, Refused> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refused::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::NotThreeParts)?;
        let (header, claims) = signed.split_once('.').ok_or(Refused::NotThreeParts)?;
        if header.is_empty() || claims.is_empty() || claims.contains('.') {
            return Err(Refused::NotThreeParts);
        }
        Ok(Self { header, claims, signature, signed })
    }

    pub(super) fn header(&self) -> Result<Header, Refused> {
        object(self.header).ok_or(Refused::BadHeader)
    }

    pub(super) fn claims(&self) -> Result<serde_json::Map<String, serde_json::Value>, Refused> {
        object(self.claims).ok_or(Refused::BadClaims)
    }
}

/// A JSON object in base64url.
fn object<T: DeserializeOwned>(part: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(part).ok()?;
    // To serde an array of the right length would be a struct too.
    let is_object = json.trim_ascii_start().first() == Some(&b'{');
    if is_object { serde_json::from_slice(&json).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(json: &str) -> String {
        URL_SAFE_NO_PAD.encode(json)
    }

    #[test]
    fn a_token_has_three_parts_and_a_bound() {
        let parts = Parts::of("a.b.c").unwrap();
        assert_eq!((parts.signed, parts.signature), ("a.b", "c"));
        // An unsigned one has them too: its algorithm is what is refused.
        assert_eq!(Parts::of("a.b.").unwrap().signature, "");
        for token in ["", "a", "a.b", ".b.c", "a..c", "a.b.c.d", "..."] {
            assert_eq!(Parts::of(token).unwrap_err(), Refused::NotThreeParts, "{token}");
        }
        let long = |bytes: usize| format!("a.b.{}", "c".repeat(bytes - 4));
        assert!(Parts::of(&long(8_192)).is_ok());
        assert_eq!(Parts::of(&long(8_193)).unwrap_err(), Refused::TooLong);
    }

    #[test]
    fn a_header_is_an_object_in_which_nothing_stands_twice() {
        let read = |json: &str| {
            let token = format!("{}.b.c", encoded(json));
            Parts::of(&token).unwrap().header()
        };
        let header = read(r#" {"alg":"RS256","kid":"1","more":[1]}"#).unwrap();
        assert_eq!((header.alg.as_str(), header.kid.as_deref()), ("RS256", Some("1")));
        assert!(!header.crit && !header.brings_a_key());
        for json in [
            "no JSON",
            "{}",
            r#"{"alg":1}"#,
            r#"{"alg":"none","alg":"RS256"}"#,
            r#"["RS256",null,null,null,null,null,null,null]"#,
            r#"{"alg":"RS256"} {"#,
        ] {
            assert_eq!(read(json).unwrap_err(), Refused::BadHeader, "{json}");
        }
        for name in ["jku", "jwk", "x5u", "x5c"] {
            for value in ["null", "{}", "\"x\""] {
                let header = read(&format!(r#"{{"alg":"RS256","{name}":{value}}}"#)).unwrap();
                assert!(header.brings_a_key(), "{name}");
            }
        }
        assert!(read(r#"{"alg":"RS256","crit":null}"#).unwrap().crit);
        let padded = format!("{}=.b.c", encoded(r#"{"alg":"RS256"}"#));
        assert_eq!(Parts::of(&padded).unwrap().header().unwrap_err(), Refused::BadHeader);
    }
}
