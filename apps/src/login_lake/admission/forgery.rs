//! Against sign-ins that another site sends from a person's browser (login CSRF). A form needs the `g_csrf_token` cookie,
//! which other sites cannot read, equal to its field; JSON needs the page's own `Origin`, which they cannot forge.

use subtle::ConstantTimeEq as _;

use super::credential::Posted;
use super::refusal::Refusal;

/// Checks that the page itself sent it.
pub(super) fn check_sender(
    posted: &Posted,
    csrf_cookie: Option<&str>,
    (origin, own_origin): (Option<&str>, &str),
) -> Result<(), Refusal> {
    match posted {
        Posted::Form { csrf_token, .. } => {
            let both =
                csrf_cookie.zip(csrf_token.as_deref()).filter(|(cookie, _)| !cookie.is_empty());
            let are_equal = both
                .is_some_and(|(cookie, field)| cookie.as_bytes().ct_eq(field.as_bytes()).into());
            if are_equal { Ok(()) } else { Err(Refusal::ForgedForm) }
        }
        Posted::Json { .. } if origin == Some(own_origin) => Ok(()),
        Posted::Json { .. } => Err(Refusal::OtherOrigin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "https://shop.example";

    #[test]
    fn a_form_needs_the_cookie_in_its_field() {
        let check = |field: Option<&str>, cookie: Option<&str>| {
            let csrf_token = field.map(str::to_owned);
            let posted = Posted::Form { credential: "t".to_owned(), csrf_token };
            // Whatever the origin is: Google's redirect has another one.
            check_sender(&posted, cookie, (Some("https://accounts.google.com"), OWN))
        };
        assert_eq!(check(Some("abc"), Some("abc")), Ok(()));
        for (field, cookie) in [
            (None, None),
            (Some("abc"), None),
            (None, Some("abc")),
            (Some(""), Some("")),
            (Some("abc"), Some("abd")),
            (Some("abc"), Some("abcd")),
        ] {
            assert_eq!(check(field, cookie), Err(Refusal::ForgedForm), "{field:?} {cookie:?}");
        }
    }

    #[test]
    fn json_needs_the_pages_own_origin() {
        let check = |origin| {
            let posted = Posted::Json { credential: "t".to_owned() };
            check_sender(&posted, Some("abc"), (origin, OWN))
        };
        assert_eq!(check(Some(OWN)), Ok(()));
        for origin in [
            None,
            Some(""),
            Some("null"),
            Some("http://shop.example"),
            Some("https://shop.example:8443"),
            Some("https://shop.example.evil.example"),
            Some("https://evil.example"),
        ] {
            assert_eq!(check(origin), Err(Refusal::OtherOrigin), "{origin:?}");
        }
    }
}
