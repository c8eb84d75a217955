//! A sign-in, as `logins` and `logins-silver` have it.

use std::fmt;
use std::fmt::Write as _;

use millstream::serde::{HasSerde, Json};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::moment::Moment;
use crate::access::Claims;

/// Names are cut here.
const NAME_CHARACTERS_MAX: usize = 200;
/// The longest address that mail can have.
const EMAIL_BYTES_MAX: usize = 254;
const URL_BYTES_MAX: usize = 2_048;
const DOMAIN_BYTES_MAX: usize = 253;

/// Somebody signed in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    /// The person, by the issuer's id: names and addresses change hands.
    pub sub: String,
    /// The name.
    pub username: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
    /// Whether the issuer knows that the address is the person's.
    pub email_verified: bool,
    /// The address of a picture, by https.
    pub picture: Option<String>,
    /// The organisation to which the account belongs.
    pub hosted_domain: Option<String>,
    /// Who says so.
    pub issuer: String,
    /// When.
    pub signed_in_at: Moment,
    /// A hash of the token by which they signed in; the token is kept nowhere.
    pub token_id: String,
}

impl HasSerde for SignIn {
    type Serde = Json;
}

/// Without the person: what is printed ends in logs.
impl fmt::Debug for SignIn {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SignIn { signed_in_at, token_id, .. } = self;
        write!(out, "SignIn({signed_in_at}, {token_id})")
    }
}

impl SignIn {
    /// What a verified token says of whoever signed in with it now.
    pub(super) fn of(claims: &Claims, token: &str, now: Moment) -> Self {
        let name = claims.text("name").or_else(|| claims.text("preferred_username"));
        let plain = |claim: &str, bytes_max: usize| {
            let is_plain = |text: &&str| {
                text.len() <= bytes_max && !text.contains(|it: char| it.is_control() || it == ' ')
            };
            claims.text(claim).map(str::trim).filter(is_plain).map(str::to_owned)
        };
        Self {
            sub: claims.subject().to_owned(),
            username: name.map(shown),
            email: plain("email", EMAIL_BYTES_MAX),
            email_verified: claims.is_true("email_verified"),
            picture: plain("picture", URL_BYTES_MAX).filter(|url| is_https(url)),
            hosted_domain: plain("hd", DOMAIN_BYTES_MAX),
            issuer: claims.text("iss").unwrap_or_default().to_owned(),
            signed_in_at: now,
            token_id: token_id(token),
        }
    }
}

/// A name without what hides or reorders other text, not too long. Markup stays: whoever shows it escapes it.
fn shown(name: &str) -> String {
    let hides = |character: &char| {
        character.is_control()
            || matches!(character, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let kept: String = name.chars().filter(|it| !hides(it)).take(NAME_CHARACTERS_MAX).collect();
    kept.trim().to_owned()
}

/// `javascript:` and `data:` run or carry things, `http:` tells everybody on the way.
fn is_https(url: &str) -> bool {
    let scheme = url.split_at_checked("https://".len());
    scheme.is_some_and(|(scheme, rest)| scheme.eq_ignore_ascii_case("https://") && !rest.is_empty())
}

/// The hash of what the issuer signed. The signature is left out: an ECDSA one has a twin that is as good, and the same
/// token must not pass for another one by it.
fn token_id(token: &str) -> String {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    hex(&Sha256::digest(signed))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::access::claims_of;

    const NOW: &str = "2026-11-22T10:00:00Z";

    fn of(more: &Value) -> SignIn {
        let mut claims = json!({"sub": "1", "iss": "https://issuer.example"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        SignIn::of(&claims_of(claims), "head.claims.signature", NOW.parse().unwrap())
    }

    #[test]
    fn a_sign_in_says_who_and_when_and_not_the_token() {
        let sign_in = of(&json!({
            "name": "Ada Lovelace", "email": "ada@example.com", "email_verified": true,
            "picture": "https://example.com/ada.png", "hd": "example.com", "at_hash": "x",
        }));
        let written = serde_json::to_string(&sign_in).unwrap();
        let wanted = concat!(
            r#"{"sub":"1","username":"Ada Lovelace","email":"ada@example.com","email_verified":true,"#,
            r#""picture":"https://example.com/ada.png","hosted_domain":"example.com","#,
            r#""issuer":"https://issuer.example","signed_in_at":"2026-11-22T10:00:00.000Z","#,
            r#""token_id":"b83451bae226b04b73e7180db5677214b7f5d2765e5fe8da6f17c6d156b85d2e"}"#
        );
        assert_eq!(written, wanted);
        assert!(!format!("{sign_in:?}").contains("Ada"));
    }

    #[test]
    fn a_token_is_known_whatever_its_signature_looks_like() {
        assert_eq!(token_id("head.claims.one"), token_id("head.claims.other"));
        assert_ne!(token_id("head.claims.one"), token_id("head.claim.one"));
    }

    #[test]
    fn only_pictures_by_https_are_kept() {
        for (picture, kept) in [
            ("https://example.com/a.png", true),
            ("HTTPS://example.com/a.png", true),
            ("javascript:alert(1)", false),
            ("data:text/html,<script>", false),
            (" javascript:alert(1)", false),
            ("java\nscript:alert(1)", false),
            ("http://example.com/a.png", false),
            ("//example.com/a.png", false),
            ("https://", false),
            ("https://example.com/a b", false),
        ] {
            let found = of(&json!({ "picture": picture })).picture;
            assert_eq!(found.is_some(), kept, "{picture:?}");
        }
        let long = format!("https://example.com/{}", "a".repeat(2_048));
        assert_eq!(of(&json!({ "picture": long })).picture, None);
    }

    #[test]
    fn an_unverified_address_is_kept_and_marked() {
        let marked = |verified: Value| {
            let sign_in = of(&json!({"email": "a@b.example", "email_verified": verified}));
            (sign_in.email, sign_in.email_verified)
        };
        let kept = Some("a@b.example".to_owned());
        for (claim, is_verified) in
            [(json!(true), true), (json!("true"), true), (json!(false), false), (json!(1), false)]
        {
            assert_eq!(marked(claim), (kept.clone(), is_verified));
        }
        assert!(!of(&json!({"email": "a@b.example"})).email_verified);
        assert_eq!(of(&json!({"email": "a\r\nBcc: b@c"})).email, None);
    }

    #[test]
    fn a_name_with_markup_is_kept_as_it_is_and_one_that_hides_text_is_not() {
        let name = |name: &str| of(&json!({ "name": name })).username;
        assert_eq!(name("<b>Ada</b> & co"), Some("<b>Ada</b> & co".to_owned()));
        assert_eq!(name(" A\u{202E}d\na\0 "), Some("Ada".to_owned()));
        assert_eq!(name(&"é".repeat(300)).unwrap().chars().count(), 200);
        assert_eq!(of(&json!({"preferred_username": "ada"})).username, Some("ada".to_owned()));
        assert_eq!(of(&json!({"name": 7})).username, None);
    }
}
