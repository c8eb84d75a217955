//! The word that was probably meant.

use strsim::osa_distance;

/// `, did you mean "x"?` where one of the words is near.
pub(super) fn hint(found: &str, words: impl IntoIterator<Item = &'static str>) -> String {
    let spelled = found.replace(['.', '-'], "_").to_lowercase();
    let nearest = words.into_iter().map(|word| (osa_distance(&spelled, word), word)).min();
    match nearest {
        Some((far, word)) if far <= reach(word) => format!(", did you mean \"{word}\"?"),
        _ => String::new(),
    }
}

/// Where a setting of Kafka Streams is said that is no setting here.
pub(super) fn elsewhere(found: &str) -> Option<&'static str> {
    let spelled = found.replace(['.', '-'], "_").to_lowercase();
    Some(match spelled.as_str() {
        "auto_offset_reset" => "each source says it: `Consumed::reset`",
        "num_standby_replicas" => "there are no standby replicas yet",
        "default_key_serde" | "default_value_serde" => {
            "the type says it (`HasSerde`), or the source: `Consumed::with_serdes`"
        }
        "default_deserialization_exception_handler" | "deserialization_exception_handler" => {
            "each source says it: `Consumed::on_error`"
        }
        "default_production_exception_handler" | "production_exception_handler" => {
            "each sink says it: `Produced::on_error`"
        }
        "processing_exception_handler" => "each operator says it: `.on_error(..)` behind it",
        "default_timestamp_extractor" => "each source says it: `Consumed::timestamp`",
        "topology_optimization" => "the program says it: `StreamsBuilder::build_with`",
        _ => return None,
    })
}

/// How far a misspelling of a word may be from it.
fn reach(word: &str) -> usize {
    (word.len() / 3).max(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_named_if_it_is_near() {
        let words = ["error", "warn", "info", "debug"];
        assert_eq!(hint("inof", words), ", did you mean \"info\"?");
        assert_eq!(hint("WARNING", words), "");
        assert_eq!(hint("Wran", words), ", did you mean \"warn\"?");
        assert_eq!(hint("nonsense", words), "");
    }
}
