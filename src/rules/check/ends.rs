//! The two ends of `between`: nothing lies between a later and an earlier one. Hours over midnight are written so.

use core::cmp::Ordering;

use crate::diag::{Diagnostic, codes};
use crate::rules::check::checker::Checker;
use crate::rules::program::{Constant, Function, NodeId, Op};
use crate::rules::syntax::ast::Expr;

impl Checker<'_, '_> {
    /// Warns where the first end is behind the second one; both comparisons have been read.
    pub(super) fn ends_in_order(
        &mut self,
        (from, to): (Option<NodeId>, Option<NodeId>),
        (value, low, high): (&Expr, &Expr, &Expr),
    ) {
        let (Some((of, first)), Some((_, last))) = (self.end_of(from), self.end_of(to)) else {
            return;
        };
        if order(first, last) != Some(Ordering::Greater) {
            return;
        }
        let is_hour = matches!(self.op(of), Some(Op::Call(Function::Hour, _)));
        let [value, low_text, high_text] = [value, low, high].map(|expr| self.quote(expr.span));
        let message = format!("nothing is between {low_text} and {high_text}");
        let help = if is_hour {
            format!("over midnight write `({value} >= {low_text} or {value} <= {high_text})`")
        } else {
            format!("the smaller end stands first: `{value} between {high_text} and {low_text}`")
        };
        self.report
            .push(Diagnostic::new(codes::W0202, low.span.to(high.span), message).with_help(help));
    }

    /// What a comparison compares with a constant.
    fn end_of(&self, comparison: Option<NodeId>) -> Option<(NodeId, &Constant)> {
        let Some(Op::Compare(_, of, with)) = self.op(comparison?) else { return None };
        let Some(Op::Constant(constant)) = self.op(*with) else { return None };
        Some((*of, constant))
    }
}

/// The order of two constants of one type.
fn order(first: &Constant, last: &Constant) -> Option<Ordering> {
    match (first, last) {
        (Constant::Int(first), Constant::Int(last)) => Some(first.cmp(last)),
        (Constant::Money(first), Constant::Money(last)) => Some(first.cmp(last)),
        (Constant::Number(first), Constant::Number(last)) => first.partial_cmp(last),
        _ => None,
    }
}
