//! Reasons for a hit: each comparison that decided it, with the actual value against the threshold. The slow path.

use std::borrow::Cow;

use crate::base::Value;
use crate::base::text::counted;
use crate::diag::{Sources, Span};
use crate::rules::eval::code::SpreadAt;
use crate::rules::eval::lowering::scale_of;
use crate::rules::eval::render::{UNKNOWN, duration};
use crate::rules::eval::trace::Trace;
use crate::rules::eval::{Host, Run, Truth};
use crate::rules::program::{LookupId, Node, NodeId, Op, RuleBody, Type};
use crate::window::layout::column_of;
use crate::window::spec::{Coverage, MeasureKind};

/// What stands where the value of a sensitive field would.
pub const SENSITIVE: &str = "(sensitive)";

/// One comparison that decided a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition<'s> {
    /// The author's words.
    pub text: Cow<'s, str>,
    /// The actual value with its unit.
    pub left: String,
    /// `>=`, `in`, `matches`, ...
    pub op: &'static str,
    /// The threshold with its unit, or what the value was held against.
    pub right: String,
    /// How it came out. Under a `not` a condition is false and speaks for the hit.
    pub truth: Truth,
    /// How far the values can be trusted.
    pub coverage: Coverage,
    /// From (exclusive) and to (inclusive) in ms, where an aggregate is involved: the longest of its windows.
    pub window: Option<(i64, i64)>,
    /// The events that a sequence took, in order: the step's name, the event's, and the event time in ms.
    pub steps: Vec<(String, String, i64)>,
}

impl Trace<'_> {
    /// What decided the condition of a rule: of a hit every part of `and` and the true parts of `or`; of an undecided
    /// one the undecided parts.
    pub fn explain<'s, H: Host>(
        &self,
        run: &mut Run<'_, H>,
        sources: &'s Sources,
        body: &RuleBody,
    ) -> Vec<Condition<'s>> {
        let mut conditions = Vec::new();
        self.explain_node(run, (sources, body), body.when, &mut conditions);
        conditions
    }

    /// The rule's `let`s with their values, as people read them.
    pub fn explain_lets<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        body: &RuleBody,
    ) -> Vec<(String, String)> {
        let rendered = body.lets.iter().map(|(name, node)| (name.clone(), *node));
        rendered.map(|(name, node)| (name, self.render_node(run, node))).collect()
    }

    fn explain_node<'s, H: Host>(
        &self,
        run: &mut Run<'_, H>,
        author: (&'s Sources, &RuleBody),
        id: NodeId,
        conditions: &mut Vec<Condition<'s>>,
    ) {
        let Some(node) = self.node(id) else { return };
        match &node.op {
            Op::And(_) | Op::Or(_) => {
                self.each_ground(run, id, &mut |run, part| {
                    self.explain_node(run, author, part, conditions);
                });
            }
            Op::Not(inner) => self.explain_node(run, author, *inner, conditions),
            _ => {
                let found = self.leaf(run, author, id, node);
                conditions.push(self.veiled((id, node), found));
            }
        }
    }

    /// A condition as records show it: sides that come from a sensitive field are not there.
    fn veiled<'s>(&self, (id, node): (NodeId, &Node), found: Condition<'s>) -> Condition<'s> {
        let (left, right) = match &node.op {
            Op::Compare(_, left, right)
            | Op::Contains(left, right)
            | Op::StartsWith(left, right) => (*left, Some(*right)),
            Op::CompareDeviation { value, sum, .. } => (*value, Some(*sum)),
            Op::InSet(value, _)
            | Op::InList(value, _)
            | Op::IsMissing(value)
            | Op::IsZero(value)
            | Op::Matches(value, _) => (*value, None),
            _ => (id, None),
        };
        let veil = |shown: String, hides: bool| if hides { SENSITIVE.to_owned() } else { shown };
        let hides =
            [Some(left), right].map(|side| side.is_some_and(|side| self.is_sensitive(side)));
        Condition { left: veil(found.left, hides[0]), right: veil(found.right, hides[1]), ..found }
    }

    /// Whether the value of a node tells that of a sensitive field. True and false, counts and times tell little enough.
    pub(super) fn is_sensitive(&self, id: NodeId) -> bool {
        let Some(node) = self.node(id) else { return false };
        match &node.op {
            Op::Field(slot) | Op::GeoField(slot) | Op::MoneyField { slot, .. } => {
                let event = self.program.schema.events.get(usize::from(self.event.0));
                let mut fields = event.into_iter().flat_map(|event| &event.fields);
                fields.any(|field| field.slot == *slot && field.sensitive.is_some())
            }
            Op::Reading(lookup, index) => {
                self.remembers_sensitive(*lookup, *index).unwrap_or(false)
            }
            _ if node.ty == Type::Bool => false,
            // A score tells nothing of a single value.
            Op::Model(..) => false,
            op => {
                let mut found = false;
                op.each_operand(&mut |operand| found = found || self.is_sensitive(operand));
                found
            }
        }
    }

    /// Whether what a reading gives is made of values of a sensitive field.
    fn remembers_sensitive(&self, lookup: LookupId, index: u16) -> Option<bool> {
        let plan = self.program.plans.get(usize::from(self.event.0))?;
        let lookup = plan.lookups.get(usize::from(lookup.0))?;
        let measure = lookup.measures.get(usize::from(index))?;
        let table = self.program.tables.get(usize::from(lookup.table.0))?;
        let kind = table.spec.measures.get(usize::from(measure.0))?.kind;
        if matches!(kind, MeasureKind::Distinct(_) | MeasureKind::CountOf(_)) {
            return Some(false);
        }
        let column = table.columns.get(usize::from(column_of(kind)?.0))?;
        Some(Trace { event: table.event, ..*self }.is_sensitive(*column))
    }

    /// A node as a comparison, whatever it is.
    pub(super) fn condition<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        body: &RuleBody,
        id: NodeId,
    ) -> Option<Condition<'_>> {
        let node = self.node(id)?;
        Some(self.leaf(run, (&self.program.sources, body), id, node))
    }

    fn leaf<'s, H: Host>(
        &self,
        run: &mut Run<'_, H>,
        (sources, body): (&'s Sources, &RuleBody),
        id: NodeId,
        node: &Node,
    ) -> Condition<'s> {
        let (left, op, right) = self.sides(run, node);
        let left = match &node.op {
            Op::IsZero(seen) => times_seen(run.value(*seen)),
            _ => self.render_node(run, left.unwrap_or(id)),
        };
        Condition {
            text: words(sources, body, body.words_of(id, node)),
            left,
            op,
            right,
            truth: run.truth(id),
            coverage: self.coverage_of(run, id),
            window: self.window(run, id),
            steps: self.steps(run, id, node),
        }
    }

    fn steps<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        id: NodeId,
        node: &Node,
    ) -> Vec<(String, String, i64)> {
        let Op::Sequence(plan) = &node.op else { return Vec::new() };
        let taken = run.steps_taken(id).into_iter();
        let named = taken.filter_map(|(index, time_ms)| {
            let step = plan.steps.get(usize::from(index))?;
            let event = self.program.schema.events.get(usize::from(step.event.0))?;
            Some((step.name.clone(), event.name.clone(), time_ms))
        });
        named.collect()
    }

    /// The node on the left (`None`: the node itself), the operator, and the right side in words.
    fn sides<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        node: &Node,
    ) -> (Option<NodeId>, &'static str, String) {
        match &node.op {
            Op::Compare(op, left, right) => (Some(*left), op.sign(), self.render_node(run, *right)),
            Op::CompareDeviation { op, value, count, sum, squares, factor_micro } => {
                let bound = self.bound(run, (*count, *sum, *squares), *factor_micro);
                (Some(*value), op.sign(), bound)
            }
            Op::InSet(value, members) => {
                let ty = self.node(*value).map_or(Type::Text, |node| node.ty);
                let members: Vec<String> =
                    members.iter().map(|member| self.render_constant(member, ty)).collect();
                (Some(*value), "in", format!("[{}]", members.join(", ")))
            }
            Op::InList(value, list) => {
                let list = self.program.lists.get(usize::from(list.0));
                (Some(*value), "in", list.map_or_else(String::new, |list| list.name.clone()))
            }
            Op::IsMissing(value) => (Some(*value), "is", "missing".to_owned()),
            Op::IsZero(value) => (Some(*value), "is", "new".to_owned()),
            Op::Matches(value, pattern) => (Some(*value), "matches", format!("\"{pattern}\"")),
            Op::Contains(value, part) => (Some(*value), "contains", self.render_node(run, *part)),
            Op::StartsWith(value, part) => {
                (Some(*value), "starts_with", self.render_node(run, *part))
            }
            _ => (None, "is", "true".to_owned()),
        }
    }

    /// Mean and deviation behind a comparison: `mean + factor * deviation`, rounded for the eye.
    fn bound<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        (count, sum, squares): (NodeId, NodeId, NodeId),
        factor_micro: i64,
    ) -> String {
        let ty = self.node(sum).map_or(Type::Number, |node| node.ty);
        let ty = if ty == Type::Integer { Type::Number } else { ty };
        let micro = match self.node(sum).map(|node| &node.op) {
            Some(Op::Reading(lookup, index)) => self.is_micro(*lookup, *index),
            _ => false,
        };
        let at = SpreadAt { count: count.0, sum: sum.0, squares: squares.0, micro };
        let value = run.bound(at, factor_micro, scale_of(ty));
        self.render_value(run, value, ty)
    }

    fn window<H: Host>(&self, run: &mut Run<'_, H>, id: NodeId) -> Option<(i64, i64)> {
        self.longest_window(run, id)
    }
}

impl core::fmt::Display for Condition<'_> {
    /// `money_in > 2_000 EUR: 2410.00 EUR > 2000.00 EUR (window 1d)`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {} {} {}", self.text, self.left, self.op, self.right)?;
        match self.window {
            Some((from, to)) => write!(f, " (window {})", duration(to.saturating_sub(from))),
            None => Ok(()),
        }
    }
}

/// The author's words; of a template those that the `use` stands for.
fn words<'s>(sources: &'s Sources, body: &RuleBody, span: Span) -> Cow<'s, str> {
    let text = one_line(sources.text(span));
    match body.filled.as_ref().filter(|filled| span.is_within(filled.template)) {
        Some(filled) => Cow::Owned(filled.write_out(&text)),
        None => text,
    }
}

/// A text with one space between its words; most are written so.
pub(super) fn one_line(text: &str) -> Cow<'_, str> {
    let mut after_space = true;
    let spaced = text.bytes().all(|byte| {
        let space = byte == b' ';
        let fits = byte.is_ascii() && (byte.is_ascii_graphic() || space) && !(space && after_space);
        after_space = space;
        fits
    });
    if spaced && !after_space {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// What `is_new` rests on: how often the window holds the value.
fn times_seen(count: Value) -> String {
    match count {
        Value::Int(n) => format!("seen {}", counted(n.unsigned_abs(), "time")),
        _ => UNKNOWN.to_owned(),
    }
}
