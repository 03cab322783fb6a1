//! Why a condition came out as it did: what it rests on, what it lacked, how far it can be trusted. The slow path.
//!
//! A condition rests on the parts that decided it: a true `and` on all its parts, a false one on its false parts, an
//! undecided one on its undecided parts; `or` the other way round. The answer does not depend on the order of
//! evaluation, nor on which other rules have looked at the same values.

use crate::diag::{Sources, Span};
use crate::event::schema::{EventId, SlotId};
use crate::rules::eval::{Host, Run, Truth};
use crate::rules::program::{
    EventPlan, LookupId, Node, NodeId, Op, Program, RuleBody, SequencePlan,
};
use crate::window::layout::column_of;
use crate::window::spec::{Calendar, ColumnKind, Coverage, Measure, MeasureKind};

/// Something that a condition lacked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A field that this event does not carry (or money in a currency that cannot be converted).
    Field(String),
    /// An aggregate over nothing, by its canonical text.
    Aggregate(String),
    /// An expression without an answer though its parts have one: division by zero, overflow.
    Expression(Span),
}

impl Cause {
    /// For people: the field, the aggregate, or the author's words.
    pub fn describe(&self, sources: &Sources) -> String {
        match self {
            Self::Field(text) | Self::Aggregate(text) => text.clone(),
            Self::Expression(span) => sources.text(*span).to_owned(),
        }
    }
}

/// The checked program around an event under evaluation.
#[derive(Clone, Copy, Debug)]
pub struct Trace<'p> {
    /// The program.
    pub program: &'p Program,
    /// Type of the event.
    pub event: EventId,
}

impl<'p> Trace<'p> {
    /// What an undecided rule lacked, without repetition, in the order of the condition.
    pub fn missing<H: Host>(&self, run: &mut Run<'_, H>, body: &RuleBody) -> Vec<Cause> {
        let mut causes = Vec::new();
        self.collect_causes(run, body, body.when, &mut causes);
        causes
    }

    /// How far the verdict of a rule can be trusted: the condition, and the guard that let it apply.
    pub fn coverage<H: Host>(&self, run: &mut Run<'_, H>, body: &RuleBody) -> Coverage {
        let guard = body.guard.map_or(Coverage::Complete, |guard| self.coverage_of(run, guard));
        guard.max(self.coverage_of(run, body.when))
    }

    /// The worst coverage among the readings that a node rests on; where one part alone decides, the best such part.
    pub fn coverage_of<H: Host>(&self, run: &mut Run<'_, H>, id: NodeId) -> Coverage {
        let Some(node) = self.node(id) else { return Coverage::Complete };
        let own = run.reading_coverage(id.0);
        if let Op::Model(_, _, features) = &node.op {
            // WHY: it answers for what a feature lacks, and not for how much of the past a feature knows.
            let worse = |worst: Coverage, part: &NodeId| worst.max(self.coverage_of(run, *part));
            return features.iter().fold(own, worse);
        }
        let one_suffices = match &node.op {
            Op::And(_) => run.truth(id) == Truth::False,
            Op::Or(_) => run.truth(id) == Truth::True,
            _ => false,
        };
        let mut of_parts = None;
        self.each_ground(run, id, &mut |run, part| {
            let part = self.coverage_of(run, part);
            let before = of_parts.unwrap_or(part);
            of_parts = Some(if one_suffices { part.min(before) } else { part.max(before) });
        });
        own.max(of_parts.unwrap_or_default())
    }

    /// Visits the parts that decided a node.
    pub(super) fn each_ground<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        id: NodeId,
        visit: &mut dyn FnMut(&mut Run<'_, H>, NodeId),
    ) {
        let Some(node) = self.node(id) else { return };
        match &node.op {
            Op::And(parts) | Op::Or(parts) => {
                let whole = run.truth(id);
                for part in parts {
                    if run.truth(*part) == whole {
                        visit(run, *part);
                    }
                }
            }
            Op::Default(first, second) => {
                let missing = !run.value(*first).is_present();
                visit(run, *first);
                if missing {
                    visit(run, *second);
                }
            }
            // A sequence answers for its steps; their parts have no value of their own.
            // So does a model for its features.
            Op::Sequence(_) | Op::StepField { .. } | Op::Model(..) => {}
            op => op.each_operand(&mut |part| visit(run, part)),
        }
    }

    /// From (exclusive) and to of the longest window among the measures that a node rests on, of equal ones the last; a
    /// lifetime has no begin and is no such window.
    pub(super) fn longest_window<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        id: NodeId,
    ) -> Option<(i64, i64)> {
        match self.node(id).map(|node| &node.op) {
            Some(Op::Reading(lookup, index)) => return self.edges(run, *lookup, *index),
            Some(Op::Sequence(plan)) => {
                let to_ms = run.row.time_ms;
                return Some((to_ms.saturating_sub(plan.within_ms), to_ms));
            }
            _ => {}
        }
        let length = |(from, to): (i64, i64)| to.saturating_sub(from);
        let mut longest: Option<(i64, i64)> = None;
        self.each_ground(run, id, &mut |run, part| {
            let found = self.longest_window(run, part);
            let shorter = |held| found.is_some_and(|found| length(held) <= length(found));
            if longest.is_none_or(shorter) {
                longest = found;
            }
        });
        longest
    }

    /// From (exclusive) and to of a measure's window; none for a lifetime, and where nobody knows.
    pub(super) fn edges<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        lookup: LookupId,
        index: u16,
    ) -> Option<(i64, i64)> {
        let window = self.measure(lookup, index)?.0.window;
        if let Some(calendar) = window.calendar {
            let before_ms = run.start_ms(lookup, index)?;
            return Some(match calendar {
                Calendar::Since(_) => (before_ms, run.row.time_ms),
                Calendar::Before(_) => (before_ms.saturating_sub(window.length_ms), before_ms),
            });
        }
        let to_ms = run.row.time_ms.saturating_sub(window.ending_ago_ms);
        (!window.is_lifetime()).then(|| (to_ms.saturating_sub(window.length_ms), to_ms))
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&'p Node> {
        self.plan()?.nodes.get(id.0 as usize)
    }

    fn plan(&self) -> Option<&'p EventPlan> {
        self.program.plans.get(usize::from(self.event.0))
    }

    fn collect_causes<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        body: &RuleBody,
        id: NodeId,
        causes: &mut Vec<Cause>,
    ) {
        let Some(node) = self.node(id).filter(|_| !run.value(id).is_present()) else { return };
        let own = match &node.op {
            Op::Field(slot) | Op::GeoField(slot) | Op::MoneyField { slot, .. } => {
                vec![Cause::Field(self.field_name(*slot))]
            }
            Op::Reading(lookup, index) => self.reading_causes(run, body, *lookup, *index),
            Op::Sequence(plan) => self.sequence_causes(run, body, plan),
            _ => Vec::new(),
        };
        for cause in own {
            push_once(causes, cause);
        }
        let mut lacking: Vec<NodeId> = Vec::new();
        self.each_ground(run, id, &mut |run, part| {
            if !run.value(part).is_present() {
                lacking.push(part);
            }
        });
        for part in &lacking {
            self.collect_causes(run, body, *part, causes);
        }
        let is_field = matches!(node.op, Op::Field(_) | Op::GeoField(_) | Op::MoneyField { .. });
        let is_leaf = is_field || matches!(node.op, Op::Reading(..) | Op::Sequence(_));
        if !is_leaf && lacking.is_empty() {
            push_once(causes, self.own_cause(node, body.words_of(id, node)));
        }
    }

    /// A node that lacks nothing and still has no value: an aggregate over nothing, or arithmetic.
    fn own_cause(&self, node: &Node, words: Span) -> Cause {
        let (sum, function) = match &node.op {
            Op::Mean { sum, .. } => (self.node(*sum), "avg"),
            Op::Deviation { sum, .. } | Op::CompareDeviation { sum, .. } => {
                (self.node(*sum), "stddev")
            }
            _ => (None, ""),
        };
        match sum.map(|sum| &sum.op) {
            Some(Op::Reading(lookup, index)) => {
                self.aggregate_cause((*lookup, *index), Some(function), words)
            }
            _ => Cause::Expression(words),
        }
    }

    fn reading_causes<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        body: &RuleBody,
        id: LookupId,
        index: u16,
    ) -> Vec<Cause> {
        let lookup = self.plan().and_then(|plan| plan.lookups.get(usize::from(id.0)));
        let Some(lookup) = lookup else { return Vec::new() };
        let absent = lookup.keys.iter().filter(|slot| !run.row.has(**slot));
        let mut causes: Vec<Cause> =
            absent.map(|slot| Cause::Field(self.field_name(*slot))).collect();
        if causes.is_empty()
            && let Some(Some(probe)) = lookup.probes.get(usize::from(index))
        {
            self.collect_causes(run, body, *probe, &mut causes);
        }
        if causes.is_empty()
            && let Some(Some(zone)) = lookup.zones.get(usize::from(index))
            && run.start_ms(id, index).is_none()
            && let Some(Op::Field(slot)) = self.node(*zone).map(|node| &node.op)
        {
            causes.push(Cause::Field(self.field_name(*slot)));
        }
        if causes.is_empty() {
            causes.push(self.aggregate_cause((id, index), None, Span::default()));
        }
        causes
    }

    /// The keys of a sequence that this event lacks.
    fn sequence_causes<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        body: &RuleBody,
        plan: &SequencePlan,
    ) -> Vec<Cause> {
        let mut causes = Vec::new();
        for step in &plan.steps {
            let Some(Op::Reading(lookup, index)) = self.node(step.latest).map(|node| &node.op)
            else {
                continue;
            };
            let found = self.reading_causes(run, body, *lookup, *index);
            let fields = found.into_iter().filter(|cause| matches!(cause, Cause::Field(_)));
            fields.for_each(|cause| push_once(&mut causes, cause));
        }
        causes
    }

    /// An aggregate by the function that its author wrote: what is kept for it has names of its own.
    fn aggregate_cause(
        &self,
        (lookup, index): (LookupId, u16),
        function: Option<&str>,
        span: Span,
    ) -> Cause {
        let Some((measure, identity)) = self.measure(lookup, index) else {
            return Cause::Expression(span);
        };
        let written = match measure.kind {
            MeasureKind::LastTime => Some("time_since"),
            MeasureKind::CountOf(_) => Some("is_new"),
            _ => None,
        };
        match (function.or(written), identity.split_once('(')) {
            (Some(function), Some((_, of))) => Cause::Aggregate(format!("{function}({of}")),
            _ => Cause::Aggregate(identity.to_owned()),
        }
    }

    pub(super) fn measure(&self, lookup: LookupId, index: u16) -> Option<(Measure, &'p str)> {
        let lookup = self.plan()?.lookups.get(usize::from(lookup.0))?;
        let table = self.program.tables.get(usize::from(lookup.table.0))?;
        let id = usize::from(lookup.measures.get(usize::from(index))?.0);
        let identity = table.identities.get(id).map_or("", String::as_str);
        table.spec.measures.get(id).map(|measure| (*measure, identity))
    }

    /// The node that counts what a measure leaves out for want of an exchange rate.
    pub(super) fn unpriced(&self, lookup: LookupId, index: u16) -> Option<NodeId> {
        let lookup = self.plan()?.lookups.get(usize::from(lookup.0))?;
        lookup.unpriced.get(usize::from(index)).copied().flatten()
    }

    /// Whether a measure answers in millionths.
    pub(super) fn is_micro(&self, lookup: LookupId, index: u16) -> bool {
        let kind = || {
            let measure = self.measure(lookup, index)?.0;
            let lookup = self.plan()?.lookups.get(usize::from(lookup.0))?;
            let spec = &self.program.tables.get(usize::from(lookup.table.0))?.spec;
            spec.columns.get(usize::from(column_of(measure.kind)?.0)).copied()
        };
        kind() == Some(ColumnKind::Micro)
    }

    /// The name of the field whose value stands in a slot.
    pub(crate) fn field_name(&self, slot: SlotId) -> String {
        let event = self.program.schema.events.get(usize::from(self.event.0));
        let fields = event.map_or(&[][..], |event| &event.fields);
        let field = fields.iter().rev().find(|field| field.slot <= slot);
        field.map_or_else(|| format!("slot {}", slot.0), |field| field.name.clone())
    }
}

fn push_once(causes: &mut Vec<Cause>, cause: Cause) {
    if !causes.contains(&cause) {
        causes.push(cause);
    }
}
