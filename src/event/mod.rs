//! Events: the compiled schema, and decoding of records into rows.
//!
//! A record becomes a [`row::Row`]: one 64-bit slot per declared field plus a presence bit. Decoding is directed by the
//! schema, borrows texts from the record, allocates nothing per record once warm, and refuses what it does not
//! understand with a stable reason ([`error::DecodeError`]).

pub mod build;
pub mod digest;
pub mod error;
pub mod json;
pub mod key;
pub mod mapping;
pub mod row;
pub mod schema;

pub use build::{BuildError, RowBuilder};
pub use digest::Digester;
pub use error::{DecodeError, Reason};
pub use mapping::{DecodeScratch, Decoder, Limits, TopicIdx};
pub use row::Row;
pub use schema::Schema;
