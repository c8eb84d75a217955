//! Keys as small numbers: one hash per record, then plain vectors, and the list of what changed.

use hashbrown::HashMap;

/// Gives each key a number, in order of appearance.
#[derive(Debug, Default)]
pub(super) struct Slots {
    numbers: HashMap<Box<[u8]>, usize>,
    keys: Vec<Box<[u8]>>,
}

impl Slots {
    pub(super) fn number(&mut self, key: &[u8]) -> usize {
        if let Some(number) = self.numbers.get(key) {
            return *number;
        }
        let number = self.keys.len();
        self.numbers.insert(key.into(), number);
        self.keys.push(key.into());
        number
    }

    pub(super) fn key(&self, number: usize) -> &[u8] {
        self.keys.get(number).map_or(&[], |key| key)
    }
}

/// A value per number, which remembers what has changed since the last flush.
#[derive(Debug)]
pub(super) struct Cells<V> {
    cells: Vec<Option<Cell<V>>>,
    changed: Vec<usize>,
}

#[derive(Debug)]
struct Cell<V> {
    value: V,
    timestamp: i64,
    changed: bool,
}

impl<V> Default for Cells<V> {
    fn default() -> Self {
        Self { cells: Vec::new(), changed: Vec::new() }
    }
}

impl<V: Default> Cells<V> {
    /// Changes a value, which starts with its default; its timestamp is the largest of its records.
    pub(super) fn update(&mut self, number: usize, timestamp: i64, change: impl FnOnce(&mut V)) {
        if number >= self.cells.len() {
            self.cells.resize_with(number + 1, || None);
        }
        let Some(cell) = self.cells.get_mut(number) else { return };
        let cell =
            cell.get_or_insert_with(|| Cell { value: V::default(), timestamp, changed: false });
        change(&mut cell.value);
        cell.timestamp = cell.timestamp.max(timestamp);
        if !cell.changed {
            cell.changed = true;
            self.changed.push(number);
        }
    }

    /// Hands out what has changed: number, value, timestamp.
    pub(super) fn take_changed<E>(
        &mut self,
        mut each: impl FnMut(usize, &V, i64) -> Result<(), E>,
    ) -> Result<(), E> {
        for number in self.changed.drain(..) {
            if let Some(Some(cell)) = self.cells.get_mut(number) {
                cell.changed = false;
                each(number, &cell.value, cell.timestamp)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_handed_out_and_once() {
        let mut slots = Slots::default();
        let mut cells = Cells::<i64>::default();
        for (key, timestamp) in [("b", 5), ("a", 3), ("b", 4)] {
            let number = slots.number(key.as_bytes());
            cells.update(number, timestamp, |count| *count += 1);
        }
        let mut seen = Vec::new();
        let mut collect = |cells: &mut Cells<i64>| {
            cells.take_changed(|number, count, timestamp| {
                seen.push((slots.key(number).to_vec(), *count, timestamp));
                Ok::<_, ()>(())
            })
        };
        collect(&mut cells).unwrap();
        collect(&mut cells).unwrap();
        assert_eq!(seen, [(b"b".to_vec(), 2, 5), (b"a".to_vec(), 1, 3)]);
    }
}
