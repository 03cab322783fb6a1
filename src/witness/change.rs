//! One change of a story: another value, events that a window would hold, another moment.

use crate::base::{MICRO_PER_MINOR, Value};
use crate::event::schema::{EventId, FieldId, FieldType, MoneyCurrency};
use crate::rule_tests::EPOCH_MS;
use crate::rules::eval::number::{number_of, rounded};
use crate::rules::program::{
    Constant, NodeId, Op, Program, StepRole, TestEvent, TestEvents, TestValue,
};
use crate::window::spec::{MeasureKind, Span};
use crate::witness::dice::Dice;
use crate::witness::goal::{Asked, Goal, Look, Parts, field, number, slot};
use crate::witness::pool::{Pool, bare};
use crate::witness::story::{MAX_EVENTS, Story, get, set};

const HOUR_MS: i64 = 3_600_000;

/// Events that a filter takes, by the node of the filter.
pub(super) type Prototypes = std::collections::BTreeMap<(EventId, NodeId), TestEvent>;

/// Where changes come from.
pub(super) struct Changes<'c> {
    pub(super) program: &'c Program,
    pub(super) goal: &'c Goal,
    pub(super) pool: &'c Pool,
    pub(super) prototypes: &'c Prototypes,
    /// All that the goal reads.
    pub(super) parts: &'c Parts,
    /// Whether there may be events before.
    pub(super) with_past: bool,
}

/// What is known of the story that is changed.
#[derive(Clone, Copy)]
pub(super) struct Known<'k> {
    pub(super) look: &'k Look<'k>,
    /// The conditions that do not hold.
    pub(super) open: &'k [NodeId],
}

impl Changes<'_> {
    /// Changes a story a little.
    pub(super) fn change(&self, story: &mut Story, known: Known<'_>, dice: &mut Dice) {
        // Mostly what a condition reads that does not hold yet.
        let leaf = dice.pick(known.open).copied().filter(|_| !dice.one_in(4));
        let own = leaf.map(|leaf| Parts::below(self.program, self.goal.event, &[leaf]));
        let parts = own.as_ref().unwrap_or(self.parts);
        if self.with_past && !parts.sequences.is_empty() && dice.one_in(3) {
            if let Some(node) = dice.pick(&parts.sequences) {
                self.tell_sequence(story, *node, dice);
            }
            return;
        }
        let has_state = self.with_past && !self.parts.readings.is_empty();
        match dice.below(10) {
            0..3 if has_state => {
                let readings = if parts.readings.is_empty() { self.parts } else { parts };
                if let Some(node) = dice.pick(&readings.readings) {
                    self.add_events(story, (*node, leaf), known, dice);
                }
            }
            3 if !story.given.is_empty() => self.change_given(story, dice),
            4 if !story.given.is_empty() => change_times(story, dice),
            5 => self.move_in_time(story, dice),
            _ => self.change_judged(story, (parts, leaf), known, dice),
        }
    }

    fn change_judged(
        &self,
        story: &mut Story,
        (parts, leaf): (&Parts, Option<NodeId>),
        known: Known<'_>,
        dice: &mut Dice,
    ) {
        let fields = if parts.fields.is_empty() { &self.parts.fields } else { &parts.fields };
        let Some(id) = dice.pick(fields).copied() else { return };
        let observed = leaf.and_then(|leaf| observed(known.look, leaf, dice));
        let place = (self.goal.event, id);
        let value = self.value(place, (&story.when, story.at_ms), observed, dice);
        if value.is_some() {
            set(&mut story.when, id, value);
        }
    }

    /// Another value for a field; `Missing` takes it away, `None` leaves it as it is.
    fn value(
        &self,
        (event, id): (EventId, FieldId),
        (held, at_ms): (&TestEvent, i64),
        observed: Option<Value>,
        dice: &mut Dice,
    ) -> Option<TestValue> {
        let ty = self.program.schema.event(event);
        let field = ty.field(id);
        if id == ty.id || id == ty.time {
            return None;
        }
        if field.optional && dice.one_in(6) {
            return Some(TestValue::Missing);
        }
        let observed = observed.and_then(|value| stored(&field.ty, value, dice));
        if observed.is_some() && dice.one_in(2) {
            return observed;
        }
        if let (FieldType::Time { .. }, true) = (&field.ty, dice.one_in(2)) {
            let ago = dice.pick(&self.pool.spans_ms).copied().unwrap_or(HOUR_MS);
            let near = dice.pick(&[-1_000, 0, 1_000, HOUR_MS]).copied().unwrap_or_default();
            let ms = EPOCH_MS.saturating_add(at_ms).saturating_sub(ago).saturating_add(near);
            return Some(TestValue::Constant(Constant::Int(ms)));
        }
        let other = get(held, id).filter(|_| dice.one_in(3)).and_then(|value| scaled(value, dice));
        if other.is_some() {
            return other;
        }
        if dice.one_in(6) {
            // What must be equal, or must not, is often another field of the same event.
            let alike = (0_u16..).map(FieldId).zip(&ty.fields).filter(|(_, other)| {
                core::mem::discriminant(&other.ty) == core::mem::discriminant(&field.ty)
            });
            let alike: Vec<&TestValue> = alike.filter_map(|(id, _)| get(held, id)).collect();
            if let Some(value) = dice.pick(&alike) {
                return Some((*value).clone());
            }
        }
        dice.pick(&self.pool.values(self.program, (event, id))).cloned()
    }

    /// Events that a question to state would find.
    fn add_events(
        &self,
        story: &mut Story,
        (node, leaf): (NodeId, Option<NodeId>),
        known: Known<'_>,
        dice: &mut Dice,
    ) {
        let Some(asked) = Asked::of(self.program, self.goal.event, node) else { return };
        let gap = leaf.and_then(|leaf| match &known.look.plan.nodes.get(leaf.0 as usize)?.op {
            Op::Compare(_, a, b) => known.look.gap(*a, *b),
            _ => None,
        });
        let times = self.how_many(asked.measure.kind, gap, dice);
        let event = self.found_event(story, asked, dice);
        let (from_ms, every_ms) = within(asked.measure.window, times, dice);
        let from_ms = story.at_ms.saturating_sub(from_ms);
        if let MeasureKind::Distinct(_) = asked.measure.kind {
            return self.add_different(story, (asked, &event), (times, from_ms, every_ms), dice);
        }
        story.given.push(TestEvents { times, event, at_ms: from_ms, every_ms });
    }

    fn how_many(&self, kind: MeasureKind, gap: Option<f64>, dice: &mut Dice) -> u32 {
        let few = dice.pick(&[1, 1, 1, 2, 3, 5, 10]).copied().unwrap_or(1);
        let counted =
            matches!(kind, MeasureKind::Count | MeasureKind::Distinct(_) | MeasureKind::CountOf(_));
        let gap = gap.filter(|_| counted).and_then(rounded).and_then(|n| u32::try_from(n).ok());
        let wanted = match (gap, dice.below(3)) {
            (Some(gap), 0) => gap,
            (Some(gap), 1) => gap.saturating_add(1),
            _ if dice.one_in(4) => dice.pick(&self.pool.counts).copied().unwrap_or(few),
            _ => few,
        };
        wanted.clamp(1, MAX_EVENTS)
    }

    /// An event that a question to state takes, if one is known: of its type, under the key, past the filter.
    fn found_event(&self, story: &mut Story, asked: Asked<'_>, dice: &mut Dice) -> TestEvent {
        let event = asked.plan.event;
        let known = asked.filter().and_then(|node| self.prototypes.get(&(event, node)));
        let mut found = match known {
            Some(known) if !dice.one_in(4) => known.clone(),
            _ if event == self.goal.event && !dice.one_in(3) => story.when.clone(),
            _ => bare(self.program, event),
        };
        for (stored_slot, own) in asked.plan.keys.iter().zip(asked.keys) {
            let stored_id = field(self.program, event, *stored_slot);
            let own = field(self.program, self.goal.event, *own);
            let (Some(stored_id), Some(own)) = (stored_id, own) else { continue };
            if get(&story.when, own).is_none() {
                let values = self.pool.values(self.program, (self.goal.event, own));
                set(&mut story.when, own, dice.pick(&values).cloned());
            }
            set(&mut found, stored_id, get(&story.when, own).cloned());
        }
        if let Some(id) = self.column_field(asked) {
            let probe = asked.probe.and_then(|node| self.own_field(node));
            let probe = probe.and_then(|own| get(&story.when, own).cloned());
            if let (Some(value), true) = (probe, dice.one_in(2)) {
                set(&mut found, id, Some(value));
            } else if get(&found, id).is_none() || dice.one_in(2) {
                let value = self.value((event, id), (&found, story.at_ms), None, dice);
                set(&mut found, id, value);
            }
        }
        found
    }

    /// The field that a question to state remembers.
    fn column_field(&self, asked: Asked<'_>) -> Option<FieldId> {
        let plan = self.program.plans.get(usize::from(asked.plan.event.0))?;
        let node = plan.nodes.get(asked.column()?.0 as usize)?;
        field(self.program, asked.plan.event, slot(&node.op)?)
    }

    fn own_field(&self, node: NodeId) -> Option<FieldId> {
        let plan = self.program.plans.get(usize::from(self.goal.event.0))?;
        field(self.program, self.goal.event, slot(&plan.nodes.get(node.0 as usize)?.op)?)
    }

    /// Events with a value of their own each.
    fn add_different(
        &self,
        story: &mut Story,
        (asked, event): (Asked<'_>, &TestEvent),
        (times, from_ms, every_ms): (u32, i64, i64),
        dice: &mut Dice,
    ) {
        let Some(id) = self.column_field(asked) else { return };
        let place = (asked.plan.event, id);
        let ty = &self.program.schema.event(place.0).field(id).ty;
        let known = self.pool.values(self.program, place);
        let first = usize::from(dice.below(3));
        for n in 0..times.min(30) {
            let value = match ty {
                FieldType::Text | FieldType::Entity(_) => {
                    Some(TestValue::Constant(Constant::Text(format!("x{}", n + 1))))
                }
                FieldType::Integer => Some(TestValue::Constant(Constant::Int(i64::from(n)))),
                FieldType::Ip => {
                    Some(TestValue::Constant(Constant::Text(format!("203.0.113.{}", n + 1))))
                }
                _ => usize::try_from(n).ok().and_then(|n| known.get(first + n).cloned()),
            };
            let mut event = event.clone();
            set(&mut event, id, value);
            let at_ms = from_ms.saturating_add(every_ms.saturating_mul(i64::from(n)));
            story.given.push(TestEvents { times: 1, event, at_ms, every_ms: 1_000 });
        }
    }

    /// Events that take the steps of a sequence, one after the other, and nothing else.
    fn tell_sequence(&self, story: &mut Story, node: NodeId, dice: &mut Dice) {
        let plan = self.program.plans.get(usize::from(self.goal.event.0));
        let op = plan.and_then(|plan| plan.nodes.get(node.0 as usize)).map(|node| &node.op);
        let Some(Op::Sequence(sequence)) = op else { return };
        story.given.clear();
        let taken = sequence.steps.iter().filter_map(|step| match step.role {
            StepRole::Take(times) => Some((step, u32::from(times))),
            StepRole::Without => None,
        });
        let taken: Vec<_> = taken.collect();
        let n_events: u32 = taken.iter().map(|(_, times)| *times).sum();
        let fit_ms = sequence.within_ms / i64::from(n_events.saturating_add(1)).max(1);
        let every_ms = dice.pick(&[1_000, 60_000, fit_ms]).copied().unwrap_or(1_000);
        let every_ms = every_ms.clamp(1, fit_ms.max(1));
        let mut left = i64::from(n_events);
        for (step, times) in taken {
            let Some(asked) = Asked::of(self.program, self.goal.event, step.latest) else { return };
            let event = self.found_event(story, asked, dice);
            let at_ms = story.at_ms.saturating_sub(left.saturating_mul(every_ms));
            left -= i64::from(times);
            story.given.push(TestEvents { times, event, at_ms, every_ms });
        }
    }

    fn change_given(&self, story: &mut Story, dice: &mut Dice) {
        let groups: Vec<usize> = (0..story.given.len()).collect();
        let Some(index) = dice.pick(&groups).copied() else { return };
        let event = story.given[index].event.event;
        let cone = self.goal.cone.iter().filter(|(of, _)| *of == event).map(|(_, node)| *node);
        let plan = self.program.plans.get(usize::from(event.0));
        let read = cone.filter_map(|id| slot(&plan?.nodes.get(id.0 as usize)?.op));
        let fields: Vec<FieldId> =
            read.filter_map(|slot| field(self.program, event, slot)).collect();
        let Some(id) = dice.pick(&fields).copied() else { return };
        let group = &story.given[index];
        if let Some(value) = self.value((event, id), (&group.event, group.at_ms), None, dice) {
            set(&mut story.given[index].event, id, Some(value));
        }
    }

    fn move_in_time(&self, story: &mut Story, dice: &mut Dice) {
        let span = dice.pick(&self.pool.spans_ms).copied().unwrap_or(HOUR_MS);
        let by = [HOUR_MS, 6 * HOUR_MS, 24 * HOUR_MS, span, 1_000, 60_000];
        let by_ms = dice.pick(&by).copied().unwrap_or(HOUR_MS);
        let by_ms = by_ms.saturating_mul(i64::from(1 + dice.below(12)));
        let by_ms = if dice.one_in(3) { -by_ms } else { by_ms };
        match dice.below(3) {
            0 => story.shift(by_ms),
            1 => story.at_ms = story.at_ms.saturating_add(by_ms).max(0),
            _ => {
                let groups: Vec<usize> = (0..story.given.len()).collect();
                match dice.pick(&groups) {
                    Some(index) => story.given[*index].at_ms -= by_ms,
                    None => story.shift(by_ms),
                }
            }
        }
    }
}

/// Removes events, or changes how many there are.
fn change_times(story: &mut Story, dice: &mut Dice) {
    let groups: Vec<usize> = (0..story.given.len()).collect();
    let Some(index) = dice.pick(&groups).copied() else { return };
    let times = &mut story.given[index].times;
    match dice.below(5) {
        0 => *times = times.saturating_mul(2).min(MAX_EVENTS),
        1 => *times += 1,
        2 => *times -= u32::from(*times > 1),
        3 => story.given.clear(),
        _ => drop(story.given.remove(index)),
    }
}

/// The other side of a comparison.
fn observed(look: &Look<'_>, leaf: NodeId, dice: &mut Dice) -> Option<Value> {
    let Op::Compare(_, a, b) = &look.plan.nodes.get(leaf.0 as usize)?.op else { return None };
    Some(look.value(if dice.one_in(2) { *a } else { *b }))
}

/// How long before the judged event the first of so many events happens, and how far they lie apart, so that the window
/// holds them, most of the time.
fn within(window: Span, times: u32, dice: &mut Dice) -> (i64, i64) {
    let (length_ms, ago_ms) = (window.length_ms, window.ending_ago_ms);
    let fit_ms = length_ms / i64::from(times.saturating_add(1)).max(1);
    let every_ms = dice.pick(&[1_000, 60_000, HOUR_MS, fit_ms]).copied().unwrap_or(1_000);
    let every_ms = every_ms.clamp(1, fit_ms.clamp(1, 24 * HOUR_MS));
    let all_ms = every_ms.saturating_mul(i64::from(times));
    let rest_ms = length_ms.saturating_sub(all_ms).clamp(0, 400 * 24 * HOUR_MS);
    let back = [0, 0, 0, 60_000.min(rest_ms), rest_ms / 2, rest_ms, rest_ms + 1_000];
    let back_ms = dice.pick(&back).copied().unwrap_or_default();
    (all_ms.saturating_add(ago_ms).saturating_add(back_ms), every_ms)
}

/// A value that was seen, or its neighbour, as a field would hold it.
fn stored(ty: &FieldType, value: Value, dice: &mut Dice) -> Option<TestValue> {
    let step = dice.pick(&[0, 1, -1]).copied().unwrap_or(0_i64);
    match (ty, value) {
        (FieldType::Money { currency: MoneyCurrency::Fixed(fixed), .. }, Value::Money(micro)) => {
            let minor = i64::try_from(micro / MICRO_PER_MINOR).ok()?;
            Some(TestValue::Money(minor.saturating_add(step), *fixed))
        }
        (FieldType::Integer, Value::Int(int)) => {
            Some(TestValue::Constant(Constant::Int(int.saturating_add(step))))
        }
        (FieldType::Integer, Value::Number(number)) => {
            let whole = i64::try_from(rounded(number)?).ok()?;
            Some(TestValue::Constant(Constant::Int(whole.saturating_add(step))))
        }
        (FieldType::Number, value) => {
            let near = number(value)? + number_of(i128::from(step)) * 0.01;
            Some(TestValue::Constant(Constant::Number(near)))
        }
        (FieldType::Time { .. }, Value::Int(ms)) => {
            Some(TestValue::Constant(Constant::Int(ms.saturating_add(step * 1_000))))
        }
        (FieldType::Text | FieldType::Entity(_), Value::Tag(tag)) => {
            Some(TestValue::Constant(Constant::Text(tag.text()?)))
        }
        (FieldType::OneOf(_) | FieldType::Country | FieldType::CurrencyCode, Value::Code(code)) => {
            Some(TestValue::Constant(Constant::Code(code)))
        }
        _ => None,
    }
}

/// A number that is larger or smaller.
fn scaled(value: &TestValue, dice: &mut Dice) -> Option<TestValue> {
    let way = dice.below(6);
    let scale = |int: i64| match way {
        0 => int.saturating_mul(2),
        1 => int / 2,
        2 => int.saturating_add(1),
        3 => int.saturating_sub(1),
        4 => int.saturating_mul(10),
        _ => int.saturating_add(int / 10),
    };
    let number = |number: f64| match way {
        0 => number * 2.0,
        1 => number / 2.0,
        2 => number + 1.0,
        3 => number - 0.1,
        4 => number * 10.0,
        _ => number * 1.1,
    };
    match value {
        TestValue::Money(minor, currency) => {
            Some(TestValue::Money(scale(*minor).min(1_000_000_000_000), *currency))
        }
        TestValue::Constant(Constant::Int(int)) => {
            Some(TestValue::Constant(Constant::Int(scale(*int).clamp(-1 << 50, 1 << 50))))
        }
        TestValue::Constant(Constant::Number(held)) => {
            let found = number(*held).clamp(-1e12, 1e12);
            Some(TestValue::Constant(Constant::Number((found * 1e6).round() / 1e6)))
        }
        _ => None,
    }
}
