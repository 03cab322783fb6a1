//! What stands for the parameters of a template of which a `use` made a rule.

use crate::diag::Span;

/// Words of a template for which others stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Where the words have this meaning.
    pub template: Span,
    /// A parameter, and what the author of the `use` wrote.
    pub words: Vec<(String, String)>,
}

impl Filled {
    /// The template's words with what stands for its parameters; quoted texts stay as they are.
    pub fn write_out(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let (mut rest, mut quoted) = (text, false);
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (taken, after) = rest.split_at(if word == 0 { first.len_utf8() } else { word });
            let known = self.words.iter().find(|(name, _)| !quoted && name == taken);
            out.push_str(known.map_or(taken, |(_, argument)| argument));
            quoted ^= first == '"';
            rest = after;
        }
        out
    }
}
