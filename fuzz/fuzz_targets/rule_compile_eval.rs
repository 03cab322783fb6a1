//! See `tests/support/fuzz/rule_compile_eval.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| riskweir_fuzz::run("rule_compile_eval", data));
