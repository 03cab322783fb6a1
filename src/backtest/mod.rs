//! Files through the engine: the same path as Kafka, the same records out, as fast as the machine can read.
//!
//! [`input`] opens NDJSON and CSV, plain or compressed; [`output`] writes one file per kind of record; [`run`] drives
//! the engine; [`summary`] says what each rule did, [`study`] how well, against [`labels`] where there are any, and
//! [`report`] draws it. The same input gives the same bytes on every run and any number of
//! threads: only decoding is spread, decisions are made by one engine in input order.

pub mod compare;
pub mod explain;
pub mod input;
pub(crate) mod label_records;
pub mod labels;
mod lines;
pub mod output;
pub mod page;
pub mod quality;
mod quotes;
pub mod report;
pub mod run;
pub mod study;
pub mod summary;
pub mod sweep;
