//! Lines of a byte stream in blocks: few reads, no copy per line.

use std::io::Read;
use std::path::Path;

use crate::backtest::input::InputError;

/// Bytes asked for at once.
const BLOCK_BYTES: usize = 1 << 18;

/// Longest line: beyond it the file is not what its name says.
const MAX_LINE_BYTES: usize = 1 << 28;

/// Some whole lines of a file.
#[derive(Debug, Default)]
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Bytes that whole lines fill.
    whole: usize,
    /// Bytes that are filled.
    filled: usize,
    /// Number of the first line, from 0.
    pub(super) first_line: i64,
}

impl Block {
    /// The lines with their numbers, without line ends; blank lines are counted and left out.
    pub(super) fn lines(&self) -> impl Iterator<Item = (i64, &[u8])> {
        let whole = self.bytes.get(..self.whole).unwrap_or_default();
        let lines = whole.strip_suffix(b"\n").unwrap_or(whole);
        let none = whole.is_empty();
        let numbered = (self.first_line..).zip(Lines { rest: (!none).then_some(lines) });
        numbered
            .map(|(number, line)| (number, line.strip_suffix(b"\r").unwrap_or(line)))
            .filter(|(_, line)| !line.is_empty())
    }
}

struct Lines<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest?;
        let Some(end) = memchr::memchr(b'\n', rest) else {
            self.rest = None;
            return Some(rest);
        };
        let (line, after) = rest.split_at(end);
        self.rest = after.get(1..);
        Some(line)
    }
}

/// Cuts a byte stream into blocks of whole lines.
pub(super) struct LineReader<'a> {
    path: &'a Path,
    bytes: Box<dyn Read + Send>,
    /// The beginning of the line that the block before did not end.
    carry: Vec<u8>,
    next_line: i64,
    ended: bool,
}

impl<'a> LineReader<'a> {
    pub(super) fn new(path: &'a Path, bytes: Box<dyn Read + Send>) -> Self {
        Self { path, bytes, carry: Vec::new(), next_line: 0, ended: false }
    }

    /// Fills a block with the next whole lines; false at the end.
    pub(super) fn fill(&mut self, block: &mut Block) -> Result<bool, InputError> {
        block.first_line = self.next_line;
        block.filled = self.carry.len();
        if block.bytes.len() < block.filled + BLOCK_BYTES {
            block.bytes.resize(block.filled + BLOCK_BYTES, 0);
        }
        block.bytes[..block.filled].copy_from_slice(&self.carry);
        self.carry.clear();
        block.whole = 0;
        while block.whole == 0 && !self.ended {
            self.read_some(block)?;
        }
        let whole = &block.bytes[..block.whole];
        let ends = memchr::memchr_iter(b'\n', whole).count();
        let open_end = usize::from(whole.last().is_some_and(|last| *last != b'\n'));
        self.next_line += i64::try_from(ends + open_end).unwrap_or(i64::MAX);
        self.carry.extend_from_slice(&block.bytes[block.whole..block.filled]);
        Ok(block.whole > 0)
    }

    fn read_some(&mut self, block: &mut Block) -> Result<(), InputError> {
        if block.filled == block.bytes.len() {
            if block.filled >= MAX_LINE_BYTES {
                let (path, line) = (self.path.to_owned(), self.next_line + 1);
                return Err(InputError::LineTooLong { path, line, limit: MAX_LINE_BYTES });
            }
            block.bytes.resize(block.filled * 2, 0);
        }
        let read = self.bytes.read(&mut block.bytes[block.filled..]);
        let read = read.map_err(|source| InputError::io(self.path, source))?;
        let fresh = &block.bytes[block.filled..block.filled + read];
        if read == 0 {
            self.ended = true;
            block.whole = block.filled;
        } else if let Some(end) = memchr::memrchr(b'\n', fresh) {
            block.whole = block.filled + end + 1;
        }
        block.filled += read;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a few bytes at a time.
    struct Drip(Vec<u8>, usize);

    impl Read for Drip {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &[(i64, &str)]) {
        for drip in [1, 2, 3, 7, 1000] {
            let bytes = Box::new(Drip(text.as_bytes().to_vec(), drip));
            let mut reader = LineReader::new(Path::new("x"), bytes);
            let (mut block, mut found) = (Block::default(), Vec::new());
            while reader.fill(&mut block).unwrap() {
                found.extend(
                    block.lines().map(|(n, line)| (n, String::from_utf8(line.to_vec()).unwrap())),
                );
            }
            let found: Vec<(i64, &str)> =
                found.iter().map(|(n, line)| (*n, line.as_str())).collect();
            assert_eq!(found, expected, "{text:?} in reads of {drip}");
        }
    }

    #[test]
    fn lines_are_numbered_and_blank_ones_left_out() {
        check("", &[]);
        check("\n", &[]);
        check("a", &[(0, "a")]);
        check("a\n", &[(0, "a")]);
        check("a\nbb\r\n\nccc", &[(0, "a"), (1, "bb"), (3, "ccc")]);
        check("\n\na\n", &[(2, "a")]);
    }
}
