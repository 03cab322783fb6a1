use super::*;
use crate::diag::Sources;

/// The worked examples of the language's specification.
const EXAMPLES: &str = include_str!("../../../../tests/language/examples.risk");

fn codes_of(text: &str) -> Vec<(&'static str, u32, String)> {
    let (_, diagnostics) = parse(FileId(0), text);
    diagnostics.into_iter().map(|d| (d.code.0, d.span.start, d.message)).collect()
}

#[test]
fn the_worked_examples_parse() {
    let found = codes_of(EXAMPLES);
    assert_eq!(found, Vec::new());
    let (file, _) = parse(FileId(0), EXAMPLES);
    let rules = file.items.iter().filter(|item| matches!(item, ast::Item::Rule(_))).count();
    assert_eq!((file.items.len(), rules), (24, 14));
    let _ = Sources::default();
}
