//! Ground types that every layer shares: money, time, keys, digests and run-time values.
//!
//! Nothing here does I/O, reads a clock or draws randomness. Money is integers throughout: a record's amount is
//! `i64` minor units, arithmetic on money runs in `i128` *micro-minor* units (one millionth of a minor unit), so that
//! percentages and averages of money compare exactly.

pub mod amount;
pub mod cards;
pub mod codec;
pub mod count;
pub mod country;
pub mod digest;
pub mod id;
pub mod network;
#[doc(hidden)]
pub mod planted;
pub mod privacy;
pub mod rates;
pub mod text;
pub mod time;
pub mod token;
pub mod value;

pub use amount::{AmountError, Currency, MICRO_PER_MINOR};
pub use country::{country_meant, parse_country};
pub use digest::Digest;
pub use id::{EntityKey, Tag};
pub use network::{Network, Networks, NoNetwork, parse_address};
pub use privacy::{NeverStore, Privacy};
pub use token::TokenKey;
pub use value::{TextRef, Value};
