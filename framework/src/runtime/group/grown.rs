//! Topics that got partitions while the instance runs.
//!
//! What keeps no state by key takes them in: its tasks are planned again from the new counts. What
//! keeps state refuses, since the same keys come through other partitions from then on, and neither
//! the state nor the changelog of a key would be where the key is.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::Log;
use crate::record::TopicPartition;
use crate::runtime::instance::Instance;
use crate::runtime::internal_topics;
use crate::topology::SubTopologyShape;

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
            let now = partitions(&*instance.log, topic)?;
            if now != *count {
                check(instance, shape, topic, (*count, now))?;
            }
        }
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

fn partitions(log: &dyn Log, topic: &Arc<str>) -> Result<i32> {
    let described = log.describe(&[&**topic])?.into_iter().next().flatten();
    let described = described.ok_or_else(|| Error::MissingTopic { topic: topic.to_string() })?;
    Ok(described.partitions)
}

fn check(
    instance: &Instance,
    shape: &SubTopologyShape,
    topic: &str,
    (before, now): (i32, i32),
) -> Result<()> {
    let subs = instance.topology.sub_topologies();
    let keeps_state = subs.iter().any(|sub| {
        let internal =
            sub.sources.iter().any(|s| s.internal && *s.in_log(&instance.application_id) == *topic);
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
