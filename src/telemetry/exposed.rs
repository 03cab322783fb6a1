//! What is said when connections to Kafka are less safe than they could be. No payload, like all [happenings].
//!
//! [happenings]: crate::telemetry::happening

use tracing::warn;

/// Brokers beyond this machine are reached without encryption.
#[derive(Clone, Copy, Debug)]
pub struct PlaintextBeyondLoopback<'a> {
    /// The broker.
    pub broker: &'a str,
}

impl PlaintextBeyondLoopback<'_> {
    /// Writes it.
    pub fn emit(&self) {
        warn!(
            broker = self.broker,
            "Payment data travels without encryption; set `kafka.security.protocol`."
        );
    }
}

/// A setting of the client gives up a part of what TLS and logins are for.
#[derive(Clone, Copy, Debug)]
pub struct WeakSetting<'a> {
    /// The setting.
    pub setting: &'a str,
    /// What it lets happen.
    pub lets: &'a str,
}

impl WeakSetting<'_> {
    /// Writes it.
    pub fn emit(&self) {
        warn!(
            setting = self.setting,
            lets = self.lets,
            "An entry of `kafka.rdkafka` weakens connections to Kafka."
        );
    }
}
