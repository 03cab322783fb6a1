//! The layout of a rule on an event against the reference interpreter: random rules on random streams.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use riskweir::diag::{FileId, Source, Sources};
use riskweir::engine::{Decoded, Engine, EngineOptions, Input, Silence};
use riskweir::rules::eval::Verdict;
use riskweir::rules::eval::outline::{Looked, Part};
use riskweir::rules::oracle::Oracle;
use riskweir::rules::program::RuleId;
use riskweir::rules::syntax::parse;

use crate::support::dice::Dice;
use crate::support::rule_text::{Author, LISTS, RATES};
use crate::support::stream::Stream;

mod support;

/// Every part below with what it read itself.
fn walk<'p>(part: &'p Part, visit: &mut dyn FnMut(&'p Part, &'p [Looked])) {
    visit(part, &part.readings);
    for part in &part.parts {
        walk(part, visit);
    }
}

/// Returns how many verdicts, counts, and measures that were not asked for it has compared or seen.
fn check(seed: u64) -> (usize, usize, usize) {
    let mut author = Author::new(Dice::new(seed));
    let text = author.file(4);
    let mut files = vec![Source { path: "all.risk".to_owned(), text: text.clone() }];
    let list = |(name, members): &(&str, &[&str])| Source {
        path: format!("{name}.csv"),
        text: members.join("\n"),
    };
    files.extend(LISTS.iter().map(list));
    files.push(Source { path: "rates.csv".to_owned(), text: RATES.to_owned() });
    let (program, _) = riskweir::rules::compile(&Sources::of(files));
    let program = Arc::new(program.unwrap());
    let parsed = [parse(FileId(0), &text).0];
    // The lists of the schema have no file, so they are empty.
    let lists: BTreeMap<String, BTreeSet<String>> =
        LISTS.iter().map(|(name, _)| ((*name).to_owned(), BTreeSet::new())).collect();
    let mut oracle = Oracle::new(&parsed, &program.schema, lists).with_rates(RATES);
    let options = EngineOptions { allowed_lateness_ms: i64::MAX / 4, ..EngineOptions::default() };
    let mut engine = Engine::new(Arc::clone(&program), options).unwrap();
    let stream = engine.open_stream("t", 0);
    let mut rows = Stream::new(&program.schema, author.dice.clone());
    let (mut verdicts, mut counts, mut unread) = (0, 0, 0);
    for number in 0..40_i64 {
        let mut row = rows.next_row();
        let event = program.schema.event(row.event());
        let id = row.store_text(format!("event number {number}").as_bytes()).0;
        row.set(event.field(event.id).slot, id);
        let decoded = Decoded { raw: b"", row: &row };
        for judged in oracle.judge(&row, b"") {
            let place = program.rules.iter().position(|rule| rule.name == judged.rule).unwrap();
            let rule = RuleId(u16::try_from(place).unwrap());
            let outline = engine.outline(stream, decoded, rule).unwrap();
            assert_eq!(outline.verdict, judged.verdict, "seed {seed}, event {number}\n{text}");
            let said = outline.when.value.as_str();
            match outline.verdict {
                Verdict::Hit => assert_eq!(said, "true"),
                Verdict::NoHit => assert_eq!(said, "false"),
                Verdict::Undecided => assert_eq!(said, "unknown"),
                Verdict::Exempt | Verdict::NotApplicable => {}
            }
            verdicts += 1;
            walk(&outline.when, &mut |part, readings| {
                for looked in readings {
                    unread += usize::from(!looked.asked);
                    let Some((counted, all)) = looked.counted else { continue };
                    assert!(counted <= all);
                    if readings.len() == 1 && looked.identity.starts_with("count(") {
                        assert_eq!(part.value, counted.to_string(), "{}", looked.identity);
                        counts += 1;
                    }
                }
            });
        }
        let input = Input { stream, offset: number, arrival_ms: None, payload: None };
        engine.decide(&input, Ok(decoded), &mut Silence);
    }
    (verdicts, counts, unread)
}

#[test]
fn what_is_laid_out_is_what_the_reference_says() {
    let (mut verdicts, mut counts, mut unread) = (0, 0, 0);
    for seed in 0..60 {
        let (v, c, u) = check(seed);
        (verdicts, counts, unread) = (verdicts + v, counts + c, unread + u);
    }
    assert!(verdicts > 2_000 && counts > 20 && unread > 20, "{verdicts} {counts} {unread}");
}
