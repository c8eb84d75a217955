//! From a value in a file or a text on the command line to the type of its setting.
//!
//! Files are taken at their word (`"4"` is a text, not a number); the environment and the command
//! line know only text, so there it is parsed.

use std::path::PathBuf;

use config::ValueKind;

use super::choice::{Choice, HttpAddress};
use super::spelling::hint;

/// One value, and whether it may be parsed.
#[derive(Clone, Debug)]
pub(super) enum Given {
    /// From a file, with its own type.
    Typed(ValueKind),
    /// From the environment or the command line.
    Text(String),
}

impl Given {
    fn found(&self) -> String {
        match self {
            Self::Typed(ValueKind::String(text)) | Self::Text(text) => format!("\"{text}\""),
            Self::Typed(ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_)) => {
                self.found_kind().to_owned()
            }
            Self::Typed(other) => other.to_string(),
        }
    }

    /// What was found without saying it: it may be a secret.
    fn found_kind(&self) -> &'static str {
        match self {
            Self::Typed(ValueKind::String(_)) | Self::Text(_) => "a text",
            Self::Typed(ValueKind::Nil) => "nothing",
            Self::Typed(ValueKind::Table(_)) => "a table",
            Self::Typed(ValueKind::Array(_)) => "a list",
            Self::Typed(ValueKind::Boolean(_)) => "a truth value",
            Self::Typed(_) => "a number",
        }
    }

    /// What helps where a text is wanted and a file has something else: the file's reader has
    /// changed it already, `00123456` into 123456 and `1e3` into 1000.
    fn advice(&self) -> &'static str {
        match self {
            Self::Text(_)
            | Self::Typed(
                ValueKind::String(_) | ValueKind::Nil | ValueKind::Table(_) | ValueKind::Array(_),
            ) => "",
            Self::Typed(_) => "; write it in quotes",
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Self::Typed(ValueKind::String(text)) | Self::Text(text) => Some(text),
            Self::Typed(_) => None,
        }
    }

    fn whole(&self) -> Option<i128> {
        match self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Typed(ValueKind::I64(n)) => Some((*n).into()),
            Self::Typed(ValueKind::I128(n)) => Some(*n),
            Self::Typed(ValueKind::U64(n)) => Some((*n).into()),
            Self::Typed(_) => None,
        }
    }

    /// A setting of the Kafka client: always a text, and never shown.
    pub(super) fn client_text(&self) -> Result<String, String> {
        self.text()
            .map(str::to_owned)
            .ok_or_else(|| format!("expected a text, found {}{}", self.found_kind(), self.advice()))
    }
}

/// A type that a setting may have.
pub(super) trait Setting: Sized {
    /// Reads it; the error says what was expected and what was found.
    fn read(given: &Given) -> Result<Self, String>;
    /// As it would stand in a file; empty if there is none.
    fn show(&self) -> String;
    /// Its number, if it is one: what bounds are held against.
    fn number(&self) -> Option<i128> {
        None
    }
}

fn expected(what: &str, given: &Given) -> String {
    format!("expected {what}, found {}", given.found())
}

fn expected_text(what: &str, given: &Given) -> String {
    format!("{}{}", expected(what, given), given.advice())
}

macro_rules! whole_numbers {
    ($($number:ty),*) => { $(
        impl Setting for $number {
            fn read(given: &Given) -> Result<Self, String> {
                let number = given.whole().and_then(|n| n.try_into().ok());
                number.ok_or_else(|| expected("a whole number", given))
            }
            fn show(&self) -> String {
                self.to_string()
            }
            fn number(&self) -> Option<i128> {
                i128::try_from(*self).ok()
            }
        }
    )* };
}
whole_numbers!(u64, usize, i64, i16);

impl Setting for String {
    fn read(given: &Given) -> Result<Self, String> {
        given.text().map(str::to_owned).ok_or_else(|| expected_text("a text", given))
    }
    fn show(&self) -> String {
        self.clone()
    }
}

impl Setting for PathBuf {
    fn read(given: &Given) -> Result<Self, String> {
        given
            .text()
            .filter(|text| !text.is_empty())
            .map(Self::from)
            .ok_or_else(|| expected_text("a path", given))
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl<T: Setting> Setting for Option<T> {
    fn read(given: &Given) -> Result<Self, String> {
        T::read(given).map(Some)
    }
    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
    fn number(&self) -> Option<i128> {
        self.as_ref().and_then(T::number)
    }
}

impl<T: Choice> Setting for T {
    fn read(given: &Given) -> Result<Self, String> {
        let found = given.text().and_then(|text| T::WORDS.iter().find(|(word, _)| *word == text));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words = || T::WORDS.iter().map(|(word, _)| *word);
            let all: Vec<_> = words().collect();
            let near = given.text().map(|text| hint(text, words())).unwrap_or_default();
            format!("{}{near}", expected_text(&all.join(" or "), given))
        })
    }
    fn show(&self) -> String {
        let found = T::WORDS.iter().find(|(_, choice)| choice == self);
        found.map(|(word, _)| (*word).to_owned()).unwrap_or_default()
    }
}

impl Setting for HttpAddress {
    fn read(given: &Given) -> Result<Self, String> {
        let address = match given.text() {
            Some("off") => Some(Self::Off),
            Some(text) => text.parse().ok().map(Self::On),
            None => None,
        };
        address.ok_or_else(|| expected_text("off or an address such as 127.0.0.1:0", given))
    }
    fn show(&self) -> String {
        self.to_string()
    }
}
