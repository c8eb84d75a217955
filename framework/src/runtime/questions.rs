//! How questions about stores reach the running tasks of an instance.

use std::sync::{Arc, Weak};

use crate::error::{Error, Result};
use crate::query::{Question, Tasks};
use crate::runtime::board::StreamsState;
use crate::runtime::instance::Instance;
use crate::runtime::worker::Ask;

/// The tasks of an instance as a question sees them. A handle that outlives the instance must not
/// keep its state directory locked.
pub(crate) struct TasksOf(pub(crate) Weak<Instance>);

impl Tasks for TasksOf {
    fn ask(&self, question: Question) -> Result<()> {
        let instance = self.0.upgrade().ok_or_else(|| not_asked("the instance has ended"))?;
        // With a task missing, an answer would look complete and not be it.
        let state = instance.board.instance();
        if state != StreamsState::Running {
            return Err(not_asked(&format!("the instance is {state:?}")));
        }
        let globals = instance.globals.stores();
        for sub in instance.topology.global_tables() {
            for supplier in sub.stores.iter().filter_map(|index| instance.topology.store(*index)) {
                if let Some(store) = globals.get(supplier.name()) {
                    question(supplier.name(), &|| supplier.committed_in(&store));
                }
            }
        }
        for (task, actor) in &*instance.running.lock() {
            actor
                .try_send(Ask(Arc::clone(&question)))
                .map_err(|error| not_asked(&format!("task {task}: {error}")))?;
        }
        Ok(())
    }

    fn check(&self, store: &str) -> Result<()> {
        let instance = self.0.upgrade().ok_or_else(|| not_asked("the instance has ended"))?;
        let names: Vec<&str> = instance.topology.store_names().collect();
        if names.contains(&store) {
            return Ok(());
        }
        Err(Error::no_such_store(&format!("asking store {store}"), &names))
    }
}

fn not_asked(reason: &str) -> Error {
    Error::Unavailable { what: "asking a store".to_owned(), reason: reason.to_owned() }
}
