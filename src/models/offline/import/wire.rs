//! The wire format of protocol buffers, as far as ONNX files need it: fields with numbers, read one after the other.
//!
//! WHY: by hand, because it is a page. What the crates for it generate from the schema of ONNX is a hundred times as much,
//! and they allocate what a file claims before anything of it was looked at. Here nothing is copied but lists of numbers,
//! which are as long as their bytes.

/// The value of one field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    /// A whole number.
    Int(u64),
    /// Eight bytes, which nothing that is read here has.
    Eight,
    /// A text, a list, or a message within.
    Bytes(&'a [u8]),
    /// Four bytes.
    Four([u8; 4]),
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoMessage;

/// The fields of a message, with their numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next one; none at the end.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Field<'a>)>, NoMessage> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = varint(&mut self.rest)?;
        let field = match tag & 7 {
            0 => Field::Int(varint(&mut self.rest)?),
            1 => {
                take::<8>(&mut self.rest)?;
                Field::Eight
            }
            2 => {
                let len = usize::try_from(varint(&mut self.rest)?).map_err(|_| NoMessage)?;
                let (bytes, rest) = self.rest.split_at_checked(len).ok_or(NoMessage)?;
                self.rest = rest;
                Field::Bytes(bytes)
            }
            5 => Field::Four(take(&mut self.rest)?),
            // Groups went out of use before ONNX began.
            _ => return Err(NoMessage),
        };
        Ok(Some((tag >> 3, field)))
    }
}

/// A number of seven bits a byte, the low ones first.
pub(super) fn varint(rest: &mut &[u8]) -> Result<u64, NoMessage> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take(rest)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(NoMessage)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], NoMessage> {
    let (bytes, behind) = rest.split_first_chunk().ok_or(NoMessage)?;
    *rest = behind;
    Ok(*bytes)
}

/// Floats, in one field for all or in one for each.
pub(super) fn floats(field: Field<'_>, out: &mut Vec<f32>) -> Result<(), NoMessage> {
    match field {
        Field::Four(bytes) => out.push(f32::from_le_bytes(bytes)),
        Field::Bytes(bytes) => {
            let (chunks, rest) = bytes.as_chunks();
            if !rest.is_empty() {
                return Err(NoMessage);
            }
            out.extend(chunks.iter().map(|chunk| f32::from_le_bytes(*chunk)));
        }
        _ => return Err(NoMessage),
    }
    Ok(())
}

/// Whole numbers, in one field for all or in one for each.
pub(super) fn ints(field: Field<'_>, out: &mut Vec<i64>) -> Result<(), NoMessage> {
    match field {
        Field::Int(int) => out.push(int.cast_signed()),
        Field::Bytes(mut bytes) => {
            while !bytes.is_empty() {
                out.push(varint(&mut bytes)?.cast_signed());
            }
        }
        _ => return Err(NoMessage),
    }
    Ok(())
}
