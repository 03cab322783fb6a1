//! Files through the engine: the same path as Kafka, the same records out, as fast as the machine can read.
//!
//! [`input`] opens NDJSON and CSV, plain or compressed; [`output`] writes one file per kind of record; [`run`] drives
//! the engine; [`summary`] says what each rule did. The same input gives the same bytes on every run and any number of
//! threads: only decoding is spread, decisions are made by one engine in input order.

pub mod input;
mod lines;
pub mod output;
pub mod run;
pub mod summary;
