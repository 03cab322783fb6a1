//! Tests of one field against a constant: whatever the type, a range of the integers that stand for its values.
//!
//! Integers, times, minor units, codes and truths are their own integers; numbers map to integers of the same order.

use crate::base::MICRO_PER_MINOR;
use crate::event::row::Row;
use crate::event::schema::SlotId;
use crate::rules::eval::Truth;
use crate::rules::syntax::ast::CompareOp;

/// A field against a constant.
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldTest {
    pub(super) reader: Reader,
    /// What passes.
    pub(super) range: Range,
}

/// How a field becomes an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    /// Presence bits that must be set: of the field, and of the record's currency.
    needed: u128,
    slot: SlotId,
    is_number: bool,
    /// Slot and wanted code of the record's currency; without one, any slot with `is_any` set.
    currency_slot: SlotId,
    code: u64,
    is_any: bool,
}

impl Reader {
    /// The integer; `None` where the field is not there or in another currency.
    #[inline]
    pub(super) fn read(&self, row: &Row) -> Option<i64> {
        let (known, x) = self.parts(row);
        known.then_some(x)
    }

    /// Whether it is known, and the integer, which means nothing where it is not.
    #[inline]
    fn parts(&self, row: &Row) -> (bool, i64) {
        let word = |slot: SlotId| row.slots.get(usize::from(slot.0)).copied().unwrap_or(0);
        let own = word(self.slot);
        let known = row.present & self.needed == self.needed
            && (self.is_any || word(self.currency_slot) == self.code);
        (known, if self.is_number { ordered(own) } else { own.cast_signed() })
    }
}

impl FieldTest {
    /// Integer, time or duration.
    pub(super) fn int(slot: SlotId, op: CompareOp, constant: i64) -> Self {
        Self::new(slot, Range::of_int(op, constant))
    }

    /// Money, in micro-minor units of the wanted currency.
    pub(super) fn money(slot: SlotId, currency: CurrencyCheck, op: CompareOp, micro: i128) -> Self {
        let test = Self::new(slot, Range::of_scaled(op, micro, MICRO_PER_MINOR));
        match currency.slot {
            None => test,
            Some(currency_slot) => {
                let reader = Reader {
                    needed: test.reader.needed | bit(currency_slot),
                    currency_slot,
                    code: currency.code.into(),
                    is_any: false,
                    ..test.reader
                };
                Self { reader, ..test }
            }
        }
    }

    /// Number, ratio, distance, speed.
    pub(super) fn number(slot: SlotId, op: CompareOp, constant: f64) -> Self {
        let Self { reader, range } = Self::new(slot, Range::of_number(op, constant));
        Self { reader: Reader { is_number: true, ..reader }, range }
    }

    /// Code or truth, equal or not.
    pub(super) fn word(slot: SlotId, word: u32, negated: bool) -> Self {
        let op = if negated { CompareOp::Ne } else { CompareOp::Eq };
        Self::int(slot, op, word.into())
    }

    fn new(slot: SlotId, range: Range) -> Self {
        let (is_number, code, is_any) = (false, 0, true);
        let needed = bit(slot);
        let reader = Reader { needed, slot, is_number, currency_slot: slot, code, is_any };
        Self { reader, range }
    }

    /// Whether the event passes.
    #[inline]
    pub(super) fn check(&self, row: &Row) -> Truth {
        let Outcome { known, holds } = self.outcome(row);
        Truth::decided(known.then_some(holds))
    }

    /// The same in two parts.
    #[inline]
    pub(super) fn outcome(&self, row: &Row) -> Outcome {
        let (known, x) = self.reader.parts(row);
        Outcome { known, holds: self.range.contains(x) }
    }
}

/// How a test came out; `holds` means nothing where it is not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// Whether everything it needs is there.
    pub(super) known: bool,
    /// Whether it passed.
    pub(super) holds: bool,
}

impl Outcome {
    /// Known to hold.
    #[inline]
    pub(super) fn passes(self) -> bool {
        self.known && self.holds
    }

    /// Known not to hold.
    #[inline]
    pub(super) fn fails(self) -> bool {
        self.known && !self.holds
    }
}

/// The presence bit of a slot.
fn bit(slot: SlotId) -> u128 {
    1_u128.checked_shl(slot.0.into()).unwrap_or(0)
}

/// The bits of a number as an integer that orders as the number does; the two zeros are -1 and 0.
fn ordered(bits: u64) -> i64 {
    let signed = bits.cast_signed();
    if signed < 0 { signed ^ i64::MAX } else { signed }
}

/// Where a record's currency stands, and which one is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct CurrencyCheck {
    /// Slot of the record's code; `None` where the schema fixes the wanted currency.
    pub(super) slot: Option<SlotId>,
    /// The wanted code.
    pub(super) code: u32,
}

/// A closed range of integers, maybe its complement; `low > high` is the empty range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    /// Smallest member.
    pub(super) low: i64,
    /// Largest member.
    pub(super) high: i64,
    /// Whether the complement is meant.
    pub(super) negated: bool,
}

impl Range {
    /// Nothing.
    const EMPTY: Self = Self { low: 1, high: 0, negated: false };
    /// Everything.
    const ALL: Self = Self { low: i64::MIN, high: i64::MAX, negated: false };

    /// All `x` with `x OP constant`.
    pub(super) fn of_int(op: CompareOp, constant: i64) -> Self {
        Self::of_scaled(op, i128::from(constant), 1)
    }

    /// All `x` with `x * scale OP constant`; `scale` is positive.
    pub(super) fn of_scaled(op: CompareOp, constant: i128, scale: i128) -> Self {
        let floor = constant.div_euclid(scale);
        let whole = constant.rem_euclid(scale) == 0;
        let below = if whole { floor.saturating_sub(1) } else { floor };
        match op {
            CompareOp::Eq | CompareOp::Ne => {
                let member = i64::try_from(floor).ok().filter(|_| whole);
                let equal =
                    member.map_or(Self::EMPTY, |x| Self { low: x, high: x, negated: false });
                Self { negated: op == CompareOp::Ne, ..equal }
            }
            CompareOp::Lt => Self::up_to(below),
            CompareOp::Le => Self::up_to(floor),
            CompareOp::Gt => Self::from(floor.saturating_add(1)),
            CompareOp::Ge => Self::from(below.saturating_add(1)),
        }
    }

    /// Whether it has this member.
    #[inline]
    pub(super) fn contains(self, x: i64) -> bool {
        (self.low <= x && x <= self.high) != self.negated
    }

    /// Whether any member lies in the closed, non-empty stretch.
    pub(super) fn meets(self, low: i64, high: i64) -> bool {
        if self.negated {
            self.low > self.high || low < self.low || self.high < high
        } else {
            self.low.max(low) <= self.high.min(high)
        }
    }

    /// All numbers `x` with `x OP constant`, as [`ordered`] has them.
    pub(super) fn of_number(op: CompareOp, constant: f64) -> Self {
        let (least, most) = if constant.abs() > 0.0 {
            (ordered(constant.to_bits()), ordered(constant.to_bits()))
        } else {
            (-1, 0)
        };
        let (infinity, minus_infinity) =
            (ordered(f64::INFINITY.to_bits()), ordered(f64::NEG_INFINITY.to_bits()));
        let (low, high) = match op {
            CompareOp::Eq | CompareOp::Ne => (least, most),
            CompareOp::Lt => (minus_infinity, least.saturating_sub(1)),
            CompareOp::Le => (minus_infinity, most),
            CompareOp::Gt => (most.saturating_add(1), infinity),
            CompareOp::Ge => (least, infinity),
        };
        Self { low, high, negated: op == CompareOp::Ne }
    }

    fn up_to(high: i128) -> Self {
        if high < i128::from(i64::MIN) {
            return Self::EMPTY;
        }
        Self { high: i64::try_from(high).unwrap_or(i64::MAX), ..Self::ALL }
    }

    fn from(low: i128) -> Self {
        if low > i128::from(i64::MAX) {
            return Self::EMPTY;
        }
        Self { low: i64::try_from(low).unwrap_or(i64::MIN), ..Self::ALL }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPS: [CompareOp; 6] =
        [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];

    fn by_hand(op: CompareOp, left: i128, right: i128) -> bool {
        match op {
            CompareOp::Eq => left == right,
            CompareOp::Ne => left != right,
            CompareOp::Lt => left < right,
            CompareOp::Le => left <= right,
            CompareOp::Gt => left > right,
            CompareOp::Ge => left >= right,
        }
    }

    fn numbers() -> impl Strategy<Value = f64> {
        prop_oneof![
            any::<f64>().prop_filter("a number", |x| x.is_finite()),
            prop::sample::select(&[0.0, -0.0, 1.0, -1.0, f64::MIN, f64::MAX, 5e-324, -5e-324]),
        ]
    }

    proptest! {
        #[test]
        fn a_range_says_what_the_comparison_says(
            op in prop::sample::select(&OPS),
            x in prop_oneof![-30_i64..30, Just(i64::MIN), Just(i64::MAX), any::<i64>()],
            constant in prop_oneof![
                -300_i128..300,
                Just(i128::MIN),
                Just(i128::MAX),
                Just(i128::from(i64::MAX) * 10),
                Just(i128::from(i64::MIN) * 10),
                any::<i128>(),
            ],
            scale in prop::sample::select(&[1_i128, 10]),
        ) {
            let expected = by_hand(op, i128::from(x) * scale, constant);
            prop_assert_eq!(Range::of_scaled(op, constant, scale).contains(x), expected);
        }

        #[test]
        fn numbers_keep_their_order_as_integers(
            op in prop::sample::select(&OPS),
            x in numbers(),
            constant in numbers(),
        ) {
            let (below, above) = (x < constant, x > constant);
            let expected = match op {
                CompareOp::Eq => !below && !above,
                CompareOp::Ne => below || above,
                CompareOp::Lt => below,
                CompareOp::Le => !above,
                CompareOp::Gt => above,
                CompareOp::Ge => !below,
            };
            let range = Range::of_number(op, constant);
            prop_assert_eq!(range.contains(ordered(x.to_bits())), expected, "{} {:?} {}", x, op, constant);
        }
    }
}
