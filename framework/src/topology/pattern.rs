//! A pattern of topics' names, as a source subscribes to it.

use std::fmt;
use std::sync::Arc;

use regex_lite::Regex;

/// A regular expression that a name matches as a whole, as with Java's `Pattern.matches`.
#[derive(Clone)]
pub(crate) struct TopicPattern {
    text: Arc<str>,
    whole: Regex,
}

impl TopicPattern {
    /// # Errors
    /// What is wrong with the expression.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let explained = |error: regex_lite::Error| error.to_string();
        // By itself first: with something around it two halves could make a whole.
        Regex::new(text).map_err(explained)?;
        let whole = Regex::new(&format!("^(?:{text})$")).map_err(explained)?;
        Ok(Self { text: text.into(), whole })
    }

    /// True if it describes the name from its first letter to its last.
    pub(crate) fn matches(&self, topic: &str) -> bool {
        self.whole.is_match(topic)
    }

    /// The expression.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicPattern {}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPattern({})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_matches_as_a_whole() {
        let pattern = TopicPattern::new("orders-(eu|us)|returns").unwrap();
        for (name, matches) in [
            ("orders-eu", true),
            ("returns", true),
            ("orders-eu-2", false),
            ("all-returns", false),
            ("orders-", false),
        ] {
            assert_eq!(pattern.matches(name), matches, "{name}");
        }
        assert!(!TopicPattern::new("orders.1").unwrap().matches("orders-12"));
    }

    #[test]
    fn what_is_no_expression_is_refused_though_it_would_be_one_in_parentheses() {
        for text in ["orders-(", "a)(b", "*"] {
            assert!(TopicPattern::new(text).is_err(), "{text}");
        }
    }
}
