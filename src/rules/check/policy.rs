//! The decision policy; without one, the defaults.

use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::rules::check::refusal::did_you_mean;
use crate::rules::check::schema::default_currency;
use crate::rules::check::{actions, literals};
use crate::rules::program::{ActionPlan, Approvals, Policy};
use crate::rules::syntax::ast::{
    self, Action, ActionKind, Decimal, Item, PolicyClause, PolicyClauseKind, Text,
};
use crate::rules::syntax::words;

/// Byte budget for all state when no policy gives one.
const DEFAULT_STATE_BYTES: u64 = 1 << 30;

/// The policy and its time zone.
pub(super) fn compile(
    items: &[&Item],
    report: &mut Vec<Diagnostic>,
) -> (Policy, jiff::tz::TimeZone) {
    let mut builder = Builder {
        policy: Policy {
            name: "default".to_owned(),
            base_currency: default_currency(),
            timezone: "UTC".to_owned(),
            bands: Vec::new(),
            state_bytes: DEFAULT_STATE_BYTES,
            breaker: None,
            budget_ns: None,
            approvals: Vec::new(),
        },
        timezone: jiff::tz::TimeZone::UTC,
        seen: Vec::new(),
        report,
    };
    let mut first = None;
    for item in items {
        let Item::Policy(policy) = item else { continue };
        if let Some(first) = first {
            let diagnostic =
                Diagnostic::new(codes::E0510, policy.name.span, "a rule set has one policy")
                    .with_related(first, "first given here")
                    .with_help("move the clauses into one of them");
            builder.report.push(diagnostic);
            continue;
        }
        first = Some(policy.name.span);
        builder.policy.name.clone_from(&policy.name.text);
        for clause in &policy.clauses {
            builder.clause(clause);
        }
    }
    builder.sort_bands();
    (builder.policy, builder.timezone)
}

struct Builder<'r> {
    policy: Policy,
    timezone: jiff::tz::TimeZone,
    seen: Vec<&'static str>,
    report: &'r mut Vec<Diagnostic>,
}

impl Builder<'_> {
    fn clause(&mut self, clause: &PolicyClause) {
        let span = clause.span;
        let word = match &clause.kind {
            PolicyClauseKind::BaseCurrency(_) => "base currency",
            PolicyClauseKind::Timezone(_) => "timezone",
            PolicyClauseKind::Rates { .. } => "rates",
            PolicyClauseKind::Band(..) => "band",
            PolicyClauseKind::Approvals(..) => "approvals",
            PolicyClauseKind::Budget(_) => "budget",
            PolicyClauseKind::State(_) => "state",
            PolicyClauseKind::Breaker(..) => "breaker",
        };
        if !matches!(word, "band" | "approvals") && self.seen.contains(&word) {
            let message = format!("`{word}` is given twice");
            self.report
                .push(Diagnostic::new(codes::E0502, span, message).with_help("keep one of them"));
            return;
        }
        self.seen.push(word);
        match &clause.kind {
            PolicyClauseKind::BaseCurrency(name) => match literals::currency(&name.text, name.span)
            {
                Ok(currency) => self.policy.base_currency = currency,
                Err(found) => self.report.push(*found),
            },
            PolicyClauseKind::Timezone(text) => match jiff::tz::db().get(&text.text) {
                Ok(timezone) => {
                    self.policy.timezone.clone_from(&text.text);
                    self.timezone = timezone;
                }
                Err(_) => self.report.push(unknown_timezone(text)),
            },
            PolicyClauseKind::Band(from, to, action) => self.band(*from, *to, action, clause),
            PolicyClauseKind::State(bytes) => self.policy.state_bytes = *bytes,
            PolicyClauseKind::Breaker(count, per_ms) => self.breaker(*count, *per_ms, span),
            // Read where the time zone is known.
            PolicyClauseKind::Rates { .. } => {}
            PolicyClauseKind::Budget(ns) => self.policy.budget_ns = Some(*ns),
            PolicyClauseKind::Approvals(people, actions) => self.approvals(*people, actions, span),
        }
    }

    fn breaker(&mut self, count: Decimal, per_ms: i64, span: Span) {
        let count = literals::whole(count, 1..=i32::MAX).and_then(|it| u32::try_from(it).ok());
        let wrong = match count {
            None => "a breaker counts whole hits",
            Some(_) if per_ms <= 0 => "a breaker that counts over no time never trips",
            Some(count) => {
                self.policy.breaker = Some((count, per_ms));
                return;
            }
        };
        let diagnostic = Diagnostic::new(codes::E0511, span, wrong);
        self.report.push(diagnostic.with_help("write `breaker 1000 per 1h`"));
    }

    fn approvals(&mut self, people: Decimal, actions: &[ast::Name], span: Span) {
        for action in actions {
            if !words::ACTIONS.contains(&action.text.as_str()) {
                let message = format!("`{}` is no action", action.text);
                let found = Diagnostic::new(codes::E0204, action.span, message);
                let near = suggest::nearest(&action.text, words::ACTIONS.iter().copied());
                let known = format!("actions are: {}", words::ACTIONS.join(", "));
                self.report.push(did_you_mean(found, near, &known));
            }
        }
        let whole = literals::whole(people, 1..=10).and_then(|it| u8::try_from(it).ok());
        let Some(people) = whole else {
            let message = "approvals are given by 1 to 10 people";
            let diagnostic = Diagnostic::new(codes::E0511, span, message);
            self.report.push(diagnostic.with_help("write `approvals 2 for [block, hold]`"));
            return;
        };
        for (at, action) in actions.iter().enumerate() {
            let same = |known: &&str| **known == action.text;
            let here = actions.iter().take(at).map(|known| known.text.as_str());
            let before = self.policy.approvals.iter().flat_map(|known| &known.actions);
            if here.chain(before.map(String::as_str)).any(|known| same(&known)) {
                let message = format!("approvals of `{}` are given twice", action.text);
                let found = Diagnostic::new(codes::E0502, action.span, message);
                self.report.push(found.with_help("keep one of them"));
            }
        }
        let actions = actions.iter().map(|action| action.text.clone()).collect();
        self.policy.approvals.push(Approvals { people, actions });
    }

    fn band(&mut self, from: Decimal, to: Decimal, action: &Action, clause: &PolicyClause) {
        let bounds = (literals::whole(from, 0..=100), literals::whole(to, 0..=100));
        let (Some(from), Some(to)) = bounds else {
            self.report.push(
                Diagnostic::new(codes::E0504, clause.span, "a band lies between 0 and 100")
                    .with_help("write whole numbers, as in `band 70..84 -> step_up sms`"),
            );
            return;
        };
        if from > to {
            let message = format!("this band is empty: {from} is above {to}");
            self.report.push(Diagnostic::new(codes::E0504, clause.span, message));
            return;
        }
        let overlap = self.policy.bands.iter().find(|(low, high, _)| from <= *high && *low <= to);
        if let Some((low, high, _)) = overlap {
            let message = format!("band {from}..{to} overlaps band {low}..{high}");
            self.report.push(
                Diagnostic::new(codes::E0504, clause.span, message)
                    .with_help("both ends are included; a score lies in one band only"),
            );
            return;
        }
        if let Some(action) = self.band_action(action) {
            self.policy.bands.push((from, to, action));
        }
    }

    fn band_action(&mut self, action: &Action) -> Option<ActionPlan> {
        let refused = match &action.kind {
            ActionKind::Allow
            | ActionKind::Score { .. }
            | ActionKind::Add { .. }
            | ActionKind::Remove { .. } => Some("a band can alert, step up, hold, block or tag"),
            ActionKind::Alert { message: Some(text), .. }
            | ActionKind::Block(Some(text))
            | ActionKind::Hold { reason: Some(text), .. }
                if text.text.contains(['{', '}']) =>
            {
                Some("a band is not about one event, so its texts cannot show values")
            }
            ActionKind::Alert { once: Some(_), .. } => {
                Some("a band knows no keys, so it cannot thin alerts with `once per`")
            }
            _ => None,
        };
        if let Some(why) = refused {
            self.report.push(Diagnostic::new(codes::E0202, action.span, why));
            return None;
        }
        actions::without_event(action, self.report)
    }

    fn sort_bands(&mut self) {
        self.policy.bands.sort_by_key(|(from, ..)| *from);
    }
}

/// A text that names no time zone.
pub(super) fn unknown_timezone(text: &Text) -> Diagnostic {
    let message = format!("there is no time zone `{}`", text.text);
    let diagnostic = Diagnostic::new(codes::E0511, text.span, message);
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    match suggest::nearest(&text.text, names.iter().map(String::as_str)) {
        Some(near) => diagnostic
            .with_help(format!("did you mean `{near}`?"))
            .with_fix(text.span, format!("\"{near}\"")),
        None => diagnostic.with_help("use an IANA name such as `\"Europe/Berlin\"`"),
    }
}
