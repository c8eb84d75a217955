//! Reads the topics of all global tables with one reader: to the ends as of the start, and then on.
//!
//! What can be tried again is tried again with back-off, from the positions in the stores. Anything else ends
//! the instance: the tables are the same in each, so another one would fare no better.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::collector::{Refusals, WorkerProducer};
use crate::error::{Error, Reaction, Result};
use crate::log::{Isolation, ProducerSpec, ReadEvent, Reader};
use crate::metrics::Beating;
use crate::runtime::board::Waiter;
use crate::runtime::global::table::GlobalTable;
use crate::runtime::instance::Instance;
use crate::runtime::stop::StopSignal;
use crate::runtime::worker::Freshness;

/// How long one read waits: only stopping is noticed this late.
const READ_WAIT: Duration = Duration::from_millis(50);
/// How often it is said how far the tables are.
const SAY_INTERVAL: Duration = Duration::from_secs(5);
/// How often metrics are told.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often the ends of partitions that are behind are asked for.
const LAG_INTERVAL: Duration = Duration::from_secs(10);

/// When something was last done.
#[derive(Clone, Copy, Debug)]
struct Every(Duration, Option<Duration>);

impl Every {
    /// True, and counted from now on, if it is time.
    fn is_due(&mut self, now: Duration) -> bool {
        let due = self.1.is_none_or(|last| now.saturating_sub(last) >= self.0);
        if due {
            self.1 = Some(now);
        }
        due
    }
}

/// The work of the thread of the global tables.
pub(super) struct Reading<'a> {
    instance: &'a Instance,
    freshness: Freshness,
    tables: Vec<GlobalTable>,
    producer: Rc<RefCell<WorkerProducer>>,
    reader: Option<Box<dyn Reader>>,
    planned: bool,
    complete: bool,
    began: Duration,
    /// It waits for something and has said so.
    waits: bool,
    says: Every,
    reports: Every,
    lags: Every,
    grows: Every,
}

impl fmt::Debug for Reading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl<'a> Reading<'a> {
    /// Opens the stores. The topics are not asked for yet.
    ///
    /// # Errors
    /// When a store or the producer for dead letters cannot be opened.
    pub(super) fn open(instance: &'a Instance) -> Result<Self> {
        let producer = Rc::new(RefCell::new(producer(instance)?));
        let subs = instance.topology.global_tables();
        let tables: Result<Vec<_>> =
            subs.iter().map(|sub| GlobalTable::open(instance, sub, &producer)).collect();
        let now = instance.clock.elapsed();
        let later = |interval| Every(interval, Some(now));
        Ok(Self {
            instance,
            freshness: Freshness { tombstones_kept: instance.settings.tombstones_kept },
            tables: tables?,
            producer,
            reader: None,
            planned: false,
            complete: false,
            began: now,
            waits: false,
            says: later(SAY_INTERVAL),
            reports: Every(REPORT_INTERVAL, None),
            lags: later(LAG_INTERVAL),
            grows: later(instance.settings.metadata_age_max),
        })
    }

    /// Reads until told to stop; closes the stores.
    ///
    /// # Errors
    /// What cannot be tried again.
    pub(super) fn run(&mut self, stop: &StopSignal) -> Result<()> {
        let ended = self.read_on(stop);
        for table in &mut self.tables {
            table.report(self.instance, true);
        }
        self.reader = None;
        self.instance.globals.set(None);
        for table in &self.tables {
            table.close();
        }
        ended
    }

    fn read_on(&mut self, stop: &StopSignal) -> Result<()> {
        let mut tries = 0;
        while !stop.is_set() {
            self.instance.beat(Beating::Global);
            match self.step() {
                Ok(()) => tries = 0,
                Err(error) => {
                    if !self.recovers(&error) {
                        return Err(last_word(error));
                    }
                    let wait = self.instance.settings.backoff(tries);
                    tries += 1;
                    stop.wait(wait);
                }
            }
        }
        Ok(())
    }

    /// Makes ready for the next try after an error; false if there is none.
    fn recovers(&mut self, error: &Error) -> bool {
        let again = match error {
            // The topic was cut while it was read: as long as nobody sees it, the table can begin anew.
            Error::OffsetOutOfRange { .. } => !self.complete,
            error => matches!(error.reaction(), Reaction::Retry | Reaction::Rebuild),
        };
        if !again {
            return false;
        }
        self.instance.metrics.error(error);
        if !std::mem::replace(&mut self.waits, true) {
            tracing::warn!(?error, "the global tables cannot be read now: trying again");
        }
        self.instance.waits_for(Waiter::Global, format!("the global tables: {error:?}"));
        self.reader = None;
        self.planned &= self.complete;
        true
    }

    fn step(&mut self) -> Result<()> {
        let now = self.instance.clock.elapsed();
        if !self.planned {
            self.plan()?;
        }
        let event = self.reader()?.read(READ_WAIT)?;
        if let Some(event) = event {
            self.take(event)?;
        }
        if !self.complete {
            self.complete_or_say(now)?;
        }
        self.look(now)
    }

    fn plan(&mut self) -> Result<()> {
        let now = self.instance.clock.now();
        for table in &mut self.tables {
            table.plan(&*self.instance.log, self.freshness, now)?;
            tracing::info!(table = table.name, topic = %table.topic, offsets = table.missing(), "reading the global table");
        }
        self.planned = true;
        Ok(())
    }

    fn reader(&mut self) -> Result<&mut Box<dyn Reader>> {
        match &mut self.reader {
            Some(reader) => Ok(reader),
            none => {
                let mut reader = self.instance.log.reader(Isolation::ReadCommitted)?;
                let positions = self.tables.iter_mut().flat_map(GlobalTable::positions);
                reader.assign(&positions.collect::<Vec<_>>())?;
                Ok(none.insert(reader))
            }
        }
    }

    fn take(&mut self, event: ReadEvent) -> Result<()> {
        if std::mem::take(&mut self.waits) {
            tracing::info!("the global tables are read again");
            self.instance.board.has(Waiter::Global);
        }
        let (ReadEvent::Records(at, _) | ReadEvent::End(at, _)) = &event;
        let (topic, number) = (Arc::clone(&at.topic), at.partition);
        let Some(table) = self.tables.iter_mut().find(|table| table.topic == topic) else {
            return Ok(());
        };
        match event {
            ReadEvent::Records(_, records) => {
                let taken = table.take(number, records, self.instance.clock.now());
                match &taken {
                    Ok(()) => self.instance.metrics.dropped(table.id(), table.dropped()),
                    // The dead letters may be what failed, and a producer that did is not used again.
                    Err(_) => *self.producer.borrow_mut() = producer(self.instance)?,
                }
                taken
            }
            ReadEvent::End(_, end) => {
                self.instance.metrics.lag(&table.partition(number), Some(0));
                table.reached(number, end)
            }
        }
    }

    /// Hands the tables over once all are complete, or says what is missing.
    fn complete_or_say(&mut self, now: Duration) -> Result<()> {
        let metrics = &self.instance.metrics;
        let missing: Vec<String> = self
            .tables
            .iter()
            .map(|table| {
                metrics.restoring(table.id(), table.missing());
                (table, table.missing())
            })
            .filter(|(_, missing)| *missing > 0)
            .map(|(table, missing)| format!("{} lacks {missing} offsets", table.name))
            .collect();
        if !missing.is_empty() {
            let what = format!("the global tables: {}", missing.join(", "));
            if self.says.is_due(now) {
                tracing::info!("reading {what}");
            }
            self.instance.waits_for(Waiter::Global, what);
            return Ok(());
        }
        let wall = self.instance.clock.now();
        let mut stores = Vec::new();
        for table in &mut self.tables {
            table.note_fresh(self.freshness, wall)?;
            stores.push(table.share()?);
            let ms = self.instance.clock.elapsed().saturating_sub(self.began).as_millis();
            tracing::info!(table = table.name, topic = %table.topic, records = table.records, ms, "the global table is complete");
        }
        self.complete = true;
        self.reports = Every(REPORT_INTERVAL, None);
        self.instance.board.has(Waiter::Global);
        self.instance.globals.set(Some(stores.into_iter().collect()));
        Ok(())
    }

    /// What is done now and then.
    fn look(&mut self, now: Duration) -> Result<()> {
        if self.reports.is_due(now) {
            let wall = self.instance.clock.now();
            for table in &mut self.tables {
                table.report(self.instance, false);
                if table.is_at_end() {
                    table.note_fresh(self.freshness, wall)?;
                }
            }
        }
        if self.lags.is_due(now) {
            self.say_lags()?;
        }
        if self.grows.is_due(now) {
            for table in &mut self.tables {
                if table.grow(&*self.instance.log)? {
                    self.reader = None;
                }
            }
        }
        Ok(())
    }

    /// How far the partitions are behind whose end was not reached.
    fn say_lags(&self) -> Result<()> {
        for table in &self.tables {
            for (number, part) in table.parts.iter().filter(|(_, part)| !part.at_end) {
                let partition = table.partition(*number);
                let end = self.instance.log.offsets(&partition, Isolation::ReadCommitted)?.end;
                let behind = u64::try_from(end - part.next).unwrap_or(0);
                self.instance.metrics.lag(&partition, Some(behind));
            }
        }
        Ok(())
    }
}

/// An error that ends the instance, with what it means here.
fn last_word(error: Error) -> Error {
    let what = "reading the global tables".to_owned();
    match error {
        Error::State(error) => Error::Fatal {
            what,
            reason: format!("{error} (with its directory deleted, a table is read anew)"),
        },
        Error::OffsetOutOfRange { partition, offset } => Error::Fatal {
            what,
            reason: format!(
                "offset {offset} of {partition} is not there any more: the topic was cut or made anew (a restart reads it anew)"
            ),
        },
        other => other,
    }
}

/// A producer for dead letters. There is nothing to begin again from, so each is asked about.
fn producer(instance: &Instance) -> Result<WorkerProducer> {
    let spec = ProducerSpec::default();
    let producer = instance.log.producer(&spec)?;
    let producer = WorkerProducer::new(Arc::clone(&instance.log), producer, false);
    Ok(producer.with_refusals(Refusals::of_everything(), spec))
}
