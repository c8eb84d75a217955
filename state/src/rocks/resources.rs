//! What all tasks of a process share, and the options that keep their databases within it.

use crate::error::{Error, Result};
use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, Env, LogLevel, Options, WriteBufferManager,
};

/// One block cache, one manager of write buffers and one pool of background threads for the stores
/// of all tasks of a process, sized by one number. A clone shares them.
#[derive(Clone)]
pub struct SharedResources {
    cache: Cache,
    write_buffers: WriteBufferManager,
    env: Env,
    write_buffer_bytes: usize,
}

/// Below this the write buffers of a few dozen stores would be flushed at every commit.
const BYTES_MIN: usize = 8 << 20;
/// A larger buffer of one store only makes its flush longer.
const WRITE_BUFFER_MAX: usize = 16 << 20;
/// The buffer of an idle store takes one arena block: with hundreds of stores this is what counts.
const ARENA_BLOCK: usize = 16 << 10;
/// How much log is replayed at worst when a task is opened after a kill.
const WAL_MAX: u64 = 32 << 20;
/// Files are the unit in which expired segments give their space back at once.
const FILE_SIZE: u64 = 16 << 20;
/// Bounds the file handles of one task; a task beyond it opens files as it needs them.
const OPEN_FILES_MAX: i32 = 128;
/// Compactions and flushes of all tasks: the threads that process records are worth more.
const BACKGROUND_THREADS: i32 = 2;

impl SharedResources {
    /// Resources that keep the memory of all stores near `bytes`: a third of it for write buffers,
    /// which are charged to the block cache, the rest for blocks, indexes and filters. Less than
    /// 8 MiB counts as 8 MiB. An idle task of three stores keeps some 70 KiB of write buffers: give
    /// at least a MiB for every task, or buffers are flushed while they are nearly empty.
    ///
    /// # Errors
    /// RocksDB cannot make its environment.
    pub fn new(bytes: usize) -> Result<Self> {
        let bytes = bytes.max(BYTES_MIN);
        let write_buffer_bytes = bytes / 3;
        let cache = Cache::new_lru_cache(bytes);
        // RocksDB's own stalling waits until the sum is low again, which idle tasks may keep high for
        // ever; a writer here waits for its own flush only, see `is_over_limit`.
        let write_buffers = WriteBufferManager::new_write_buffer_manager_with_cache(
            write_buffer_bytes,
            false,
            cache.clone(),
        );
        let mut env = Env::new().map_err(|error| Error::Store {
            store: "shared resources".to_owned(),
            reason: error.into_string(),
        })?;
        env.set_background_threads(BACKGROUND_THREADS);
        env.set_high_priority_background_threads(1);
        Ok(Self { cache, write_buffers, env, write_buffer_bytes })
    }

    /// How much the block cache holds now, write buffers included.
    #[must_use]
    pub fn cache_bytes(&self) -> usize {
        self.cache.get_usage()
    }

    /// How much the write buffers of all stores hold now.
    #[must_use]
    pub fn write_buffer_bytes(&self) -> usize {
        self.write_buffers.get_usage()
    }

    /// Whether flushes fall so far behind that a writer has to wait for its own. The half above the
    /// limit is for buffers that are being flushed.
    pub(super) fn is_over_limit(&self) -> bool {
        self.write_buffers.get_usage() > self.write_buffer_bytes / 2 * 3
    }

    /// Less than this in a task's buffers is not worth waiting for: others hold the memory.
    pub(super) fn worth_a_flush(&self) -> u64 {
        (self.write_buffer_bytes / 16) as u64
    }

    /// The options of a task's database and of each of its column families.
    pub(super) fn options(&self) -> Options {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_env(&self.env);
        options.set_max_background_jobs(BACKGROUND_THREADS + 1);
        options.set_write_buffer_manager(&self.write_buffers);
        options
            .set_write_buffer_size((self.write_buffer_bytes / 4).clamp(1 << 20, WRITE_BUFFER_MAX));
        options.set_arena_block_size(ARENA_BLOCK);
        options.set_max_total_wal_size(WAL_MAX);
        options.set_max_open_files(OPEN_FILES_MAX);
        // One thread opens the few files of a task; sixteen are started otherwise.
        options.set_max_file_opening_threads(1);
        options.set_target_file_size_base(FILE_SIZE);
        options.set_max_bytes_for_level_base(4 * FILE_SIZE);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_compression_type(DBCompressionType::Lz4);
        // What is flushed is read and written again soon, by the first compaction.
        options.set_compression_per_level(&[DBCompressionType::None, DBCompressionType::Lz4]);
        options.set_block_based_table_factory(&self.table());
        options.set_skip_stats_update_on_db_open(true);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(1 << 20);
        options.set_log_level(LogLevel::Warn);
        options
    }

    fn table(&self) -> BlockBasedOptions {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        // Indexes and filters count against the same memory; those of the newest files stay.
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_bloom_filter(10.0, false);
        table.set_whole_key_filtering(true);
        table
    }
}

impl std::fmt::Debug for SharedResources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedResources")
            .field("cache_bytes", &self.cache_bytes())
            .field("write_buffer_bytes", &self.write_buffer_bytes())
            .finish_non_exhaustive()
    }
}
