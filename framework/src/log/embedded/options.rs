//! Settings of the embedded log.

/// Settings of the embedded log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Whether each flush and commit waits for the disk (fsync). Off: see [`super`].
    pub sync: bool,
    /// A transaction holds at most so many bytes in memory; what is more is written early. Larger
    /// takes more memory, per worker; smaller writes early more often, which makes the abort of
    /// a large transaction slower.
    pub transaction_bytes_max: usize,
    /// Memory for blocks that were read.
    pub cache_bytes: usize,
    /// Memory for what is not yet in files.
    pub write_buffer_bytes: usize,
}

impl Default for EmbeddedOptions {
    fn default() -> Self {
        Self {
            sync: false,
            transaction_bytes_max: 64 << 20,
            cache_bytes: 32 << 20,
            write_buffer_bytes: 64 << 20,
        }
    }
}
