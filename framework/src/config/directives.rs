//! What may stand in `log_level`: a level, or directives as `tracing` knows them.
//!
//! `tracing` takes a word that is no level for the name of a target, so that a misspelt level
//! silences everything; here a target needs its level: `millstream=debug`.

use tracing_subscriber::EnvFilter;

use super::spelling::hint;

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Why these directives cannot be used, if so.
pub(super) fn fault(directives: &str) -> Option<String> {
    let mut any = false;
    for directive in parts(directives).filter(|it| !it.is_empty()) {
        any = true;
        let (spans, rest) = match directive.rfind(']') {
            Some(end) => directive.split_at(end + 1),
            None => ("", directive),
        };
        let level = match rest.rsplit_once('=') {
            Some((_, level)) => level,
            // Spans without a level: all of them.
            None if !spans.is_empty() && rest.is_empty() => continue,
            None => rest,
        };
        if !LEVELS.contains(&level.to_lowercase().as_str()) {
            let levels = LEVELS.join(", ");
            let hint = hint(level, LEVELS);
            return Some(format!(
                "\"{level}\" is no level ({levels}){hint}; for one target write TARGET=LEVEL"
            ));
        }
    }
    if !any {
        return Some(format!("expected one of {}", LEVELS.join(", ")));
    }
    EnvFilter::builder().parse(trimmed(directives)).err().map(|error| error.to_string())
}

/// The directives as `tracing` takes them: without spaces between.
pub(crate) fn trimmed(directives: &str) -> String {
    parts(directives).collect::<Vec<_>>().join(",")
}

/// The directives; `tracing` too separates them at every comma, whatever is around it.
fn parts(directives: &str) -> impl Iterator<Item = &str> {
    directives.split(',').map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_taken() {
        for fine in [
            "info",
            "WARN",
            "off",
            "info,millstream=debug",
            "warn, millstream::log=trace ,librdkafka=off",
            "info,[task{id=1}]=debug",
            "info,millstream[task]",
        ] {
            assert_eq!(fault(fine), None, "{fine}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_with_the_nearest() {
        for (bad, near) in [
            ("inof", "\"info\""),
            ("info,millstream=debgu", "\"debug\""),
            ("wran,millstream=debug", "\"warn\""),
            ("eror", "\"error\""),
            ("millstream[task]=trase", "\"trace\""),
        ] {
            let text = fault(bad).unwrap_or_else(|| panic!("{bad} is taken"));
            assert!(text.contains(&format!("did you mean {near}?")), "{bad}: {text}");
        }
        for bad in ["", " ", ",", "millstream", "info,millstream", "millstream=", "info=", "7"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
