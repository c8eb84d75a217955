//! A store of the user's own: what it logs, what it gets back.

use std::collections::BTreeMap;

use super::Rig;
use crate::error::{BoxError, Error};
use crate::record::Timestamp;
use crate::store::custom::{ChangelogRecord, CustomSpec, CustomState, CustomStore, StoreChangelog};
use crate::store::supplier::TaskStore;

struct Names {
    all: BTreeMap<Vec<u8>, Vec<u8>>,
    commits: usize,
    changelog: StoreChangelog,
}

impl Names {
    fn put(&mut self, key: &str, value: Option<&str>) {
        self.changelog.log(key.as_bytes(), value.map(str::as_bytes)).unwrap();
        self.keep(key.as_bytes(), value.map(str::as_bytes));
    }

    fn keep(&mut self, key: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.all.insert(key.to_vec(), value.to_vec()),
            None => self.all.remove(key),
        };
    }
}

impl CustomStore for Names {
    fn restore(&mut self, record: ChangelogRecord<'_>) -> Result<(), BoxError> {
        if record.key == b"bad" {
            return Err("it is bad".into());
        }
        assert!(record.timestamp >= Timestamp(7));
        self.keep(record.key, record.value);
        Ok(())
    }

    fn commit(&mut self) {
        self.commits += 1;
    }
}

fn spec() -> CustomSpec<Names> {
    CustomSpec::new("names", |changelog| Names { all: BTreeMap::new(), commits: 0, changelog })
}

fn names(store: &TaskStore) -> Vec<String> {
    let state = store.typed::<CustomState<Names>>().unwrap();
    let names = state.borrow().store();
    let keys = names.borrow().all.keys().cloned().collect::<Vec<_>>();
    keys.into_iter().map(|key| String::from_utf8(key).unwrap()).collect()
}

fn put(rig: &Rig, key: &str, value: Option<&str>) {
    let state = rig.store.typed::<CustomState<Names>>().unwrap();
    let names = state.borrow().store();
    names.borrow_mut().put(key, value);
}

#[test]
fn what_it_logs_comes_back() {
    let rig = Rig::new(&spec(), 0);
    rig.at(7);
    put(&rig, "a", Some("Ada"));
    put(&rig, "b", Some("Bob"));
    put(&rig, "a", None);
    assert_eq!(rig.logged_hex(), ["61=416461@7", "62=426f62@7", "61=null@7"]);
    rig.commit();
    let state = rig.store.typed::<CustomState<Names>>().unwrap();
    assert_eq!(state.borrow().store().borrow().commits, 1);
    assert_eq!(names(&rig.restored(&spec()).store), ["b"]);
}

/// After an abort a task is made anew: the store is empty then, and says so.
#[test]
fn a_store_that_is_made_anew_is_restored_from_the_start() {
    let rig = Rig::new(&spec(), 0);
    rig.at(7);
    put(&rig, "a", Some("Ada"));
    let mut batch = rig.place.stores.batch();
    batch.set_offset(rig.place.id, 1);
    rig.place.stores.write(batch).unwrap();
    let anew = rig.reopened(&spec());
    assert_eq!(names(&anew), Vec::<String>::new());
    assert_eq!(rig.place.stores.offset(rig.place.id), None);
    rig.rebuild();
    assert_eq!(names(&rig.store), ["a"]);
    rig.rollback();
    assert_eq!(names(&rig.store), Vec::<String>::new());
}

#[test]
fn a_changelog_that_it_refuses_ends_the_instance() {
    let rig = Rig::new(&spec(), 0);
    rig.at(7);
    put(&rig, "bad", Some(""));
    let record = rig.logged().remove(0);
    let raw = crate::log::RawRecord {
        offset: 0,
        timestamp: 7,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        headers: record.headers.clone(),
    };
    let mut batch = rig.place.stores.batch();
    let refused = rig.store.state().borrow_mut().restore(&mut batch, &raw).unwrap_err();
    assert!(matches!(refused, Error::Fatal { .. }), "{refused:?}");
    assert!(refused.to_string().contains("names"), "{refused}");
}

#[test]
fn without_a_changelog_it_logs_nothing() {
    let mut unlogged = spec();
    unlogged.options.logged = false;
    let rig = Rig::new(&unlogged, 0);
    rig.at(7);
    put(&rig, "a", Some("Ada"));
    assert_eq!(rig.logged().len(), 0);
    assert!(rig.store.state().borrow().changelog().is_none());
    assert_eq!(names(&rig.store), ["a"]);
}
