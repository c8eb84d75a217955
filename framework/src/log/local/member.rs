//! Members of groups of the broker in this process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::broker::Broker;
use super::fault::{Faults, Operation};
use super::group::Step;
use super::queue::{LocalQueue, SharedQueue};
use super::state::{About, State};
use super::storage::Storage;
use crate::error::{Error, Result};
use crate::log::locked::locked;
use crate::log::{
    Committed, Generation, GroupListener, GroupSpec, Member, Membership, PartitionQueue,
};
use crate::record::TopicPartition;

/// Identity of a member at one moment.
#[derive(Clone, Debug)]
pub(crate) struct LocalGeneration {
    pub(crate) group: String,
    pub(crate) member: String,
    pub(crate) generation: i32,
}

/// The control plane of a member.
pub(crate) struct LocalMembership<S: Storage> {
    spec: GroupSpec,
    member: Arc<LocalMember<S>>,
    left: bool,
}

/// The handle for other threads.
pub(crate) struct LocalMember<S: Storage> {
    broker: Arc<Broker<S>>,
    group: String,
    seat: Mutex<Seat>,
}

/// What the member believes; the group may have gone on already.
#[derive(Debug, Default)]
struct Seat {
    id: Option<String>,
    generation: i32,
    owned: BTreeMap<TopicPartition, Arc<SharedQueue>>,
}

impl<S: Storage> LocalMembership<S> {
    pub(crate) fn new(broker: Arc<Broker<S>>, spec: GroupSpec) -> Self {
        let (group, seat) = (spec.group.clone(), Mutex::default());
        Self { spec, member: Arc::new(LocalMember { broker, group, seat }), left: false }
    }

    fn next_step(&self, timeout: Duration) -> Option<Step> {
        let (mut id, owns) = {
            let seat = locked(&self.member.seat);
            (seat.id.clone(), !seat.owned.is_empty())
        };
        let broker = &self.member.broker;
        let step = broker.wait(About::Groups, timeout, |state| {
            let id = id.get_or_insert_with(|| register(state, &self.spec, broker.now()));
            match next_step(state, &self.spec.group, id, owns) {
                Some(Step::Join) => {
                    join(state, &self.spec.group, id);
                    next_step(state, &self.spec.group, id, owns)
                }
                other => other,
            }
        });
        locked(&self.member.seat).id = id;
        step
    }

    /// Takes new partitions: their queues begin where the listener says.
    fn assign(
        &self,
        generation: i32,
        partitions: &[TopicPartition],
        listener: &mut dyn GroupListener,
    ) -> Result<()> {
        locked(&self.member.seat).generation = generation;
        let starts = listener.start_offsets(partitions)?;
        if starts.len() != partitions.len() {
            let reason = format!("{} start offsets for {}", starts.len(), partitions.len());
            return Err(Error::Fatal { what: "assignment".to_owned(), reason });
        }
        let broker = &self.member.broker;
        let mut added: Vec<(TopicPartition, Box<dyn PartitionQueue>)> = Vec::new();
        for (partition, start) in partitions.iter().zip(starts) {
            let shared = broker.with(|state| {
                let slot = state.slot(partition)?;
                let isolation = self.spec.isolation;
                let shared = SharedQueue::new(partition.clone(), slot, isolation, start);
                state.partition_mut(slot)?.signals.push(Arc::clone(&shared.signal));
                Ok::<_, Error>(Arc::new(shared))
            })?;
            locked(&self.member.seat).owned.insert(partition.clone(), Arc::clone(&shared));
            let queue = LocalQueue { broker: Arc::clone(broker), shared };
            added.push((partition.clone(), Box::new(queue)));
        }
        listener.assigned(added);
        Ok(())
    }

    fn owned(&self) -> Vec<TopicPartition> {
        locked(&self.member.seat).owned.keys().cloned().collect()
    }

    /// Gives everything back, with the listener's consent, and joins again.
    fn revoke(&self, listener: &mut dyn GroupListener) {
        listener.revoked(&self.owned());
        self.member.close_queues();
        let id = locked(&self.member.seat).id.clone();
        if let Some(id) = id {
            self.member.broker.with(|state| join(state, &self.spec.group, &id));
        }
    }

    /// What was owned is gone.
    fn lose(&self, listener: &mut dyn GroupListener) {
        let owned = self.owned();
        self.member.close_queues();
        locked(&self.member.seat).id = None;
        if !owned.is_empty() {
            listener.lost(&owned);
        }
    }
}

fn register(state: &mut State, spec: &GroupSpec, now: i64) -> String {
    let id = state.new_member_id();
    let static_member = spec.static_member.as_deref();
    state.group(&spec.group).add(&id, static_member, &spec.topics, now);
    state.group_news.is_new = true;
    id
}

fn next_step(state: &mut State, group: &str, id: &str, owns: bool) -> Option<Step> {
    state.group(group).next_step(id, owns)
}

fn join(state: &mut State, group: &str, id: &str) {
    let topics = &state.topics;
    if let Some(group) = state.groups.get_mut(group) {
        group.join(id, &|topic| topics.partition_count(topic));
        state.group_news.is_new = true;
    }
}

impl<S: Storage> Membership for LocalMembership<S> {
    fn poll(&mut self, timeout: Duration, listener: &mut dyn GroupListener) -> Result<()> {
        let broker = &self.member.broker;
        broker.expire();
        let course = broker.with(|state| state.faults.before(Operation::Poll))?;
        match self.next_step(timeout) {
            None | Some(Step::Join) => {}
            Some(Step::Revoke) => self.revoke(listener),
            Some(Step::Assign(generation, partitions)) => {
                self.assign(generation, &partitions, listener)?;
            }
            Some(Step::Lost) => self.lose(listener),
            Some(Step::Replaced) => {
                let id = locked(&self.member.seat).id.clone();
                self.lose(listener);
                // It keeps its old id, so that it stays out.
                locked(&self.member.seat).id = id;
                let reason = "another member has this static identity now".to_owned();
                return Err(Error::Fenced { what: "group membership".to_owned(), reason });
            }
        }
        Faults::answer(course, Operation::Poll, ())
    }

    fn subscribe(&mut self, topics: &[String]) -> Result<()> {
        self.spec.topics = topics.to_vec();
        let id = locked(&self.member.seat).id.clone();
        if let Some(id) = id {
            let now = self.member.broker.now();
            self.member.broker.with(|state| {
                state.group(&self.spec.group).subscribe(&id, topics, now);
                state.group_news.is_new = true;
            });
        }
        Ok(())
    }

    fn member(&self) -> Arc<dyn Member> {
        let member: Arc<LocalMember<S>> = Arc::clone(&self.member);
        member
    }

    fn leave(mut self: Box<Self>, listener: &mut dyn GroupListener) -> Result<()> {
        self.left = true;
        let owned = self.owned();
        if !owned.is_empty() {
            listener.revoked(&owned);
        }
        self.member.close_queues();
        self.member.quit(true);
        Ok(())
    }
}

impl<S: Storage> Drop for LocalMembership<S> {
    fn drop(&mut self) {
        if !self.left {
            self.member.close_queues();
            self.member.quit(self.member.broker.manners.dropped_is_gone);
        }
    }
}

impl<S: Storage> LocalMember<S> {
    fn close_queues(&self) {
        let owned = std::mem::take(&mut locked(&self.seat).owned);
        for queue in owned.values() {
            queue.close();
            self.broker.with(|state| {
                if let Ok(partition) = state.partition_mut(queue.slot) {
                    partition.signals.retain(|signal| !Arc::ptr_eq(signal, &queue.signal));
                }
            });
        }
    }

    /// Ends the membership; without saying good-bye, only the session's end tells the group.
    fn quit(&self, says_so: bool) {
        let Some(id) = locked(&self.seat).id.take() else { return };
        let now = self.broker.now();
        self.broker.with(|state| {
            let topics = &state.topics;
            let partitions = |topic: &str| topics.partition_count(topic);
            if let Some(group) = state.groups.get_mut(&self.group) {
                if says_so {
                    group.leave(&id, now, &partitions);
                } else {
                    group.absent(&id, now);
                }
                state.group_news.is_new = true;
            }
        });
    }

    fn identity(&self) -> Result<LocalGeneration> {
        let seat = locked(&self.seat);
        let Some(member) = seat.id.clone().filter(|_| seat.generation > 0) else {
            let reason = "the member is in no group".to_owned();
            return Err(Error::Fenced { what: format!("group {}", self.group), reason });
        };
        Ok(LocalGeneration { group: self.group.clone(), member, generation: seat.generation })
    }
}

impl<S: Storage> Member for LocalMember<S> {
    fn commit(&self, offsets: &[(TopicPartition, Committed)]) -> Result<()> {
        self.broker.expire();
        let seat = self.identity()?;
        self.broker.with(|state| {
            let course = state.faults.before(Operation::CommitOffsets)?;
            state.group(&seat.group).check(&seat.member, seat.generation)?;
            self.broker.storage.commit_offsets(&seat.group, offsets)?;
            state.set_offsets(&seat.group, offsets);
            Faults::answer(course, Operation::CommitOffsets, ())
        })
    }

    fn seek(&self, positions: &[(TopicPartition, i64)]) -> Result<()> {
        let queues: Vec<(Arc<SharedQueue>, i64)> = {
            let seat = locked(&self.seat);
            let find = |(tp, offset): &(TopicPartition, i64)| {
                let queue = seat.owned.get(tp).map(Arc::clone);
                let reason = "the member does not own it".to_owned();
                let queue = queue
                    .ok_or_else(|| Error::Fenced { what: format!("seeking in {tp}"), reason })?;
                Ok((queue, *offset))
            };
            positions.iter().map(find).collect::<Result<_>>()?
        };
        for (queue, offset) in queues {
            queue.seek(offset);
            queue.signal.fire();
        }
        Ok(())
    }

    fn generation(&self) -> Result<Generation> {
        Ok(Generation(Box::new(self.identity()?)))
    }
}
