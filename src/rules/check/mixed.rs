//! `and` beside `or` without parentheses: `and` joins first, and not every reader knows. The rule is clear to the compiler
//! and may be something else than its author meant, which is money held or let go; so it is asked to be said.

use crate::diag::{Diagnostic, Sources, Span, codes};
use crate::rules::syntax::ast::{Expr, ExprKind};

/// A warning for each `and` that stands in an `or` without parentheses around it.
pub(super) fn mixed(sources: &Sources, alternatives: &[Expr], whole: Span) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    // The whole begins with the parenthesis of its first part, if that has one.
    let mut before = Span { end: whole.start, ..whole };
    for part in alternatives {
        let gap = Span { start: before.end, end: part.span.start, ..part.span };
        before = part.span;
        if matches!(part.kind, ExprKind::And(_)) && is_open(sources, gap, whole) {
            let text = sources.text(part.span);
            let message = "`and` and `or` stand side by side: `and` joins first";
            let diagnostic = Diagnostic::new(codes::W0001, part.span, message)
                .with_label("read as one alternative")
                .with_help("say what you mean with parentheses; these keep the meaning")
                .with_fix(part.span, format!("({text})"));
            found.push(diagnostic);
        }
    }
    found
}

/// Whether what stands before a part opens no parenthesis for it. What templates joined is no text of an author, and
/// stands in order nowhere.
fn is_open(sources: &Sources, gap: Span, whole: Span) -> bool {
    let in_order = gap.file == whole.file && gap.start <= gap.end && gap.is_within(whole);
    let code = |line: &str| line.split('#').next().unwrap_or_default().contains('(');
    in_order && !sources.text(gap).lines().any(code)
}
