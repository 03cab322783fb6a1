//! State that begins empty because a rule asks for other events than it did in the rule set before, or of values that are
//! read from elsewhere in a record.

use std::collections::BTreeSet;

use crate::base::time::DAY_MS;
use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::Field;
use crate::rules::check::accepted;
use crate::rules::eval::render::duration;
use crate::rules::locality::roots;
use crate::rules::origins;
use crate::rules::program::{NodeId, Op, Program, RuleId, TableId, TablePlan};
use crate::rules::reads;
use crate::window::layout::column_of;
use crate::window::spec::{Calendar, Measure};

/// Warnings about the rules of `after`: what has another filter than in `before`, or is read from elsewhere, and must fill
/// anew.
pub fn renewed(before: &Program, after: &Program) -> Vec<Diagnostic> {
    let mut report = Vec::new();
    for (rule, info) in (0_u16..).map(RuleId).zip(&after.rules) {
        let old = before.rules.iter().position(|known| known.name == info.name);
        let Some(old) = old.and_then(|index| u16::try_from(index).ok()) else { continue };
        let held = questions(before, RuleId(old));
        for asked in questions(after, rule) {
            if let Some(was) = held.iter().find(|was| was.identity() == asked.identity()) {
                let moved = moved(before, was, &(after, &asked));
                report.extend(moved.map(|moved| moved_told((after, rule), &asked, &moved)));
                continue;
            }
            let was = held.iter().find(|was| asked.differs_by_filter(was));
            let Some(was) = was.filter(|_| !is_remembered(before, &asked)) else { continue };
            report.push(told(after, rule, (was, &asked)));
        }
    }
    report.sort_by_key(|found| found.span);
    accepted::hide(after, &mut report);
    report
}

/// What a rule asks of state.
struct Question<'p> {
    table: &'p TablePlan,
    place: (TableId, usize),
    measure: &'p Measure,
}

fn questions(program: &Program, rule: RuleId) -> Vec<Question<'_>> {
    let state = reads::of(program, rule).state;
    let asked = state.into_iter().filter_map(|place @ (table, at)| {
        let table = program.tables.get(usize::from(table.0))?;
        Some(Question { table, place, measure: table.spec.measures.get(at)? })
    });
    asked.collect()
}

impl Question<'_> {
    fn identity(&self) -> &str {
        self.table.identities.get(self.place.1).map_or("", String::as_str)
    }

    fn filter(&self) -> Option<&String> {
        self.measure.filter.and_then(|bit| self.table.filter_texts.get(usize::from(bit.0)))
    }

    fn column(&self) -> Option<&String> {
        let column = column_of(self.measure.kind)?;
        self.table.column_texts.get(usize::from(column.0))
    }

    /// How the fields that it rests on are read.
    fn origins(&self, program: &Program) -> BTreeSet<String> {
        let column = column_of(self.measure.kind);
        let column = column.and_then(|at| self.table.columns.get(usize::from(at.0)));
        let filter = self.measure.filter;
        let filter = filter.and_then(|bit| self.table.filters.get(usize::from(bit.0)));
        let nodes: Vec<NodeId> = column.into_iter().chain(filter).copied().collect();
        let mut lines = origins::of_values(program, self.table.event, &nodes);
        let event = program.schema.event(self.table.event);
        let keys = event.fields.iter().filter(|field| self.table.keys.contains(&field.slot));
        let key = |field: &Field| format!("{}.{}: {}", event.name, field.name, field.read());
        lines.extend(keys.map(key));
        lines
    }

    /// Whether all but the filter is the same.
    fn differs_by_filter(&self, other: &Question<'_>) -> bool {
        core::mem::discriminant(&self.measure.kind) == core::mem::discriminant(&other.measure.kind)
            && keys(self.table) == keys(other.table)
            && self.column() == other.column()
            && self.measure.window == other.measure.window
            && self.measure.counting == other.measure.counting
            && self.filter() != other.filter()
    }
}

/// Event and keys, without the number of a second table of the same.
fn keys(table: &TablePlan) -> &str {
    table.name.split(" #").next().unwrap_or_default()
}

/// Whether the events that count for a question were told apart before, for whatever rule.
fn is_remembered(before: &Program, asked: &Question<'_>) -> bool {
    let of_keys = || before.tables.iter().filter(|table| keys(table) == keys(asked.table));
    asked.filter().is_none_or(|filter| of_keys().any(|table| table.filter_texts.contains(filter)))
}

/// How a field was read and is read now, of the first that a question rests on and that is read otherwise than before.
struct Moved {
    was: String,
    is: String,
}

fn moved(
    before: &Program,
    was: &Question<'_>,
    (after, asked): &(&Program, &Question<'_>),
) -> Option<Moved> {
    let (old, new) = (was.origins(before), asked.origins(after));
    let is = new.difference(&old).next()?;
    // What stands before the sign is the name of a field; an event type has none.
    let name = |line: &str| line.split_once(": ").map(|(name, _)| name.to_owned());
    let same = old.difference(&new).find(|line| name(line) == name(is));
    Some(Moved { was: same.cloned().unwrap_or_default(), is: is.clone() })
}

fn moved_told(
    (after, rule): (&Program, RuleId),
    asked: &Question<'_>,
    moved: &Moved,
) -> Diagnostic {
    let name = after.rules.get(usize::from(rule.0)).map_or("", |info| &info.name);
    let message = format!(
        "rule `{name}` counts by what is read from elsewhere than before, and begins empty: {}",
        how_long(asked)
    );
    Diagnostic::new(codes::W0602, place(after, rule, asked), message)
        .with_label(format!("was `{}`, is `{}`", moved.was, moved.is))
        .with_help("let it fill in `mode shadow`, or fill it with `riskweir reload --backfill`")
}

/// Until the window of a question is full.
fn how_long(asked: &Question<'_>) -> String {
    let window = asked.measure.window;
    if window.is_lifetime() {
        return "the window never fills".to_owned();
    }
    let reach_ms = window.reach_ms();
    let length = duration(match window.calendar {
        // It is at most so long: whole days say enough.
        Some(Calendar::Before(_)) => (reach_ms / DAY_MS).saturating_add(1).saturating_mul(DAY_MS),
        _ => reach_ms,
    });
    format!("{length} until its window is full")
}

fn told(after: &Program, rule: RuleId, (was, asked): (&Question<'_>, &Question<'_>)) -> Diagnostic {
    let long = how_long(asked);
    let name = after.rules.get(usize::from(rule.0)).map_or("", |info| &info.name);
    let message =
        format!("rule `{name}` counts other events than before, and begins empty: {long}");
    Diagnostic::new(codes::W0602, place(after, rule, asked), message)
        .with_label(format!("was `{}`", was.identity()))
        .with_help("let it fill in `mode shadow`, or fill it with `riskweir reload --backfill`")
}

/// Where the rule asks, or its name where that is within something else.
fn place(program: &Program, rule: RuleId, asked: &Question<'_>) -> Span {
    let info = &program.rules[usize::from(rule.0)];
    for plan in &program.plans {
        for body in plan.rules.iter().filter(|body| body.rule == rule) {
            let mut open: Vec<NodeId> = roots(body).into_iter().collect();
            while let Some(id) = open.pop() {
                let Some(node) = plan.nodes.get(id.0 as usize) else { continue };
                node.op.each_operand(&mut |operand| open.push(operand));
                let Op::Reading(lookup, index) = node.op else { continue };
                let lookup = plan.lookups.get(usize::from(lookup.0));
                let is_asked = lookup.is_some_and(|lookup| {
                    let measure = lookup.measures.get(usize::from(index));
                    (lookup.table, measure.map(|id| usize::from(id.0)))
                        == (asked.place.0, Some(asked.place.1))
                });
                let words = body.words_of(id, node);
                if is_asked && words.is_within(info.span) {
                    return words;
                }
            }
        }
    }
    info.name_span
}
