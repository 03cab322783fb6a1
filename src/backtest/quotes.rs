//! Quotes of a CSV file, looked at before the cells are cut: a quote that is never closed, or closed in the middle of a
//! cell, makes rows disappear inside one cell without a word, so it ends the reading with its line.

use std::io::{self, Read};

/// Where in a row a byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the beginning of a cell.
    Begin,
    /// In a cell without quotes.
    Bare,
    /// Between quotes.
    Quoted,
    /// After a quote between quotes: the end of the cell, or the first of two that stand for one.
    Closed,
}

/// Bytes as they are, until a quote is wrong.
pub(super) struct Quotes<R> {
    bytes: R,
    place: Place,
    /// The line at hand, and the one where the quotes were opened, from 1.
    line: u64,
    opened: u64,
    /// Bytes of a byte order mark that may still come.
    mark: &'static [u8],
}

impl<R: Read> Quotes<R> {
    pub(super) fn new(bytes: R) -> Self {
        let mark = &[0xEF, 0xBB, 0xBF];
        Self { bytes, place: Place::Begin, line: 1, opened: 0, mark }
    }

    fn pass(&mut self, byte: u8) -> io::Result<()> {
        if let Some((first, rest)) = self.mark.split_first() {
            self.mark = if *first == byte { rest } else { &[] };
            if *first == byte {
                return Ok(());
            }
        }
        self.place = match (self.place, byte) {
            (Place::Quoted, b'"') => Place::Closed,
            (Place::Quoted, _) | (Place::Closed, b'"') => Place::Quoted,
            (_, b',' | b'\n' | b'\r') => Place::Begin,
            (Place::Begin, b'"') => {
                self.opened = self.line;
                Place::Quoted
            }
            (Place::Begin | Place::Bare, _) => Place::Bare,
            (Place::Closed, _) => {
                return Err(broken(format!(
                    "line {}: a cell goes on after its closing quote, opened in line {}: write a quote inside of a cell twice",
                    self.line, self.opened
                )));
            }
        };
        self.line += u64::from(byte == b'\n');
        Ok(())
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.read(out)?;
        for byte in out.iter().take(n) {
            self.pass(*byte)?;
        }
        if n == 0 && !out.is_empty() && self.place == Place::Quoted {
            return Err(broken(format!(
                "line {}: a quote is opened here and never closed",
                self.opened
            )));
        }
        Ok(n)
    }
}

fn broken(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<(), &str>) {
        let mut read = String::new();
        let found = Quotes::new(text.as_bytes()).read_to_string(&mut read);
        let found = found.map(|_| ()).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned));
        if expected.is_ok() {
            assert_eq!(read, text);
        }
    }

    #[test]
    fn cells_with_commas_lines_and_doubled_quotes_pass() {
        check("", Ok(()));
        check("a,b\r\n1,2\r\n", Ok(()));
        check("\u{feff}\"a\",b\n\"1,\n2\",\"say \"\"x\"\"\"\n", Ok(()));
        check("a,5\" pipe\n", Ok(()));
        check("a,\"\"", Ok(()));
    }

    #[test]
    fn a_quote_that_would_swallow_rows_is_named_with_its_line() {
        check("a,b\n1,\"2\n3,4\n", Err("line 2: a quote is opened here and never closed"));
        check(
            "a,b\n1,\"2\n3,4\n5,\"6\n",
            Err(
                "line 4: a cell goes on after its closing quote, opened in line 2: write a quote inside of a cell twice",
            ),
        );
        check(
            "\"x\"y\n",
            Err(
                "line 1: a cell goes on after its closing quote, opened in line 1: write a quote inside of a cell twice",
            ),
        );
    }
}
