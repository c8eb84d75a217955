//! Coordinator of one group: who is in it, who owns what, which positions are committed.
//!
//! It works as Kafka's classic protocol with the `range` assignor: a rebalance asks everybody to
//! give back everything and to join again; when all have joined, the generation grows by one and
//! the partitions are shared out. Members learn of it at their next poll.
//!
//! ```text
//! stable ──somebody joins, leaves, expires, topics change──► rebalancing
//!   ▲                                                            │
//!   └────────────── all members have joined again ◄──────────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::Committed;
use crate::record::TopicPartition;

/// One group.
#[derive(Debug, Default)]
pub(crate) struct Group {
    generation: i32,
    rebalancing_since: Option<i64>,
    members: BTreeMap<String, GroupMember>,
    /// Ids of static members that a newer one with the same identity replaced.
    replaced: BTreeSet<String>,
    /// Committed positions.
    pub(crate) offsets: BTreeMap<TopicPartition, Committed>,
}

#[derive(Debug)]
struct GroupMember {
    static_id: Option<String>,
    topics: Vec<String>,
    /// It joined the rebalance that is going on.
    joined: bool,
    /// It was told its part in the present generation.
    told: bool,
    assignment: Vec<TopicPartition>,
    /// Since when its member has not polled.
    absent_since: Option<i64>,
}

/// What a member does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give back what it owns, then join again.
    Revoke,
    /// Join; nothing is owned.
    Join,
    /// Take these.
    Assign(i32, Vec<TopicPartition>),
    /// It was removed: what it owned is gone.
    Lost,
    /// A newer member has its static identity: what it owned is gone, and it must not come back.
    Replaced,
}

impl Group {
    /// Takes a new member in, which starts a rebalance; or puts it in the place of the one that
    /// had its static identity before, which does not if nothing is going on.
    pub(crate) fn add(&mut self, id: &str, static_id: Option<&str>, topics: &[String], now: i64) {
        let mut member = GroupMember {
            static_id: static_id.map(ToOwned::to_owned),
            topics: topics.to_vec(),
            joined: false,
            told: false,
            assignment: Vec::new(),
            absent_since: None,
        };
        let former = static_id.and_then(|wanted| {
            let has = |m: &GroupMember| m.static_id.as_deref() == Some(wanted);
            self.members.iter().find(|(_, m)| has(m)).map(|(id, _)| id.clone())
        });
        if let Some(former_id) = former
            && let Some(former) = self.members.remove(&former_id)
        {
            self.replaced.insert(former_id);
            let same = former.topics == member.topics;
            member.assignment = former.assignment;
            self.members.insert(id.to_owned(), member);
            if !same {
                self.rebalance(now);
            }
            return;
        }
        self.members.insert(id.to_owned(), member);
        self.rebalance(now);
    }

    /// The member reads other topics from now on.
    pub(crate) fn subscribe(&mut self, id: &str, topics: &[String], now: i64) {
        if let Some(member) = self.members.get_mut(id) {
            member.topics = topics.to_vec();
            self.rebalance(now);
        }
    }

    /// What the member does next, given whether it owns anything.
    pub(crate) fn next_step(&mut self, id: &str, owns: bool) -> Option<Step> {
        if self.replaced.contains(id) {
            return Some(Step::Replaced);
        }
        let (generation, rebalancing) = (self.generation, self.rebalancing_since.is_some());
        let Some(member) = self.members.get_mut(id) else {
            return Some(Step::Lost);
        };
        match (rebalancing, member.joined, member.told) {
            (true, false, _) if owns => Some(Step::Revoke),
            (true, false, _) => Some(Step::Join),
            (false, _, false) => {
                member.told = true;
                Some(Step::Assign(generation, member.assignment.clone()))
            }
            _ => None,
        }
    }

    /// The member owns nothing any more and waits for its part.
    pub(crate) fn join(&mut self, id: &str, partitions: &dyn Fn(&str) -> i32) {
        if let Some(member) = self.members.get_mut(id) {
            member.joined = self.rebalancing_since.is_some();
        }
        self.complete_if_all_joined(partitions);
    }

    /// The member goes; a static one only stays away, until it comes back or its session ends.
    pub(crate) fn leave(&mut self, id: &str, now: i64, partitions: &dyn Fn(&str) -> i32) {
        if self.members.get(id).is_some_and(|m| m.static_id.is_some()) {
            self.absent(id, now);
        } else {
            self.remove(id, now, partitions);
        }
    }

    /// Nobody acts for the member any more, but it did not say good-bye.
    pub(crate) fn absent(&mut self, id: &str, now: i64) {
        if let Some(member) = self.members.get_mut(id) {
            member.absent_since = Some(now);
        }
    }

    /// Removes a member at once.
    pub(crate) fn remove(&mut self, id: &str, now: i64, partitions: &dyn Fn(&str) -> i32) {
        if self.members.remove(id).is_some() {
            self.rebalance(now);
            self.complete_if_all_joined(partitions);
        }
    }

    /// Removes all members: their sessions are over.
    pub(crate) fn expire_all(&mut self) {
        self.members.clear();
        self.rebalancing_since = None;
        self.generation += 1;
    }

    /// Removes members that were away for too long or hold up a rebalance for too long. True if
    /// there were any.
    pub(crate) fn expire(
        &mut self,
        now: i64,
        limits: GroupLimits,
        partitions: &dyn Fn(&str) -> i32,
    ) -> bool {
        let held_up = self.rebalancing_since.is_some_and(|at| now - at >= limits.rebalance_ms);
        let before = self.members.len();
        self.members.retain(|_, member| {
            let away = member.absent_since.is_some_and(|at| now - at >= limits.session_ms);
            !away && (member.joined || !held_up)
        });
        let removed = self.members.len() != before;
        if removed {
            self.rebalance(now);
            self.complete_if_all_joined(partitions);
        }
        removed
    }

    /// How many members it has, those counted that are away and not given up yet.
    pub(crate) fn members(&self) -> usize {
        self.members.len()
    }

    /// A topic came into being, or went, or grew; those who read it share out anew. True if there
    /// are any.
    pub(crate) fn topic_changed(&mut self, topic: &str, now: i64) -> bool {
        let wanted = self.members.values().any(|m| m.topics.iter().any(|t| t == topic));
        if wanted {
            self.rebalance(now);
        }
        wanted
    }

    /// Whether the member may commit.
    pub(crate) fn check(&self, id: &str, generation: i32) -> Result<()> {
        let reason = if self.replaced.contains(id) {
            "another member has this static identity now"
        } else if !self.members.contains_key(id) {
            "the member is not in the group any more"
        } else if generation != self.generation {
            "the generation of the member is over"
        } else {
            return Ok(());
        };
        Err(Error::Fenced { what: "committing offsets".to_owned(), reason: reason.to_owned() })
    }

    fn rebalance(&mut self, now: i64) {
        if self.rebalancing_since.is_none() {
            self.rebalancing_since = Some(now);
            for member in self.members.values_mut() {
                member.joined = false;
            }
        }
    }

    fn complete_if_all_joined(&mut self, partitions: &dyn Fn(&str) -> i32) {
        if self.rebalancing_since.is_none() || self.members.values().any(|m| !m.joined) {
            return;
        }
        self.rebalancing_since = None;
        self.generation += 1;
        for member in self.members.values_mut() {
            member.joined = false;
            member.told = false;
            member.assignment.clear();
        }
        self.share_out(partitions);
    }

    /// Kafka's `range`: per topic, its subscribers in order (static ones first, by their identity,
    /// then the others by id) get consecutive partitions; the first ones get the remainder.
    fn share_out(&mut self, partitions: &dyn Fn(&str) -> i32) {
        let mut order: Vec<(bool, String, String)> = self
            .members
            .iter()
            .map(|(id, m)| {
                let name = m.static_id.clone().unwrap_or_else(|| id.clone());
                (m.static_id.is_none(), name, id.clone())
            })
            .collect();
        order.sort();
        let topics: BTreeSet<String> =
            self.members.values().flat_map(|m| m.topics.iter().cloned()).collect();
        for topic in topics {
            let name: Arc<str> = Arc::from(topic.as_str());
            let takers: Vec<&String> = order
                .iter()
                .map(|(_, _, id)| id)
                .filter(|id| self.members.get(*id).is_some_and(|m| m.topics.contains(&topic)))
                .collect();
            let Ok(takers_len) = i32::try_from(takers.len()) else { continue };
            let (each, extra) = (partitions(&topic) / takers_len, partitions(&topic) % takers_len);
            let mut next = 0;
            for (index, id) in (0..).zip(takers) {
                let end = next + each + i32::from(index < extra);
                let part = (next..end).map(|p| TopicPartition::new(Arc::clone(&name), p));
                if let Some(member) = self.members.get_mut(id) {
                    member.assignment.extend(part);
                }
                next = end;
            }
        }
    }
}

/// How long a group waits for its members, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupLimits {
    /// For one that is away.
    pub(crate) session_ms: i64,
    /// For one that does not join a rebalance.
    pub(crate) rebalance_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(group: &mut Group, ids: &[&str], count: i32) {
        for id in ids {
            group.join(id, &|_| count);
        }
    }

    fn shares(group: &mut Group, ids: &[&str]) -> Vec<Vec<i32>> {
        let mut all = Vec::new();
        for id in ids {
            let Some(Step::Assign(_, part)) = group.next_step(id, false) else {
                panic!("{id} is not assigned")
            };
            all.push(part.iter().map(|tp| tp.partition).collect());
        }
        all
    }

    #[test]
    fn range_gives_the_remainder_to_the_first_members_by_id() {
        let mut group = Group::default();
        for id in ["c", "a", "b"] {
            group.add(id, None, &["t".to_owned()], 0);
        }
        joined(&mut group, &["a", "b", "c"], 5);
        assert_eq!(shares(&mut group, &["a", "b", "c"]), [vec![0, 1], vec![2, 3], vec![4]]);
    }

    #[test]
    fn a_static_member_that_comes_back_keeps_its_part_and_fences_its_former_self() {
        let mut group = Group::default();
        group.add("x1", Some("x"), &["t".to_owned()], 0);
        joined(&mut group, &["x1"], 2);
        assert_eq!(shares(&mut group, &["x1"]), [vec![0, 1]]);
        group.leave("x1", 0, &|_| 2);
        group.add("x2", Some("x"), &["t".to_owned()], 1);
        assert_eq!(shares(&mut group, &["x2"]), [vec![0, 1]]);
        assert_eq!(group.next_step("x1", true), Some(Step::Replaced));
        assert!(group.check("x1", 1).is_err());
        assert!(group.check("x2", 1).is_ok());
    }

    #[test]
    fn a_member_that_stays_away_is_removed_after_its_session() {
        let mut group = Group::default();
        let limits = GroupLimits { session_ms: 10, rebalance_ms: 100 };
        group.add("a", None, &["t".to_owned()], 0);
        group.add("b", None, &["t".to_owned()], 0);
        joined(&mut group, &["a", "b"], 2);
        group.absent("b", 5);
        assert!(!group.expire(14, limits, &|_| 2));
        assert!(group.expire(15, limits, &|_| 2));
        assert_eq!(group.next_step("a", true), Some(Step::Revoke));
        joined(&mut group, &["a"], 2);
        assert_eq!(shares(&mut group, &["a"]), [vec![0, 1]]);
    }

    #[test]
    fn a_member_that_holds_up_a_rebalance_is_removed() {
        let mut group = Group::default();
        let limits = GroupLimits { session_ms: 10, rebalance_ms: 100 };
        group.add("a", None, &["t".to_owned()], 0);
        joined(&mut group, &["a"], 2);
        group.add("b", None, &["t".to_owned()], 50);
        joined(&mut group, &["b"], 2);
        assert_eq!(group.next_step("b", false), None);
        assert!(group.expire(150, limits, &|_| 2));
        assert_eq!(shares(&mut group, &["b"]), [vec![0, 1]]);
        assert_eq!(group.next_step("a", true), Some(Step::Lost));
    }
}
