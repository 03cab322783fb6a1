//! Where the cursor stands, read off the tokens before it.

use crate::diag::FileId;
use crate::rules::syntax::lexer::lex;
use crate::rules::syntax::token::{Sign, Token, TokenKind};
use crate::rules::syntax::words;

/// The item that the cursor is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Outside of any.
    None,
    /// A rule, a template or a use.
    Rule,
    Event,
    Test,
    Policy,
    Entity,
    Feature,
    List,
    Model,
    Snooze,
}

impl Section {
    fn of(word: &str) -> Self {
        match word {
            "rule" | "template" | "use" => Self::Rule,
            "event" => Self::Event,
            "test" => Self::Test,
            "policy" => Self::Policy,
            "entity" => Self::Entity,
            "feature" => Self::Feature,
            "list" => Self::List,
            "model" => Self::Model,
            "snooze" => Self::Snooze,
            _ => Self::None,
        }
    }
}

/// A call that is open around the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call<'t> {
    /// Before the bracket.
    pub(super) word: &'t str,
    /// The first name in it.
    pub(super) event: Option<&'t str>,
    /// Nothing but a number and a comma stands before the cursor in it.
    pub(super) at_event: bool,
}

/// A place in the midst of a file.
#[derive(Debug)]
pub(super) struct Place<'t> {
    pub(super) section: Section,
    /// The word that began the clause, or the part of a test.
    pub(super) clause: Option<&'t str>,
    /// The word that is being written is the first of its line.
    pub(super) on_new_line: bool,
    /// Open brackets of the item.
    pub(super) depth: usize,
    /// In the braces of a message.
    pub(super) in_text: bool,
    /// The tokens of the item before the word that is being written, and after that word those of the item.
    tokens: Vec<(TokenKind, &'t str)>,
    /// Those of the whole item, for its names.
    item: Vec<(TokenKind, &'t str)>,
    /// Where the clause begins in `tokens`.
    clause_at: usize,
    /// Open brackets: where each stands in `tokens`.
    open: Vec<usize>,
}

impl<'t> Place<'t> {
    /// The place at a byte; `None`: in a comment or in a text, where nothing is offered.
    pub(super) fn of(text: &'t str, file: FileId, offset: u32) -> Option<Self> {
        let lexed = lex(file, text);
        let commented =
            |at: u32| lexed.comments.iter().any(|c| c.span.start < at && at <= c.span.end);
        if commented(offset) {
            return None;
        }
        let is_open = |token: &Token| {
            let written = text.get(token.span.start as usize..token.span.end as usize);
            written.is_some_and(|written| written.len() == 1 || !written.ends_with('"'))
        };
        let quoted = lexed.tokens.iter().find(|token| {
            let before = offset < token.span.end || offset == token.span.end && is_open(token);
            let text = matches!(token.kind, TokenKind::Text(_));
            text && token.span.start < offset && before
        });
        let in_text = quoted.is_some();
        if let Some(token) = quoted {
            let written = text.get(token.span.start as usize..offset as usize)?;
            let opened = written.rfind('{')?;
            written.get(opened..).filter(|rest| !rest.contains('}'))?;
        }
        // The word that ends here is being written.
        let known = |token: &&Token| {
            let is_quoted = quoted.is_some_and(|quoted| quoted.span == token.span);
            token.kind != TokenKind::End && token.span.end <= offset && !is_quoted
        };
        let before: Vec<&Token> = lexed.tokens.iter().filter(known).collect();
        let is_written =
            |token: &&&Token| token.span.end == offset && matches!(token.kind, TokenKind::Word);
        let written = before.last().filter(is_written).map(|token| token.span.start);
        let kept = before.len() - usize::from(written.is_some());
        let before = before.get(..kept).unwrap_or_default();
        let begin = written.unwrap_or(offset) as usize;
        let head = text.get(..begin)?;
        let line = head.rfind('\n').map_or(0, |at| at + 1);
        let on_new_line = head.get(line..)?.trim().is_empty();
        let word_of = |token: &Token| text.get(token.span.start as usize..token.span.end as usize);
        let begins_item = |token: &Token| {
            token.first_on_line
                && token.kind == TokenKind::Word
                && word_of(token).is_some_and(|word| words::ITEMS.contains(&word))
        };
        let start = before.iter().rposition(|token| begins_item(token));
        let pair = |token: &Token| (token.kind.clone(), word_of(token).unwrap_or_default());
        let own = start.map_or(&[][..], |start| before.get(start..).unwrap_or_default());
        let tokens: Vec<(TokenKind, &str)> = own.iter().map(|token| pair(token)).collect();
        let from = own.first().map_or(0, |token| token.span.start);
        let behind = lexed.tokens.iter().skip_while(|token| token.span.start < from);
        let item =
            behind.enumerate().take_while(|(index, token)| *index == 0 || !begins_item(token));
        let item = item.map(|(_, token)| pair(token)).collect();
        let section = tokens.first().map_or(Section::None, |(_, word)| Section::of(word));
        let mut place = Self {
            section,
            clause: None,
            on_new_line,
            depth: 0,
            in_text,
            tokens,
            item: if start.is_some() { item } else { Vec::new() },
            clause_at: 0,
            open: Vec::new(),
        };
        place.read();
        Some(place)
    }

    /// Finds the clause and the open brackets.
    fn read(&mut self) {
        let parts: &[&str] = match self.section {
            Section::Rule => words::CLAUSES,
            Section::Test => &["given", "when", "expect"],
            Section::Policy => words::POLICY_CLAUSES,
            Section::Model => words::MODEL_CLAUSES,
            Section::Event => &["id", "time", "key", "field", "labels", "answers", "hold"],
            _ => &[],
        };
        for (at, (kind, word)) in self.tokens.iter().enumerate() {
            match kind {
                TokenKind::Sign(Sign::LeftParen | Sign::LeftBracket) => self.open.push(at),
                TokenKind::Sign(Sign::RightParen | Sign::RightBracket) => drop(self.open.pop()),
                TokenKind::Word if self.open.is_empty() && at > 0 => {
                    let before = self.tokens.get(at - 1).map(|(_, word)| *word);
                    let names = matches!(
                        before,
                        Some("." | "test" | "rule" | "undecided" | "let" | "param")
                    );
                    if parts.contains(word) && !names {
                        (self.clause, self.clause_at) = (Some(*word), at);
                    }
                }
                _ => {}
            }
        }
        self.depth = self.open.len();
    }

    fn ago(&self, n: usize) -> Option<&(TokenKind, &'t str)> {
        self.tokens.len().checked_sub(n + 1).and_then(|at| self.tokens.get(at))
    }

    /// The word before the one that is being written.
    pub(super) fn last_word(&self) -> Option<&'t str> {
        self.word_ago(0)
    }

    pub(super) fn word_ago(&self, n: usize) -> Option<&'t str> {
        self.ago(n).filter(|(kind, _)| *kind == TokenKind::Word).map(|(_, word)| *word)
    }

    fn after(&self, sign: Sign) -> bool {
        self.ago(0).is_some_and(|(kind, _)| *kind == TokenKind::Sign(sign))
    }

    pub(super) fn after_dot(&self) -> bool {
        self.after(Sign::Dot)
    }

    pub(super) fn after_comma(&self) -> bool {
        self.after(Sign::Comma)
    }

    pub(super) fn after_colon(&self) -> bool {
        self.after(Sign::Colon)
    }

    pub(super) fn after_arrow(&self) -> bool {
        self.after(Sign::Arrow)
    }

    pub(super) fn word_before_dot(&self) -> Option<&'t str> {
        self.word_ago(1)
    }

    /// Whether a value must come next, rather than what joins one to another.
    pub(super) fn wants_operand(&self) -> bool {
        const JOINING: [&str; 17] = [
            "and",
            "or",
            "not",
            "when",
            "unless",
            "where",
            "in",
            "between",
            "of",
            "default",
            "contains",
            "starts_with",
            "matches",
            "by",
            "over",
            "on",
            "then",
        ];
        match self.ago(0) {
            _ if self.in_text => true,
            None => true,
            Some((TokenKind::Word, word)) => JOINING.contains(word),
            Some((TokenKind::Sign(sign), _)) => {
                !matches!(sign, Sign::RightParen | Sign::RightBracket | Sign::Question)
            }
            Some(_) => false,
        }
    }

    /// Whether a word stands in the clause before the cursor.
    pub(super) fn clause_has(&self, word: &str) -> bool {
        self.tokens.iter().skip(self.clause_at).any(|(_, written)| *written == word)
    }

    /// The field that the value to come is compared with.
    pub(super) fn compared_with(&self) -> Option<&'t str> {
        let joins = |n: usize| match self.ago(n) {
            Some((TokenKind::Sign(Sign::Eq | Sign::Ne), _)) => true,
            Some((TokenKind::Word, word)) => *word == "in",
            _ => false,
        };
        if joins(0) {
            return self.word_ago(1);
        }
        // `status in [a, ...`
        let at = *self.open.last()?;
        let is_set = matches!(self.tokens.get(at)?.0, TokenKind::Sign(Sign::LeftBracket));
        let word = self.tokens.get(at.checked_sub(1)?)?.1;
        let field = self.tokens.get(at.checked_sub(2)?)?.1;
        (is_set && word == "in").then_some(field)
    }

    /// The call that is open around the cursor.
    pub(super) fn open_call(&self) -> Option<Call<'t>> {
        let at = *self.open.last()?;
        if self.tokens.get(at)?.0 != TokenKind::Sign(Sign::LeftParen) {
            return None;
        }
        let word = self.tokens.get(at.checked_sub(1)?).filter(|(kind, _)| *kind == TokenKind::Word);
        let inside = self.tokens.get(at + 1..)?;
        let event = inside.iter().find(|(kind, _)| *kind == TokenKind::Word).map(|(_, word)| *word);
        Some(Call { word: word?.1, event, at_event: event.is_none() })
    }

    pub(super) fn in_sequence(&self) -> bool {
        let bracket = self.open.iter().rev().find(|at| {
            self.tokens
                .get(**at)
                .is_some_and(|(kind, _)| *kind == TokenKind::Sign(Sign::LeftBracket))
        });
        bracket.is_some_and(|at| {
            let clause = self.tokens.get(self.clause_at..*at).unwrap_or_default();
            let begun = clause.iter().rposition(|(_, word)| *word == "sequence");
            begun.is_some_and(|begun| clause.len() - begun < 16) && !self.is_set(*at)
        })
    }

    fn is_set(&self, bracket: usize) -> bool {
        let before = bracket.checked_sub(1).and_then(|at| self.tokens.get(at));
        before.is_some_and(|(_, word)| *word == "in")
    }

    /// Whether a word stands in the step at hand.
    pub(super) fn clause_since_bracket_has(&self, word: &str) -> bool {
        let from = self.open.last().copied().unwrap_or(0);
        let step = self.tokens.iter().skip(from).rev();
        step.take_while(|(kind, _)| *kind != TokenKind::Sign(Sign::Comma))
            .any(|(_, written)| *written == word)
    }

    /// The event of the aggregate whose key comes next.
    pub(super) fn aggregated(&self) -> Option<&'t str> {
        let mut depth = 0_usize;
        let mut found = None;
        for (kind, word) in self.tokens.iter().rev().skip(1) {
            match kind {
                TokenKind::Sign(Sign::RightParen) => depth += 1,
                TokenKind::Sign(Sign::LeftParen) if depth <= 1 => return found,
                TokenKind::Sign(Sign::LeftParen) => depth -= 1,
                TokenKind::Word if depth == 1 => found = Some(*word),
                TokenKind::Word if depth == 0 => return None,
                _ => {}
            }
        }
        None
    }

    /// The field whose value comes next in an event of a test.
    pub(super) fn field_before_colon(&self) -> Option<String> {
        let mut parts = vec![self.word_ago(1)?];
        let mut n = 2;
        while self.ago(n).is_some_and(|(kind, _)| *kind == TokenKind::Sign(Sign::Dot)) {
            parts.push(self.word_ago(n + 1)?);
            n += 2;
        }
        parts.reverse();
        Some(parts.join("."))
    }

    /// The name of the item.
    pub(super) fn name(&self) -> &'t str {
        self.item.get(1).map_or("", |(_, word)| *word)
    }

    /// The events that the rule is on.
    pub(super) fn events(&self) -> impl Iterator<Item = &'t str> {
        let at = self.item.iter().position(|(_, word)| *word == "on");
        let named = self.item.iter().skip(at.map_or(usize::MAX, |at| at + 1));
        let list = named.take_while(|(kind, word)| match kind {
            TokenKind::Word => !words::is_reserved(word) || *word == "step_up",
            kind => *kind == TokenKind::Sign(Sign::Comma),
        });
        list.filter(|(kind, _)| *kind == TokenKind::Word).map(|(_, word)| *word)
    }

    /// The names of the item: what each is called, and what it is.
    pub(super) fn locals(&self) -> Vec<(&'t str, &'static str)> {
        let mut list = Vec::new();
        for pair in self.item.windows(2) {
            let [(TokenKind::Word, word), (TokenKind::Word, name)] = pair else { continue };
            match *word {
                "let" => list.push((*name, "let")),
                "param" => list.push((*name, "param")),
                "as" if self.item.first().is_some_and(|(_, first)| *first != "use") => {
                    list.push((*name, "step"));
                }
                _ => {}
            }
        }
        list
    }

    /// The event of a step with this name.
    pub(super) fn step_named(&self, name: &str) -> Option<&'t str> {
        let found = self
            .item
            .windows(3)
            .find(|words| matches!(words, [_, (_, "as"), (_, alias)] if *alias == name))?;
        found.first().map(|(_, event)| *event)
    }
}
