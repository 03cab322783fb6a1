//! Days in comparisons: where a time is compared with a day, its first instant is meant. A reader of `between D and D` or
//! `= D` means the whole day, as `effective`, snoozes and lists do.

use crate::diag::{Diagnostic, codes};
use crate::rules::check::checker::Checker;
use crate::rules::syntax::ast::{CompareOp, Expr, ExprKind, LiteralKind};

impl Checker<'_, '_> {
    /// Warns where the day of a comparison is not in it as a whole.
    pub(super) fn whole_days(&mut self, op: CompareOp, left: &Expr, right: &Expr) {
        let (op, day, time) = match (day_of(left), day_of(right)) {
            (None, Some(day)) => (op, day, left),
            (Some(day), None) => (flipped(op), day, right),
            _ => return,
        };
        let Ok(next) = day.tomorrow() else { return };
        let value = self.quote(time.span);
        let (what, mend) = match op {
            CompareOp::Eq | CompareOp::Ne => {
                ("one instant", format!("{value} >= {day} and {value} < {next}"))
            }
            CompareOp::Le => ("the day is left out", format!("{value} < {next}")),
            CompareOp::Lt | CompareOp::Gt | CompareOp::Ge => return,
        };
        let span = if time.span == left.span { right.span } else { left.span };
        let message = format!("`{day}` means its first instant here");
        self.report.push(
            Diagnostic::new(codes::W0201, span, message)
                .with_label(what)
                .with_help(format!("for the whole day write `{mend}`")),
        );
    }
}

fn day_of(expr: &Expr) -> Option<jiff::civil::Date> {
    let ExprKind::Literal(literal) = &expr.kind else { return None };
    let LiteralKind::Date(year, month, day) = literal.kind else { return None };
    jiff::civil::Date::new(year, month, day).ok()
}

/// The same comparison with its sides exchanged.
fn flipped(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
        CompareOp::Eq | CompareOp::Ne => op,
    }
}
