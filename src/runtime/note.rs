//! What is written down beside a committed offset: enough to decide the records before it once more, and to check that.
//!
//! Text, `1;d=0123456789abcdef;r=89abcdef01234567;t=1700000000000;n=1700000000000001;c=12:5f…:9e…;o=1700000000000;e=1:9f…@0,2:c4…@120;b=2:40@1700000000000`: a version, then named values. Unknown names are
//! ignored, so a later version may add.

use crate::engine::Link;

/// By what an offset is known again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// The engine's digest of everything up to the offset.
    pub(crate) digest: Option<u64>,
    /// The fingerprint of the record before the offset: see [`crate::runtime::port::Input::fingerprint`].
    pub(crate) record: Option<u64>,
    /// The largest event time up to the offset, or somewhat later, in ms since 1970: where records are gone, this is how young
    /// they may be.
    pub(crate) event_time_ms: Option<i64>,
    /// Where the audit chain of the partition stands; none before its first record.
    pub(crate) chain: Option<Link>,
    /// The largest number so far in the order of decisions: whoever goes on numbers its records behind it, whatever its clock
    /// says.
    pub(crate) number: Option<u64>,
}

/// The parts of a note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The engine and the log at the offset.
    pub(crate) mark: Mark,
    /// From when on outputs of records behind the offset may have been written, in ms since 1970 by the clock of whoever
    /// commits; none where outputs and offsets become visible together.
    pub(crate) outputs_since_ms: Option<i64>,
    /// The latest epochs, oldest first.
    pub(crate) epochs: Vec<Entry>,
}

/// From which offset of the partition on an epoch's rule set decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Number of the epoch, from 1.
    pub(crate) number: u64,
    /// Identity of rule set and settings.
    pub(crate) ruleset: String,
    /// The first offset that it decides.
    pub(crate) from: i64,
    /// What was read again for it first, if anything was.
    pub(crate) fill: Option<Refill>,
}

/// From where on a partition was read again before an epoch began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refill {
    /// The first offset.
    pub(crate) start: i64,
    /// Event time from which on the windows know all, in ms since 1970.
    pub(crate) since_ms: i64,
}

impl Note {
    /// As it is written.
    pub(crate) fn text(&self) -> String {
        let mut text = "1".to_owned();
        for (name, value) in [("d", self.mark.digest), ("r", self.mark.record)] {
            if let Some(value) = value {
                text.push_str(&format!(";{name}={value:016x}"));
            }
        }
        if let Some(time_ms) = self.mark.event_time_ms {
            text.push_str(&format!(";t={time_ms}"));
        }
        if let Some(number) = self.mark.number {
            text.push_str(&format!(";n={number}"));
        }
        if let Some(chain) = self.mark.chain {
            text.push_str(&format!(";c={}", chain.text()));
        }
        if let Some(since_ms) = self.outputs_since_ms {
            text.push_str(&format!(";o={since_ms}"));
        }
        for (index, Entry { number, ruleset, from, .. }) in self.epochs.iter().enumerate() {
            let before = if index == 0 { ";e=" } else { "," };
            text.push_str(&format!("{before}{number}:{ruleset}@{from}"));
        }
        let fills = self.epochs.iter().filter_map(|entry| Some((entry.number, entry.fill?)));
        for (index, (number, Refill { start, since_ms })) in fills.enumerate() {
            let before = if index == 0 { ";b=" } else { "," };
            text.push_str(&format!("{before}{number}:{start}@{since_ms}"));
        }
        text
    }

    /// Reads a note. What somebody else wrote gives an empty one.
    pub(crate) fn parse(text: &str) -> Self {
        let mut note = Self::default();
        let mut parts = text.split(';');
        if parts.next() != Some("1") {
            return note;
        }
        for part in parts {
            match part.split_once('=') {
                Some(("d", value)) => note.mark.digest = u64::from_str_radix(value, 16).ok(),
                Some(("r", value)) => note.mark.record = u64::from_str_radix(value, 16).ok(),
                Some(("t", value)) => note.mark.event_time_ms = value.parse().ok(),
                Some(("n", value)) => note.mark.number = value.parse().ok(),
                Some(("c", value)) => note.mark.chain = Link::parse(value),
                Some(("o", value)) => note.outputs_since_ms = value.parse().ok(),
                Some(("e", value)) => note.epochs = value.split(',').filter_map(entry).collect(),
                Some(("b", value)) => {
                    for (number, fill) in value.split(',').filter_map(refill) {
                        let epoch = note.epochs.iter_mut().find(|entry| entry.number == number);
                        if let Some(epoch) = epoch {
                            epoch.fill = Some(fill);
                        }
                    }
                }
                _ => {}
            }
        }
        note
    }
}

fn entry(text: &str) -> Option<Entry> {
    let (number, rest) = text.split_once(':')?;
    let (ruleset, from) = rest.split_once('@')?;
    let (number, from) = (number.parse().ok()?, from.parse().ok()?);
    Some(Entry { number, ruleset: ruleset.to_owned(), from, fill: None })
}

fn refill(text: &str) -> Option<(u64, Refill)> {
    let (number, rest) = text.split_once(':')?;
    let (start, since_ms) = rest.split_once('@')?;
    let fill = Refill { start: start.parse().ok()?, since_ms: since_ms.parse().ok()? };
    Some((number.parse().ok()?, fill))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_a_strangers_note_is_empty() {
        let entry = |number, ruleset: &str, from| Entry {
            number,
            ruleset: ruleset.to_owned(),
            from,
            fill: None,
        };
        let epochs = vec![entry(1, "9f", 0), entry(2, "c4", 120)];
        let mark = Mark { digest: Some(0xab), ..Mark::default() };
        let mut note = Note { mark, epochs, ..Note::default() };
        assert_eq!(note.text(), "1;d=00000000000000ab;e=1:9f@0,2:c4@120");
        assert_eq!(Note::parse(&note.text()), note);
        (note.mark.record, note.mark.event_time_ms) = (Some(0xcd), Some(-5));
        (note.mark.number, note.outputs_since_ms) = (Some(8), Some(7));
        let chain = format!("12:{}:", "5f".repeat(32));
        note.mark.chain = Link::parse(&chain);
        note.epochs[1].fill = Some(Refill { start: 40, since_ms: i64::MIN });
        assert_eq!(
            note.text(),
            format!(
                "1;d=00000000000000ab;r=00000000000000cd;t=-5;n=8;c={chain};o=7;e=1:9f@0,2:c4@120;b=2:40@-9223372036854775808"
            )
        );
        assert_eq!(Note::parse(&note.text()), note);
        let digest = Note { mark, ..Note::default() };
        assert_eq!(Note::parse("1;x=9;d=ab"), digest);
        for other in ["", "2;d=ab", "checked by hand", "1;d=zz", "1;e=1:9f,@3"] {
            assert_eq!(Note::parse(other), Note::default(), "{other}");
        }
    }
}
