//! After a mistake: what was found, what may have been meant, and where reading goes on.
//!
//! Only here do line beginnings count: a word that would begin a clause is believed when its next word fits, an item
//! when it stands first on its line.

use crate::diag::{Span, suggest};
use crate::rules::syntax::parser::Parser;
use crate::rules::syntax::phrases;
use crate::rules::syntax::token::{Sign, Token, TokenKind};
use crate::rules::syntax::words;

/// A help text and maybe a replacement.
type Hint = (String, Option<(Span, String)>);

impl Parser<'_> {
    /// Describes the next token for a message.
    pub(super) fn found(&self) -> String {
        let token = self.token_at(0);
        let written = self.written(token);
        match &token.kind {
            TokenKind::End => self.end.to_owned(),
            TokenKind::Text(_) => "a text".to_owned(),
            TokenKind::Number(_) => format!("the number `{written}`"),
            TokenKind::Percent(_) => format!("the percentage `{written}`"),
            TokenKind::Money(..) => format!("the amount `{written}`"),
            TokenKind::Duration(_) => format!("the duration `{written}`"),
            TokenKind::Distance(_) => format!("the distance `{written}`"),
            TokenKind::Speed(_) => format!("the speed `{written}`"),
            TokenKind::Date(..) => format!("the date `{written}`"),
            TokenKind::Size(_) => format!("the size `{written}`"),
            TokenKind::Word | TokenKind::Meant(_) | TokenKind::Sign(_) | TokenKind::Bad => {
                format!("`{written}`")
            }
        }
    }

    /// The token as written, cut when it is long.
    fn written(&self, token: &Token) -> String {
        let range = token.span.start as usize..token.span.end as usize;
        let written = self.text.get(range).unwrap_or_default();
        let short: String = written.chars().take(40).collect();
        if short.len() < written.len() { format!("{short}…") } else { short }
    }

    /// Where a mistake at the next token is shown: the end of the file has no words, so it is shown behind the last.
    pub(super) fn report_span(&self) -> Span {
        match (self.kind(), self.at.checked_sub(1)) {
            (TokenKind::End, Some(last)) => {
                let span = self.tokens[last].span;
                Span { start: span.end, ..span }
            }
            _ => self.here(),
        }
    }

    /// Where something is missing: behind the last token when the next one stands on another line, for then it is not
    /// to blame. With the words for a message: "after …" or "found …".
    pub(super) fn gap(&self) -> (Span, String) {
        let next_line = self.token_at(0).first_on_line || self.at_end();
        match self.at.checked_sub(1).and_then(|last| self.tokens.get(last)) {
            Some(last) if next_line => {
                let behind = Span { start: last.span.end, ..last.span };
                (behind, format!(" after `{}`", self.written(last)))
            }
            _ => (self.report_span(), format!(", found {}", self.found())),
        }
    }

    /// What may have been meant by the next token, whatever was expected.
    pub(super) fn hint(&self) -> Option<Hint> {
        if let Some(meant) = self.thousands().or_else(|| self.decimal_comma()) {
            return Some(meant);
        }
        let word = self.word()?;
        let span = self.here();
        let lower = word.to_ascii_lowercase();
        let replace = |help: &str, with: &str| {
            Some((format!("{help}: `{with}`"), Some((span, with.to_owned()))))
        };
        if lower != word && words::is_known(&lower) {
            return replace("words of the language are written in lower case", &lower);
        }
        let after_number = self.before().is_some_and(|kind| matches!(kind, TokenKind::Number(_)));
        if after_number && word.len() == 3 && !words::is_known(word) {
            let upper = word.to_ascii_uppercase();
            return replace("currencies are written in upper case", &upper);
        }
        None
    }

    /// Thousands that a comma or a space separates: `1,000 EUR`, `1 000 000`.
    fn thousands(&self) -> Option<Hint> {
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let before = self.tokens.get(self.at.checked_sub(1)?)?;
        let first = self.text_at(before.span);
        if !is_digits(first) || first.is_empty() || first.len() > 3 {
            return None;
        }
        let (mut written, mut at, mut last) = (first.to_owned(), 0, before.span);
        loop {
            let group = at + usize::from(*self.kind_ahead(at) == TokenKind::Sign(Sign::Comma));
            let token = self.token_at(group);
            let is_number = matches!(token.kind, TokenKind::Number(_) | TokenKind::Money(..));
            let text = self.text_at(token.span);
            let fits = text.get(..3).is_some_and(is_digits)
                && !text.get(3..4).is_some_and(|next| is_digits(next) || next == "_");
            if !is_number || !fits {
                break;
            }
            written = format!("{written}_{text}");
            (at, last) = (group + 1, token.span);
        }
        let help = || format!("thousands are written with `_` or without a sign: `{written}`");
        (at > 0).then(|| (help(), Some((before.span.to(last), written.clone()))))
    }

    /// Decimals behind a comma, maybe with thousands behind points: `12,50 EUR`, `1.500,00 EUR`.
    fn decimal_comma(&self) -> Option<Hint> {
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !self.at_sign(Sign::Comma) {
            return None;
        }
        let before = self.tokens.get(self.at.checked_sub(1)?)?;
        let behind = self.token_at(1);
        let (whole, decimals) = (self.text_at(before.span), self.text_at(behind.span));
        let n_digits = decimals.bytes().take_while(u8::is_ascii_digit).count();
        let fits = matches!(before.kind, TokenKind::Number(_))
            && matches!(behind.kind, TokenKind::Number(_) | TokenKind::Money(..))
            && is_digits(&whole.replace('.', ""))
            && (1..=2).contains(&n_digits)
            && decimals.get(n_digits..=n_digits).is_none_or(|next| next == " ");
        let meant = format!("{}.{decimals}", whole.replace('.', "_"));
        let help = format!("decimals stand behind a point: `{meant}`");
        fits.then(|| (help, Some((before.span.to(behind.span), meant))))
    }

    /// How it is written what people may mean by the next word, where an expression has ended and goes on for them.
    pub(super) fn phrase(&self) -> Option<Hint> {
        let word = self.word()?;
        let part = matches!(self.before(), Some(TokenKind::Percent(_))) && self.opens(1);
        let help = if part {
            Some("a part of something is written `30% of` it")
        } else {
            phrases::help(word)
        };
        help.map(|help| (help.to_owned(), None))
    }

    /// What was begun and cannot go on so, by the last word and what follows it.
    pub(super) fn unfinished(&self) -> Option<Hint> {
        let told = |help: String| Some((help, None));
        if let Some(word) = self.word()
            && words::MODES.contains(&word)
        {
            let written = format!("mode {word}");
            return Some((format!("write `{written}`"), Some((self.here(), written))));
        }
        let last = self.tokens.get(self.at.checked_sub(1)?)?;
        let before = self.text_at(last.span);
        if let (TokenKind::Duration(first), TokenKind::Duration(second)) = (&last.kind, self.kind())
        {
            let whole = in_one_unit(first.checked_add(*second)?)?;
            return told(format!("a length is one number with its unit: `{whole}`"));
        }
        if last.kind != TokenKind::Word {
            return None;
        }
        match before {
            "sequence" => told(
                "keys and time come first: `sequence by customer within 1h [ login, this ]`"
                    .to_owned(),
            ),
            _ if self.at_sign(Sign::LeftBracket) => told(format!(
                "square brackets are for sets; what a list gives is asked with round ones: `{before}(…)`"
            )),
            _ if words::AGGREGATES.contains(&before) && self.word().is_some() => told(format!(
                "what is looked at stands in brackets: `{before}(transfer…) by sender over last 24h`; different values are counted by `distinct(transfer.receiver)`"
            )),
            _ => None,
        }
    }

    /// The last token that was read.
    fn before(&self) -> Option<&TokenKind> {
        let last = self.at.checked_sub(1).and_then(|last| self.tokens.get(last));
        last.map(|token| &token.kind)
    }

    /// "Did you mean" out of some words, for the word at hand.
    pub(super) fn did_you_mean(&self, known: &[&[&'static str]]) -> Option<Hint> {
        let word = self.word()?;
        let known = known.iter().flat_map(|class| class.iter().copied());
        let nearest = suggest::nearest(word, known)?;
        Some((format!("did you mean `{nearest}`?"), Some((self.here(), nearest.to_owned()))))
    }

    /// Skips until the condition holds. A failed attempt began at `from`: when it read nothing, at least one token
    /// is skipped, so that reading always goes forward.
    fn skip_until(&mut self, from: usize, stop: impl Fn(&Self) -> bool) {
        if self.at == from {
            self.bump();
        }
        while !self.at_end() && !stop(self) {
            self.bump();
        }
    }

    /// Skips to the next clause of this rule, or item.
    pub(super) fn skip_to_clause(&mut self, from: usize) {
        self.skip_until(from, |p| p.begins_clause() || p.begins_item());
    }

    /// Skips to the next action, clause or item.
    pub(super) fn skip_to_action(&mut self, from: usize) {
        self.skip_until(from, |p| p.begins_action() || p.begins_clause() || p.begins_item());
    }

    /// Skips to the next item.
    pub(super) fn skip_to_item(&mut self, from: usize) {
        self.skip_until(from, Self::begins_item);
    }

    /// Skips to the next field or clause of this event, or item.
    pub(super) fn skip_to_field(&mut self, from: usize) {
        self.skip_until(from, |p| p.begins_field() || p.begins_item());
    }

    /// Skips to a line that begins with one of these words, or to the next item.
    pub(super) fn skip_to_line(&mut self, from: usize, first_words: &[&str]) {
        self.skip_until(from, |p| {
            let first = p.token_at(0).first_on_line;
            p.begins_item() || first && p.word().is_some_and(|word| first_words.contains(&word))
        });
    }

    /// Whether an item plausibly begins here, in the midst of broken words.
    pub(super) fn begins_item(&self) -> bool {
        let Some(word) = self.word() else { return self.at_end() };
        let first = self.token_at(0).first_on_line;
        words::ITEMS.contains(&word) && first && self.word_ahead(1).is_some()
    }

    /// Whether a clause plausibly begins here, in the midst of broken words.
    pub(super) fn begins_clause(&self) -> bool {
        let Some(word) = self.word() else { return self.at_end() };
        if !words::CLAUSES.contains(&word) {
            return false;
        }
        let next = self.kind_ahead(1);
        let plain_word = self.word_ahead(1).is_some_and(|next| !words::is_reserved(next));
        match word {
            "id" | "ref" => matches!(next, TokenKind::Text(_)),
            "tags" => *next == TokenKind::Sign(Sign::LeftBracket),
            "effective" => matches!(next, TokenKind::Date(..)),
            "review" => self.word_ahead(1) == Some("by"),
            "mandatory" => self.token_at(0).first_on_line,
            "on" => self
                .word_ahead(1)
                .is_some_and(|next| !words::is_hard(next) && !words::CLAUSES.contains(&next)),
            "owner" | "severity" | "typology" | "mode" => plain_word,
            _ => true,
        }
    }

    fn begins_action(&self) -> bool {
        let word = self.word().unwrap_or_default();
        words::ACTIONS.contains(&word) && self.token_at(0).first_on_line
    }

    fn begins_field(&self) -> bool {
        let role = self.word().is_some_and(|word| words::FIELD_ROLES.contains(&word));
        let separator = matches!(self.kind_ahead(2), TokenKind::Sign(Sign::Colon | Sign::Dot));
        role && self.word_ahead(1).is_some() && separator
            || ["labels", "answers", "hold"].iter().any(|word| self.at_word(word))
                && self.token_at(0).first_on_line
    }
}

/// A duration in ns by the largest unit that divides it.
fn in_one_unit(nanos: i64) -> Option<String> {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let ms = nanos.checked_div(1_000_000).filter(|ms| *ms > 0)?;
    let (size, unit) = units.iter().find(|(size, _)| ms % size == 0)?;
    Some(format!("{}{unit}", ms / size))
}
