//! What flows: records, their headers, windowed keys and the changes of tables; and where it comes from.

mod headers;
mod record;
mod change;
mod session;
mod windowed;
mod origin;
mod record_time;
mod refusal;

pub use change::Change;
pub use headers::{Header, Headers};
pub use origin::{RecordAt, RecordMetadata, TaskId, TopicPartition};
pub use record::{Data, Record, Shared, Timestamp};
pub(crate) use record_time::RecordTime;
pub use refusal::RefusalKind;
pub use session::Session;
pub use windowed::Windowed;
