//! How much a task takes in hand between two commits after an abort.
//!
//! What comes between two commits may take longer than a transaction may last: a few records that
//! become slow of a sudden, or a record cache whose changes meet a slow operator when a commit
//! empties it. Then the commit fails, the same records are taken again, and would fail again. So
//! after an abort a task takes few, and twice as many after each commit.

/// Records before the first commit after an abort.
const FIRST: usize = 16;
/// From here on there is no limit any more.
const ENOUGH: usize = 1 << 16;

/// What a task may take in hand before the next commit; without a limit at first.
#[derive(Debug, Default)]
pub(crate) struct Care(Option<Allowance>);

#[derive(Debug)]
struct Allowance {
    records: usize,
    left: usize,
}

impl Care {
    /// After an abort. Where records wait for futures, a commit waits for all of them: each by itself is short enough.
    pub(crate) fn aborted(has_futures: bool) -> Self {
        let records = if has_futures { 1 } else { FIRST };
        Self(Some(Allowance { records, left: records }))
    }

    /// A commit has succeeded.
    pub(crate) fn committed(&mut self) {
        let records = self.0.as_ref().map(|allowance| allowance.records.saturating_mul(2));
        let records = records.filter(|records| *records < ENOUGH);
        self.0 = records.map(|records| Allowance { records, left: records });
    }

    /// So many records were taken.
    pub(crate) fn took(&mut self, records: usize) {
        if let Some(allowance) = &mut self.0 {
            allowance.left = allowance.left.saturating_sub(records);
        }
    }

    /// How many may be taken before the next commit; `None` is any number.
    pub(crate) fn left(&self) -> Option<usize> {
        self.0.as_ref().map(|allowance| allowance.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_few_after_an_abort_and_more_after_each_commit() {
        let mut care = Care::default();
        care.took(1_000_000);
        care.committed();
        assert_eq!(care.left(), None);
        let mut care = Care::aborted(false);
        assert_eq!(care.left(), Some(16));
        care.took(15);
        assert_eq!(care.left(), Some(1));
        care.took(1);
        assert_eq!(care.left(), Some(0));
        let mut limits = Vec::new();
        while care.left().is_some() {
            care.committed();
            limits.extend(care.left());
        }
        assert_eq!(limits.first_chunk(), Some(&[32, 64, 128]));
        assert_eq!(limits.last(), Some(&32_768));
    }
}
