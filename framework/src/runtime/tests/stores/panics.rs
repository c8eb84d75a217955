//! Stores of the user's own that panic.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::operators::Custom;
use crate::store::{ChangelogRecord, CustomStore, StoreChangelog};

/// Panics where its changelog, or what was put since the last commit, says so.
struct Panics {
    changelog: StoreChangelog,
    last: String,
}

impl CustomStore for Panics {
    fn restore(&mut self, record: ChangelogRecord<'_>) -> Result<(), BoxError> {
        assert_ne!(record.key, b"restore", "no restore");
        Ok(())
    }

    fn commit(&mut self) {
        assert_ne!(self.last, "commit", "no commit");
    }
}

struct Puts(Rc<RefCell<Panics>>);

impl Processor<String, String> for Puts {
    type KOut = String;
    type VOut = String;

    fn process(
        &mut self,
        record: Record<String, String>,
        ctx: &mut Context<'_, String, String>,
    ) -> Result<(), BoxError> {
        let mut store = self.0.borrow_mut();
        store.changelog.log(record.value.as_bytes(), Some(b"x"))?;
        store.last.clone_from(&record.value);
        ctx.forward(record);
        Ok(())
    }
}

fn start(log: &MemoryLog, dir: &tempfile::TempDir) -> Streams {
    let builder = StreamsBuilder::new();
    let make = |changelog| Panics { changelog, last: String::new() };
    let store = builder.store(Custom::named("mine", make));
    builder.stream::<String, String>("in").process("put", &store, Puts).to("out");
    let config = config(dir, ProcessingGuarantee::ExactlyOnceV2).num_stream_threads(1);
    Streams::with(builder.build().unwrap(), config).log(Arc::new(log.clone())).start().unwrap()
}

fn failure(streams: Streams) -> String {
    assert_eq!(streams.wait_for(&[StreamsState::Failed], PATIENCE), StreamsState::Failed);
    streams.close().unwrap_err().to_string()
}

#[test]
fn a_panic_in_a_restore_or_a_commit_names_the_task_and_what_it_said() {
    let log = log_with(&[("in", 1), ("out", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let streams = start(&log, &dir);
    put(&log, 0, "k", "restore");
    wait_for(&log, "out", &["restore"]);
    streams.close().unwrap();
    let said = failure(start(&log, &dir));
    assert!(said.contains("0_0") && said.contains("no restore"), "{said}");
    let log = log_with(&[("in", 1), ("out", 1)]);
    let dir = tempfile::tempdir().unwrap();
    let streams = start(&log, &dir);
    put(&log, 0, "k", "commit");
    let said = failure(streams);
    assert!(said.contains("0_0") && said.contains("no commit"), "{said}");
}
