//! Names and numbers as people write them: short, and without what hides or reorders other text.

use millstream::BoxError;
use millstream::serde::{Null, Place, Serde};
use serde::{Deserialize, Serialize};

/// Longer names are nobody's; pages and files show them whole.
const CHARACTERS_MAX: usize = 200;

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTextReason {
    /// It is longer than names are.
    #[error("it has more than 200 characters")]
    TooLong,
    /// It has a line break, a NUL or the like.
    #[error("it has a control character")]
    Control,
    /// It has a character that shows what follows in another order.
    #[error("it has a character that turns the direction of text")]
    Direction,
}

/// Whether a text can be a name.
///
/// # Errors
/// Why not.
pub(super) fn plain(text: &str) -> Result<(), BadTextReason> {
    // Nearly all of them, at the price of a look at each byte.
    if text.len() <= CHARACTERS_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    if text.chars().take(CHARACTERS_MAX + 1).count() > CHARACTERS_MAX {
        return Err(BadTextReason::TooLong);
    }
    text.chars().try_for_each(|character| match character {
        '\u{061C}'
        | '\u{200E}'
        | '\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2066}'..='\u{2069}' => Err(BadTextReason::Direction),
        _ if character.is_control() => Err(BadTextReason::Control),
        _ => Ok(()),
    })
}

/// A text that can be a name, in rows that are read and written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

impl Name {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = BadTextReason;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        plain(&text).map(|()| Self(text))
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// A name as a key: its text in UTF-8.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NameSerde;

impl Serde<Name> for NameSerde {
    fn serialize(
        &self,
        _: &mut Place<'_>,
        name: &Name,
        into: &mut Vec<u8>,
    ) -> Result<Null, BoxError> {
        into.extend_from_slice(name.0.as_bytes());
        Ok(Null::No)
    }

    fn deserialize(&self, _: &mut Place<'_>, bytes: Option<&[u8]>) -> Result<Name, BoxError> {
        let text = String::from_utf8(bytes.ok_or("a key that is null")?.to_vec())?;
        Ok(Name::try_from(text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_or_reorders_text_is_refused() {
        for text in ["", "Acme", "Café \"A\"", "مقهى", "東京 2", &"é".repeat(200)] {
            assert_eq!(plain(text), Ok(()), "{text}");
        }
        for (text, reason) in [
            ("a\nb", BadTextReason::Control),
            ("\0", BadTextReason::Control),
            ("\u{7F}", BadTextReason::Control),
            ("\u{85}", BadTextReason::Control),
            ("a\u{202E}b", BadTextReason::Direction),
            ("a\u{2067}b", BadTextReason::Direction),
            ("\u{200F}", BadTextReason::Direction),
            (&"a".repeat(201), BadTextReason::TooLong),
            (&"é".repeat(201), BadTextReason::TooLong),
        ] {
            assert_eq!(plain(text), Err(reason), "{text:?}");
        }
    }

    #[test]
    fn a_row_with_such_a_name_is_refused() {
        assert!(serde_json::from_str::<Name>(r#""A\u0001""#).is_err());
        assert_eq!(serde_json::from_str::<Name>(r#""A""#).unwrap().as_str(), "A");
    }
}
