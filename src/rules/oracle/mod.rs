//! The reference semantics of the rule language: a plain interpreter of the author's tree.
//!
//! It knows nothing of compiled programs, shared state or windows kept up to date. It keeps every event that ever
//! arrived, and computes each aggregate by walking all of them, for each event and rule anew. It is slow on purpose:
//! property tests hold the fast path to it, and whoever wonders what a construct means reads it here.
//!
//! It presumes a rule set that the checker accepts; what the checker refuses has no meaning and is missing here.
//! An event is judged as of its own time among the events that arrived before it (and itself); nothing is ever
//! forgotten, so the bounds on lateness and retention of the real state do not apply.
//!
//! Cost: events squared, times rules, times aggregates.

mod aggregate;
mod arithmetic;
pub mod datum;
mod exact;
mod interpret;
mod kept;
mod rates;
mod sequence;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::base::Currency;
use crate::event::row::Row;
use crate::event::schema::{EventId, FieldId, Schema};
use crate::rules::eval::{Truth, Verdict};
pub use crate::rules::oracle::datum::Datum;
use crate::rules::oracle::interpret::Scope;
use crate::rules::syntax::ast::{
    ClauseKind, Expr, ExprKind, File, Item, Mode, PolicyClauseKind, Rule,
};

/// An event as it arrived.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Past {
    /// Its fields.
    pub row: Row,
    /// The record that its texts point into.
    pub raw: Vec<u8>,
}

/// What one rule says about one event.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Name of the rule.
    pub rule: String,
    /// Its verdict, before `if missing` is applied.
    pub verdict: Verdict,
    /// The values of its `let`s in the author's order (statistics as their rounded value).
    pub lets: Vec<(String, Datum)>,
    /// For each of them that is an aggregate: whether it leaves out amounts that have no exchange rate.
    pub unpriced: Vec<Option<bool>>,
}

/// The reference interpreter with everything it has seen.
#[derive(Debug)]
pub struct Oracle<'a> {
    schema: &'a Schema,
    rules: Vec<&'a Rule>,
    features: BTreeMap<&'a str, &'a Expr>,
    lists: BTreeMap<String, BTreeSet<String>>,
    /// What members of lists give, by list and member.
    givens: BTreeMap<String, BTreeMap<String, Datum>>,
    base: Currency,
    zone: TimeZone,
    /// How long a rate counts, where the policy names a table.
    rates_expire_ms: Option<i64>,
    rates: Option<rates::Table>,
    history: Vec<Past>,
    /// What features were, by their names and the place of the event in the order of arrival.
    known: RefCell<BTreeMap<(String, usize), Datum>>,
}

impl<'a> Oracle<'a> {
    /// An oracle over the files of a rule set. `lists` are the members that never change while it runs.
    pub fn new(
        files: &'a [File],
        schema: &'a Schema,
        lists: BTreeMap<String, BTreeSet<String>>,
    ) -> Self {
        let mut oracle = Self {
            schema,
            rules: Vec::new(),
            features: BTreeMap::new(),
            lists,
            givens: BTreeMap::new(),
            base: euro(),
            zone: TimeZone::UTC,
            rates_expire_ms: None,
            rates: None,
            history: Vec::new(),
            known: RefCell::default(),
        };
        for item in files.iter().flat_map(|file| &file.items) {
            match item {
                Item::Rule(rule) if acts(rule) => oracle.rules.push(rule),
                Item::Feature(feature) => {
                    oracle.features.insert(&feature.name.text, &feature.expr);
                }
                Item::Policy(policy) => {
                    policy.clauses.iter().for_each(|clause| oracle.obey(&clause.kind));
                }
                _ => {}
            }
        }
        oracle.rules.sort_by_key(|rule| &rule.name.text);
        oracle
    }

    /// The same with a table of exchange rates, used where the policy names one. A line is `date,currency,rate`; the
    /// first line says so, or `date,currency,per_base`.
    #[must_use]
    pub fn with_rates(mut self, text: &str) -> Self {
        let expires_ms = self.rates_expire_ms;
        self.rates = expires_ms.map(|ms| rates::Table::read(text, self.base, &self.zone, ms));
        self
    }

    /// The same with a list whose members give values.
    #[must_use]
    pub fn with_given(mut self, list: &str, values: BTreeMap<String, Datum>) -> Self {
        self.givens.insert(list.to_owned(), values);
        self
    }

    /// Judges an event by every rule on its type, in the order of their names, then remembers it.
    pub fn judge(&mut self, row: &Row, raw: &[u8]) -> Vec<Judgement> {
        let present = Past { row: row.clone(), raw: raw.to_vec() };
        // WHY: one that asks for itself of every event before it would go as deep as there are events.
        for name in self.features.keys() {
            self.feature(&Scope::new(&present, self.history.len()), name);
        }
        let judged = self.rules.iter().filter_map(|rule| self.apply(rule, &present)).collect();
        self.history.push(present);
        judged
    }

    fn apply(&self, rule: &'a Rule, present: &Past) -> Option<Judgement> {
        let event = present.row.event();
        let name = &self.schema.event(event).name;
        let mut scope = Scope::new(present, self.history.len());
        let mut guard = None;
        let mut when = None;
        let mut unless = None;
        for clause in &rule.clauses {
            match &clause.kind {
                ClauseKind::On(events, condition) => {
                    events.iter().find(|on| on.text == *name)?;
                    guard = condition.as_ref();
                }
                ClauseKind::Param(param) => {
                    scope.params.insert(&param.name.text, &param.value);
                }
                ClauseKind::Let(name, expr) => scope.lets.push((&name.text, expr)),
                ClauseKind::When(condition) => when = Some(condition),
                ClauseKind::Unless(condition) => unless = Some(condition),
                _ => {}
            }
        }
        let verdict = self.verdict(&scope, guard, when?, unless);
        let lets = scope.lets.iter().map(|(name, expr)| {
            let value = self.value(&scope, expr).plain().settled(self.base);
            ((*name).to_owned(), value)
        });
        let unpriced = scope.lets.iter().map(|(_, expr)| match &expr.kind {
            ExprKind::Aggregate(aggregate) => Some(self.leaves_out(&scope, aggregate)),
            _ => None,
        });
        let (lets, unpriced) = (lets.collect(), unpriced.collect());
        Some(Judgement { rule: rule.name.text.clone(), verdict, lets, unpriced })
    }

    fn verdict(
        &self,
        scope: &Scope<'_>,
        guard: Option<&Expr>,
        when: &Expr,
        unless: Option<&Expr>,
    ) -> Verdict {
        let applies = guard.is_none_or(|guard| self.truth(scope, guard) == Truth::True);
        let exempt = unless.is_some_and(|unless| self.truth(scope, unless) == Truth::True);
        match (applies, self.truth(scope, when), exempt) {
            (false, _, _) => Verdict::NotApplicable,
            (true, Truth::False, _) => Verdict::NoHit,
            (true, _, true) => Verdict::Exempt,
            (true, Truth::True, false) => Verdict::Hit,
            (true, Truth::Undecided, false) => Verdict::Undecided,
        }
    }

    fn obey(&mut self, clause: &PolicyClauseKind) {
        match clause {
            PolicyClauseKind::BaseCurrency(name) => {
                self.base = packed(&name.text);
            }
            PolicyClauseKind::Rates { expires_ms, .. } => {
                const WEEK_MS: i64 = 604_800_000;
                self.rates_expire_ms = Some(expires_ms.unwrap_or(WEEK_MS));
            }
            PolicyClauseKind::Timezone(name) => {
                let known = TimeZoneDatabase::bundled().get(&name.text);
                self.zone = known.unwrap_or(TimeZone::UTC);
            }
            _ => {}
        }
    }

    /// The field that an event has under this name or under an entity's name.
    fn field(&self, event: EventId, name: &str) -> Option<FieldId> {
        let by_name = self.schema.event(event).field_named(name);
        by_name.or_else(|| {
            let role = self.schema.roles.iter().find(|role| role.name == name)?;
            role.fields.iter().find(|(of, _)| *of == event).map(|(_, field)| *field)
        })
    }
}

/// Draft and retired rules are never evaluated.
fn acts(rule: &Rule) -> bool {
    !rule
        .clauses
        .iter()
        .any(|clause| matches!(clause.kind, ClauseKind::Mode(Mode::Draft | Mode::Retired)))
}

fn euro() -> Currency {
    packed("EUR")
}

/// A currency by its three letters.
fn packed(code: &str) -> Currency {
    Currency(code.bytes().fold(0, |word, letter| word << 8 | u32::from(letter)))
}
