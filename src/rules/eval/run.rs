//! One event under evaluation: verdicts, truths and values of nodes.

use crate::base::{Currency, TextRef, Value};
use crate::event::row::Row;
use crate::event::schema::SlotId;
use crate::models::online::logarithm::ln;
use crate::rules::eval::code::{
    At, Code, Conversion, DeviationCheck, Operands, Quotient, ReadingTest, Scale, Set, Tests,
    TruthCode, ValueCode,
};
use crate::rules::eval::field_test::CurrencyCheck;
use crate::rules::eval::number::{
    MICRO, compare, divide_rounded, divided_by_number, finite, haversine_m, holds, int_value,
    money_value, number_of, rounded, speed, times_number,
};
use crate::rules::eval::{EvalPlan, Evaluator, Host, Truth, Verdict};
use crate::rules::program::{NodeId, RuleBody};
use crate::window::spec::ReadValue;

/// An event under evaluation. Cheap to make; what it has evaluated stays in the [`Evaluator`] until the next `begin`.
#[derive(Debug)]
pub struct Run<'a, H> {
    /// The plan of the event's type.
    pub plan: &'a EvalPlan,
    /// What is already known about the event.
    pub memo: &'a mut Evaluator,
    /// The event.
    pub row: &'a Row,
    /// The record that the row's texts point into.
    pub raw: &'a [u8],
    /// State and lists.
    pub host: &'a mut H,
}

impl<H: Host> Run<'_, H> {
    /// Judges a rule. The caller applies `if missing` to an undecided one.
    ///
    /// A proven exemption also wins over an undecided condition: `if missing match` must not strike who is exempt.
    pub fn verdict(&mut self, body: &RuleBody) -> Verdict {
        if body.guard.is_some_and(|guard| self.truth(guard) != Truth::True) {
            return Verdict::NotApplicable;
        }
        let when = self.truth(body.when);
        if when == Truth::False {
            return Verdict::NoHit;
        }
        if body.unless.is_some_and(|unless| self.truth(unless) == Truth::True) {
            return Verdict::Exempt;
        }
        if when == Truth::True { Verdict::Hit } else { Verdict::Undecided }
    }

    /// Finds the rules that fields alone rule out: they would be [`Verdict::NoHit`] or [`Verdict::NotApplicable`].
    /// [`Self::open`] then tells the others.
    ///
    /// # Cost
    /// By the fields that rules test, and one bit per rule and field.
    pub fn sift(&mut self) {
        self.plan.gates.sift(self.row, &mut self.memo.open);
    }

    /// One bit for each of the 64 rules from place `64 * index` of the event type on: whether it has to be judged. 0
    /// behind the last.
    #[inline]
    pub fn open(&self, index: usize) -> u64 {
        self.memo.open.get(index).copied().unwrap_or(0)
    }

    /// The truth of a node.
    #[inline]
    pub fn truth(&mut self, node: NodeId) -> Truth {
        self.truth_at(node.0)
    }

    /// The value of a node.
    #[inline]
    pub fn value(&mut self, node: NodeId) -> Value {
        self.value_at(node.0)
    }

    pub(super) fn truth_at(&mut self, at: At) -> Truth {
        let plan = self.plan;
        let Some(instruction) = plan.instructions.get(at as usize) else {
            return Truth::Undecided;
        };
        match &instruction.code {
            Code::Truth(code) if !instruction.kept => self.decide(code),
            _ => Truth::of(self.value_at(at)),
        }
    }

    pub(super) fn value_at(&mut self, at: At) -> Value {
        let plan = self.plan;
        let index = at as usize;
        let Some(instruction) = plan.instructions.get(index) else {
            return Value::Missing;
        };
        let stamp = self.memo.stamp;
        if instruction.kept
            && self.memo.value_stamps.get(index) == Some(&stamp)
            && let Some(value) = self.memo.values.get(index)
        {
            return *value;
        }
        let value = match &instruction.code {
            Code::Truth(code) => self.decide(code).value(),
            Code::Value(code) => self.compute(code),
        };
        if instruction.kept
            && let (Some(place), Some(mark)) =
                (self.memo.values.get_mut(index), self.memo.value_stamps.get_mut(index))
        {
            (*place, *mark) = (value, stamp);
        }
        value
    }

    fn decide(&mut self, code: &TruthCode) -> Truth {
        match code {
            TruthCode::Field(test) => test.check(self.row),
            TruthCode::CodeMask(slot, mask) => {
                self.field(*slot, |word| word < 64 && mask >> word & 1 == 1)
            }
            TruthCode::TextField { slot, text, negated } => {
                let (row, raw) = (self.row, self.raw);
                let text = self.plan.texts.get(*text as usize).map_or(&[][..], |text| text);
                self.field(*slot, |word| (row.text(raw, TextRef(word)) == text) != *negated)
            }
            TruthCode::And(tests, others) => self.all(*tests, *others),
            TruthCode::Or(tests, others) => self.any(*tests, *others),
            TruthCode::Not(a) => self.truth_at(*a).negated(),
            TruthCode::IntNode(a, range) => match self.value_at(*a) {
                Value::Int(x) => Truth::decided(Some(range.contains(x))),
                _ => Truth::Undecided,
            },
            TruthCode::Reading(test) => self.reading_within(test),
            TruthCode::Compare(op, a, b) => {
                let ordering = compare(self.value_at(*a), self.value_at(*b));
                Truth::decided(ordering.map(|ordering| holds(*op, ordering)))
            }
            TruthCode::IsMissing(a) => Truth::decided(Some(!self.value_at(*a).is_present())),
            _ => self.decide_rare(code),
        }
    }

    #[inline(never)]
    fn decide_rare(&mut self, code: &TruthCode) -> Truth {
        match code {
            TruthCode::CompareText { left, right, negated } => {
                self.same_text(*left, *right, *negated)
            }
            TruthCode::CompareDeviation(check) => self.deviates(check),
            TruthCode::CompareExact(op, a, b) => self.compare_exactly(*op, *a, *b),
            TruthCode::IsZero(a) => Truth::decided(self.whole_reading(*a).map(|count| count == 0)),
            TruthCode::InSet(a, set) => self.in_set(*a, *set),
            TruthCode::InList(a, list, names) => self.in_list(*a, *list, *names),
            TruthCode::Matches(a, pattern) => self.matches(*a, *pattern),
            TruthCode::Contains(a, b) => self.contains(*a, *b),
            TruthCode::StartsWith(a, b) => self.starts_with(*a, *b),
            TruthCode::Sequence(index) => self.sequence(*index),
            TruthCode::IsMultiple(a, b) => {
                Truth::decided(match (self.value_at(*a), self.value_at(*b)) {
                    (Value::Money(x), Value::Money(of)) => x.checked_rem(of).map(|rest| rest == 0),
                    (Value::Int(x), Value::Int(of)) => x.checked_rem(of).map(|rest| rest == 0),
                    _ => None,
                })
            }
            _ => Truth::Undecided,
        }
    }

    /// WHY: most of what is compared with a constant is a reading, and as the value of a node it would be looked up twice
    /// and, where it is money, multiplied to 128 bits.
    fn reading_within(&mut self, test: &ReadingTest) -> Truth {
        let ReadValue::Int(reading) = self.reading(test.read).value else {
            return Truth::Undecided;
        };
        match (i64::try_from(reading), test.wide) {
            (Ok(reading), _) => Truth::decided(Some(test.range.contains(reading))),
            (Err(_), Some((op, constant))) => {
                let ordering = compare(self.value_at(test.at), self.value_at(constant));
                Truth::decided(ordering.map(|ordering| holds(op, ordering)))
            }
            (Err(_), None) => Truth::Undecided,
        }
    }

    #[inline]
    fn field(&self, slot: SlotId, test: impl FnOnce(u64) -> bool) -> Truth {
        match self.row.get(slot) {
            Some(word) if test(word) => Truth::True,
            Some(_) => Truth::False,
            None => Truth::Undecided,
        }
    }

    /// Minor units of a money field when its currency is the wanted one.
    #[inline]
    pub(super) fn minor(&self, slot: SlotId, currency: CurrencyCheck) -> Option<i64> {
        let minor = self.row.get(slot)?.cast_signed();
        match currency.slot {
            Some(at) if self.row.get(at)? != u64::from(currency.code) => None,
            _ => Some(minor),
        }
    }

    /// Minor units of a money field in the wanted currency, at the rate of the event's time.
    pub(super) fn converted(&self, Conversion { slot, from, to }: Conversion) -> Option<i64> {
        let minor = self.row.get(slot)?.cast_signed();
        let from = match from {
            Ok(fixed) => fixed,
            Err(at) => Currency(u32::try_from(self.row.get(at)?).ok()?),
        };
        if from == to {
            return Some(minor);
        }
        self.plan.rates.as_ref()?.convert(minor, from, to, self.row.time_ms)
    }

    fn all(&mut self, tests: Tests, others: Operands) -> Truth {
        let plan = self.plan;
        let mut unknown = false;
        for test in plan.tests(tests) {
            let outcome = test.outcome(self.row);
            if outcome.fails() {
                return Truth::False;
            }
            unknown |= !outcome.known;
        }
        let mut least = if unknown { Truth::Undecided } else { Truth::True };
        for at in plan.operands(others) {
            match self.truth_at(*at) {
                Truth::False => return Truth::False,
                truth => least = least.min(truth),
            }
        }
        least
    }

    fn any(&mut self, tests: Tests, others: Operands) -> Truth {
        let plan = self.plan;
        let mut unknown = false;
        for test in plan.tests(tests) {
            let outcome = test.outcome(self.row);
            if outcome.passes() {
                return Truth::True;
            }
            unknown |= !outcome.known;
        }
        let mut most = if unknown { Truth::Undecided } else { Truth::False };
        for at in plan.operands(others) {
            match self.truth_at(*at) {
                Truth::True => return Truth::True,
                truth => most = most.max(truth),
            }
        }
        most
    }

    fn in_set(&mut self, at: At, set: u32) -> Truth {
        let plan = self.plan;
        let Some(set) = plan.sets.get(set as usize) else { return Truth::Undecided };
        let value = self.value_at(at);
        if let Some(holds) = self.in_set_exactly(at, set) {
            return Truth::decided(Some(holds));
        }
        Truth::decided(match (set, value) {
            (_, Value::Missing) => None,
            (Set::Texts(texts, tags), _) => self.text_in_set(at, texts, tags),
            (Set::Codes(codes), Value::Code(code)) => Some(codes.binary_search(&code).is_ok()),
            (Set::Whole(members), Value::Int(x)) => Some(members.binary_search(&x.into()).is_ok()),
            (Set::Whole(members), Value::Money(x)) => Some(members.binary_search(&x).is_ok()),
            (Set::Whole(members), Value::Bool(x)) => Some(members.binary_search(&x.into()).is_ok()),
            (Set::Whole(members), Value::Number(_)) => Some(members.iter().any(|member| {
                let member = int_value(i64::try_from(*member).ok());
                compare(value, member).is_some_and(core::cmp::Ordering::is_eq)
            })),
            (Set::Numbers(members), _) => Some(
                members
                    .iter()
                    .any(|member| compare(value, *member).is_some_and(core::cmp::Ordering::is_eq)),
            ),
            _ => Some(false),
        })
    }

    fn deviates(&mut self, check: &DeviationCheck) -> Truth {
        let Some(spread) = self.spread(check.spread) else { return Truth::Undecided };
        let value_micro = match (self.value_at(check.value), check.spread.micro) {
            (Value::Money(micro), _) => Some(micro),
            (Value::Int(x), false) => i128::from(x).checked_mul(MICRO),
            (Value::Int(x), true) => i128::from(x).checked_mul(MICRO * MICRO),
            (Value::Number(x), false) => rounded(x * 1e6),
            (Value::Number(x), true) => rounded(x * 1e6).and_then(|x| x.checked_mul(MICRO)),
            _ => None,
        };
        let ordering = value_micro.and_then(|value| spread.compare(value, check.factor_micro));
        Truth::decided(ordering.map(|ordering| holds(check.op, ordering)))
    }

    fn compute(&mut self, code: &ValueCode) -> Value {
        match code {
            ValueCode::Constant(index) => {
                self.plan.constants.get(*index as usize).copied().unwrap_or(Value::Missing)
            }
            ValueCode::Int(slot) => self.load(*slot, |word| Value::Int(word.cast_signed())),
            ValueCode::Number(slot) => self.load(*slot, |word| finite(f64::from_bits(word))),
            ValueCode::TextField(slot) => self.load(*slot, |word| Value::Text(TextRef(word))),
            ValueCode::Code(slot) => {
                self.load(*slot, |word| u32::try_from(word).map_or(Value::Missing, Value::Code))
            }
            ValueCode::Geo(slot) => self.place(*slot),
            ValueCode::Money(slot, currency) => match self.minor(*slot, *currency) {
                Some(minor) => money_value(Some(i128::from(minor) * MICRO)),
                None => Value::Missing,
            },
            ValueCode::Reading(read, read_as) => self.reading_value(*read, *read_as),
            ValueCode::Default(a, b) => match self.value_at(*a) {
                Value::Missing => self.value_at(*b),
                value => value,
            },
            ValueCode::Add(a, b) => self.reckoned(*a, *b, add),
            ValueCode::Sub(a, b) => self.reckoned(*a, *b, subtract),
            ValueCode::Mul(a, b, duration) => {
                self.reckoned(*a, *b, |a, b| multiply(a, b, *duration))
            }
            // Here nothing comes out of a divisor that is zero.
            ValueCode::Div(a, b, quotient) => {
                divide(self.value_at(*a), self.value_at(*b), *quotient)
            }
            ValueCode::Percent(a, ppm, scale) => {
                self.reckoned(*a, *a, |value, _| percent(value, *ppm, *scale))
            }
            _ => self.compute_rare(code),
        }
    }

    #[inline(never)]
    fn compute_rare(&mut self, code: &ValueCode) -> Value {
        match code {
            ValueCode::Text(_, tag) => Value::Tag(*tag),
            ValueCode::Converted(conversion) => {
                let minor = self.converted(*conversion);
                money_value(minor.map(|minor| i128::from(minor) * MICRO))
            }
            ValueCode::Mean(spread, scale) => self.mean(*spread, *scale),
            ValueCode::Deviation(spread, scale) => self.deviation(*spread, *scale),
            ValueCode::Since(a) => match self.value_at(*a) {
                Value::Int(then) => int_value(self.row.time_ms.checked_sub(then)),
                _ => Value::Missing,
            },
            ValueCode::Distance(a, b) => match (self.value_at(*a), self.value_at(*b)) {
                (Value::Geo(lat_a, lon_a), Value::Geo(lat_b, lon_b)) => {
                    finite(haversine_m((lat_a, lon_a), (lat_b, lon_b)))
                }
                _ => Value::Missing,
            },
            ValueCode::Abs(a) => self.reckoned(*a, *a, |value, _| size(value)),
            ValueCode::Round(a) => {
                let whole = self.round(*a);
                self.reckoned(*a, *a, |_, _| whole)
            }
            ValueCode::Ln(a) => logarithm(self.value_at(*a)),
            ValueCode::Hour(a) => match self.value_at(*a) {
                Value::Int(ms) => int_value(self.hour(ms)),
                _ => Value::Missing,
            },
            ValueCode::Lower(a) => self.lower_tag(*a),
            ValueCode::Length(a) => self.length(*a),
            ValueCode::Similarity(a, b) => self.similarity(*a, *b),
            ValueCode::Given(a, list, names) => self.given(*a, *list, *names),
            ValueCode::Step(code) => self.step_value(code),
            ValueCode::Arrival => Value::Int(self.memo.arrival),
            ValueCode::Model(code) => self.model_value(code),
            _ => Value::Missing,
        }
    }

    /// What is reckoned of two values; where both are there and nothing comes out, it was more than can be held.
    #[inline]
    fn reckoned(&mut self, a: At, b: At, reckon: impl FnOnce(Value, Value) -> Value) -> Value {
        let (left, right) = (self.value_at(a), self.value_at(b));
        let value = reckon(left, right);
        self.memo.overflowed |= !value.is_present() && left.is_present() && right.is_present();
        value
    }

    #[inline]
    fn load(&self, slot: SlotId, read: impl FnOnce(u64) -> Value) -> Value {
        self.row.get(slot).map_or(Value::Missing, read)
    }

    fn place(&self, slot: SlotId) -> Value {
        let second = SlotId(slot.0 + 1);
        match (self.row.get(slot), self.row.get(second)) {
            (Some(lat), Some(lon)) => Value::Geo(f64::from_bits(lat), f64::from_bits(lon)),
            _ => Value::Missing,
        }
    }

    /// Hour of day in the policy's time zone. The offset is looked up once per stretch between two changes of it.
    fn hour(&mut self, ms: i64) -> Option<i64> {
        let zone = self.plan.zone.as_ref()?;
        let known = self.memo.offset;
        if known.zone != Some(zone.tag) || ms < known.from_ms || known.to_ms <= ms {
            self.memo.offset = zone.offset_around(ms)?;
        }
        let local_ms = ms.checked_add(self.memo.offset.minus_universal_ms)?;
        Some(local_ms.div_euclid(3_600_000).rem_euclid(24))
    }
}

fn add(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int_value(a.checked_add(b)),
        (Value::Money(a), Value::Money(b)) => money_value(a.checked_add(b)),
        _ => numbers(a, b, |a, b| a + b),
    }
}

fn subtract(a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int_value(a.checked_sub(b)),
        (Value::Money(a), Value::Money(b)) => money_value(a.checked_sub(b)),
        _ => numbers(a, b, |a, b| a - b),
    }
}

fn multiply(a: Value, b: Value, duration: bool) -> Value {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => int_value(a.checked_mul(b)),
        (Value::Money(a), Value::Int(b)) | (Value::Int(b), Value::Money(a)) => {
            money_value(a.checked_mul(b.into()))
        }
        (Value::Money(a), Value::Number(b)) | (Value::Number(b), Value::Money(a)) => {
            money_value(times_number(a, b))
        }
        (Value::Int(a), Value::Number(b)) | (Value::Number(b), Value::Int(a)) if duration => {
            int_value(times_number(a.into(), b).and_then(|ms| i64::try_from(ms).ok()))
        }
        _ => numbers(a, b, |a, b| a * b),
    }
}

fn divide(a: Value, b: Value, quotient: Quotient) -> Value {
    match (a, b, quotient) {
        (Value::Money(a), Value::Money(b), _) if b != 0 => finite(number_of(a) / number_of(b)),
        (Value::Money(a), Value::Int(b), _) => money_value(divide_rounded(a, b.into())),
        (Value::Money(a), Value::Number(b), _) => money_value(divided_by_number(a, b)),
        (Value::Int(a), Value::Int(b), Quotient::Duration) => {
            int_value(divide_rounded(a.into(), b.into()).and_then(|ms| i64::try_from(ms).ok()))
        }
        (Value::Int(a), Value::Number(b), Quotient::Duration) => {
            int_value(divided_by_number(a.into(), b).and_then(|ms| i64::try_from(ms).ok()))
        }
        (Value::Number(metres), Value::Int(ms), Quotient::Speed) => speed(metres, ms),
        (Value::Money(_), _, _) | (_, Value::Money(_), _) => Value::Missing,
        _ => numbers(a, b, |a, b| a / b),
    }
}

fn percent(of: Value, ppm: i64, scale: Scale) -> Value {
    let share = |x: i128| x.checked_mul(ppm.into()).and_then(|x| divide_rounded(x, MICRO));
    match (of, scale) {
        (Value::Money(micro), _) => money_value(share(micro)),
        (Value::Int(x), Scale::Int) => {
            int_value(share(x.into()).and_then(|x| i64::try_from(x).ok()))
        }
        _ => numbers(of, Value::Number(number_of(ppm.into()) / 1e6), |a, b| a * b),
    }
}

fn size(value: Value) -> Value {
    match value {
        Value::Int(x) => int_value(x.checked_abs()),
        Value::Money(x) => money_value(x.checked_abs()),
        Value::Number(x) => Value::Number(x.abs()),
        _ => Value::Missing,
    }
}

/// Integers and numbers as numbers.
fn numbers(a: Value, b: Value, operation: impl FnOnce(f64, f64) -> f64) -> Value {
    let number = |value: Value| match value {
        Value::Int(x) => Some(number_of(x.into())),
        Value::Number(x) => Some(x),
        _ => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => finite(operation(a, b)),
        _ => Value::Missing,
    }
}

/// The natural logarithm of what is above zero.
fn logarithm(value: Value) -> Value {
    let number = match value {
        Value::Int(x) => number_of(x.into()),
        Value::Number(x) => x,
        _ => return Value::Missing,
    };
    if number < f64::MIN_POSITIVE { Value::Missing } else { finite(ln(number)) }
}
