//! The run-time value of an expression: small, `Copy`, without a lifetime.

/// Where a text of the present record lies: in the raw record, or in the row's arena when it had to be unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TextRef(pub u64);

const ARENA_BIT: u64 = 1 << 63;

impl TextRef {
    /// Refers to `len` bytes at `offset` of the raw record (`arena = Place::Raw`) or of the row's arena.
    ///
    /// # Shape
    /// `offset < 2^31`; records are capped far below that.
    pub fn new(place: Place, offset: u32, len: u32) -> Self {
        let bit = match place {
            Place::Raw => 0,
            Place::Arena => ARENA_BIT,
        };
        Self(bit | ((u64::from(offset) << 32) & !ARENA_BIT) | u64::from(len))
    }

    /// Which buffer holds the text.
    pub fn place(self) -> Place {
        if self.0 & ARENA_BIT == 0 { Place::Raw } else { Place::Arena }
    }

    /// Offset of the first byte and length in bytes.
    pub fn range(self) -> core::ops::Range<usize> {
        let offset = ((self.0 & !ARENA_BIT) >> 32) as usize;
        let len = (self.0 & 0xffff_ffff) as usize;
        offset..offset + len
    }
}

/// The buffer that a [`TextRef`] points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The record as it came.
    Raw,
    /// The row's own buffer of unescaped or normalised texts.
    Arena,
}

/// A value while rules run. The static type (unit, entity, enum) lives in the compiled program, not here.
///
/// `Missing` is a value of its own: it is never 0, NaN or the empty text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// Not computable: absent field, empty aggregate, division by zero, no exchange rate, overflow.
    Missing,
    /// A truth value.
    Bool(bool),
    /// Integer, count, duration (ms) or time (ms since 1970).
    Int(i64),
    /// Number, ratio, distance (m) or speed (m/s). Never NaN, never infinite: those are `Missing`.
    Number(f64),
    /// Money in micro-minor units of the currency that the program knows statically.
    Money(i128),
    /// Text or entity id of the present record.
    Text(TextRef),
    /// Text or entity id read back from state: equality only.
    Tag(crate::base::Tag),
    /// Member of a closed set: enum index, packed country code or packed currency code.
    Code(u32),
    /// Latitude and longitude in degrees.
    Geo(f64, f64),
}

impl Value {
    /// Whether there is a value.
    pub fn is_present(self) -> bool {
        !matches!(self, Self::Missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reference_keeps_place_and_range() {
        for place in [Place::Raw, Place::Arena] {
            for (offset, len) in [(0, 0), (7, 12), (u32::MAX >> 1, u32::MAX)] {
                let text = TextRef::new(place, offset, len);
                assert_eq!(text.place(), place);
                let (start, n) = (offset as usize, len as usize);
                assert_eq!(text.range(), start..start + n);
            }
        }
    }

    #[test]
    fn only_missing_is_absent() {
        assert!(!Value::Missing.is_present());
        assert!(Value::Int(0).is_present());
        assert!(Value::Bool(false).is_present());
    }

    #[test]
    fn a_value_stays_small() {
        assert!(size_of::<Value>() <= 32);
    }
}
