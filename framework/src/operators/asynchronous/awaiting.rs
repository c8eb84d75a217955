//! The node of all operators with futures: it takes records in, and hands on what comes of them.

use std::future::Future;
use std::sync::Arc;

use crate::chain::{Faults, Node, Operator, TaskContext};
use crate::error::{BoxError, Result};
use crate::operators::asynchronous::attempts::attempt;
use crate::operators::asynchronous::in_flight::{Attempt, Done, InFlight, Start};
use crate::operators::asynchronous::options::Async;
use crate::policy::DropReason;
use crate::record::{Data, Record};

/// A node with futures that come to an `O`; `hand_on` says what goes on of it.
pub(super) struct Awaiting<K, V, O, H> {
    in_flight: InFlight<K, V, O>,
    hand_on: H,
    faults: Faults,
}

/// Makes the future of each record by `f`, with all its tries.
pub(super) fn start_of<K, V, O, E, F>(
    how: &Async<K>,
    f: impl Fn(&K, V) -> F + Send + Sync + 'static,
) -> Start<K, V, O>
where
    K: Data,
    V: Data,
    O: Send + 'static,
    E: Into<BoxError> + 'static,
    F: Future<Output = std::result::Result<O, E>> + Send + 'static,
{
    let (f, tries) = (Arc::new(f), how.tries);
    Arc::new(move |key, value| {
        let attempt: Attempt<K, O> = Box::pin(attempt(Arc::clone(&f), key, value, tries));
        attempt
    })
}

impl<K: Data, V: Data, O: Send + 'static, H> Awaiting<K, V, O, H> {
    pub(super) fn new(how: &Async<K>, start: Start<K, V, O>, hand_on: H, faults: Faults) -> Self {
        Self { in_flight: InFlight::new(how.clone(), start), hand_on, faults }
    }
}

impl<K, V, O, H> Node for Awaiting<K, V, O, H>
where
    K: Data,
    V: Data,
    O: Send + 'static,
    H: FnMut(Record<K, O>, &mut TaskContext) -> Result<()>,
{
    fn init(&mut self, ctx: &mut TaskContext) -> Result<()> {
        let opened = ctx.futures.open(self.in_flight.longest());
        opened.map_err(|error| self.faults.fatal("the futures", &error.into()))
    }

    fn is_asynchronous(&self) -> bool {
        true
    }

    fn collect(&mut self, ctx: &mut TaskContext) -> Result<()> {
        self.in_flight.look(ctx)?;
        while let Some(done) = self.in_flight.next_done(ctx) {
            let Done { outcome, timestamp, headers, origin } = done;
            let (hand_on, faults) = (&mut self.hand_on, &self.faults);
            ctx.with_held(origin, |ctx| match outcome {
                Ok((key, value)) => hand_on(Record { key, value, timestamp, headers }, ctx),
                Err(error) => faults.apply(DropReason::Failed, error, ctx),
            })?;
        }
        Ok(())
    }
}

impl<K, V, O, H> Operator<K, V> for Awaiting<K, V, O, H>
where
    K: Data,
    V: Data,
    O: Send + 'static,
    H: FnMut(Record<K, O>, &mut TaskContext) -> Result<()>,
{
    fn process(&mut self, record: Record<K, V>, ctx: &mut TaskContext) -> Result<()> {
        self.in_flight.take(record, ctx)
    }
}
