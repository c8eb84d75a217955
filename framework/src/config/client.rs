//! Settings of the Kafka client under its own names, and which of them are secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Settings of the Kafka client, by librdkafka's names. `Debug` shows secrets as `***`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings(BTreeMap<String, String>);

impl ClientSettings {
    /// Sets one; a second value for the same name wins.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// The value of one, if it is set: secrets as they are.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All that are set, by name: secrets as they are.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Names and paths of files that are not there.
    pub(super) fn missing_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let files = self.iter().filter(|(name, _)| FILES.contains(name));
        // Without a place, `probe` makes the client look for the system's own certificates.
        files.filter(|(_, path)| *path != "probe" && !Path::new(path).exists())
    }
}

/// Settings that name a file (the certificates of authorities may be a folder, too).
const FILES: [&str; 6] = [
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.keystore.location",
    "ssl.crl.location",
    "sasl.kerberos.keytab",
];

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for ClientSettings {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        Self(all.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, value)| (name, shown(name, value)))).finish()
    }
}

/// What stands for a secret wherever settings are shown.
pub(crate) const HIDDEN: &str = "***";

/// The value as it may be shown.
pub(crate) fn shown<'a>(name: &str, value: &'a str) -> &'a str {
    if is_secret(name) { HIDDEN } else { value }
}

/// True for a name whose value must not be shown. It goes by words, so that what a later client
/// adds is hidden as well, at the price of hiding an address of tokens now and then.
pub(crate) fn is_secret(name: &str) -> bool {
    let name = name.to_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

const SECRET_WORDS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "pem",
    "jaas",
    "token",
    "credential",
    "oauthbearer",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_shown() {
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.keystore.password",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "ssl.key.pem",
            "sasl.jaas.config",
            "SASL_PASSWORD",
        ] {
            let settings = ClientSettings::from_iter([(name, "hunter2"), ("sasl.username", "ada")]);
            let text = format!("{settings:?} {settings:#?}");
            assert!(!text.contains("hunter2"), "{name}: {text}");
            assert!(text.contains(name) && text.contains("***") && text.contains("ada"), "{text}");
            assert_eq!(settings.get(name), Some("hunter2"));
        }
        for name in ["security.protocol", "ssl.ca.location", "fetch.min.bytes", "ssl.key.location"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }
}
