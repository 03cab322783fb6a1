//! One rule on one event, whole: every part of its condition with its value, the windows with their edges, and what the
//! judgement did not need. The slowest path; [`crate::rules::eval::explain`] tells only what decided.
//!
//! Values come from the same [`Run`] that judges. The verdict is asked first, so that it is known which measures the
//! judgement asked of the state; only then is the rest worked out for the reader.

use crate::base::Value;
use crate::rules::eval::explain::{Condition, one_line};
use crate::rules::eval::trace::Trace;
use crate::rules::eval::{Host, Run, Truth, Verdict};
use crate::rules::program::{
    LookupId, NodeId, Op, RuleBody, SequencePlan, SequenceStep, StepRole, Type,
};
use crate::rules::syntax::ast::CompareOp;
use crate::window::spec::{Calendar, Counting, Coverage};

/// Parts of parts of parts: deeper ones are left out.
const MAX_DEPTH: usize = 12;

/// A rule on an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// What the rule says.
    pub verdict: Verdict,
    /// `on … where`, if there is one.
    pub guard: Option<Part>,
    /// The condition.
    pub when: Part,
    /// The exemption, if there is one.
    pub unless: Option<Part>,
    /// What an undecided condition lacked.
    pub missing: Vec<String>,
}

/// A part of a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The author's words, or the name that the rule gave them.
    pub text: String,
    /// The value with its unit: `true`, `7`, `2410.00 EUR`, `unknown`.
    pub value: String,
    /// Of a comparison: the value found, the operator, and the value asked for.
    pub compared: Option<(String, &'static str, String)>,
    /// How far a comparison of sizes that does not hold is from holding.
    pub short_by: Option<String>,
    /// How far the values can be trusted.
    pub coverage: Coverage,
    /// What was asked of the state for exactly this part.
    pub readings: Vec<Looked>,
    /// Of a sequence: its steps, in order.
    pub steps: Vec<Step>,
    /// What it is made of.
    pub parts: Vec<Part>,
}

/// A step of a sequence that must be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its `as` name, else the event's.
    pub name: String,
    /// Type of its events.
    pub event: String,
    /// How many events take it.
    pub times: u16,
    /// When those that took it happened, in ms of event time: all of `times`, fewer where the sequence came no further, or
    /// none. They are those of the latest chain that came furthest.
    pub taken_ms: Vec<i64>,
}

/// One measure of the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Which look-up of the event's plan, and which of its measures.
    pub at: (LookupId, u16),
    /// Its identity: aggregate, event, filter, keys and window.
    pub identity: String,
    /// From (exclusive) and to (inclusive) in ms of event time; from the least number where there is no begin.
    pub window: (i64, i64),
    /// Where it has an end by the calendar.
    pub calendar: Option<Calendar>,
    /// Whether this event counts.
    pub with_this: bool,
    /// Whether judging the rule asked for it.
    pub asked: bool,
    /// Events that count, and all events of the key in the window; where the state can still say.
    pub counted: Option<(u64, u64)>,
    /// Of amounts that may need an exchange rate: events that would count, and for which there is none.
    pub unpriced: Option<u64>,
}

impl Looked {
    /// The instant before the part of the calendar at which the window has an end, in ms.
    pub fn calendar_ms(&self) -> Option<i64> {
        let (from_ms, to_ms) = self.window;
        match self.calendar? {
            Calendar::Since(_) => (from_ms > i64::MIN).then_some(from_ms),
            Calendar::Before(_) => (from_ms > i64::MIN).then_some(to_ms),
        }
    }
}

impl Part {
    /// Visits every reading below.
    pub fn each_reading(&mut self, visit: &mut dyn FnMut(&mut Looked)) {
        self.readings.iter_mut().for_each(&mut *visit);
        for part in &mut self.parts {
            part.each_reading(visit);
        }
    }
}

impl Trace<'_> {
    /// Judges a rule and lays out everything about it.
    pub fn outline<H: Host>(&self, run: &mut Run<'_, H>, body: &RuleBody) -> Outline {
        let verdict = run.verdict(body);
        let asked = self.asked(run, body);
        let part = |run: &mut Run<'_, H>, id| self.part(run, body, id, (&asked, 0));
        let guard = body.guard.map(|guard| part(run, guard));
        let when = part(run, body.when);
        let unless = body.unless.map(|unless| part(run, unless));
        let missing = if run.truth(body.when) == Truth::Undecided {
            let sources = &self.program.sources;
            self.missing(run, body).iter().map(|cause| cause.describe(sources)).collect()
        } else {
            Vec::new()
        };
        Outline { verdict, guard, when, unless, missing }
    }

    /// The measures that were asked for so far, of all that the rule could ask.
    fn asked<H: Host>(&self, run: &Run<'_, H>, body: &RuleBody) -> Vec<(LookupId, u16)> {
        let mut asked = Vec::new();
        let roots = [Some(body.when), body.guard, body.unless];
        for root in roots.into_iter().flatten() {
            self.each_reading(root, &mut |lookup, index| {
                if run.was_asked(lookup, index) {
                    asked.push((lookup, index));
                }
            });
        }
        asked
    }

    fn each_reading(&self, id: NodeId, visit: &mut dyn FnMut(LookupId, u16)) {
        let Some(node) = self.node(id) else { return };
        if let Op::Reading(lookup, index) = &node.op {
            visit(*lookup, *index);
        }
        let mut operands = Vec::new();
        node.op.each_operand(&mut |operand| operands.push(operand));
        for operand in operands {
            self.each_reading(operand, visit);
        }
    }

    fn part<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        body: &RuleBody,
        id: NodeId,
        (asked, depth): (&[(LookupId, u16)], usize),
    ) -> Part {
        let value = self.render_node(run, id);
        let mut part = Part {
            text: self.name_of(body, id),
            value,
            compared: None,
            short_by: self.short_by(run, id),
            coverage: self.coverage_of(run, id),
            readings: Vec::new(),
            steps: Vec::new(),
            parts: Vec::new(),
        };
        let Some(node) = self.node(id) else { return part };
        if let Op::Sequence(plan) = &node.op {
            part.steps = self.steps_of(run, id, plan);
            return part;
        }
        if node.ty == Type::Bool && !self.is_aggregate(body, id) {
            part.compared = self.comparison(run, body, id);
        }
        if self.is_aggregate(body, id) {
            self.each_reading(id, &mut |lookup, index| {
                part.readings.extend(self.looked(run, (lookup, index), asked));
            });
            return part;
        }
        let mut operands = Vec::new();
        node.op.each_operand(&mut |operand| operands.push(operand));
        operands.dedup();
        for operand in operands {
            if depth < MAX_DEPTH && self.says_something(operand) {
                part.parts.push(self.part(run, body, operand, (asked, depth + 1)));
            }
        }
        part
    }

    fn steps_of<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        id: NodeId,
        plan: &SequencePlan,
    ) -> Vec<Step> {
        let reached = run.steps_reached(id);
        let step = |(index, step): (u16, &SequenceStep)| {
            let StepRole::Take(times) = step.role else { return None };
            let of_step = reached.iter().filter(|(taken, _)| *taken == index);
            Some(Step {
                name: step.name.clone(),
                event: self.program.schema.event(step.event).name.clone(),
                times,
                taken_ms: of_step.map(|(_, time_ms)| *time_ms).collect(),
            })
        };
        (0..).zip(&plan.steps).filter_map(step).collect()
    }

    /// The two sides of a comparison; `None` where a part is no comparison.
    fn comparison<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        body: &RuleBody,
        id: NodeId,
    ) -> Option<(String, &'static str, String)> {
        let node = self.node(id)?;
        if matches!(node.op, Op::And(_) | Op::Or(_) | Op::Not(_) | Op::Constant(_) | Op::Field(_)) {
            return None;
        }
        let Condition { left, op, right, .. } = self.condition(run, body, id)?;
        Some((left, op, right))
    }

    /// How much the left side of a comparison of sizes lacks, or has too much.
    fn short_by<H: Host>(&self, run: &mut Run<'_, H>, id: NodeId) -> Option<String> {
        let Op::Compare(op, left, right) = &self.node(id)?.op else { return None };
        if matches!(op, CompareOp::Eq | CompareOp::Ne) || run.truth(id) != Truth::False {
            return None;
        }
        let ty = self.node(*left)?.ty;
        let gap = match (run.value(*left), run.value(*right)) {
            (Value::Int(one), Value::Int(other)) if ty != Type::Time => {
                Value::Int(one.checked_sub(other)?.checked_abs()?)
            }
            (Value::Money(one), Value::Money(other)) => {
                Value::Money(one.checked_sub(other)?.checked_abs()?)
            }
            (Value::Number(one), Value::Number(other)) => Value::Number((one - other).abs()),
            _ => return None,
        };
        Some(self.render_value(run, gap, ty))
    }

    /// Whether a node is one aggregate of the language: it reads state and nothing else.
    fn is_aggregate(&self, body: &RuleBody, id: NodeId) -> bool {
        let Some(node) = self.node(id) else { return false };
        match &node.op {
            Op::Reading(..) | Op::Mean { .. } | Op::Deviation { .. } => true,
            // The parts of `share` have no words of their own.
            Op::Div(a, b) => [*a, *b].iter().all(|part| {
                self.node(*part).is_some_and(|of| {
                    matches!(of.op, Op::Reading(..))
                        && body.words_of(*part, of) == body.words_of(id, node)
                })
            }),
            Op::IsZero(inner) | Op::Since(inner) => self.is_aggregate(body, *inner),
            _ => false,
        }
    }

    /// Whether a reader learns something from a node: not from a constant, which the words around it hold.
    fn says_something(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| !matches!(node.op, Op::Constant(_)))
    }

    /// The name that the rule or a feature gave a node, or else the author's words.
    fn name_of(&self, body: &RuleBody, id: NodeId) -> String {
        let plan = self.program.plans.get(usize::from(self.event.0));
        let features = plan.map_or(&[][..], |plan| &plan.features);
        let named = body.lets.iter().chain(features).find(|(_, node)| *node == id);
        if let Some((name, _)) = named {
            return name.clone();
        }
        let words = self.node(id).map(|node| self.program.sources.text(body.words_of(id, node)));
        one_line(words.unwrap_or_default()).into_owned()
    }

    fn looked<H: Host>(
        &self,
        run: &mut Run<'_, H>,
        at: (LookupId, u16),
        asked: &[(LookupId, u16)],
    ) -> Option<Looked> {
        let (measure, identity) = self.measure(at.0, at.1)?;
        let now_ms = run.row.time_ms;
        // A lifetime has no begin; nobody knows that of a day where no time zone is named.
        let window = self.edges(run, at.0, at.1).unwrap_or((i64::MIN, now_ms));
        let unpriced = match self.unpriced(at.0, at.1).map(|node| run.value(node)) {
            Some(Value::Int(unpriced)) => u64::try_from(unpriced).ok(),
            _ => None,
        };
        Some(Looked {
            at,
            identity: identity.to_owned(),
            window,
            calendar: measure.window.calendar,
            with_this: measure.counting == Counting::Last,
            asked: asked.contains(&at),
            counted: None,
            unpriced,
        })
    }
}
