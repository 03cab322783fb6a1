//! Two rules on one event: one that the other covers, an allow that swallows what would stop.

use std::collections::HashMap;

use crate::diag::{Diagnostic, codes};
use crate::rules::analysis::logic::{Claim, Say, cases};
use crate::rules::analysis::solve::contradicts;
use crate::rules::analysis::topics::{Part, Topics, parts, topics_of};
use crate::rules::analysis::windows::Scene;
use crate::rules::analysis::{ELSEWHERE, Kind, Proofs, Proved, Subject, bodies, refute};
use crate::rules::program::{ActionPlan, IfMissing, Mode, RuleId};

/// Most pairs of rules that are looked at on one event.
const MAX_PAIRS: usize = 20_000;

/// What is proved about pairs of live rules; `idle` are those about which something was said already.
pub(super) fn findings(scene: Scene<'_>, idle: &[RuleId], proofs: &mut Proofs) {
    let mut known = Known::default();
    let live: Vec<Side<'_>> = bodies(scene.plan)
        .map(|body| Subject::new(scene, body))
        .filter(|subject| subject.info.mode == Mode::Live && !idle.contains(&subject.body.rule))
        // What does nothing but score neither covers nor is covered.
        .filter(|subject| !subject.body.actions.iter().all(scores))
        .map(|subject| Side::of(subject, &mut known))
        .collect();
    let allows = live.iter().filter(|side| side.subject.body.actions.contains(&ActionPlan::Allow));
    let (allows, all) = (allows.collect::<Vec<_>>(), live.iter().collect::<Vec<_>>());
    let mut n_pairs = 0;
    for inner in &live {
        let is_covered_by_none = inner.subject.body.actions.iter().any(scores);
        for outer in if is_covered_by_none { &allows } else { &all } {
            let (one, other) = (&inner.subject, &outer.subject);
            if one.body.rule == other.body.rule || !may_relate(one, other) {
                continue;
            }
            n_pairs += 1;
            if n_pairs > MAX_PAIRS {
                return;
            }
            if inner.implies(outer, &mut known)
                && (swallows(one, other)
                    || !thins(one, other)
                    || outer.is_within(inner, &mut known))
            {
                let (kind, proved) = told(one, other);
                let key = (kind, one.body.rule, Some(other.body.rule));
                proofs.entry(key).or_default().push(proved);
            }
        }
    }
}

/// Whether cases contradict themselves, each looked at once: many rules claim the same of the same things.
#[derive(Default)]
struct Known(HashMap<Vec<Claim>, bool>);

impl Known {
    fn contradicts(&mut self, scene: Scene<'_>, mut claims: Vec<Claim>) -> bool {
        claims.sort_unstable();
        if let Some(&known) = self.0.get(&claims) {
            return known;
        }
        let found = contradicts(scene, &claims.iter().copied().collect());
        self.0.insert(claims, found);
        found
    }
}

/// A rule, taken apart once for all pairs that it is in.
struct Side<'p> {
    subject: Subject<'p>,
    /// The cases in which it hits, each in parts that have nothing to do with each other; `None`: too many.
    cases: Option<Vec<Vec<Part>>>,
    /// What must not be where this rule is to hit, if it does in one case only, without what cannot be anyhow.
    wanted: Option<Vec<Wanted>>,
}

/// Something that cannot be where a rule hits.
struct Wanted {
    fails: Claim,
    about: Topics,
}

impl<'p> Side<'p> {
    fn of(subject: Subject<'p>, known: &mut Known) -> Self {
        let scene = subject.scene;
        let cases = cases(scene.plan, &subject.hit());
        let wanted = match cases.as_deref() {
            Some([one]) => {
                let fails = one.iter().map(|claim| Claim { say: contrary(claim.say), ..*claim });
                let may_fail = fails.filter(|fails| !known.contradicts(scene, vec![*fails]));
                let wanted =
                    may_fail.map(|fails| Wanted { fails, about: topics_of(scene, fails.node) });
                Some(wanted.collect())
            }
            _ => None,
        };
        // WHY: what contradicts a case may be about other things than what is wanted of it, and then nobody would look there.
        let cases = cases.map(|cases| {
            let may_be = cases
                .iter()
                .filter(|case| !known.contradicts(scene, case.iter().copied().collect()));
            may_be.map(|case| parts(scene, case)).collect()
        });
        Self { subject, cases, wanted }
    }

    /// Whether it is proved that `outer` hits on every event on which this rule does.
    fn implies(&self, outer: &Side<'_>, known: &mut Known) -> bool {
        let (Some(cases), Some(wanted)) = (&self.cases, &outer.wanted) else {
            let alone = self.subject.hits_alone(Some(&outer.subject));
            return alone.iter().all(|claims| refute(self.subject.scene, claims).is_some());
        };
        let concerned = |parts: &[Part], wanted: &Wanted| {
            parts.iter().any(|part| part.about.meet(&wanted.about))
        };
        cases.iter().all(|parts| wanted.iter().all(|wanted| concerned(parts, wanted)))
            && cases
                .iter()
                .all(|parts| wanted.iter().all(|wanted| self.excludes(parts, wanted, known)))
    }

    /// Whether it is proved that this rule acts only where `other` does.
    fn is_within(&self, other: &Side<'_>, known: &mut Known) -> bool {
        has_all_days(&self.subject, &other.subject)
            && other.subject.body.snoozes.is_empty()
            && self.implies(other, known)
    }

    /// Whether a case of this rule contradicts what must not be. Parts that are about other things have no say.
    fn excludes(&self, parts: &[Part], wanted: &Wanted, known: &mut Known) -> bool {
        let concerned = parts.iter().filter(|part| part.about.meet(&wanted.about));
        let claims = concerned.flat_map(|part| part.claims.iter().copied());
        known.contradicts(self.subject.scene, claims.chain([wanted.fails]).collect())
    }
}

/// Whether a proof that `outer` hits whenever `inner` does would be worth telling.
pub(super) fn may_relate(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    swallows(inner, outer) || covers(inner, outer)
}

/// An allow beside something that would stop money and is not mandatory, on days on which both may act. Somebody for whom
/// the allow is snoozed is not let pass, so of one that has snoozes nothing is claimed.
pub(super) fn swallows(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let stops = |action: &ActionPlan| {
        matches!(
            action,
            ActionPlan::Block { .. } | ActionPlan::Hold { .. } | ActionPlan::StepUp { .. }
        )
    };
    !inner.info.mandatory
        && inner.body.actions.iter().any(stops)
        && outer.body.actions.contains(&ActionPlan::Allow)
        && outer.body.snoozes.is_empty()
        && do_days_meet(inner, outer)
}

/// First and last instant of a rule, the last one exclusive.
fn days(subject: &Subject<'_>) -> (i64, i64) {
    let (from_ms, to_ms) = subject.info.effective.unwrap_or((i64::MIN, None));
    (from_ms, to_ms.unwrap_or(i64::MAX))
}

fn do_days_meet(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let ((from_ms, to_ms), (other_from_ms, other_to_ms)) = (days(inner), days(outer));
    from_ms < other_to_ms && other_from_ms < to_ms
}

/// Whether `outer` is in effect whenever `inner` is.
fn has_all_days(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let ((from_ms, to_ms), (other_from_ms, other_to_ms)) = (days(inner), days(outer));
    other_from_ms <= from_ms && to_ms <= other_to_ms
}

/// Whether `outer` does all that `inner` does, on every day on which `inner` does it. Points add up, so what scores is
/// never covered; nor is a rule that asks for a person where it cannot be decided, because no other rule does that for it.
fn covers(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let asks = inner.info.if_missing == IfMissing::Review && inner.may_be_undecided();
    let weight = outer.info.severity >= inner.info.severity
        && (outer.info.mandatory || !inner.info.mandatory);
    let done = |action: &ActionPlan| outer.body.actions.iter().any(|other| does(other, action));
    !asks
        && has_all_days(inner, outer)
        && weight
        && outer.body.snoozes.is_empty()
        && inner.body.actions.iter().all(done)
}

/// Whether `outer` may keep back an alert that `inner` would raise: one that it raised before is told again by what is
/// graver only, and that may have been on an event that is no business of `inner`.
fn thins(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let raises = |action: &ActionPlan| {
        let ActionPlan::Alert { queue, .. } = action else { return true };
        outer.body.actions.iter().any(
            |other| matches!(other, ActionPlan::Alert { queue: of, once: None, .. } if of == queue),
        )
    };
    !inner.body.actions.iter().all(raises)
}

fn scores(action: &ActionPlan) -> bool {
    matches!(action, ActionPlan::Score { .. })
}

/// Whether one action does what the other does.
fn does(action: &ActionPlan, wanted: &ActionPlan) -> bool {
    match (action, wanted) {
        (ActionPlan::Block { .. }, ActionPlan::Block { .. }) => true,
        (
            ActionPlan::Hold { of, for_ms, escalate, otherwise, .. },
            ActionPlan::Hold {
                of: wanted_of,
                for_ms: wanted_ms,
                escalate: wanted_escalate,
                otherwise: wanted_otherwise,
                ..
            },
        ) => {
            (wanted_of.is_none() || wanted_of == of)
                && (wanted_escalate.is_none() || wanted_escalate == escalate)
                && for_ms >= wanted_ms
                && otherwise >= wanted_otherwise
        }
        (
            ActionPlan::Alert { queue, once, .. },
            ActionPlan::Alert { queue: wanted_queue, once: wanted_once, .. },
        ) => queue == wanted_queue && (once.is_none() || once == wanted_once),
        _ if scores(action) || scores(wanted) => false,
        _ => action == wanted,
    }
}

/// What holds where a claim does not.
pub(super) fn contrary(say: Say) -> Say {
    match say {
        Say::True => Say::NotTrue,
        Say::NotTrue => Say::True,
        Say::False => Say::NotFalse,
        Say::NotFalse => Say::False,
    }
}

fn told(inner: &Subject<'_>, outer: &Subject<'_>) -> (Kind, Proved) {
    let (name, other) = (&inner.info.name, &outer.info.name);
    if swallows(inner, outer) {
        return (Kind::Swallowed, swallowed(inner, outer));
    }
    let message = format!(
        "rule `{name}` is covered by `{other}`, which hits on the same events and does the same"
    );
    let whole = Diagnostic::new(codes::W0503, inner.name(), message)
        .with_related(outer.name(), "covers it")
        .with_help("delete one of them, or let them differ in what they do; another message alone changes nothing");
    (Kind::Covered, Proved { whole, part: None })
}

/// What an `allow` swallows, with its days where it does not have all those of the rule.
fn swallowed(inner: &Subject<'_>, outer: &Subject<'_>) -> Proved {
    let (name, other, event) = (&inner.info.name, &outer.info.name, inner.event());
    let days = inner.scene.program.sources.text(outer.info.effective_span);
    let days = days.split_whitespace().collect::<Vec<&str>>().join(" ");
    let (always, days) = if has_all_days(inner, outer) {
        ("never stops anything", String::new())
    } else {
        ("stops nothing", format!(" in {days}"))
    };
    let tell = |place: &str, help: &str| {
        let message =
            format!("rule `{name}` {always}{place}{days}: `{other}` allows all that it hits");
        Diagnostic::new(codes::W0504, inner.name(), message)
            .with_related(outer.name(), "allowed here")
            .with_help(help)
    };
    let help = "make the `allow` narrower, or the rule `mandatory` if it must hold";
    let whole = tell("", help);
    let part = tell(&format!(" on event `{event}`"), ELSEWHERE);
    Proved { whole, part: Some(part) }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::diag::{Source, Sources};
    use crate::rules::compile;
    use crate::rules::program::Program;

    const SCHEMA: &str = r"
event payment
  id    row  : text
  time  at   : time
  key   card : card
  key   shop : shop?
  field amount : money currency EUR
  field age    : integer?
  field channel : one of [pos, ecom, atm]

list bad : shop
";

    const ATOMS: &[&str] = &[
        "channel = pos",
        "channel in [pos, ecom]",
        "channel != atm",
        "amount > 100 EUR",
        "amount >= 50 EUR",
        "not (amount <= 200 EUR)",
        "age > 5",
        "age > 9",
        "age is present",
        "age is missing",
        "age default 3 >= 3",
        "shop in bad",
        "shop is present",
        "is_new(payment.shop) by card over prior 7d",
        "count(payment) by card over last 1h >= 3",
        "count(payment) by card over last 2h >= 3",
        "count(payment) by card over last 1h >= 5",
        "count(payment where channel = pos) by card over last 1h >= 4",
        "count(payment) by shop over last 1h >= 3",
        "distinct(payment.shop) by card over last 1h >= 4",
        "max(payment.amount) by card over last 1h > 70 EUR",
        "max(payment.amount) by card over last 3h > 60 EUR",
        "min(payment.amount) by card over last 1h < 90 EUR",
        "amount > 2 * avg(payment.amount) by card over prior 7d",
        "sum(payment.amount) by card over last 1h > 300 EUR",
        "time_since(payment) by card over prior 7d < 8d",
        "(channel = atm or age > 7)",
        "(amount > 500 EUR or count(payment) by card over last 1h >= 7)",
    ];

    fn rule_set(rules: &[(Vec<usize>, Option<usize>, usize)]) -> Program {
        let mut text = SCHEMA.to_owned();
        for (index, (atoms, unless, missing)) in rules.iter().enumerate() {
            let atoms: Vec<&str> = atoms.iter().map(|atom| ATOMS[*atom]).collect();
            let unless = unless.map_or(String::new(), |atom| format!("  unless {}\n", ATOMS[atom]));
            let missing = ["skip", "match"][*missing];
            text.push_str(&format!(
                "rule r{index}\n  id \"{index}\"  owner o\n  on payment\n  when {}\n{unless}  if missing {missing}\n  then block\n",
                atoms.join(" and ")
            ));
        }
        let sources = Sources::of(vec![Source { path: "a.risk".to_owned(), text }]);
        let (program, report) = compile(&sources);
        program.unwrap_or_else(|| panic!("{report:#?}"))
    }

    /// Rules as numbers of [`ATOMS`], of the exemption, and of what is done where something is missing.
    type Drawn = Vec<(Vec<usize>, Option<usize>, usize)>;

    fn check_pairs(rules: &Drawn) -> Result<(), TestCaseError> {
        let program = rule_set(rules);
        let tries = Cell::new(u32::MAX);
        let plan = &program.plans[0];
        let scene = Scene { program: &program, plan, windows: true, tries: &tries };
        let hits = |subject: &Subject<'_>| refute(scene, &subject.hit()).is_none();
        let subjects = bodies(plan).map(|body| Subject::new(scene, body)).filter(hits);
        let mut known = Known::default();
        let sides: Vec<Side<'_>> = subjects.map(|subject| Side::of(subject, &mut known)).collect();
        for inner in &sides {
            for outer in &sides {
                let alone = inner.subject.hits_alone(Some(&outer.subject));
                let whole = alone.iter().all(|claims| refute(scene, claims).is_some());
                prop_assert_eq!(
                    inner.implies(outer, &mut known),
                    whole,
                    "{} within {}",
                    inner.subject.info.name,
                    outer.subject.info.name
                );
            }
        }
        Ok(())
    }

    /// `(channel = atm or age > 7) and channel = pos` is within `age > 5`, though its first case is about the channel alone.
    #[test]
    fn a_case_that_cannot_be_takes_no_proof_away() {
        check_pairs(&vec![(vec![6], None, 0), (vec![26, 0], None, 0)]).unwrap();
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        // What is left out because it is about other things takes no proof away.
        #[test]
        fn a_pair_taken_apart_is_proved_as_the_whole_is(
            rules in proptest::collection::vec(
                (
                    proptest::collection::vec(0..ATOMS.len(), 1..4),
                    proptest::option::weighted(0.2, 0..ATOMS.len()),
                    0..2_usize,
                ),
                2..9,
            )
        ) {
            check_pairs(&rules)?;
        }
    }
}
