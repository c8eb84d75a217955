//! When the result of a window is emitted.

/// When a windowed aggregation emits.
///
/// ```
/// use std::time::Duration;
/// use millstream::{Emit, TimeWindows};
/// # use millstream::{StreamsBuilder, testing::{TopologyDriver, text}};
///
/// # let builder = StreamsBuilder::new();
/// let second = TimeWindows::of(Duration::from_secs(1)).no_grace();
/// let windowed = builder.stream::<String, String>("in").group_by_key().windowed_by(second);
/// windowed.clone().emit(Emit::OnUpdate).count("each").updates().map(|w, n| (w.key, n)).to("each");
/// windowed.emit(Emit::OnWindowClose).count("once").updates().map(|w, n| (w.key, n)).to("once");
///
/// let mut driver = TopologyDriver::new(&builder.build()?)?;
/// for at in [100, 200, 1_000] {
///     driver.pipe("in", &text("k", "v", at))?;
/// }
/// assert_eq!(driver.read::<String, i64>("each")?.len(), 3);
/// assert_eq!(driver.read::<String, i64>("once")?.len(), 1);
/// # Ok::<(), millstream::BoxError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emit {
    /// At each change of a window.
    #[default]
    OnUpdate,
    /// Once, when the window is closed: a record of a later time has come, and the grace has
    /// passed. Without further records no window closes.
    OnWindowClose,
}
