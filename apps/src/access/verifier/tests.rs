//! Every hostile token, with a real signature where that is not the point.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, crypto};
use serde_json::{Value, json};

use super::super::forge::{Forge, set_of};
use super::*;

const ISSUER: &str = "https://issuer.example";
/// 2026-11-22T10:00:00Z.
const NOW: i64 = 1_795_341_600;

fn claims() -> Value {
    json!({
        "iss": ISSUER, "aud": "web", "azp": "web", "sub": "1234", "nonce": "n-1",
        "iat": NOW, "nbf": NOW, "exp": NOW + 3_600, "email": "ada@example.com",
    })
}

/// The usual claims with another value of one; null takes it out.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    if value.is_null() {
        claims.as_object_mut().unwrap().remove(name);
    } else {
        claims[name] = value;
    }
    claims
}

fn keys() -> KeySet {
    KeySet::read(&set_of(&[Forge::rsa().published(), Forge::ec().published()])).unwrap()
}

fn verify_at(token: &str, kind: Kind<'_>, second: i64) -> Result<Claims, Refused> {
    let now = Timestamp::from_second(second).unwrap();
    Verifier::new(ISSUER, "web").verify(token, kind, &keys(), now)
}

fn verify(token: &str) -> Result<Claims, Refused> {
    verify_at(token, Kind::Id { nonce: Some("n-1") }, NOW)
}

/// By the usual key, with other claims.
fn claimed(name: &str, value: Value) -> Result<(), Refused> {
    verify(&Forge::ec().sign(&Forge::ec().header(), &with(name, value))).map(drop)
}

/// By the usual key, with one more thing in the header.
fn headed(name: &str, value: Value) -> Result<(), Refused> {
    let mut header = Forge::ec().header();
    header[name] = value;
    verify(&Forge::ec().sign(&header, &claims())).map(drop)
}

#[test]
fn good_tokens_of_both_algorithms_say_who_it_is() {
    for forge in [Forge::rsa(), Forge::ec()] {
        let token = forge.sign(&forge.header(), &claims());
        let found = verify(&token).unwrap();
        assert_eq!((found.subject(), found.text("email")), ("1234", Some("ada@example.com")));
        assert_eq!(Value::Object(found.all().clone()), claims());
        assert_eq!(kid_of(&token), Ok(forge.kid.to_owned()));
    }
}

#[test]
fn a_signature_that_is_not_the_keys_is_refused() {
    let good = Forge::ec().sign(&Forge::ec().header(), &claims());
    let stranger = Forge::other_ec().sign(&Forge::ec().header(), &claims());
    assert_eq!(verify(&stranger), Err(Refused::Signature));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for signature in ["", "AAAA", "no base64url!", &signature[1..], &format!("{signature}=")] {
        assert_eq!(
            verify(&format!("{signed}.{signature}")),
            Err(Refused::Signature),
            "{signature}"
        );
    }
    // Other claims under a good signature.
    let (header, _) = signed.split_once('.').unwrap();
    let claims = URL_SAFE_NO_PAD.encode(with("sub", json!("root")).to_string());
    assert_eq!(verify(&format!("{header}.{claims}.{signature}")), Err(Refused::Signature));
    for forge in [Forge::rsa(), Forge::ec()] {
        let token = forge.sign(&forge.header(), &self::claims());
        let mut bytes = token.clone().into_bytes();
        let middle = bytes.len() - 40;
        bytes[middle] = if bytes[middle] == b'A' { b'B' } else { b'A' };
        assert_eq!(verify(&String::from_utf8(bytes).unwrap()), Err(Refused::Signature));
    }
}

#[test]
fn no_other_algorithm_is_taken() {
    let unsigned = |alg: &str| {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "kid": "ec-1"}).to_string());
        format!("{header}.{}.", URL_SAFE_NO_PAD.encode(claims().to_string()))
    };
    for alg in ["none", "None", "NONE", "", "HS256", "RS384", "PS256", "ES384", "EdDSA", "es256"] {
        assert_eq!(verify(&unsigned(alg)), Err(Refused::Algorithm), "{alg}");
    }
    // HS256 with what everybody knows of the key: its published form, and its modulus.
    let published = Forge::rsa().published();
    for secret in [published.to_string(), published["n"].as_str().unwrap().to_owned()] {
        let signed = unsigned("HS256");
        let signed = signed.trim_end_matches('.');
        let secret = EncodingKey::from_secret(secret.as_bytes());
        let signature = crypto::sign(signed.as_bytes(), &secret, jsonwebtoken::Algorithm::HS256);
        let token = format!("{signed}.{}", signature.unwrap());
        assert_eq!(verify(&token), Err(Refused::Algorithm));
    }
}

#[test]
fn a_key_is_for_its_own_algorithm_only() {
    let (rsa, ec) = (Forge::rsa(), Forge::ec());
    let mut header = rsa.header();
    header["kid"] = json!("ec-1");
    assert_eq!(verify(&rsa.sign(&header, &claims())), Err(Refused::OtherKeyType));
    let mut header = ec.header();
    header["kid"] = json!("rsa-1");
    assert_eq!(verify(&ec.sign(&header, &claims())), Err(Refused::OtherKeyType));
    // An EC signature that calls itself RS256 under the EC key's id.
    assert_eq!(headed("alg", json!("RS256")), Err(Refused::OtherKeyType));
}

#[test]
fn a_key_that_is_unknown_or_brought_along_is_refused() {
    assert_eq!(headed("kid", json!("ec-2")), Err(Refused::UnknownKey));
    assert_eq!(headed("kid", Value::Null), Err(Refused::NoKeyId));
    assert_eq!(headed("kid", json!(["ec-1"])), Err(Refused::BadHeader));
    let stranger = Forge::other_ec();
    for (name, value) in [
        ("jku", json!("https://evil.example/keys")),
        ("x5u", json!("https://evil.example/cert")),
        ("jwk", stranger.published()),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut header = stranger.header();
        header[name] = value.clone();
        assert_eq!(verify(&stranger.sign(&header, &claims())), Err(Refused::OwnKey), "{name}");
        // Also by the right key: nobody needs it.
        assert_eq!(headed(name, value), Err(Refused::OwnKey), "{name}");
    }
    assert_eq!(headed("crit", json!(["b64"])), Err(Refused::Critical));
    assert_eq!(headed("crit", json!([])), Err(Refused::Critical));
}

#[test]
fn issuer_and_audience_are_exact() {
    for other in
        [json!("https://issuer.example/"), json!("HTTPS://issuer.example"), json!([ISSUER])]
    {
        assert_eq!(claimed("iss", other.clone()), Err(Refused::Issuer), "{other}");
    }
    assert_eq!(claimed("iss", Value::Null), Err(Refused::Issuer));
    for other in [json!("webs"), json!("we"), json!([]), json!(["other"]), Value::Null, json!(1)] {
        assert_eq!(claimed("aud", other.clone()), Err(Refused::Audience), "{other}");
    }
    assert_eq!(claimed("aud", json!(["web", 1])), Err(Refused::BadClaims));
    assert_eq!(claimed("aud", json!(["other", "web"])), Ok(()));
    assert_eq!(claimed("azp", json!("other")), Err(Refused::AuthorizedParty));
    assert_eq!(claimed("azp", json!(["web"])), Err(Refused::AuthorizedParty));
    assert_eq!(claimed("azp", Value::Null), Ok(()));
    let mut several = with("azp", Value::Null);
    several["aud"] = json!(["web", "other"]);
    let token = Forge::ec().sign(&Forge::ec().header(), &several);
    assert_eq!(verify(&token), Err(Refused::AuthorizedParty));
}

#[test]
fn times_are_taken_with_a_minute_of_leeway() {
    for (name, seconds, wanted) in [
        ("exp", NOW - 59, Ok(())),
        ("exp", NOW - 60, Err(Refused::Expired)),
        ("exp", 0, Err(Refused::Expired)),
        ("exp", -5, Err(Refused::Expired)),
        ("nbf", NOW + 60, Ok(())),
        ("nbf", NOW + 61, Err(Refused::NotYet)),
        ("iat", NOW + 60, Ok(())),
        ("iat", NOW + 61, Err(Refused::FromTheFuture)),
    ] {
        assert_eq!(claimed(name, json!(seconds)), wanted, "{name} {}", seconds - NOW);
    }
    assert_eq!(claimed("exp", Value::Null), Err(Refused::NoExpiry));
    assert_eq!(claimed("iat", Value::Null), Err(Refused::NoIssueTime));
    assert_eq!(claimed("nbf", Value::Null), Ok(()));
    assert_eq!(claimed("exp", json!(1e300)), Ok(()));
    assert_eq!(claimed("exp", json!(NOW as f64 - 59.5)), Ok(()));
    for name in ["exp", "nbf", "iat"] {
        assert_eq!(claimed(name, json!("1795345200")), Err(Refused::BadClaims), "{name}");
    }
}

#[test]
fn the_nonce_must_be_the_pages() {
    let token = Forge::ec().sign(&Forge::ec().header(), &claims());
    let nonce = |wanted| verify_at(&token, Kind::Id { nonce: wanted }, NOW).map(drop);
    assert_eq!(nonce(Some("n-2")), Err(Refused::NonceOther));
    assert_eq!(nonce(Some("")), Err(Refused::NonceOther));
    assert_eq!(nonce(None), Err(Refused::NonceMissing));
    assert_eq!(claimed("nonce", Value::Null), Err(Refused::NonceMissing));
    assert_eq!(claimed("nonce", json!(["n-1"])), Err(Refused::NonceMissing));
    assert_eq!(claimed("nonce", json!("N-1")), Err(Refused::NonceOther));
}

#[test]
fn somebody_must_be_named() {
    let long = "x".repeat(256);
    for sub in
        [json!(""), json!("a b"), json!("a\n"), json!("é"), json!(7), json!(long), Value::Null]
    {
        assert_eq!(claimed("sub", sub.clone()), Err(Refused::Subject), "{sub}");
    }
    assert_eq!(claimed("sub", json!("x".repeat(255))), Ok(()));
}

#[test]
fn a_token_of_one_kind_is_not_one_of_the_other() {
    assert_eq!(headed("typ", json!("at+jwt")), Err(Refused::OtherKind));
    assert_eq!(headed("typ", json!("dpop+jwt")), Err(Refused::OtherKind));
    assert_eq!(headed("typ", json!("jwt")), Ok(()));
    let mut header = Forge::ec().header();
    header["typ"] = json!("at+jwt");
    let mut access = with("nonce", Value::Null);
    access["azp"] = json!("a page");
    let token = Forge::ec().sign(&header, &access);
    assert!(verify_at(&token, Kind::Access, NOW).is_ok());
    assert_eq!(verify_at(&token, Kind::Access, NOW + 3_660), Err(Refused::Expired));
}

#[test]
fn a_form_that_is_none_is_refused_before_anything_else() {
    assert_eq!(verify("a.b"), Err(Refused::NotThreeParts));
    assert_eq!(verify(&"a".repeat(9_000)), Err(Refused::TooLong));
    assert_eq!(verify("a.b.c"), Err(Refused::BadHeader));
    // Signed well, but what is signed are no claims.
    for claims in [json!([1]), json!("text"), json!(null)] {
        let token = Forge::ec().sign(&Forge::ec().header(), &claims);
        assert_eq!(verify(&token), Err(Refused::BadClaims), "{claims}");
    }
    let statuses = [Refused::TooLong, Refused::Signature, Refused::NoKeys].map(Refused::status);
    assert_eq!(statuses, [400, 401, 503]);
    let reasons: std::collections::BTreeSet<_> =
        Refused::ALL.iter().map(|it| it.reason()).collect();
    assert_eq!(reasons.len(), Refused::ALL.len());
}
