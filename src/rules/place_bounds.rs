//! Bounds that rules set on the place of a score among the newest: whether a place can come to one depends on how many
//! scores the window holds, so whoever watches a service compares them with it.

use crate::rules::program::{
    Aspect, Constant, EventPlan, ModelId, NodeId, Op, Program, RuleBody, RuleId,
};
use crate::rules::syntax::ast::CompareOp;

/// A least place that a condition asks for, as in `model.anomaly >= 0.995`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PlaceBound {
    /// The rule.
    pub rule: RuleId,
    /// The model.
    pub model: ModelId,
    /// The largest of its bounds on that model, 0 to 1 where it is meant as a place.
    pub place: f64,
}

/// The largest bound of each rule on each model, in the order of events and rules. Of a condition only what is required of
/// the score itself counts: a comparison with a constant.
pub fn place_bounds(program: &Program) -> Vec<PlaceBound> {
    let mut found: Vec<PlaceBound> = Vec::new();
    for plan in &program.plans {
        for body in &plan.rules {
            for (model, place) in of_rule(plan, body) {
                let rule = body.rule;
                match found.iter_mut().find(|it| (it.rule, it.model) == (rule, model)) {
                    Some(known) => known.place = known.place.max(place),
                    None => found.push(PlaceBound { rule, model, place }),
                }
            }
        }
    }
    found
}

fn of_rule(plan: &EventPlan, body: &RuleBody) -> Vec<(ModelId, f64)> {
    let node = |id: NodeId| plan.nodes.get(id.0 as usize).map(|node| &node.op);
    let place = |id: NodeId| match node(id)? {
        Op::Model(model, Aspect::Percentile, _) => Some(*model),
        _ => None,
    };
    let number = |id: NodeId| match node(id)? {
        Op::Constant(Constant::Number(number)) => Some(*number),
        #[expect(clippy::cast_precision_loss, reason = "a bound on a place is near 0 or 1")]
        Op::Constant(Constant::Int(int)) => Some(*int as f64),
        _ => None,
    };
    let mut found = Vec::new();
    let mut open: Vec<NodeId> = body.guard.into_iter().chain([body.when]).collect();
    while let Some(op) = open.pop().map(node) {
        let Some(op) = op else { continue };
        if let Op::Compare(sign, left, right) = op {
            let (model, bound) = match sign {
                CompareOp::Ge | CompareOp::Gt => (*left, *right),
                CompareOp::Le | CompareOp::Lt => (*right, *left),
                _ => continue,
            };
            found.extend(place(model).zip(number(bound)));
        }
        op.each_operand(&mut |part| open.push(part));
    }
    found
}
