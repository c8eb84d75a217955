//! Bytes of `logins` become sign-ins, or are refused with a reason that names no person.

use std::borrow::Cow;

use millstream::record::Timestamp;
use serde::Deserialize;

use super::moment::Moment;
use super::sign_in::SignIn;

/// The longest text of any field.
const TEXT_BYTES_MAX: usize = 4_096;
const SUB_BYTES_MAX: usize = 255;
/// A sign-in may say that it happened so much later than its record's time.
const AHEAD_MAX_MS: i64 = 86_400_000;

/// Why something is no sign-in. The names are what the header of a dead letter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadSignIn {
    /// Not JSON, not an object, a field of another type or there twice.
    #[error("not a sign-in: line {line} column {column}")]
    Unreadable {
        /// Where.
        line: usize,
        /// Where in it.
        column: usize,
    },
    /// A name or an address is missing or empty: nobody can be told by it.
    #[error("{0} is null, missing or empty")]
    Null(&'static str),
    /// A field that every sign-in has is missing or empty.
    #[error("{0} is missing")]
    MissingField(&'static str),
    /// A field is longer than it can be.
    #[error("{0} is too long, or has characters that it cannot have")]
    BadText(&'static str),
    /// It is no time, or more than a day later than the record.
    #[error("signed_in_at is no time, or more than a day later than its record")]
    BadTime,
    /// The key is another person.
    #[error("the key is not the sub")]
    OtherKey,
}

impl BadSignIn {
    /// Its name as the value of a label.
    pub(super) fn outcome(self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::Null(_) => "null",
            Self::MissingField(_) => "missing_field",
            Self::BadText(_) => "bad_text",
            Self::BadTime => "bad_time",
            Self::OtherKey => "other_key",
        }
    }

    /// All outcomes of that kind.
    pub(super) const OUTCOMES: [&'static str; 6] =
        ["unreadable", "null", "missing_field", "bad_text", "bad_time", "other_key"];
}

#[derive(Deserialize)]
struct Read<'a> {
    #[serde(borrow)]
    sub: Option<Cow<'a, str>>,
    #[serde(borrow)]
    username: Option<Cow<'a, str>>,
    #[serde(borrow)]
    email: Option<Cow<'a, str>>,
    email_verified: Option<bool>,
    #[serde(borrow)]
    picture: Option<Cow<'a, str>>,
    #[serde(borrow)]
    hosted_domain: Option<Cow<'a, str>>,
    #[serde(borrow)]
    issuer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    signed_in_at: Option<Cow<'a, str>>,
    #[serde(borrow)]
    token_id: Option<Cow<'a, str>>,
}

/// Reads the sign-in of a record with this key and time.
pub(super) fn read(key: &str, value: &[u8], at: Timestamp) -> Result<SignIn, BadSignIn> {
    let read: Read<'_> = serde_json::from_slice(value)
        .map_err(|error| BadSignIn::Unreadable { line: error.line(), column: error.column() })?;
    if value.trim_ascii_start().first() != Some(&b'{') {
        return Err(BadSignIn::Unreadable { line: 1, column: 1 });
    }
    let sub = needed("sub", read.sub)?;
    if sub.len() > SUB_BYTES_MAX || !sub.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(BadSignIn::BadText("sub"));
    }
    if sub != key {
        return Err(BadSignIn::OtherKey);
    }
    let signed_in_at = needed("signed_in_at", read.signed_in_at)?;
    let signed_in_at: Moment = signed_in_at.parse().map_err(|_| BadSignIn::BadTime)?;
    if signed_in_at.ms() > at.0.saturating_add(AHEAD_MAX_MS) {
        return Err(BadSignIn::BadTime);
    }
    Ok(SignIn {
        sub,
        username: Some(named("username", read.username)?),
        email: Some(named("email", read.email)?),
        email_verified: read.email_verified.unwrap_or_default(),
        picture: read.picture.map(|text| bounded("picture", text)).transpose()?,
        hosted_domain: read.hosted_domain.map(|it| bounded("hosted_domain", it)).transpose()?,
        issuer: needed("issuer", read.issuer)?,
        signed_in_at,
        token_id: needed("token_id", read.token_id)?,
    })
}

fn bounded(field: &'static str, text: Cow<'_, str>) -> Result<String, BadSignIn> {
    let is_plain = text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
    if is_plain { Ok(text.into_owned()) } else { Err(BadSignIn::BadText(field)) }
}

fn needed(field: &'static str, text: Option<Cow<'_, str>>) -> Result<String, BadSignIn> {
    let text = text.filter(|text| !text.trim().is_empty());
    bounded(field, text.ok_or(BadSignIn::MissingField(field))?)
}

/// What a person is told by.
fn named(field: &'static str, text: Option<Cow<'_, str>>) -> Result<String, BadSignIn> {
    let text = text.filter(|text| !text.trim().is_empty());
    bounded(field, text.ok_or(BadSignIn::Null(field))?)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// 2026-11-22T10:00:00Z.
    const TEN: i64 = 1_795_341_600_000;

    fn sign_in() -> Value {
        json!({
            "sub": "1", "username": "Ada", "email": "ada@example.com", "email_verified": true,
            "picture": null, "hosted_domain": null, "issuer": "local",
            "signed_in_at": "2026-11-22T10:00:00.000Z", "token_id": "ab",
        })
    }

    fn of(value: &str) -> Result<SignIn, BadSignIn> {
        read("1", value.as_bytes(), Timestamp(TEN))
    }

    fn with(name: &str, value: Value) -> Result<SignIn, BadSignIn> {
        let mut sign_in = sign_in();
        sign_in[name] = value;
        of(&sign_in.to_string())
    }

    #[test]
    fn what_is_written_is_read() {
        let read = of(&sign_in().to_string()).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), sign_in());
    }

    #[test]
    fn nulls_are_told_from_what_is_no_sign_in() {
        for field in ["username", "email"] {
            for value in [Value::Null, json!(""), json!("  ")] {
                assert_eq!(with(field, value), Err(BadSignIn::Null(field)));
            }
        }
        for field in ["sub", "issuer", "signed_in_at", "token_id"] {
            for value in [Value::Null, json!("")] {
                assert_eq!(with(field, value), Err(BadSignIn::MissingField(field)));
            }
        }
        assert_eq!(with("username", json!("a\nb")), Err(BadSignIn::BadText("username")));
        assert_eq!(with("email", json!("a".repeat(4_097))), Err(BadSignIn::BadText("email")));
        assert_eq!(with("sub", json!("a b")), Err(BadSignIn::BadText("sub")));
        assert_eq!(with("sub", json!("2")), Err(BadSignIn::OtherKey));
    }

    #[test]
    fn times_are_those_at_which_people_sign_in() {
        assert!(with("signed_in_at", json!("2026-11-23T10:00:00Z")).is_ok());
        for text in ["2026-11-23T10:00:00.001Z", "1969-12-31T23:59:59Z", "today"] {
            assert_eq!(with("signed_in_at", json!(text)), Err(BadSignIn::BadTime), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_says_where_and_not_what() {
        let twice = r#"{"sub":"1","sub":"Ada"}"#;
        let array = r#"["1","Ada","a",true,null,null,"i","2026-11-22T10:00:00Z","t"]"#;
        for text in ["", "Ada", r#"{"username":7}"#, r#"{"email_verified":"Ada"}"#, twice, array] {
            let refused = of(text).unwrap_err();
            assert!(matches!(refused, BadSignIn::Unreadable { .. }), "{text}");
            assert!(!refused.to_string().contains("Ada"), "{refused}");
        }
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(of(&deep).is_err());
    }
}
