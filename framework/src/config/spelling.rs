//! The word that was probably meant.

use strsim::osa_distance;

/// `, did you mean "x"?` where one of the words is near.
pub(super) fn hint(found: &str, words: impl IntoIterator<Item = &'static str>) -> String {
    let spelled = found.replace(['.', '-'], "_").to_lowercase();
    let nearest = words.into_iter().map(|word| (osa_distance(&spelled, word), word)).min();
    match nearest {
        Some((far, word)) if far <= reach(word) => format!(", did you mean \"{word}\"?"),
        _ => String::new(),
    }
}

/// How far a misspelling of a word may be from it.
fn reach(word: &str) -> usize {
    (word.len() / 3).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_if_it_is_near() {
        let words = ["error", "warn", "info", "debug"];
        assert_eq!(hint("inof", words), ", did you mean \"info\"?");
        assert_eq!(hint("WARNING", words), "");
        assert_eq!(hint("Wran", words), ", did you mean \"warn\"?");
        assert_eq!(hint("nonsense", words), "");
    }
}
