//! Which errors of the client pass, and which end the run.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use crate::runtime::error::{RunError, Stage};
use crate::runtime::log::{ErrorKind, LogError};

/// The client's name of an error, for a metric label: a closed set.
pub(crate) fn name(error: &KafkaError) -> String {
    code(error).map_or_else(|| "Other".to_owned(), |code| format!("{code:?}"))
}

/// The client's code of an error, transactions included.
pub(crate) fn code(error: &KafkaError) -> Option<Code> {
    match error {
        KafkaError::Transaction(error) => Some(error.code()),
        other => other.rdkafka_error_code(),
    }
}

/// An error after which nothing can be read.
pub(crate) fn fatal(error: &KafkaError) -> RunError {
    RunError::Fatal { reason: error.to_string(), stage: Stage::Receive }
}

/// An error in the runtime's terms.
pub(crate) fn error(error: &KafkaError) -> LogError {
    let kind = match (code(error), error) {
        (Some(code), _) if is_group_lost(code) => ErrorKind::GroupLost,
        (Some(code), _) if is_refusal(code) => ErrorKind::Refused,
        (_, KafkaError::Transaction(inner)) if inner.txn_requires_abort() => ErrorKind::Abortable,
        (_, KafkaError::Transaction(inner)) if inner.is_retriable() => ErrorKind::Passing,
        (Some(code), _) => kind(code),
        (None, _) => ErrorKind::Unknown,
    };
    LogError { kind, code: name(error), text: error.to_string() }
}

/// The same for a bare code with the client's words.
pub(crate) fn of_code(code: Code, text: String) -> LogError {
    LogError { kind: kind(code), code: format!("{code:?}"), text }
}

fn kind(code: Code) -> ErrorKind {
    if is_refusal(code) {
        ErrorKind::Refused
    } else if is_too_large(code) {
        ErrorKind::TooLarge
    } else if is_fenced(code) {
        ErrorKind::Fenced
    } else {
        ErrorKind::Unknown
    }
}

/// The broker does not let us.
pub(crate) fn is_refusal(code: Code) -> bool {
    matches!(
        code,
        Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication
    )
}

/// The broker will never take this message, however often it is tried.
fn is_too_large(code: Code) -> bool {
    matches!(code, Code::MessageSizeTooLarge | Code::InvalidMessageSize)
}

/// The group does not know this member any more.
fn is_group_lost(code: Code) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::FencedInstanceId
            | Code::RebalanceInProgress
            | Code::StaleMemberEpoch
            | Code::FencedMemberEpoch
    )
}

/// Another producer has our identity, or the broker gave up our transaction.
fn is_fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}
