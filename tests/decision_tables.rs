//! The decision lattice and the score, as tables that a person can check against docs/LANGUAGE.md.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

#[path = "support/dice.rs"]
mod dice;

use std::sync::Arc;

use proptest::prelude::*;
use riskweir::decision::lattice::{Candidate, Force, Outcome, decide};
use riskweir::decision::resolve::{Reach, Resolution, resolve};
use riskweir::decision::score::ScoreSheet;
use riskweir::diag::{Source, Sources};
use riskweir::rules::program::{Program, RuleBody, ScoreGroup, StepUpOtherwise};
use riskweir::rules::syntax::ast::Otherwise;

use crate::dice::Dice;

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
fn an_allow_leaves_what_is_mandatory_and_the_strictest_of_what_is_left_wins() {
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
        mandatory allow, block                => allow
        mandatory hold, allow                 => hold
        mandatory hold, block                 => block
        mandatory hold, allow, block          => hold
        mandatory step_up, allow              => step_up
        mandatory step_up, hold               => hold
        mandatory step_up, block              => block
        mandatory step_up, allow, hold, block => step_up
        mandatory step_up, mandatory hold, allow, block => hold
        mandatory block, allow                => block
        mandatory block, mandatory hold       => block
        mandatory block, mandatory hold, allow, block, hold, step_up => block
        ",
    );
}

/// The rules of a text, and what becomes of an event that all of them hit.
struct Case {
    program: Arc<Program>,
}

impl Case {
    fn new(rules: &str) -> Self {
        let head = "event payment id id : text time at : time field amount : money currency EUR\n";
        let files = vec![Source { path: "r.risk".to_owned(), text: format!("{head}{rules}") }];
        let (program, report) = riskweir::rules::compile(&Sources::of(files));
        Self { program: Arc::new(program.unwrap_or_else(|| panic!("{rules}\n{report:#?}"))) }
    }

    fn bodies(&self) -> Vec<&RuleBody> {
        self.program.plans[0].rules.iter().collect()
    }

    fn resolve(&self, hits: &[&RuleBody]) -> Resolution<'_> {
        let hits: Vec<&RuleBody> = hits
            .iter()
            .filter_map(|hit| self.program.plans[0].rules.iter().find(|it| it.rule == hit.rule))
            .collect();
        resolve(&self.program, &hits, (0, Reach::Full), &mut ScoreSheet::default())
    }
}

fn rule(name: &str, id: &str, says: &str, action: &str) -> String {
    format!("rule {name} id \"{id}\" owner o {says} on payment when amount > 1 EUR then {action}\n")
}

#[test]
fn the_strictest_second_factor_of_a_mandatory_and_an_ordinary_rule_wins_whatever_they_are_called() {
    let strict = "step_up app otherwise block";
    for (mandatory, ordinary) in [("a", "b"), ("b", "a")] {
        let weak = rule(mandatory, "R-1", "mandatory", "step_up sms");
        let case = Case::new(&(weak + &rule(ordinary, "R-2", "", strict)));
        let found = case.resolve(&case.bodies());
        let terms = found.step_up.map(|terms| (terms.method, terms.otherwise));
        assert_eq!(terms, Some(("app", Some(StepUpOtherwise::Block))));
    }
}

#[test]
fn a_mandatory_hold_keeps_what_an_ordinary_one_says_unless_an_allow_is_there() {
    let day = rule("day", "R-1", "", "hold for 24h otherwise block");
    let hour = rule("hour", "R-2", "mandatory", "hold for 1h otherwise release");
    let friend = rule("friend", "R-3", "effective 2026-01-01 .. 2026-12-31", "allow");
    let terms = |rules: &str| {
        let case = Case::new(rules);
        case.resolve(&case.bodies()).hold.map(|it| (it.for_ms / 3_600_000, it.otherwise))
    };
    assert_eq!(terms(&(day.clone() + &hour)), Some((24, Otherwise::Block)));
    assert_eq!(terms(&(day + &hour + &friend)), Some((1, Otherwise::Release)));
}

/// One rule of a random set: what it does, in words and as read off those words.
#[derive(Clone, Debug)]
struct Wish {
    mandatory: bool,
    points: i32,
    deed: Deed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Deed {
    Nothing,
    Allow,
    StepUp(&'static str, u8, i64),
    Hold(i64, bool),
    Block,
}

impl Wish {
    fn random(dice: &mut Dice) -> Self {
        let deed = match dice.below(12) {
            0 => Deed::Allow,
            1 => Deed::Block,
            2..6 => Deed::Hold(dice.pick(&[1, 2, 24]), dice.one_in(2)),
            6..10 => {
                let otherwise = dice.pick(&[0, 1, 2]);
                let hours = if otherwise == 1 { dice.pick(&[1, 5]) } else { 0 };
                Deed::StepUp(dice.pick(&["app", "pin", "sms"]), otherwise, hours)
            }
            _ => Deed::Nothing,
        };
        Self { mandatory: dice.one_in(3), points: dice.pick(&[0, 0, 10, 40]), deed }
    }

    fn text(&self, name: &str, id: &str) -> String {
        let end = |block: bool| if block { "block" } else { "release" };
        let deed = match self.deed {
            Deed::Nothing => String::new(),
            Deed::Allow => "allow".to_owned(),
            Deed::StepUp(method, 0, _) => format!("step_up {method}"),
            Deed::StepUp(method, 1, hours) => {
                format!("step_up {method} otherwise hold for {hours}h")
            }
            Deed::StepUp(method, ..) => format!("step_up {method} otherwise block"),
            Deed::Hold(hours, block) => format!("hold for {hours}h otherwise {}", end(block)),
            Deed::Block => "block".to_owned(),
        };
        let dates = "effective 2026-01-01 .. 2026-12-31";
        let mandatory = if self.mandatory { "mandatory" } else { "" };
        // A score of no points is refused, and a rule does something.
        let points = match self.points {
            0 => "tag seen".to_owned(),
            points => format!("score +{points}"),
        };
        rule(name, id, &format!("{dates} {mandatory}"), &format!("{deed} {points}"))
    }
}

/// Hours, and whether it blocks at their end.
type HoldTerms = (i64, bool);

/// Method; 0 for nothing, 1 for a hold of so many hours, 2 for a block when it stays unanswered.
type Factor = (&'static str, u8, i64);

/// What docs/LANGUAGE.md says comes of these, and the band 50..100 with its hold of three hours.
fn by_the_book(wishes: &[Wish]) -> (Outcome, Option<HoldTerms>, Option<Factor>) {
    let points: i32 = wishes.iter().map(|wish| wish.points).sum();
    let mut all: Vec<(bool, Deed)> =
        wishes.iter().map(|wish| (wish.mandatory, wish.deed)).collect();
    if points >= 50 {
        all.push((false, Deed::Hold(3, false)));
    }
    let allowed = all.iter().any(|(_, deed)| *deed == Deed::Allow);
    let left: Vec<Deed> =
        all.iter().filter(|(mandatory, _)| *mandatory || !allowed).map(|(_, deed)| *deed).collect();
    let holds: Vec<(i64, bool)> = left
        .iter()
        .filter_map(
            |deed| if let Deed::Hold(hours, block) = deed { Some((*hours, *block)) } else { None },
        )
        .collect();
    let step_ups: Vec<(u8, i64, &'static str)> = left
        .iter()
        .filter_map(|deed| {
            if let Deed::StepUp(method, otherwise, hours) = deed {
                Some((*otherwise, *hours, *method))
            } else {
                None
            }
        })
        .collect();
    if left.contains(&Deed::Block) {
        (Outcome::Block, None, None)
    } else if let Some(longest) = holds.iter().map(|(hours, _)| *hours).max() {
        (Outcome::Hold, Some((longest, holds.iter().any(|(_, block)| *block))), None)
    } else if let Some((otherwise, hours, _)) = step_ups.iter().max().copied() {
        let same = step_ups.iter().filter(|it| (it.0, it.1) == (otherwise, hours));
        (Outcome::StepUp, None, same.map(|it| it.2).min().map(|method| (method, otherwise, hours)))
    } else if allowed {
        (Outcome::Allow, None, None)
    } else {
        (Outcome::Pass, None, None)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_names_of_the_rules_that_hit_give_what_the_book_says(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let wishes: Vec<Wish> = (0..=dice.below(6)).map(|_| Wish::random(&mut dice)).collect();
        let (outcome, hold, step_up) = by_the_book(&wishes);
        for _ in 0..3 {
            let mut names = ["a", "b", "c", "d", "e", "f"];
            shuffle(&mut names, &mut dice);
            let texts = wishes.iter().zip(names);
            let texts: String = texts.map(|(wish, name)| wish.text(name, &format!("R-{name}"))).collect();
            let case = Case::new(&format!("policy p band 50..100 -> hold for 3h\n{texts}"));
            let mut hits = case.bodies();
            for _ in 0..4 {
                shuffle(&mut hits, &mut dice);
                let found = case.resolve(&hits);
                let hours = |ms: i64| ms / 3_600_000;
                let terms = found.hold.map(|it| (hours(it.for_ms), it.otherwise == Otherwise::Block));
                let factor = found.step_up.map(|terms| match terms.otherwise {
                    None => (terms.method, 0, 0),
                    Some(StepUpOtherwise::Hold(ms)) => (terms.method, 1, hours(ms)),
                    Some(StepUpOtherwise::Block) => (terms.method, 2, 0),
                });
                prop_assert_eq!((found.outcome(), terms, factor), (outcome, hold, step_up), "{}", texts);
            }
        }
    }
}

fn shuffle<T>(items: &mut [T], dice: &mut Dice) {
    for at in (1..items.len()).rev() {
        let other = usize::try_from(dice.below(at as u64 + 1)).unwrap();
        items.swap(at, other);
    }
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
