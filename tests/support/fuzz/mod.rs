//! The bodies of the fuzz targets: bytes in, and a panic where a promise is broken.
//!
//! `fuzz/` wraps them for libFuzzer; `tests/fuzz_smoke.rs` runs them over the corpus as part of the tests. Structured
//! targets read the bytes as a tape of choices ([`super::dice::Dice`]), so that a changed byte is a changed
//! choice. A body is a function of its input: no clock, no randomness, nothing kept from one call to the next but what
//! every call would compute anew.

pub(crate) mod config;
pub(crate) mod events;
pub(crate) mod mapping;
pub(crate) mod naive;
pub(crate) mod record_decode;
pub(crate) mod rule_compile_eval;
pub(crate) mod rule_parse;
pub(crate) mod seeds;
pub(crate) mod snapshot_load;

/// A fuzz target: its name, and what it does with an input.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// All targets.
pub(crate) const TARGETS: [Target; 6] = [
    ("record_decode", record_decode::run),
    ("mapping", mapping::run),
    ("rule_parse", rule_parse::run),
    ("rule_compile_eval", rule_compile_eval::run),
    ("snapshot_load", snapshot_load::run),
    ("config", config::run),
];
