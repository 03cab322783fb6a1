//! The independent judge of `tests/verifier` as a program of its own, for soak tests by hand.
//!
//! `cargo run --example verifier -- BROKERS GROUP INPUT DECISIONS ALERTS HOLDS DEAD_LETTER once|repeats` prints one line
//! and ends with code 0 when it has nothing against what it found, 1 when it has, 2 when it could not read.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program that prints its verdict")]

#[path = "../tests/verifier/mod.rs"]
mod verifier;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, group, input, decisions, alerts, holds, dead_letter, mode] = words.as_slice()
    else {
        eprintln!("verifier BROKERS GROUP INPUT DECISIONS ALERTS HOLDS DEAD_LETTER once|repeats");
        return ExitCode::from(2);
    };
    let once = mode == "once";
    let case = verifier::Case {
        brokers: brokers.clone(),
        group: group.clone(),
        input: input.clone(),
        decisions: decisions.clone(),
        alerts: alerts.clone(),
        holds: holds.clone(),
        dead_letter: dead_letter.clone(),
        once,
        ordered: once,
    };
    match verifier::judge(&case) {
        Ok(verdict) => {
            println!("{verdict}");
            ExitCode::from(u8::from(verdict.n_faults > 0))
        }
        Err(problem) => {
            eprintln!("verifier: {problem}");
            ExitCode::from(2)
        }
    }
}
