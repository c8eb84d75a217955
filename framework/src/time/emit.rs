//! When the result of a window is emitted.

/// When a windowed aggregation emits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Emit {
    /// At each change of a window.
    #[default]
    OnUpdate,
    /// Once, when the window is closed: a record of a later time has come, and the grace has
    /// passed. Without further records no window closes.
    OnWindowClose,
}
