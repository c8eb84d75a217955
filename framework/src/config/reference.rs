//! The reference page of settings, made from the list that the code itself uses.

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use crate::config::settings::{SETTINGS, StreamsConfig};

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

    fn page() -> String {
        let mut page = include_str!("reference_head.md").to_owned();
        let defaults = StreamsConfig::default();
        for entry in SETTINGS {
            let doc: Vec<&str> = entry.doc.iter().map(|line| line.trim()).collect();
            let default = match entry.key {
                "state_dir" => "see right".to_owned(),
                _ => (entry.show)(&defaults),
            };
            let default = if default.is_empty() { "-".to_owned() } else { format!("`{default}`") };
            let range = entry.bounds.as_ref().map_or_else(
                || "-".to_owned(),
                |bounds| format!("{} to {}", bounds.start(), bounds.end()),
            );
            let _ = writeln!(page, "| `{}` | {default} | {range} | {} |", entry.key, doc.join(" "));
        }
        page.replace("`see right`", "see right")
    }

    #[test]
    fn the_page_says_what_the_code_says() {
        if std::env::var_os("MILLSTREAM_TEST_UPDATE").is_some() {
            std::fs::write(PAGE, page()).unwrap();
        }
        let stands = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(
            stands == page(),
            "docs/configuration.md is not what the code says: run this test with MILLSTREAM_TEST_UPDATE=1"
        );
    }

    #[test]
    fn the_help_lists_every_option_with_its_default() {
        let help = StreamsConfig::help_text();
        assert!(help.contains("  --num-stream-threads (default: 1)\n"), "{help}");
        assert_eq!(help.matches("  --").count(), SETTINGS.len());
    }

    #[test]
    fn every_setting_says_what_it_is() {
        for entry in SETTINGS {
            assert!(!entry.doc.is_empty(), "{} has no description", entry.key);
        }
    }
}
