//! Runs of bytes: the plain part of texts, digits, numbers and escapes. Eight bytes at a time.

/// Marks the high bit of each byte that ends the plain part of a text. The lowest mark is exact.
#[inline]
pub(super) fn stop_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * 0x22);
    let backslash = word ^ (ONES * 0x5c);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quote = quote.wrapping_sub(ONES) & !quote;
    let backslash = backslash.wrapping_sub(ONES) & !backslash;
    (quote | backslash | control) & HIGHS
}

/// The end of the run of digits from `at` on.
#[inline]
fn digits_end(raw: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = raw.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        // A digit has the high nibble 3, also after adding 6. The lowest other byte is exact.
        let sixes = word.wrapping_add(0x0606_0606_0606_0606);
        let others = ((word ^ 0x3030_3030_3030_3030) | (sixes ^ 0x3030_3030_3030_3030))
            & 0xf0f0_f0f0_f0f0_f0f0;
        if others != 0 {
            return at + (others.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while raw.get(at).is_some_and(u8::is_ascii_digit) {
        at += 1;
    }
    at
}

/// The end of the number at `at`, and whether it is an integer; or where it goes wrong.
#[inline]
pub(super) fn number_end(raw: &[u8], at: usize) -> core::result::Result<(usize, bool), usize> {
    let first = at + usize::from(raw.get(at) == Some(&b'-'));
    let mut end = digits_end(raw, first);
    if end == first || (end > first + 1 && raw.get(first) == Some(&b'0')) {
        return Err(first);
    }
    let whole_end = end;
    if raw.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = digits_end(raw, fraction);
        if end == fraction {
            return Err(end);
        }
    }
    if let Some(b'e' | b'E') = raw.get(end) {
        let exponent = end + 1 + usize::from(matches!(raw.get(end + 1), Some(b'+' | b'-')));
        end = digits_end(raw, exponent);
        if end == exponent {
            return Err(end);
        }
    }
    Ok((end, end == whole_end))
}

/// Whether the whole text is a JSON number, and if so whether it is an integer.
pub fn number_kind(text: &[u8]) -> Option<NumberKind> {
    match number_end(text, 0) {
        Ok((end, integer)) if end == text.len() => {
            Some(if integer { NumberKind::Integer } else { NumberKind::Decimal })
        }
        _ => None,
    }
}

/// How a number is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    /// Digits only.
    Integer,
    /// With a fraction or an exponent.
    Decimal,
}

/// The code unit of `\uXXXX`.
pub(super) fn code_unit(escape: &[u8]) -> Option<u32> {
    let [b'\\', b'u', digits @ ..] = escape else { return None };
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// Appends a text of a scanned record with its escapes resolved.
pub fn unescape_into(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        out.extend_from_slice(plain);
        let (byte, len) = match escape.get(1) {
            Some(b'u') => {
                rest = unescape_unicode(escape, out);
                continue;
            }
            Some(b'b') => (0x08, 2),
            Some(b'f') => (0x0c, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(other) => (*other, 2),
            None => (b'\\', 1),
        };
        out.push(byte);
        rest = escape.get(len..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

/// Appends the character of a `\uXXXX` escape or pair of them; returns what follows.
fn unescape_unicode<'a>(escape: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    let unit = escape.get(..6).and_then(code_unit).unwrap_or(0xfffd);
    let low = escape.get(6..12).and_then(code_unit);
    let (code, len) = match low {
        Some(low) if (0xd800..0xdc00).contains(&unit) => {
            (0x1_0000 + ((unit & 0x3ff) << 10) + (low & 0x3ff), 12)
        }
        _ => (unit, 6),
    };
    let mut utf8 = [0; 4];
    let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut utf8).as_bytes());
    escape.get(len..).unwrap_or_default()
}
