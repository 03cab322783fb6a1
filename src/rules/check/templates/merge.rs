//! The clauses of a template and of its `use` together.
//!
//! What says how the rule is run and what it does is replaced: `id`, `owner`, `severity`, `effective`, `review by`,
//! `mode`, `if missing`, `then`, and a `param` of the same name. What describes is added: `typology`, `ref`, `tags`,
//! `mandatory`, `let`, and an `unless`, which exempts beside that of the template. What the rule is about stays: `on`
//! and `when` stand in one of the two.

use crate::diag::{Diagnostic, codes};
use crate::rules::syntax::ast::{Clause, ClauseKind, Expr, ExprKind, Template, Use};

/// `clauses` are those of the template, filled in.
pub(super) fn clauses(
    mut clauses: Vec<Clause>,
    made: &Use,
    template: &Template,
    report: &mut Vec<Diagnostic>,
) -> Vec<Clause> {
    // A clause that the `use` gives twice is met once, so that the second is reported like that of any rule.
    let mut open: Vec<usize> = (0..clauses.len()).collect();
    for clause in &made.clauses {
        let met = open.iter().position(|held| same(&clauses[*held].kind, &clause.kind));
        let Some(held) = met.map(|at| open.remove(at)) else {
            clauses.push(clause.clone());
            continue;
        };
        match &clause.kind {
            ClauseKind::On(..) | ClauseKind::When(_) => {
                let word = if matches!(clause.kind, ClauseKind::On(..)) { "on" } else { "when" };
                let message = format!("template `{}` says `{word}` already", template.name.text);
                report.push(
                    Diagnostic::new(codes::E0502, clause.span, message)
                        .with_related(clauses[held].span, "said here")
                        .with_help("a `use` says how the rule is run, whom it exempts and what it does; for another condition write another rule"),
                );
            }
            ClauseKind::Unless(more) => {
                if let ClauseKind::Unless(first) = &clauses[held].kind {
                    let kind = ExprKind::Or(vec![first.clone(), more.clone()]);
                    let joined = Expr { kind, span: more.span };
                    clauses[held].kind = ClauseKind::Unless(joined);
                }
            }
            _ => clauses[held] = clause.clone(),
        }
    }
    clauses
}

/// Whether a clause of a `use` meets one of the template.
fn same(held: &ClauseKind, new: &ClauseKind) -> bool {
    match (held, new) {
        (ClauseKind::Param(held), ClauseKind::Param(new)) => held.name.text == new.name.text,
        (ClauseKind::Id(_), ClauseKind::Id(_))
        | (ClauseKind::Owner(_), ClauseKind::Owner(_))
        | (ClauseKind::Severity(_), ClauseKind::Severity(_))
        | (ClauseKind::Effective(..), ClauseKind::Effective(..))
        | (ClauseKind::ReviewBy(_), ClauseKind::ReviewBy(_))
        | (ClauseKind::Mandatory, ClauseKind::Mandatory)
        | (ClauseKind::Mode(_), ClauseKind::Mode(_))
        | (ClauseKind::On(..), ClauseKind::On(..))
        | (ClauseKind::When(_), ClauseKind::When(_))
        | (ClauseKind::Unless(_), ClauseKind::Unless(_))
        | (ClauseKind::IfMissing(_), ClauseKind::IfMissing(_))
        | (ClauseKind::Then(_), ClauseKind::Then(_)) => true,
        _ => false,
    }
}
