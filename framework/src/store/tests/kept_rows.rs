//! Rows that stay in memory after they were committed.

use proptest::prelude::*;

use super::{Rig, text_to_text};
use crate::record::Timestamp;
use crate::store::options::StoreOptions;
use crate::store::window::{WindowSpec, WindowStore};

const KEPT_MS: i64 = 40;
const ROOM: usize = 1 << 20;

fn spec(kept_ms: Option<i64>) -> WindowSpec<String, String> {
    WindowSpec {
        options: StoreOptions::named("s"),
        serdes: text_to_text(),
        retention_ms: 100,
        window_size_ms: 10,
        duplicates: true,
        kept_ms,
    }
}

fn open(rig: &Rig) -> WindowStore<String, String> {
    WindowStore::of(&rig.store, &rig.time).unwrap()
}

fn put(rig: &Rig, key: &str, value: &str, start: i64) {
    rig.at(start);
    open(rig).put(key.to_owned(), value.to_owned(), Timestamp(start)).unwrap();
}

fn fetched(rig: &Rig, key: &str, from: i64, to: i64) -> Vec<(i64, String)> {
    let found = open(rig).fetch_range(&key.to_owned(), Timestamp(from), Timestamp(to)).unwrap();
    found.map(|entry| entry.map(|(at, value)| (at.0, value)).unwrap()).collect()
}

/// Deletes everything in the store below, which a store that reads memory does not see.
fn take_away(rig: &Rig) {
    rig.place.stores.clear(rig.place.id).unwrap();
}

fn row(at: i64, value: &str) -> (i64, String) {
    (at, value.to_owned())
}

#[test]
fn what_was_committed_is_read_from_memory_for_as_long_as_it_is_asked_for() {
    let rig = Rig::keeping(&spec(Some(KEPT_MS)), ROOM);
    put(&rig, "k", "one", 10);
    rig.commit();
    put(&rig, "k", "two", 20);
    put(&rig, "k", "three", 30);
    rig.commit();
    take_away(&rig);
    let all = [row(10, "one"), row(20, "two"), row(30, "three")];
    assert_eq!(fetched(&rig, "k", 0, 99), all);
    // Now the first piece is older than anybody asks for: who asks is told by the store below.
    put(&rig, "k", "four", 71);
    assert_eq!(fetched(&rig, "k", 0, 99).len(), 4, "it is asked for until the commit");
    rig.commit();
    assert_eq!(fetched(&rig, "k", 20, 99), [row(71, "four")]);
    take_away(&rig);
    assert_eq!(fetched(&rig, "k", 21, 99), [row(30, "three"), row(71, "four")]);
    assert_eq!(fetched(&rig, "k", 20, 99), []);
}

#[test]
fn a_rollback_takes_back_what_was_put_since_the_commit() {
    let rig = Rig::keeping(&spec(Some(KEPT_MS)), ROOM);
    put(&rig, "k", "one", 10);
    rig.commit();
    put(&rig, "k", "two", 11);
    put(&rig, "other", "two", 12);
    put(&rig, "k", "three", 13);
    rig.rollback();
    take_away(&rig);
    assert_eq!(fetched(&rig, "k", 0, 99), [row(10, "one")]);
    assert_eq!(fetched(&rig, "other", 0, 99), []);
    put(&rig, "other", "again", 12);
    assert_eq!(fetched(&rig, "other", 0, 99), [row(12, "again")]);
}

#[test]
fn without_room_nothing_is_kept_until_the_time_is_over() {
    let rig = Rig::keeping(&spec(Some(KEPT_MS)), 2_000);
    put(&rig, "k", &"x".repeat(3_000), 10);
    rig.commit();
    put(&rig, "k", "small", 20);
    rig.commit();
    assert_eq!(fetched(&rig, "k", 0, 99).len(), 2);
    take_away(&rig);
    assert_eq!(fetched(&rig, "k", 15, 99), [], "there was no room, so it is in the store alone");
    put(&rig, "k", "again", 60);
    rig.commit();
    take_away(&rig);
    assert_eq!(fetched(&rig, "k", 45, 99), [row(60, "again")]);
}

#[test]
fn a_restart_reads_the_store_until_it_has_rows_of_its_own() {
    let supplier = spec(Some(KEPT_MS));
    let mut rig = Rig::keeping(&supplier, ROOM);
    put(&rig, "k", "one", 10);
    rig.commit();
    rig.store = rig.reopened(&supplier);
    assert_eq!(fetched(&rig, "k", 0, 99), [row(10, "one")]);
    put(&rig, "k", "two", 20);
    rig.commit();
    assert_eq!(fetched(&rig, "k", 0, 99), [row(10, "one"), row(20, "two")]);
    take_away(&rig);
    assert_eq!(fetched(&rig, "k", 11, 99), [row(20, "two")]);
    rig.rebuild();
    assert_eq!(fetched(&rig, "k", 0, 99), [row(10, "one"), row(20, "two")]);
    assert_eq!(rig.restored(&supplier).logged().len(), 0);
}

/// Does what the second number says with a key and a time.
fn act(rig: &Rig, number: usize, (what, key, time): (u8, u8, i64)) {
    match what {
        0 => rig.commit(),
        1 => rig.rollback(),
        2 => rig.rebuild(),
        _ => put(rig, &format!("k{key}"), &number.to_string(), time),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever the room, at each moment and for any span.
    #[test]
    fn what_is_kept_changes_no_answer(
        steps in proptest::collection::vec((0..12_u8, 0..3_u8, 0..50_i64), 1..60),
        room in 0..6_usize,
    ) {
        let room = if room == 5 { ROOM } else { room * 400 };
        let kept = Rig::keeping(&spec(Some(KEPT_MS)), room);
        let plain = Rig::new(&spec(None), 0);
        for (number, (what, key, jitter)) in steps.into_iter().enumerate() {
            let step = (what, key, 4 * number as i64 + jitter);
            act(&kept, number, step);
            act(&plain, number, step);
            for from in [0, 4 * number as i64 - 30, 4 * number as i64, 4 * number as i64 + 20] {
                for key in ["k0", "k1", "k2"] {
                    let to = from + 45;
                    prop_assert_eq!(fetched(&kept, key, from, to), fetched(&plain, key, from, to));
                }
            }
        }
    }
}
