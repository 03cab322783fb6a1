//! The clauses of a rule, each in its place: what is required, what may stand once only, what it says about the rule
//! apart from its condition.

use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::rules::check::literals;
use crate::rules::check::refusal::did_you_mean;
use crate::rules::check::world::World;
use crate::rules::program::{IfMissing, Mode, RuleInfo, SeverityLevel};
use crate::rules::syntax::ast::{
    self, Action, ActionKind, ClauseKind, Expr, Literal, Name, Param, Rule, Text,
};

/// The clauses by kind.
#[derive(Debug, Default)]
pub(super) struct Clauses<'a> {
    pub(super) id: Option<&'a Text>,
    pub(super) owner: Option<&'a Name>,
    severity: Option<&'a Name>,
    typologies: Vec<&'a Name>,
    refs: Vec<&'a Text>,
    tags: Vec<&'a Name>,
    effective: Option<(&'a Literal, Option<&'a Literal>)>,
    review_by: Option<&'a Literal>,
    mandatory: bool,
    mode: Option<(&'a ast::Mode, Span)>,
    pub(super) on: Option<(&'a [Name], Option<&'a Expr>)>,
    pub(super) params: Vec<&'a Param>,
    pub(super) lets: Vec<(&'a Name, &'a Expr)>,
    pub(super) when: Option<&'a Expr>,
    pub(super) unless: Option<&'a Expr>,
    if_missing: Option<ast::IfMissing>,
    pub(super) then: Option<&'a [Action]>,
}

/// Sorts the clauses of a rule and reports what is given twice or lacking.
pub(super) fn collect<'a>(rule: &'a Rule, report: &mut Vec<Diagnostic>) -> Clauses<'a> {
    let mut out = Clauses::default();
    let mut seen: Vec<(&'static str, Span)> = Vec::new();
    for clause in &rule.clauses {
        let word = word(&clause.kind);
        let repeatable = matches!(word, "param" | "let" | "ref" | "typology" | "tags" | "error");
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == word && !repeatable) {
            let message = format!("`{word}` is given twice in rule `{}`", rule.name.text);
            report.push(
                Diagnostic::new(codes::E0502, clause.span, message)
                    .with_related(*first, "first given here")
                    .with_help(twice_help(word)),
            );
            continue;
        }
        seen.push((word, clause.span));
        out.take(&clause.kind, clause.span);
    }
    out.check_required(rule, report);
    out
}

impl<'a> Clauses<'a> {
    fn take(&mut self, kind: &'a ClauseKind, span: Span) {
        match kind {
            ClauseKind::Id(id) => self.id = Some(id),
            ClauseKind::Owner(owner) => self.owner = Some(owner),
            ClauseKind::Severity(severity) => self.severity = Some(severity),
            ClauseKind::Typology(names) => self.typologies.extend(names),
            ClauseKind::Ref(text) => self.refs.push(text),
            ClauseKind::Tags(names) => self.tags.extend(names),
            ClauseKind::Effective(from, to) => self.effective = Some((from, to.as_ref())),
            ClauseKind::ReviewBy(day) => self.review_by = Some(day),
            ClauseKind::Error => {}
            ClauseKind::Mandatory => self.mandatory = true,
            ClauseKind::Mode(mode) => self.mode = Some((mode, span)),
            ClauseKind::On(events, guard) => self.on = Some((events, guard.as_ref())),
            ClauseKind::Param(param) => self.params.push(param),
            ClauseKind::Let(name, expr) => self.lets.push((name, expr)),
            ClauseKind::When(expr) => self.when = Some(expr),
            ClauseKind::Unless(expr) => self.unless = Some(expr),
            ClauseKind::IfMissing(if_missing) => self.if_missing = Some(*if_missing),
            ClauseKind::Then(actions) => self.then = Some(actions),
        }
    }

    fn check_required(&self, rule: &Rule, report: &mut Vec<Diagnostic>) {
        let required = [
            ("on", self.on.is_some(), "on card_payment"),
            ("when", self.when.is_some(), "when amount > 500 EUR"),
            ("then", self.then.is_some(), "then alert queue l1"),
        ];
        for (word, given, example) in required {
            if !given {
                let message = format!("rule `{}` has no `{word}`", rule.name.text);
                report.push(
                    Diagnostic::new(codes::E0501, rule.name.span, message)
                        .with_help(format!("add one, as in `{example}`")),
                );
            }
        }
        if let Some(id) = self.id.filter(|id| id.text.trim().is_empty()) {
            let message = format!("rule `{}` has an empty `id`", rule.name.text);
            report.push(
                Diagnostic::new(codes::E0501, id.span, message)
                    .with_help("give it one that no other rule has or had, as in `id \"R-0101\"`"),
            );
        }
        if self.acts() && (self.id.is_none() || self.owner.is_none()) {
            let lacking = match (self.id.is_none(), self.owner.is_none()) {
                (true, true) => "`id` and no `owner`",
                (true, false) => "`id`",
                _ => "`owner`",
            };
            let live = if self.canary().is_some() { "a canary" } else { "live" };
            let message = format!("rule `{}` is {live} and has no {lacking}", rule.name.text);
            report.push(Diagnostic::new(codes::E0503, rule.name.span, message).with_help(
                "add `id \"R-0001\" owner team_name`, or `mode shadow` while it is tried out",
            ));
        }
        self.check_actions(rule, report);
    }

    fn check_actions(&self, rule: &Rule, report: &mut Vec<Diagnostic>) {
        let mut outcome: Option<Span> = None;
        for action in self.then.unwrap_or_default() {
            let decides = matches!(
                action.kind,
                ActionKind::Allow
                    | ActionKind::Block(_)
                    | ActionKind::Hold { .. }
                    | ActionKind::StepUp { .. }
            );
            if !decides {
                continue;
            }
            if let Some(first) = outcome {
                let message = format!("rule `{}` decides twice", rule.name.text);
                report.push(
                    Diagnostic::new(codes::E0502, action.span, message)
                        .with_related(first, "first decided here")
                        .with_help("keep one of allow, block, hold and step_up"),
                );
            }
            outcome = Some(action.span);
            let ends = self.effective.is_some_and(|(_, to)| to.is_some());
            if action.kind == ActionKind::Allow && self.acts() && !ends {
                let message = "a live `allow` needs an end date";
                report.push(Diagnostic::new(codes::E0302, action.span, message).with_help(
                    "add `effective 2026-01-01 .. 2026-12-31`: an exemption is looked at again",
                ));
            }
        }
    }

    /// How far the rule acts.
    fn mode(&self, report: &mut Vec<Diagnostic>) -> Mode {
        match self.mode {
            Some((ast::Mode::Draft, _)) => Mode::Draft,
            Some((ast::Mode::Shadow, _)) => Mode::Shadow,
            Some((ast::Mode::Canary(share, _), span)) => Mode::Canary(canary(*share, span, report)),
            Some((ast::Mode::Retired, _)) => Mode::Retired,
            Some((ast::Mode::Live, _)) | None => Mode::Live,
        }
    }

    /// Whether it may stop money.
    fn acts(&self) -> bool {
        matches!(self.mode, None | Some((ast::Mode::Live | ast::Mode::Canary(..), _)))
    }

    /// The key by which a canary picks its events.
    pub(super) fn canary(&self) -> Option<&'a ast::Path> {
        match self.mode {
            Some((ast::Mode::Canary(_, key), _)) => Some(key),
            _ => None,
        }
    }

    /// Whether `if missing` is given.
    pub(super) fn says_if_missing(&self) -> bool {
        self.if_missing.is_some()
    }

    /// Everything apart from the condition.
    pub(super) fn info(
        &self,
        rule: &Rule,
        world: &World<'_>,
        report: &mut Vec<Diagnostic>,
    ) -> RuleInfo {
        let texts = |names: &[&Name]| names.iter().map(|name| name.text.clone()).collect();
        RuleInfo {
            name: rule.name.text.clone(),
            id: self.id.map_or_else(|| rule.name.text.clone(), |id| id.text.clone()),
            title: rule.title.as_ref().map(|title| title.text.clone()),
            owner: self.owner.map(|owner| owner.text.clone()),
            severity: self.severity(report),
            typologies: texts(&self.typologies),
            refs: self.refs.iter().map(|text| text.text.clone()).collect(),
            tags: texts(&self.tags),
            mode: self.mode(report),
            mandatory: self.mandatory,
            effective: self.effective(world, report),
            effective_span: self
                .effective
                .map_or(rule.span, |(from, to)| to.map_or(from.span, |to| from.span.to(to.span))),
            review_by: self.review_by.and_then(|day| Some((world.day_end_ms(day)?, day.span))),
            if_missing: match self.if_missing {
                Some(ast::IfMissing::Match) => IfMissing::Match,
                Some(ast::IfMissing::Review) => IfMissing::Review,
                Some(ast::IfMissing::Skip) | None => IfMissing::Skip,
            },
            span: rule.span,
            name_span: rule.name.span,
        }
    }

    fn severity(&self, report: &mut Vec<Diagnostic>) -> SeverityLevel {
        let Some(name) = self.severity else { return SeverityLevel::Medium };
        let words = ["low", "medium", "high", "critical"];
        match name.text.as_str() {
            "low" => SeverityLevel::Low,
            "medium" => SeverityLevel::Medium,
            "high" => SeverityLevel::High,
            "critical" => SeverityLevel::Critical,
            other => {
                let diagnostic = Diagnostic::new(
                    codes::E0204,
                    name.span,
                    format!("`{other}` is not a severity"),
                );
                report.push(did_you_mean(
                    diagnostic,
                    suggest::nearest(other, words),
                    "use low, medium, high or critical",
                ));
                SeverityLevel::Medium
            }
        }
    }

    /// From the beginning of the first day to the end of the last, in the policy's time zone.
    fn effective(
        &self,
        world: &World<'_>,
        report: &mut Vec<Diagnostic>,
    ) -> Option<(i64, Option<i64>)> {
        let (from, to) = self.effective?;
        let start = world.day_start_ms(from);
        let end = to.map(|to| world.day_end_ms(to));
        let whole = to.map_or(from.span, |to| from.span.to(to.span));
        match (start, end) {
            (Some(start), None) => Some((start, None)),
            (Some(start), Some(Some(end))) if start < end => Some((start, Some(end))),
            (Some(_), Some(Some(_))) => {
                report.push(
                    Diagnostic::new(codes::E0511, whole, "this time ends before it begins")
                        .with_help("write the earlier date first"),
                );
                None
            }
            _ => {
                report.push(
                    Diagnostic::new(codes::E0231, whole, "a date is expected here")
                        .with_help("write it as `2026-01-31`"),
                );
                None
            }
        }
    }
}

/// The share of a canary in millionths.
fn canary(share: ast::Decimal, span: Span, report: &mut Vec<Diagnostic>) -> u32 {
    const WHOLE: u32 = 1_000_000;
    let ppm = literals::scaled(share, 4).and_then(|ppm| u32::try_from(ppm).ok());
    ppm.filter(|ppm| (1..=WHOLE).contains(ppm)).unwrap_or_else(|| {
        let message = "a canary acts on more than 0% and at most 100% of its keys";
        report.push(Diagnostic::new(codes::E0511, span, message).with_help(
            "write at most four decimals, as in `mode canary 10% by customer`; with nothing it is `mode shadow`",
        ));
        WHOLE
    })
}

fn word(kind: &ClauseKind) -> &'static str {
    match kind {
        ClauseKind::Id(_) => "id",
        ClauseKind::Owner(_) => "owner",
        ClauseKind::Severity(_) => "severity",
        ClauseKind::Typology(_) => "typology",
        ClauseKind::Ref(_) => "ref",
        ClauseKind::Tags(_) => "tags",
        ClauseKind::Effective(..) => "effective",
        ClauseKind::ReviewBy(_) => "review by",
        ClauseKind::Mandatory => "mandatory",
        ClauseKind::Mode(_) => "mode",
        ClauseKind::On(..) => "on",
        ClauseKind::Param(_) => "param",
        ClauseKind::Let(..) => "let",
        ClauseKind::When(_) => "when",
        ClauseKind::Unless(_) => "unless",
        ClauseKind::IfMissing(_) => "if missing",
        ClauseKind::Then(_) => "then",
        ClauseKind::Error => "error",
    }
}

fn twice_help(word: &str) -> &'static str {
    match word {
        "when" => "join the conditions with `and`",
        "unless" => "join the exemptions with `or`",
        "on" => "list the events with commas: `on transfer, wallet_payout`",
        "then" => "write all actions after one `then`",
        _ => "keep one of them",
    }
}
