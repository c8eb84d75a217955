//! Requests to sign in, good and hostile ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::*;
use crate::access::forge::{Forge, set_of};
use crate::access::{Fetched, Refused, TOKEN_BYTES_MAX};

const ISSUER: &str = "https://issuer.example";
const OWN: &str = "https://shop.example";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_341_600 + second).unwrap()
}

/// A site, and whether its issuer can be reached.
struct Site(Admission, Arc<AtomicBool>);

impl Site {
    fn open() -> Self {
        let reachable = Arc::new(AtomicBool::new(true));
        let is_reachable = Arc::clone(&reachable);
        let json = set_of(&[Forge::rsa().published(), Forge::ec().published()]);
        let keys = Keys::from(move || match is_reachable.load(Ordering::SeqCst) {
            true => Ok(Fetched { json: json.clone(), fresh_for: None }),
            false => Err("away".into()),
        });
        let verifier = Verifier::new(ISSUER, "web");
        Self(Admission::new(verifier, keys, Nonces::with_own_key(), OWN), reachable)
    }

    fn json(&self, credential: &str, nonce: Option<&str>, now: i64) -> Result<SignIn, Refusal> {
        let body = json!({ "credential": credential }).to_string();
        let login = Login {
            content_type: Some("application/json"),
            body: body.as_bytes(),
            origin: Some(OWN),
            csrf_cookie: None,
            nonce,
        };
        self.0.admit(&login, at(now))
    }
}

fn token(forge: &Forge, nonce: &str, second: i64, more: &Value) -> String {
    let issued = at(second).as_second();
    let mut claims = json!({
        "iss": ISSUER, "aud": "web", "sub": "1234", "nonce": nonce, "iat": issued, "exp": issued + 3_600,
        "name": "Ada", "email": "ada@example.com", "email_verified": true,
    });
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    forge.sign(&forge.header(), &claims)
}

#[test]
fn a_sign_in_is_admitted_by_json_and_by_form() {
    let site = Site::open();
    let nonce = site.0.issue_nonce(at(0));
    let credential = token(&Forge::rsa(), &nonce, 1, &json!({"picture": "javascript:alert(1)"}));
    let sign_in = site.json(&credential, Some(&nonce), 2).unwrap();
    assert_eq!((sign_in.sub.as_str(), sign_in.username.as_deref()), ("1234", Some("Ada")));
    assert_eq!((sign_in.picture, sign_in.issuer.as_str()), (None, ISSUER));
    assert_eq!(sign_in.signed_in_at.to_string(), "2026-11-22T10:00:02.000Z");
    let nonce = site.0.issue_nonce(at(3));
    let body =
        format!("credential={}&g_csrf_token=abc", token(&Forge::ec(), &nonce, 3, &json!({})));
    let form = Login {
        content_type: Some("application/x-www-form-urlencoded"),
        body: body.as_bytes(),
        origin: Some("https://accounts.google.com"),
        csrf_cookie: Some("abc"),
        nonce: Some(&nonce),
    };
    let forged = Login { csrf_cookie: Some("abd"), ..form };
    assert_eq!(site.0.admit(&forged, at(4)), Err(Refusal::ForgedForm));
    // What was forged did not cost the page its nonce.
    assert_ne!(site.0.admit(&form, at(4)).unwrap().token_id, sign_in.token_id);
    assert!(!format!("{form:?}").contains("abc"));
}

#[test]
fn a_token_works_once() {
    let site = Site::open();
    let nonce = site.0.issue_nonce(at(0));
    let credential = token(&Forge::ec(), &nonce, 1, &json!({}));
    assert!(site.json(&credential, Some(&nonce), 2).is_ok());
    let again = site.json(&credential, Some(&nonce), 3);
    assert_eq!(again, Err(Refusal::Token(Refused::NonceUsed)));
    // Shown from another page, or from none.
    let other = site.0.issue_nonce(at(3));
    assert_eq!(site.json(&credential, Some(&other), 3), Err(Refusal::Token(Refused::NonceOther)));
    assert_eq!(site.json(&credential, None, 3), Err(Refusal::Token(Refused::NonceMissing)));
    // A page that chose its nonce itself.
    let chosen = token(&Forge::ec(), "chosen", 3, &json!({}));
    assert_eq!(site.json(&chosen, Some("chosen"), 3), Err(Refusal::Token(Refused::NonceOther)));
    let empty = token(&Forge::ec(), "", 3, &json!({}));
    assert_eq!(site.json(&empty, Some(""), 3), Err(Refusal::Token(Refused::NonceOther)));
}

#[test]
fn each_refusal_has_the_status_of_the_contract() {
    let site = Site::open();
    let nonce = site.0.issue_nonce(at(0));
    let good = token(&Forge::ec(), &nonce, 0, &json!({}));
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    for (credential, status) in [
        ("", 400),
        (long.as_str(), 400),
        ("a.b", 400),
        ("a.b.c", 401),
        (&good[..good.len() - 1], 401),
    ] {
        assert_eq!(site.json(credential, Some(&nonce), 1).unwrap_err().status(), status);
    }
    let expired = site.json(&good, Some(&nonce), 3_660).unwrap_err();
    assert_eq!((expired.status(), expired.title()), (401, "The sign-in was refused."));
    let titles: std::collections::BTreeSet<_> =
        Refusal::all().filter(|it| it.status() == 401).map(Refusal::title).collect();
    assert_eq!(titles.len(), 1, "an answer says nothing of why a token is bad");
    let reasons: std::collections::BTreeSet<_> = Refusal::all().map(Refusal::reason).collect();
    assert_eq!(reasons.len(), Refusal::all().count());
}

#[test]
fn keys_that_cannot_be_fetched_go_on_for_a_day() {
    let site = Site::open();
    let admitted = |second: i64| {
        let nonce = site.0.issue_nonce(at(second));
        let credential = token(&Forge::ec(), &nonce, second, &json!({}));
        site.json(&credential, Some(&nonce), second).map(drop)
    };
    assert_eq!(admitted(0), Ok(()));
    site.1.store(false, Ordering::SeqCst);
    for hour in 1..24 {
        assert_eq!(admitted(hour * 3_600), Ok(()), "after {hour} h");
    }
    let refused = admitted(86_400).unwrap_err();
    assert_eq!((refused, refused.status()), (Refusal::Token(Refused::NoKeys), 503));
    site.1.store(true, Ordering::SeqCst);
    assert_eq!(admitted(86_411), Ok(()));
    assert_eq!(site.0.keys_fetched_at(), Some(at(86_411)));
}
