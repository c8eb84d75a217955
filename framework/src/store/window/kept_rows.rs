//! The latest rows of a store that a join of streams asks for at each record, in memory and by key.
//!
//! A row is read about as often as it is written, and of RocksDB that costs twenty times as much as here, where it is a look
//! into a hash table: it leads to the latest row of a key, and each row to the one before it. Rows lie in the order of their
//! puts, so a rollback cuts them off at the end, and what is too old to be asked for goes at the front, in pieces.
//!
//! All rows that start from [`KeptRows::from`] on are here; of the others some may be. They are a copy, once they are
//! committed: nothing is lost with them.

use std::collections::VecDeque;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use smallvec::SmallVec;

use crate::record::Timestamp;
use crate::store::cache::{CacheBudget, Part};

/// So many rows are let go of together; few in tests, whose stores are small.
const ROWS: u32 = if cfg!(test) { 2 } else { 128 };
/// The table of keys is this large before it is looked through for keys that are gone.
const HEADS_MIN: usize = 64;

/// A row that was asked for: start and value.
pub(super) type Found<V> = SmallVec<[(Timestamp, V); 2]>;

pub(super) struct KeptRows<V> {
    /// The latest row of each key, by the key's hash; some of those that are gone are still here.
    heads: HashTable<Head>,
    pieces: VecDeque<Piece<V>>,
    /// The number of the first piece's first row: a multiple of [`ROWS`].
    first: u64,
    /// The number of the next row.
    next: u64,
    /// Rows from this number on are not committed.
    uncommitted: u64,
    /// All rows that start from here on are here.
    from: i64,
    /// How far back from the latest one rows are kept: as far as they are asked for, and a quarter more, since who is late
    /// asks for earlier ones.
    kept_ms: i64,
    /// There was no room for them: none are kept until this time.
    paused_until: i64,
    /// Of keys and values.
    bytes: usize,
    hasher: DefaultHashBuilder,
    part: Part,
}

#[derive(Clone, Copy)]
struct Head {
    hash: u64,
    row: u64,
}

/// Rows one after another, with their keys.
struct Piece<V> {
    rows: Vec<Row<V>>,
    keys: Vec<u8>,
    /// The latest start of them.
    latest: i64,
    /// None of them, and none before them, starts later.
    reach: i64,
    /// Of their keys and values.
    bytes: usize,
}

struct Row<V> {
    start: i64,
    /// The number of the put, which orders rows of one start.
    seq: i32,
    /// How many rows back the one before of this key is; 0: there is none.
    back: u32,
    /// Where its key begins; it ends where the next one's begins.
    key_at: u32,
    /// How long its value is in the store.
    value_len: u32,
    value: V,
}

impl<V> KeptRows<V> {
    /// None if there shall be none. They are asked for `kept_ms` back from the latest one. In the store are rows that start at `observed` at the latest; negative: none.
    pub(super) fn new(kept_ms: i64, observed: i64, budget: &CacheBudget) -> Option<Self> {
        (!budget.is_off()).then(|| Self {
            heads: HashTable::new(),
            pieces: VecDeque::new(),
            first: 0,
            next: 0,
            uncommitted: 0,
            from: if observed < 0 { i64::MIN } else { observed.saturating_add(1) },
            kept_ms: kept_ms.saturating_add(kept_ms / 4),
            paused_until: i64::MIN,
            bytes: 0,
            hasher: DefaultHashBuilder::default(),
            part: budget.part(),
        })
    }

    /// All rows that start from then on are here.
    #[inline]
    pub(super) fn from(&self) -> i64 {
        self.from
    }

    /// Whether a row that is put now shall be here; if not, it must be put below.
    #[inline]
    pub(super) fn takes(&mut self, start: i64, observed: i64) -> bool {
        if start >= self.from && observed >= self.paused_until {
            return true;
        }
        self.misses(start);
        false
    }

    /// A row that starts then is in the store, and not here.
    #[inline]
    pub(super) fn misses(&mut self, start: i64) {
        self.from = self.from.max(start.saturating_add(1));
    }

    /// Takes in a row that is put, and that is not committed yet.
    pub(super) fn push(
        &mut self,
        key: &[u8],
        (start, seq): (i64, i32),
        value: V,
        value_len: usize,
    ) {
        let hash = self.hasher.hash_one(key);
        self.make_room_for_a_head();
        let (next, first) = (self.next, self.first);
        let Self { heads, pieces, .. } = self;
        let is_head = |head: &Head| {
            head.hash == hash && row_of(pieces, first, head.row).is_some_and(|(_, of)| of == key)
        };
        let back = match heads.find_mut(hash, is_head) {
            Some(head) => {
                let back = u32::try_from(next - head.row).unwrap_or(0);
                head.row = next;
                back
            }
            None => {
                heads.insert_unique(hash, Head { hash, row: next }, |head| head.hash);
                0
            }
        };
        if pieces.back().is_none_or(|piece| piece.rows.len() >= ROWS as usize) {
            let reach = pieces.back().map_or(i64::MIN, |piece| piece.reach);
            pieces.push_back(Piece::new(reach));
        }
        let added = key.len() + value_len;
        if let Some(piece) = pieces.back_mut() {
            let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
            let (key_at, value_len) = (len(piece.keys.len()), len(value_len));
            piece.keys.extend_from_slice(key);
            piece.rows.push(Row { start, seq, back, key_at, value_len, value });
            piece.latest = piece.latest.max(start);
            piece.reach = piece.reach.max(start);
            piece.bytes += added;
        }
        self.bytes += added;
        self.next += 1;
    }

    /// Before the table of keys grows those that are gone leave it.
    fn make_room_for_a_head(&mut self) {
        if self.heads.len() < self.heads.capacity() || self.heads.len() < HEADS_MIN {
            return;
        }
        let first = self.first;
        self.heads.retain(|head| head.row >= first);
        let (len, capacity) = (self.heads.len(), self.heads.capacity());
        if len > capacity / 2 {
            self.heads.reserve(capacity, |head| head.hash);
        } else if len < capacity / 8 {
            self.heads.shrink_to(2 * len, |head| head.hash);
        }
    }

    /// The rows of a key that start in `[from, to]`, of those from a number on, in the order of start and put.
    fn of_key_since(&self, key: &[u8], (from, to): (i64, i64), since: u64) -> Found<V>
    where
        V: Clone,
    {
        let hash = self.hasher.hash_one(key);
        let place = |number| row_of(&self.pieces, self.first, number);
        let is_head =
            |head: &Head| head.hash == hash && place(head.row).is_some_and(|(_, of)| of == key);
        let mut rows: SmallVec<[(&Row<V>, i64, i32); 4]> = SmallVec::new();
        let mut number = self.heads.find(hash, is_head).map(|head| head.row);
        // Where no earlier row reaches the span, the rest of the chain does not either: a hot key's is long.
        let reaches =
            |number| piece_of(&self.pieces, self.first, number).is_some_and(|it| it.reach >= from);
        let wanted = |number: &u64| *number >= since && reaches(*number);
        while let Some(row) = number.filter(wanted).and_then(place) {
            let (row, here) = (row.0, number.unwrap_or_default());
            if (from..=to).contains(&row.start) {
                rows.push((row, row.start, row.seq));
            }
            number = (row.back > 0).then(|| here.saturating_sub(u64::from(row.back)));
        }
        rows.reverse();
        if !rows.is_sorted_by_key(|(_, start, seq)| (*start, *seq)) {
            rows.sort_by_key(|(_, start, seq)| (*start, *seq));
        }
        rows.iter().map(|(row, start, _)| (Timestamp(*start), row.value.clone())).collect()
    }

    /// The rows of a key that start in `[from, to]`, in the order of start and put. They are all only if `from` is not
    /// before [`Self::from`].
    #[inline]
    pub(super) fn of_key(&self, key: &[u8], span: (i64, i64)) -> Found<V>
    where
        V: Clone,
    {
        self.of_key_since(key, span, self.first)
    }

    /// The rows that are not committed yet, of all keys, in the order of their puts: key, start, number of the put, value.
    pub(super) fn uncommitted(&self) -> impl Iterator<Item = (&[u8], i64, i32, &V)> {
        let rows = (self.uncommitted..self.next)
            .filter_map(|number| row_of(&self.pieces, self.first, number));
        rows.map(|(row, key)| (key, row.start, row.seq, &row.value))
    }

    /// All rows are committed. Lets go of what is asked for no more, and of all if that is too much.
    pub(super) fn committed(&mut self, observed: i64) {
        self.uncommitted = self.next;
        let from = observed.saturating_sub(self.kept_ms);
        while self.pieces.front().is_some_and(|piece| piece.latest < from && piece.is_full()) {
            let Some(piece) = self.pieces.pop_front() else { break };
            self.first += u64::from(ROWS);
            self.bytes -= piece.bytes;
            self.misses(piece.latest);
        }
        self.count();
        if self.part.is_exceeded() {
            self.clear();
            self.misses(observed);
            self.paused_until = observed.saturating_add(self.kept_ms);
        }
    }

    /// Forgets what was not committed.
    pub(super) fn rollback(&mut self) {
        while self.next > self.uncommitted {
            self.next -= 1;
            self.cut_off_the_last();
        }
    }

    fn cut_off_the_last(&mut self) {
        let number = self.next;
        let Some(piece) = self.pieces.back_mut() else { return };
        let Some(row) = piece.rows.pop() else { return };
        let key_at = row.key_at as usize;
        let hash = self.hasher.hash_one(piece.keys.get(key_at..).unwrap_or_default());
        let gone = piece.keys.len() - key_at + row.value_len as usize;
        piece.keys.truncate(key_at);
        piece.bytes -= gone;
        self.bytes -= gone;
        if piece.rows.is_empty() {
            self.pieces.pop_back();
        }
        let Ok(mut head) = self.heads.find_entry(hash, |head| head.row == number) else { return };
        match row.back {
            0 => drop(head.remove()),
            back => head.get_mut().row = number - u64::from(back),
        }
    }

    /// Lets go of all rows, of a store that has none.
    pub(super) fn clear(&mut self) {
        self.heads = HashTable::new();
        self.pieces.clear();
        self.next = self.next.next_multiple_of(u64::from(ROWS));
        (self.first, self.uncommitted) = (self.next, self.next);
        self.bytes = 0;
        self.from = i64::MIN;
        self.count();
    }

    fn count(&mut self) {
        let rows = self.pieces.len() * ROWS as usize * size_of::<Row<V>>();
        let heads = self.heads.capacity() * (size_of::<Head>() + 1);
        self.part.replace(self.part.bytes(), self.bytes + rows + heads);
    }
}

impl<V> Piece<V> {
    fn new(reach: i64) -> Self {
        Self {
            rows: Vec::with_capacity(ROWS as usize),
            keys: Vec::new(),
            latest: i64::MIN,
            reach,
            bytes: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= ROWS as usize
    }

    fn key(&self, place: usize) -> Option<&[u8]> {
        let at = self.rows.get(place)?.key_at as usize;
        let end = self.rows.get(place + 1).map_or(self.keys.len(), |next| next.key_at as usize);
        self.keys.get(at..end)
    }
}

/// The row of a number with its key; none if it is gone.
fn row_of<V>(pieces: &VecDeque<Piece<V>>, first: u64, number: u64) -> Option<(&Row<V>, &[u8])> {
    let piece = piece_of(pieces, first, number)?;
    let place = (number.checked_sub(first)? % u64::from(ROWS)) as usize;
    Some((piece.rows.get(place)?, piece.key(place)?))
}

fn piece_of<V>(pieces: &VecDeque<Piece<V>>, first: u64, number: u64) -> Option<&Piece<V>> {
    pieces.get((number.checked_sub(first)? / u64::from(ROWS)) as usize)
}
