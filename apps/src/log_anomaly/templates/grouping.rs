//! How well lines are grouped: the measure by which template miners are compared (Zhu et al., 2019).

use std::collections::HashMap;
use std::hash::Hash;

/// The share of lines whose group has exactly the lines that it should have; 1 if there is no line.
///
/// A group with one line too many or too few counts as wrong with all of its lines.
pub fn grouping_accuracy<F: Eq + Hash, T: Eq + Hash>(found: &[F], right: &[T]) -> f64 {
    let lines = found.len().min(right.len());
    if lines == 0 {
        return 1.0;
    }
    let (found_sizes, right_sizes) = (sizes(found), sizes(right));
    let mut together: HashMap<(&F, &T), usize> = HashMap::new();
    for pair in found.iter().zip(right) {
        *together.entry(pair).or_default() += 1;
    }
    let well: usize = together
        .iter()
        .filter(|((one, other), lines)| {
            found_sizes.get(one) == Some(lines) && right_sizes.get(other) == Some(lines)
        })
        .map(|(_, lines)| lines)
        .sum();
    well as f64 / lines as f64
}

fn sizes<K: Eq + Hash>(groups: &[K]) -> HashMap<&K, usize> {
    let mut sizes = HashMap::new();
    for group in groups {
        *sizes.entry(group).or_default() += 1;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_right_only_as_a_whole() {
        let right = ["a", "a", "b", "b", "c"];
        assert_eq!(grouping_accuracy(&[1, 1, 2, 2, 3], &right), 1.0);
        // `b` in two pieces: both are wrong, and nothing else is.
        assert_eq!(grouping_accuracy(&[1, 1, 2, 4, 3], &right), 0.6);
        // `a` and `c` in one.
        assert_eq!(grouping_accuracy(&[1, 1, 2, 2, 1], &right), 0.4);
        assert_eq!(grouping_accuracy::<u8, u8>(&[], &[]), 1.0);
    }
}
