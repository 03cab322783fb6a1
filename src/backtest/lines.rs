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
    /// Lines that are not blank.
    lines: Vec<Line>,
}

/// Where a line stands in its block, and its number in the file, from 0.
#[derive(Clone, Copy, Debug)]
struct Line {
    number: i64,
    start: usize,
    end: usize,
}

/// Lines of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines<'b> {
    bytes: &'b [u8],
    lines: &'b [Line],
}

impl<'b> Lines<'b> {
    /// The lines with their numbers, without line ends.
    pub(super) fn iter(self) -> impl Iterator<Item = (i64, &'b [u8])> + Clone {
        let bytes = move |line: &Line| self.bytes.get(line.start..line.end).unwrap_or_default();
        self.lines.iter().map(move |line| (line.number, bytes(line)))
    }

    /// The same lines, so many at a time.
    pub(super) fn chunks(self, n: usize) -> impl Iterator<Item = Self> {
        self.lines.chunks(n).map(move |lines| Self { lines, ..self })
    }
}

impl Block {
    /// Its lines; blank ones are counted and left out.
    pub(super) fn lines(&self) -> Lines<'_> {
        Lines { bytes: &self.bytes, lines: &self.lines }
    }

    /// Finds the lines; returns how many there are, blank ones included.
    fn find_lines(&mut self, first: i64) -> i64 {
        let whole = self.bytes.get(..self.whole).unwrap_or_default();
        let open_end = whole.last().is_some_and(|last| *last != b'\n').then_some(whole.len());
        self.lines.clear();
        let (mut number, mut start) = (first, 0);
        for end in memchr::memchr_iter(b'\n', whole).chain(open_end) {
            let line = whole.get(start..end).unwrap_or_default();
            let len = line.strip_suffix(b"\r").unwrap_or(line).len();
            if len > 0 {
                self.lines.push(Line { number, start, end: start + len });
            }
            number += 1;
            start = end + 1;
        }
        number - first
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
        self.next_line += block.find_lines(self.next_line);
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
                    block
                        .lines()
                        .iter()
                        .map(|(n, line)| (n, String::from_utf8(line.to_vec()).unwrap())),
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
