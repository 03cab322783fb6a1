//! Comments that accept a warning: `# accept W0501: the reason`, in the item that it is about or right above it.
//!
//! What is accepted is not told. What is accepted and not found is told in its place, so that no acceptance outlives what
//! it was about; so is one without a reason. Errors cannot be accepted.

use crate::diag::{Diagnostic, FileId, Severity, Sources, Span, codes};
use crate::rules::check::trees::Trees;
use crate::rules::check::{failed, is_rule_file};
use crate::rules::program::Program;
use crate::rules::syntax::ast::Item;
use crate::rules::syntax::lexer::lex;

/// How such a comment goes on behind its `#`.
const ACCEPT: &str = "accept ";

/// What `compile` cannot look for, because it depends on the day or on the rule set before.
const FOUND_ELSEWHERE: [&str; 4] = ["W0516", "W0517", "W0518", "W0602"];

/// A comment that accepts a warning.
struct Acceptance {
    comment: Span,
    code: String,
    has_reason: bool,
    /// The item that it is about.
    item: Option<Span>,
}

impl Acceptance {
    fn accepts(&self, found: &Diagnostic) -> bool {
        let start = Span { end: found.span.start, ..found.span };
        self.has_reason
            && self.code == found.code.0
            && found.severity() == Severity::Warning
            && self.item.is_some_and(|item| start.is_within(item))
    }
}

/// Takes out what is accepted, and tells of comments that accept nothing where the rule set has no error.
pub(super) fn settle<'i>(
    program: &Program,
    items: impl Iterator<Item = &'i Item>,
    report: &mut Vec<Diagnostic>,
) {
    let accepted = acceptances(&program.sources, items);
    if !failed(report) {
        let idle = accepted.iter().filter_map(|accepted| idle(program, accepted, report));
        let idle: Vec<Diagnostic> = idle.collect();
        report.extend(idle);
    }
    report.retain(|found| !accepted.iter().any(|accepted| accepted.accepts(found)));
}

/// Takes out what is accepted.
pub(in crate::rules) fn hide(program: &Program, report: &mut Vec<Diagnostic>) {
    if report.is_empty() {
        return;
    }
    let files = Trees::default().read(&program.sources, &mut Vec::new());
    let accepted = acceptances(&program.sources, files.iter().flat_map(|file| &file.items));
    report.retain(|found| !accepted.iter().any(|accepted| accepted.accepts(found)));
}

/// Why a comment accepts nothing, when it does not.
fn idle(program: &Program, accepted: &Acceptance, report: &[Diagnostic]) -> Option<Diagnostic> {
    let Acceptance { comment, code, has_reason, item } = accepted;
    let tell = |message: String, help: &str| {
        Some(Diagnostic::new(codes::W0002, *comment, message).with_help(help))
    };
    if codes::find(code).is_none_or(|_| !code.starts_with('W')) {
        let message = format!("`{code}` is no warning, and only warnings can be accepted");
        return tell(message, "look up the code in what `riskweir check` says");
    }
    if !has_reason {
        let message = format!("this accepts {code} without a reason, so it is told all the same");
        return tell(message, &format!("`# {ACCEPT}{code}: why it is meant`"));
    }
    if item.is_none() {
        let message = format!("this accepts {code} of nothing");
        return tell(message, "write it in the rule or other item, or right above it");
    }
    let is_asleep =
        program.rules.iter().any(|info| Some(info.span) == *item && !info.mode.is_evaluated());
    if is_asleep
        || FOUND_ELSEWHERE.contains(&code.as_str())
        || report.iter().any(|found| accepted.accepts(found))
    {
        return None;
    }
    tell(format!("this accepts {code}, which is not found here"), "delete the comment")
}

/// All comments that accept a warning, in the order of the files.
fn acceptances<'i>(sources: &Sources, items: impl Iterator<Item = &'i Item>) -> Vec<Acceptance> {
    let spans: Vec<Span> = items.map(Item::span).collect();
    let mut found = Vec::new();
    for (index, source) in (0_u32..).zip(&sources.files) {
        if !is_rule_file(&source.path) || !source.text.contains(ACCEPT) {
            continue;
        }
        for comment in lex(FileId(index), &source.text).comments {
            let Some((code, reason)) = read(&comment.text) else { continue };
            let item = item_of(comment.span, &spans, &source.text);
            found.push(Acceptance {
                comment: comment.span,
                code: code.to_owned(),
                has_reason: !reason.is_empty(),
                item,
            });
        }
    }
    found
}

/// The code and the reason of a comment that accepts a warning. Other comments may begin with `accept`, too.
fn read(comment: &str) -> Option<(&str, &str)> {
    let rest = comment.trim_start().strip_prefix(ACCEPT)?;
    let (code, reason) = rest.split_once(':').unwrap_or((rest, ""));
    let code = code.trim();
    let (letter, digits) = code.split_at_checked(1)?;
    let is_code = letter.chars().all(|c| c.is_ascii_uppercase())
        && digits.len() == 4
        && digits.chars().all(|c| c.is_ascii_digit());
    is_code.then(|| (code, reason.trim()))
}

/// The item in which a comment stands, on whose last line it stands, or above which it stands with nothing but comments
/// between.
fn item_of(comment: Span, items: &[Span], text: &str) -> Option<Span> {
    let between = |from: u32, to: u32| text.get(from as usize..to as usize).unwrap_or_default();
    let same_file = || items.iter().filter(|item| item.file == comment.file);
    let inside = same_file().find(|item| {
        comment.is_within(**item)
            || item.end <= comment.start && !between(item.end, comment.start).contains('\n')
    });
    let above = || {
        let next = same_file().filter(|item| comment.end <= item.start);
        next.min_by_key(|item| item.start).filter(|item| {
            // Between the rest of the comment's line and what stands before the item on its own.
            let lines: Vec<&str> = between(comment.end, item.start).split('\n').collect();
            let lines = lines.get(1..lines.len().saturating_sub(1)).unwrap_or_default();
            lines.iter().all(|line| line.trim_start().starts_with('#'))
        })
    };
    inside.or_else(above).copied()
}
