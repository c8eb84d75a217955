//! What is noted with the committed offsets.

use super::*;
use crate::time::JoinWindows;

/// `offset.metadata.max.bytes` of a broker: what is larger is refused, and with it each commit.
const NOTED_MAX: usize = 4_096;

#[test]
fn what_twenty_joins_note_fits_into_a_commit() {
    let builder = StreamsBuilder::new();
    let (left, right) = (builder.stream::<String, String>("in"), builder.stream("right"));
    for number in 0..20 {
        let within = JoinWindows::within(Duration::from_secs(1)).no_grace();
        let name = format!("orders-with-payments-of-the-last-hour-{number:02}");
        let joined = left.left_join(&*name, &right, within, |_, _: Option<&String>| 1_i64);
        joined.for_each(|_, _| {});
    }
    let dir = tempfile::tempdir().unwrap();
    let log = log_with(&[("in", 1), ("right", 1)]);
    let config = config(&dir, ProcessingGuarantee::AtLeastOnce);
    let shared: Arc<dyn Log> = Arc::new(log.clone());
    let streams = Streams::with(builder.build().unwrap(), config).log(shared).start().unwrap();
    put(&log, 0, "a", "x");
    wait_until(|| committed(&log), |taken| *taken == 1);
    streams.close().unwrap();
    let noted = log.group_offsets("app").into_iter().map(|(_, it)| it.metadata.len()).max();
    assert!(noted.is_some_and(|noted| noted <= NOTED_MAX), "{noted:?} bytes");
}
