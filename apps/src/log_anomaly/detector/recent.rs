//! The last values of a series.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// The last values, newest first.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Recent(VecDeque<f64>);

impl Recent {
    /// Puts one in front and keeps no more than `most`.
    pub(super) fn push(&mut self, value: f64, most: usize) {
        self.0.truncate(most.saturating_sub(1));
        self.0.push_front(value);
    }

    /// The mean of `count` values, of which the newest is `skip` back; none if there are fewer.
    /// Added up anew each time: a running sum would never forget the rounding of a huge value.
    pub(super) fn mean(&self, skip: usize, count: usize) -> Option<f64> {
        let enough = count > 0 && self.0.len() >= skip + count;
        enough.then(|| self.0.iter().skip(skip).take(count).sum::<f64>() / count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_the_last_values_and_there_are_no_more_than_asked() {
        let mut recent = Recent::default();
        for value in [1e150, 4.0, 2.0, 6.0] {
            recent.push(value, 3);
        }
        assert_eq!(recent.mean(0, 1), Some(6.0));
        assert_eq!(recent.mean(0, 2), Some(4.0));
        assert_eq!(recent.mean(1, 2), Some(3.0));
        assert_eq!(recent.mean(0, 3), Some(4.0));
        assert_eq!((recent.mean(1, 3), recent.mean(0, 0)), (None, None));
    }
}
