//! The chains of audit records: one for each input partition, each record with its number and the digest of the one before.
//!
//! INVARIANT: every audit record answers one record of the input and is part of the chain of that record's partition. What
//! is announced or found is a function of the input and the epochs, so a chain written again is the same, byte for byte,
//! and goes on wherever its partition goes.

use crate::base::Digest;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::engine::port::StreamId;

/// Where a chain stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The number of its last record; 0 before the first.
    pub seq: u64,
    /// The digest of that record; zeros before the first.
    pub last: Digest,
    /// The rule set that was announced last, with its settings.
    ///
    /// WHY: in each partition. In which of several the first record of all is decided hangs on the order in which they are
    /// read, and a replay may read them in another one: the chain of one would lack a record that another one's has.
    announced: Option<Digest>,
}

impl Default for Link {
    fn default() -> Self {
        Self { seq: 0, last: Digest([0; 32]), announced: None }
    }
}

impl Link {
    /// As commits note it: number, digest, what was announced, in hexadecimal digits.
    pub fn text(&self) -> String {
        let announced = self.announced.as_ref().map(Digest::hex).unwrap_or_default();
        format!("{}:{}:{announced}", self.seq, self.last.hex())
    }

    /// Reads that; none where it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let seq: u64 = parts.next()?.parse().ok().filter(|seq| *seq < u64::MAX >> 1)?;
        let last = Digest::of_hex(parts.next()?)?;
        let announced = match parts.next()? {
            "" => None,
            digits => Some(Digest::of_hex(digits)?),
        };
        parts.next().is_none().then_some(Self { seq, last, announced })
    }

    /// Takes note of the record that was just written.
    pub(super) fn advance(&mut self, body: &[u8]) {
        self.seq += 1;
        self.last = Digest::of(body);
    }
}

/// The chains of an engine, by input partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chains {
    links: Vec<Link>,
}

impl Chains {
    /// The chain of a stream.
    pub(super) fn of(&mut self, stream: StreamId) -> &mut Link {
        let at = stream.0 as usize;
        if self.links.len() <= at {
            self.links.resize(at + 1, Link::default());
        }
        &mut self.links[at]
    }

    /// Goes on from there.
    pub(super) fn resume(&mut self, stream: StreamId, link: Link) {
        *self.of(stream) = link;
    }

    /// Where the chain of a stream stands.
    pub(super) fn get(&self, stream: StreamId) -> Link {
        self.links.get(stream.0 as usize).copied().unwrap_or_default()
    }

    /// Takes note that this rule set, with its settings, decides records of a stream from here on. True: it was not announced
    /// there yet.
    pub(super) fn is_news(&mut self, stream: StreamId, identity: Digest) -> bool {
        self.of(stream).announced.replace(identity) != Some(identity)
    }

    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.links.len());
        for Link { seq, last, announced } in &self.links {
            code.var(*seq);
            code.raw(&last.0);
            code.flag(announced.is_some());
            code.raw(&announced.unwrap_or(Digest([0; 32])).0);
        }
    }

    pub(super) fn load(n_sources: usize, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "chain of audit records";
        let n = code.count(66, WHAT)?;
        code.demand(n <= n_sources, WHAT)?;
        let link = |_| {
            let seq = code.var(WHAT)?;
            code.demand(seq < u64::MAX >> 1, WHAT)?;
            let last = Digest(load_digest(code)?);
            let is_known = code.flag(WHAT)?;
            let announced = Digest(load_digest(code)?);
            Ok(Link { seq, last, announced: is_known.then_some(announced) })
        };
        let links = (0..n).map(link).collect::<Result<Vec<Link>, Damaged>>()?;
        Ok(Self { links })
    }
}

fn load_digest(code: &mut Decoder<'_>) -> Result<[u8; 32], Damaged> {
    const WHAT: &str = "digest of an audit record";
    code.raw(32, WHAT)?.try_into().map_err(|_| code.damaged(WHAT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reads_back_and_nothing_else_is_one() {
        let digits = "ab".repeat(32);
        for (text, is_announced) in
            [(format!("7:{digits}:{digits}"), true), (format!("7:{digits}:"), false)]
        {
            let link = Link::parse(&text).unwrap();
            assert_eq!(
                (link.seq, link.last, link.announced.is_some()),
                (7, Digest([0xab; 32]), is_announced)
            );
            assert_eq!(link.text(), text);
        }
        for other in [
            "",
            "7",
            "7:ab:",
            &format!("x:{digits}:"),
            &format!("7:{digits}"),
            &format!("7:{digits}::"),
        ] {
            assert_eq!(Link::parse(other), None, "{other}");
        }
        assert_eq!(Link::parse(&format!("{}:{digits}:", u64::MAX)), None);
    }
}
