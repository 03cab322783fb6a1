//! From checked nodes to instructions: operand types resolved, field tests fused, operands of `and` and `or` ordered.
//!
//! Order: the cheapest operand first, so that an event which fails a test on one of its own fields never touches
//! state. The order never changes a result, because three-valued `and` and `or` commute.

use regex::bytes::RegexBuilder;

use crate::base::{Currency, MICRO_PER_MINOR, Tag};
use crate::event::schema::{EventId, SlotId};
use crate::rules::early;
use crate::rules::eval::code::{
    At, Code, Conversion, DeviationCheck, Instruction, LookupCode, ModelCode, Operands, Probe,
    Read, ReadAs, ReadingTest, SpreadAt, Start, Tests, TruthCode, ValueCode, ZoneAt,
};
use crate::rules::eval::error::EvalError;
use crate::rules::eval::field_test::{FieldTest, Range};
use crate::rules::eval::gates::{Gate, Gates};
use crate::rules::eval::lowering::{
    compare_texts, constant_value, count_uses, entry_code, equality, field_code, is_number,
    is_text, is_whole, mirrored, money_code, quotient_of, read_as, scale_of, set_of,
};
use crate::rules::eval::steps::{asks_state, is_tried};
use crate::rules::eval::zone::Zone;
use crate::rules::eval::{EvalPlan, Givens};
use crate::rules::program::{
    Constant, EventPlan, Function, ListId, Lookup, LookupId, Node, NodeId, Op, Program, TableId,
    Type,
};
use crate::rules::syntax::ast::CompareOp;
use crate::window::layout::column_of;
use crate::window::spec::{ColumnKind, MeasureId, MeasureKind};

/// Largest compiled pattern and largest cache of its automaton.
const PATTERN_BYTES: usize = 1 << 20;

/// Cost of asking state, in units of one field test.
const COST_READING: u32 = 100;

/// Prepares everything that happens on one event type.
pub(super) fn compile(program: &Program, event: EventId) -> Result<EvalPlan, EvalError> {
    let plan = program.plans.get(usize::from(event.0)).ok_or(EvalError::UnknownEvent(event.0))?;
    let out = EvalPlan { rates: program.rates.clone(), ..EvalPlan::default() };
    let mut compiler = Compiler { program, plan, out };
    compiler.plan_lookups()?;
    let uses = count_uses(program, plan);
    let mut tried: Vec<bool> = Vec::with_capacity(plan.nodes.len());
    for (node, n_uses) in plan.nodes.iter().zip(uses) {
        let code = compiler.code(node)?;
        let cost = compiler.cost(&code);
        // What reads a step's fields has another value for every event that is tried.
        tried.push(is_tried(&node.op, &tried));
        let kept = n_uses > 1 && cost > 2 && tried.last() == Some(&false);
        let exactness = compiler.exactness(node);
        compiler.out.instructions.push(Instruction { code, kept, cost, exactness });
    }
    compiler.plan_entries();
    compiler.out.early = early::bits(program, event)
        .into_iter()
        .filter_map(|bit| Some((bit, early::node(program, bit)?.0)))
        .collect();
    compiler.plan_gates();
    Ok(compiler.out)
}

pub(super) struct Compiler<'a> {
    pub(super) program: &'a Program,
    pub(super) plan: &'a EventPlan,
    pub(super) out: EvalPlan,
}

impl Compiler<'_> {
    fn plan_lookups(&mut self) -> Result<(), EvalError> {
        let plan = self.plan;
        for lookup in &plan.lookups {
            let probe = |(index, node): (usize, &Option<NodeId>)| {
                let measure = lookup.measures.get(index).copied();
                let kind = measure.and_then(|measure| self.column_kind(lookup.table, measure));
                (*node).zip(kind).map(|(node, kind)| Probe { node: node.0, kind })
            };
            let probes: Vec<Option<Probe>> = lookup.probes.iter().enumerate().map(probe).collect();
            let needed = probes.iter().any(Option::is_some);
            let probes = if needed { probes } else { Vec::new() };
            let starts = self.plan_starts(lookup)?;
            let base = self.out.n_readings;
            self.out.lookups.push(LookupCode { base, probes, starts });
            self.out.n_readings += u32::try_from(lookup.measures.len()).unwrap_or(u32::MAX);
        }
        Ok(())
    }

    /// Where the windows of a look-up have an end by the calendar; nothing where none does.
    fn plan_starts(&mut self, lookup: &Lookup) -> Result<Vec<Option<Start>>, EvalError> {
        let spec = self.program.tables.get(usize::from(lookup.table.0)).map(|table| &table.spec);
        let period = |id: &MeasureId| {
            let measure = spec.and_then(|spec| spec.measures.get(usize::from(id.0)))?;
            Some(measure.window.calendar?.period())
        };
        if lookup.measures.iter().all(|id| period(id).is_none()) {
            return Ok(Vec::new());
        }
        let mut starts = Vec::new();
        for (index, id) in lookup.measures.iter().enumerate() {
            let Some(period) = period(id) else {
                starts.push(None);
                continue;
            };
            let named = lookup.zones.get(index).copied().flatten();
            let zone = match named.map(|id| (id, self.node(id).map(|node| &node.op))) {
                Some((_, Some(Op::Constant(Constant::Text(name))))) => {
                    let name = name.clone();
                    ZoneAt::Known(self.known_zone(&name)?)
                }
                Some((id, _)) => ZoneAt::Named(id.0),
                None => ZoneAt::Known(self.known_zone(&self.program.policy.timezone)?),
            };
            starts.push(Some(Start { period, zone }));
        }
        Ok(starts)
    }

    fn known_zone(&mut self, name: &str) -> Result<u32, EvalError> {
        let zone = Zone::named(name)?;
        let known = self.out.zones.iter().position(|held| held.tag == zone.tag);
        Ok(match known.and_then(|index| u32::try_from(index).ok()) {
            Some(index) => index,
            None => push(&mut self.out.zones, zone),
        })
    }

    fn plan_entries(&mut self) {
        for id in &self.plan.tables {
            if let Some(table) = self.program.tables.get(usize::from(id.0)) {
                let plan = self.plan;
                let entry = entry_code(table, |filter| asks_state(plan, filter));
                self.out.entries.push((*id, entry));
            }
        }
    }

    /// Collects the tests of fields that a rule stands or falls with.
    fn plan_gates(&mut self) {
        let mut gates = Vec::new();
        for (place, rule) in self.plan.rules.iter().enumerate() {
            for id in rule.guard.into_iter().chain([rule.when]) {
                let Some(code) = self.truth_code_at(id.0) else { continue };
                gates.extend(self.gate(place, code));
                if let TruthCode::And(tests, others) = code {
                    let tests = self.out.tests(*tests);
                    gates.extend(tests.iter().filter_map(|test| Gate::of(place, &[*test])));
                    let others = self.out.operands(*others).iter();
                    let others = others.filter_map(|at| self.truth_code_at(*at));
                    gates.extend(others.filter_map(|code| self.gate(place, code)));
                }
            }
        }
        self.out.gates = Gates::new(self.plan.rules.len(), &gates);
    }

    /// A truth that is a test of one field, as a gate.
    fn gate(&self, rule: usize, code: &TruthCode) -> Option<Gate> {
        match code {
            TruthCode::Field(test) => Gate::of(rule, &[*test]),
            TruthCode::CodeMask(slot, mask) => {
                let codes = (0..u64::BITS).filter(|code| mask >> code & 1 == 1);
                let tests: Vec<_> = codes.map(|code| FieldTest::word(*slot, code, false)).collect();
                Gate::of(rule, &tests)
            }
            TruthCode::Or(tests, others) if self.out.operands(*others).is_empty() => {
                Gate::of(rule, self.out.tests(*tests))
            }
            _ => None,
        }
    }

    fn truth_code_at(&self, at: At) -> Option<&TruthCode> {
        match &self.out.instructions.get(at as usize)?.code {
            Code::Truth(code) => Some(code),
            Code::Value(_) => None,
        }
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&Node> {
        self.plan.nodes.get(id.0 as usize)
    }

    fn code(&mut self, node: &Node) -> Result<Code, EvalError> {
        match &node.op {
            Op::Matches(text, pattern) => self.pattern(*text, pattern),
            Op::Call(function, arguments) => self.call(*function, arguments),
            op => Ok(self
                .truth_code(op, node.ty)
                .map_or_else(|| Code::Value(self.value_code(op, node.ty)), Code::Truth)),
        }
    }

    fn truth_code(&mut self, op: &Op, ty: Type) -> Option<TruthCode> {
        Some(match op {
            Op::Not(a) => TruthCode::Not(a.0),
            Op::Field(slot) if ty == Type::Bool => {
                TruthCode::Field(FieldTest::word(*slot, 1, false))
            }
            Op::And(operands) => {
                let (tests, others) = self.operands(operands);
                TruthCode::And(tests, others)
            }
            Op::Or(operands) => {
                let (tests, others) = self.operands(operands);
                TruthCode::Or(tests, others)
            }
            Op::Compare(op, left, right) => self.compare(*op, *left, *right),
            Op::CompareDeviation { op, value, count, sum, squares, factor_micro } => {
                let spread = self.spread(*count, *sum, *squares);
                let (op, value, factor_micro) = (*op, value.0, *factor_micro);
                let check = DeviationCheck { op, value, spread, factor_micro };
                TruthCode::CompareDeviation(Box::new(check))
            }
            Op::InSet(value, members) => self.in_set(*value, members),
            Op::InList(value, list) => TruthCode::InList(value.0, *list, self.enum_names(*value)),
            Op::IsMissing(a) => TruthCode::IsMissing(a.0),
            Op::IsZero(a) => TruthCode::IsZero(a.0),
            Op::Contains(a, b) => TruthCode::Contains(a.0, b.0),
            Op::StartsWith(a, b) => TruthCode::StartsWith(a.0, b.0),
            Op::Sequence(plan) => TruthCode::Sequence(self.sequence(plan)),
            _ => return None,
        })
    }

    fn value_code(&mut self, op: &Op, ty: Type) -> ValueCode {
        match op {
            Op::Constant(constant) => self.constant(constant),
            Op::Field(slot) => field_code(*slot, ty),
            Op::GeoField(slot) => ValueCode::Geo(*slot),
            Op::MoneyField { slot, currency } => match self.conversion(*slot, *currency, ty) {
                Some(conversion) => ValueCode::Converted(conversion),
                None => money_code(*currency, ty)
                    .map_or(ValueCode::Missing, |check| ValueCode::Money(*slot, check)),
            },
            Op::Reading(lookup, index) => self.reading(*lookup, *index, ty),
            Op::Mean { sum, count } => {
                ValueCode::Mean(self.spread(*count, *sum, *sum), scale_of(ty))
            }
            Op::Deviation { count, sum, squares } => {
                ValueCode::Deviation(self.spread(*count, *sum, *squares), scale_of(ty))
            }
            Op::Since(a) => ValueCode::Since(a.0),
            Op::Given(a, list) => ValueCode::Given(a.0, self.given(*list), self.enum_names(*a)),
            Op::Default(a, b) => ValueCode::Default(a.0, b.0),
            Op::Add(a, b) => ValueCode::Add(a.0, b.0),
            Op::Sub(a, b) => ValueCode::Sub(a.0, b.0),
            Op::Mul(a, b) => ValueCode::Mul(a.0, b.0, ty == Type::Duration),
            Op::Div(a, b) => ValueCode::Div(a.0, b.0, quotient_of(ty)),
            Op::Percent { ppm, of } => ValueCode::Percent(of.0, *ppm, scale_of(ty)),
            Op::StepField { binding, step, value } => {
                self.step_field((*binding, *step), *value, ty).unwrap_or(ValueCode::Missing)
            }
            Op::Arrival => ValueCode::Arrival,
            Op::Model(model, aspect, features) => ValueCode::Model(Box::new(ModelCode {
                model: *model,
                aspect: *aspect,
                features: features.iter().map(|node| node.0).collect(),
            })),
            _ => ValueCode::Missing,
        }
    }

    /// How a money field comes to the wanted currency, where there are rates and it may not be in it.
    fn conversion(
        &self,
        slot: SlotId,
        from: Result<Currency, SlotId>,
        ty: Type,
    ) -> Option<Conversion> {
        let Type::Money(to) = ty else { return None };
        (self.out.rates.is_some() && from != Ok(to)).then_some(Conversion { slot, from, to })
    }

    fn call(&mut self, function: Function, arguments: &[NodeId]) -> Result<Code, EvalError> {
        let at = |index: usize| arguments.get(index).map_or(At::MAX, |node| node.0);
        Ok(Code::Value(match function {
            Function::IsMultiple => {
                return Ok(Code::Truth(TruthCode::IsMultiple(at(0), at(1))));
            }
            Function::Hour => {
                self.load_zone()?;
                ValueCode::Hour(at(0))
            }
            Function::Distance => ValueCode::Distance(at(0), at(1)),
            Function::Abs => ValueCode::Abs(at(0)),
            Function::Round => ValueCode::Round(at(0)),
            Function::Ln => ValueCode::Ln(at(0)),
            Function::Lower => ValueCode::Lower(at(0)),
            Function::Length => ValueCode::Length(at(0)),
            Function::Similarity => ValueCode::Similarity(at(0), at(1)),
        }))
    }

    fn load_zone(&mut self) -> Result<(), EvalError> {
        self.out.zone = Some(Zone::named(&self.program.policy.timezone)?);
        Ok(())
    }

    fn pattern(&mut self, text: NodeId, pattern: &str) -> Result<Code, EvalError> {
        let regex = RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES)
            .dfa_size_limit(PATTERN_BYTES)
            .build()
            .map_err(|error| EvalError::Regex {
                pattern: pattern.to_owned(),
                reason: error.to_string(),
            })?;
        let index = push(&mut self.out.patterns, regex);
        Ok(Code::Truth(TruthCode::Matches(text.0, index)))
    }

    fn constant(&mut self, constant: &Constant) -> ValueCode {
        if let Constant::Text(text) = constant {
            return ValueCode::Text(self.text(text), Tag::of_text(text.as_bytes()));
        }
        ValueCode::Constant(push(&mut self.out.constants, constant_value(constant)))
    }

    fn text(&mut self, text: &str) -> u32 {
        push(&mut self.out.texts, text.as_bytes().into())
    }

    /// Where the values of a list stand.
    fn given(&mut self, list: ListId) -> u32 {
        if let Some(known) = self.out.givens.iter().position(|(known, _)| *known == list) {
            return u32::try_from(known).unwrap_or(u32::MAX);
        }
        let mut values = Givens::default();
        if let Some(spec) = self.program.lists.get(usize::from(list.0))
            && let Some(gives) = &spec.gives
        {
            for (member, expires_ms) in &spec.members {
                let Some(constant) = gives.values.get(member) else { continue };
                let end_ms = expires_ms.unwrap_or(i64::MAX);
                let value = (constant_value(constant), end_ms);
                match spec.network(member) {
                    Some(network) => values.networks.insert(network, value),
                    None => _ = values.members.insert(member.as_bytes().into(), value),
                }
            }
        }
        push(&mut self.out.givens, (list, values))
    }

    /// Members by index, where the value is of a closed set: lists hold texts.
    fn enum_names(&mut self, value: NodeId) -> Option<u32> {
        let Type::Enum(event, field) = self.node(value)?.ty else { return None };
        let event = self.program.schema.events.get(usize::from(event.0))?;
        let field = event.fields.get(usize::from(field.0))?;
        let crate::event::schema::FieldType::OneOf(members) = &field.ty else { return None };
        let first = self.out.texts.len();
        self.out.texts.extend(members.iter().map(|member| member.as_bytes().into()));
        u32::try_from(first).ok()
    }

    /// Tests of fields apart from the other operands, those by their cost.
    fn operands(&mut self, nodes: &[NodeId]) -> (Tests, Operands) {
        let out = &mut self.out;
        let mut others = Vec::new();
        let start = place(&out.tests);
        for node in nodes {
            match out.instructions.get(node.0 as usize) {
                Some(Instruction { code: Code::Truth(TruthCode::Field(test)), .. }) => {
                    out.tests.push(*test);
                }
                Some(instruction) => others.push((instruction.cost, node.0)),
                None => {}
            }
        }
        let tests = Tests { start, end: place(&out.tests) };
        // Stable: the author's order among equals.
        others.sort_by_key(|(cost, _)| *cost);
        let start = place(&out.operands);
        out.operands.extend(others.into_iter().map(|(_, at)| at));
        (tests, Operands { start, end: place(&out.operands) })
    }

    fn reading(&mut self, lookup: LookupId, index: u16, ty: Type) -> ValueCode {
        let Some(asked) = self.out.lookups.get(usize::from(lookup.0)) else {
            return ValueCode::Missing;
        };
        let place = asked.base + u32::from(index);
        let unpriced = self.unpriced(lookup, index);
        let read = push(&mut self.out.reads, Read { lookup, index, place, unpriced });
        let micro = !counts(self.measure_kind(lookup, index))
            && self.column_of(lookup, index) == Some(ColumnKind::Micro);
        ValueCode::Reading(read, read_as(ty, micro))
    }

    /// The reading that counts what another one leaves out for want of an exchange rate; it was compiled before.
    fn unpriced(&self, lookup: LookupId, index: u16) -> Option<u32> {
        let nodes = &self.plan.lookups.get(usize::from(lookup.0))?.unpriced;
        let node = nodes.get(usize::from(index)).copied().flatten()?;
        match self.out.instructions.get(node.0 as usize)?.code {
            Code::Value(ValueCode::Reading(read, _)) => Some(read),
            _ => None,
        }
    }

    fn spread(&self, count: NodeId, sum: NodeId, squares: NodeId) -> SpreadAt {
        let micro = match self.node(sum).map(|node| &node.op) {
            Some(Op::Reading(lookup, index)) => {
                self.column_of(*lookup, *index) == Some(ColumnKind::Micro)
            }
            _ => false,
        };
        SpreadAt { count: count.0, sum: sum.0, squares: squares.0, micro }
    }

    fn column_of(&self, lookup: LookupId, index: u16) -> Option<ColumnKind> {
        let lookup: &Lookup = self.plan.lookups.get(usize::from(lookup.0))?;
        self.column_kind(lookup.table, *lookup.measures.get(usize::from(index))?)
    }

    fn measure_kind(&self, lookup: LookupId, index: u16) -> Option<MeasureKind> {
        let lookup = self.plan.lookups.get(usize::from(lookup.0))?;
        let spec = &self.program.tables.get(usize::from(lookup.table.0))?.spec;
        let measure = lookup.measures.get(usize::from(index))?;
        spec.measures.get(usize::from(measure.0)).map(|measure| measure.kind)
    }

    fn column_kind(&self, table: TableId, measure: MeasureId) -> Option<ColumnKind> {
        let spec = &self.program.tables.get(usize::from(table.0))?.spec;
        let id = column_of(spec.measures.get(usize::from(measure.0))?.kind)?;
        spec.columns.get(usize::from(id.0)).copied()
    }

    fn compare(&mut self, op: CompareOp, left: NodeId, right: NodeId) -> TruthCode {
        let constant_of = |node: Option<&Node>| match node.map(|node| &node.op) {
            Some(Op::Constant(constant)) => Some(constant.clone()),
            _ => None,
        };
        let (left_constant, right_constant) =
            (constant_of(self.node(left)), constant_of(self.node(right)));
        if self.rounds(left, right) {
            return TruthCode::CompareExact(op, left.0, right.0);
        }
        let fused = match (left_constant, right_constant) {
            (None, Some(constant)) => self.compare_constant(op, left, (right, &constant)),
            (Some(constant), None) => self.compare_constant(mirrored(op), right, (left, &constant)),
            _ => None,
        };
        fused.unwrap_or_else(|| match self.node(left).map(|node| node.ty) {
            Some(ty) if is_text(ty) => compare_texts(op, left, right),
            _ => TruthCode::Compare(op, left.0, right.0),
        })
    }

    fn compare_constant(
        &mut self,
        op: CompareOp,
        at: NodeId,
        (constant_at, constant): (NodeId, &Constant),
    ) -> Option<TruthCode> {
        let node = self.node(at)?;
        let ty = node.ty;
        match (&node.op, constant) {
            (Op::Field(slot), Constant::Int(c)) if is_whole(ty) => {
                Some(TruthCode::Field(FieldTest::int(*slot, op, *c)))
            }
            (Op::Reading(..), _) => self.reading_test(op, at, (constant_at, constant)),
            (_, Constant::Int(c)) if is_whole(ty) => {
                Some(TruthCode::IntNode(at.0, Range::of_int(op, *c)))
            }
            (Op::MoneyField { slot, currency }, Constant::Money(micro))
                if self.conversion(*slot, *currency, ty).is_none() =>
            {
                let check = money_code(*currency, ty)?;
                Some(TruthCode::Field(FieldTest::money(*slot, check, op, *micro)))
            }
            (Op::Field(slot), Constant::Number(c)) if is_number(ty) => {
                Some(TruthCode::Field(FieldTest::number(*slot, op, *c)))
            }
            (Op::Field(slot), Constant::Code(code)) => {
                Some(TruthCode::Field(FieldTest::word(*slot, *code, equality(op)?)))
            }
            (Op::Field(slot), Constant::Bool(truth)) => {
                Some(TruthCode::Field(FieldTest::word(*slot, (*truth).into(), equality(op)?)))
            }
            (Op::Field(slot), Constant::Text(text)) => {
                let (slot, negated) = (*slot, equality(op)?);
                Some(TruthCode::TextField { slot, text: self.text(text), negated })
            }
            _ => None,
        }
    }

    fn in_set(&mut self, value: NodeId, members: &[Constant]) -> TruthCode {
        let codes: Vec<u32> = members
            .iter()
            .filter_map(|member| match member {
                Constant::Code(code) => Some(*code),
                _ => None,
            })
            .collect();
        if let Some(Node { op: Op::Field(slot), .. }) = self.node(value)
            && codes.len() == members.len()
            && codes.iter().all(|code| *code < 64)
        {
            return TruthCode::CodeMask(*slot, codes.iter().fold(0, |mask, code| mask | 1 << code));
        }
        TruthCode::InSet(value.0, push(&mut self.out.sets, set_of(members, codes)))
    }

    fn cost_at(&self, at: At) -> u32 {
        self.out.instructions.get(at as usize).map_or(1, |instruction| instruction.cost)
    }

    /// A reading against a constant.
    fn reading_test(
        &self,
        op: CompareOp,
        at: NodeId,
        (constant_at, constant): (NodeId, &Constant),
    ) -> Option<TruthCode> {
        let instruction = self.out.instructions.get(at.0 as usize)?;
        let Code::Value(ValueCode::Reading(read, read_as)) = instruction.code else { return None };
        let (range, wide) = match (read_as, constant) {
            (ReadAs::Int, Constant::Int(int)) => (Range::of_int(op, *int), None),
            (ReadAs::Money, Constant::Money(micro)) => {
                (Range::of_scaled(op, *micro, MICRO_PER_MINOR), Some((op, constant_at.0)))
            }
            _ => return None,
        };
        Some(TruthCode::Reading(ReadingTest { at: at.0, read, range, wide }))
    }

    fn cost(&self, code: &Code) -> u32 {
        let (own, operands): (u32, Vec<At>) = match code {
            Code::Truth(code) => self.truth_cost(code),
            Code::Value(code) => value_cost(code),
        };
        operands.iter().fold(own, |sum, at| sum.saturating_add(self.cost_at(*at)))
    }

    fn truth_cost(&self, code: &TruthCode) -> (u32, Vec<At>) {
        match code {
            TruthCode::Field(_) | TruthCode::CodeMask(..) => (1, vec![]),
            TruthCode::TextField { .. } => (2, vec![]),
            TruthCode::Reading(ReadingTest { at, .. }) => (1, vec![*at]),
            TruthCode::IntNode(a, _)
            | TruthCode::Not(a)
            | TruthCode::IsMissing(a)
            | TruthCode::IsZero(a) => (1, vec![*a]),
            TruthCode::InSet(a, _) => (4, vec![*a]),
            // A walk costs more than any reading.
            TruthCode::Sequence(_) => (10 * COST_READING, vec![]),
            TruthCode::InList(a, ..) => (30, vec![*a]),
            TruthCode::Matches(a, _) => (50, vec![*a]),
            TruthCode::Compare(_, a, b) | TruthCode::IsMultiple(a, b) => (2, vec![*a, *b]),
            TruthCode::CompareExact(_, a, b) => (6, vec![*a, *b]),
            TruthCode::CompareText { left, right, .. } => (4, vec![*left, *right]),
            TruthCode::Contains(a, b) | TruthCode::StartsWith(a, b) => (10, vec![*a, *b]),
            TruthCode::CompareDeviation(check) => {
                let SpreadAt { count, sum, squares, .. } = check.spread;
                (10, vec![check.value, count, sum, squares])
            }
            TruthCode::And(tests, others) | TruthCode::Or(tests, others) => {
                (1 + (tests.end - tests.start), self.out.operands(*others).to_vec())
            }
        }
    }
}

fn value_cost(code: &ValueCode) -> (u32, Vec<At>) {
    match code {
        ValueCode::Reading(..) => (COST_READING, vec![]),
        ValueCode::Step(_) => (11 * COST_READING, vec![]),
        ValueCode::Mean(spread, _) => (4, vec![spread.count, spread.sum]),
        ValueCode::Deviation(spread, _) => (20, vec![spread.count, spread.sum, spread.squares]),
        ValueCode::Since(a) | ValueCode::Abs(a) | ValueCode::Round(a) => (1, vec![*a]),
        ValueCode::Percent(a, ..) | ValueCode::Hour(a) => (4, vec![*a]),
        ValueCode::Lower(a) | ValueCode::Length(a) | ValueCode::Ln(a) => (10, vec![*a]),
        ValueCode::Converted(_) => (10, vec![]),
        ValueCode::Distance(a, b) => (30, vec![*a, *b]),
        ValueCode::Similarity(a, b) => (400, vec![*a, *b]),
        ValueCode::Given(a, ..) => (30, vec![*a]),
        ValueCode::Model(code) => (10 * COST_READING, code.features.clone()),
        ValueCode::Default(a, b) | ValueCode::Add(a, b) | ValueCode::Sub(a, b) => (1, vec![*a, *b]),
        ValueCode::Mul(a, b, _) | ValueCode::Div(a, b, _) => (3, vec![*a, *b]),
        _ => (1, vec![]),
    }
}

/// Whether a measure answers with a count, whatever its column keeps.
fn counts(kind: Option<MeasureKind>) -> bool {
    matches!(
        kind,
        Some(
            MeasureKind::Count
                | MeasureKind::Distinct(_)
                | MeasureKind::CountOf(_)
                | MeasureKind::Run
        )
    )
}

pub(super) fn push<T>(items: &mut Vec<T>, item: T) -> u32 {
    let index = place(items);
    items.push(item);
    index
}

/// Where the next item will stand.
fn place<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).unwrap_or(u32::MAX)
}
