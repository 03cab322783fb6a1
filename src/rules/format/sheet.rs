//! The words of a file with what stands between them: comments and blank lines.

use std::borrow::Cow;

use crate::diag::Span;
use crate::rules::syntax::lexer::Lexed;
use crate::rules::syntax::token::{Sign, TokenKind};

/// A comment on a line of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OwnLine<'a> {
    /// The comment with its `#`.
    pub(super) text: &'a str,
    /// Whether a blank line stands above it.
    pub(super) blank_above: bool,
    /// Whether it is written away from the left edge: it belongs to what stands above.
    pub(super) indented: bool,
}

/// One token, and what stands around it.
#[derive(Clone, Debug)]
pub(super) struct Word<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) kind: &'a TokenKind,
    /// Comments on lines of their own above it.
    pub(super) above: Vec<OwnLine<'a>>,
    /// Whether a blank line stands directly above it (below its comments).
    pub(super) blank_above: bool,
    /// The comment behind it on its line.
    pub(super) behind: Option<&'a str>,
    start: u32,
}

impl Word<'_> {
    pub(super) fn width(&self) -> usize {
        self.text.chars().count()
    }

    pub(super) fn is_sign(&self, sign: Sign) -> bool {
        *self.kind == TokenKind::Sign(sign)
    }

    /// Whether the token is this word of the language.
    pub(super) fn is_word(&self, word: &str) -> bool {
        *self.kind == TokenKind::Word && self.text == word
    }
}

/// All words of a file; the last one is its end.
#[derive(Clone, Debug)]
pub(super) struct Sheet<'a> {
    pub(super) words: Vec<Word<'a>>,
}

impl<'a> Sheet<'a> {
    pub(super) fn new(text: &'a str, lexed: &'a Lexed) -> Self {
        let slice = |span: Span| text.get(span.start as usize..span.end as usize).unwrap_or("");
        let mut comments = lexed.comments.iter().peekable();
        let mut words: Vec<Word<'a>> = Vec::with_capacity(lexed.tokens.len());
        let mut at = 0_u32;
        for token in &lexed.tokens {
            let mut above = Vec::new();
            while let Some(comment) = comments.next_if(|c| c.span.start < token.span.start) {
                let gap = between(text, at, comment.span.start);
                let written = slice(comment.span);
                match words.last_mut() {
                    Some(last) if above.is_empty() && !gap.contains('\n') => {
                        last.behind = Some(written);
                    }
                    _ => above.push(OwnLine {
                        text: written,
                        blank_above: is_blank(gap),
                        indented: !gap.is_empty() && !gap.ends_with(['\n', '\u{feff}']),
                    }),
                }
                at = comment.span.end;
            }
            let blank_above = is_blank(between(text, at, token.span.start));
            let written = one_spaced(slice(token.span), &token.kind);
            let (kind, start) = (&token.kind, token.span.start);
            words.push(Word { text: written, kind, above, blank_above, behind: None, start });
            at = token.span.end;
        }
        Self { words }
    }

    /// The token that begins at, or first after, a place.
    pub(super) fn at(&self, offset: u32) -> usize {
        self.words.partition_point(|word| word.start < offset)
    }

    /// The first token behind a place: behind the last token of a span by its end.
    pub(super) fn behind(&self, span: Span) -> usize {
        self.at(span.end)
    }

    pub(super) fn is_sign(&self, at: usize, sign: Sign) -> bool {
        self.words.get(at).is_some_and(|word| word.is_sign(sign))
    }
}

fn between(text: &str, from: u32, to: u32) -> &str {
    text.get(from as usize..to as usize).unwrap_or_default()
}

fn is_blank(gap: &str) -> bool {
    gap.bytes().filter(|byte| *byte == b'\n').count() > 1
}

/// A number and its unit with one space between them; everything else as it is.
fn one_spaced<'a>(written: &'a str, kind: &TokenKind) -> Cow<'a, str> {
    let measured =
        matches!(kind, TokenKind::Money(..) | TokenKind::Distance(_) | TokenKind::Speed(_));
    if !measured {
        return Cow::Borrowed(written);
    }
    let parts: Vec<&str> = written.split_whitespace().collect();
    Cow::Owned(parts.join(" "))
}
