//! Names, paths and texts. Which words may be a name where: see [`words`].

use crate::diag::{Diagnostic, Span, codes};
use crate::rules::syntax::ast::{Name, Path, Text};
use crate::rules::syntax::parser::Parser;
use crate::rules::syntax::token::{Sign, TokenKind};
use crate::rules::syntax::words;

impl Parser<'_> {
    /// Takes the word at hand as a name, whatever it is.
    pub(super) fn take_name(&mut self) -> Option<Name> {
        let text = self.word()?.to_owned();
        Some(Name { text, span: self.bump() })
    }

    /// A name that is given here: no reserved word.
    pub(super) fn new_name(&mut self, what: &str) -> Option<Name> {
        self.given_name(what, words::is_reserved)
    }

    /// The name of an event, a field or a member of a set: any word but the hard ones.
    pub(super) fn new_data_name(&mut self, what: &str) -> Option<Name> {
        self.given_name(what, words::is_hard)
    }

    fn given_name(&mut self, what: &str, refused: fn(&str) -> bool) -> Option<Name> {
        let Some(word) = self.word() else { return self.unexpected(what) };
        if refused(word) {
            let named = matches!(self.kind_ahead(1), TokenKind::Sign(Sign::Eq | Sign::Colon));
            if !named && (self.begins_clause() || self.begins_item()) {
                return self.unexpected(what);
            }
            let message = format!("`{word}` is a word of the language and cannot be {what}");
            let diagnostic = Diagnostic::new(codes::E0011, self.here(), message)
                .with_help(format!("choose another name, for example `my_{word}`"));
            self.report(diagnostic);
        }
        self.take_name()
    }

    /// A name that is used here and was given, or is free, elsewhere: no reserved word.
    pub(super) fn name(&mut self, what: &str) -> Option<Name> {
        match self.word() {
            Some(word) if !words::is_reserved(word) => self.take_name(),
            _ => self.unexpected(what),
        }
    }

    /// The name of an event, a field or a member of a set that is used here: any word but the hard ones.
    pub(super) fn data_name(&mut self, what: &str) -> Option<Name> {
        match self.word() {
            Some(word) if !words::is_hard(word) => self.take_name(),
            _ => self.unexpected(what),
        }
    }

    /// `name {. name}`, maybe beginning with `this.`.
    pub(super) fn path(&mut self, what: &str) -> Option<Path> {
        if self.at_word("this") {
            return self.this_path();
        }
        let head = self.data_name(what)?;
        self.rest_of_path(head)
    }

    /// `this.name {. name}`.
    pub(super) fn this_path(&mut self) -> Option<Path> {
        let start = self.here();
        self.expect_word("this", "for the present event")?;
        if !self.at_sign(Sign::Dot) {
            return self.unexpected("`.` and a field after `this`");
        }
        let mut parts = Vec::new();
        self.more_parts(&mut parts)?;
        Some(Path { this: true, parts, span: self.since(start) })
    }

    /// The parts behind a head that has been read.
    pub(super) fn rest_of_path(&mut self, head: Name) -> Option<Path> {
        let start = head.span;
        let mut parts = vec![head];
        self.more_parts(&mut parts)?;
        Some(Path { this: false, parts, span: self.since(start) })
    }

    /// After a dot every word is a name.
    fn more_parts(&mut self, parts: &mut Vec<Name>) -> Option<()> {
        while self.eat_sign(Sign::Dot) {
            match self.take_name() {
                Some(part) => parts.push(part),
                None => return self.unexpected("a name after `.`"),
            }
        }
        Some(())
    }

    /// A quoted text.
    pub(super) fn text_of(&mut self, what: &str) -> Option<Text> {
        if matches!(self.kind(), TokenKind::Text(_)) {
            return self.optional_text();
        }
        let whole = self.whole_word();
        let written = self.text_at(whole);
        if *self.kind() != TokenKind::Word || written.contains('"') {
            return self.unexpected(&format!("{what} in double quotes"));
        }
        let quoted = format!("\"{written}\"");
        let message = format!("expected {what} in double quotes, found {}", self.found());
        self.report(
            Diagnostic::new(codes::E0010, whole, message)
                .with_help(format!("write `{quoted}`"))
                .with_fix(whole, quoted),
        );
        None
    }

    /// The next word with everything that stands close behind it, as `R-1`.
    fn whole_word(&self) -> Span {
        let mut whole = self.here();
        for ahead in 1.. {
            let next = self.token_at(ahead);
            if next.span.start != whole.end || next.kind == TokenKind::End {
                break;
            }
            whole.end = next.span.end;
        }
        whole
    }

    /// A quoted text if one stands here.
    pub(super) fn optional_text(&mut self) -> Option<Text> {
        let TokenKind::Text(text) = self.kind() else { return None };
        let text = text.clone();
        Some(Text { text, span: self.bump() })
    }

    /// A currency: three upper-case letters.
    pub(super) fn currency(&mut self) -> Option<Name> {
        match self.word() {
            Some(word) if word.len() == 3 && word.bytes().all(|b| b.is_ascii_uppercase()) => {
                self.take_name()
            }
            Some(word) if word.len() == 3 && !words::is_known(word) => {
                let upper = word.to_ascii_uppercase();
                let span = self.here();
                self.replace_hint(&upper, span)
            }
            _ => self.unexpected("a currency such as `EUR`"),
        }
    }

    fn replace_hint<T>(&mut self, upper: &str, span: Span) -> Option<T> {
        let message = format!("expected a currency such as `EUR`, found {}", self.found());
        let diagnostic = Diagnostic::new(codes::E0010, span, message)
            .with_help(format!("currencies are written in upper case: `{upper}`"))
            .with_fix(span, upper);
        self.report(diagnostic);
        None
    }
}
