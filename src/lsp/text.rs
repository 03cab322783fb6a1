//! Places in a text: bytes here, lines and columns there.
//!
//! The protocol counts columns in UTF-16 units unless both sides agree on bytes. A line ends at `\n`, `\r\n` or `\r`.
//! A place that a client names may be anything: a line that is not there is the end of the text, a column beyond a line
//! is its end, and one inside of a character is the character's beginning.

use serde_json::{Value, json};

use crate::diag::Span;

/// What columns count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Columns {
    Bytes,
    Utf16,
}

/// A place as the protocol names it, both from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Position {
    pub(super) fn to_json(self) -> Value {
        json!({ "line": self.line, "character": self.column })
    }

    /// Reads a place; `None`: it is none. Numbers beyond 32 bits are as good as infinite.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let number = |name: &str| {
            value.get(name)?.as_u64().map(|number| u32::try_from(number).unwrap_or(u32::MAX))
        };
        Some(Self { line: number("line")?, column: number("character")? })
    }
}

/// Where the lines of a text begin.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    /// Bytes; the first is 0.
    starts: Vec<usize>,
}

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        let mut starts = vec![0];
        let bytes = text.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            let ends = *byte == b'\n' || (*byte == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
            if ends {
                starts.push(at + 1);
            }
        }
        Self { starts }
    }

    /// The byte of a place.
    pub(super) fn offset(&self, text: &str, place: Position, columns: Columns) -> usize {
        let line = place.line as usize;
        let Some(&start) = self.starts.get(line) else { return text.len() };
        let end = self.starts.get(line + 1).map_or(text.len(), |next| *next);
        let content = text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r']);
        let mut passed = 0_u32;
        for (at, c) in content.char_indices() {
            passed = passed.saturating_add(width(c, columns));
            if passed > place.column {
                return start + at;
            }
        }
        start + content.len()
    }

    /// The place of a byte; inside of a character its beginning.
    pub(super) fn position(&self, text: &str, byte: usize, columns: Columns) -> Position {
        let mut byte = byte.min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        let line = self.starts.partition_point(|start| *start <= byte).saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(0);
        let before = text.get(start..byte).unwrap_or_default();
        let column = before.chars().fold(0, |sum: u32, c| sum.saturating_add(width(c, columns)));
        Position { line: u32::try_from(line).unwrap_or(u32::MAX), column }
    }

    /// A range of bytes as the protocol writes it.
    pub(super) fn range(&self, text: &str, span: Span, columns: Columns) -> Value {
        let [start, end] = [span.start, span.end]
            .map(|byte| self.position(text, byte as usize, columns).to_json());
        json!({ "start": start, "end": end })
    }
}

fn width(c: char, columns: Columns) -> u32 {
    let units = match columns {
        Columns::Bytes => c.len_utf8(),
        Columns::Utf16 => c.len_utf16(),
    };
    u32::try_from(units).unwrap_or(u32::MAX)
}

/// The smallest replacement of whole lines that turns one text into the other: first and one past the last byte of the
/// old text, and what stands there then. Keeps a cursor elsewhere where it is.
pub(super) fn replacement<'t>(old: &str, new: &'t str) -> Option<(usize, usize, &'t str)> {
    if old == new {
        return None;
    }
    let head = old.split_inclusive('\n').zip(new.split_inclusive('\n'));
    let same: usize = head.take_while(|(a, b)| a == b).map(|(line, _)| line.len()).sum();
    let (old_rest, new_rest) = (old.get(same..)?, new.get(same..)?);
    let tail = old_rest.split_inclusive('\n').rev().zip(new_rest.split_inclusive('\n').rev());
    let kept: usize = tail.take_while(|(a, b)| a == b).map(|(line, _)| line.len()).sum();
    Some((same, old.len() - kept, new_rest.get(..new_rest.len() - kept)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: `é` is two bytes and one unit, `😀` four bytes and two units.
    const TEXT: &str = "aé😀b\r\nsecond\rthird\n";

    #[track_caller]
    fn check(place: (u32, u32), columns: Columns, byte: usize) {
        let lines = Lines::of(TEXT);
        let place = Position { line: place.0, column: place.1 };
        assert_eq!(lines.offset(TEXT, place, columns), byte, "{place:?}");
    }

    #[test]
    fn columns_count_utf16_units_or_bytes() {
        check((0, 0), Columns::Utf16, 0);
        check((0, 2), Columns::Utf16, 3);
        check((0, 4), Columns::Utf16, 7);
        check((0, 7), Columns::Bytes, 7);
        check((1, 3), Columns::Utf16, 13);
        check((2, 0), Columns::Utf16, 17);
    }

    #[test]
    fn places_that_are_not_there_are_the_nearest_that_is() {
        check((0, 3), Columns::Utf16, 3);
        check((0, 2), Columns::Bytes, 1);
        check((0, 99), Columns::Utf16, 8);
        check((0, u32::MAX), Columns::Utf16, 8);
        check((3, 0), Columns::Utf16, TEXT.len());
        check((99, 99), Columns::Utf16, TEXT.len());
    }

    #[test]
    fn every_byte_has_a_place_that_leads_back_to_its_character() {
        let lines = Lines::of(TEXT);
        for columns in [Columns::Bytes, Columns::Utf16] {
            for (byte, c) in TEXT.char_indices().filter(|(_, c)| !matches!(c, '\r' | '\n')) {
                for inside in byte..byte + c.len_utf8() {
                    let place = lines.position(TEXT, inside, columns);
                    assert_eq!(lines.offset(TEXT, place, columns), byte);
                }
            }
        }
    }

    #[test]
    fn a_replacement_leaves_the_lines_around_it() {
        assert_eq!(replacement("a\nb\nc\n", "a\nx\ny\nc\n"), Some((2, 4, "x\ny\n")));
        assert_eq!(replacement("a\n", "a\n"), None);
        assert_eq!(replacement("a\na\n", "a\n"), Some((2, 4, "")));
        assert_eq!(replacement("a", "a\n"), Some((0, 1, "a\n")));
    }
}
