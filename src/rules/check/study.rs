//! A rule set as an editor sees it: in the midst of being written, with mistakes, and yet with names and types.
//!
//! The findings are those of [`compile`](super::compile), to the letter. Beside them stands what the compiler throws
//! away or does not even look at: the trees, the types of expressions, and the program as far as it goes. Where a file
//! cannot be read, the rest is checked all the same, for its names and types only; what is found wrong then is not told,
//! because half an event makes every rule on it look wrong.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diag::{Diagnostic, Sources, Span};
use crate::event::schema::{EventId, FieldId};
use crate::rules::check::learned::Artifacts;
use crate::rules::check::trees::Trees;
use crate::rules::check::{check, failed, finish, in_order, limits, types};
use crate::rules::program::{Program, Type};
use crate::rules::syntax::ast::{self, Item};

/// What the checker found out about words.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    /// The type of every expression, by its place; several where a template or several events make it so.
    pub(super) types: BTreeSet<(Span, Type)>,
    /// The state that an aggregate or a step asks: its identity.
    pub(super) state: BTreeSet<(Span, String)>,
}

/// A rule set with all that an editor shows of it.
#[derive(Clone, Debug)]
pub struct Study {
    /// The program as far as it goes. It must not decide anything unless [`Self::compiles`].
    pub program: Program,
    /// Whether there is no error.
    pub compiles: bool,
    /// What `riskweir check` says, in the same order.
    pub diagnostics: Vec<Diagnostic>,
    /// The trees of the `.risk` files, in the order of the sources.
    pub files: Vec<Arc<ast::File>>,
    notes: Notes,
}

impl Study {
    /// The types of the expression at exactly this place, in words; several where a template or several events make
    /// it so.
    pub fn types_at(&self, span: Span) -> Vec<String> {
        let from = (span, Type::Bool);
        let found = self.notes.types.range(from..).take_while(|(at, _)| *at == span);
        found.map(|(_, ty)| types::describe(&self.program.schema, *ty)).collect()
    }

    /// The type of a field in words; money of a varying currency in the policy's.
    pub fn field_type(&self, event: EventId, field: FieldId) -> String {
        let schema = &self.program.schema;
        let money = types::fixed_currency(schema.event(event).field(field));
        let money = money.unwrap_or(self.program.policy.base_currency);
        types::describe(schema, types::of_field(schema, event, field, money))
    }

    /// The identities of the state that an aggregate or a step at exactly this place asks.
    pub fn state_at(&self, span: Span) -> Vec<&str> {
        let found = self.notes.state.range((span, String::new())..);
        found.take_while(|(at, _)| *at == span).map(|(_, text)| text.as_str()).collect()
    }
}

/// Studies a whole rule set. Files that were read before, with the same trees in hand, are not read again.
///
/// # Cost
/// That of [`compile`](super::compile) without what need not be read, and an entry per expression.
pub fn study(sources: &Sources, trees: &mut Trees) -> Study {
    let mut report = Vec::new();
    let mut notes = Notes::default();
    let artifacts = Artifacts::Required;
    if sources.files.len() > limits::MAX_FILES {
        let (_, diagnostics) = super::compile(sources);
        let nothing = Sources::default();
        let program = check(&[], (&nothing, artifacts), &mut report, None);
        return Study { program, compiles: false, diagnostics, files: Vec::new(), notes };
    }
    let files = trees.read(sources, &mut report);
    let items: Vec<&Item> = files.iter().flat_map(|file| &file.items).collect();
    let unreadable = failed(&report);
    let mut found = if unreadable { Vec::new() } else { std::mem::take(&mut report) };
    let program = check(&items, (sources, artifacts), &mut found, Some(&mut notes));
    let diagnostics = if unreadable { in_order(report) } else { finish(&items, &program, found) };
    let compiles = !failed(&diagnostics);
    Study { program, compiles, diagnostics, files, notes }
}
