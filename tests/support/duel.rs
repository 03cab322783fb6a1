//! The fast evaluator against the reference interpreter: one rule text over one stream of rows, verdict by verdict and
//! `let` by `let`.

use std::collections::{BTreeMap, BTreeSet};

use riskweir::base::{Currency, EntityKey, Tag, Value};
use riskweir::diag::FileId;
use riskweir::event::key::{key_of, key_parts};
use riskweir::event::row::Row;
use riskweir::event::schema::{EventId, SlotId};
use riskweir::rules::eval::trace::Trace;
use riskweir::rules::eval::{EvalPlan, Evaluator, Given, Host, Run, Verdict};
use riskweir::rules::oracle::{Datum, Judgement, Oracle};
use riskweir::rules::program::{EventPlan, ListId, LookupId, Program, TableId, TablePlan};
use riskweir::rules::syntax::parse;
use riskweir::state::table::{ReadAt, StateOptions, Table};
use riskweir::window::ReadPlan;
use riskweir::window::spec::{Coverage, Entry, FilterBit, History, ReadValue, Reading, Wanted};

use crate::support::rule_text::{GIVENS, LISTS, RATES};
use crate::support::stream::{MAX_LATENESS_MS, Stream};

/// Judges events by both and returns the verdicts. `seed` is what the message of a failure begins with.
pub(crate) fn duel(
    seed: &str,
    text: &str,
    program: &Program,
    (stream, n_events): (&mut Stream<'_>, usize),
) -> Vec<Verdict> {
    let (file, _) = parse(FileId(0), text);
    let files = [file];
    let lists: BTreeMap<String, BTreeSet<String>> = LISTS
        .iter()
        .map(|(name, members)| {
            ((*name).to_owned(), members.iter().map(|member| (*member).to_owned()).collect())
        })
        .collect();
    let mut oracle = Oracle::new(&files, &program.schema, lists).with_rates(RATES);
    for (name, _, members) in GIVENS {
        let gives = |value: i64| match name {
            "ceiling" => Datum::Money {
                micro: i128::from(value) * 1_000_000,
                currency: Currency::parse("EUR").unwrap(),
                varying: false,
                elsewhere: None,
            },
            _ => Datum::Integer(value),
        };
        let values = members.iter().map(|(member, value)| ((*member).to_owned(), gives(*value)));
        oracle = oracle.with_given(name, values.collect());
    }
    let mut engine = Fast::new(program);
    let mut verdicts = Vec::new();
    for number in 0..n_events {
        let row = stream.next_row();
        let slow: Vec<Judgement> = oracle.judge(&row, b"");
        let fast = engine.judge(&row);
        assert_eq!(fast.len(), slow.len(), "{seed}: as many rules apply to the event");
        for ((name, verdict, lets), slow) in fast.iter().zip(&slow) {
            let place = || {
                let (_, from) = text.split_once(&format!("rule {name}\n")).unwrap();
                let rule = from.split("\nrule ").next().unwrap_or_default();
                format!(
                    "{seed}, event {number}, rule {name}\n{rule}\nfast {lets:?}\nslow {:?}",
                    slow.lets
                )
            };
            assert_eq!(name, &slow.rule, "{seed}");
            for ((fast_name, fast, _), (slow_name, slow)) in lets.iter().zip(&slow.lets) {
                assert_eq!(fast_name, slow_name, "{seed}");
                assert!(same(*fast, slow), "{fast_name}: {fast:?} is not {slow:?}, {}", place());
            }
            for ((name, _, fast), slow) in lets.iter().zip(&slow.unpriced) {
                let slow = slow.unwrap_or(*fast);
                assert_eq!(*fast, slow, "{name} leaves amounts out, {}", place());
            }
            assert_eq!(*verdict, slow.verdict, "{}", place());
            verdicts.push(*verdict);
        }
    }
    verdicts
}

/// State and evaluator behind one function, as simply as can be.
struct Fast<'p> {
    program: &'p Program,
    plans: Vec<EvalPlan>,
    lookups: Vec<Vec<ReadPlan>>,
    tables: Vec<Table>,
    evaluator: Evaluator,
    clock_ms: i64,
    arrivals: u64,
}

/// A `let`: name, value, and whether amounts were left out of it for want of an exchange rate.
type Let = (String, Value, bool);

/// Rule, verdict, and the lets.
type Judged = (String, Verdict, Vec<Let>);

/// The entry of the present event in a table.
type OwnEntry = (TableId, u64, Vec<u64>);

impl<'p> Fast<'p> {
    fn new(program: &'p Program) -> Self {
        let options = StateOptions { lateness_ms: MAX_LATENESS_MS, ..StateOptions::default() };
        let new = |table: &TablePlan| Table::new(table.spec.clone(), options);
        let tables: Vec<Table> = program.tables.iter().map(new).collect();
        let events = (0..u16::try_from(program.plans.len()).unwrap()).map(EventId);
        let read_plans = |plan: &EventPlan| {
            let of = plan.lookups.iter();
            of.map(|lookup| tables[usize::from(lookup.table.0)].plan(&lookup.measures)).collect()
        };
        Self {
            program,
            plans: events.map(|event| EvalPlan::new(program, event).unwrap()).collect(),
            lookups: program.plans.iter().map(read_plans).collect(),
            tables,
            evaluator: Evaluator::new(),
            clock_ms: i64::MIN,
            arrivals: 0,
        }
    }

    fn judge(&mut self, row: &Row) -> Vec<Judged> {
        self.clock_ms = self.clock_ms.max(row.time_ms);
        self.tables.iter_mut().for_each(|table| table.advance(self.clock_ms));
        let index = usize::from(row.event);
        let plan = &self.program.plans[index];
        let eval = &self.plans[index];
        self.evaluator.begin(eval);
        self.arrivals += 1;
        self.evaluator.arrive(self.arrivals);
        let mut own: Vec<OwnEntry> = Vec::new();
        for table in &plan.tables {
            let mut state = State {
                plan,
                tables: &mut self.tables,
                lookups: &self.lookups[index],
                row,
                own: &mut [],
                program: self.program,
            };
            let mut run =
                Run { plan: eval, memo: &mut self.evaluator, row, raw: b"", host: &mut state };
            let mut words = Vec::new();
            let bits = run.entry(*table, &mut words);
            own.push((*table, bits, words));
        }
        let mut state = State {
            plan,
            tables: &mut self.tables,
            lookups: &self.lookups[index],
            row,
            own: &mut own,
            program: self.program,
        };
        let mut run =
            Run { plan: eval, memo: &mut self.evaluator, row, raw: b"", host: &mut state };
        run.decide_early();
        let judged = plan.rules.iter().map(|body| {
            let name = self.program.rules[usize::from(body.rule.0)].name.clone();
            let verdict = run.verdict(body);
            let trace = Trace { program: self.program, event: row.event() };
            let lets = body.lets.iter().map(|(name, node)| {
                let unpriced = trace.coverage_of(&mut run, *node) == Coverage::Unpriced;
                (name.clone(), run.value(*node), unpriced)
            });
            (name, verdict, lets.collect())
        });
        let judged = judged.collect();
        let late = plan.tables.iter().map(|table| {
            let mut words = Vec::new();
            (run.late_bits(*table, &mut words), words)
        });
        let late: Vec<(u64, Vec<(usize, u64)>)> = late.collect();
        for ((table, filters, mut words), (late, late_words)) in own.into_iter().zip(late) {
            let filters = filters | late;
            for (place, word) in late_words {
                words[place] = word;
            }
            let keys = &self.program.tables[usize::from(table.0)].keys;
            if let Some(key) = state_key(self.program, row, keys) {
                let entry = Entry { time_ms: row.time_ms, filters, words: &words };
                self.tables[usize::from(table.0)].insert(key, &entry);
            }
        }
        judged
    }
}

/// The key in these slots of an event.
fn state_key(program: &Program, row: &Row, slots: &[SlotId]) -> Option<EntityKey> {
    key_of(row, b"", &key_parts(program.schema.event(row.event()), slots))
}

struct State<'a> {
    plan: &'a EventPlan,
    tables: &'a mut [Table],
    lookups: &'a [ReadPlan],
    row: &'a Row,
    own: &'a mut [OwnEntry],
    program: &'a Program,
}

impl Host for State<'_> {
    fn reading(&mut self, lookup: LookupId, index: u16, given: Given<'_>) -> Reading {
        let at = usize::from(lookup.0);
        let lookup = &self.plan.lookups[at];
        let missing = Reading { value: ReadValue::Missing, coverage: Coverage::Complete };
        let Some(key) = state_key(self.program, self.row, &lookup.keys) else { return missing };
        let stored = &self.program.tables[usize::from(lookup.table.0)].keys;
        let own = self.own.iter().find(|(table, ..)| *table == lookup.table);
        let own = own.filter(|_| {
            lookup.same_event && state_key(self.program, self.row, stored) == Some(key)
        });
        let own = own.map(|(_, filters, words)| Entry {
            time_ms: self.row.time_ms,
            filters: *filters,
            words,
        });
        let probes: Vec<u64> = given.probes.iter().map(|probe| probe.unwrap_or(0)).collect();
        let ask = ReadAt {
            time_ms: self.row.time_ms,
            began_ms: i64::MIN,
            own: own.as_ref(),
            probes: &probes,
            starts: given.starts,
        };
        let mut out = vec![missing; lookup.measures.len()];
        self.tables[usize::from(lookup.table.0)].read(key, &self.lookups[at], &ask, &mut out);
        out[usize::from(index)]
    }

    fn history(
        &mut self,
        (lookup, mask): (LookupId, u64),
        within_ms: i64,
        out: &mut History,
    ) -> Coverage {
        let lookup = &self.plan.lookups[usize::from(lookup.0)];
        let Some(key) = state_key(self.program, self.row, &lookup.keys) else {
            return Coverage::Complete;
        };
        let until_ms = self.row.time_ms;
        let wanted = Wanted { mask, after_ms: until_ms - within_ms, until_ms };
        self.tables[usize::from(lookup.table.0)].history(key, &wanted, out)
    }

    fn count_own(&mut self, table: TableId, filter: FilterBit) {
        let own = self.own.iter_mut().find(|(known, ..)| *known == table).unwrap();
        own.1 |= 1 << filter.0;
    }

    fn list_contains(&mut self, list: ListId, text: &[u8]) -> bool {
        let name = &self.program.lists[usize::from(list.0)].name;
        let members = LISTS.iter().find(|(known, _)| known == name);
        members.is_some_and(|(_, members)| members.iter().any(|member| member.as_bytes() == text))
    }

    fn list_contains_tag(&mut self, list: ListId, tag: Tag) -> bool {
        let name = &self.program.lists[usize::from(list.0)].name;
        let members = LISTS.iter().find(|(known, _)| known == name);
        members.is_some_and(|(_, members)| {
            members.iter().any(|member| Tag::of_text(member.as_bytes()) == tag)
        })
    }
}

fn same(fast: Value, slow: &Datum) -> bool {
    match (fast, slow) {
        (Value::Missing, Datum::Missing) => true,
        (Value::Bool(a), Datum::Bool(b)) => a == *b,
        (Value::Int(a), Datum::Integer(b) | Datum::Duration(b) | Datum::Time(b)) => a == *b,
        (Value::Number(a), Datum::Number(b)) => {
            a.partial_cmp(b) == Some(core::cmp::Ordering::Equal)
        }
        // Where an integer may meet a number the static type is a number, the value may still be whole.
        (Value::Int(a), Datum::Number(b)) => a.to_string() == b.to_string(),
        (Value::Money(a), Datum::Money { micro, .. }) => a == *micro,
        _ => false,
    }
}
