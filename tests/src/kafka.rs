//! A real Kafka for the suites, driven through `deploy/kafka/kafka`: started, stopped, killed and started again on the
//! same port with the same data, which the tests of a vanished broker need.
//!
//! A broker of our own ends with its [`Broker`], and with the test process however that dies (the script watches it).

use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;

use crate::wait;

/// Where a broker from outside is, to use instead of one of our own: `host:port`.
pub const BOOTSTRAP_VARIABLE: &str = "MILLSTREAM_BOOTSTRAP";

/// The script that starts, stops and asks a local Kafka.
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kafka/kafka");

/// Two nodes share the memory that one has otherwise.
const NODE_HEAP: &str = "384m";

/// How long an answer of the broker may take: two busy cores make it slow, never this slow.
const ANSWER: Duration = Duration::from_secs(30);

/// A node of Kafka, the only one unless others joined it.
#[derive(Debug)]
pub struct Broker {
    bootstrap: String,
    /// None for a broker from outside, which we neither stop nor start.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    directory: TempDir,
    port: u16,
    /// Further options of its start.
    options: Vec<String>,
}

impl Broker {
    /// The broker that all tests of this process share, started by the first that asks; the one of
    /// [`BOOTSTRAP_VARIABLE`] where that is set. Tests that stop the broker take [`Broker::start`].
    ///
    /// # Errors
    /// Fails when Kafka does not start.
    pub fn shared() -> anyhow::Result<Arc<Self>> {
        static SHARED: Mutex<Option<Arc<Broker>>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(broker) = shared.as_ref() {
            return Ok(Arc::clone(broker));
        }
        let broker = Arc::new(match std::env::var(BOOTSTRAP_VARIABLE) {
            Ok(bootstrap) if !bootstrap.is_empty() => Self { bootstrap, own: None },
            _ => Self::start()?,
        });
        *shared = Some(Arc::clone(&broker));
        Ok(broker)
    }

    /// A broker of this test alone, running.
    ///
    /// # Errors
    /// Fails when Kafka does not start.
    pub fn start() -> anyhow::Result<Self> {
        let broker = Self::absent()?;
        broker.restart()?;
        Ok(broker)
    }

    /// A broker of this test alone with further settings, running. They win over those of
    /// `deploy/kafka/server.properties`, whose `@PORT@` and the like they may use.
    ///
    /// # Errors
    /// Fails when Kafka does not start.
    pub fn start_with(properties: &str) -> anyhow::Result<Self> {
        let options = properties.lines().flat_map(|line| ["--set", line]).map(str::to_owned);
        let broker = Self::with(options.collect())?;
        broker.restart()?;
        Ok(broker)
    }

    /// A broker of this test alone that does not run yet: its address is known, [`Broker::restart`] starts it.
    ///
    /// # Errors
    /// Fails when there is no directory or port for it.
    pub fn absent() -> anyhow::Result<Self> {
        Self::with(Vec::new())
    }

    /// A broker that others can join, as small as it can be, running. It has other settings (`key=value`) than
    /// `deploy/kafka/server.properties`; the topics of groups and of transactions are on it alone.
    ///
    /// # Errors
    /// Fails when Kafka does not start.
    pub fn start_first(settings: &[&str]) -> anyhow::Result<Self> {
        let mut options = vec!["--heap".to_owned(), NODE_HEAP.to_owned()];
        options.extend(settings.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
        let broker = Self::with(options)?;
        broker.restart()?;
        Ok(broker)
    }

    /// A second node of this one's cluster, running; topics are put on it by name only.
    ///
    /// # Errors
    /// Fails for a broker from outside, and when Kafka does not start.
    pub fn start_second(&self) -> anyhow::Result<Self> {
        let join = self.own()?.directory.path().display().to_string();
        let options = ["--heap", NODE_HEAP, "--node", "2", "--join", &join];
        let broker = Self::with(options.map(str::to_owned).to_vec())?;
        broker.restart()?;
        Ok(broker)
    }

    fn with(options: Vec<String>) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("millstream-kafka-").tempdir()?;
        let port = free_port()?;
        let own = Own { directory, port, options };
        Ok(Self { bootstrap: format!("127.0.0.1:{port}"), own: Some(own) })
    }

    /// Its address for `bootstrap.servers`.
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Stops it as an administrator would, and waits until it is gone.
    ///
    /// # Errors
    /// Fails for a broker from outside.
    pub fn stop(&self) -> anyhow::Result<()> {
        self.own()?.run("stop", &[]).map(drop)
    }

    /// Kills it (`kill -9`), and waits until it is gone.
    ///
    /// # Errors
    /// Fails for a broker from outside.
    pub fn kill(&self) -> anyhow::Result<()> {
        self.own()?.run("kill", &[]).map(drop)
    }

    /// Starts it again on the same port with the same data, and waits until it answers.
    ///
    /// # Errors
    /// Fails for a broker from outside, and when Kafka does not start.
    pub fn restart(&self) -> anyhow::Result<()> {
        let own = self.own()?;
        let (port, owner) = (own.port.to_string(), std::process::id().to_string());
        let mut options = vec!["--port", &port, "--owner", &owner, "--temporary", "yes"];
        options.extend(own.options.iter().map(String::as_str));
        own.run("start", &options).map(drop)
    }

    /// Lets it stand still: connections stay open, and nothing is answered. As on a machine out of memory, or a disk
    /// that hangs.
    ///
    /// # Errors
    /// Fails for a broker from outside, and when none runs.
    pub fn pause(&self) -> anyhow::Result<()> {
        self.own()?.signal("-STOP")
    }

    /// Lets it go on after [`Broker::pause`].
    ///
    /// # Errors
    /// Fails for a broker from outside, and when none runs.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.own()?.signal("-CONT")
    }

    /// Creates a topic whose records are never deleted by age, and waits until the broker serves it.
    ///
    /// # Errors
    /// Fails when the broker refuses or does not answer.
    pub fn create_topic(&self, name: &str, partitions: i32) -> anyhow::Result<()> {
        self.create_topic_with(name, partitions, &[])
    }

    /// As [`Broker::create_topic`], with further settings of the topic.
    ///
    /// # Errors
    /// Fails when the broker refuses or does not answer.
    pub fn create_topic_with(
        &self,
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        self.create(name, partitions, TopicReplication::Fixed(1), settings)
    }

    /// As [`Broker::create_topic_with`]; each partition is on these nodes, led by the first of them.
    ///
    /// # Errors
    /// Fails when the broker refuses or does not answer.
    pub fn create_topic_on(
        &self,
        nodes: &[i32],
        name: &str,
        partitions: i32,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let all = vec![nodes; usize::try_from(partitions)?];
        self.create(name, partitions, TopicReplication::Variable(&all), settings)
    }

    fn create(
        &self,
        name: &str,
        partitions: i32,
        copies: TopicReplication<'_>,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let nodes = match copies {
            TopicReplication::Variable(all) => all.first().map_or(0, |nodes| nodes.len()),
            TopicReplication::Fixed(count) => usize::try_from(count)?,
        };
        let admin = self.admin()?;
        let mut topic = NewTopic::new(name, partitions, copies);
        if settings.iter().all(|(key, _)| *key != "retention.ms") {
            topic = topic.set("retention.ms", "-1");
        }
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        let results = block_on(admin.create_topics(&[topic], &options))??;
        for result in results {
            result.map_err(|(topic, code)| anyhow::anyhow!("creating topic {topic}: {code}"))?;
        }
        wait::until_true(ANSWER, &format!("topic {name} has its leaders"), || {
            let metadata = admin.inner().fetch_metadata(Some(name), ANSWER)?;
            let wanted = usize::try_from(partitions)?;
            Ok(metadata.topics().iter().any(|topic| {
                topic.partitions().len() == wanted
                    && topic
                        .partitions()
                        .iter()
                        .all(|partition| partition.leader() >= 0 && partition.isr().len() == nodes)
            }))
        })
    }

    /// Gives a topic more partitions.
    ///
    /// # Errors
    /// Fails when the broker refuses or does not answer.
    pub fn add_partitions(&self, name: &str, partitions: usize) -> anyhow::Result<()> {
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        let wanted = [NewPartitions::new(name, partitions)];
        for result in block_on(self.admin()?.create_partitions(&wanted, &options))?? {
            result.map_err(|(topic, code)| anyhow::anyhow!("growing topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// Deletes a topic.
    ///
    /// # Errors
    /// Fails when the broker refuses or does not answer.
    pub fn delete_topic(&self, name: &str) -> anyhow::Result<()> {
        let options = AdminOptions::new().operation_timeout(Some(ANSWER));
        for result in block_on(self.admin()?.delete_topics(&[name], &options))?? {
            result.map_err(|(topic, code)| anyhow::anyhow!("deleting topic {topic}: {code}"))?;
        }
        Ok(())
    }

    /// A client for administration.
    ///
    /// # Errors
    /// Fails when librdkafka refuses the settings.
    pub fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }

    /// The settings every client of this broker starts from.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    fn own(&self) -> anyhow::Result<&Own> {
        self.own.as_ref().with_context(|| {
            format!("the broker at {} is not ours to stop or start", self.bootstrap)
        })
    }
}

impl Own {
    fn run(&self, verb: &str, more: &[&str]) -> anyhow::Result<String> {
        let directory: &Path = self.directory.path();
        let output =
            Command::new(SCRIPT).arg(verb).arg("--dir").arg(directory).args(more).output()?;
        if !output.status.success() {
            bail!("deploy/kafka/kafka {verb}: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        let line = self.run("status", &[])?;
        let mut words = line.split_whitespace();
        let pid = words.find_map(|word| word.strip_prefix("pid=")).context("no pid")?;
        let sent = Command::new("kill").args([signal, pid]).status()?;
        anyhow::ensure!(sent.success(), "kill {signal} {pid}: {sent}");
        Ok(())
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Nothing to do about a failure here: the script's watch on this process ends the broker anyway.
        let _ = self.run("kill", &[]);
    }
}

/// A name that no other test and no earlier run has used, for topics, groups and application ids.
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().hash_one((std::process::id(), number));
    format!("{prefix}-{:08x}-{number}", random >> 32)
}

/// A port below the range that the kernel hands out to outgoing connections, free at this moment.
///
/// # Errors
/// Fails when there is none.
pub fn free_port() -> anyhow::Result<u16> {
    for attempt in 0..200_u32 {
        let offset = RandomState::new().hash_one((std::process::id(), attempt)) % 12_000;
        let port = 20_000 + u16::try_from(offset)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port on 127.0.0.1 between 20000 and 32000")
}

fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_do_not_repeat() {
        let names: HashSet<String> = (0..1000).map(|_| unique("t")).collect();
        assert_eq!(names.len(), 1000);
    }
}
