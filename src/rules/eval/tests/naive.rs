//! The meaning of nodes, written from their description: recursive, on owned texts, nothing prepared or kept.

use core::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;

use super::fixture::{Canned, MEASURES};
use crate::base::{Currency, Tag, TextRef};
use crate::event::row::Row;
use crate::event::schema::SlotId;
use crate::rules::program::{Constant, Function, Node, NodeId, Op, Type};
use crate::rules::syntax::ast::CompareOp;
use crate::window::spec::ReadValue;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Naive {
    Missing,
    Bool(bool),
    Int(i64),
    Number(f64),
    Money(i128),
    Text(String),
    Tag(u64),
    Code(u32),
    Geo(f64, f64),
}

pub(super) struct World<'a> {
    pub(super) nodes: &'a [Node],
    pub(super) row: &'a Row,
    pub(super) raw: &'a [u8],
    pub(super) host: &'a Canned,
}

impl World<'_> {
    pub(super) fn value(&self, id: NodeId) -> Naive {
        let node = &self.nodes[id.0 as usize];
        match &node.op {
            Op::Constant(constant) => from_constant(constant),
            Op::Field(slot) => self.field(*slot, node.ty),
            Op::GeoField(slot) => match (self.row.get(*slot), self.row.get(SlotId(slot.0 + 1))) {
                (Some(lat), Some(lon)) => Naive::Geo(f64::from_bits(lat), f64::from_bits(lon)),
                _ => Naive::Missing,
            },
            Op::MoneyField { slot, currency } => self.money(*slot, *currency, node.ty),
            Op::Reading(_, index) => self.reading(*index, node.ty),
            Op::IsZero(a) => match self.value(*a) {
                Naive::Int(count) => Naive::Bool(count == 0),
                _ => Naive::Missing,
            },
            Op::Since(a) => match self.value(*a) {
                Naive::Int(then) => int(i128::from(self.row.time_ms) - i128::from(then)),
                _ => Naive::Missing,
            },
            Op::Not(a) => match self.value(*a) {
                Naive::Bool(truth) => Naive::Bool(!truth),
                _ => Naive::Missing,
            },
            Op::And(parts) => self.join(parts, false),
            Op::Or(parts) => self.join(parts, true),
            Op::Compare(op, a, b) => match (self.present_exact(*a), self.present_exact(*b)) {
                (Some(a), Some(b)) => Naive::Bool(holds(*op, a.cmp(&b))),
                _ => Self::compare(*op, &self.value(*a), &self.value(*b)),
            },
            Op::InSet(..) | Op::InList(..) => self.member(&node.op),
            Op::IsMissing(a) => Naive::Bool(self.value(*a) == Naive::Missing),
            Op::Default(a, b) => match self.value(*a) {
                Naive::Missing => self.value(*b),
                value => value,
            },
            Op::Add(a, b) | Op::Sub(a, b) | Op::Mul(a, b) | Op::Div(a, b) => {
                arithmetic(&node.op, node.ty, self.value(*a), self.value(*b))
            }
            Op::Percent { ppm, of } => match self.value(*of) {
                Naive::Money(micro) => Naive::Money(half_away(micro * i128::from(*ppm), 1_000_000)),
                value => match real(&value) {
                    Some(x) => number(x * (f64::from(i32::try_from(*ppm).unwrap()) / 1e6)),
                    None => Naive::Missing,
                },
            },
            Op::Call(Function::Round, of) => match self.present_exact(of[0]) {
                Some(exact) => rounded(&exact),
                None => Naive::Missing,
            },
            Op::Call(function, arguments) => {
                let values: Vec<Naive> = arguments.iter().map(|a| self.value(*a)).collect();
                call(*function, &values)
            }
            Op::Contains(a, b) => two_texts(self.value(*a), self.value(*b), |a, b| a.contains(b)),
            Op::StartsWith(a, b) => {
                two_texts(self.value(*a), self.value(*b), |a, b| a.starts_with(b))
            }
            Op::Matches(a, pattern) => match self.value(*a) {
                // The generator's only patterns are "^" and a word.
                Naive::Text(text) => Naive::Bool(text.starts_with(&pattern[1..])),
                _ => Naive::Missing,
            },
            op => panic!("{op:?} is not generated"),
        }
    }

    fn member(&self, op: &Op) -> Naive {
        match op {
            Op::InSet(a, members) => match self.value(*a) {
                Naive::Missing => Naive::Missing,
                value => Naive::Bool(members.iter().any(|member| {
                    let member = from_constant(member);
                    match (self.present_exact(*a), whole_or_quarters(&member)) {
                        (Some(value), Some(member)) => value == member,
                        _ => Self::compare(CompareOp::Eq, &value, &member) == Naive::Bool(true),
                    }
                })),
            },
            Op::InList(a, _) => match self.value(*a) {
                Naive::Missing => Naive::Missing,
                value => Naive::Bool(self.host.members.iter().any(|member| {
                    let member = String::from_utf8(member.clone()).unwrap();
                    Self::compare(CompareOp::Eq, &value, &Naive::Text(member)) == Naive::Bool(true)
                })),
            },
            op => panic!("{op:?} is no membership"),
        }
    }

    /// What a value that is there stands for before it is rounded.
    fn present_exact(&self, id: NodeId) -> Option<BigRational> {
        (self.value(id) != Naive::Missing).then(|| self.exact(id)).flatten()
    }

    fn exact(&self, id: NodeId) -> Option<BigRational> {
        let node = &self.nodes[id.0 as usize];
        match &node.op {
            Op::Add(a, b) => Some(self.exact(*a)? + self.exact(*b)?),
            Op::Sub(a, b) => Some(self.exact(*a)? - self.exact(*b)?),
            Op::Mul(a, b) => Some(self.exact(*a)? * self.exact(*b)?),
            Op::Div(a, b) => Some(self.exact(*a)? / self.exact(*b)?),
            Op::Percent { ppm, of } => {
                Some(self.exact(*of)? * BigInt::from(*ppm) / BigInt::from(1_000_000))
            }
            Op::Call(Function::Abs, of) => {
                let of = self.exact(of[0])?;
                Some(if of < BigRational::from_integer(0.into()) { -of } else { of })
            }
            Op::Default(a, b) => self.exact(if self.value(*a) == Naive::Missing { *b } else { *a }),
            _ => whole_or_quarters(&self.value(id)),
        }
    }

    fn money(&self, slot: SlotId, currency: Result<Currency, SlotId>, ty: Type) -> Naive {
        let own = match currency {
            Ok(currency) => Some(u64::from(currency.0)),
            Err(slot) => self.row.get(slot),
        };
        match (ty, own, self.row.get(slot)) {
            (Type::Money(wanted), Some(own), Some(minor)) if own == u64::from(wanted.0) => {
                Naive::Money(i128::from(minor.cast_signed()) * 1_000_000)
            }
            _ => Naive::Missing,
        }
    }

    fn field(&self, slot: SlotId, ty: Type) -> Naive {
        let Some(word) = self.row.get(slot) else { return Naive::Missing };
        match ty {
            Type::Bool => Naive::Bool(word == 1),
            Type::Integer | Type::Time => Naive::Int(word.cast_signed()),
            Type::Number => Naive::Number(f64::from_bits(word)),
            Type::Text | Type::Entity(_) => {
                let bytes = self.row.text(self.raw, TextRef(word)).to_vec();
                Naive::Text(String::from_utf8(bytes).unwrap())
            }
            _ => Naive::Code(u32::try_from(word).unwrap()),
        }
    }

    fn reading(&self, index: u16, ty: Type) -> Naive {
        let kind = format!("{:?}", MEASURES[usize::from(index)]);
        let no_probe = kind.starts_with("CountOf") && self.value(NodeId(0)) == Naive::Missing;
        match (self.host.readings[usize::from(index)].value, ty) {
            _ if no_probe => Naive::Missing,
            (ReadValue::Int(x), Type::Money(_)) => Naive::Money(x * 1_000_000),
            (ReadValue::Int(x), Type::Number) =>
            {
                #[expect(clippy::cast_precision_loss, reason = "the nearest number is meant")]
                number(x as f64 / 1e6)
            }
            (ReadValue::Int(x), _) => int(x),
            (ReadValue::Word(word), _) => Naive::Tag(word),
            (ReadValue::Geo(lat, lon), _) => Naive::Geo(lat, lon),
            (ReadValue::Missing, _) => Naive::Missing,
        }
    }

    fn join(&self, parts: &[NodeId], decisive: bool) -> Naive {
        let values: Vec<Naive> = parts.iter().map(|part| self.value(*part)).collect();
        if values.contains(&Naive::Bool(decisive)) {
            Naive::Bool(decisive)
        } else if values.contains(&Naive::Missing) {
            Naive::Missing
        } else {
            Naive::Bool(!decisive)
        }
    }

    fn compare(op: CompareOp, a: &Naive, b: &Naive) -> Naive {
        let tag = |text: &str| Tag::of_text(text.as_bytes()).0;
        let order = match (a, b) {
            (Naive::Missing, _) | (_, Naive::Missing) => return Naive::Missing,
            (Naive::Int(a), Naive::Int(b)) => a.cmp(b),
            (Naive::Number(a), Naive::Number(b)) => a.partial_cmp(b).unwrap(),
            (Naive::Int(a), Naive::Number(b)) => int_against(*a, *b),
            (Naive::Number(a), Naive::Int(b)) => int_against(*b, *a).reverse(),
            (Naive::Money(a), Naive::Money(b)) => a.cmp(b),
            (Naive::Code(a), Naive::Code(b)) => a.cmp(b),
            (Naive::Bool(a), Naive::Bool(b)) => a.cmp(b),
            (Naive::Text(a), Naive::Text(b)) => a.cmp(b),
            (Naive::Text(a), Naive::Tag(b)) => tag(a).cmp(b),
            (Naive::Tag(a), Naive::Text(b)) => a.cmp(&tag(b)),
            (Naive::Tag(a), Naive::Tag(b)) => a.cmp(b),
            pair => panic!("{pair:?} do not compare"),
        };
        Naive::Bool(holds(op, order))
    }
}

fn holds(op: CompareOp, order: Ordering) -> bool {
    match op {
        CompareOp::Eq => order == Ordering::Equal,
        CompareOp::Ne => order != Ordering::Equal,
        CompareOp::Lt => order == Ordering::Less,
        CompareOp::Le => order != Ordering::Greater,
        CompareOp::Gt => order == Ordering::Greater,
        CompareOp::Ge => order != Ordering::Less,
    }
}

/// Generated numbers that stand for themselves are whole quarters.
fn whole_or_quarters(value: &Naive) -> Option<BigRational> {
    match value {
        Naive::Int(x) => Some(BigRational::from_integer((*x).into())),
        Naive::Money(x) => Some(BigRational::from_integer((*x).into())),
        Naive::Number(x) => Some(BigRational::from_integer(quarters(*x).into()) / BigInt::from(4)),
        _ => None,
    }
}

fn rounded(exact: &BigRational) -> Naive {
    let (twice, den) = (exact.numer() * 2, exact.denom());
    let away = if twice < BigInt::ZERO { twice - den } else { twice + den };
    i64::try_from(away / (den * 2)).map_or(Naive::Missing, Naive::Int)
}

fn from_constant(constant: &Constant) -> Naive {
    match constant {
        Constant::Bool(x) => Naive::Bool(*x),
        Constant::Int(x) => Naive::Int(*x),
        Constant::Number(x) => Naive::Number(*x),
        Constant::Money(x) => Naive::Money(*x),
        Constant::Text(x) => Naive::Text(x.clone()),
        Constant::Code(x) => Naive::Code(*x),
    }
}

fn arithmetic(op: &Op, ty: Type, a: Naive, b: Naive) -> Naive {
    let sign = if matches!(op, Op::Add(..)) { 1 } else { -1 };
    match (op, a, b) {
        (_, Naive::Missing, _)
        | (_, _, Naive::Missing)
        | (Op::Div(..), Naive::Money(_), Naive::Int(0) | Naive::Money(0)) => Naive::Missing,
        (Op::Div(..), Naive::Money(a), Naive::Number(b)) => match quarters(b) {
            0 => Naive::Missing,
            quarters => Naive::Money(half_away(a * 4, quarters)),
        },
        (Op::Add(..) | Op::Sub(..), Naive::Int(a), Naive::Int(b)) => {
            int(i128::from(a) + sign * i128::from(b))
        }
        (Op::Add(..) | Op::Sub(..), Naive::Money(a), Naive::Money(b)) => Naive::Money(a + sign * b),
        (Op::Mul(..), Naive::Int(a), Naive::Int(b)) => int(i128::from(a) * i128::from(b)),
        (Op::Mul(..), Naive::Money(a), Naive::Int(b)) => Naive::Money(a * i128::from(b)),
        // Generated factors are whole quarters.
        (Op::Mul(..), Naive::Money(a), Naive::Number(b)) => {
            Naive::Money(half_away(a * quarters(b), 4))
        }
        (Op::Div(..), Naive::Money(a), Naive::Int(b)) => Naive::Money(half_away(a, b.into())),
        (Op::Div(..), Naive::Money(a), Naive::Money(b)) =>
        {
            #[expect(clippy::cast_precision_loss, reason = "the nearest numbers are meant")]
            number(a as f64 / b as f64)
        }
        (op, a, b) => {
            let (Some(a), Some(b)) = (real(&a), real(&b)) else {
                panic!("{a:?} {op:?} {b:?} : {ty:?}")
            };
            number(match op {
                Op::Add(..) => a + b,
                Op::Sub(..) => a - b,
                Op::Mul(..) => a * b,
                _ => a / b,
            })
        }
    }
}

fn call(function: Function, values: &[Naive]) -> Naive {
    match (function, values) {
        (_, [Naive::Missing, ..] | [_, Naive::Missing])
        | (Function::IsMultiple, [Naive::Money(_), Naive::Money(0)]) => Naive::Missing,
        (Function::Abs, [Naive::Int(x)]) => int(i128::from(*x).abs()),
        (Function::Abs, [Naive::Number(x)]) => Naive::Number(x.abs()),
        (Function::Abs, [Naive::Money(x)]) => Naive::Money(x.abs()),
        (Function::IsMultiple, [Naive::Money(a), Naive::Money(b)]) => Naive::Bool(a % b == 0),
        (Function::Lower, [Naive::Text(text)]) => Naive::Text(text.to_lowercase()),
        (Function::Length, [Naive::Text(text)]) => {
            Naive::Int(i64::try_from(text.chars().count()).unwrap())
        }
        other => panic!("{other:?} is not generated"),
    }
}

fn two_texts(a: Naive, b: Naive, test: fn(&str, &str) -> bool) -> Naive {
    match (a, b) {
        (Naive::Text(a), Naive::Text(b)) => Naive::Bool(test(&a, &b)),
        _ => Naive::Missing,
    }
}

fn int(x: i128) -> Naive {
    i64::try_from(x).map_or(Naive::Missing, Naive::Int)
}

fn number(x: f64) -> Naive {
    if x.is_finite() { Naive::Number(x) } else { Naive::Missing }
}

fn real(value: &Naive) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "the nearest number is meant")]
        Naive::Int(x) => Some(*x as f64),
        Naive::Number(x) => Some(*x),
        _ => None,
    }
}

fn int_against(a: i64, b: f64) -> Ordering {
    if b.abs() >= 9.3e18 {
        return 0.0.partial_cmp(&b).unwrap();
    }
    let floor: i128 = format!("{:.0}", b.floor()).parse().unwrap();
    i128::from(a).cmp(&floor).then(if b > b.floor() { Ordering::Less } else { Ordering::Equal })
}

fn quarters(x: f64) -> i128 {
    format!("{:.0}", x * 4.0).parse().unwrap()
}

fn half_away(dividend: i128, divisor: i128) -> i128 {
    let size = (dividend.abs() * 2 + divisor.abs()) / (divisor.abs() * 2);
    if (dividend < 0) == (divisor < 0) { size } else { -size }
}
