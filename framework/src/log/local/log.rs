//! The broker of this process as a log.

use std::sync::Arc;

use super::broker::Broker;
use super::fault::{Faults, Operation};
use super::group::Group;
use super::member::LocalMembership;
use super::producer::LocalProducer;
use super::reader::LocalReader;
use super::state::State;
use super::storage::Storage;
use crate::error::{Error, Result};
use crate::log::{
    Committed, GroupSpec, Isolation, Log, Membership, NewTopic, OffsetRange, Producer,
    ProducerSpec, Reader, TopicDescription,
};
use crate::record::TopicPartition;

/// A broker in this process as a log.
#[derive(Debug)]
pub(crate) struct LocalLog<S: Storage>(pub(crate) Arc<Broker<S>>);

impl<S: Storage> Log for LocalLog<S> {
    fn describe(&self, topics: &[&str]) -> Result<Vec<Option<TopicDescription>>> {
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            let mut all = Vec::with_capacity(topics.len());
            for name in topics {
                self.0.auto_create(state, name)?;
                let partitions = state.topics.partition_count(name);
                let name = (*name).to_owned();
                all.push((partitions > 0).then_some(TopicDescription { name, partitions }));
            }
            Faults::answer(course, Operation::Admin, all)
        })
    }

    fn topics(&self) -> Result<Vec<String>> {
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            let mut names = state.topics.names();
            names.sort();
            Faults::answer(course, Operation::Admin, names)
        })
    }

    fn create(&self, topics: &[NewTopic]) -> Result<()> {
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            for topic in topics {
                self.0.create_topic(state, topic)?;
            }
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn delete_topics(&self, topics: &[&str]) -> Result<()> {
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            for topic in topics {
                self.0.delete_topic(state, topic)?;
            }
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn delete_records(&self, before: &[(TopicPartition, i64)]) -> Result<()> {
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            for (tp, offset) in before {
                self.0.delete_below(state, tp, *offset)?;
            }
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn offsets(&self, partition: &TopicPartition, isolation: Isolation) -> Result<OffsetRange> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            self.0.auto_create(state, &partition.topic)?;
            let found = state.partition(state.slot(partition)?)?;
            let range = OffsetRange { earliest: found.start, end: found.end(isolation) };
            Faults::answer(course, Operation::Admin, range)
        })
    }

    fn offset_at(&self, partition: &TopicPartition, timestamp: i64) -> Result<Option<i64>> {
        let (slot, start, next) = self.0.with(|state| {
            Faults::answer(state.faults.before(Operation::Admin)?, Operation::Admin, ())?;
            let slot = state.slot(partition)?;
            let found = state.partition(slot)?;
            Ok::<_, Error>((slot, found.start, found.next))
        })?;
        self.0.storage.offset_at(slot, timestamp, start, next)
    }

    fn committed(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Result<Vec<Option<Committed>>> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Committed)?;
            if let Some(tp) = partitions.iter().find(|tp| state.is_pending(group, tp)) {
                return Err(Error::Unavailable {
                    what: format!("committed offset of {tp} in group {group}"),
                    reason: "it is part of an open transaction".to_owned(),
                });
            }
            let offsets = state.groups.get(group).map(|group| &group.offsets);
            let find = |tp: &TopicPartition| offsets.and_then(|all| all.get(tp).cloned());
            let found = partitions.iter().map(find).collect();
            Faults::answer(course, Operation::Committed, found)
        })
    }

    fn group_members(&self, group: &str) -> Result<usize> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            let members = state.groups.get(group).map_or(0, Group::members);
            Faults::answer(course, Operation::Admin, members)
        })
    }

    fn delete_group(&self, group: &str) -> Result<()> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            check_empty(state, group)?;
            self.0.storage.group_deleted(group)?;
            state.groups.remove(group);
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn set_offsets(&self, group: &str, offsets: &[(TopicPartition, Committed)]) -> Result<()> {
        self.0.expire();
        self.0.with(|state| {
            let course = state.faults.before(Operation::Admin)?;
            check_empty(state, group)?;
            self.0.storage.commit_offsets(group, offsets)?;
            state.set_offsets(group, offsets);
            Faults::answer(course, Operation::Admin, ())
        })
    }

    fn producer(&self, spec: &ProducerSpec) -> Result<Box<dyn Producer>> {
        Ok(Box::new(LocalProducer::open(Arc::clone(&self.0), spec)?))
    }

    fn join(&self, spec: &GroupSpec) -> Result<Box<dyn Membership>> {
        if spec.group.is_empty() || spec.topics.is_empty() {
            return Err(Error::Config("a group needs a name and topics".to_owned()));
        }
        Ok(Box::new(LocalMembership::new(Arc::clone(&self.0), spec.clone())))
    }

    fn reader(&self, isolation: Isolation) -> Result<Box<dyn Reader>> {
        if isolation == Isolation::ReadUncommitted {
            self.0.with(|state| state.has_uncommitted_readers = true);
        }
        Ok(Box::new(LocalReader::new(Arc::clone(&self.0), isolation)))
    }
}

/// That a group has no members.
fn check_empty(state: &State, group: &str) -> Result<()> {
    if state.groups.get(group).is_some_and(|group| group.members() > 0) {
        return Err(Error::GroupInUse { group: group.to_owned() });
    }
    Ok(())
}
