//! Bounds on regular expressions, beside the size of what they compile to.

use regex_syntax::hir::{Hir, HirKind};

use crate::rules::check::limits::{MAX_PATTERN_REPEATS, MAX_PATTERN_TEXT_BYTES};

/// What is too much about a pattern; one that cannot be read is left to others.
pub(super) fn too_much(pattern: &str) -> Option<String> {
    if pattern.len() > MAX_PATTERN_TEXT_BYTES {
        let bytes = pattern.len();
        return Some(format!(
            "this pattern has {bytes} bytes, at most {MAX_PATTERN_TEXT_BYTES} are possible"
        ));
    }
    let tree = regex_syntax::Parser::new().parse(pattern).ok()?;
    let repeats = repeats(&tree);
    (repeats > MAX_PATTERN_REPEATS).then(|| {
        format!(
            "this pattern repeats a part up to {repeats} times, at most {MAX_PATTERN_REPEATS} are possible"
        )
    })
}

/// How often the most repeated part is written out: counts within counts multiply. The depth is bounded by the parser.
fn repeats(tree: &Hir) -> u64 {
    match tree.kind() {
        HirKind::Repetition(repetition) => {
            let times = u64::from(repetition.max.unwrap_or(repetition.min).max(1));
            times.saturating_mul(repeats(&repetition.sub))
        }
        HirKind::Capture(capture) => repeats(&capture.sub),
        HirKind::Concat(list) | HirKind::Alternation(list) => {
            list.iter().map(repeats).max().unwrap_or(1)
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_patterns_and_counts_within_counts_are_too_much() {
        assert_eq!(too_much("^[A-Z]{2}[0-9]{2}(?:[0-9]{4} ?){7}$"), None);
        assert_eq!(too_much("("), None);
        assert_eq!(too_much(&"a".repeat(1024)), None);
        assert!(too_much(&"a".repeat(1025)).is_some_and(|found| found.contains("1025")));
        assert_eq!(too_much("(?:a{10}){100}"), None);
        assert!(too_much("(?:(?:a{10}){10}){11}").is_some_and(|found| found.contains("1100")));
        assert!(too_much("(?:a{40,}){40,}").is_some_and(|found| found.contains("1600")));
    }
}
