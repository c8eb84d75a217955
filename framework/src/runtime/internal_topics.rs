//! Internal topics: how many partitions each has, and that they exist with Java's names and
//! settings before anything runs.
//!
//! | topic | partitions | settings |
//! |---|---|---|
//! | repartition | as the user said, else the most of the topics above it, else of those it is co-partitioned with | `cleanup.policy=delete`, `retention.ms=-1`, `segment.bytes=52428800` |
//! | changelog | the most of the sources of its sub-topology | by kind of store |
//!
//! Both take records of any event time, whatever the broker's bounds are: an input that took a record
//! must not be held up by a topic of ours that refuses what came of it. They also take records as large
//! as a producer of ours sends.
//!
//! A topic that exists with another number of partitions is refused with both numbers: its records
//! are where another number put them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::{Log, NewTopic, RECORD_BYTES_MAX, SIZE_BOUND, TIME_BOUNDS};
use crate::runtime::assignment::SubTopologyShape;
use crate::runtime::instance::Settings;
use crate::store::changelog_topic;
use crate::topology::{SourcePlan, SubTopology, Topology};

/// Topics with their partition counts.
type Counts = BTreeMap<Arc<str>, i32>;

/// Looks at the user's topics, creates the internal ones that are missing, checks the others, and
/// says what the sub-topologies read.
///
/// # Errors
/// `Unavailable`; `MissingTopic` for a source topic, `Topic` for an internal one that does not fit.
pub(crate) fn prepare(
    log: &dyn Log,
    topology: &Topology,
    application_id: &str,
    settings: &Settings,
) -> Result<Vec<SubTopologyShape>> {
    let mut counts = user_topics(log, topology, application_id)?;
    count_repartition_topics(topology.sub_topologies(), application_id, &mut counts)?;
    let wanted = internal_topics(topology, application_id, settings, &counts);
    create_and_check(log, &wanted)?;
    let shape = |sub: &SubTopology| SubTopologyShape {
        id: sub.id,
        topics: sub
            .sources
            .iter()
            .map(|source| source.in_log(application_id))
            .filter_map(|topic| counts.get(&topic).map(|count| (topic, *count)))
            .collect(),
        copartitioned: !sub.copartitioned.is_empty(),
    };
    Ok(topology.sub_topologies().iter().map(shape).collect())
}

fn user_topics(log: &dyn Log, topology: &Topology, application_id: &str) -> Result<Counts> {
    let sources = topology.sub_topologies().iter().flat_map(|sub| &sub.sources);
    let topics: Vec<Arc<str>> =
        sources.filter(|source| !source.internal).map(|s| s.in_log(application_id)).collect();
    let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
    let described = log.describe(&names)?;
    let found = topics.iter().zip(described).map(|(topic, described)| match described {
        Some(described) => Ok((Arc::clone(topic), described.partitions)),
        None => Err(Error::MissingTopic { topic: topic.to_string() }),
    });
    found.collect()
}

/// Fills in the counts of repartition topics. One may depend on another, so this goes round until
/// nothing changes.
fn count_repartition_topics(
    subs: &[SubTopology],
    application_id: &str,
    counts: &mut Counts,
) -> Result<()> {
    let internal: Vec<&SourcePlan> =
        subs.iter().flat_map(|sub| &sub.sources).filter(|source| source.internal).collect();
    for source in &internal {
        if let Some(partitions) = source.partitions {
            counts.insert(source.in_log(application_id), partitions);
        }
    }
    loop {
        let before = counts.len();
        for source in &internal {
            let topic = source.in_log(application_id);
            if !counts.contains_key(&topic)
                && let Some(partitions) = derived_count(subs, &topic, application_id, counts)
            {
                counts.insert(topic, partitions);
            }
        }
        if counts.len() == before {
            break;
        }
    }
    match internal.iter().find(|s| !counts.contains_key(&s.in_log(application_id))) {
        None => Ok(()),
        Some(source) => Err(Error::Topic {
            topic: source.in_log(application_id).to_string(),
            reason: "nothing says how many partitions it has: give it a number".to_owned(),
        }),
    }
}

/// The count of a repartition topic, if what it depends on is known.
fn derived_count(
    subs: &[SubTopology],
    topic: &str,
    application_id: &str,
    counts: &Counts,
) -> Option<i32> {
    let known = |source: &SourcePlan| counts.get(&source.in_log(application_id)).copied();
    let together = subs.iter().flat_map(|sub| &sub.copartitioned);
    let mut others = together
        .filter(|group| group.iter().any(|source| &*source.in_log(application_id) == topic))
        .flatten();
    if let Some(count) = others.find_map(known) {
        return Some(count);
    }
    let writes = |sub: &&SubTopology| {
        sub.sinks.iter().any(|sink| sink.internal && &*sink.in_log(application_id) == topic)
    };
    let mut most = None;
    for source in subs.iter().filter(writes).flat_map(|sub| &sub.sources) {
        most = most.max(Some(known(source)?));
    }
    most
}

fn internal_topics(
    topology: &Topology,
    application_id: &str,
    settings: &Settings,
    counts: &Counts,
) -> Vec<NewTopic> {
    let replication_factor = settings.replication_factor;
    let mut wanted = Vec::new();
    for sub in topology.sub_topologies() {
        let mut most = 1;
        for source in &sub.sources {
            let name = source.in_log(application_id);
            let partitions = counts.get(&name).copied().unwrap_or(1);
            most = most.max(partitions);
            if source.internal {
                let config = repartition_config();
                wanted.push(NewTopic {
                    name: name.to_string(),
                    partitions,
                    replication_factor,
                    config,
                });
            }
        }
        for store in sub.stores.iter().filter_map(|index| topology.store(*index)) {
            if let Some(config) =
                store.changelog_config(settings.window_changelog_retention_extra_ms)
            {
                let name = changelog_topic(application_id, store.name());
                wanted.push(NewTopic { name, partitions: most, replication_factor, config });
            }
        }
    }
    wanted.iter_mut().for_each(|topic| take_any_record(&mut topic.config));
    wanted
}

/// Widens the bounds of timestamps and sizes that the user has not set.
fn take_any_record(config: &mut Vec<(String, String)>) {
    let times = TIME_BOUNDS.map(|bound| (bound, i64::MAX.to_string()));
    for (bound, widest) in times.into_iter().chain([(SIZE_BOUND, TOPIC_BYTES_MAX.to_string())]) {
        if config.iter().all(|(name, _)| name != bound) {
            config.push((bound.to_owned(), widest));
        }
    }
}

/// Brokers count the frame of a batch too, so this is more than a record of ours may have; hosted
/// ones allow no more.
const TOPIC_BYTES_MAX: usize = 8 << 20;
const _: () = assert!(TOPIC_BYTES_MAX > RECORD_BYTES_MAX);

fn repartition_config() -> Vec<(String, String)> {
    [
        ("cleanup.policy", "delete"),
        ("segment.bytes", "52428800"),
        ("retention.ms", "-1"),
        ("message.timestamp.type", "CreateTime"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

fn create_and_check(log: &dyn Log, wanted: &[NewTopic]) -> Result<()> {
    let names: Vec<&str> = wanted.iter().map(|topic| topic.name.as_str()).collect();
    let described = log.describe(&names)?;
    let both = wanted.iter().zip(&described);
    let missing: Vec<NewTopic> =
        both.filter(|(_, described)| described.is_none()).map(|(topic, _)| topic.clone()).collect();
    if !missing.is_empty() {
        for topic in &missing {
            tracing::info!(
                topic = topic.name,
                partitions = topic.partitions,
                "creating an internal topic"
            );
        }
        log.create(&missing)?;
    }
    for (topic, described) in wanted.iter().zip(log.describe(&names)?) {
        match described {
            Some(described) if described.partitions == topic.partitions => {}
            Some(described) => {
                return Err(Error::Topic {
                    topic: topic.name.clone(),
                    reason: format!(
                        "exists with {} partitions, but the topology needs {}: reset the application or give the store or repartition another name",
                        described.partitions, topic.partitions
                    ),
                });
            }
            None => {
                return Err(Error::Unavailable {
                    what: format!("creating topic {}", topic.name),
                    reason: "the broker does not show it yet".to_owned(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_event_time_and_no_size_of_ours_is_refused_unless_the_user_says_so() {
        let ever = i64::MAX.to_string();
        let mut config = vec![("max.message.bytes".to_owned(), "5000".to_owned())];
        take_any_record(&mut config);
        let found: Vec<(&str, &str)> =
            config.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let wanted = [
            ("max.message.bytes", "5000"),
            ("message.timestamp.before.max.ms", ever.as_str()),
            ("message.timestamp.after.max.ms", ever.as_str()),
        ];
        assert_eq!(found, wanted);
        let mut config = Vec::new();
        take_any_record(&mut config);
        assert_eq!(config[2], ("max.message.bytes".to_owned(), "8388608".to_owned()));
    }
}
