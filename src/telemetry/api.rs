//! What the HTTP service tells the log: one struct per happening, never with payload, tokens or queries.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::telemetry::throttle;

/// The API is reached by other machines without encryption.
#[derive(Clone, Copy, Debug)]
pub struct ApiPlaintext {
    /// Where.
    pub address: SocketAddr,
}

impl ApiPlaintext {
    /// Writes it.
    pub fn emit(&self) {
        warn!(address = %self.address, "The API answers other machines without TLS; something before it must speak TLS.");
    }
}

/// The API listens and knows nobody.
#[derive(Clone, Copy, Debug)]
pub struct ApiWithoutTokens;

impl ApiWithoutTokens {
    /// Writes it.
    pub fn emit(&self) {
        warn!("The API lets nobody in; set `api.tokens`.");
    }
}

/// The file of tokens changed and cannot be used; those that were known stay.
#[derive(Clone, Copy, Debug)]
pub struct ApiTokensRefused<'a> {
    /// What is wrong.
    pub reason: &'a str,
}

impl ApiTokensRefused<'_> {
    /// Writes it.
    pub fn emit(&self) {
        error!(reason = self.reason, "The file of tokens is not used; those known before stay.");
    }
}

/// What the service needs failed; it is tried again, or whoever asked was told.
#[derive(Clone, Copy, Debug)]
pub struct ApiFailed<'a> {
    /// What was attempted.
    pub attempted: &'static str,
    /// What happened.
    pub error: &'a str,
}

impl ApiFailed<'_> {
    /// Writes it.
    pub fn emit(&self) {
        if let Some(kept_back) = throttle::admit(self.attempted) {
            let Self { attempted, error } = self;
            warn!(attempted, error, kept_back, "The API could not do something.");
        }
    }
}

/// A record of an output topic is not what we write there.
#[derive(Clone, Copy, Debug)]
pub struct ApiRecordUnreadable<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

impl ApiRecordUnreadable<'_> {
    /// Writes it.
    pub fn emit(&self) {
        if let Some(kept_back) = throttle::admit("api_record_unreadable") {
            let Self { topic, partition, offset } = self;
            warn!(topic, partition, offset, kept_back, "A record is left out of the read model.");
        }
    }
}

/// A topic is not the one that the read model was made of.
#[derive(Clone, Copy, Debug)]
pub struct ApiModelRenewed<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
}

impl ApiModelRenewed<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { topic, partition } = self;
        warn!(topic, partition, "A topic was made anew; the read model is, too.");
    }
}

/// Somebody asked for something.
#[derive(Clone, Copy, Debug)]
pub struct ApiCall<'a> {
    /// The id of the request.
    pub request_id: &'a str,
    /// Who; empty where nobody knows.
    pub person: &'a str,
    /// What.
    pub operation: &'a str,
    /// Whether it can change something.
    pub is_change: bool,
    /// The HTTP status.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
}

impl ApiCall<'_> {
    /// Writes it: changes and what was refused for what the log is kept for, the rest for whoever looks closely.
    pub fn emit(&self) {
        let Self { request_id, person, operation, is_change, status, took } = self;
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if matches!(status, 401 | 403 | 429) {
            if let Some(kept_back) = throttle::admit("api_refused") {
                warn!(
                    request_id,
                    person, operation, status, took_us, kept_back, "The API refused a request."
                );
            }
        } else if *is_change {
            info!(request_id, person, operation, status, took_us, "The API did something.");
        } else {
            debug!(request_id, person, operation, status, took_us, "The API answered.");
        }
    }
}

/// One person does alone what takes two.
#[derive(Clone, Copy, Debug)]
pub struct ApiOverridden<'a> {
    /// The id of the request to the API.
    pub request_id: &'a str,
    /// Who.
    pub person: &'a str,
    /// What kind of request for a second person.
    pub kind: &'a str,
    /// About what: a hold, a list, a rule set.
    pub about: &'a str,
}

impl ApiOverridden<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { request_id, person, kind, about } = self;
        warn!(request_id, person, kind, about, "One person does alone what takes two.");
    }
}

/// Somebody looked at what is hidden from others.
#[derive(Clone, Copy, Debug)]
pub struct ApiRevealed<'a> {
    /// The id of the request.
    pub request_id: &'a str,
    /// Who.
    pub person: &'a str,
    /// What: a dead letter by its number.
    pub what: &'a str,
}

impl ApiRevealed<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { request_id, person, what } = self;
        info!(request_id, person, what, "Hidden data was shown.");
    }
}

/// Somebody accepted at a start a rule set that nobody approved.
#[derive(Clone, Copy, Debug)]
pub struct RulesAccepted<'a> {
    /// Its digest.
    pub ruleset: &'a str,
    /// Who.
    pub by: &'a str,
    /// Why.
    pub reason: &'a str,
}

impl RulesAccepted<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { ruleset, by, reason } = *self;
        warn!(ruleset, by, reason, "Rule set that nobody approved is accepted.");
    }
}
