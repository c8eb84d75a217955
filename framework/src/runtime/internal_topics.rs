//! Internal topics: how many partitions each has, and that they exist with Java's names and
//! settings before anything runs.
//!
//! | topic | partitions | settings |
//! |---|---|---|
//! | repartition | see `partition_counts` | `cleanup.policy=delete`, `retention.ms=-1`, `segment.bytes=52428800` |
//! | changelog | the most of the sources of its sub-topology | by kind of store |
//!
//! Both take records of any event time, whatever the broker's bounds are: an input that took a record
//! must not be held up by a topic of ours that refuses what came of it. They also take records as large
//! as a producer of ours sends.
//!
//! A topic that exists with another number of partitions is refused with both numbers: its records
//! are where another number put them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::log::{Log, NewTopic, RECORD_BYTES_MAX, SIZE_BOUND, TIME_BOUNDS};
use crate::policy::OnError;
use crate::runtime::group::subscription::Subscription;
use crate::runtime::partition_counts::{Counts, count_repartition_topics};
use crate::runtime::settings::Settings;
use crate::runtime::task_plan::TaskPlan;
use crate::store::changelog_topic;
use crate::topology::{SubTopology, SubTopologyShape, Topology};

/// Looks at the user's topics and at the internal ones, and creates those that are missing once
/// everything that can be checked before has been found right; says what the sub-topologies read.
///
/// # Errors
/// `Unavailable`; `MissingTopic` for topics of the user, `Topic` for counts that do not fit the topology
/// and for an internal topic of another size.
pub(crate) fn prepare(
    log: &dyn Log,
    topology: &Topology,
    application_id: &str,
    settings: &Settings,
) -> Result<Vec<SubTopologyShape>> {
    let Subscription { subs, unmatched } = Subscription::of_now(log, topology, application_id)?;
    let mut counts = user_topics(log, (topology, &subs), application_id)?;
    let counted = count_repartition_topics(&subs, application_id, &mut counts);
    let shapes = shapes(&subs, application_id, &counts);
    let nothing = counted.is_err() || shapes.iter().all(|shape| shape.topics.is_empty());
    if let Some(pattern) = unmatched.first().filter(|_| nothing) {
        return Err(no_topic_matches(pattern));
    }
    counted?;
    TaskPlan::new(&shapes)?;
    let wanted = internal_topics((topology, &subs), application_id, settings, &counts);
    let missing = check(log, &wanted)?;
    if !missing.is_empty() {
        create(log, &missing)?;
        if let Some(topic) = check(log, &wanted)?.first() {
            return Err(Error::Unavailable {
                what: format!("creating topic {}", topic.name),
                reason: "the broker does not show it yet".to_owned(),
            });
        }
    }
    Ok(shapes)
}

/// What a pattern waits for that no topic matches: the one who creates it may come later, as in Kafka Streams.
fn no_topic_matches(pattern: &str) -> Error {
    let (what, reason) =
        (format!("a topic that matches {pattern}"), "there is none yet".to_owned());
    Error::Unavailable { what, reason }
}

fn shapes(subs: &[SubTopology], application_id: &str, counts: &Counts) -> Vec<SubTopologyShape> {
    let shape = |sub: &SubTopology| SubTopologyShape {
        id: sub.id,
        topics: sub
            .sources
            .iter()
            .filter_map(|source| source.in_log(application_id))
            .filter_map(|topic| counts.get(&topic).map(|count| (topic, *count)))
            .collect(),
        copartitioned: sub.copartitioned.iter().any(|group| group.len() > 1),
        whole: sub.keeps_patterns,
    };
    subs.iter().map(shape).collect()
}

fn user_topics(
    log: &dyn Log,
    (topology, subs): (&Topology, &[SubTopology]),
    application_id: &str,
) -> Result<Counts> {
    let all = subs.iter().chain(topology.global_tables());
    let sources = all.flat_map(|sub| &sub.sources);
    let topics: Vec<Arc<str>> = sources
        .filter(|source| !source.internal)
        .filter_map(|s| s.in_log(application_id))
        .collect();
    let names: Vec<&str> = topics.iter().map(|topic| &**topic).collect();
    let described = log.describe(&names)?;
    let (mut counts, mut missing) = (Counts::new(), Vec::new());
    for (topic, described) in topics.iter().zip(described) {
        match described {
            Some(described) => {
                counts.insert(Arc::clone(topic), described.partitions);
            }
            None => missing.push(&**topic),
        }
    }
    let written = written_topics(topology, application_id);
    let names: Vec<&str> = written.iter().map(|topic| &**topic).collect();
    let described = log.describe(&names)?;
    let absent = names.iter().zip(described).filter(|(_, described)| described.is_none());
    missing.extend(
        absent.map(|(name, _)| *name).filter(|name| topics.iter().all(|it| **it != **name)),
    );
    if missing.is_empty() {
        return Ok(counts);
    }
    Err(Error::MissingTopic { topic: missing.join(", ") })
}

/// The user's topics that are written: of sinks, and of dead letters, which would otherwise be missed
/// at the first bad record only.
fn written_topics(topology: &Topology, application_id: &str) -> BTreeSet<Arc<str>> {
    let sinks = topology.sub_topologies().iter().flat_map(|sub| &sub.sinks);
    let sinks = sinks.filter(|sink| !sink.internal).map(|sink| sink.in_log(application_id));
    let policies = topology.nodes().flat_map(|node| [&node.policy, &node.drops]);
    let letters = policies.filter_map(|policy| match policy {
        OnError::DeadLetter(topic) => Some(Arc::from(&**topic)),
        OnError::Fail | OnError::Skip => None,
    });
    sinks.chain(letters).collect()
}

fn internal_topics(
    (topology, subs): (&Topology, &[SubTopology]),
    application_id: &str,
    settings: &Settings,
    counts: &Counts,
) -> Vec<NewTopic> {
    let replication_factor = settings.replication_factor;
    let mut wanted = Vec::new();
    // One whose patterns match nothing yet: nobody knows how many partitions its state will have.
    for sub in subs.iter().filter(|sub| !sub.sources.is_empty()) {
        let mut most = 1;
        for source in &sub.sources {
            let Some(name) = source.in_log(application_id) else { continue };
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

/// The topics that are missing.
///
/// # Errors
/// `Topic` for the first that exists with another number of partitions.
fn check(log: &dyn Log, wanted: &[NewTopic]) -> Result<Vec<NewTopic>> {
    let names: Vec<&str> = wanted.iter().map(|topic| topic.name.as_str()).collect();
    let mut missing = Vec::new();
    for (topic, described) in wanted.iter().zip(log.describe(&names)?) {
        match described {
            None => missing.push(topic.clone()),
            Some(described) if described.partitions == topic.partitions => {}
            Some(described) => return Err(other_size(topic, described.partitions)),
        }
    }
    Ok(missing)
}

fn other_size(topic: &NewTopic, partitions: i32) -> Error {
    Error::Topic {
        topic: topic.name.clone(),
        reason: format!(
            "exists with {partitions} partitions, but the topology needs {} with the topics it reads as they are now: give those their former partition counts, or give the store or repartition another name, or stop all instances and reset the application (millstream::ResetPlan, or its subcommand `reset`), which begins from the start",
            topic.partitions
        ),
    }
}

fn create(log: &dyn Log, missing: &[NewTopic]) -> Result<()> {
    for topic in missing {
        let (name, partitions) = (&topic.name, topic.partitions);
        tracing::info!(topic = name, partitions, "creating an internal topic");
    }
    log.create(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StreamsConfig;
    use crate::log::memory::MemoryLog;
    use crate::operators::KStream;
    use crate::runtime::streams::settings;
    use crate::source::Consumed;
    use crate::store::Materialized;
    use crate::time::{JoinWindows, SessionWindows, Suppress, TimeWindows};
    use crate::topology::StreamsBuilder;
    use std::collections::BTreeMap;
    use std::time::Duration;

    fn log_with(topics: &[(&str, i32)]) -> MemoryLog {
        let log = MemoryLog::new();
        let new = |(name, partitions): &(&str, i32)| NewTopic {
            name: (*name).to_owned(),
            partitions: *partitions,
            replication_factor: 1,
            config: Vec::new(),
        };
        log.create(&topics.iter().map(new).collect::<Vec<_>>()).unwrap();
        log
    }

    fn prepared(log: &MemoryLog, topology: &Topology) -> Result<Vec<SubTopologyShape>> {
        prepare(log, topology, "app", &settings(&StreamsConfig::new("app")))
    }

    /// Two inputs that meet in a store, and a repartition with a store of its own.
    fn meeting() -> Topology {
        let builder = StreamsBuilder::new();
        let (left, right): (KStream<String, String>, KStream<String, String>) =
            (builder.stream("left"), builder.stream("right"));
        left.merge(&right).group_by_key().count("both").updates().to("out");
        right.group_by(|_, value| value.clone()).count("values").updates().to("out");
        builder.build().unwrap()
    }

    #[test]
    fn nothing_is_created_before_everything_was_found_right() {
        type Sizes<'a> = &'a [(&'a str, i32)];
        let cases: [(Sizes<'_>, &[&str]); 4] = [
            (&[("left", 2), ("out", 1)], &["topic right does not exist"]),
            (&[], &["left, right, out does not exist"]),
            (
                &[("left", 2), ("right", 3), ("out", 1)],
                &["left has 2", "right has 3", "same number"],
            ),
            (
                &[("left", 2), ("right", 2), ("out", 1), ("app-values-changelog", 3)],
                &["app-values-changelog", "3 partitions", "needs 2", "reset the application"],
            ),
        ];
        for (topics, parts) in cases {
            let log = log_with(topics);
            let text = prepared(&log, &meeting()).unwrap_err().to_string();
            for part in parts {
                assert!(text.contains(part), "{part} in {text}");
            }
            assert_eq!(log.topic_names().len(), topics.len(), "{:?}", log.topic_names());
        }
        let log = log_with(&[("left", 2), ("right", 2), ("out", 1)]);
        prepared(&log, &meeting()).unwrap();
        let made = ["app-both-changelog", "app-values-changelog", "app-values-repartition"];
        assert_eq!(log.topic_names(), [&made[..], &["left", "out", "right"]].concat());
        assert_eq!(meeting().internal_topics("app"), [made[0], made[2], made[1]]);
    }

    /// The first bad record would end the instance, long after the start.
    #[test]
    fn a_dead_letter_topic_that_is_missing_is_noticed_at_the_start() {
        let builder = StreamsBuilder::new();
        let lines = Consumed::from("lines").on_error(OnError::dead_letter("bad-lines"));
        builder.stream::<String, String>(lines).to("out");
        let topology = builder.build().unwrap();
        let log = log_with(&[("lines", 1), ("out", 1)]);
        let text = prepared(&log, &topology).unwrap_err().to_string();
        assert!(text.contains("topic bad-lines does not exist"), "{text}");
        prepared(&log_with(&[("lines", 1), ("out", 1), ("bad-lines", 1)]), &topology).unwrap();
    }

    #[test]
    fn topics_that_no_store_needs_alike_may_differ() {
        let builder = StreamsBuilder::new();
        let left = builder.stream::<String, String>("left");
        left.merge(&builder.stream("right")).to("out");
        left.group_by(|_, value| value.clone()).count("values").updates().to("out");
        let log = log_with(&[("left", 2), ("right", 5), ("out", 1)]);
        let shapes = prepared(&log, &builder.build().unwrap()).unwrap();
        let topics: Vec<(&str, i32)> =
            shapes.iter().flat_map(|s| &s.topics).map(|(topic, n)| (&**topic, *n)).collect();
        assert_eq!(topics, [("left", 2), ("right", 5), ("app-values-repartition", 5)]);
    }

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

    /// What is widened beyond that has a test of its own.
    #[test]
    fn each_kind_of_internal_topic_has_the_settings_of_kafka_streams() {
        let second = Duration::from_secs(1);
        let builder = StreamsBuilder::new();
        let (left, right): (KStream<String, String>, KStream<String, String>) =
            (builder.stream("left"), builder.stream("right"));
        left.group_by(|_, value| value.clone()).count("values");
        let grouped = left.group_by_key();
        let windows = TimeWindows::of(10 * second).grace(5 * second);
        let counts = grouped.windowed_by(windows).count("windows");
        let _ = counts.suppress("held", Suppress::until_window_closes());
        let sessions = SessionWindows::with_gap(10 * second).grace(5 * second);
        grouped.windowed_by(sessions).count("sessions");
        let within = JoinWindows::within(10 * second).grace(5 * second);
        left.left_join("pairs", &right, within, |left, _| left.clone()).to("out");
        let versions = Materialized::named("versions").versioned(3_600 * second);
        builder.table::<String, String>("prices", versions);
        let topology = builder.build().unwrap();
        let settings = settings(&StreamsConfig::new("app"));
        let made: BTreeMap<String, Vec<(String, String)>> = internal_topics(
            (&topology, topology.sub_topologies()),
            "app",
            &settings,
            &Counts::new(),
        )
        .into_iter()
        .map(|topic| (topic.name, topic.config))
        .collect();
        // Retention and history, and a day.
        let wanted: [(&str, &[(&str, &str)]); 9] = [
            ("held-store-changelog", &[("cleanup.policy", "compact")]),
            ("pairs-left-shared-join-store-changelog", &[("cleanup.policy", "compact")]),
            (
                "pairs-outer-other-join-store-changelog",
                &[("cleanup.policy", "delete"), ("retention.ms", "86425000")],
            ),
            (
                "pairs-this-join-store-changelog",
                &[("cleanup.policy", "delete"), ("retention.ms", "86425000")],
            ),
            (
                "sessions-changelog",
                &[("cleanup.policy", "compact,delete"), ("retention.ms", "86415000")],
            ),
            ("values-changelog", &[("cleanup.policy", "compact")]),
            (
                "values-repartition",
                &[
                    ("cleanup.policy", "delete"),
                    ("retention.ms", "-1"),
                    ("segment.bytes", "52428800"),
                ],
            ),
            (
                "versions-changelog",
                &[("cleanup.policy", "compact"), ("min.compaction.lag.ms", "90000000")],
            ),
            (
                "windows-changelog",
                &[("cleanup.policy", "compact,delete"), ("retention.ms", "86415000")],
            ),
        ];
        assert_eq!(made.len(), wanted.len(), "{made:?}");
        for ((name, config), (wanted_name, wanted)) in made.iter().zip(wanted) {
            assert_eq!(*name, format!("app-{wanted_name}"));
            let mut config: Vec<(&str, &str)> =
                config.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert!(config.contains(&("message.timestamp.type", "CreateTime")), "{name}");
            config.retain(|(name, _)| !name.starts_with("message.") && !name.starts_with("max."));
            config.sort_unstable();
            assert_eq!(config, wanted, "{name}");
        }
    }
}
