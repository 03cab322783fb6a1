//! Random programs on random events: the evaluator against the naive reading of the same nodes.

use proptest::prelude::*;
use proptest::test_runner::TestRng;

use super::fixture::{
    CHANNEL, CHANNEL_TYPE, COUNTRY, Canned, EURO, FLAG, INT, MONEY, MONEY_CODE, NUMBER, PLACE,
    TEXT, TIME, empty_row, eur, node, program, usd,
};
use super::naive::{Naive, World};
use crate::base::value::Place;
use crate::base::{Tag, TextRef, Value};
use crate::event::row::Row;
use crate::event::schema::{EntityId, EventId};
use crate::rules::eval::{EvalPlan, Evaluator, Run};
use crate::rules::program::{Constant, Function, ListId, LookupId, Node, NodeId, Op, Type};
use crate::rules::syntax::ast::CompareOp;
use crate::window::spec::{Coverage, ReadValue, Reading};

const WORDS: [&str; 6] = ["a", "Abc", "abc", "card-0001-long", "Ärger", ""];
const MONEY_TYPE: fn() -> Type = || Type::Money(eur());

/// Makes nodes; equal ones are one, as the compiler has it.
struct Maker {
    rng: TestRng,
    nodes: Vec<Node>,
}

impl Maker {
    fn below(&mut self, n: u32) -> u32 {
        self.rng.next_u32() % n
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let index = self.below(u32::try_from(from.len()).unwrap());
        from[index as usize].clone()
    }

    fn add(&mut self, op: Op, ty: Type) -> NodeId {
        let new = node(op, ty);
        let at = self.nodes.iter().position(|known| *known == new).unwrap_or_else(|| {
            self.nodes.push(new);
            self.nodes.len() - 1
        });
        NodeId(u32::try_from(at).unwrap())
    }

    fn small(&mut self) -> i64 {
        match self.below(12) {
            0 => i64::MAX,
            1 => i64::MIN,
            _ => i64::from(self.below(9)) - 4,
        }
    }

    fn op(&mut self) -> CompareOp {
        use CompareOp::{Eq, Ge, Gt, Le, Lt, Ne};
        self.pick(&[Eq, Ne, Lt, Le, Gt, Ge])
    }

    fn equality(&mut self) -> CompareOp {
        self.pick(&[CompareOp::Eq, CompareOp::Ne])
    }

    fn int(&mut self, depth: u32) -> NodeId {
        let ty = Type::Integer;
        match self.below(if depth == 0 { 5 } else { 12 }) {
            0 | 1 => self.add(Op::Field(INT), ty),
            2 => self.add(Op::Reading(LookupId(0), 0), ty),
            3 => self.add(Op::Reading(LookupId(0), 5), ty),
            4 => {
                let value = self.small();
                self.add(Op::Constant(Constant::Int(value)), ty)
            }
            5 => self.two_ints(depth, Op::Add),
            6 => self.two_ints(depth, Op::Sub),
            7 => self.two_ints(depth, Op::Mul),
            8 => self.two_ints(depth, Op::Default),
            9 => {
                let of = self.int(depth - 1);
                self.add(Op::Call(Function::Abs, vec![of]), ty)
            }
            10 => {
                let of = self.number(depth - 1);
                self.add(Op::Call(Function::Round, vec![of]), ty)
            }
            _ => {
                let of = self.spelled_text(depth - 1);
                self.add(Op::Call(Function::Length, vec![of]), ty)
            }
        }
    }

    fn two_ints(&mut self, depth: u32, make: fn(NodeId, NodeId) -> Op) -> NodeId {
        let (a, b) = (self.int(depth - 1), self.int(depth - 1));
        self.add(make(a, b), Type::Integer)
    }

    fn number(&mut self, depth: u32) -> NodeId {
        let ty = Type::Number;
        match self.below(if depth == 0 { 3 } else { 8 }) {
            0 => self.add(Op::Field(NUMBER), ty),
            1 => self.add(Op::Reading(LookupId(0), 3), ty),
            2 => {
                let value = f64::from(i32::try_from(self.below(9)).unwrap() - 4) / 4.0;
                self.add(Op::Constant(Constant::Number(value)), ty)
            }
            3 => {
                let (a, b) = (self.number(depth - 1), self.int(depth - 1));
                let op = self.pick(&[Op::Add(a, b), Op::Sub(b, a), Op::Mul(a, b), Op::Div(a, b)]);
                self.add(op, ty)
            }
            4 => {
                let (a, b) = (self.int(depth - 1), self.int(depth - 1));
                self.add(Op::Div(a, b), ty)
            }
            5 => {
                let (a, b) = (self.money(depth - 1), self.money(depth - 1));
                self.add(Op::Div(a, b), ty)
            }
            6 => {
                let of = self.number(depth - 1);
                self.add(Op::Percent { ppm: 300_000, of }, ty)
            }
            _ => {
                let (a, b) = (self.number(depth - 1), self.number(depth - 1));
                self.add(Op::Default(a, b), ty)
            }
        }
    }

    fn money(&mut self, depth: u32) -> NodeId {
        let ty = MONEY_TYPE();
        match self.below(if depth == 0 { 5 } else { 11 }) {
            0 => self.add(Op::MoneyField { slot: EURO, currency: Ok(eur()) }, ty),
            1 => self.add(Op::MoneyField { slot: MONEY, currency: Err(MONEY_CODE) }, ty),
            2 => self.add(Op::Reading(LookupId(0), 1), ty),
            3 => {
                let micro = i128::from(self.below(9)) * 500_000 - 2_000_000;
                self.add(Op::Constant(Constant::Money(micro)), ty)
            }
            4 => self.add(Op::MoneyField { slot: EURO, currency: Ok(usd()) }, ty),
            5 | 6 => {
                let (a, b) = (self.money(depth - 1), self.money(depth - 1));
                let op = self.pick(&[Op::Add(a, b), Op::Sub(a, b), Op::Default(a, b)]);
                self.add(op, ty)
            }
            7 => {
                let a = self.money(depth - 1);
                let factor = f64::from(i32::try_from(self.below(9)).unwrap() - 4) / 4.0;
                let b = self.add(Op::Constant(Constant::Number(factor)), Type::Number);
                let op = self.pick(&[Op::Mul(a, b), Op::Div(a, b)]);
                self.add(op, ty)
            }
            8 => {
                let a = self.money(depth - 1);
                let factor = i64::from(self.below(5)) - 2;
                let b = self.add(Op::Constant(Constant::Int(factor)), Type::Integer);
                let op = self.pick(&[Op::Mul(a, b), Op::Div(a, b)]);
                self.add(op, ty)
            }
            9 => {
                let of = self.money(depth - 1);
                self.add(Op::Call(Function::Abs, vec![of]), ty)
            }
            _ => {
                let of = self.money(depth - 1);
                self.add(Op::Percent { ppm: 333_333, of }, ty)
            }
        }
    }

    /// A text whose letters are at hand.
    fn spelled_text(&mut self, depth: u32) -> NodeId {
        match self.below(if depth == 0 { 2 } else { 4 }) {
            0 => self.add(Op::Field(TEXT), Type::Entity(EntityId(0))),
            1 => {
                let word = self.pick(&WORDS).to_owned();
                self.add(Op::Constant(Constant::Text(word)), Type::Text)
            }
            2 => {
                let of = self.spelled_text(depth - 1);
                self.add(Op::Call(Function::Lower, vec![of]), Type::Text)
            }
            _ => {
                let (a, b) = (self.spelled_text(depth - 1), self.spelled_text(depth - 1));
                self.add(Op::Default(a, b), Type::Text)
            }
        }
    }

    fn text(&mut self, depth: u32) -> NodeId {
        if self.below(4) == 0 {
            return self.add(Op::Reading(LookupId(0), 6), Type::Text);
        }
        self.spelled_text(depth)
    }

    fn truth(&mut self, depth: u32) -> NodeId {
        let op = match self.below(if depth == 0 { 9 } else { 17 }) {
            0 => Op::Field(FLAG),
            1 => self.code_test(),
            2 => {
                let (a, b) = (self.int(depth), self.int(depth));
                Op::Compare(self.op(), a, b)
            }
            3 => {
                let (a, b) = (self.int(depth), self.number(depth));
                let op = self.op();
                self.pick(&[Op::Compare(op, a, b), Op::Compare(op, b, a)])
            }
            4 => {
                let (a, b) = (self.money(depth), self.money(depth));
                Op::Compare(self.op(), a, b)
            }
            5 => {
                let (a, b) = (self.text(depth), self.text(depth));
                Op::Compare(self.equality(), a, b)
            }
            6 => Op::IsZero(self.add(Op::Reading(LookupId(0), 5), Type::Integer)),
            7 => {
                let then = self.add(Op::Reading(LookupId(0), 7), Type::Time);
                let gap = self.add(Op::Since(then), Type::Duration);
                let bound = self.small();
                let bound = self.add(Op::Constant(Constant::Int(bound)), Type::Duration);
                Op::Compare(self.op(), gap, bound)
            }
            8 => {
                let (a, b) = (self.number(depth), self.number(depth));
                Op::Compare(self.op(), a, b)
            }
            9 => {
                let of = self.truth(depth - 1);
                Op::Not(of)
            }
            10 | 11 => Op::And(self.truths(depth)),
            12 | 13 => Op::Or(self.truths(depth)),
            14 => {
                let of = self.any(depth - 1);
                Op::IsMissing(of)
            }
            15 => self.membership(depth - 1),
            _ => self.text_test(depth - 1),
        };
        self.add(op, Type::Bool)
    }

    fn truths(&mut self, depth: u32) -> Vec<NodeId> {
        let n = 2 + self.below(3);
        (0..n).map(|_| self.truth(depth - 1)).collect()
    }

    fn any(&mut self, depth: u32) -> NodeId {
        match self.below(6) {
            0 => self.int(depth),
            1 => self.money(depth),
            2 => self.number(depth),
            3 => self.truth(depth),
            4 => self.add(Op::GeoField(PLACE), Type::Geo),
            _ => self.text(depth),
        }
    }

    fn code_test(&mut self) -> Op {
        let (slot, ty, codes) = self.pick(&[
            (CHANNEL, CHANNEL_TYPE, [0, 1, 3]),
            (COUNTRY, Type::Country, [0x4445, 0x4652, 0x4b50]),
        ]);
        let field = self.add(Op::Field(slot), ty);
        let code = Constant::Code(self.pick(&codes));
        if self.below(2) == 0 {
            return Op::InSet(field, vec![code, Constant::Code(codes[0])]);
        }
        let code = self.add(Op::Constant(code), ty);
        let op = self.equality();
        self.pick(&[Op::Compare(op, field, code), Op::Compare(op, code, field)])
    }

    fn membership(&mut self, depth: u32) -> Op {
        match self.below(4) {
            0 => {
                let (value, x, y) = (self.int(depth), self.small(), self.small());
                Op::InSet(value, vec![Constant::Int(x), Constant::Int(y)])
            }
            1 => {
                let value = self.number(depth);
                Op::InSet(value, vec![Constant::Number(0.25), Constant::Int(-1)])
            }
            2 => {
                let (value, word) = (self.text(depth), self.pick(&WORDS).to_owned());
                Op::InSet(value, vec![Constant::Text("abc".to_owned()), Constant::Text(word)])
            }
            _ => Op::InList(self.text(depth), ListId(0)),
        }
    }

    fn text_test(&mut self, depth: u32) -> Op {
        let (a, b) = (self.spelled_text(depth), self.spelled_text(depth));
        match self.below(4) {
            0 => Op::Contains(a, b),
            1 => Op::StartsWith(a, b),
            2 => Op::Matches(a, self.pick(&["^ab", "^card", "^"]).to_owned()),
            _ => {
                let (a, b) = (self.money(depth), self.money(depth));
                Op::Call(Function::IsMultiple, vec![a, b])
            }
        }
    }

    fn row(&mut self, raw: &mut Vec<u8>) -> Row {
        let mut row = empty_row();
        row.time_ms = 1_000;
        row.set(TIME, 1_000);
        if self.below(4) > 0 {
            let word = self.pick(&WORDS);
            let (start, len) =
                (u32::try_from(raw.len()).unwrap(), u32::try_from(word.len()).unwrap());
            raw.extend_from_slice(word.as_bytes());
            let text = if self.below(2) == 0 {
                TextRef::new(Place::Raw, start, len)
            } else {
                row.store_text(word.as_bytes())
            };
            row.set(TEXT, text.0);
        }
        let number = f64::from(i32::try_from(self.below(17)).unwrap() - 8) / 4.0;
        let values = [
            (INT, self.small().cast_unsigned()),
            (NUMBER, number.to_bits()),
            (EURO, (i64::from(self.below(9)) - 4).cast_unsigned()),
            (MONEY, (i64::from(self.below(9)) - 4).cast_unsigned()),
            (CHANNEL, u64::from(self.below(4))),
            (COUNTRY, self.pick(&[0x4445, 0x4652, 0x4b50])),
            (FLAG, u64::from(self.below(2))),
        ];
        for (slot, word) in values {
            if self.below(4) > 0 {
                row.set(slot, word);
            }
        }
        let code = self.pick(&[eur(), usd()]);
        row.set(MONEY_CODE, u64::from(code.0));
        row
    }

    fn host(&mut self) -> Canned {
        let tag = Tag::of_text(self.pick(&WORDS).as_bytes()).0;
        let mut values = [
            ReadValue::Int(self.below(4).into()),
            ReadValue::Int(i128::from(self.below(9)) - 4),
            ReadValue::Int(self.below(100).into()),
            ReadValue::Int(i128::from(self.below(9)) * 250_000),
            ReadValue::Int(self.below(100).into()),
            ReadValue::Int(self.below(2).into()),
            ReadValue::Word(tag),
            ReadValue::Int(990 + i128::from(self.below(15))),
            ReadValue::Missing,
        ];
        for value in &mut values {
            if self.below(6) == 0 {
                *value = ReadValue::Missing;
            }
        }
        let coverage = Coverage::Complete;
        let readings = values.map(|value| Reading { value, coverage }).to_vec();
        let word = self.pick(&WORDS).as_bytes().to_vec();
        Canned { readings, members: vec![word, b"abc".to_vec()], n_asked: 0 }
    }
}

fn same(fast: Value, naive: &Naive, row: &Row, raw: &[u8]) -> bool {
    let tag = |text: &str| Tag::of_text(text.as_bytes()).0;
    match (fast, naive) {
        (Value::Bool(a), Naive::Bool(b)) => a == *b,
        (Value::Int(a), Naive::Int(b)) => a == *b,
        (Value::Number(a), Naive::Number(b)) => {
            a.partial_cmp(b) == Some(core::cmp::Ordering::Equal)
        }
        (Value::Money(a), Naive::Money(b)) => a == *b,
        (Value::Text(a), Naive::Text(b)) => row.text(raw, a) == b.as_bytes(),
        (Value::Tag(a), Naive::Text(b)) => a.0 == tag(b),
        (Value::Tag(a), Naive::Tag(b)) => a.0 == *b,
        (Value::Code(a), Naive::Code(b)) => a == *b,
        (Value::Missing, Naive::Missing) | (Value::Geo(..), Naive::Geo(..)) => true,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_node_has_the_value_that_its_description_gives(
        seed in any::<[u8; 32]>().no_shrink(),
        depth in 0_u32..5,
    ) {
        let rng = TestRng::from_seed(prop::test_runner::RngAlgorithm::ChaCha, &seed);
        let mut maker = Maker { rng, nodes: vec![] };
        maker.add(Op::Field(TEXT), Type::Entity(EntityId(0)));
        let roots: Vec<NodeId> = (0..3).map(|_| maker.truth(depth)).collect();
        let program = program(maker.nodes.clone());
        let plan = EvalPlan::new(&program, EventId(0)).unwrap();
        let mut evaluator = Evaluator::new();
        for _ in 0..4 {
            let mut raw = b"{}".to_vec();
            let row = maker.row(&mut raw);
            let (mut host, reference) = {
                let host = maker.host();
                (Canned { readings: host.readings.clone(), members: host.members.clone(), n_asked: 0 }, host)
            };
            let world = World { nodes: &maker.nodes, row: &row, raw: &raw, host: &reference };
            evaluator.begin(&plan);
            let memo = &mut evaluator;
            let mut run = Run { plan: &plan, memo, row: &row, raw: &raw, host: &mut host };
            // Roots first, as rules are judged; then all nodes, which must agree with what was kept.
            let every = (0..maker.nodes.len()).map(|at| NodeId(u32::try_from(at).unwrap()));
            for id in roots.iter().copied().chain(every) {
                let (fast, naive) = (run.value(id), world.value(id));
                let node = &maker.nodes[id.0 as usize];
                prop_assert!(same(fast, &naive, &row, &raw), "{node:?}: {fast:?} is not {naive:?}");
                if node.ty == Type::Bool {
                    prop_assert_eq!(run.truth(id).value(), fast);
                }
            }
            prop_assert!(host.n_asked <= 9, "each measure is asked for once");
        }
    }
}
