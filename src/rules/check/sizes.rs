//! How large values can get, so that it can be told where reckoning with them may not be possible: whole numbers,
//! durations and times have 64 bits, amounts 128 (in millionths of a minor unit), numbers the range of a double.
//!
//! What is known: the ranges of fields and constants, and that no window holds more than [`MAX_EVENTS`] events of one
//! key. Cost: the size of an expression.

use crate::base::time::MAX_TIME_MS;
use crate::event::schema::EventId;
use crate::rules::check::arena::{Ir, RequestId};
use crate::rules::check::checker::Build;
use crate::rules::check::measures::Kind;
use crate::rules::program::{Constant, Function, Gives, ListId, NodeId, Op, Type};

/// Events of one key in a window, more than any machine keeps.
const MAX_EVENTS: u128 = 1 << 40;

/// The largest whole number of a record, without its sign.
const WHOLE: u128 = 1 << 63;

/// An amount of so many minor units, in millionths.
const MONEY: u128 = WHOLE * 1_000_000;

/// The largest number of a record, and one that is remembered.
const NUMBER: f64 = 9_223_372_036_855.0;

/// Larger than the logarithm of any number.
const LOGARITHM: f64 = 750.0;

/// More than a text has characters.
const LENGTH: u128 = 1 << 32;

/// Sizes of what an event's rules ask.
#[derive(Clone, Copy)]
pub(super) struct Sizes<'b, 'a> {
    pub(super) build: &'b Build<'a>,
    pub(super) event: EventId,
}

impl Sizes<'_, '_> {
    /// Whether an expression may be too large for its type although its parts are there.
    pub(super) fn may_overflow(self, id: NodeId) -> bool {
        let node = self.build.arena(self.event).get(id);
        let reckons = match &node.ir {
            Ir::Op(op) => matches!(
                op,
                Op::Add(..)
                    | Op::Sub(..)
                    | Op::Mul(..)
                    | Op::Div(..)
                    | Op::Percent { .. }
                    | Op::Call(Function::Abs | Function::Round, _)
            ),
            Ir::Measure { request, .. } => self.build.measures.get(*request).kind == Kind::Sum,
            Ir::Judged(_) => false,
        };
        reckons
            && match node.ty {
                Type::Integer | Type::Duration | Type::Time => self.whole(id) >= WHOLE,
                Type::Money(_) => self.whole(id) >= 1 << 127,
                Type::Number => !self.number(id).is_finite(),
                _ => false,
            }
    }

    /// The size of a whole number, a duration or time in ms, an amount in millionths, at most.
    fn whole(self, id: NodeId) -> u128 {
        let node = self.build.arena(self.event).get(id);
        let of_type = of_type(node.ty);
        let op = match &node.ir {
            Ir::Op(op) => op,
            Ir::Measure { request, .. } => return self.measured(*request, of_type),
            Ir::Judged(_) => return of_type,
        };
        match op {
            Op::Constant(constant) => whole_constant(constant),
            Op::Default(a, b) => self.whole(*a).max(self.whole(*b)),
            Op::Add(a, b) | Op::Sub(a, b) => self.whole(*a).saturating_add(self.whole(*b)),
            Op::Mul(a, b) if self.is_whole(*b) => self.whole(*a).saturating_mul(self.whole(*b)),
            Op::Mul(a, b) => rounded_up(float(self.whole(*a)) * self.number(*b)),
            Op::Div(a, b) if self.is_whole(*b) => self.whole(*a),
            Op::Div(a, b) => rounded_up(float(self.whole(*a)) / self.least(*b)),
            Op::Percent { ppm, of } => {
                let ppm = u128::from(ppm.unsigned_abs());
                self.whole(*of).saturating_mul(ppm).div_ceil(1_000_000)
            }
            Op::Call(Function::Abs, of) => of.first().map_or(of_type, |of| self.whole(*of)),
            Op::Call(Function::Round, of) => {
                of.first().map_or(of_type, |of| rounded_up(self.number(*of)))
            }
            Op::Call(Function::Hour, _) => 23,
            Op::Call(Function::Length, _) => LENGTH,
            Op::Given(_, list) => self.most_given(*list),
            _ => of_type,
        }
    }

    /// The size of any number, whole or not, at most.
    fn number(self, id: NodeId) -> f64 {
        let node = self.build.arena(self.event).get(id);
        if self.is_whole(id) {
            return float(self.whole(id));
        }
        let op = match &node.ir {
            Ir::Op(op) => op,
            Ir::Measure { request, .. } => {
                let sums = self.build.measures.get(*request).kind == Kind::Sum;
                return if sums { NUMBER * float(MAX_EVENTS) } else { 2.0 * NUMBER };
            }
            Ir::Judged(_) => return f64::MAX,
        };
        match op {
            Op::Constant(Constant::Number(number)) => number.abs(),
            Op::Mean { .. } | Op::Deviation { .. } => float(WHOLE),
            Op::Default(a, b) => self.number(*a).max(self.number(*b)),
            Op::Add(a, b) | Op::Sub(a, b) => self.number(*a) + self.number(*b),
            Op::Mul(a, b) => self.number(*a) * self.number(*b),
            Op::Div(a, b) => self.number(*a) / self.least(*b),
            #[expect(clippy::cast_precision_loss, reason = "a bound, with room to spare")]
            Op::Percent { ppm, of } => self.number(*of) * (ppm.unsigned_abs() as f64 / 1e6),
            Op::Call(Function::Abs, of) => of.first().map_or(f64::MAX, |of| self.number(*of)),
            Op::Call(Function::Ln, _) => LOGARITHM,
            Op::Call(Function::Similarity, _) => 1.0,
            Op::Given(_, list) => self.most_given_number(*list),
            // Of a field, or of what a model or a distance says, which is far below.
            _ => NUMBER,
        }
    }

    /// How near a divisor that is not zero comes to it, at most.
    fn least(self, id: NodeId) -> f64 {
        if self.is_whole(id) {
            return 1.0;
        }
        match self.build.arena(self.event).op(id) {
            Some(Op::Constant(Constant::Number(number))) => number.abs(),
            _ => f64::MIN_POSITIVE,
        }
    }

    fn measured(self, request: RequestId, of_type: u128) -> u128 {
        match self.build.measures.get(request).kind {
            Kind::Count | Kind::Distinct | Kind::CountOf | Kind::Run => MAX_EVENTS,
            Kind::Sum => of_type.saturating_mul(MAX_EVENTS),
            Kind::Ranked(_) => of_type.saturating_mul(2),
            Kind::Min | Kind::Max | Kind::Last | Kind::LastTime | Kind::SumSquares => of_type,
        }
    }

    fn most_given(self, list: ListId) -> u128 {
        let gives = self.gives(list).into_iter().flat_map(|gives| gives.values.values());
        gives.map(whole_constant).max().unwrap_or(0)
    }

    fn most_given_number(self, list: ListId) -> f64 {
        let gives = self.gives(list).into_iter().flat_map(|gives| gives.values.values());
        let numbers = gives.map(|constant| match constant {
            Constant::Number(number) => number.abs(),
            _ => 0.0,
        });
        numbers.fold(0.0, f64::max)
    }

    fn gives(&self, list: ListId) -> Option<&Gives> {
        self.build.world.lists.get(usize::from(list.0))?.gives.as_ref()
    }

    fn is_whole(self, id: NodeId) -> bool {
        let ty = self.build.arena(self.event).ty(id);
        matches!(ty, Type::Integer | Type::Duration | Type::Time | Type::Money(_))
    }
}

/// What a record may say of a type, or a table.
fn of_type(ty: Type) -> u128 {
    match ty {
        Type::Money(_) => MONEY,
        Type::Time => u128::from(MAX_TIME_MS.unsigned_abs()),
        // Two times have a difference.
        Type::Duration => 2 * u128::from(MAX_TIME_MS.unsigned_abs()),
        _ => WHOLE,
    }
}

fn whole_constant(constant: &Constant) -> u128 {
    match constant {
        Constant::Int(value) => value.unsigned_abs().into(),
        Constant::Money(micro) => micro.unsigned_abs(),
        _ => 0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a bound, with room to spare")]
fn float(whole: u128) -> f64 {
    whole as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a size, and what is too large becomes the largest"
)]
fn rounded_up(size: f64) -> u128 {
    size.ceil() as u128
}
