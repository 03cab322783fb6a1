//! A mistake on its way to the report.

use crate::diag::Diagnostic;

/// Why something was refused. Boxed: it is rare and large.
pub(super) type Refusal = Box<Diagnostic>;

/// Offers the nearest known name in place of the words, or says something else when nothing is near.
pub(super) fn did_you_mean(found: Diagnostic, near: Option<&str>, otherwise: &str) -> Diagnostic {
    let span = found.span;
    match near {
        Some(near) => found.with_help(format!("did you mean `{near}`?")).with_fix(span, near),
        None if otherwise.is_empty() => found,
        None => found.with_help(otherwise),
    }
}
