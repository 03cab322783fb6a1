//! Models.

use crate::diag::{Diagnostic, codes};
use crate::rules::syntax::ast::{Model, ModelClause, ModelClauseKind, ModelFeature};
use crate::rules::syntax::parser::{Parser, actions};
use crate::rules::syntax::words;

impl Parser<'_> {
    /// `model NAME` and its clauses. At `model`.
    pub(super) fn model(&mut self) -> Option<Model> {
        let start = self.bump();
        let name = self.new_name("the name of a model")?;
        let mut clauses = Vec::new();
        while !self.at_item() {
            let (start, from) = (self.here(), self.at);
            match self.model_clause() {
                Some(kind) => clauses.push(ModelClause { kind, span: self.since(start) }),
                None => self.skip_to_line(from, words::MODEL_CLAUSES),
            }
        }
        Some(Model { name, clauses, span: self.since(start) })
    }

    fn model_clause(&mut self) -> Option<ModelClauseKind> {
        let known = self.word().filter(|word| words::MODEL_CLAUSES.contains(word));
        let Some(word) = known else { return self.no_model_clause() };
        self.bump();
        Some(match word {
            "on" => ModelClauseKind::On(self.data_name("an event")?),
            "kind" => ModelClauseKind::Kind(self.name("a kind such as `tail_sum`")?),
            "from" => ModelClauseKind::From(self.text_of("the artifact of a learned model")?),
            "reads" => ModelClauseKind::Reads(self.comma_list(Self::model_feature)?),
            "segment" => {
                self.expect_word("by", "and a field")?;
                ModelClauseKind::Segment(self.comma_list(|p| p.path("a field"))?)
            }
            "over" => {
                self.expect_word("prior", "and a duration, as in `over prior 14d`")?;
                ModelClauseKind::Over(self.duration_ms("a duration")?)
            }
            "allowance" => ModelClauseKind::Allowance(self.number("a number such as `1.5`")?),
            "seed" => ModelClauseKind::Seed(self.number("a whole number")?),
            _ => ModelClauseKind::Frozen,
        })
    }

    /// A word of direction is one where a name follows it.
    fn model_feature(&mut self) -> Option<ModelFeature> {
        let ends = |word: &str| {
            words::is_hard(word) || [words::MODEL_CLAUSES, words::ITEMS].concat().contains(&word)
        };
        let directed = self.word().is_some_and(|word| words::DIRECTIONS.contains(&word))
            && self.word_ahead(1).is_some_and(|next| !ends(next));
        let direction = if directed { self.take_name() } else { None };
        Some(ModelFeature { direction, path: self.path("a feature or field")? })
    }

    fn no_model_clause<T>(&mut self) -> Option<T> {
        let message = format!("expected a clause of the model, found {}", self.found());
        let mut diagnostic = Diagnostic::new(codes::E0010, self.report_span(), message);
        let hint = self.did_you_mean(&[words::MODEL_CLAUSES]).or_else(|| self.hint());
        if let Some((help, fix)) = hint {
            diagnostic.help = Some(help);
            diagnostic.fix = fix;
        } else {
            let help = format!("a model is made of {}", actions::listed(words::MODEL_CLAUSES));
            diagnostic.help = Some(help);
        }
        self.report(diagnostic);
        None
    }
}
