//! Windows of any kind, as one type.

use std::sync::Arc;

use crate::record::Timestamp;
use crate::time::{WindowStarts, Windows};

/// Windows whose type is not known where they are used.
#[derive(Clone)]
pub(crate) struct AnyWindows {
    starts: Arc<dyn Fn(Timestamp) -> WindowStarts + Send + Sync>,
    size_ms: i64,
    grace_ms: i64,
}

impl AnyWindows {
    pub(crate) fn of<W: Windows>(windows: &W) -> Self {
        let (size_ms, grace_ms, of) = (windows.size_ms(), windows.grace_ms(), windows.clone());
        Self { starts: Arc::new(move |at| of.windows_for(at)), size_ms, grace_ms }
    }
}

impl Windows for AnyWindows {
    fn windows_for(&self, at: Timestamp) -> WindowStarts {
        (self.starts)(at)
    }

    fn size_ms(&self) -> i64 {
        self.size_ms
    }

    fn grace_ms(&self) -> i64 {
        self.grace_ms
    }
}
