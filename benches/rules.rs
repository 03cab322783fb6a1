//! What one rule costs: five tests of fields, and comparisons that are reckoned in fractions, next to the same tests
//! written by hand (those in floating point), in one run.
//!
//! `cargo bench --bench rules`. Nanoseconds per event in the fastest of many short rounds, because other work on the
//! machine only ever adds; the ratio of the two carries over to other machines. Goal: 50 ns a rule at most, 12 ns hoped
//! for.

use std::hint::black_box;
use std::io::Write as _;
use std::time::Instant;

use riskweir::base::{Currency, Tag};
use riskweir::diag::{Source, Sources};
use riskweir::event::row::Row;
use riskweir::event::schema::{EventId, SlotId};
use riskweir::rules::eval::{EvalPlan, Evaluator, Given, Host, Run, Verdict};
use riskweir::rules::program::{ListId, LookupId, Program, TableId};
use riskweir::window::spec::{Coverage, FilterBit, History, ReadValue, Reading};

const EVENTS: usize = 4_096;
const PASSES: usize = 2;
const ROUNDS: usize = 400;

const SCHEMA: &str = r#"
event pay from "t"
  id    pay_id  : text
  time  at      : time unit ms
  key   card    : card
  field amount  : money currency "/currency"
  field channel : one of [pos, ecom, atm, app]
  field country : country
  field tries   : integer?
  field chip    : bool
  field paid    : integer
  field refused : integer
policy p
  base currency EUR
"#;

const RULE: &str = "
  mode shadow
  on pay
  when amount > 200 EUR and channel = ecom and country != DE and tries >= 3 and chip = false
  if missing skip
  then alert
";

/// A host that is never asked: the rules here read fields alone.
struct NoState;

impl Host for NoState {
    fn reading(&mut self, _: LookupId, _: u16, _: Given<'_>) -> Reading {
        Reading { value: ReadValue::Missing, coverage: Coverage::Complete }
    }

    fn history(&mut self, _: (LookupId, u64), _: i64, _: &mut History) -> Coverage {
        Coverage::Complete
    }

    fn count_own(&mut self, _: TableId, _: FilterBit) {}

    fn list_contains(&mut self, _: ListId, _: &[u8]) -> bool {
        false
    }

    fn list_contains_tag(&mut self, _: ListId, _: Tag) -> bool {
        false
    }
}

/// Slots by the name of the field, the currency's last.
struct Slots {
    amount: SlotId,
    currency: SlotId,
    channel: SlotId,
    country: SlotId,
    tries: SlotId,
    chip: SlotId,
}

fn main() {
    let mut out = std::io::stdout().lock();
    let result =
        writeln!(out, "{:42} {:>9} {:>9} {:>7}", "ns per event", "rule", "by hand", "ratio")
            .and_then(|()| report(&mut out));
    assert!(result.is_ok(), "standard output can be written");
}

fn report(out: &mut impl std::io::Write) -> std::io::Result<()> {
    for (name, all_true, n_rules) in [
        ("five tests, all of them true", true, 1),
        ("five tests, mixed events", false, 1),
        ("100 rules of five tests, mixed events", false, 100),
    ] {
        let measured = measure(all_true, n_rules);
        assert!(measured.is_some(), "the rules of the benchmark compile");
        let (rule_ns, hand_ns) = measured.unwrap_or_default();
        let ratio = rule_ns / hand_ns;
        writeln!(out, "{name:42} {rule_ns:9.1} {hand_ns:9.1} {ratio:7.2}")?;
    }
    for (name, condition, by_hand) in COMPARISONS {
        let measured = compared(condition, by_hand);
        assert!(measured.is_some(), "the rules of the benchmark compile");
        let (rule_ns, hand_ns) = measured.unwrap_or_default();
        let ratio = rule_ns / hand_ns;
        writeln!(out, "{name:42} {rule_ns:9.1} {hand_ns:9.1} {ratio:7.2}")?;
    }
    Ok(())
}

/// A comparison of `refused` with `paid`, and the same by hand.
type Comparison = (&'static str, &'static str, fn(i64, i64) -> bool);

/// The first is of whole numbers; the others are exact where doubles round.
const COMPARISONS: [Comparison; 4] = [
    ("whole: refused > paid", "refused > paid", |refused, paid| refused > paid),
    ("exact: refused > 29% of paid", "refused > 29% of paid", |refused, paid| {
        float(refused) > 0.29 * float(paid)
    }),
    ("exact: refused / paid > 0.41", "refused / paid > 0.41", |refused, paid| {
        paid != 0 && float(refused) / float(paid) > 0.41
    }),
    ("exact: 1.5 * refused > 0.7 * paid + 3", "1.5 * refused > 0.7 * paid + 3", |refused, paid| {
        1.5 * float(refused) > 0.7 * float(paid) + 3.0
    }),
];

#[expect(clippy::cast_precision_loss, reason = "whole numbers below 1,000, by `tally`")]
fn float(number: i64) -> f64 {
    number as f64
}

/// Least cost per event of one comparison in a rule and of the same by hand, in alternating rounds.
fn compared(condition: &str, hand: fn(i64, i64) -> bool) -> Option<(f64, f64)> {
    let rule = format!("rule r mode shadow on pay when {condition} if missing skip then alert");
    let sources =
        Sources::of(vec![Source { path: "a.risk".to_owned(), text: format!("{SCHEMA}{rule}") }]);
    let program = riskweir::rules::compile(&sources).0?;
    let plan = EvalPlan::new(&program, EventId(0)).ok()?;
    let event = program.schema.event(EventId(0));
    let slot = |name: &str| event.field_named(name).map(|field| event.field(field).slot);
    let (refused, paid) = (slot("refused")?, slot("paid")?);
    let rows: Vec<Row> = (1..=EVENTS as u64).map(|index| tally(index, refused, paid)).collect();
    let body = program.plans[0].rules.first()?;
    let mut evaluator = Evaluator::new();
    let (by_rule, by_hand, hits) = race(
        &rows,
        |row| {
            evaluator.begin(&plan);
            let (memo, mut host) = (&mut evaluator, NoState);
            let mut run = Run { plan: &plan, memo, row, raw: b"", host: &mut host };
            usize::from(run.verdict(body) == Verdict::Hit)
        },
        |row| {
            let of = |slot: SlotId| row.get(slot).map(u64::cast_signed);
            usize::from(
                of(refused).zip(of(paid)).is_some_and(|(refused, paid)| hand(refused, paid)),
            )
        },
    );
    assert!(hits[0].abs_diff(hits[1]) < EVENTS / 100, "both ways agree but for rounding");
    Some((by_rule, by_hand))
}

/// Least cost per event of two ways to count hits, in alternating rounds, and the hits of a round of each.
fn race(
    rows: &[Row],
    mut by_rule: impl FnMut(&Row) -> usize,
    mut by_hand: impl FnMut(&Row) -> usize,
) -> (f64, f64, [usize; 2]) {
    let (mut rule_ns, mut hand_ns, mut hits) = (Vec::new(), Vec::new(), [0, 0]);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        hits[0] = (0..PASSES).flat_map(|_| rows).map(|row| by_rule(black_box(row))).sum();
        rule_ns.push(per_event(start));
        let start = Instant::now();
        hits[1] = (0..PASSES).flat_map(|_| rows).map(|row| by_hand(black_box(row))).sum();
        hand_ns.push(per_event(start));
    }
    (least(&rule_ns), least(&hand_ns), hits)
}

/// A row with two whole numbers below 1,000.
fn tally(index: u64, refused: SlotId, paid: SlotId) -> Row {
    let mut row = Row::default();
    row.reset(EventId(0), 16);
    let mixed = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    row.set(refused, (mixed >> 20) % 500);
    row.set(paid, (mixed >> 40) % 1_000);
    row
}

/// Least cost per event of the compiled rules and of the same tests by hand, in alternating rounds.
fn measure(all_true: bool, n_rules: usize) -> Option<(f64, f64)> {
    let mut text = SCHEMA.to_owned();
    for index in 0..n_rules {
        // Different thresholds: equal conditions would be one node.
        let rule = RULE.replace("200 EUR", &format!("{} EUR", 200 + index));
        text.push_str("rule r");
        text.push_str(&index.to_string());
        text.push_str(&rule);
    }
    let sources = Sources::of(vec![Source { path: "a.risk".to_owned(), text }]);
    let program = riskweir::rules::compile(&sources).0?;
    let plan = EvalPlan::new(&program, EventId(0)).ok()?;
    let slots = slots(&program)?;
    let rows: Vec<Row> = (0..EVENTS).map(|index| row(index, all_true, &slots)).collect();
    let bodies = &program.plans[0].rules;
    let mut evaluator = Evaluator::new();
    let (by_rule, by_hand, hits) = race(
        &rows,
        |row| {
            evaluator.begin(&plan);
            let (memo, mut host) = (&mut evaluator, NoState);
            let mut run = Run { plan: &plan, memo, row, raw: b"", host: &mut host };
            bodies.iter().filter(|body| run.verdict(body) == Verdict::Hit).count()
        },
        |row| {
            let threshold = |index: usize| 20_000 + 100 * i64::try_from(index).unwrap_or(0);
            let hits = |index: &usize| tests_by_hand(row, &slots, black_box(threshold(*index)));
            (0..n_rules).filter(hits).count()
        },
    );
    assert_eq!(hits[0], hits[1], "both ways agree");
    Some((by_rule, by_hand))
}

fn tests_by_hand(row: &Row, slots: &Slots, threshold_minor: i64) -> bool {
    let is = |slot: SlotId, wanted: u64| row.get(slot).is_some_and(|word| word == wanted);
    row.get(slots.amount).is_some_and(|minor| minor.cast_signed() > threshold_minor)
        && is(slots.currency, u64::from(0x0045_5552_u32))
        && is(slots.channel, 1)
        && row.get(slots.country).is_some_and(|word| word != 0x4445)
        && row.get(slots.tries).is_some_and(|tries| tries.cast_signed() >= 3)
        && is(slots.chip, 0)
}

fn slots(program: &Program) -> Option<Slots> {
    let event = program.schema.event(EventId(0));
    let slot = |name: &str| event.field_named(name).map(|field| event.field(field).slot);
    let amount = slot("amount")?;
    Some(Slots {
        amount,
        currency: SlotId(amount.0 + 1),
        channel: slot("channel")?,
        country: slot("country")?,
        tries: slot("tries")?,
        chip: slot("chip")?,
    })
}

/// A row that passes every test, or one of a fixed mixture.
fn row(index: usize, all_true: bool, slots: &Slots) -> Row {
    let mut row = Row::default();
    row.reset(EventId(0), 16);
    // A multiplicative hash spreads the index.
    let mixed = (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let bits = if all_true { u64::MAX } else { mixed >> 20 };
    row.set(slots.amount, if bits & 3 > 0 { 50_000 } else { 1_000 });
    row.set(slots.currency, u64::from(Currency::parse("EUR").map_or(0, |eur| eur.0)));
    row.set(slots.channel, u64::from(bits & 4 > 0));
    row.set(slots.country, if bits & 8 > 0 { 0x4652 } else { 0x4445 });
    if bits & 16 > 0 {
        row.set(slots.tries, if bits & 32 > 0 { 5 } else { 1 });
    }
    row.set(slots.chip, 0);
    row
}

#[expect(clippy::cast_precision_loss, reason = "a few thousand events")]
fn per_event(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e9 / (EVENTS * PASSES) as f64
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}
