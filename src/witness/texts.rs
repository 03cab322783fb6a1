//! Texts worth trying: what the conditions on a field ask, put together: beginnings, parts, texts that fit a pattern, padded to
//! the lengths that are asked for, in capitals, and nearly the same.

use regex_syntax::hir::{Class, Hir, HirKind};

/// Most texts of one field.
const MAX_TEXTS: usize = 32;

/// Longest text that is made.
const MAX_CHARS: usize = 400;

/// What the conditions on one field of texts ask.
#[derive(Clone, Debug, Default)]
pub(super) struct Pieces {
    /// What it begins with.
    pub(super) begins: Vec<String>,
    /// What it holds, or is.
    pub(super) holds: Vec<String>,
    /// Patterns that it fits.
    pub(super) patterns: Vec<String>,
    /// How many characters it has, more or less.
    pub(super) lengths: Vec<usize>,
}

impl Pieces {
    /// Texts that are put together of them.
    pub(super) fn texts(&self) -> Vec<String> {
        let samples: Vec<String> = self.patterns.iter().filter_map(|text| sample(text)).collect();
        let mut made: Vec<String> = Vec::new();
        let rest: Vec<&str> = self.holds.iter().chain(&samples).map(String::as_str).collect();
        let all = rest.join(" ");
        for begin in &self.begins {
            made.push(format!("{begin} {all}").trim_end().to_owned());
            made.extend(rest.iter().map(|part| format!("{begin}{part}")));
        }
        made.push(all);
        made.extend(samples.iter().cloned());
        made.extend(self.holds.iter().cloned());
        for text in self.holds.iter().chain(&self.begins).take(4) {
            made.extend([text.to_uppercase(), nearly(text), format!("{text}s")]);
        }
        for chars in
            self.lengths.iter().flat_map(|length| [*length, length + 1, length.saturating_sub(1)])
        {
            let fits: Vec<String> =
                made.iter().take(4).filter_map(|text| padded(text, chars)).collect();
            made.extend(fits);
            made.extend(padded("", chars));
        }
        let mut texts: Vec<String> = Vec::new();
        for text in made {
            if !text.is_empty() && !texts.contains(&text) && texts.len() < MAX_TEXTS {
                texts.push(text);
            }
        }
        texts
    }
}

/// The text with another first letter.
fn nearly(text: &str) -> String {
    let mut letters = text.chars();
    let first = if letters.next() == Some('x') { 'y' } else { 'x' };
    core::iter::once(first).chain(letters).collect()
}

/// The text with so many characters, where it is not longer.
fn padded(text: &str, chars: usize) -> Option<String> {
    let more = chars.checked_sub(text.chars().count()).filter(|_| chars <= MAX_CHARS)?;
    Some(format!("{text}{}", "y".repeat(more)))
}

/// A short text that a pattern may fit: what must stand around it is not looked at.
fn sample(pattern: &str) -> Option<String> {
    let mut text = String::new();
    write(&regex_syntax::Parser::new().parse(pattern).ok()?, &mut text)?;
    Some(text)
}

/// Adds what fits a part of a pattern. The depth is bounded by the parser.
fn write(part: &Hir, text: &mut String) -> Option<()> {
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => text.push_str(core::str::from_utf8(&literal.0).ok()?),
        HirKind::Class(Class::Unicode(class)) => {
            let plain = class.iter().find(|range| range.start().is_ascii_alphanumeric());
            let letter = plain.or_else(|| class.iter().next())?.start();
            // Of what is left out of a class the first may be a sign that no text has.
            text.push(if letter < ' ' { 'k' } else { letter });
        }
        HirKind::Class(Class::Bytes(_)) => return None,
        HirKind::Repetition(repetition) => {
            for _ in 0..repetition.min {
                write(&repetition.sub, text)?;
                if text.len() > MAX_CHARS {
                    return None;
                }
            }
        }
        HirKind::Capture(capture) => write(&capture.sub, text)?,
        HirKind::Concat(list) => list.iter().try_for_each(|part| write(part, text))?,
        HirKind::Alternation(list) => write(list.first()?, text)?,
    }
    (text.len() <= MAX_CHARS).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_fits_its_pattern() {
        let patterns = [
            "^[A-Z]{2}[0-9]{4}$",
            "a.*b.*c",
            "gift|rent",
            "(?i)bitcoin",
            "^IBAN (DE|AT)\\d{2}",
            "[^a]b",
            "\\bcrypto\\b",
            "x{3,}",
        ];
        for pattern in patterns {
            let text = sample(pattern).unwrap();
            assert!(regex::Regex::new(pattern).unwrap().is_match(&text), "{pattern}: {text:?}");
        }
        assert_eq!(sample("(x{100}){100}"), None, "it would be too long");
    }

    #[test]
    fn pieces_are_put_together_and_made_as_long_as_is_asked() {
        let pieces = Pieces {
            begins: vec!["inv".to_owned()],
            holds: vec!["2026".to_owned()],
            patterns: vec!["[0-9]{2}$".to_owned()],
            lengths: vec![20],
        };
        let texts = pieces.texts();
        let fits = |text: &&String| {
            text.starts_with("inv") && text.contains("2026") && text.chars().count() == 21
        };
        assert!(texts.iter().any(|text| fits(&text)), "{texts:?}");
        assert!(texts.contains(&"inv 2026 00".to_owned()), "{texts:?}");
        assert!(texts.len() <= MAX_TEXTS);
    }
}
