//! What a program says to the person who started it.

use std::io::Write as _;

/// A line on the standard output. A closed one ends nobody's work.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
