//! An outlet into files: in place of a database, since a process that is killed leaves them whole.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use millstream::record::{Record, TopicPartition};
use millstream::{BoxError, Outlet, RecordMetadata};
use serde::{Deserialize, Serialize};

/// What is stored of one partition.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    next_offset: i64,
    values: Vec<String>,
}

/// A file for each partition, replaced as a whole at each flush.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    stored: BTreeMap<TopicPartition, Stored>,
}

impl Files {
    /// Files in this folder, which must be there.
    pub fn in_dir(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), stored: BTreeMap::new() }
    }

    /// The values of all partitions, sorted.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn values(dir: &Path) -> anyhow::Result<Vec<String>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                all.extend(serde_json::from_slice::<Stored>(&fs::read(path)?)?.values);
            }
        }
        all.sort();
        Ok(all)
    }

    fn path(&self, partition: &TopicPartition) -> PathBuf {
        self.dir.join(format!("{partition}.json"))
    }
}

impl Outlet<String, String> for Files {
    fn resume(&mut self, partition: &TopicPartition) -> Result<Option<i64>, BoxError> {
        let stored: Stored = match fs::read(self.path(partition)) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Stored::default(),
            Err(error) => return Err(error.into()),
        };
        let next = stored.next_offset;
        self.stored.insert(partition.clone(), stored);
        Ok(Some(next))
    }

    fn write(
        &mut self,
        record: Record<String, String>,
        from: Option<RecordMetadata<'_>>,
    ) -> Result<(), BoxError> {
        let from = from.context("a record comes from a topic")?;
        let partition = TopicPartition::new(from.topic, from.partition);
        let stored = self.stored.get_mut(&partition).context("a partition of the task")?;
        stored.values.push(record.value.trim().to_owned());
        Ok(())
    }

    fn flush(&mut self, positions: &[(TopicPartition, i64)]) -> Result<(), BoxError> {
        for (partition, next_offset) in positions {
            let Some(stored) = self.stored.get_mut(partition) else { continue };
            stored.next_offset = *next_offset;
            let bytes = serde_json::to_vec(stored)?;
            let path = self.path(partition);
            let new = path.with_extension("new");
            fs::write(&new, bytes)?;
            fs::rename(new, path)?;
        }
        Ok(())
    }
}
