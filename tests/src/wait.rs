//! Waiting for a condition with a deadline: the suites never sleep for a guessed time.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How long a condition rests between two looks: short against what tests wait for, long enough to leave the CPU.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// Looks until `condition` gives a value, and returns it.
///
/// # Errors
/// Fails when `limit` has passed (the message names `what`) or when the condition itself fails.
pub fn until<T>(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() >= limit {
            bail!("waited {limit:?} in vain: {what}");
        }
        std::thread::park_timeout(BETWEEN_LOOKS);
    }
}

/// Looks until `condition` holds.
///
/// # Errors
/// As [`until`].
pub fn until_true(
    limit: Duration,
    what: &str,
    mut condition: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<()> {
    until(limit, what, || Ok(condition()?.then_some(())))
}

#[expect(clippy::disallowed_methods, reason = "a deadline on a real process is wall-clock time")]
/// The machine's monotonic clock: the suites measure real time.
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_as_soon_as_there_is_one() {
        let mut looks = 0;
        let value = until(Duration::from_secs(5), "third look", || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn names_what_it_waited_for() {
        let error = until_true(Duration::from_millis(1), "the moon", || Ok(false)).unwrap_err();
        assert!(error.to_string().ends_with("in vain: the moon"), "{error}");
    }
}
