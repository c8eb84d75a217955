//! From a value in a file or a text on the command line to the type of its setting.
//!
//! Files are taken at their word (`"4"` is a text, not a number); the environment and the command
//! line know only text, so there it is parsed.

use std::path::PathBuf;

use config::ValueKind;

use super::choice::{Choice, HttpAddress};

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
            Self::Typed(ValueKind::Nil) => "nothing".to_owned(),
            Self::Typed(ValueKind::Table(_)) => "a table".to_owned(),
            Self::Typed(ValueKind::Array(_)) => "a list".to_owned(),
            Self::Typed(other) => other.to_string(),
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
}

/// A type that a setting may have.
pub(super) trait Setting: Sized {
    /// Reads it; the error says what was expected and what was found.
    fn read(given: &Given) -> Result<Self, String>;
    /// As it would stand in a file; empty if there is none.
    fn show(&self) -> String;
}

fn expected(what: &str, given: &Given) -> String {
    format!("expected {what}, found {}", given.found())
}

macro_rules! whole_numbers {
    ($($number:ty),*) => { $(
        impl Setting for $number {
            fn read(given: &Given) -> Result<Self, String> {
                given.whole().and_then(|n| n.try_into().ok()).ok_or_else(|| {
                    let (least, most) = (Self::MIN, Self::MAX);
                    expected(&format!("a whole number from {least} to {most}"), given)
                })
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )* };
}
whole_numbers!(u64, usize, i64, i16);

impl Setting for String {
    fn read(given: &Given) -> Result<Self, String> {
        given.text().map(str::to_owned).ok_or_else(|| expected("a text", given))
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
            .ok_or_else(|| expected("a path", given))
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
}

impl<T: Choice> Setting for T {
    fn read(given: &Given) -> Result<Self, String> {
        let found = given.text().and_then(|text| T::WORDS.iter().find(|(word, _)| *word == text));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let words: Vec<_> = T::WORDS.iter().map(|(word, _)| *word).collect();
            expected(&words.join(" or "), given)
        })
    }
    fn show(&self) -> String {
        let found = T::WORDS.iter().find(|(_, choice)| choice == self);
        found.map(|(word, _)| (*word).to_owned()).unwrap_or_default()
    }
}

impl Setting for HttpAddress {
    fn read(given: &Given) -> Result<Self, String> {
        match given.text() {
            Some("off") => Ok(Self::Off),
            Some(text) => text
                .parse()
                .map(Self::On)
                .map_err(|_| expected("off or an address such as 127.0.0.1:0", given)),
            None => Err(expected("off or an address such as 127.0.0.1:0", given)),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}
