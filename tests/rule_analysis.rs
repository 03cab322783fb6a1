//! What the compiler proves about rules is so: random rules of a few conditions that often exclude or cover each other,
//! on random streams, judged by the reference interpreter. A rule that "never hits" must not hit, an exemption that
//! "never applies" must not apply, what is "never false" must not be, a covered rule must not act alone, and what an
//! `allow` swallows must not stop anything on its days. Rules are on several events, in several modes, with dates,
//! snoozes and every `if missing`: what is said of a rule must hold on all its events.
#![expect(
    clippy::panic,
    clippy::format_push_string,
    reason = "helpers of tests fail where what they need is not there, and speed is nothing here"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use riskweir::base::TextRef;
use riskweir::diag::{Diagnostic, FileId, Severity, Source, Sources};
use riskweir::event::row::Row;
use riskweir::rules::eval::Verdict;
use riskweir::rules::oracle::Oracle;
use riskweir::rules::program::{IfMissing, Mode, Program, RuleInfo};
use riskweir::rules::syntax::parse;

use crate::support::dice::Dice;
use crate::support::rule_text::{LISTS, SCHEMA};
use crate::support::stream::Stream;

mod support;

/// Conditions that say much about few things.
const ATOMS: &[&str] = &[
    "amount > 1 EUR",
    "amount >= 2 EUR",
    "amount < 2 EUR",
    "amount <= 1 EUR",
    "amount = 1 EUR",
    "amount between 1 EUR and 2 EUR",
    "amount <= max(pay.amount) by card over last 10s",
    "amount > max(pay.amount) by card over last 10s",
    "amount < min(pay.amount) by card over last 10s",
    "amount > max(pay.amount) by card over prior 10s",
    "channel = pos",
    "channel != pos",
    "channel in [pos, atm]",
    "channel not in [atm, ecom]",
    "home = DE",
    "home not in [DE, FR]",
    "home is missing",
    "home is present",
    "tries > 2",
    "tries <= 2",
    "tries != 3",
    "tries in [1, 2]",
    "tries is missing",
    "chip",
    "not chip",
    "chip = true",
    "card in stolen",
    "card not in stolen",
    "note = \"b\"",
    "note = \"note one\"",
    "length(note) < 0",
    "count(pay) by card over last 2s >= 2",
    "count(pay) by card over last 10s >= 2",
    "count(pay) by card over last 10s < 2",
    "count(pay) by card over prior 10s >= 2",
    "count(pay) by card over prior 10s = 0",
    "count(pay) by card over last 10s = 0",
    "count(pay where channel = pos) by card over last 10s >= 2",
    "count(pay) by device over last 10s >= 2",
    "count(pay) by device over last 2s > 2",
    "count(pay) by device over last 10s < 2",
    "count(pay) by card over today >= 2",
    "count(pay) by card over today < 2",
    "count(pay) by card over prior today = 0",
    "count(pay) by card over today in timezone note < 2",
    "count(pay) by card over today in timezone note is present",
    "count(pay) by card over this_week < 2",
    "count(pay) by card over this_month in timezone \"Asia/Kolkata\" < 2",
    "count(pay) by card over last 1h >= 2",
    "count(pay) by card over lifetime < 2",
    "time_since(pay) by card over prior today > 3s",
    "amount > max(pay.amount) by card over today",
    "amount < percentile(50, pay.amount) by card over last 10s",
    "distinct(pay.merchant) by card over last 10s >= 3",
    "distinct(pay.merchant) by card over last 10s > count(pay) by card over last 10s",
    "count(pay) by card over last 10s > count(pay) by card over last 1m",
    "is_new(pay.merchant) by card over prior 10s",
    "not (is_new(pay.merchant) by card over prior 10s)",
    "time_since(pay) by card over prior 5s > 3s",
    "time_since(pay) by card over prior 5s > 6s",
    "share(pay where chip) by card over last 10s > 100%",
    "share(pay where chip) by card over last 10s >= 0",
    "min(pay.amount) by card over prior 10s > max(pay.amount) by card over prior 10s",
    "hour(at) > 23",
    "1 = 1",
];

fn condition(dice: &mut Dice, atoms: &[&str], depth: u32) -> String {
    match dice.below(if depth == 0 { 1 } else { 4 }) {
        0 => format!("({})", dice.pick(atoms)),
        1 => format!("(not {})", condition(dice, atoms, depth - 1)),
        kind => {
            let (a, b) = (condition(dice, atoms, depth - 1), condition(dice, atoms, depth - 1));
            format!("({a} {} {b})", if kind == 2 { "and" } else { "or" })
        }
    }
}

/// Conditions that both event types have; of `login` the tries and the device are always there.
const COMMON: &[&str] = &[
    "tries > 2",
    "tries <= 2",
    "tries != 3",
    "tries in [1, 2]",
    "tries is missing",
    "device is missing",
    "device is present",
    "chip",
    "not chip",
    "card in stolen",
    "ratio > 0.5",
    "ratio <= 0.5",
    "note = \"b\"",
    "length(note) < 0",
    "count(login) by customer over last 10s >= 1",
    "count(login) by customer over last 10s >= 2",
    "count(login) by customer over last 2s >= 2",
    "count(login) by customer over last 10s < 1",
    "count(login) by device over last 10s >= 1",
    "time_since(login) by customer over prior 5s > 6s",
    "hour(at) > 23",
    "1 = 1",
];

/// All or some of the days on which streams take place, or none of them.
const DATES: &[&str] = &[
    "2026-01-01 .. 2026-12-31",
    "2020-01-01 .. 2020-12-31",
    "2026-03-29 .. 2026-03-29",
    "2026-01-01 .. 2026-03-29",
    "2026-03-30 .. 2026-12-31",
];

fn rules(dice: &mut Dice) -> String {
    let mut text = SCHEMA.to_owned();
    // Half of the sets are about one event, with conditions of its own.
    let several = dice.one_in(2);
    let atoms = if several { COMMON } else { ATOMS };
    for index in 0..4 {
        let on =
            if several { dice.pick(&["pay", "login", "pay, login", "login, pay"]) } else { "pay" };
        let then = dice.pick(&[
            "block",
            "block",
            "block",
            "block",
            "hold for 1h",
            "allow",
            "alert queue q",
        ]);
        let dates = match then {
            "allow" => format!(" effective {}", dice.pick(DATES)),
            _ if dice.one_in(6) => format!(" effective {}", dice.pick(DATES)),
            _ => String::new(),
        };
        let mode = match dice.below(12) {
            0 => " mode shadow",
            1 => " mode canary 50% by note",
            _ => "",
        };
        text.push_str(&format!("rule r{index}\n  id \"R{index}\" owner o{dates}{mode}\n  on {on}"));
        if dice.one_in(4) {
            text.push_str(&format!(" where {}", condition(dice, atoms, 0)));
        }
        text.push_str(&format!("\n  when {}\n", condition(dice, atoms, 2)));
        if dice.one_in(3) {
            text.push_str(&format!("  unless {}\n", condition(dice, atoms, 1)));
        }
        let missing = dice.pick(&["skip", "match", "review"]);
        text.push_str(&format!("  if missing {missing}\n  then {then}\n"));
    }
    if dice.one_in(4) {
        let rule = dice.below(4);
        text.push_str(&format!(
            "snooze r{rule} for card \"c1\" until 2026-12-31 owner o reason \"a test\"\n"
        ));
    }
    text
}

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
    let (program, report) = riskweir::rules::compile(&Sources { files: vec![file] });
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
