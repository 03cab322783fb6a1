//! Actions with everything resolved: slots of keys, lists, score groups, messages.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::SlotId;
use crate::rules::check::checker::{Checked, Checker};
use crate::rules::check::refusal::Refusal;
use crate::rules::check::schema::dotted;
use crate::rules::check::{literals, types};
use crate::rules::program::{
    ActionPlan, Escalation, ListId, Message, MessagePart, Mode, RuleId, RuleInfo, ScoreGroup,
    StepUpOtherwise, Type,
};
use crate::rules::syntax::ast::{self, Action, ActionKind, Item, Otherwise, Path, Rule, Text};

/// The group of scores without `in`.
pub(super) const DEFAULT_GROUP: &str = "default";

/// All score groups of the rule set, sorted by name; caps that contradict each other are reported, but those of retired
/// rules. Which caps hold is said by [`caps`] when the rules are known.
pub(super) fn groups(items: &[&Item], report: &mut Vec<Diagnostic>) -> Vec<ScoreGroup> {
    let mut groups: BTreeMap<&str, (Option<i32>, Span)> = BTreeMap::new();
    for (rule, action) in items.iter().flat_map(|item| rule_actions(item)) {
        let ActionKind::Score { group, cap, .. } = &action.kind else { continue };
        let name = group.as_ref().map_or(DEFAULT_GROUP, |group| group.text.as_str());
        let known = groups.entry(name).or_insert((None, action.span));
        let Some(cap) = cap else { continue };
        if is_retired(rule) {
            continue;
        }
        let Some(cap) = literals::whole(*cap, 1..=100) else {
            report.push(
                Diagnostic::new(codes::E0511, action.span, "a cap is a whole number from 1 to 100")
                    .with_help("write `score +20 in velocity cap 50`"),
            );
            continue;
        };
        match known.0 {
            Some(before) if before != cap => {
                let message = format!("score group `{name}` has two caps: {before} and {cap}");
                report.push(
                    Diagnostic::new(codes::E0515, action.span, message)
                        .with_related(known.1, format!("cap {before} is given here"))
                        .with_help("give one cap; it holds for the whole group"),
                );
            }
            Some(_) => {}
            None => *known = (Some(cap), action.span),
        }
    }
    let group = |(name, (said_cap, _)): (&str, (Option<i32>, Span))| ScoreGroup {
        name: name.to_owned(),
        cap: None,
        cap_by: Vec::new(),
        said_cap,
    };
    groups.into_iter().map(group).collect()
}

/// The caps that hold: those that rules say which may act. What only watches changes no score.
pub(super) fn caps(items: &[&Item], rules: &[RuleInfo], groups: &mut [ScoreGroup]) {
    let mut always: BTreeSet<String> = BTreeSet::new();
    for (rule, action) in items.iter().flat_map(|item| rule_actions(item)) {
        let ActionKind::Score { group, cap: Some(cap), .. } = &action.kind else { continue };
        let name = group.as_ref().map_or(DEFAULT_GROUP, |group| group.text.as_str());
        let known = (0_u16..).zip(rules).find(|(_, info)| info.name == rule.name.text);
        let Some((index, info)) = known.filter(|(_, info)| info.mode.acts()) else { continue };
        let Some(group) = groups.iter_mut().find(|known| known.name == name) else { continue };
        group.cap = literals::whole(*cap, 1..=100);
        group.cap_by.push(RuleId(index));
        if info.mode == Mode::Live && info.effective.is_none() {
            always.insert(group.name.clone());
        }
    }
    for group in groups.iter_mut().filter(|group| always.contains(&group.name)) {
        group.cap_by.clear();
    }
}

fn rule_actions(item: &Item) -> Vec<(&Rule, &Action)> {
    let Item::Rule(rule) = item else { return Vec::new() };
    let actions = rule.clauses.iter().filter_map(|clause| match &clause.kind {
        ast::ClauseKind::Then(actions) => Some(actions),
        _ => None,
    });
    actions.flatten().map(|action| (rule, action)).collect()
}

fn is_retired(rule: &Rule) -> bool {
    let retired =
        |clause: &ast::Clause| matches!(clause.kind, ast::ClauseKind::Mode(ast::Mode::Retired));
    rule.clauses.iter().any(retired)
}

/// What a key may be made of.
pub(super) const KEY_PARTS: &str = "keys are texts, addresses and entities, and beside those amounts, whole numbers, countries, currencies, words of a set and truths";

impl Checker<'_, '_> {
    /// An action of a rule on this scope's event.
    pub(super) fn action(&mut self, action: &Action, groups: &[ScoreGroup]) -> Option<ActionPlan> {
        match &action.kind {
            ActionKind::Score { points, group, .. } => {
                let name = group.as_ref().map_or(DEFAULT_GROUP, |group| group.text.as_str());
                score(*points, name, groups, action.span)
                    .map_err(|diagnostic| self.report.push(*diagnostic))
                    .ok()
            }
            ActionKind::Alert { queue, once, message } => {
                let once = match once {
                    None => None,
                    Some((paths, per_ms)) => {
                        self.positive(*per_ms, action.span)?;
                        Some((self.thinned_by(paths)?, *per_ms))
                    }
                };
                let message = self.optional_message(message.as_ref())?;
                let queue = queue.as_ref().map(|queue| queue.text.clone());
                Some(ActionPlan::Alert { queue, once, message })
            }
            ActionKind::Block(reason) => {
                Some(ActionPlan::Block { reason: self.optional_message(reason.as_ref())? })
            }
            ActionKind::Hold { of, for_ms, escalate, otherwise, reason } => {
                let of = match of {
                    Some(path) => Some(self.held_subject(path)?),
                    None => None,
                };
                let reason = self.optional_message(reason.as_ref())?;
                let escalate = escalation(escalate.as_ref());
                self.positive(*for_ms, action.span)?;
                if let Some(Escalation { for_ms, .. }) = escalate {
                    self.positive(for_ms, action.span)?;
                }
                let otherwise = otherwise.unwrap_or(Otherwise::Release);
                Some(ActionPlan::Hold { of, for_ms: *for_ms, escalate, otherwise, reason })
            }
            ActionKind::Add { path, list, for_ms } => {
                let (slot, list) = self.list_change(path, list)?;
                let for_ms = self.time_on_list(list, *for_ms, action.span)?;
                Some(ActionPlan::Add { slot, list, for_ms })
            }
            ActionKind::Remove { path, list } => {
                let (slot, list) = self.list_change(path, list)?;
                Some(ActionPlan::Remove { slot, list })
            }
            _ => without_event(action, self.report),
        }
    }

    /// How long an added value stays: what the action says, else what the list says.
    fn time_on_list(&mut self, list: ListId, for_ms: Option<i64>, span: Span) -> Option<i64> {
        let spec = &self.build.world.lists[usize::from(list.0)];
        let Some(for_ms) = for_ms.or(spec.expires_ms) else {
            let message = format!("how long does this stay on `{}`?", spec.name);
            return self.refuse(Diagnostic::new(codes::E0501, span, message).with_help(
                "add a time, as in `for 24h`, or give the list one for all, as in `expires 24h`",
            ));
        };
        self.positive(for_ms, span)?;
        Some(for_ms)
    }

    fn positive(&mut self, ms: i64, span: Span) -> Option<()> {
        positive(ms, span, self.report)
    }

    /// A message that may be absent; the outer `None` says that it was refused.
    fn optional_message(&mut self, text: Option<&Text>) -> Checked<Option<Message>> {
        match text {
            None => Some(None),
            Some(text) => self.message(text).map(Some),
        }
    }

    fn list_change(
        &mut self,
        path: &Path,
        list: &ast::Name,
    ) -> Option<(SlotId, crate::rules::program::ListId)> {
        let found = self.list(list);
        let gives = |(id, _): &(ListId, Type)| {
            self.build.world.lists.get(usize::from(id.0)).is_some_and(|list| list.gives.is_some())
        };
        if found.as_ref().is_some_and(gives) {
            let message = format!("list `{}` gives values, so its file alone fills it", list.text);
            return self.refuse(
                Diagnostic::new(codes::E0202, list.span, message)
                    .with_help("use a list without `gives`"),
            );
        }
        let slot = self.slot(path);
        let ((id, member), (slot, ty)) = (found?, slot?);
        if ty != member {
            let code = match (ty, member) {
                (Type::Entity(_), Type::Entity(_)) => codes::E0214,
                _ => codes::E0201,
            };
            let message = format!(
                "`{}` is {}, list `{}` holds {}",
                dotted(path),
                self.describe(ty),
                list.text,
                self.describe(member)
            );
            return self.refuse(
                Diagnostic::new(code, path.span, message).with_help("use a list of this type"),
            );
        }
        Some((slot, id))
    }

    /// The slot of the subject whose payments are held: an entity, so that other events have it too.
    fn held_subject(&mut self, path: &Path) -> Option<SlotId> {
        let (slot, ty) = self.slot(path)?;
        if matches!(ty, Type::Entity(_)) {
            return Some(slot);
        }
        let message = format!(
            "`{}` is {}, and only payments of an entity can be held",
            dotted(path),
            self.describe(ty)
        );
        self.refuse(
            Diagnostic::new(codes::E0401, path.span, message)
                .with_help("name a field whose type is an entity, as in `hold customer for 2h`"),
        )
    }

    /// The slots of the keys by which alerts are thinned: somebody, and values beside.
    fn thinned_by(&mut self, paths: &[Path]) -> Option<Vec<SlotId>> {
        let keys: Vec<Option<(SlotId, Type)>> =
            paths.iter().map(|path| self.key_part(path)).collect();
        let keys: Vec<(SlotId, Type)> = keys.into_iter().collect::<Option<_>>()?;
        if let (Some(path), false) =
            (paths.first(), keys.iter().any(|(_, ty)| types::is_textual(*ty)))
        {
            let message =
                format!("`{}` is nobody's: alerts are thinned for somebody", dotted(path));
            let help = format!("say for whom, as in `once per customer, {} per 1h`", dotted(path));
            return self.refuse(Diagnostic::new(codes::E0401, path.span, message).with_help(help));
        }
        Some(keys.into_iter().map(|(slot, _)| slot).collect())
    }

    /// A field that may be part of a key, beside somebody.
    fn key_part(&mut self, path: &Path) -> Option<(SlotId, Type)> {
        let (slot, ty) = self.slot(path)?;
        if types::is_key_part(ty) {
            return Some((slot, ty));
        }
        let message = format!("`{}` is {} and cannot be a key", dotted(path), self.describe(ty));
        self.refuse(Diagnostic::new(codes::E0401, path.span, message).with_help(KEY_PARTS))
    }

    /// The slot of a key of this event.
    pub(super) fn key_slot(&mut self, path: &Path) -> Option<SlotId> {
        let (slot, ty) = self.slot(path)?;
        if types::is_textual(ty) {
            return Some(slot);
        }
        let message = format!("`{}` is {} and cannot be a key", dotted(path), self.describe(ty));
        self.refuse(
            Diagnostic::new(codes::E0401, path.span, message)
                .with_help("keys are texts, addresses and entities"),
        )
    }

    /// The slot and type of a field of this event.
    pub(super) fn slot(&mut self, path: &Path) -> Option<(SlotId, Type)> {
        let world = self.build.world;
        let event = world.schema.event(self.scope.event);
        let name = dotted(path);
        let name = name.strip_prefix(&format!("{}.", event.name)).unwrap_or(&name);
        let Some(id) = world.field(self.scope.event, name) else {
            // Reports the unknown name with its suggestions; a `let` or feature is no field.
            let before = self.report.len();
            self.path(path, None);
            if self.report.len() == before {
                let message = format!("`{name}` is not a field of event `{}`", event.name);
                self.report.push(Diagnostic::new(codes::E0101, path.span, message));
            }
            return None;
        };
        let ty = types::of_field(world.schema, self.scope.event, id, world.base_currency);
        Some((event.field(id).slot, ty))
    }
}

/// Refuses a time without length.
fn positive(ms: i64, span: Span, report: &mut Vec<Diagnostic>) -> Option<()> {
    if ms > 0 {
        return Some(());
    }
    report.push(
        Diagnostic::new(codes::E0511, span, "this time is empty")
            .with_help("give it a positive length"),
    );
    None
}

/// A score with its group.
pub(super) fn score(
    points: ast::Decimal,
    group: &str,
    groups: &[ScoreGroup],
    span: Span,
) -> Result<ActionPlan, Refusal> {
    let Some(points) = literals::whole(points, -100..=100) else {
        return Err(Box::new(
            Diagnostic::new(codes::E0511, span, "points are a whole number from -100 to +100")
                .with_help("write `score +35 in velocity`"),
        ));
    };
    if points == 0 {
        return Err(Box::new(
            Diagnostic::new(codes::E0511, span, "no points are no score")
                .with_help("write points other than 0, or leave the action out"),
        ));
    }
    let index = groups.iter().position(|known| known.name == group);
    let group = index.and_then(|index| u16::try_from(index).ok()).unwrap_or(u16::MAX);
    Ok(ActionPlan::Score { points, group })
}

/// An action that reads nothing of an event; its texts are taken as they are.
pub(super) fn without_event(action: &Action, report: &mut Vec<Diagnostic>) -> Option<ActionPlan> {
    let plain = |text: &Option<Text>| {
        text.as_ref().map(|text| Message(vec![MessagePart::Text(text.text.clone())]))
    };
    if let ActionKind::Hold { for_ms, .. }
    | ActionKind::StepUp { otherwise: Some(ast::StepUpOtherwise::Hold(for_ms)), .. } =
        &action.kind
    {
        positive(*for_ms, action.span, report)?;
    }
    if let ActionKind::StepUp { within_ms: Some(within_ms), .. } = &action.kind {
        positive(*within_ms, action.span, report)?;
    }
    if let ActionKind::Hold { escalate: Some(ast::Escalate { for_ms, .. }), .. } = &action.kind {
        positive(*for_ms, action.span, report)?;
    }
    match &action.kind {
        ActionKind::Allow => Some(ActionPlan::Allow),
        ActionKind::Block(reason) => Some(ActionPlan::Block { reason: plain(reason) }),
        ActionKind::Hold { of: Some(path), .. } => {
            let message =
                format!("a band is not about one event, so it knows no `{}`", dotted(path));
            report.push(
                Diagnostic::new(codes::E0202, path.span, message)
                    .with_help("hold the payment, `hold for 2h`, or let a rule hold the subject"),
            );
            None
        }
        ActionKind::Hold { of: None, for_ms, escalate, otherwise, reason } => {
            Some(ActionPlan::Hold {
                of: None,
                for_ms: *for_ms,
                escalate: escalation(escalate.as_ref()),
                otherwise: otherwise.unwrap_or(Otherwise::Release),
                reason: plain(reason),
            })
        }
        ActionKind::StepUp { method, within_ms, otherwise } => Some(ActionPlan::StepUp {
            method: method.text.clone(),
            within_ms: within_ms.unwrap_or(CHALLENGE_MS),
            otherwise: otherwise.as_ref().map(step_up_otherwise),
        }),
        ActionKind::Alert { queue, message, .. } => Some(ActionPlan::Alert {
            queue: queue.as_ref().map(|queue| queue.text.clone()),
            once: None,
            message: plain(message),
        }),
        ActionKind::Tag(tag) => Some(ActionPlan::Tag(tag.text.clone())),
        ActionKind::Score { .. } | ActionKind::Add { .. } | ActionKind::Remove { .. } => {
            report.push(Diagnostic::new(codes::E0202, action.span, "this action needs an event"));
            None
        }
    }
}

/// How long a second factor is awaited where the rule does not say.
const CHALLENGE_MS: i64 = 10 * 60_000;

/// The queue of what is escalated without naming one.
const ESCALATIONS: &str = "escalations";

/// Who is asked when nobody decided.
pub(super) fn escalation(escalate: Option<&ast::Escalate>) -> Option<Escalation> {
    let ast::Escalate { queue, for_ms } = escalate?;
    let queue = queue.as_ref().map_or(ESCALATIONS, |queue| queue.text.as_str()).to_owned();
    Some(Escalation { queue, for_ms: *for_ms })
}

/// What an unanswered step-up does.
pub(super) fn step_up_otherwise(otherwise: &ast::StepUpOtherwise) -> StepUpOtherwise {
    match otherwise {
        ast::StepUpOtherwise::Block => StepUpOtherwise::Block,
        ast::StepUpOtherwise::Hold(ms) => StepUpOtherwise::Hold(*ms),
    }
}
