//! A test as its author would write it.

use crate::base::amount::format_minor;
use crate::base::time::format_rfc3339;
use crate::event::schema::FieldType;
use crate::rule_tests::code_text;
use crate::rules::program::{Constant, Expectation, Program, TestCase, TestEvent, TestValue};

/// What is meant where a test does not say it.
const DEFAULT_STEP_MS: i64 = 1_000;

/// A `test` block; of what it may expect, a hit, none, and that nobody knows.
pub(super) fn block(program: &Program, test: &TestCase) -> String {
    let rule = program.rules.get(usize::from(test.rule.0)).map_or("", |info| &info.name);
    let mut out = format!("test {rule} \"{}\"\n", test.title);
    let (mut next_ms, mut last_ms) = (0, None);
    for events in &test.given {
        let times = if events.times == 1 { String::new() } else { format!("{} ", events.times) };
        let every = if events.times > 1 && events.every_ms != DEFAULT_STEP_MS {
            format!(" every {}", length(events.every_ms))
        } else {
            String::new()
        };
        out.push_str(&format!("  given {times}{}{every}", event(program, &events.event)));
        if events.at_ms != next_ms {
            out.push_str(&format!(" at {}", length(events.at_ms)));
        }
        out.push('\n');
        // As the compiler reads on: one event without `every` takes the usual step.
        let step_ms = if events.times > 1 { events.every_ms } else { DEFAULT_STEP_MS };
        let last = events.moments().last().unwrap_or(events.at_ms);
        next_ms = last.saturating_add(step_ms);
        last_ms = last_ms.max(Some(last));
    }
    out.push_str(&format!("  when {}", event(program, &test.when)));
    let default_at = last_ms.map_or(0, |last: i64| last.saturating_add(DEFAULT_STEP_MS));
    if test.at_ms != default_at {
        out.push_str(&format!(" at {}", length(test.at_ms)));
    }
    let wants = test.expect.iter().map(|want| match want {
        Expectation::Hit => "hit",
        Expectation::Undecided(_) => "undecided",
        _ => "no hit",
    });
    out.push_str(&format!("\n  expect {}\n", wants.collect::<Vec<&str>>().join(", ")));
    out
}

fn event(program: &Program, event: &TestEvent) -> String {
    let ty = program.schema.event(event.event);
    let fields = event.fields.iter().filter_map(|(id, given)| {
        let field = ty.field(*id);
        Some(format!("{}: {}", field.name, value(&field.ty, given)?))
    });
    format!("{}({})", ty.name, fields.collect::<Vec<String>>().join(", "))
}

fn value(ty: &FieldType, value: &TestValue) -> Option<String> {
    Some(match value {
        TestValue::Missing => return None,
        TestValue::Money(minor, currency) => {
            format!("{} {currency}", format_minor(*minor, currency.minor_digits()))
        }
        TestValue::Geo(latitude, longitude) => format!("\"{latitude},{longitude}\""),
        TestValue::Constant(constant) => match constant {
            Constant::Bool(truth) => truth.to_string(),
            Constant::Int(ms) if matches!(ty, FieldType::Time { .. }) => {
                format!("\"{}\"", format_rfc3339(*ms))
            }
            Constant::Int(int) => int.to_string(),
            Constant::Number(number) => number.to_string(),
            Constant::Text(text) => quoted(text),
            Constant::Code(code) => code_text(ty, *code),
            Constant::Money(_) => return None,
        },
    })
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            _ if letter.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(letter))),
            _ => out.push(letter),
        }
    }
    out.push('"');
    out
}

/// A duration as a literal: a whole number of the largest unit that fits.
fn length(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let unit = units.into_iter().find(|(_, unit_ms)| ms % unit_ms == 0);
    unit.map_or_else(|| format!("{ms}ms"), |(word, unit_ms)| format!("{}{word}", ms / unit_ms))
}
