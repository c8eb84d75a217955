//! The detector of numeric series: how unusual is this value, said at once and from what came before only.
//!
//! ```text
//!            ┌─ level ───┐                       how rare was as much
//!   value ───┼─ change ──┼─► how rare is it, ──► evidence ───────────► evidence ──► score, told
//!     │      └─ season ──┘   in decades              in this series                  once
//!     └──► day: what is usual at this time of day ─┘
//! ```
//!
//! Each value is looked at in nine ways: over a point, six and thirty-six of them; as it is, against
//! what was just before, and against what is usual at this time of day. Each way remembers its most
//! extreme values, and from them how rare another one would be, on both sides. The rarities of all
//! ways are added in decades; half of the result is how rare so much evidence is *in this series*,
//! so that a series that is wild by nature is measured by its own wildness.
//!
//! What it assumes of a series: that it is sampled more or less evenly. What it does not need to be
//! told: its range, its shape, its period within the day, how long it is.

mod tail;
mod day;
mod recent;
mod detector;
mod nab;

pub use detector::{Detector, Reading};
pub use nab::{Labelled, PROFILES, Profile, Scored, Span, Verdict, load, verdict};
