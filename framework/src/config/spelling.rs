//! The word that was probably meant.

/// `, did you mean "x"?` where one of the words is near.
pub(super) fn hint(found: &str, words: impl IntoIterator<Item = &'static str>) -> String {
    let spelled = found.replace(['.', '-'], "_").to_lowercase();
    let nearest = words.into_iter().map(|word| (distance(&spelled, word), word)).min();
    match nearest {
        Some((far, word)) if far <= reach(word) => format!(", did you mean \"{word}\"?"),
        _ => String::new(),
    }
}

/// How far a misspelling of a word may be from it: two swapped letters of a short one count as 2.
fn reach(word: &str) -> usize {
    (word.len() / 3).max(2)
}

/// How many letters must be added, removed or changed to get from one text to the other.
pub(super) fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut above_left = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(to.chars()) {
            let next = (above_left + usize::from(a != b)).min(*cell + 1).min(left + 1);
            above_left = *cell;
            *cell = next;
            left = next;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
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
