//! What can be proved about rules before they run: conditions that never or always hold, exemptions that never apply,
//! rules that other rules cover, an allow that swallows a block.
//!
//! A condition is taken apart into cases ([`logic`]); a case is refused when its claims contradict each other: two truths
//! of one atom, something that is there and missing, a member of no set, numbers whose order closes to a circle
//! ([`solve`], [`bounds`]), texts that cannot be so ([`texts`]), answers of windows that cannot ([`windows`]).
//!
//! A proof is about one event type. Of a rule on several of them what is told is what holds on all; what holds on some of
//! them names the event ([`told`]).
//!
//! INVARIANT: only what is proved is reported. Silence means that nothing was proved, never that there is nothing;
//! `riskweir analyze` looks for events that refute the rest ([`statements`], `witness`). What
//! is proved holds for records that have their required fields, and for exact answers of windows. Property tests search
//! for counter-examples with random rules and the reference interpreter.
//!
//! Cost: bounded; what would take too many cases is left out.

mod baselines;
mod bounds;
mod logic;
mod pairs;
mod rails;
mod solve;
pub mod statements;
mod texts;
mod topics;
mod windows;

use core::cell::Cell;
use std::collections::BTreeMap;

use crate::base::Value;
use crate::diag::{Diagnostic, Span, codes};
use crate::rules::analysis::logic::{Claim, Say, cases};
use crate::rules::analysis::windows::Scene;
use crate::rules::program::{
    Constant, EventPlan, IfMissing, NodeId, Program, RuleBody, RuleId, RuleInfo,
};

/// Most cases of a rule set that are looked at; beyond that nothing is claimed.
const MAX_TRIES: u32 = 50_000;

/// Everything that is proved about the rules of a program.
pub(super) fn findings(program: &Program) -> Vec<Diagnostic> {
    let (mut report, mut proofs) = (Vec::new(), Proofs::new());
    let tries = Cell::new(MAX_TRIES);
    for plan in &program.plans {
        let scene = Scene { program, plan, windows: true, tries: &tries };
        let mut idle = Vec::new();
        for body in &plan.rules {
            let subject = Subject::new(scene, body);
            if let Some((kind, proved)) = subject.never().or_else(|| subject.always()) {
                proofs.entry((kind, body.rule, None)).or_default().push(proved);
                idle.push(body.rule);
            } else if let Some(proved) = subject.dead_exemption() {
                proofs.entry((Kind::DeadExemption, body.rule, None)).or_default().push(proved);
            }
            report.extend(baselines::findings(&subject));
            report.extend(rails::finding(&subject));
        }
        pairs::findings(scene, &idle, &mut proofs);
    }
    report.extend(told(program, &proofs));
    report
}

/// What was proved of a rule, maybe with another one, on each of the event types on which it was.
type Proofs = BTreeMap<(Kind, RuleId, Option<RuleId>), Vec<Proved>>;

/// What can be proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Never,
    Always,
    DeadExemption,
    /// The other rule hits whenever this one does, and does the same.
    Covered,
    /// The other rule allows all that this one would stop.
    Swallowed,
}

/// A proof about one event type, in words.
struct Proved {
    /// For when it holds on all events of the rule.
    whole: Diagnostic,
    /// For when it does not, where that is worth telling: the event is named, and nobody is told to delete the rule.
    part: Option<Diagnostic>,
}

/// What is told of what was proved: of a whole rule only what holds on every event that it is on.
fn told(program: &Program, proofs: &Proofs) -> Vec<Diagnostic> {
    let n_events = |rule: RuleId| {
        program.plans.iter().filter(|plan| bodies(plan).any(|body| body.rule == rule)).count()
    };
    let n_proved = |kind: Kind, rule: RuleId, other: Option<RuleId>| {
        let on = |kind, other| proofs.get(&(kind, rule, other)).map_or(0, Vec::len);
        // On an event on which it never hits a rule is covered by anything.
        on(kind, other) + if other.is_some() { on(Kind::Never, None) } else { 0 }
    };
    let holds = |kind, rule, other| n_proved(kind, rule, other) >= n_events(rule);
    let mut report = Vec::new();
    for ((kind, rule, other), proved) in proofs {
        if !holds(*kind, *rule, *other) {
            report.extend(proved.iter().filter_map(|proved| proved.part.clone()));
            continue;
        }
        // Of two rules that cover each other the later by name is told.
        let mutual = other.is_some_and(|other| {
            *kind == Kind::Covered
                && *rule < other
                && holds(*kind, other, Some(*rule))
                && proofs.contains_key(&(*kind, other, Some(*rule)))
        });
        report.extend(proved.first().filter(|_| !mutual).map(|proved| proved.whole.clone()));
    }
    report
}

/// What is said beside a finding that holds on some events of a rule.
const ELSEWHERE: &str =
    "on its other events it may: take this one out of `on`, or give it a rule of its own";

/// One rule on one event.
#[derive(Clone, Copy)]
struct Subject<'p> {
    scene: Scene<'p>,
    body: &'p RuleBody,
    info: &'p RuleInfo,
}

impl<'p> Subject<'p> {
    fn new(scene: Scene<'p>, body: &'p RuleBody) -> Self {
        Self { scene, body, info: &scene.program.rules[usize::from(body.rule.0)] }
    }

    /// The claims under which the rule hits.
    fn hit(&self) -> Vec<Claim> {
        let when = if self.info.if_missing == IfMissing::Match { Say::NotFalse } else { Say::True };
        let guard = self.body.guard.map(|node| Claim { node, say: Say::True });
        let unless = self.body.unless.map(|node| Claim { node, say: Say::NotTrue });
        let when = Claim { node: self.body.when, say: when };
        guard.into_iter().chain([when]).chain(unless).collect()
    }

    fn guarded(&self, claims: &[Claim]) -> Vec<Claim> {
        let guard = self.body.guard.map(|node| Claim { node, say: Say::True });
        guard.into_iter().chain(claims.iter().copied()).collect()
    }

    fn never(&self) -> Option<(Kind, Proved)> {
        let proof = refute(self.scene, &self.hit())?;
        let (name, event, why) = (&self.info.name, self.event(), self.why(&proof));
        let (code, help) = if proof.by_windows {
            (codes::W0507, self.scene.why_windows(&proof.core))
        } else {
            let help = match proof.core[..] {
                [one] if texts::asks_for_capitals(self.scene, one) => {
                    "`lower` gives small letters: write in small letters what it is compared with"
                }
                [_] => "change it, or delete the rule",
                _ => "change one of them, or delete the rule",
            };
            (codes::W0501, help)
        };
        let tell = |message: String| Diagnostic::new(code, self.words(self.body.when), message);
        let whole = tell(format!("rule `{name}` never hits: {why}")).with_help(help);
        let part = tell(format!("rule `{name}` never hits on event `{event}`: {why}"))
            .with_help(ELSEWHERE);
        Some((Kind::Never, Proved { whole, part: Some(part) }))
    }

    fn always(&self) -> Option<(Kind, Proved)> {
        refute(self.scene, &self.is_false())?;
        let (name, event) = (&self.info.name, self.event());
        let tell = |message: String| {
            Diagnostic::new(codes::W0502, self.words(self.body.when), message)
                .with_help("if every event is meant, say which with `on ... where`")
        };
        let whole = tell(format!("the condition of rule `{name}` is never false"));
        let part =
            tell(format!("the condition of rule `{name}` is never false on event `{event}`"));
        Some((Kind::Always, Proved { whole, part: Some(part) }))
    }

    /// The claims under which the condition is false.
    fn is_false(&self) -> Vec<Claim> {
        self.guarded(&[Claim { node: self.body.when, say: Say::False }])
    }

    /// The claims under which the exemption keeps the rule from a hit.
    fn is_exempt(&self) -> Option<Vec<Claim>> {
        let when = Claim { node: self.body.when, say: Say::NotFalse };
        let unless = Claim { node: self.body.unless?, say: Say::True };
        Some(self.guarded(&[when, unless]))
    }

    fn dead_exemption(&self) -> Option<Proved> {
        let (node, proof) = (self.body.unless?, refute(self.scene, &self.is_exempt()?)?);
        let (name, event, why) = (&self.info.name, self.event(), self.why(&proof));
        let tell = |message: String, help: &str| {
            Diagnostic::new(codes::W0505, self.words(node), message).with_help(help)
        };
        let whole = tell(
            format!("the exemption of rule `{name}` never applies: {why}"),
            "whoever wrote it thinks that somebody is exempt",
        );
        let part = tell(
            format!("the exemption of rule `{name}` never applies on event `{event}`: {why}"),
            ELSEWHERE,
        );
        Some(Proved { whole, part: Some(part) })
    }

    /// Whether the condition may be undecided, as far as nobody can prove that it cannot.
    fn may_be_undecided(&self) -> bool {
        let node = self.body.when;
        let claims =
            self.guarded(&[Claim { node, say: Say::NotTrue }, Claim { node, say: Say::NotFalse }]);
        refute(self.scene, &claims).is_none()
    }

    /// The name of the event type.
    fn event(&self) -> &'p str {
        let plans = self.scene.program.plans.iter().zip(&self.scene.program.schema.events);
        let own = plans.into_iter().find(|(plan, _)| core::ptr::eq(*plan, self.scene.plan));
        own.map_or("", |(_, event)| &event.name)
    }

    /// The author's words for a node, or the whole rule where they stand elsewhere.
    fn words(&self, id: NodeId) -> Span {
        let span = self.scene.node(id).map(|node| self.body.words_of(id, node));
        let rule = self.info.span;
        let inside = |span: &Span| {
            span.file == rule.file && rule.start <= span.start && span.end <= rule.end
        };
        span.filter(inside).unwrap_or_else(|| self.name())
    }

    /// Where the rule says its name.
    fn name(&self) -> Span {
        self.info.name_span
    }

    /// The claims that contradict each other, in the author's words.
    fn why(&self, proof: &Proof) -> String {
        let mut words: Vec<String> = proof.core.iter().map(|claim| self.claim(*claim)).collect();
        words.sort();
        words.dedup();
        match &words[..] {
            [] => "its parts exclude each other".to_owned(),
            [one] => format!("{one} cannot be"),
            several if several.len() <= 3 => {
                format!("{} exclude each other", several.join(" and "))
            }
            _ => "its parts exclude each other".to_owned(),
        }
    }

    /// What the author wrote for a node, on one line.
    fn said(&self, id: NodeId) -> String {
        let span = self.scene.node(id).map(|node| self.body.words_of(id, node));
        let text = span.map_or("", |span| self.scene.program.sources.text(span));
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn claim(&self, claim: Claim) -> String {
        let text = self.said(claim.node);
        match claim.say {
            Say::True | Say::NotFalse => format!("`{text}`"),
            Say::False | Say::NotTrue => format!("not `{text}`"),
        }
    }
}

/// Why claims cannot hold together.
struct Proof {
    /// The claims of the first case that contradict each other.
    core: Vec<Claim>,
    /// It needs what is certain about windows.
    by_windows: bool,
}

/// A proof that the claims never hold together, when there is one.
fn refute(scene: Scene<'_>, claims: &[Claim]) -> Option<Proof> {
    let cases = cases(scene.plan, claims)?;
    if !cases.iter().all(|case| solve::contradicts(scene, case)) {
        return None;
    }
    let plain = Scene { windows: false, ..scene };
    let by_windows = !cases.iter().all(|case| solve::contradicts(plain, case));
    // One case explains; of several there may be as many reasons.
    let core = match &cases[..] {
        [one] => solve::core(if by_windows { scene } else { plain }, one),
        _ => Vec::new(),
    };
    Some(Proof { core, by_windows })
}

/// The run-time value of a constant that has an order.
fn value_of(constant: &Constant) -> Option<Value> {
    match constant {
        Constant::Int(int) => Some(Value::Int(*int)),
        Constant::Number(number) => Some(Value::Number(*number)),
        Constant::Money(micro) => Some(Value::Money(*micro)),
        Constant::Bool(_) | Constant::Text(_) | Constant::Code(_) => None,
    }
}

/// What a plan's rule bodies are, in the order of the rules.
fn bodies(plan: &EventPlan) -> impl Iterator<Item = &RuleBody> {
    plan.rules.iter()
}
