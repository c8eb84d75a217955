//! A template, as it is kept.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::masked::VARIABLE;

/// Names a template within its service: made of the words of its first line, and the same for as long as the template
/// lives, however general it becomes. Written as 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TemplateId(pub(super) u64);

impl fmt::Display for TemplateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What lines have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// Its name.
    pub id: TemplateId,
    /// Its words; `<*>` stands for any.
    pub words: Vec<String>,
    /// Where the tree has it, beside its number of words.
    pub(super) path: Vec<String>,
    /// Lines that were of it.
    pub count: u64,
    /// The first line, as it came.
    pub example: String,
}

impl Template {
    /// Its words in one text.
    pub fn text(&self) -> String {
        self.words.join(" ")
    }

    /// How many of these words, as many as it has, it takes as they are.
    pub(super) fn takes<'a>(&self, words: impl Iterator<Item = &'a str>) -> usize {
        self.words.iter().zip(words).filter(|(own, word)| *own == VARIABLE || own == word).count()
    }

    /// Becomes as general as it must be to take these words. True if it changed.
    pub(super) fn take<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> bool {
        let mut changed = false;
        for (own, word) in self.words.iter_mut().zip(words) {
            if own != word && own != VARIABLE {
                VARIABLE.clone_into(own);
                changed = true;
            }
        }
        changed
    }
}
