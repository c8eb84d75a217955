//! Any bytes where a store finds its own: local keys, and changelogs that are restored and then read.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use millstream_state::{
    Direction, SessionKey, SessionLayout, StoreId, TaskStores, VersionLayout, WindowKey,
    WindowLayout, WindowOrder,
};

use crate::collector::{Collector, WorkerProducer};
use crate::error::Result;
use crate::log::memory::MemoryLog;
use crate::log::{Log, ProducerSpec, RawRecord};
use crate::record::{Headers, RecordTime, Session, Timestamp, Windowed};
use crate::serde::Plain;
use crate::store::buffer::{BufferSpec, BufferStore, WaitingSpec, WaitingStore};
use crate::store::cache::CacheBudget;
use crate::store::layout::Layout;
use crate::store::options::StoreOptions;
use crate::store::place::StorePlace;
use crate::store::serdes::Serdes;
use crate::store::supplier::{StoreSupplier, TaskStore};
use crate::store::table::{SessionTableSpec, TableSpec, TableStore, WindowTableSpec};
use crate::store::uncommitted::UncommittedBytes;
use crate::store::unmatched::{Unmatched, UnmatchedSpec};
use crate::store::window::{WindowSpec, WindowState};

const ORDERS: [WindowOrder; 3] =
    [WindowOrder::KeyFirst, WindowOrder::TimeFirst, WindowOrder::KeyFirstAndTime];
const RETENTION_MS: i64 = 600_000;
/// No input has more records.
const RECORDS_MAX: usize = 16;

/// Reads any bytes as keys of a changelog and as local keys; both lead back to each other.
pub(crate) fn any_local_key(bytes: &[u8]) {
    for order in ORDERS {
        let windows = Layout::Window(WindowLayout::new(order, RETENTION_MS));
        let sessions = Layout::Session(SessionLayout::new(order, RETENTION_MS));
        for layout in [windows, sessions] {
            let (mut local, mut other) = (Vec::new(), Vec::new());
            // Nobody writes times before 1970; a store takes them for 0.
            let is_sound = match layout {
                Layout::Window(_) => {
                    WindowKey::from_changelog(bytes).is_some_and(|it| it.start >= 0)
                }
                Layout::Session(_) => {
                    SessionKey::from_changelog(bytes).is_some_and(|it| it.start >= 0 && it.end >= 0)
                }
            };
            if let Some(time) = layout.local_key(bytes, &mut local)
                && is_sound
            {
                let back = layout.changelog_key(&local, &mut other);
                assert_eq!((back, &*other), (Some(time), bytes), "{layout:?}");
                if layout.entry(&local, &mut other).is_some() {
                    let mut again = Vec::new();
                    assert_eq!(layout.local_from_entry(&other, &mut again), Some(time));
                    assert_eq!(again, local, "{layout:?}");
                }
            }
            let _any = layout.changelog_key(bytes, &mut other);
            let _any = layout.entry(bytes, &mut other);
            let _any = layout.local_from_entry(bytes, &mut other);
        }
    }
    let versions = VersionLayout::new(RETENTION_MS);
    let _any = VersionLayout::key_of_entry(bytes);
    let _any = versions.from_of_past(bytes, bytes.get(..4).unwrap_or_default());
}

/// What is left of the input.
struct Input<'b>(&'b [u8]);

impl<'b> Input<'b> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    fn number(&mut self) -> i64 {
        let Some((number, rest)) = self.0.split_first_chunk::<8>() else { return 0 };
        self.0 = rest;
        i64::from_be_bytes(*number)
    }

    /// Bytes with their length before them.
    fn part(&mut self) -> &'b [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (part, rest) = self.0.split_at(length);
        self.0 = rest;
        part
    }

    /// The next record of a changelog.
    fn record(&mut self) -> RawRecord<'b> {
        let (flags, timestamp) = (self.byte(), self.number());
        let mut headers = Headers::default();
        if flags & 4 == 0 {
            headers.push("v", Some(vec![3]));
        }
        let key = (flags & 1 == 0).then(|| self.part());
        let value = (flags & 2 == 0).then(|| self.part());
        RawRecord { offset: 0, timestamp, key, value, headers }
    }
}

/// Restores records in any bytes into a store of the kind that the first byte says, and reads all of it.
pub(crate) fn any_changelog(bytes: &[u8]) {
    let mut input = Input(bytes);
    let kind = input.byte();
    let restored = match kind % 10 {
        0 => restored(&table(None), input).and_then(|store| read_table(&store)),
        1 => restored(&table(Some(1_000)), input).and_then(|store| read_table(&store)),
        2 => restored(&windows(WindowOrder::KeyFirst), input).and_then(|it| read_windows(&it)),
        3 => restored(&windows(WindowOrder::TimeFirst), input).and_then(|it| read_windows(&it)),
        4 => {
            let spec = windows(WindowOrder::KeyFirstAndTime);
            restored(&spec, input).and_then(|store| read_windows(&store))
        }
        5 => restored(&sessions(WindowOrder::KeyFirst), input).and_then(|it| read_sessions(&it)),
        6 => {
            let spec = sessions(WindowOrder::KeyFirstAndTime);
            restored(&spec, input).and_then(|store| read_sessions(&store))
        }
        7 => restored(&joined(), input).and_then(|store| read_joined(&store)),
        8 => restored(&buffer(), input).and_then(|store| read_buffer(&store)),
        _ if kind & 64 == 0 => {
            restored(&unmatched(), input).and_then(|store| read_unmatched(&store))
        }
        _ => restored(&waiting(), input).and_then(|store| read_waiting(&store)),
    };
    if let Err(error) = restored {
        assert!(!error.to_string().is_empty());
    }
}

fn serdes() -> Serdes<String, String> {
    Serdes::given(Arc::new(Plain), Arc::new(Plain))
}

fn options() -> StoreOptions {
    StoreOptions { logged: false, ..StoreOptions::named("s") }
}

fn table(history_ms: Option<i64>) -> TableSpec<String, String> {
    TableSpec { options: options(), serdes: serdes(), cached: false, history_ms }
}

fn windows(order: WindowOrder) -> WindowTableSpec<String, String> {
    WindowTableSpec {
        options: options(),
        serdes: serdes(),
        cached: false,
        retention_ms: RETENTION_MS,
        window_size_ms: 10,
        order,
        ranged: true,
    }
}

fn sessions(order: WindowOrder) -> SessionTableSpec<String, String> {
    let (options, serdes) = (options(), serdes());
    SessionTableSpec { options, serdes, cached: false, retention_ms: RETENTION_MS, order }
}

fn joined() -> WindowSpec<String, String> {
    WindowSpec {
        options: options(),
        serdes: serdes(),
        retention_ms: RETENTION_MS,
        window_size_ms: 10,
        duplicates: true,
        kept_ms: None,
    }
}

fn buffer() -> BufferSpec<String, String> {
    BufferSpec { options: options(), serdes: serdes() }
}

fn waiting() -> WaitingSpec<String, String> {
    WaitingSpec { options: options(), serdes: serdes() }
}

fn unmatched() -> UnmatchedSpec<String, String, i64> {
    let key = Arc::new(Plain);
    UnmatchedSpec { options: options(), key, left: Arc::new(Plain), right: Arc::new(Plain) }
}

/// A store of a task that has nothing else.
fn restored(supplier: &dyn StoreSupplier, mut input: Input<'_>) -> Result<TaskStore> {
    let log = MemoryLog::new();
    let producer = log.producer(&ProducerSpec::default())?;
    let producer = WorkerProducer::new(Arc::new(log), producer, false);
    let place = StorePlace {
        id: StoreId(0),
        stores: TaskStores::in_memory(&[supplier.spec()]),
        collector: Collector::new(Rc::new(RefCell::new(producer))),
        application_id: "app".into(),
        record_time: RecordTime::default(),
        partition: 0,
        cache_budget: CacheBudget::new(0),
        uncommitted: UncommittedBytes::default(),
    };
    let store = supplier.make(&place)?;
    let mut batch = place.stores.batch();
    for _ in 0..RECORDS_MAX {
        if input.0.is_empty() {
            break;
        }
        store.state().borrow_mut().restore(&mut batch, &input.record())?;
    }
    store.state().borrow_mut().restored(&mut batch);
    place.stores.write(batch)?;
    store.state().borrow_mut().drop_expired()?;
    Ok(store)
}

fn read_table(store: &TaskStore) -> Result<()> {
    let store = store.typed::<TableStore<String, String>>()?;
    let mut store = store.borrow_mut();
    let rows: Vec<_> = store.range(.., Direction::Forward)?.collect::<Result<_>>()?;
    for (key, value, time) in rows {
        assert_eq!(store.get(&key)?, Some((value, time)));
        store.get_as_of(&key, Timestamp(time.0.saturating_sub(1)))?;
    }
    Ok(())
}

fn read_windows(store: &TaskStore) -> Result<()> {
    let store = store.typed::<TableStore<Windowed<String>, String>>()?;
    let mut store = store.borrow_mut();
    let rows: Vec<_> =
        store.fetch_all((0, i64::MAX), Direction::Forward)?.collect::<Result<_>>()?;
    for (window, ..) in rows {
        // There is none if the number behind the start is not that of a table.
        store.get(&window)?;
        let all = (window.start, i64::MAX);
        store.fetch(&window.key, all, Direction::Backward)?.try_for_each(|row| row.map(drop))?;
    }
    Ok(())
}

fn read_sessions(store: &TaskStore) -> Result<()> {
    let store = store.typed::<TableStore<Session<String>, String>>()?;
    let mut store = store.borrow_mut();
    let rows: Vec<_> = store.all_sessions()?.collect::<Result<_>>()?;
    for (session, ..) in rows {
        store.joined_at(&session.key, session.end, 5)?.try_for_each(|row| row.map(drop))?;
    }
    store.first_by_time(0).map(drop)
}

fn read_joined(store: &TaskStore) -> Result<()> {
    let store = store.typed::<WindowState<String, String>>()?;
    let mut store = store.borrow_mut();
    let all = (Timestamp(0), Timestamp(i64::MAX));
    store.of_key(&"key".to_owned(), all, Direction::Forward)?.try_for_each(|row| row.map(drop))
}

fn read_buffer(store: &TaskStore) -> Result<()> {
    let store = store.typed::<BufferStore<String, String>>()?;
    let mut store = store.borrow_mut();
    let mut left = store.held()?.records;
    while store.take()?.is_some() {
        assert!(left > 0, "more is given out than is held");
        left -= 1;
    }
    assert_eq!(left, 0, "what is held is given out");
    Ok(())
}

fn read_waiting(store: &TaskStore) -> Result<()> {
    let store = store.typed::<WaitingStore<String, String>>()?;
    let mut store = store.borrow_mut();
    while let Some(first) = store.first()? {
        let taken = store.take()?;
        assert!(taken.is_some(), "nothing waits since {first}");
    }
    Ok(())
}

fn read_unmatched(store: &TaskStore) -> Result<()> {
    let store = store.typed::<Unmatched<String, String, i64>>()?;
    let mut store = store.borrow_mut();
    for group in store.scan(Timestamp(0), Timestamp(i64::MAX)) {
        store.given_out(&group?, Timestamp(0))?;
    }
    store.last().map(drop)
}

/// A changelog with some good records for a kind of store.
#[cfg(test)]
pub(crate) fn sample_of_a_changelog(kind: u8) -> Vec<u8> {
    let (start, end) = (1_000_i64.to_be_bytes(), 1_010_i64.to_be_bytes());
    let key = match kind {
        0 | 1 | 8 => b"key".to_vec(),
        2..=4 | 7 => [b"key", &start[..], &0_i32.to_be_bytes()].concat(),
        5 | 6 => [b"key", &end[..], &start[..]].concat(),
        _ => [&start[..], &[1], b"key"].concat(),
    };
    let value = match kind {
        8 => [&start[..], &[0; 8], &[0; 4], &[0; 4], &[0; 4], &[255; 8], &[0, 0, 0, 1, 65], &end]
            .concat(),
        9 => vec![1, 0, 0, 0, 1, 0, 0, 0, 2, 1, 65],
        _ => b"value".to_vec(),
    };
    let record = |flags: u8, time: [u8; 8]| {
        let mut record = [&[flags][..], &time, &[key.len() as u8], &key].concat();
        if flags & 2 == 0 {
            record.extend([&[value.len() as u8][..], &value].concat());
        }
        record
    };
    [vec![kind], record(0, start), record(0, end), record(2, end), record(0, start)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_samples_of_all_kinds_are_restored() {
        for kind in 0..10 {
            let sample = sample_of_a_changelog(kind);
            let input = || Input(&sample[1..]);
            let store_of = |supplier: &dyn StoreSupplier| restored(supplier, input()).unwrap();
            match kind {
                0 => read_table(&store_of(&table(None))).unwrap(),
                1 => read_table(&store_of(&table(Some(1_000)))).unwrap(),
                2..=4 => {
                    read_windows(&store_of(&windows(ORDERS[usize::from(kind) - 2]))).unwrap();
                }
                5 => read_sessions(&store_of(&sessions(WindowOrder::KeyFirst))).unwrap(),
                6 => read_sessions(&store_of(&sessions(WindowOrder::KeyFirstAndTime))).unwrap(),
                7 => read_joined(&store_of(&joined())).unwrap(),
                8 => read_buffer(&store_of(&buffer())).unwrap(),
                _ => read_unmatched(&store_of(&unmatched())).unwrap(),
            }
        }
    }
}
