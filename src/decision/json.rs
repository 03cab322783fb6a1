//! Records as JSON bytes: the same as `serde_json` writes, at a fraction of the cost.
//!
//! Records hold texts, whole numbers, truths, lists and structs, and nothing else; a general writer looks at every byte of
//! every name and text. Ours takes names as they are and looks for what must be escaped eight bytes at a time.
//!
//! INVARIANT: byte for byte what `serde_json` writes, which its tests hold it to.

use serde::Serialize;
use serde::ser::{Impossible, SerializeSeq, SerializeStruct, Serializer};

use crate::event::json::text_stop;

/// A record has a part that records do not have.
#[derive(Clone, Debug, thiserror::Error)]
#[error("a record holds texts, whole numbers, truths, lists and structs: {0}")]
pub struct Unwritable(String);

impl serde::ser::Error for Unwritable {
    fn custom<T: core::fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

type Result<T> = core::result::Result<T, Unwritable>;

/// Appends a record.
///
/// # Errors
/// When it has a part that is no text, whole number, truth, list or struct.
///
/// # Cost
/// Little more than copying what is written; no allocation beyond that of `out`.
pub fn write(out: &mut Vec<u8>, record: &impl Serialize) -> Result<()> {
    record.serialize(Writer { out })
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

/// An open list or struct.
struct Members<'o> {
    out: &'o mut Vec<u8>,
    first: bool,
}

impl Members<'_> {
    #[inline]
    fn comma(&mut self) {
        if !core::mem::replace(&mut self.first, false) {
            self.out.push(b',');
        }
    }
}

impl SerializeSeq for Members<'_> {
    type Ok = ();
    type Error = Unwritable;

    #[inline]
    fn serialize_element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<()> {
        self.comma();
        value.serialize(Writer { out: self.out })
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.out.push(b']');
        Ok(())
    }
}

impl SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = Unwritable;

    #[inline]
    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        debug_assert_eq!(text_stop(name.as_bytes(), 0), name.len(), "names need no escapes");
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        value.serialize(Writer { out: self.out })
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.out.push(b'}');
        Ok(())
    }
}

/// Refuses kinds of values that records do not have.
macro_rules! refuse {
    ($($method:ident($($argument:ty),*) -> $made:ty;)*) => {
        $(#[cold]
        fn $method(self, $(_: $argument),*) -> Result<$made> {
            Err(Unwritable(stringify!($method).to_owned()))
        })*
    };
}

impl<'o> Serializer for Writer<'o> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Members<'o>;
    type SerializeStruct = Members<'o>;
    type SerializeTuple = Impossible<(), Unwritable>;
    type SerializeTupleStruct = Impossible<(), Unwritable>;
    type SerializeTupleVariant = Impossible<(), Unwritable>;
    type SerializeMap = Impossible<(), Unwritable>;
    type SerializeStructVariant = Impossible<(), Unwritable>;

    #[inline]
    fn serialize_str(self, text: &str) -> Result<()> {
        self.out.push(b'"');
        push_escaped(self.out, text.as_bytes());
        self.out.push(b'"');
        Ok(())
    }

    fn serialize_bool(self, truth: bool) -> Result<()> {
        self.out.extend_from_slice(if truth { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_u64(self, number: u64) -> Result<()> {
        push_number(self.out, number);
        Ok(())
    }

    fn serialize_i64(self, number: i64) -> Result<()> {
        if number < 0 {
            self.out.push(b'-');
        }
        push_number(self.out, number.unsigned_abs());
        Ok(())
    }

    fn serialize_i8(self, number: i8) -> Result<()> {
        self.serialize_i64(number.into())
    }

    fn serialize_i16(self, number: i16) -> Result<()> {
        self.serialize_i64(number.into())
    }

    fn serialize_i32(self, number: i32) -> Result<()> {
        self.serialize_i64(number.into())
    }

    fn serialize_u8(self, number: u8) -> Result<()> {
        self.serialize_u64(number.into())
    }

    fn serialize_u16(self, number: u16) -> Result<()> {
        self.serialize_u64(number.into())
    }

    fn serialize_u32(self, number: u32) -> Result<()> {
        self.serialize_u64(number.into())
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.out.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Members<'o>> {
        self.out.push(b'[');
        Ok(Members { out: self.out, first: true })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'o>> {
        self.out.push(b'{');
        Ok(Members { out: self.out, first: true })
    }

    #[cold]
    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        name: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<()> {
        Err(Unwritable(name.to_owned()))
    }

    refuse! {
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_unit_struct(&'static str) -> ();
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_map(Option<usize>) -> Self::SerializeMap;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

/// The bytes of a text, with escapes where JSON asks for them.
fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let mut from = 0;
    loop {
        let stop = text_stop(text, from);
        out.extend_from_slice(text.get(from..stop).unwrap_or_default());
        let Some(byte) = text.get(stop) else { return };
        let short = match *byte {
            b'"' | b'\\' => *byte,
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            control => {
                let [high, low] =
                    [control >> 4, control & 15].map(|nibble| DIGITS[usize::from(nibble)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
                from = stop + 1;
                continue;
            }
        };
        out.extend_from_slice(&[b'\\', short]);
        from = stop + 1;
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Word {
        StepUp,
    }

    #[derive(Debug, Serialize)]
    struct Inner {
        numbers: Vec<i64>,
        truth: bool,
    }

    #[derive(Debug, Serialize)]
    struct Record<'a> {
        text: &'a str,
        word: Word,
        none: Option<u32>,
        some: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        left_out: Option<u32>,
        #[serde(rename = "type")]
        renamed: u64,
        i32: i32,
        u16: u16,
        inner: Vec<Inner>,
    }

    fn written(record: &impl Serialize) -> Vec<u8> {
        let mut out = b"before".to_vec();
        write(&mut out, record).unwrap();
        out.split_off(6)
    }

    proptest! {
        #[test]
        fn records_are_written_as_serde_json_writes_them(
            text in any::<String>(),
            texts in proptest::collection::vec("[\\x00-\\x7f\"\\\\äß€𝄞]{0,40}", 0..4),
            numbers in proptest::collection::vec(any::<i64>(), 0..4),
            (truth, renamed, i32, u16) in any::<(bool, u64, i32, u16)>(),
        ) {
            let inner = || Inner { numbers: numbers.clone(), truth };
            let record = Record {
                text: &text,
                word: Word::StepUp,
                none: None,
                some: texts.first().cloned(),
                left_out: None,
                renamed,
                i32,
                u16,
                inner: (0..texts.len()).map(|_| inner()).collect(),
            };
            prop_assert_eq!(written(&record), serde_json::to_vec(&record).unwrap());
            prop_assert_eq!(written(&texts), serde_json::to_vec(&texts).unwrap());
        }
    }

    #[test]
    fn every_ascii_character_and_the_ends_of_numbers_are_written_as_serde_json_writes_them() {
        for byte in 0..128_u8 {
            let text = format!("a{0}b{0}", char::from(byte));
            assert_eq!(written(&text), serde_json::to_vec(&text).unwrap(), "{byte:#x}");
        }
        for number in [0, 9, 10, u64::MAX] {
            assert_eq!(written(&number), serde_json::to_vec(&number).unwrap());
        }
        for number in [i64::MIN, -1, 0, i64::MAX] {
            assert_eq!(written(&number), serde_json::to_vec(&number).unwrap());
        }
    }

    #[test]
    fn what_records_do_not_have_is_refused() {
        assert!(write(&mut Vec::new(), &(0, 0)).is_err());
        assert!(write(&mut Vec::new(), &0.5).is_err());
    }
}
