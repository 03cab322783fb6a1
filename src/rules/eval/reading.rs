//! Readings of state, and the statistics made of them.

use crate::base::{MICRO_PER_MINOR, Tag, Value};
use crate::rules::eval::code::{
    At, Code, LookupCode, Probe, Read, ReadAs, Scale, SpreadAt, TruthCode, ValueCode,
};
use crate::rules::eval::number::{
    Spread, divide_rounded, finite, int_value, money_value, number_of, rounded,
};
use crate::rules::eval::{Given, Host, NO_READING, Run};
use crate::rules::program::LookupId;
use crate::window::spec::{Coverage, ReadValue, Reading};

impl<H: Host> Run<'_, H> {
    pub(super) fn reading_value(&mut self, read: u32, read_as: ReadAs) -> Value {
        let reading = self.reading(read).value;
        let value = value_of(reading, read_as);
        self.memo.overflowed |= !value.is_present() && matches!(reading, ReadValue::Int(_));
        value
    }

    /// The raw whole number behind a node: of a reading as the table gives it, beyond 64 bits too.
    pub(super) fn whole_reading(&mut self, at: At) -> Option<i128> {
        let plan = self.plan;
        let code = plan.instructions.get(at as usize).map(|instruction| &instruction.code);
        if let Some(Code::Value(ValueCode::Reading(read, _))) = code {
            return match self.reading(*read).value {
                ReadValue::Int(x) => Some(x),
                _ => None,
            };
        }
        match self.value_at(at) {
            Value::Int(x) => Some(x.into()),
            _ => None,
        }
    }

    /// How far the reading of a node can be trusted; complete for every other node.
    pub(super) fn reading_coverage(&mut self, at: At) -> Coverage {
        let plan = self.plan;
        match plan.instructions.get(at as usize).map(|instruction| &instruction.code) {
            Some(Code::Value(ValueCode::Reading(read, _))) => self.reading(*read).coverage,
            Some(Code::Truth(TruthCode::Sequence(index))) => self.sequence_coverage(*index),
            Some(Code::Value(ValueCode::Model(code))) => {
                self.scored(code).map_or(Coverage::Warming, |scored| scored.coverage)
            }
            _ => Coverage::Complete,
        }
    }

    pub(super) fn spread(&mut self, at: SpreadAt) -> Option<Spread> {
        let count = self.whole_reading(at.count).filter(|count| *count > 0)?;
        let sum = self.whole_reading(at.sum)?;
        let squares = self.whole_reading(at.squares)?;
        Some(Spread { count, sum, squares })
    }

    pub(super) fn mean(&mut self, at: SpreadAt, scale: Scale) -> Value {
        let Some(Spread { count, sum, .. }) = self.spread(at) else { return Value::Missing };
        match scale {
            Scale::Money => {
                let micro = sum.checked_mul(MICRO_PER_MINOR);
                money_value(micro.and_then(|micro| divide_rounded(micro, count)))
            }
            Scale::Int => int_value(divide_rounded(sum, count).and_then(|x| i64::try_from(x).ok())),
            Scale::Number => finite(number_of(sum) / (number_of(count) * unit(at))),
        }
    }

    pub(super) fn deviation(&mut self, at: SpreadAt, scale: Scale) -> Value {
        let Some(spread) = self.spread(at) else { return Value::Missing };
        let deviation = spread.deviation();
        match scale {
            Scale::Money => money_value(rounded(deviation * 1e6)),
            Scale::Int => int_value(rounded(deviation).and_then(|x| i64::try_from(x).ok())),
            Scale::Number => finite(deviation / unit(at)),
        }
    }

    /// `mean + factor * deviation` for the eye; comparisons use [`Spread::compare`].
    pub(super) fn bound(&mut self, at: SpreadAt, factor_micro: i64, scale: Scale) -> Value {
        let Some(spread) = self.spread(at) else { return Value::Missing };
        let factor = number_of(factor_micro.into()) / 1e6;
        let bound = number_of(spread.sum) / number_of(spread.count) + factor * spread.deviation();
        match scale {
            Scale::Money => money_value(rounded(bound * 1e6)),
            Scale::Int | Scale::Number => finite(bound / unit(at)),
        }
    }

    /// Whether the host was asked for a measure about this event.
    pub fn was_asked(&self, lookup: LookupId, index: u16) -> bool {
        let stamp = self.memo.stamp;
        let mut reads = self.plan.reads.iter();
        reads.any(|read| {
            let stamped = self.memo.reading_stamps.get(read.place as usize) == Some(&stamp);
            read.lookup == lookup && read.index == index && stamped
        })
    }

    /// Asks the host once per event and measure.
    pub(super) fn reading(&mut self, read: u32) -> Reading {
        let plan = self.plan;
        let Some(Read { lookup, index, place, unpriced }) = plan.reads.get(read as usize).copied()
        else {
            return NO_READING;
        };
        let place = place as usize;
        let stamp = self.memo.stamp;
        if self.memo.reading_stamps.get(place) == Some(&stamp)
            && let Some(reading) = self.memo.readings.get(place)
        {
            return *reading;
        }
        let Some(asked) = plan.lookups.get(usize::from(lookup.0)) else {
            return NO_READING;
        };
        let mut reading = if asked.probes.is_empty() && asked.starts.is_empty() {
            self.host.reading(lookup, index, Given::default())
        } else {
            self.prepared(lookup, index, asked)
        };
        if let Some(unpriced) = unpriced
            && matches!(self.reading(unpriced).value, ReadValue::Int(1..))
        {
            reading.coverage = reading.coverage.max(Coverage::Unpriced);
            self.memo.unpriced = true;
        }
        if let (Some(known), Some(mark)) =
            (self.memo.readings.get_mut(place), self.memo.reading_stamps.get_mut(place))
        {
            (*known, *mark) = (reading, stamp);
        }
        reading
    }

    /// The same for a look-up with measures that look for a word or begin by the calendar.
    fn prepared(&mut self, lookup: LookupId, index: u16, asked: &LookupCode) -> Reading {
        let probes = &asked.probes;
        self.load_probes(probes);
        self.load_starts(&asked.starts);
        let unknown = probes.get(usize::from(index)).is_some_and(Option::is_some)
            && self.memo.probes.get(usize::from(index)) == Some(&None);
        if unknown {
            return NO_READING;
        }
        let given = Given { probes: &self.memo.probes, starts: &self.memo.starts };
        self.host.reading(lookup, index, given)
    }

    /// Evaluates what the `CountOf` measures of a look-up look for.
    fn load_probes(&mut self, probes: &[Option<Probe>]) {
        let mut words = core::mem::take(&mut self.memo.probes);
        words.clear();
        for probe in probes {
            words.push(probe.and_then(|Probe { node, kind }| self.column_word(node, kind)));
        }
        self.memo.probes = words;
    }
}

/// Units of the column in one unit of the value.
fn unit(at: SpreadAt) -> f64 {
    if at.micro { 1e6 } else { 1.0 }
}

/// A reading as a value.
pub(super) fn value_of(read: ReadValue, read_as: ReadAs) -> Value {
    match (read, read_as) {
        (ReadValue::Int(x), ReadAs::Int) => int_value(i64::try_from(x).ok()),
        (ReadValue::Int(x), ReadAs::Money) => money_value(x.checked_mul(MICRO_PER_MINOR)),
        (ReadValue::Int(x), ReadAs::Number) => finite(number_of(x)),
        (ReadValue::Int(x), ReadAs::Micro) => finite(number_of(x) / 1e6),
        (ReadValue::Word(word), ReadAs::Tag) => Value::Tag(Tag(word)),
        (ReadValue::Word(word), ReadAs::Code) => {
            u32::try_from(word).map_or(Value::Missing, Value::Code)
        }
        (ReadValue::Word(word), ReadAs::Bool) => Value::Bool(word != 0),
        (ReadValue::Geo(lat, lon), ReadAs::Geo) => Value::Geo(lat, lon),
        _ => Value::Missing,
    }
}
