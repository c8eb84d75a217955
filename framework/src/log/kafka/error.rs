//! What the client's errors mean to the caller: one mapping for every operation.
//!
//! librdkafka has some two hundred codes. The runtime knows few reactions, so each code is put
//! into the group of what the caller does about it; what no rule names makes going on pointless.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::config::{HIDDEN, is_secret};
use crate::error::Error;
use crate::record::RefusalKind;

/// What the caller does about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Ask again later.
    Unavailable,
    /// A newer producer or member took over.
    Fenced,
    /// It did not happen, or that is unknown: drop what is open and do it again.
    Aborted,
    /// The topic does not exist, may not be used, or is refused.
    Topic,
    /// Going on is pointless.
    Fatal,
}

/// The group of a code.
pub(super) fn meaning(code: Code) -> Meaning {
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::WaitingForCoordinator
        | Code::WaitCache
        | Code::NodeUpdate
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::Retry
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::PollExceeded
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::NotController
        | Code::KafkaStorageError
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::UnstableOffsetCommit
        | Code::ConcurrentTransactions
        | Code::ThrottlingQuotaExceeded
        | Code::UnknownTopicId
        | Code::RebootstrapRequired
        // A broker that goes away in the middle of a greeting looks so; what is no use to try
        // again is found out when an instance starts.
        | Code::SSL => Meaning::Unavailable,
        Code::Fenced
        | Code::ProducerFenced
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::UnknownProducerId
        | Code::TransactionCoordinatorFenced
        | Code::FencedInstanceId
        | Code::FencedMemberEpoch => Meaning::Fenced,
        Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::StaleMemberEpoch
        | Code::RebalanceInProgress
        | Code::AssignmentLost
        | Code::MessageTimedOut
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::GaplessGuarantee => Meaning::Aborted,
        Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidConfig
        | Code::PolicyViolation => Meaning::Topic,
        _ => Meaning::Fatal,
    }
}

/// Why a record is refused for good, if that is what a code of its delivery says. It may only have
/// been in one batch with the record that is meant.
pub(super) fn refusal_kind(code: Code) -> Option<RefusalKind> {
    match code {
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge | Code::InvalidMessageSize => {
            Some(RefusalKind::TooLarge)
        }
        Code::InvalidTimestamp => Some(RefusalKind::BadTimestamp),
        Code::InvalidRecord => Some(RefusalKind::Invalid),
        _ => None,
    }
}

/// True if records are refused for what no abort changes: how the producer is set up, or may do.
pub(super) fn is_hopeless(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidRequiredAcks
            | Code::ClusterAuthorizationFailed
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedCompressionType
            | Code::UnsupportedVersion
    )
}

/// The error for a code that came up while doing `what` on `topic`, if one is known.
pub(super) fn from_code(what: &str, topic: Option<&str>, code: Code, said: &str) -> Error {
    let what = what.to_owned();
    let reason = if said.is_empty() { code.to_string() } else { format!("{said} ({code})") };
    match meaning(code) {
        Meaning::Unavailable => Error::Unavailable { what, reason },
        Meaning::Fenced => Error::Fenced { what, reason },
        Meaning::Aborted => Error::Aborted { what, reason },
        Meaning::Topic => match topic {
            Some(topic) => Error::Topic { topic: topic.to_owned(), reason },
            None => Error::Fatal { what, reason },
        },
        Meaning::Fatal => Error::Fatal { what, reason },
    }
}

/// True if a broker does not know a topic or a partition: it may not know it yet, or not be the one
/// that does.
pub(super) fn is_unknown_topic(code: Code) -> bool {
    matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition)
}

/// As [`from_code`], for what reads a topic that was there before: one that is unknown for a moment
/// is asked for again.
pub(super) fn from_reading(what: &str, topic: &str, code: Code, said: &str) -> Error {
    match from_code(what, Some(topic), code, said) {
        Error::Topic { reason, .. } if is_unknown_topic(code) => {
            Error::Unavailable { what: what.to_owned(), reason }
        }
        error => error,
    }
}

/// The error for one of the client's errors.
pub(super) fn from_client(what: &str, topic: Option<&str>, error: &KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(_, why, key, value) => Error::Config(refused(key, value, why)),
        KafkaError::ClientCreation(why) => Error::Config(format!("{why}{}", missing_part(why))),
        KafkaError::AdminOp(code) => from_code(what, topic, *code, ""),
        other => match other.rdkafka_error_code() {
            Some(code) => from_code(what, topic, code, ""),
            None => Error::Fatal { what: what.to_owned(), reason: other.to_string() },
        },
    }
}

/// Why the client refuses a setting. The value is not said: it may be a secret, and the key may be
/// misspelt, so that it does not look like one.
fn refused(key: &str, value: &str, why: &str) -> String {
    let missing = missing_part(why);
    let hidden = is_secret(key) && !value.is_empty();
    let why = if hidden { why.replace(value, HIDDEN) } else { why.to_owned() };
    format!("kafka setting {key}: {why}{missing}")
}

/// What was left out when this was built, if that is why.
fn missing_part(why: &str) -> &'static str {
    if why.contains("SASL mechanism GSSAPI") {
        "; set sasl.mechanism (PLAIN, SCRAM-SHA-256, ..), or build Millstream with its feature \"gssapi\" for Kerberos"
    } else if why.contains("not available at build time") {
        "; build Millstream with its feature \"ssl\""
    } else {
        ""
    }
}

/// What librdkafka says of a failed transactional call.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The code.
    pub(super) code: Code,
    /// In words.
    pub(super) text: String,
    /// The producer cannot be used any more.
    pub(super) fatal: bool,
    /// The call may be repeated.
    pub(super) retriable: bool,
    /// The transaction must be aborted.
    pub(super) abort: bool,
}

/// The error for a transactional call of a producer.
///
/// A producer that is beyond repair is replaced by the caller, whatever made it so: that is the
/// same reaction as to a fenced one, except where the broker refuses the identity itself.
pub(super) fn from_refusal(what: &str, refusal: &Refusal) -> Error {
    let (what, reason) = (what.to_owned(), format!("{} ({})", refusal.text, refusal.code));
    let refused = matches!(
        refusal.code,
        Code::TransactionalIdAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidTransactionTimeout
            | Code::UnsupportedVersion
    );
    let mapped = meaning(refusal.code);
    if refused {
        Error::Fatal { what, reason }
    } else if refusal.fatal || mapped == Meaning::Fenced {
        Error::Fenced { what, reason }
    } else if refusal.abort || mapped == Meaning::Aborted {
        Error::Aborted { what, reason }
    } else if refusal.retriable || mapped == Meaning::Unavailable {
        Error::Unavailable { what, reason }
    } else {
        Error::Fatal { what, reason }
    }
}

/// What the broker does not do to a topic.
pub(super) fn topic_refused(what: &str, topic: String, code: Code) -> Error {
    match from_code(&format!("{what} of {topic}"), Some(&topic), code, "") {
        Error::Fatal { reason, .. } => Error::Topic { topic, reason },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reaction;

    #[test]
    fn codes_turn_into_the_reaction_of_the_caller() {
        let check = |code, reaction| {
            let error = from_code("commit", Some("orders"), code, "");
            assert_eq!(error.reaction(), reaction, "{code:?}");
        };
        check(Code::AllBrokersDown, Reaction::Retry);
        check(Code::UnstableOffsetCommit, Reaction::Retry);
        check(Code::ProducerFenced, Reaction::Rebuild);
        check(Code::IllegalGeneration, Reaction::Rebuild);
        check(Code::RebalanceInProgress, Reaction::Rebuild);
        check(Code::UnknownTopicOrPartition, Reaction::Stop);
        check(Code::GroupAuthorizationFailed, Reaction::Stop);
    }

    #[test]
    fn what_is_refused_for_good_is_told_from_what_may_pass_later() {
        let check = |code, kind| assert_eq!(refusal_kind(code), kind, "{code:?}");
        check(Code::MessageSizeTooLarge, Some(RefusalKind::TooLarge));
        check(Code::InvalidTimestamp, Some(RefusalKind::BadTimestamp));
        check(Code::InvalidRecord, Some(RefusalKind::Invalid));
        // Another record of the batch is meant.
        check(Code::InvalidDifferentRecord, None);
        check(Code::NotEnoughReplicas, None);
        check(Code::NotLeaderForPartition, None);
        check(Code::MessageTimedOut, None);
        assert!(
            is_hopeless(Code::InvalidRequiredAcks) && !is_hopeless(Code::OutOfOrderSequenceNumber)
        );
    }

    #[test]
    fn a_topic_that_is_unknown_for_a_moment_is_read_again() {
        let check = |code, reaction| {
            let error = from_reading("fetch of orders-3", "orders", code, "");
            assert_eq!(error.reaction(), reaction, "{code:?}");
        };
        check(Code::UnknownTopicOrPartition, Reaction::Retry);
        check(Code::UnknownTopic, Reaction::Retry);
        check(Code::UnknownPartition, Reaction::Retry);
        check(Code::TopicAuthorizationFailed, Reaction::Stop);
        check(Code::InvalidTopic, Reaction::Stop);
    }

    #[test]
    fn the_text_names_the_operation_the_topic_and_the_reason() {
        let error = from_code("send", Some("orders"), Code::UnknownPartition, "no such");
        assert!(error.to_string().starts_with("topic orders: no such"), "{error}");
        let error = from_code("commit of orders-3", None, Code::FencedInstanceId, "");
        assert!(error.to_string().starts_with("commit of orders-3 was fenced"), "{error}");
    }

    #[test]
    fn refusals_turn_into_what_the_worker_does_with_its_producer() {
        let check = |code, fatal, retriable, abort, expected: &str| {
            let refusal = Refusal { code, text: "said".to_owned(), fatal, retriable, abort };
            let error = from_refusal("commit", &refusal);
            let kind = match error {
                Error::Fenced { .. } => "Fenced",
                Error::Aborted { .. } => "Aborted",
                Error::Unavailable { .. } => "Unavailable",
                Error::Fatal { .. } => "Fatal",
                _ => "another",
            };
            assert_eq!(kind, expected, "{code:?}: {error}");
        };
        check(Code::OutOfOrderSequenceNumber, true, false, false, "Fenced");
        check(Code::InvalidProducerEpoch, false, false, true, "Fenced");
        check(Code::MessageTimedOut, false, false, true, "Aborted");
        check(Code::IllegalGeneration, false, false, true, "Aborted");
        check(Code::OperationTimedOut, false, true, false, "Unavailable");
        check(Code::TransactionalIdAuthorizationFailed, true, false, false, "Fatal");
        check(Code::State, false, false, false, "Fatal");
    }

    #[test]
    fn a_refused_setting_names_its_key() {
        let error = rdkafka::ClientConfig::new()
            .set("no.such.key", "1")
            .create::<rdkafka::consumer::BaseConsumer>()
            .map(|_| ())
            .expect_err("librdkafka refuses unknown keys");
        let error = from_client("join", None, &error);
        assert!(matches!(&error, Error::Config(why) if why.contains("no.such.key")), "{error}");
    }

    #[test]
    fn a_refused_setting_does_not_show_its_value() {
        let said = |key: &str, why: &str| refused(key, "hunter2", why);
        // As librdkafka words it, for a misspelt key and for a value that it quotes.
        for (key, why) in [
            ("sasl.pasword", "No such configuration property: \"sasl.pasword\""),
            ("ssl.key.password", "Invalid value \"hunter2\" for configuration property"),
        ] {
            let text = said(key, why);
            assert!(text.contains(key) && !text.contains("hunter2"), "{text}");
        }
        let text = said("security.protocol", "Invalid value \"hunter2\"");
        assert!(text.contains("hunter2"), "no secret: {text}");
    }

    #[test]
    fn kerberos_without_its_feature_is_told_what_to_do() {
        let why = "No provider for SASL mechanism GSSAPI: recompile librdkafka";
        let error = from_client("opening", None, &KafkaError::ClientCreation(why.to_owned()));
        assert!(error.to_string().contains("feature \"gssapi\""), "{error}");
    }
}
