//! Models as conditions ask them: the features are worked out once per event, and only where somebody asks.

use crate::base::Value;
use crate::models::online::Scored;
use crate::rules::eval::code::ModelCode;
use crate::rules::eval::explain::SENSITIVE;
use crate::rules::eval::number::{finite, number_of};
use crate::rules::eval::trace::Trace;
use crate::rules::eval::{Host, ModelAnswer, Run};
use crate::rules::model::model_input;
use crate::rules::program::{Aspect, ModelId, NodeId, Op, RuleBody};

impl<H: Host> Run<'_, H> {
    pub(super) fn model_value(&mut self, code: &ModelCode) -> Value {
        let Some(scored) = self.scored(code) else { return Value::Missing };
        match code.aspect {
            Aspect::Percentile => scored.percentile.map_or(Value::Missing, finite),
            Aspect::Raw => finite(number_of(scored.raw_micro.into()) / 1e6),
        }
    }

    pub(super) fn scored(&mut self, code: &ModelCode) -> Option<Scored> {
        if let ModelAnswer::Says(known) = self.host.scored(code.model) {
            return known;
        }
        let mut features = core::mem::take(&mut self.memo.features);
        features.clear();
        features.extend(code.features.iter().map(|at| model_input(self.value_at(*at))));
        let scored = self.host.score(code.model, &features);
        self.memo.features = features;
        scored
    }
}

impl Trace<'_> {
    /// The value of a node as records show it.
    pub fn shown<H: Host>(&self, run: &mut Run<'_, H>, node: NodeId) -> String {
        if self.is_sensitive(node) { SENSITIVE.to_owned() } else { self.render_node(run, node) }
    }

    /// The models that a rule may ask, each once.
    pub fn models(&self, body: &RuleBody) -> Vec<ModelId> {
        let mut found = Vec::new();
        let mut open: Vec<NodeId> = body.guard.into_iter().chain(body.unless).collect();
        open.push(body.when);
        while let Some(id) = open.pop() {
            let Some(node) = self.node(id) else { continue };
            match &node.op {
                Op::Model(model, ..) if found.contains(model) => {}
                Op::Model(model, ..) => found.push(*model),
                op => op.each_operand(&mut |part| open.push(part)),
            }
        }
        found
    }
}
