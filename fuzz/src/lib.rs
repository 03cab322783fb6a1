//! The fuzz targets for libFuzzer. Their bodies are those of `tests/support/fuzz`, which the tests of riskweir run too.

#[path = "../../tests/support"]
mod support {
    #![allow(dead_code, reason = "the tests use more of these helpers")]

    pub(crate) mod artifacts;
    pub(crate) mod dice;
    pub(crate) mod duel;
    pub(crate) mod fuzz;
    pub(crate) mod rule_text;
    pub(crate) mod stream;
}

/// Runs the body of a target.
///
/// # Panics
/// Where a promise is broken, and for a name that is none.
pub fn run(target: &str, data: &[u8]) {
    let body = support::fuzz::TARGETS.iter().find(|(name, _)| *name == target);
    let (_, body) = body.expect("a target of the table");
    body(data);
}
