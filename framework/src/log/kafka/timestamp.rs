//! Event times as librdkafka's producer takes them.

/// The client takes 0 for "now", so the first millisecond of 1970 cannot be sent; the second can.
pub(super) fn native_timestamp(timestamp: Option<i64>) -> i64 {
    match timestamp {
        Some(0) => 1,
        Some(timestamp) if timestamp > 0 => timestamp,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_the_client_would_replace_are_kept_near() {
        let all = [None, Some(-1), Some(0), Some(1), Some(1_700_000_000_000)];
        assert_eq!(all.map(native_timestamp), [0, 0, 1, 1, 1_700_000_000_000]);
    }
}
