//! Made-up payment traffic: honest people with habits, and fraud mixed in with labels.
//!
//! Pure and seeded: no clock, no files, no threads. The same configuration gives the same bytes on every machine.
//! What it knows: nothing of rules. What the rules know of it: nothing but the schema. Some fraud is hard to see and
//! some honest behaviour looks odd, on purpose.
//!
//! The clock of the traffic is its own: on average it moves by `1 / events_per_second` per record, faster by day and
//! slower by night. How quickly records are sent is the caller's affair.
//!
//! Cost: about a microsecond per record; about 1 KB of memory per customer.

mod bank;
mod calendar;
mod encode;
mod habits;
mod honest;
mod honest_bank;
mod name;
mod population;
mod random;
mod records;
mod scenarios;
mod source;
mod stage;
#[cfg(test)]
mod tests;
mod wallet;

pub use crate::demo::traffic::source::Traffic;
pub use crate::demo::traffic::stage::WALLET_TOPIC;

/// What the traffic is to be like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrafficConfig {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Event time of the first records, ms since 1970; kept within the years 6 to 3934.
    pub start_ms: i64,
    /// Records per second of event time on average, from a millionth to a million. At 0.1, twelve thousand records
    /// cover about 33 hours.
    pub events_per_second: f64,
    /// How many customers there are; at least 100.
    pub customers: usize,
    /// Share of records that belong to a fraud, 0 to 1. Real traffic has far less than the default.
    pub fraud_share: f64,
}

impl Default for TrafficConfig {
    fn default() -> Self {
        TrafficConfig {
            seed: 1,
            // Monday, 2 March 2026, 05:00 UTC.
            start_ms: 1_772_427_600_000,
            events_per_second: 0.1,
            customers: 3_000,
            fraud_share: 0.03,
        }
    }
}

/// One record as a producer would send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficEvent {
    /// The topic.
    pub topic: &'static str,
    /// Key of the record: the customer.
    pub key: String,
    /// Event time in ms since 1970; also in the body.
    pub time_ms: i64,
    /// JSON, except for [`Delivery::Malformed`].
    pub body: Vec<u8>,
    /// The fraud that this record belongs to.
    pub label: Option<Scenario>,
    /// Which fraud of the whole traffic it belongs to, counted from 1; 0 when it belongs to none.
    pub episode: u32,
    /// Id of the event; also in the body, unless malformed. A duplicate repeats it.
    pub event_id: String,
    /// How the record arrives.
    pub delivery: Delivery,
}

/// How a record arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Delivery {
    /// In order of event time.
    InOrder,
    /// After a record with a later event time, by at most [`MAX_LATENESS_MS`].
    Late,
    /// The same bytes once more.
    Duplicate,
    /// Bytes that no schema accepts: cut off, not JSON, not UTF-8, or without a required field.
    Malformed,
}

/// The longest that a record may lag behind the latest event time before it.
pub const MAX_LATENESS_MS: i64 = 30_000;

/// The frauds that are mixed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scenario {
    /// Stolen card numbers are tried out from one device.
    CardTesting,
    /// A tiny payment, then a large one.
    ProbeThenStrike,
    /// A stolen card is emptied shop by shop.
    CardVelocity,
    /// A copy of a card pays far from its owner.
    ImpossibleTravel,
    /// Returns of goods that were never bought.
    RefundAbuse,
    /// Passwords guessed, account taken over, money to a new payee.
    AccountTakeover,
    /// Phone number moved, wallet paid out.
    SimSwap,
    /// Leaked passwords tried on many accounts from one address.
    CredentialStuffing,
    /// Many accounts opened from one device.
    AccountFarm,
    /// A victim is talked into paying.
    PaymentScam,
    /// Many in, most out again.
    MulePassThrough,
    /// Wallet filled from stolen cards, then paid out.
    TopUpCashOut,
    /// Cash just under the reporting line.
    Structuring,
    /// A forgotten account is emptied.
    DormantAwakening,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Scenario; 14] = [
        Scenario::CardTesting,
        Scenario::ProbeThenStrike,
        Scenario::CardVelocity,
        Scenario::ImpossibleTravel,
        Scenario::RefundAbuse,
        Scenario::AccountTakeover,
        Scenario::SimSwap,
        Scenario::CredentialStuffing,
        Scenario::AccountFarm,
        Scenario::PaymentScam,
        Scenario::MulePassThrough,
        Scenario::TopUpCashOut,
        Scenario::Structuring,
        Scenario::DormantAwakening,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::CardTesting => "card_testing",
            Scenario::ProbeThenStrike => "probe_then_strike",
            Scenario::CardVelocity => "card_velocity",
            Scenario::ImpossibleTravel => "impossible_travel",
            Scenario::RefundAbuse => "refund_abuse",
            Scenario::AccountTakeover => "account_takeover",
            Scenario::SimSwap => "sim_swap",
            Scenario::CredentialStuffing => "credential_stuffing",
            Scenario::AccountFarm => "account_farm",
            Scenario::PaymentScam => "payment_scam",
            Scenario::MulePassThrough => "mule_pass_through",
            Scenario::TopUpCashOut => "top_up_cash_out",
            Scenario::Structuring => "structuring",
            Scenario::DormantAwakening => "dormant_awakening",
        }
    }
}
