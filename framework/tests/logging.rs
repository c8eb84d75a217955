//! `init_logging`, in a process of its own: a subscriber is installed once and for all.

use millstream::{StreamsConfig, init_logging};

#[test]
fn the_level_of_the_configuration_is_installed_and_a_second_time_does_nothing() {
    assert!(!tracing::enabled!(tracing::Level::ERROR));
    init_logging(&StreamsConfig::new("app").log_level("warn,millstream=debug")).unwrap();
    let at = |target: &str| {
        let debug = match target {
            "millstream" => tracing::enabled!(target: "millstream::log", tracing::Level::DEBUG),
            _ => tracing::enabled!(target: "other", tracing::Level::DEBUG),
        };
        (debug, tracing::enabled!(target: "other", tracing::Level::WARN))
    };
    assert_eq!((at("millstream"), at("other")), ((true, true), (false, true)));
    init_logging(&StreamsConfig::new("app").log_level("off")).unwrap();
    assert_eq!((at("millstream"), at("other")), ((true, true), (false, true)));
    let error = init_logging(&StreamsConfig::new("app").log_level("info,x=loud")).unwrap_err();
    assert!(error.to_string().contains("log_level"), "{error}");
}
