//! What every word of a rule set names: the same scopes as the checker's, but from the trees alone, so that it is there
//! in the midst of mistakes too. A word that names nothing is left out.
//!
//! Start at [`Names::of`]; [`scope`] says what a path means, [`walk`] goes through the items.

mod scope;
mod walk;

use std::sync::Arc;

use crate::diag::{Sources, Span};
use crate::rules::syntax::ast::{self, AggregateFunction};

/// Something with a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Symbol {
    Event(String),
    /// Event and field.
    Field(String, String),
    /// An entity, or a type that is a kind of entity.
    Entity(String),
    List(String),
    Feature(String),
    Model(String),
    Rule(String),
    Template(String),
    /// A `param`, a `let`, a step or a parameter of a template: of what, and its name.
    Local(Owner, String),
}

/// What a name inside of an item belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Rule(String),
    Template(String),
}

impl Symbol {
    /// The name itself.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Event(name)
            | Self::Field(_, name)
            | Self::Entity(name)
            | Self::List(name)
            | Self::Feature(name)
            | Self::Model(name)
            | Self::Rule(name)
            | Self::Template(name)
            | Self::Local(_, name) => name,
        }
    }
}

/// A place where something is named.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mention {
    pub(super) span: Span,
    pub(super) symbol: Symbol,
    /// Whether it gets its name here.
    pub(super) defines: bool,
}

/// An aggregate or sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    /// The word that names it.
    pub(super) word: Span,
    /// The whole.
    pub(super) span: Span,
    /// `None`: a sequence.
    pub(super) function: Option<AggregateFunction>,
    /// Where its steps stand, of a sequence.
    pub(super) steps: Vec<Span>,
}

/// All names of a rule set.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// In the order of their places.
    mentions: Vec<Mention>,
    /// In the order of their places.
    questions: Vec<Question>,
}

impl Names {
    pub(super) fn of(files: &[Arc<ast::File>], sources: &Sources) -> Self {
        let (mut mentions, mut questions) = walk::all(files, sources);
        mentions.sort();
        mentions.dedup();
        questions.sort_by_key(|question| question.span);
        Self { mentions, questions }
    }

    /// What is named at a byte; of several the shortest words.
    pub(super) fn at(&self, place: Span) -> Option<&Mention> {
        let around = self.mentions.iter().filter(|mention| place.is_within(mention.span));
        around.min_by_key(|mention| mention.span.end - mention.span.start)
    }

    /// The aggregate or sequence whose word stands at a byte.
    pub(super) fn question_at(&self, place: Span) -> Option<&Question> {
        self.questions.iter().find(|question| place.is_within(question.word))
    }

    /// All places where something is named.
    pub(super) fn mentions_of<'n>(
        &'n self,
        symbol: &'n Symbol,
    ) -> impl Iterator<Item = &'n Mention> {
        self.mentions.iter().filter(move |mention| mention.symbol == *symbol)
    }

    /// Where something gets its name; a kind of entity that nobody declares, where it is first used.
    pub(super) fn definitions(&self, symbol: &Symbol) -> Vec<Span> {
        let found: Vec<Span> = self
            .mentions_of(symbol)
            .filter(|mention| mention.defines)
            .map(|mention| mention.span)
            .collect();
        if found.is_empty() && matches!(symbol, Symbol::Entity(_)) {
            return self.mentions_of(symbol).map(|mention| mention.span).take(1).collect();
        }
        found
    }
}
