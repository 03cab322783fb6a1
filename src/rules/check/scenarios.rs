//! `test` blocks: events that fit their schema, times, and what must come out.

use crate::base::time::parse_rfc3339;
use crate::base::{Currency, MICRO_PER_MINOR, parse_country};
use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::event::schema::{EventId, Field, FieldId, FieldType, MoneyCurrency, SlotId};
use crate::rules::check::checker::{Build, FeatureState};
use crate::rules::check::limits::MAX_GIVEN_EVENTS;
use crate::rules::check::lower::Draft;
use crate::rules::check::refusal::{Refusal, did_you_mean};
use crate::rules::check::schema::{dotted, unknown_event};
use crate::rules::check::world::World;
use crate::rules::check::written::Written;
use crate::rules::check::{actions, failed, literals, rules};
use crate::rules::program::{
    ActionPlan, Constant, Expectation, RuleId, RuleInfo, ScoreGroup, TestCase, TestEvent,
    TestEvents, TestValue, Type, WantedAction,
};
use crate::rules::syntax::ast::{
    Action, ActionKind, Decimal, EventLiteral, FieldValue, Item, Literal, LiteralKind, Name, Path,
    Test, Text, Want, WantKind,
};

/// Time between events and before the judged one when the author gives none.
const DEFAULT_STEP_MS: i64 = 1_000;

/// What tests refer to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'c, 'a> {
    pub(super) build: &'c Build<'a>,
    pub(super) drafts: &'c [Draft],
    pub(super) infos: &'c [RuleInfo],
    pub(super) groups: &'c [ScoreGroup],
}

/// Compiles all `test` blocks in file order.
pub(super) fn compile(
    items: &[&Item],
    context: Context<'_, '_>,
    report: &mut Vec<Diagnostic>,
) -> Vec<TestCase> {
    let mut out = Vec::new();
    let rules_are_sound = !failed(report);
    for item in items {
        if let Item::Test(test) = item {
            let mut reader = Reader { context, rules_are_sound, report };
            out.extend(reader.test(test));
        }
    }
    out
}

struct Reader<'c, 'a, 'r> {
    context: Context<'c, 'a>,
    /// Nothing was wrong before the tests were read.
    rules_are_sound: bool,
    report: &'r mut Vec<Diagnostic>,
}

impl Reader<'_, '_, '_> {
    fn test(&mut self, test: &Test) -> Option<TestCase> {
        let rule = match rules::find(self.context.infos, &test.rule) {
            Ok(rule) => Some(rule),
            Err(diagnostic) => {
                self.report.push(*diagnostic);
                None
            }
        };
        let mut given = Vec::new();
        let mut complete = true;
        let (mut next_ms, mut last_ms) = (0_i64, None);
        for events in &test.given {
            let every_ms = events.every_ms.unwrap_or(DEFAULT_STEP_MS);
            let at_ms = events.at_ms.unwrap_or(next_ms);
            if events.times == 0 || events.times > MAX_GIVEN_EVENTS {
                let message = format!("one `given` stands for 1 to {MAX_GIVEN_EVENTS} events");
                self.report.push(Diagnostic::new(codes::E0507, events.span, message));
                complete = false;
                continue;
            }
            let end = every_ms.saturating_mul(i64::from(events.times)).saturating_add(at_ms);
            next_ms = end;
            last_ms = last_ms.max(Some(end.saturating_sub(every_ms)));
            match self.event(&events.event) {
                Some(event) => {
                    given.push(TestEvents { times: events.times, event, at_ms, every_ms });
                }
                None => complete = false,
            }
        }
        let when = self.event(&test.when);
        let default_at = last_ms.map_or(0, |last: i64| last.saturating_add(DEFAULT_STEP_MS));
        let at_ms = test.at_ms.unwrap_or(default_at);
        complete &= self.all_before(test, &given, at_ms);
        let (rule, when) = (rule?, when?);
        complete &= self.is_asked(test, rule, when.event);
        let mut expect = Vec::new();
        for want in &test.expect {
            match self.want(want, rule, when.event) {
                Some(wanted) => expect.push(wanted),
                None => complete = false,
            }
        }
        let title = test.title.as_ref().map_or_else(String::new, |title| title.text.clone());
        complete.then_some(TestCase { rule, title, given, when, at_ms, expect, span: test.span })
    }

    /// Refuses events that come after the judged one: no window sees them, so a test that means them proves nothing.
    fn all_before(&mut self, test: &Test, given: &[TestEvents], at_ms: i64) -> bool {
        let times = given.iter().flat_map(|events| {
            (0..i64::from(events.times)).map(|n| events.at_ms + n * events.every_ms)
        });
        let (n_given, n_after) = times.fold((0_u32, 0_u32), |(all, after), event_ms| {
            (all + 1, after + u32::from(event_ms > at_ms))
        });
        if n_after == 0 {
            return true;
        }
        let message = format!(
            "{n_after} of the {n_given} `given` events come after `when` and would not count"
        );
        self.report.push(
            Diagnostic::new(codes::E0507, test.when.event.span, message)
                .with_label("judged before them")
                .with_help("leave out the `at` of `when`, or move it behind the last of them"),
        );
        false
    }

    /// Refuses a test of a rule on an event of which the rule is not asked: it never hits there, whatever it says.
    fn is_asked(&mut self, test: &Test, rule: RuleId, event: EventId) -> bool {
        let schema = self.context.build.world.schema;
        let drafts = (0_u16..).map(EventId).zip(self.context.drafts);
        let asked = drafts.filter(|(_, draft)| draft.bodies.iter().any(|body| body.rule == rule));
        let asked: Vec<EventId> = asked.map(|(event, _)| event).collect();
        // A rule that is in no draft is not asked at all; one that is wrong on an event is in none of that event.
        if asked.is_empty() || asked.contains(&event) || !self.rules_are_sound {
            return true;
        }
        let name = |event: &EventId| format!("`{}`", schema.event(*event).name);
        let on = asked.iter().map(name).collect::<Vec<_>>().join(", ");
        let message = format!("rule `{}` is not asked of {}", test.rule.text, name(&event));
        self.report.push(
            Diagnostic::new(codes::E0507, test.when.event.span, message)
                .with_label("so it never hits here, whatever it says")
                .with_help(format!(
                    "the rule is on {on}: judge one of those, and put others into `given`"
                )),
        );
        false
    }

    fn event(&mut self, literal: &EventLiteral) -> Option<TestEvent> {
        let world = self.context.build.world;
        let Some(event) = world.schema.event_named(&literal.event.text) else {
            let known = world.schema.events.iter().map(|event| event.name.as_str());
            self.report.push(unknown_event(&literal.event, known));
            return None;
        };
        let mut fields: Vec<(FieldId, TestValue)> = Vec::new();
        let mut written = Written::default();
        let mut complete = true;
        for (path, value) in &literal.fields {
            let name = dotted(path);
            let Some(id) = world.field(event, &name) else {
                self.report.push(unknown_field(world, event, &name, path.span));
                complete = false;
                continue;
            };
            if fields.iter().any(|(known, _)| *known == id) {
                let message = format!("field `{name}` is given twice");
                self.report.push(Diagnostic::new(codes::E0104, path.span, message));
                continue;
            }
            match test_value(world, event, id, value) {
                Ok(value) => {
                    let field = world.schema.event(event).field(id);
                    if let Some(contrary) = written.add(field, &value, path.span) {
                        self.report.push(contrary);
                    }
                    fields.push((id, value));
                }
                Err(diagnostic) => {
                    self.report.push(*diagnostic);
                    complete = false;
                }
            }
        }
        complete.then_some(TestEvent { event, fields })
    }

    fn want(&mut self, want: &Want, rule: RuleId, event: EventId) -> Option<Expectation> {
        Some(match &want.kind {
            WantKind::Hit => Expectation::Hit,
            WantKind::NoHit => Expectation::NoHit,
            WantKind::Undecided(None) => Expectation::Undecided(None),
            WantKind::Snoozed => Expectation::Snoozed,
            WantKind::Undecided(Some(path)) => {
                let world = self.context.build.world;
                let name = dotted(path);
                let Some(id) = world.field(event, &name) else {
                    self.report.push(unknown_field(world, event, &name, path.span));
                    return None;
                };
                Expectation::Undecided(Some(world.schema.event(event).field(id).name.clone()))
            }
            WantKind::Action(action) => {
                Expectation::Action(self.wanted(action, event)?, action.span)
            }
            WantKind::Value(name, literal) => self.value(name, literal, rule, event)?,
        })
    }

    /// The parts of an action that a test names.
    fn wanted(&mut self, action: &Action, event: EventId) -> Option<WantedAction> {
        let plain = |text: &Option<Text>| text.as_ref().map(|text| text.text.clone());
        Some(match &action.kind {
            ActionKind::Allow => WantedAction::Allow,
            ActionKind::Block(reason) => WantedAction::Block { reason: plain(reason) },
            ActionKind::Hold { of, for_ms, escalate, otherwise, reason } => WantedAction::Hold {
                of: match of {
                    Some(path) => {
                        Some(self.key_slots(core::slice::from_ref(path), event)?.first().copied()?)
                    }
                    None => None,
                },
                for_ms: *for_ms,
                escalate: actions::escalation(escalate.as_ref()),
                otherwise: *otherwise,
                reason: plain(reason),
            },
            ActionKind::StepUp { method, within_ms, otherwise } => WantedAction::StepUp {
                method: method.text.clone(),
                within_ms: *within_ms,
                otherwise: otherwise.as_ref().map(actions::step_up_otherwise),
            },
            ActionKind::Alert { queue, once, message } => WantedAction::Alert {
                queue: queue.as_ref().map(|queue| queue.text.clone()),
                once: match once {
                    Some((keys, per_ms)) => Some((self.key_slots(keys, event)?, *per_ms)),
                    None => None,
                },
                message: plain(message),
            },
            ActionKind::Score { points, group, cap } => {
                self.wanted_score(action, *points, group.as_ref(), *cap)?
            }
            ActionKind::Tag(tag) => WantedAction::Tag(tag.text.clone()),
            ActionKind::Add { .. } | ActionKind::Remove { .. } => {
                let message = "a test cannot expect a change of a list";
                self.report.push(Diagnostic::new(codes::E0202, action.span, message).with_help(
                    "let a rule that reads the list show it: `given` this event, `when` the next",
                ));
                return None;
            }
        })
    }

    fn wanted_score(
        &mut self,
        action: &Action,
        points: Decimal,
        group: Option<&Name>,
        cap: Option<Decimal>,
    ) -> Option<WantedAction> {
        let name = group.map_or(actions::DEFAULT_GROUP, |group| group.text.as_str());
        match actions::score(points, name, self.context.groups, action.span) {
            Ok(ActionPlan::Score { points, group: index }) => Some(WantedAction::Score {
                points,
                group: group.map(|_| index),
                // A cap that is no whole number is nobody's.
                cap: cap.map(|cap| literals::whole(cap, 1..=100).unwrap_or(0)),
            }),
            Ok(_) => None,
            Err(diagnostic) => {
                self.report.push(*diagnostic);
                None
            }
        }
    }

    fn key_slots(&mut self, keys: &[Path], event: EventId) -> Option<Vec<SlotId>> {
        let world = self.context.build.world;
        let mut slots = Vec::new();
        for key in keys {
            let name = dotted(key);
            let Some(id) = world.field(event, &name) else {
                self.report.push(unknown_field(world, event, &name, key.span));
                return None;
            };
            slots.push(world.schema.event(event).field(id).slot);
        }
        Some(slots)
    }

    /// `senders = 7`: the value of a `let` of the rule or of a feature, in its unit.
    fn value(
        &mut self,
        name: &Name,
        literal: &Literal,
        rule: RuleId,
        event: EventId,
    ) -> Option<Expectation> {
        let build = self.context.build;
        let bodies = &self.context.drafts.get(usize::from(event.0))?.bodies;
        let body = bodies.iter().find(|body| body.rule == rule);
        let lets = body.map(|body| body.lets.as_slice()).unwrap_or_default();
        let node = lets.iter().find(|(known, _)| *known == name.text).map(|(_, id)| *id);
        let node = node.or_else(|| match build.features.get(&(event, name.text.clone())) {
            Some(FeatureState::Known(id, _)) => Some(*id),
            _ => None,
        });
        let Some(node) = node else {
            if !self.rules_are_sound {
                // It may be one that has no value for what was said already.
                return None;
            }
            let message = format!("rule has no `let` and the event no feature `{}`", name.text);
            let diagnostic =
                Diagnostic::new(codes::E0101, name.span, message).with_label("unknown");
            let known = lets.iter().map(|(known, _)| known.as_str());
            self.report.push(did_you_mean(diagnostic, suggest::nearest(&name.text, known), ""));
            return None;
        };
        let ty = build.arena(event).ty(node);
        let (constant, found) = match literals::constant(literal, Some(ty), build.world) {
            Ok(pair) => pair,
            Err(found) => {
                self.report.push(*found);
                return None;
            }
        };
        let constant = match (constant, found, ty) {
            (Constant::Int(_), Type::Integer, Type::Number) => match &literal.kind {
                LiteralKind::Number(decimal) => Constant::Number(literals::to_f64(*decimal)),
                _ => return None,
            },
            (constant, found, ty) if found == ty => constant,
            _ => {
                let schema = build.world.schema;
                let describe = |ty| crate::rules::check::types::describe(schema, ty);
                let message =
                    format!("`{}` is {}, this is {}", name.text, describe(ty), describe(found));
                self.report.push(Diagnostic::new(codes::E0201, literal.span, message));
                return None;
            }
        };
        Some(Expectation::Value(name.text.clone(), constant))
    }
}

fn unknown_field(world: &World<'_>, event: EventId, name: &str, span: Span) -> Diagnostic {
    let event = world.schema.event(event);
    let message = format!("event `{}` has no field `{name}`", event.name);
    let diagnostic = Diagnostic::new(codes::E0507, span, message).with_label("unknown");
    did_you_mean(
        diagnostic,
        suggest::nearest(name, event.fields.iter().map(|field| field.name.as_str())),
        "",
    )
}

/// The value of a field in a test, as the field's type has it.
fn test_value(
    world: &World<'_>,
    event: EventId,
    id: FieldId,
    value: &FieldValue,
) -> Result<TestValue, Refusal> {
    let field = world.schema.event(event).field(id);
    match value {
        FieldValue::Missing(_) if field.optional => Ok(TestValue::Missing),
        FieldValue::Missing(span) => {
            let message = format!(
                "`{}` is never missing: the schema says that it is always there",
                field.name
            );
            Err(Box::new(
                Diagnostic::new(codes::E0507, *span, message)
                    .with_help("declare it with `?` when it may be absent"),
            ))
        }
        FieldValue::Word(name) => test_word(field, name),
        FieldValue::Literal(literal) => test_literal(world, event, (id, field), literal),
    }
}

fn test_word(field: &Field, word: &Name) -> Result<TestValue, Refusal> {
    let text = word.text.as_str();
    let code = match &field.ty {
        FieldType::OneOf(members) => {
            let index = members.iter().position(|member| member == text);
            index.and_then(|index| u32::try_from(index).ok())
        }
        FieldType::Country => parse_country(text.as_bytes()),
        FieldType::CurrencyCode => Currency::parse(text).map(|currency| currency.0),
        _ => None,
    };
    if let Some(code) = code {
        return Ok(TestValue::Constant(Constant::Code(code)));
    }
    let message = format!("`{text}` does not fit field `{}`", field.name);
    let diagnostic = Diagnostic::new(codes::E0507, word.span, message);
    Err(Box::new(match &field.ty {
        FieldType::OneOf(members) => did_you_mean(
            diagnostic,
            suggest::nearest(text, members.iter().map(String::as_str)),
            &format!("it is one of [{}]", members.join(", ")),
        ),
        FieldType::Country => {
            let help = literals::no_country(text, word.span);
            Diagnostic { help: help.help, fix: help.fix, ..diagnostic }
        }
        FieldType::Text | FieldType::Entity(_) | FieldType::Ip => {
            diagnostic.with_help("texts are quoted").with_fix(word.span, format!("\"{text}\""))
        }
        _ => diagnostic,
    }))
}

fn test_literal(
    world: &World<'_>,
    event: EventId,
    (id, field): (FieldId, &Field),
    literal: &Literal,
) -> Result<TestValue, Refusal> {
    let wrong = |expected: &str| {
        let message = format!("this value does not fit field `{}`", field.name);
        let help = format!("write it as {expected}");
        Box::new(Diagnostic::new(codes::E0507, literal.span, message).with_help(help))
    };
    if let (FieldType::Geo, LiteralKind::Text(text)) = (&field.ty, &literal.kind) {
        let (latitude, longitude) = text
            .split_once(',')
            .and_then(|(a, b)| Some((a.trim().parse::<f64>().ok()?, b.trim().parse::<f64>().ok()?)))
            .filter(|(a, b)| (-90.0..=90.0).contains(a) && (-180.0..=180.0).contains(b))
            .ok_or_else(|| wrong("`\"52.52,13.40\"`: latitude, longitude"))?;
        return Ok(TestValue::Geo(latitude, longitude));
    }
    if let (FieldType::Time { .. }, LiteralKind::Text(text)) = (&field.ty, &literal.kind) {
        let ms =
            parse_rfc3339(text.as_bytes()).ok_or_else(|| wrong("`\"2026-01-31T10:00:00Z\"`"))?;
        return Ok(TestValue::Constant(Constant::Int(ms)));
    }
    let hint = crate::rules::check::types::of_field(world.schema, event, id, world.base_currency);
    let (constant, found) = literals::constant(literal, Some(hint), world)?;
    match (&field.ty, constant, found) {
        (FieldType::Money { currency, .. }, Constant::Money(micro), Type::Money(given)) => {
            if let MoneyCurrency::Fixed(fixed) = currency
                && *fixed != given
            {
                return Err(wrong(&format!("`... {fixed}`: the schema fixes the currency")));
            }
            let minor =
                i64::try_from(micro / MICRO_PER_MINOR).map_err(|_| wrong("a smaller amount"))?;
            Ok(TestValue::Money(minor, given))
        }
        (FieldType::Money { .. }, ..) => Err(wrong("`20 EUR`")),
        (FieldType::Number, Constant::Int(_), Type::Integer) => match &literal.kind {
            LiteralKind::Number(decimal) => {
                Ok(TestValue::Constant(Constant::Number(literals::to_f64(*decimal))))
            }
            _ => Err(wrong("`12.5`")),
        },
        (FieldType::Number, constant @ Constant::Number(_), Type::Number)
        | (FieldType::Integer, constant @ Constant::Int(_), Type::Integer)
        | (FieldType::Time { .. }, constant @ Constant::Int(_), Type::Time)
        | (FieldType::Bool, constant @ Constant::Bool(_), _)
        | (FieldType::Text, constant @ Constant::Text(_), Type::Text)
        | (FieldType::Ip, constant @ Constant::Text(_), Type::Ip)
        | (FieldType::Entity(_), constant @ Constant::Text(_), Type::Entity(_)) => {
            Ok(TestValue::Constant(constant))
        }
        (ty, ..) => Err(wrong(match ty {
            FieldType::Number => "`12.5`",
            FieldType::Integer => "`12`",
            FieldType::Bool => "`true` or `false`",
            FieldType::Time { .. } => "`\"2026-01-31T10:00:00Z\"`",
            FieldType::Geo => "`\"52.52,13.40\"`",
            FieldType::Country => "two capital letters without quotes",
            FieldType::CurrencyCode => "`EUR` without quotes",
            FieldType::OneOf(_) => "one of its members, without quotes",
            _ => "a quoted text",
        })),
    }
}
