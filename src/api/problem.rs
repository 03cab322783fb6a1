//! What goes wrong, as callers are told: RFC 9457, with stable codes.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// A kind of problem. Its code has one meaning for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Stable code.
    pub code: &'static str,
    /// HTTP status.
    pub status: u16,
    /// In words, the same for every problem of the kind.
    pub title: &'static str,
}

/// Every kind is declared here, and listed in [`KINDS`].
macro_rules! kinds {
    ($($name:ident = $status:literal $code:literal $title:literal;)*) => {
        $(#[doc = $title] pub const $name: Kind = Kind { code: $code, status: $status, title: $title };)*
        /// All kinds.
        pub const KINDS: &[Kind] = &[$($name),*];
    };
}

kinds! {
    BAD_PARAMETER = 400 "bad_parameter" "A parameter or header is wrong.";
    BAD_BODY = 400 "bad_body" "The body is not what is asked for.";
    UNAUTHENTICATED = 401 "unauthenticated" "Nobody is let in without a valid token.";
    FORBIDDEN = 403 "forbidden" "No role of this token may do that.";
    OWN_REQUEST = 403 "own_request" "Who asked cannot approve: that takes a second person.";
    NOT_FOUND = 404 "not_found" "There is no such thing.";
    METHOD_NOT_ALLOWED = 405 "method_not_allowed" "The path does not take this method.";
    STALE_STATE = 409 "stale_state" "It is in another state than expected.";
    ENDED = 409 "ended" "It has ended: somebody decided, or its deadline came.";
    KEY_REUSED = 409 "idempotency_key_reused" "The idempotency key came before with other content.";
    REFUSED = 409 "refused" "It was understood and refused.";
    TOO_LARGE = 413 "too_large" "The request is too large.";
    UNSUPPORTED_MEDIA_TYPE = 415 "unsupported_media_type" "The body has a form or an encoding that the path does not take.";
    BAD_LINES = 422 "bad_lines" "Lines of the file are no labels: nothing was written.";
    UNDECODABLE = 422 "undecodable" "The event could not be decided: it is a dead letter.";
    TOO_MUCH = 422 "too_much" "It takes more than may be done here.";
    RATE_LIMITED = 429 "rate_limited" "Too many requests.";
    INTERNAL = 500 "internal" "A promise inside the service does not hold.";
    NOT_CONFIGURED = 501 "not_configured" "This service is not configured for it.";
    LOG_UNAVAILABLE = 503 "log_unavailable" "The log does not take records now.";
    NOT_READY = 503 "not_ready" "The service is not ready for this yet.";
    BUSY = 503 "busy" "Too much of this at once.";
    TIMED_OUT = 504 "timed_out" "No answer came in time.";
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub kind: Kind,
    /// What happened here, in words; never what stood in a request.
    pub detail: String,
    /// Further members.
    pub more: Box<Map<String, Value>>,
}

impl Problem {
    /// One of a kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), more: Box::default() }
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.more.insert(name.to_owned(), value.into());
        self
    }

    /// As it is sent.
    pub fn body(&self, request_id: &str) -> String {
        let mut out = Map::new();
        let text = |text: &str| Value::String(text.to_owned());
        out.insert("type".to_owned(), text(&format!("urn:riskweir:problem:{}", self.kind.code)));
        out.insert("title".to_owned(), text(self.kind.title));
        out.insert("status".to_owned(), self.kind.status.into());
        out.insert("code".to_owned(), text(self.kind.code));
        out.insert("detail".to_owned(), text(&self.detail));
        out.insert("request_id".to_owned(), text(request_id));
        out.extend(self.more.iter().map(|(name, value)| (name.clone(), value.clone())));
        format!("{}\n", Value::Object(out))
    }
}

/// A problem as documents describe it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub struct ProblemBody {
    /// `urn:riskweir:problem:` and the code.
    pub r#type: String,
    /// In words, the same for every problem of the code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable code.
    pub code: String,
    /// What happened here.
    pub detail: String,
    /// By which the request is found in the log.
    pub request_id: String,
}
