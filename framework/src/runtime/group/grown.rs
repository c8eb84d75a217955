//! Topics that got partitions while the instance runs.
//!
//! What keeps no state by key takes them in: its tasks are planned again from the new counts. What
//! keeps state refuses, since the same keys come through other partitions from then on, and neither
//! the state nor the changelog of a key would be where the key is.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::record::TopicPartition;
use crate::runtime::group::subscription::Subscription;
use crate::runtime::instance::Instance;
use crate::runtime::internal_topics;
use crate::topology::{SubTopology, SubTopologyShape};

/// The shapes of all sub-topologies with the counts of now, given those of the start and what the
/// group has assigned.
///
/// # Errors
/// `Topic` with the counts if one cannot take the new partitions in; `Unavailable` while the broker
/// that was asked does not know of them yet.
pub(crate) fn shapes(
    instance: &Instance,
    before: &[SubTopologyShape],
    assigned: &[TopicPartition],
) -> Result<Vec<SubTopologyShape>> {
    for shape in before {
        for (topic, count) in &shape.topics {
            let Some(now) = partitions(instance, topic)? else { continue };
            if now != *count {
                check(instance, shape, topic, (*count, now))?;
            }
        }
    }
    let log = &*instance.log;
    let now = Subscription::of_now(log, &instance.topology, &instance.application_id)?;
    for (before, now) in before.iter().zip(&now.subs) {
        check_new(instance, before, now)?;
    }
    let shapes = internal_topics::prepare(
        &*instance.log,
        &instance.topology,
        &instance.application_id,
        &instance.settings,
    )?;
    let known = |partition: &&TopicPartition| {
        shapes.iter().flat_map(|shape| &shape.topics).any(|(topic, count)| {
            *topic == partition.topic && (0..*count).contains(&partition.partition)
        })
    };
    match assigned.iter().find(|partition| !known(partition)) {
        None => Ok(shapes),
        Some(partition) => Err(Error::Unavailable {
            what: format!("the partitions of topic {}", partition.topic),
            reason: format!("{partition} is assigned, but the broker does not describe it yet"),
        }),
    }
}

/// None if it is gone, and only matched a pattern.
fn partitions(instance: &Instance, topic: &Arc<str>) -> Result<Option<i32>> {
    let described = instance.log.describe(&[&**topic])?.into_iter().next().flatten();
    let mut patterns = instance.topology.sub_topologies().iter().flat_map(SubTopology::patterns);
    match described {
        Some(described) => Ok(Some(described.partitions)),
        None if patterns.any(|pattern| pattern.matches(topic)) => Ok(None),
        None => Err(Error::MissingTopic { topic: topic.to_string() }),
    }
}

/// Topics that a pattern matches since, where state is kept: the changelogs have as many partitions as the largest
/// topic had before.
fn check_new(instance: &Instance, before: &SubTopologyShape, now: &SubTopology) -> Result<()> {
    let largest = before.topics.iter().max_by_key(|(_, count)| *count);
    let Some((largest, most)) = largest.filter(|_| now.keeps_patterns) else { return Ok(()) };
    let topics = now.sources.iter().filter_map(|source| source.in_log(&instance.application_id));
    for topic in topics.filter(|topic| before.topics.iter().all(|(known, _)| known != topic)) {
        let count = partitions(instance, &topic)?.unwrap_or(0);
        if count > *most {
            return Err(Error::Topic {
                topic: topic.to_string(),
                reason: format!(
                    "it matches a pattern and has {count} partitions, but sub-topology {} keeps state for the {most} of {largest}: make the topic anew with {most} partitions or fewer, or give the application another id, with which it begins anew with {count}",
                    now.id
                ),
            });
        }
    }
    Ok(())
}

fn check(
    instance: &Instance,
    shape: &SubTopologyShape,
    topic: &str,
    (before, now): (i32, i32),
) -> Result<()> {
    let subs = instance.topology.sub_topologies();
    let keeps_state = subs.iter().any(|sub| {
        let internal = sub.sources.iter().filter(|s| s.internal).any(|s| {
            s.in_log(&instance.application_id).is_some_and(|internal| *internal == *topic)
        });
        sub.id == shape.id && (!sub.stores.is_empty() || !sub.copartitioned.is_empty() || internal)
    });
    if !keeps_state {
        return Ok(());
    }
    Err(Error::Topic {
        topic: topic.to_owned(),
        reason: format!(
            "it has {now} partitions now and had {before} when this application started, but sub-topology {} keeps what belongs to a key where {before} partitions put it: stop all instances, then either make the topic anew with {before} partitions, or give the application another id, with which it begins anew with {now}",
            shape.id
        ),
    })
}
