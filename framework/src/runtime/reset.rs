//! Makes an application begin from the start: its internal topics, the positions of its group and
//! its local state are deleted together, since each alone would make the others wrong.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::StreamsConfig;
use crate::error::{Error, Result};
use crate::log::{Committed, Isolation, Log, TopicDescription};
use crate::record::TopicPartition;
use crate::runtime::group::subscription::Subscription;
use crate::runtime::state_dir::StateDir;
use crate::topology::Topology;

/// Where the application begins to read after a reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetOffsets {
    /// No positions are left: each source begins where its [`Reset`](crate::Reset) says.
    #[default]
    Delete,
    /// All sources begin at the first record that is still there.
    Earliest,
}

/// What a reset would do. Nothing happens until [`ResetPlan::execute`]; printed, it says what.
///
/// Deleted are the internal topics of the topology as it is now (repartition topics and changelogs;
/// those of stores that were renamed stay), the committed positions of the group, and the state in
/// `state_dir` of this machine. Topics of sources and sinks are left alone: what was written to a
/// sink stays there, and is written again. **Every machine that ran an instance must do this**, since
/// each has state of its own; the second finds only that.
///
/// ```no_run
/// # fn reset(topology: &millstream::Topology, config: &millstream::StreamsConfig) -> millstream::Result<()> {
/// use millstream::{ResetOffsets, ResetPlan};
///
/// let plan = ResetPlan::new(config.connect()?, topology, config, ResetOffsets::Delete)?;
/// println!("{plan}");
/// plan.execute()
/// # }
/// ```
#[derive(Debug)]
pub struct ResetPlan {
    log: Arc<dyn Log>,
    application_id: String,
    state_dir: PathBuf,
    members: usize,
    topics: Vec<TopicDescription>,
    committed: Vec<(TopicPartition, i64)>,
    earliest: Vec<(TopicPartition, Committed)>,
    tasks: Vec<PathBuf>,
}

impl ResetPlan {
    /// Looks at what there is; changes nothing.
    ///
    /// # Errors
    /// `Unavailable`, also while a position is part of an open transaction; `Config` if the state
    /// directory cannot be read.
    pub fn new(
        log: Arc<dyn Log>,
        topology: &Topology,
        config: &StreamsConfig,
        offsets: ResetOffsets,
    ) -> Result<Self> {
        let application_id = config.application_id.clone();
        let (internal, given) = topics(&*log, topology, &application_id)?;
        let partitions: Vec<TopicPartition> =
            internal.iter().chain(&given).flat_map(partitions_of).collect();
        let found = log.committed(&application_id, &partitions)?;
        let committed = partitions.into_iter().zip(found);
        let mut earliest = Vec::new();
        if offsets == ResetOffsets::Earliest {
            for partition in given.iter().flat_map(partitions_of) {
                let offset = log.offsets(&partition, Isolation::ReadUncommitted)?.earliest;
                earliest.push((partition, Committed { offset, metadata: String::new() }));
            }
        }
        Ok(Self {
            members: log.group_members(&application_id)?,
            topics: internal,
            committed: committed.filter_map(|(of, at)| Some((of, at?.offset))).collect(),
            earliest,
            tasks: StateDir::tasks_in(&config.state_dir, &application_id)?,
            state_dir: config.state_dir.clone(),
            application_id,
            log,
        })
    }

    /// Does it. If it fails half way it must be done again before the application is started.
    ///
    /// # Errors
    /// `GroupInUse` while the group has members and `StateLocked` while an instance runs on the state
    /// directory, both before anything is changed; what the broker or the file system refuse.
    pub fn execute(&self) -> Result<()> {
        if self.log.group_members(&self.application_id)? > 0 {
            return Err(Error::GroupInUse { group: self.application_id.clone() });
        }
        let exists = self.state_dir.join(&self.application_id).exists();
        let state =
            exists.then(|| StateDir::open(&self.state_dir, &self.application_id)).transpose()?;
        // First, because the broker refuses it for a group that somebody has joined just now.
        self.log.delete_group(&self.application_id)?;
        let topics: Vec<&str> = self.topics.iter().map(|topic| topic.name.as_str()).collect();
        self.log.delete_topics(&topics)?;
        self.log.set_offsets(&self.application_id, &self.earliest)?;
        state.map_or(Ok(()), |state| state.delete_tasks())
    }
}

/// The internal topics and the source topics that exist.
fn topics(
    log: &dyn Log,
    topology: &Topology,
    application_id: &str,
) -> Result<(Vec<TopicDescription>, Vec<TopicDescription>)> {
    let existing = |names: &[String]| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok::<Vec<_>, Error>(log.describe(&names)?.into_iter().flatten().collect())
    };
    let subscription = Subscription::of_now(log, topology, application_id)?;
    let sources = subscription.subs.iter().flat_map(|sub| &sub.sources);
    let given = sources.filter(|s| !s.internal).filter_map(|s| s.in_log(application_id));
    let given: Vec<String> = given.map(|topic| topic.to_string()).collect();
    Ok((existing(&topology.internal_topics(application_id))?, existing(&given)?))
}

fn partitions_of(topic: &TopicDescription) -> impl Iterator<Item = TopicPartition> {
    let name: Arc<str> = Arc::from(topic.name.as_str());
    (0..topic.partitions).map(move |partition| TopicPartition::new(Arc::clone(&name), partition))
}

impl fmt::Display for ResetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "reset of application {}:", self.application_id)?;
        if self.members > 0 {
            let members = self.members;
            writeln!(f, "  refused as long as its group has members (now {members})")?;
        }
        for topic in &self.topics {
            writeln!(f, "  delete topic {} ({} partitions)", topic.name, topic.partitions)?;
        }
        for (partition, offset) in &self.committed {
            writeln!(f, "  delete the committed position {offset} of {partition}")?;
        }
        for (partition, committed) in &self.earliest {
            writeln!(f, "  begin at {} of {partition}", committed.offset)?;
        }
        for task in &self.tasks {
            writeln!(f, "  delete local state {}", task.display())?;
        }
        if self.topics.is_empty() && self.committed.is_empty() && self.tasks.is_empty() {
            writeln!(f, "  there is nothing of it")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::memory::MemoryLog;
    use crate::log::{GroupListener, GroupSpec, NewTopic, PartitionQueue};
    use crate::topology::StreamsBuilder;
    use std::time::Duration;

    fn counts() -> Topology {
        let builder = StreamsBuilder::new();
        builder
            .stream::<String, String>("in")
            .group_by(|_, value| value.clone())
            .count("counts")
            .updates()
            .to("out");
        builder.build().unwrap()
    }

    fn new_topic(name: &str) -> NewTopic {
        let (name, config) = (name.to_owned(), Vec::new());
        NewTopic { name, partitions: 2, replication_factor: 1, config }
    }

    /// The topics of an application that ran, and one of another whose name begins alike.
    const TOPICS: [&str; 5] =
        ["in", "out", "app-counts-repartition", "app-counts-changelog", "app-two-counts-changelog"];

    struct Bench {
        dir: tempfile::TempDir,
        memory: MemoryLog,
        log: Arc<dyn Log>,
        config: StreamsConfig,
    }

    impl Bench {
        /// As an application leaves it that has read some records.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let memory = MemoryLog::new();
            memory.create(&TOPICS.map(new_topic)).unwrap();
            let at = |partition| {
                let committed = Committed { offset: 5, metadata: String::new() };
                (TopicPartition::new("in", partition), committed)
            };
            memory.set_offsets("app", &[at(0), at(1)]).unwrap();
            memory.set_offsets("app-two", &[at(0)]).unwrap();
            for part in ["app/0_0", "app/1_1", "app/global/names", "app/kept", "app-two/0_0"] {
                std::fs::create_dir_all(dir.path().join(part)).unwrap();
            }
            let config = StreamsConfig::new("app").state_dir(dir.path());
            let log: Arc<dyn Log> = Arc::new(memory.clone());
            Self { dir, memory, log, config }
        }

        fn plan(&self, offsets: ResetOffsets) -> ResetPlan {
            ResetPlan::new(Arc::clone(&self.log), &counts(), &self.config, offsets).unwrap()
        }

        fn is_there(&self, path: &str) -> bool {
            self.dir.path().join(path).exists()
        }
    }

    /// A member that takes what it gets.
    struct Idle;

    impl GroupListener for Idle {
        fn start_offsets(&mut self, added: &[TopicPartition]) -> crate::error::Result<Vec<i64>> {
            Ok(vec![0; added.len()])
        }
        fn assigned(&mut self, _: Vec<(TopicPartition, Box<dyn PartitionQueue>)>) {}
        fn revoked(&mut self, _: &[TopicPartition]) {}
        fn lost(&mut self, _: &[TopicPartition]) {}
    }

    #[test]
    fn a_plan_says_everything_and_does_nothing() {
        let bench = Bench::new();
        let text = bench.plan(ResetOffsets::Delete).to_string();
        let state = bench.dir.path().display();
        let wanted = format!(
            "reset of application app:\n  delete topic app-counts-repartition (2 partitions)\n  delete topic app-counts-changelog (2 partitions)\n  delete the committed position 5 of in-0\n  delete the committed position 5 of in-1\n  delete local state {state}/app/0_0\n  delete local state {state}/app/1_1\n  delete local state {state}/app/global\n"
        );
        assert_eq!(text, wanted);
        assert_eq!(bench.memory.topic_names().len(), TOPICS.len());
        assert_eq!(bench.memory.group_offsets("app").len(), 2);
        assert!(bench.is_there("app/0_0"));
    }

    #[test]
    fn a_reset_takes_what_is_the_applications_and_nothing_else() {
        let bench = Bench::new();
        bench.plan(ResetOffsets::Delete).execute().unwrap();
        assert_eq!(bench.memory.topic_names(), ["app-two-counts-changelog", "in", "out"]);
        assert_eq!(bench.memory.group_offsets("app"), []);
        assert_eq!(bench.memory.group_offsets("app-two").len(), 1);
        let there = ["app/0_0", "app/1_1", "app/global", "app/kept", "app-two/0_0"]
            .map(|path| bench.is_there(path));
        assert_eq!(there, [false, false, false, true, true]);
        let text = bench.plan(ResetOffsets::Delete).to_string();
        assert!(text.contains("there is nothing of it"), "{text}");
        bench.plan(ResetOffsets::Delete).execute().unwrap();
    }

    #[test]
    fn sources_begin_at_the_first_record_that_is_there_if_wanted() {
        let bench = Bench::new();
        let from = TopicPartition::new("in", 1);
        for _ in 0..3 {
            bench.memory.append(&from, None, None, 1, &crate::record::Headers::default()).unwrap();
        }
        bench.memory.delete_records(&[(from.clone(), 2)]).unwrap();
        bench.plan(ResetOffsets::Earliest).execute().unwrap();
        let left = bench.memory.group_offsets("app").into_iter();
        let left: Vec<(String, i64)> = left.map(|(of, c)| (of.to_string(), c.offset)).collect();
        assert_eq!(left, [("in-0".to_owned(), 0), ("in-1".to_owned(), 2)]);
    }

    #[test]
    fn a_reset_is_refused_while_somebody_is_in_the_group() {
        let bench = Bench::new();
        let spec = GroupSpec {
            group: "app".to_owned(),
            topics: vec!["in".to_owned()],
            isolation: Isolation::ReadCommitted,
            static_member: None,
            prefetch_bytes_max: 1 << 20,
        };
        let mut membership = bench.log.join(&spec).unwrap();
        membership.poll(Duration::ZERO, &mut Idle).unwrap();
        let plan = bench.plan(ResetOffsets::Delete);
        assert!(plan.to_string().contains("has members (now 1)"), "{plan}");
        let error = plan.execute().unwrap_err().to_string();
        for part in ["group app has members", "stop all instances"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(bench.memory.topic_names().len(), TOPICS.len());
        assert!(bench.is_there("app/0_0"));
        membership.leave(&mut Idle).unwrap();
        plan.execute().unwrap();
    }

    #[test]
    fn a_reset_is_refused_while_an_instance_has_the_state_directory() {
        let bench = Bench::new();
        let held = StateDir::open(bench.dir.path(), "app").unwrap();
        let refused = bench.plan(ResetOffsets::Delete).execute();
        assert!(matches!(refused, Err(Error::StateLocked { .. })), "{refused:?}");
        assert_eq!(bench.memory.group_offsets("app").len(), 2);
        drop(held);
        bench.plan(ResetOffsets::Delete).execute().unwrap();
    }
}
