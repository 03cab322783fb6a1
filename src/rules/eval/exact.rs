//! What values stand for where they may be rounded: comparisons of them, and `round`, go by the exact fraction.
//!
//! A value itself says whether it is there at all; only its size is reckoned again. Only where a
//! record says a number of more digits than a double tells apart, the value decides as it is.

use core::cmp::Ordering;

use num_rational::BigRational;

use crate::base::{MICRO_PER_MINOR, Value};
use crate::rules::eval::code::{
    At, Code, Exactness, Quotient, ReadAs, Scale, Set, SpreadAt, ValueCode,
};
use crate::rules::eval::compile::Compiler;
use crate::rules::eval::number::{MICRO, compare, holds, int_value, rounded};
use crate::rules::eval::ratio::{Fraction, Ratio, decimal_of};
use crate::rules::eval::{Host, Run, Truth};
use crate::rules::program::{Constant, Function, Node, NodeId, Op, Type};
use crate::rules::syntax::ast::CompareOp;

impl Compiler<'_> {
    /// Whether two sides are known exactly and one of them has a value that may be rounded.
    pub(super) fn rounds(&self, left: NodeId, right: NodeId) -> bool {
        let sides = [self.exactness_at(left), self.exactness_at(right)];
        sides.contains(&Exactness::Rounded) && !sides.contains(&Exactness::Unknown)
    }

    /// How the value of a node can be known; its operands were compiled before.
    pub(super) fn exactness(&self, node: &Node) -> Exactness {
        use Exactness::{Rounded, Unknown, Whole};
        let both = |a: &NodeId, b: &NodeId| match (self.exactness_at(*a), self.exactness_at(*b)) {
            (Unknown, _) | (_, Unknown) => Unknown,
            (Whole, Whole) => Whole,
            _ => Rounded,
        };
        let unless_unknown =
            |exactness: Exactness| if exactness == Unknown { Unknown } else { Rounded };
        if !has_size(node.ty) {
            return Unknown;
        }
        match &node.op {
            Op::Constant(Constant::Number(number)) if decimal_of(*number).is_none() => Unknown,
            Op::Constant(_)
            | Op::Field(_)
            | Op::MoneyField { .. }
            | Op::Reading(..)
            | Op::Given(..)
            | Op::Since(_)
            | Op::Arrival
            | Op::StepField { .. }
            | Op::Call(Function::Round | Function::Hour | Function::Length, _) => Whole,
            Op::Mean { .. } => Rounded,
            Op::Percent { of, .. } => unless_unknown(self.exactness_at(*of)),
            Op::Div(a, b) => unless_unknown(both(a, b)),
            Op::Default(a, b) => both(a, b),
            Op::Add(a, b) | Op::Sub(a, b) | Op::Mul(a, b) => match both(a, b) {
                Whole if node.ty != Type::Number && !self.is_number(*a) && !self.is_number(*b) => {
                    Whole
                }
                exactness => unless_unknown(exactness),
            },
            Op::Call(Function::Abs, of) => of.first().map_or(Unknown, |of| self.exactness_at(*of)),
            _ => Unknown,
        }
    }

    fn exactness_at(&self, id: NodeId) -> Exactness {
        let instruction = self.out.instructions.get(id.0 as usize);
        instruction.map_or(Exactness::Unknown, |instruction| instruction.exactness)
    }

    fn is_number(&self, id: NodeId) -> bool {
        self.node(id).is_some_and(|node| node.ty == Type::Number)
    }
}

/// Whether values of a type are reckoned with in whole units or decimals.
fn has_size(ty: Type) -> bool {
    matches!(ty, Type::Integer | Type::Number | Type::Money(_) | Type::Duration | Type::Time)
}

impl Set {
    /// Whether a fraction is one of the members.
    fn holds<F: Fraction>(&self, exact: &F) -> bool {
        let is = |member: Option<F>| member.is_some_and(|member| member.order(exact).is_eq());
        match self {
            Self::Whole(members) => members.iter().any(|member| is(F::new(*member, 1))),
            Self::Numbers(members) => members.iter().any(|member| is(F::of_value(*member))),
            Self::Codes(_) | Self::Texts(..) => false,
        }
    }
}

impl<H: Host> Run<'_, H> {
    /// Compares what two values stand for.
    pub(super) fn compare_exactly(&mut self, op: CompareOp, left: At, right: At) -> Truth {
        let (a, b) = (self.value_at(left), self.value_at(right));
        if !a.is_present() || !b.is_present() {
            return Truth::Undecided;
        }
        let ordering = self
            .order::<Ratio>(left, right)
            .or_else(|| self.order::<BigRational>(left, right))
            .or_else(|| compare(a, b));
        Truth::decided(ordering.map(|ordering| holds(op, ordering)))
    }

    fn order<F: Fraction>(&mut self, left: At, right: At) -> Option<Ordering> {
        Some(self.exact::<F>(left)?.order(&self.exact::<F>(right)?))
    }

    /// Whether a value that may be rounded stands for a member of a set; `None` where it is not known what it stands for.
    pub(super) fn in_set_exactly(&mut self, at: At, set: &Set) -> Option<bool> {
        if !self.is_rounded(at) || !self.value_at(at).is_present() {
            return None;
        }
        let narrow = self.exact::<Ratio>(at).map(|exact| set.holds(&exact));
        narrow.or_else(|| self.exact::<BigRational>(at).map(|exact| set.holds(&exact)))
    }

    /// The nearest whole number to what a value stands for.
    pub(super) fn round(&mut self, at: At) -> Value {
        let Value::Number(number) = self.value_at(at) else { return self.value_at(at) };
        let exactly = if self.is_rounded(at) {
            let narrow = self.exact::<Ratio>(at).map(Fraction::rounded);
            narrow.or_else(|| self.exact::<BigRational>(at).map(Fraction::rounded))
        } else {
            None
        };
        let whole = exactly.unwrap_or_else(|| rounded(number));
        int_value(whole.and_then(|whole| i64::try_from(whole).ok()))
    }

    fn is_rounded(&self, at: At) -> bool {
        let instruction = self.plan.instructions.get(at as usize);
        instruction.is_some_and(|instruction| instruction.exactness == Exactness::Rounded)
    }

    /// What a value that is there stands for.
    fn exact<F: Fraction>(&mut self, at: At) -> Option<F> {
        let plan = self.plan;
        let instruction = plan.instructions.get(at as usize)?;
        let Code::Value(code) = &instruction.code else { return None };
        match code {
            ValueCode::Reading(_, ReadAs::Micro) => F::new(self.whole_reading(at)?, MICRO),
            _ if instruction.exactness == Exactness::Whole => F::of_value(self.value_at(at)),
            ValueCode::Add(a, b) => self.exact::<F>(*a)?.plus(self.exact(*b)?),
            ValueCode::Sub(a, b) => self.exact::<F>(*a)?.minus(self.exact(*b)?),
            ValueCode::Mul(a, b, _) => self.exact::<F>(*a)?.times(self.exact(*b)?),
            ValueCode::Div(a, b, Quotient::Plain | Quotient::Duration) => {
                self.exact::<F>(*a)?.over(self.exact(*b)?)
            }
            ValueCode::Percent(of, ppm, _) => {
                self.exact::<F>(*of)?.times(F::new((*ppm).into(), MICRO)?)
            }
            ValueCode::Mean(spread, scale) => self.exact_mean(*spread, *scale),
            ValueCode::Abs(of) => self.exact::<F>(*of)?.size(),
            ValueCode::Default(a, b) => {
                let first = self.value_at(*a).is_present();
                self.exact(if first { *a } else { *b })
            }
            _ => None,
        }
    }

    fn exact_mean<F: Fraction>(&mut self, at: SpreadAt, scale: Scale) -> Option<F> {
        let spread = self.spread(at)?;
        let (up, down) = match scale {
            Scale::Money => (MICRO_PER_MINOR, 1),
            Scale::Int | Scale::Number => (1, if at.micro { MICRO } else { 1 }),
        };
        F::new(spread.sum, 1)?
            .times(F::new(up, 1)?)?
            .over(F::new(spread.count, 1)?.times(F::new(down, 1)?)?)
    }
}
