//! See `tests/support/fuzz/rule_parse.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| riskweir_fuzz::run("rule_parse", data));
