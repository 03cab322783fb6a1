//! What the compiler proves about rules is so: random rules of a few conditions that often exclude or cover each other,
//! on random streams, judged by the reference interpreter. A rule that "never hits" must not hit, an exemption that
//! "never applies" must not apply, what is "never false" must not be, a covered rule must not act alone, and what an
//! `allow` swallows must not stop anything on its days. Rules are on several events, in several modes, with dates,
//! snoozes and every `if missing`: what is said of a rule must hold on all its events.
#![expect(clippy::panic, reason = "helpers of tests fail where what they need is not there")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use riskweir::base::TextRef;
use riskweir::diag::{Diagnostic, FileId, Severity, Source, Sources};
use riskweir::event::row::Row;
use riskweir::rules::eval::Verdict;
use riskweir::rules::oracle::Oracle;
use riskweir::rules::program::{IfMissing, Mode, Program, RuleInfo};
use riskweir::rules::syntax::parse;

use crate::support::claims::rules;
use crate::support::dice::Dice;
use crate::support::rule_text::{LISTS, SCHEMA};
use crate::support::stream::Stream;

mod support;

/// What is proved: code, rule, of a pair the other rule, and the event where it is not said of all.
struct Proved {
    code: &'static str,
    rule: String,
    other: Option<String>,
    event: Option<String>,
    /// It is said of the days of the other rule alone.
    on_days: bool,
}

fn proved(report: &[Diagnostic]) -> Vec<Proved> {
    let of = |found: &Diagnostic| {
        let mut names = found.message.split('`').skip(1).step_by(2);
        let rule = names.next().unwrap_or_default().to_owned();
        let place = found.message.split_once(" on event `");
        let event = place.and_then(|(_, rest)| rest.split('`').next()).map(str::to_owned);
        let names: Vec<&str> = names.filter(|name| Some(*name) != event.as_deref()).collect();
        let is_pair = matches!(found.code.0, "W0503" | "W0504");
        let other = is_pair.then(|| (*names.first().unwrap_or(&"")).to_owned());
        let on_days = found.message.contains("stops nothing");
        Proved { code: found.code.0, rule, other, event, on_days }
    };
    report.iter().filter(|found| found.severity() == Severity::Warning).map(of).collect()
}

/// What a rule does about one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Nothing,
    /// It hits: what its mode, dates and snoozes make of that is another matter.
    Hits,
    /// It asks for a person, for it cannot be decided.
    Asks,
}

/// A rule set on its way through a stream.
struct Judged<'p> {
    program: &'p Program,
    row: &'p Row,
    verdicts: BTreeMap<String, Verdict>,
}

impl Judged<'_> {
    fn info(&self, name: &str) -> &RuleInfo {
        let info = self.program.rules.iter().find(|info| info.name == name);
        info.unwrap_or_else(|| panic!("no rule `{name}`"))
    }

    fn does(&self, name: &str) -> Does {
        match (self.verdicts.get(name), self.info(name).if_missing) {
            (Some(Verdict::Hit), _) | (Some(Verdict::Undecided), IfMissing::Match) => Does::Hits,
            (Some(Verdict::Undecided), IfMissing::Review) => Does::Asks,
            _ => Does::Nothing,
        }
    }

    /// Whether a live rule acts on this event if it hits: by its dates and snoozes.
    fn may_act(&self, name: &str) -> bool {
        let info = self.info(name);
        let in_effect = info.effective.is_none_or(|(from_ms, to_ms)| {
            from_ms <= self.row.time_ms && to_ms.is_none_or(|to_ms| self.row.time_ms < to_ms)
        });
        assert_eq!(info.mode, Mode::Live, "pairs are proved of live rules");
        in_effect && !self.is_snoozed(name)
    }

    fn is_snoozed(&self, name: &str) -> bool {
        let event = self.program.schema.event(self.row.event());
        let card = event.fields.iter().find(|field| field.name == "card");
        let word = card.and_then(|field| self.row.get(field.slot));
        let card = word.map(|word| self.row.text(b"", TextRef(word)));
        self.program.snoozes.iter().any(|snooze| {
            self.program.rules[usize::from(snooze.rule.0)].name == name
                && card == Some(snooze.value.as_bytes())
                && self.row.time_ms < snooze.until_ms
        })
    }

    /// Whether this event shows that a proof is wrong.
    fn refutes(&self, proved: &Proved) -> bool {
        let event = &self.program.schema.event(self.row.event()).name;
        if proved.event.as_ref().is_some_and(|only| only != event) {
            return false;
        }
        let Some(verdict) = self.verdicts.get(&proved.rule) else { return false };
        let other = proved.other.as_deref().unwrap_or_default();
        match proved.code {
            "W0501" | "W0507" => self.does(&proved.rule) == Does::Hits,
            "W0502" => *verdict == Verdict::NoHit,
            "W0505" => *verdict == Verdict::Exempt,
            "W0503" => {
                let does = self.does(&proved.rule);
                does != Does::Nothing
                    && self.may_act(&proved.rule)
                    && (does == Does::Asks
                        || self.does(other) != Does::Hits
                        || !self.may_act(other))
            }
            "W0504" => {
                let in_effect = self.info(other).effective.is_none_or(|(from_ms, to_ms)| {
                    from_ms <= self.row.time_ms
                        && to_ms.is_none_or(|to_ms| self.row.time_ms < to_ms)
                });
                self.does(&proved.rule) == Does::Hits
                    && self.may_act(&proved.rule)
                    && (in_effect || !proved.on_days)
                    && (self.does(other) != Does::Hits || !self.may_act(other))
            }
            _ => false,
        }
    }
}

/// Compiles, and looks for counter-examples; returns how often each code was proved.
fn check(seed: u64, n_events: usize) -> BTreeMap<String, usize> {
    let mut dice = Dice::new(seed);
    let text = rules(&mut dice);
    let file = Source { path: "all.risk".to_owned(), text: text.clone() };
    let (program, report) = riskweir::rules::compile(&Sources::of(vec![file]));
    let program = program.unwrap_or_else(|| panic!("seed {seed}: {report:#?}\n{text}"));
    let proved = proved(&report);
    let (file, _) = parse(FileId(0), &text);
    let files = [file];
    let lists = LISTS.iter().map(|(name, members)| {
        ((*name).to_owned(), members.iter().map(|member| (*member).to_owned()).collect())
    });
    let mut oracle = Oracle::new(&files, &program.schema, lists.collect());
    let mut stream = Stream::new(&program.schema, dice.clone());
    for number in 0..n_events {
        let row = stream.next_row();
        let verdicts = oracle.judge(&row, b"").into_iter();
        let verdicts = verdicts.map(|judgement| (judgement.rule, judgement.verdict)).collect();
        let judged = Judged { program: &program, row: &row, verdicts };
        for proved in &proved {
            assert!(
                !judged.refutes(proved),
                "seed {seed}, event {number}: {} of {} {:?} {:?}\n{text}\n{row:?}",
                proved.code,
                proved.rule,
                proved.other,
                proved.event
            );
        }
    }
    let mut counts = BTreeMap::new();
    for Proved { code, event, .. } in proved {
        *counts.entry(code.to_owned()).or_default() += 1;
        if event.is_some() {
            *counts.entry(format!("{code} on an event")).or_default() += 1;
        }
    }
    counts
}

/// A generator that proved nothing would prove nothing.
#[test]
fn random_rules_prove_every_kind_of_finding() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for seed in 0..800 {
        for (code, n) in check(seed, 10) {
            *counts.entry(code).or_default() += n;
        }
    }
    let on_all = ["W0501", "W0502", "W0503", "W0504", "W0505", "W0507"];
    let on_some = ["W0501 on an event", "W0502 on an event", "W0505 on an event"];
    for code in on_all.into_iter().chain(on_some) {
        assert!(counts.get(code).is_some_and(|n| *n >= 5), "{code}: {counts:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_stream_refutes_what_is_proved(seed in any::<u64>()) {
        check(seed, 60);
    }
}

/// A median and a percentile include the event as an average does, where the window counts it and the value is one of
/// those that it ranks.
#[test]
fn a_rank_that_includes_the_value_beside_it_is_told() {
    let told = |condition: &str| {
        let text = format!(
            "{SCHEMA}rule r mode shadow\n  on pay\n  when {condition}\n  if missing skip\n  then tag x\n"
        );
        let file = Source { path: "a.risk".to_owned(), text };
        let (program, report) = riskweir::rules::compile(&Sources::of(vec![file]));
        assert!(program.is_some(), "{condition}: {report:#?}");
        report.iter().any(|found| found.code.0 == "W0604")
    };
    let includes = [
        "amount > median(pay.amount) by card over last 1d",
        "amount > 10 * median(pay.amount) by card over last 1d",
        "3 * median(pay.amount) by card over last 1d < amount",
        "amount >= percentile(95, pay.amount) by card over last 1d",
        "amount > percentile(95, pay.amount) by card over last 1d + 5 EUR",
        "tries > 2 * median(pay.tries) by card over last 1d default 7",
        "not (ratio <= percentile(50, pay.ratio) by device over last 1h)",
    ];
    let leaves_out = [
        // Only what was before.
        "amount > median(pay.amount) by card over prior 1d",
        "amount > percentile(95, pay.amount) by card over last 1d ending 1d ago",
        // Another value, and only some of the events.
        "tries > median(pay.amount) by card over last 1d / 1 EUR",
        "amount > median(pay.amount where chip) by card over last 1d",
    ];
    for condition in includes {
        assert!(told(condition), "{condition}");
    }
    for condition in leaves_out {
        assert!(!told(condition), "{condition}");
    }
}
