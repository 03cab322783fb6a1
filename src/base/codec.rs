//! The bytes of saved state: a small explicit binary code, written and read without any reflection.
//!
//! Numbers are little endian of fixed width, or LEB128 where small ones are the rule. The reader trusts nothing: every
//! read is checked against what is left, a length is checked before anything is allocated for it, and what does not fit
//! is [`Damaged`], never a panic.

/// Saved state that does not read as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("saved state is damaged: {what} (at byte {at})")]
pub struct Damaged {
    /// What was expected, or what is wrong.
    pub what: &'static str,
    /// Byte of the piece that was being read.
    pub at: usize,
}

/// Writes into a vector of bytes.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// A writer that appends.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// How many bytes the vector holds.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether the vector is empty.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// A truth value.
    pub fn flag(&mut self, flag: bool) {
        self.out.push(u8::from(flag));
    }

    /// A word of 8 bytes.
    pub fn word(&mut self, word: u64) {
        self.out.extend_from_slice(&word.to_le_bytes());
    }

    /// An integer of 8 bytes.
    pub fn int(&mut self, int: i64) {
        self.word(int.cast_unsigned());
    }

    /// A word of 16 bytes.
    pub fn wide(&mut self, wide: u128) {
        self.out.extend_from_slice(&wide.to_le_bytes());
    }

    /// A number that is mostly small: LEB128, 1 to 10 bytes.
    pub fn var(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.out.push(low7(number) | 0x80);
            number >>= 7;
        }
        self.out.push(low7(number));
    }

    /// A length or index.
    pub fn count(&mut self, count: usize) {
        self.var(count as u64);
    }

    /// Words of 8 bytes each, without their number.
    pub fn words(&mut self, words: &[u64]) {
        let at = self.out.len();
        self.out.resize(at + words.len() * 8, 0);
        for (bytes, word) in self.out[at..].chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
    }

    /// Bytes with their number in front.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// Bytes as they are; the reader must know how many.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// A text with its length in front.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// What `write` appends, with its length (8 bytes) in front.
    pub fn framed(&mut self, write: impl FnOnce(&mut Encoder<'_>)) {
        self.word(0);
        let from = self.out.len();
        write(&mut Encoder { out: self.out });
        let length = (self.out.len() - from) as u64;
        self.out[from - 8..from].copy_from_slice(&length.to_le_bytes());
    }
}

fn low7(number: u64) -> u8 {
    u8::try_from(number & 0x7f).unwrap_or(0)
}

/// Reads what [`Encoder`] wrote.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Decoder<'a> {
    /// A reader from the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bytes that were not read yet.
    pub fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A mistake at the present place.
    pub fn damaged(&self, what: &'static str) -> Damaged {
        Damaged { what, at: self.at }
    }

    /// A mistake at the present place unless `holds`.
    ///
    /// # Errors
    /// Where it does not hold.
    pub fn demand(&self, holds: bool, what: &'static str) -> Result<(), Damaged> {
        if holds { Ok(()) } else { Err(self.damaged(what)) }
    }

    /// That everything was read.
    ///
    /// # Errors
    /// Where bytes are left.
    pub fn end(&self, what: &'static str) -> Result<(), Damaged> {
        self.demand(self.rest() == 0, what)
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    /// Where fewer are left.
    pub fn raw(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], Damaged> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..n));
        let bytes = bytes.ok_or_else(|| self.damaged(what))?;
        self.at += n;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Damaged> {
        let bytes = self.raw(N, what)?;
        bytes.try_into().map_err(|_| self.damaged(what))
    }

    /// One byte.
    ///
    /// # Errors
    /// At the end.
    pub fn byte(&mut self, what: &'static str) -> Result<u8, Damaged> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    /// A truth value.
    ///
    /// # Errors
    /// At the end, or where the byte is neither 0 nor 1.
    pub fn flag(&mut self, what: &'static str) -> Result<bool, Damaged> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.damaged(what)),
        }
    }

    /// A word of 8 bytes.
    ///
    /// # Errors
    /// At the end.
    pub fn word(&mut self, what: &'static str) -> Result<u64, Damaged> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// An integer of 8 bytes.
    ///
    /// # Errors
    /// At the end.
    pub fn int(&mut self, what: &'static str) -> Result<i64, Damaged> {
        self.array(what).map(i64::from_le_bytes)
    }

    /// A word of 16 bytes.
    ///
    /// # Errors
    /// At the end.
    pub fn wide(&mut self, what: &'static str) -> Result<u128, Damaged> {
        self.array(what).map(u128::from_le_bytes)
    }

    /// A LEB128 number.
    ///
    /// # Errors
    /// At the end, or where it is wider than 64 bits.
    pub fn var(&mut self, what: &'static str) -> Result<u64, Damaged> {
        let mut number = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte(what)?;
            let low = u64::from(byte & 0x7f);
            self.demand(shift < 63 || low <= 1, what)?;
            number |= low << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(self.damaged(what))
    }

    /// A LEB128 number of at most 32 bits.
    ///
    /// # Errors
    /// At the end, or where it is wider.
    pub fn narrow(&mut self, what: &'static str) -> Result<u32, Damaged> {
        let number = self.var(what)?;
        u32::try_from(number).map_err(|_| self.damaged(what))
    }

    /// An index or number that nothing is allocated for.
    ///
    /// # Errors
    /// At the end, or where it does not fit.
    pub fn index(&mut self, what: &'static str) -> Result<usize, Damaged> {
        let number = self.var(what)?;
        usize::try_from(number).map_err(|_| self.damaged(what))
    }

    /// The number of things that follow, each of at least `least` bytes: never more than the bytes that are left allow.
    ///
    /// # Errors
    /// At the end, or where so many cannot follow.
    pub fn count(&mut self, least: usize, what: &'static str) -> Result<usize, Damaged> {
        let count = self.index(what)?;
        let fits = count.checked_mul(least.max(1)).is_some_and(|bytes| bytes <= self.rest());
        self.demand(fits, what)?;
        Ok(count)
    }

    /// `n` words of 8 bytes.
    ///
    /// # Errors
    /// Where fewer are left.
    pub fn words(
        &mut self,
        n: usize,
        what: &'static str,
    ) -> Result<impl Iterator<Item = u64> + use<'a>, Damaged> {
        let size = n.checked_mul(8).ok_or_else(|| self.damaged(what))?;
        let bytes = self.raw(size, what)?;
        Ok(bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)))
    }

    /// Bytes with their number in front.
    ///
    /// # Errors
    /// Where fewer are left.
    pub fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], Damaged> {
        let n = self.count(1, what)?;
        self.raw(n, what)
    }

    /// A text with its length in front.
    ///
    /// # Errors
    /// Where it is cut off, or not UTF-8.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, Damaged> {
        let bytes = self.bytes(what)?;
        core::str::from_utf8(bytes).map_err(|_| self.damaged(what))
    }

    /// What [`Encoder::framed`] wrote.
    ///
    /// # Errors
    /// Where it is cut off.
    pub fn framed(&mut self, what: &'static str) -> Result<Decoder<'a>, Damaged> {
        let length = self.word(what)?;
        let length = usize::try_from(length).map_err(|_| self.damaged(what))?;
        self.raw(length, what).map(Decoder::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut out = Vec::new();
        let mut code = Encoder::new(&mut out);
        for number in [0, 1, 127, 128, 300, u64::MAX] {
            code.var(number);
        }
        code.int(-5);
        code.wide(u128::MAX - 1);
        code.flag(true);
        code.text("grün");
        code.framed(|code| code.words(&[1, u64::MAX]));
        // 300 = 0b10_0101100: low seven bits first.
        assert_eq!(out[..8], [0, 1, 127, 0x80, 1, 0xac, 2, 0xff]);
        let mut code = Decoder::new(&out);
        for number in [0, 1, 127, 128, 300, u64::MAX] {
            assert_eq!(code.var("n"), Ok(number));
        }
        assert_eq!(code.int("i"), Ok(-5));
        assert_eq!(code.wide("w"), Ok(u128::MAX - 1));
        assert_eq!(code.flag("f"), Ok(true));
        assert_eq!(code.text("t"), Ok("grün"));
        let mut inner = code.framed("frame").unwrap();
        assert_eq!(inner.words(2, "words").unwrap().collect::<Vec<_>>(), [1, u64::MAX]);
        assert_eq!((inner.end("end"), code.end("end")), (Ok(()), Ok(())));
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        let bytes = [0xff; 9];
        let mut code = Decoder::new(&bytes);
        assert_eq!(code.wide("w"), Err(Damaged { what: "w", at: 0 }));
        assert!(code.var("n").is_err());
        assert!(Decoder::new(&bytes).text("t").is_err());
        assert!(Decoder::new(&[0xff; 20]).var("wider than 64 bits").is_err());
        assert!(Decoder::new(&[2]).flag("f").is_err());
        assert!(Decoder::new(&[1, 0xff]).text("not UTF-8").is_err());
        assert!(Decoder::new(&[200, 1, 0, 0]).bytes("cut off").is_err());
        assert!(Decoder::new(&[3, 0, 0, 0, 0, 0, 0, 0, 9, 9]).framed("cut off").is_err());
    }

    #[test]
    fn a_count_never_promises_more_than_is_left() {
        assert_eq!(Decoder::new(&[2, 0, 0, 0, 0]).count(2, "n"), Ok(2));
        assert!(Decoder::new(&[3, 0, 0, 0, 0]).count(2, "n").is_err());
        let mut huge = vec![0xff; 9];
        huge.push(1);
        assert!(Decoder::new(&huge).count(8, "n").is_err());
    }
}
