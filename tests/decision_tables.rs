//! The decision lattice and the score, as tables that a person can check against docs/LANGUAGE.md.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use riskweir::decision::lattice::{Candidate, Force, Outcome, decide};
use riskweir::decision::score::ScoreSheet;
use riskweir::rules::program::ScoreGroup;

fn candidate(word: &str) -> Candidate {
    let (force, word) = match word.strip_prefix("mandatory ") {
        Some(rest) => (Force::Mandatory, rest),
        None => (Force::Ordinary, word),
    };
    let outcome = Outcome::ALL.into_iter().find(|outcome| outcome.as_str() == word);
    Candidate { outcome: outcome.unwrap_or_else(|| panic!("no outcome `{word}`")), force }
}

/// `candidates => outcome`, one row a line; every order of the candidates must give the same.
#[track_caller]
fn check(table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let (left, right) = row.split_once("=>").unwrap();
        let words: Vec<&str> = left.split(',').map(str::trim).filter(|w| !w.is_empty()).collect();
        let mut candidates: Vec<Candidate> = words.iter().map(|word| candidate(word)).collect();
        for _ in 0..=candidates.len() {
            assert_eq!(decide(candidates.iter().copied()).outcome.as_str(), right.trim(), "{row}");
            candidates.reverse();
            assert_eq!(decide(candidates.iter().copied()).outcome.as_str(), right.trim(), "{row}");
            candidates.reverse();
            if !candidates.is_empty() {
                candidates.rotate_left(1);
            }
        }
    }
}

#[test]
fn the_lattice_is_mandatory_block_mandatory_hold_allow_block_hold_step_up_pass() {
    check(
        "
                                              => pass
        step_up                               => step_up
        hold                                  => hold
        block                                 => block
        allow                                 => allow
        step_up, hold                         => hold
        step_up, hold, block                  => block
        allow, block                          => allow
        allow, hold                           => allow
        allow, step_up                        => allow
        mandatory hold, allow                 => hold
        mandatory hold, block                 => hold
        mandatory hold, allow, block          => hold
        mandatory block, allow                => block
        mandatory block, mandatory hold       => block
        mandatory block, mandatory hold, allow, block, hold, step_up => block
        ",
    );
}

#[track_caller]
fn check_score(caps: &[Option<i32>], points: &[(u16, i32)], expected: i32) {
    let names = (0..).map(|index: i32| format!("g{index}"));
    let groups: Vec<ScoreGroup> = names
        .zip(caps)
        .map(|(name, cap)| ScoreGroup { name, cap: *cap, cap_by: vec![], said_cap: *cap })
        .collect();
    let mut sheet = ScoreSheet::default();
    sheet.reset(groups.len());
    for (group, points) in points {
        sheet.add(*group, *points);
    }
    assert_eq!(sheet.total(&groups), expected);
}

#[test]
fn the_score_caps_each_group_and_stays_between_0_and_100() {
    check_score(&[], &[], 0);
    check_score(&[None], &[(0, 35)], 35);
    check_score(&[Some(50)], &[(0, 35), (0, 35)], 50);
    check_score(&[Some(50), None], &[(0, 35), (0, 35), (1, 20)], 70);
    check_score(&[Some(50), None], &[(0, 80), (1, 80)], 100);
    check_score(&[None, None], &[(0, 20), (1, -30)], 0);
    check_score(&[Some(10)], &[(0, 40), (0, -35)], 5);
}
