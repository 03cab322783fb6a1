//! Results of rule tests as `JUnit` XML, as build servers read it: one suite for each rule, one case for each test.
//!
//! There is no one standard. The elements and attributes here, in this order, are those that both the schema of Ant's
//! task (which demands most) and that of Jenkins allow. Tests take no time and the events in them have their own clock,
//! so times are 0 and the time stamp is the moment at which every test begins: the same rules give the same bytes.

use crate::base::text::escaped;
use crate::diag::Sources;
use crate::diag::render::position;
use crate::rule_tests::TestResult;

/// When a test begins, as the schema wants it: without a zone.
const TIMESTAMP: &str = "2026-01-01T00:00:00";

/// The whole document.
pub(crate) fn document(sources: &Sources, results: &[TestResult]) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n".to_owned();
    let mut rules: Vec<&str> = Vec::new();
    for result in results {
        if !rules.contains(&result.rule.as_str()) {
            rules.push(&result.rule);
        }
    }
    for (id, rule) in rules.into_iter().enumerate() {
        let cases: Vec<&TestResult> = results.iter().filter(|result| result.rule == rule).collect();
        out.push_str(&suite(sources, id, rule, &cases));
    }
    out + "</testsuites>\n"
}

fn suite(sources: &Sources, id: usize, rule: &str, cases: &[&TestResult]) -> String {
    let failed = cases.iter().filter(|case| !case.failures.is_empty()).count();
    let rule = escape(rule);
    let mut out = format!(
        "  <testsuite id=\"{id}\" package=\"riskweir\" name=\"{rule}\" timestamp=\"{TIMESTAMP}\" hostname=\"localhost\" \
         tests=\"{}\" failures=\"{failed}\" errors=\"0\" time=\"0\">\n    <properties/>\n",
        cases.len()
    );
    for case in cases {
        let title = escape(&case.title);
        let open = format!("    <testcase name=\"{title}\" classname=\"{rule}\" time=\"0\"");
        if case.failures.is_empty() {
            out.push_str(&format!("{open}/>\n"));
            continue;
        }
        let place = sources.get(case.span.file).map_or_else(String::new, |source| {
            let start = position(source, case.span.start);
            format!("{}:{}:{}", source.path, start.line, start.column)
        });
        let message = escape(&case.failures.join("; "));
        out.push_str(&format!(
            "{open}>\n      <failure message=\"{message}\" type=\"expectation\">{}: {message}</failure>\n    </testcase>\n",
            escape(&place)
        ));
    }
    out + "    <system-out/>\n    <system-err/>\n  </testsuite>\n"
}

/// Text as it may stand in an attribute or an element; what XML 1.0 cannot hold is replaced.
fn escape(text: &str) -> String {
    escaped(text, |letter, out| match letter {
        '\n' => out.push_str("&#10;"),
        '\t' => out.push_str("&#9;"),
        '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
        _ if letter.is_control() => out.push('\u{fffd}'),
        _ => out.push(letter),
    })
}
