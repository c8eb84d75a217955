//! People who do not exist.

use serde_json::{Map, Value, json};

/// Somebody with an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The id.
    pub sub: String,
    /// The name.
    pub name: String,
    /// The address; without one the sign-in is a null.
    pub email: Option<String>,
    /// Whether it is known to be theirs.
    pub email_verified: bool,
    /// The organisation.
    pub hosted_domain: Option<String>,
}

impl Person {
    /// The three of the form.
    pub(super) fn three() -> [Self; 3] {
        let person =
            |sub: &str, name: &str, mail: &str, email_verified, domain: Option<&str>| Self {
                sub: sub.to_owned(),
                name: name.to_owned(),
                email: Some(mail.to_owned()),
                email_verified,
                hosted_domain: domain.map(str::to_owned),
            };
        [
            person("local-1", "Ada Lovelace", "ada@example.com", true, Some("example.com")),
            person("local-2", "Émilie du Châtelet", "emilie@example.org", true, None),
            person("local-3", "Grace <Hopper>", "grace@example.net", false, None),
        ]
    }

    /// What a token says of them.
    pub(super) fn claims(&self) -> Map<String, Value> {
        let mut claims = Map::from_iter([
            ("sub".to_owned(), json!(self.sub)),
            ("name".to_owned(), json!(self.name)),
            ("email_verified".to_owned(), json!(self.email_verified)),
        ]);
        let optional = [("email", &self.email), ("hd", &self.hosted_domain)];
        for (name, value) in optional {
            if let Some(value) = value {
                claims.insert(name.to_owned(), json!(value));
            }
        }
        claims
    }
}
