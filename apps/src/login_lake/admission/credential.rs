//! The token in the body of a request: JSON, or the form of Google Identity Services.

use serde::Deserialize;

use super::refusal::Refusal;
use crate::access::{Refused, TOKEN_BYTES_MAX};

/// A token in a form in which each byte is written as `%41`, and what stands beside it.
const BODY_BYTES_MAX: usize = 4 * TOKEN_BYTES_MAX;

/// What was posted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Posted {
    Json { credential: String },
    Form { credential: String, csrf_token: Option<String> },
}

#[derive(Deserialize)]
struct Body {
    credential: Option<String>,
}

/// Reads a body.
pub(super) fn posted(content_type: Option<&str>, body: &[u8]) -> Result<Posted, Refusal> {
    if body.is_empty() {
        return Err(Refusal::NoBody);
    }
    if body.len() > BODY_BYTES_MAX {
        return Err(Refused::TooLong.into());
    }
    let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let posted = if media.eq_ignore_ascii_case("application/json") {
        Posted::Json { credential: of_json(body)?.unwrap_or_default() }
    } else if media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        let [credential, csrf_token] = of_form(body, ["credential", "g_csrf_token"])?;
        Posted::Form { credential: credential.unwrap_or_default(), csrf_token }
    } else {
        return Err(Refusal::MediaType);
    };
    let (Posted::Json { credential } | Posted::Form { credential, .. }) = &posted;
    if credential.is_empty() { Err(Refusal::NoCredential) } else { Ok(posted) }
}

fn of_json(body: &[u8]) -> Result<Option<String>, Refusal> {
    let is_object = body.trim_ascii_start().first() == Some(&b'{');
    let read = serde_json::from_slice::<Body>(body).ok().filter(|_| is_object);
    read.map(|body| body.credential).ok_or(Refusal::BadBody)
}

/// The fields of a form by name. What stands there twice is refused: two readers would see two things.
fn of_form<const N: usize>(body: &[u8], names: [&str; N]) -> Result<[Option<String>; N], Refusal> {
    let mut found = [const { None }; N];
    for pair in body.split(|byte| *byte == b'&') {
        let mut parts = pair.splitn(2, |byte| *byte == b'=');
        let name = decoded(parts.next().unwrap_or_default())?;
        let value = decoded(parts.next().unwrap_or_default())?;
        for (slot, wanted) in found.iter_mut().zip(names) {
            if name == wanted && slot.replace(value.clone()).is_some() {
                return Err(Refusal::BadBody);
            }
        }
    }
    Ok(found)
}

/// `a%20b+c` is `a b c`.
fn decoded(text: &[u8]) -> Result<String, Refusal> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                u8::try_from(value.ok_or(Refusal::BadBody)?).map_err(|_| Refusal::BadBody)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| Refusal::BadBody)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: Option<&str> = Some("application/x-www-form-urlencoded");
    const JSON: Option<&str> = Some("Application/JSON; charset=utf-8");

    fn form(credential: &str, csrf_token: Option<&str>) -> Result<Posted, Refusal> {
        let csrf_token = csrf_token.map(str::to_owned);
        Ok(Posted::Form { credential: credential.to_owned(), csrf_token })
    }

    #[test]
    fn a_form_is_read_with_its_escapes() {
        assert_eq!(posted(FORM, b"credential=a.b.c&g_csrf_token=x"), form("a.b.c", Some("x")));
        assert_eq!(
            posted(FORM, b"g%5Fcsrf_token=%41+b&credential=%C3%A9&more"),
            form("é", Some("A b"))
        );
        assert_eq!(posted(FORM, b"credential=a=b&"), form("a=b", None));
        for body in
            ["credential=%4", "credential=%zz", "credential=%FF", "credential=a&credential=b"]
        {
            assert_eq!(posted(FORM, body.as_bytes()), Err(Refusal::BadBody), "{body}");
        }
        for body in ["credential=", "credential", "g_csrf_token=x", "&", "Credential=a"] {
            assert_eq!(posted(FORM, body.as_bytes()), Err(Refusal::NoCredential), "{body}");
        }
    }

    #[test]
    fn json_is_an_object_with_a_credential() {
        let json = |credential: &str| Ok(Posted::Json { credential: credential.to_owned() });
        assert_eq!(posted(JSON, br#" {"credential":"a.b.c","more":1}"#), json("a.b.c"));
        for body in [
            "{",
            "[\"a\"]",
            "\"a\"",
            r#"{"credential":1}"#,
            r#"{"credential":"a","credential":"b"}"#,
        ] {
            assert_eq!(posted(JSON, body.as_bytes()), Err(Refusal::BadBody), "{body}");
        }
        for body in ["{}", r#"{"credential":""}"#, r#"{"credential":null}"#] {
            assert_eq!(posted(JSON, body.as_bytes()), Err(Refusal::NoCredential), "{body}");
        }
    }

    #[test]
    fn other_bodies_are_refused() {
        assert_eq!(posted(JSON, b""), Err(Refusal::NoBody));
        for media in [None, Some(""), Some("text/plain"), Some("application/jsonx")] {
            assert_eq!(posted(media, b"{}"), Err(Refusal::MediaType));
        }
        let long = vec![b' '; BODY_BYTES_MAX + 1];
        assert_eq!(posted(JSON, &long), Err(Refusal::Token(Refused::TooLong)));
    }
}
