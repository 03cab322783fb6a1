//! What is written down beside a committed offset: enough to check a recovery.
//!
//! Text, `1;d=0123456789abcdef`: a version, then named values. Unknown names are ignored, so a later version may add.

/// The parts of a note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// The engine's digest of the partition up to the offset.
    pub(crate) digest: Option<u64>,
}

impl Note {
    /// As it is written.
    pub(crate) fn text(self) -> String {
        let mut text = "1".to_owned();
        if let Some(digest) = self.digest {
            text.push_str(&format!(";d={digest:016x}"));
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
            if let Some(("d", value)) = part.split_once('=') {
                note.digest = u64::from_str_radix(value, 16).ok();
            }
        }
        note
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_a_strangers_note_is_empty() {
        let note = Note { digest: Some(0xab) };
        assert_eq!(note.text(), "1;d=00000000000000ab");
        assert_eq!(Note::parse(&note.text()), note);
        assert_eq!(Note::parse("1;x=9;d=ab"), note);
        for other in ["", "2;d=ab", "checked by hand", "1;d=zz"] {
            assert_eq!(Note::parse(other), Note::default(), "{other}");
        }
    }
}
