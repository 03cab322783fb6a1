//! Which rules the fields of an event rule out, asked for all rules of the event type at once.
//!
//! Most rules begin with tests of fields against constants, and on most events one of these fails. The integers that
//! stand for a field's values fall into stretches between the constants that rules compare it with; for each stretch one
//! bit per rule says whether a value in it may pass all of that rule's tests of that field. An event is then one search
//! and one `and` of bits per field, however many rules there are.
//!
//! What comes out is on the safe side: a rule that stays open is judged in full.

use crate::event::row::Row;
use crate::rules::eval::field_test::{FieldTest, Range, Reader};

/// Most stretches that a field is cut into. Beyond it neighbours are joined, which leaves more rules open.
const MOST_STRETCHES: usize = 1_024;

/// Rules per word of bits.
const WORD: usize = 64;

/// The tests of fields that the rules of one event type stand or fall with.
#[derive(Clone, Debug, Default)]
pub(super) struct Gates {
    n_rules: usize,
    columns: Vec<Column>,
}

/// What a rule stands or falls with: the field has a value in one of the ranges.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    /// The rule, by its place in the event type.
    pub(super) rule: usize,
    /// The field.
    pub(super) reader: Reader,
    /// What passes.
    pub(super) any_of: Vec<Range>,
}

impl Gate {
    /// From tests of which one has to pass, if they read the same field.
    pub(super) fn of(rule: usize, tests: &[FieldTest]) -> Option<Self> {
        let reader = tests.first()?.reader;
        let any_of = tests.iter().map(|test| test.range).collect();
        tests.iter().all(|test| test.reader == reader).then_some(Self { rule, reader, any_of })
    }
}

/// One field, as it is read by the same means.
#[derive(Clone, Debug)]
struct Column {
    reader: Reader,
    /// First member of each stretch, ascending; the first stretch begins at the smallest integer.
    starts: Vec<i64>,
    /// By stretch, as many words as the rules need.
    open: Vec<u64>,
}

impl Gates {
    /// For so many rules.
    ///
    /// # Cost
    /// For each field the product of its ranges and its stretches.
    pub(super) fn new(n_rules: usize, gates: &[Gate]) -> Self {
        let mut readers: Vec<Reader> = Vec::new();
        for gate in gates.iter().filter(|gate| gate.rule < n_rules) {
            if !readers.contains(&gate.reader) {
                readers.push(gate.reader);
            }
        }
        let columns = readers.into_iter().map(|reader| {
            let own: Vec<&Gate> = gates.iter().filter(|gate| gate.reader == reader).collect();
            Column::new(reader, n_rules, &own)
        });
        Self { n_rules, columns: columns.collect() }
    }

    /// Writes one bit per rule, by its place: 0 where the fields of the event rule it out.
    ///
    /// # Cost
    /// For each field a search among its stretches and an `and` for every 64 rules. Allocates only to grow.
    pub(super) fn sift(&self, row: &Row, open: &mut Vec<u64>) {
        open.clear();
        open.resize(self.n_rules.div_ceil(WORD), u64::MAX);
        if let Some(last) = open.last_mut() {
            *last >>= (WORD - self.n_rules % WORD) % WORD;
        }
        for column in &self.columns {
            // What is not there fails no test.
            let Some(x) = column.reader.read(row) else { continue };
            for (word, may) in open.iter_mut().zip(column.at(x, self.n_rules.div_ceil(WORD))) {
                *word &= may;
            }
        }
    }
}

impl Column {
    fn new(reader: Reader, n_rules: usize, gates: &[&Gate]) -> Self {
        let starts = starts(gates);
        let n_words = n_rules.div_ceil(WORD);
        let mut open = vec![u64::MAX; starts.len() * n_words];
        for (stretch, words) in open.chunks_mut(n_words.max(1)).enumerate() {
            let Some(low) = starts.get(stretch).copied() else { continue };
            let high = starts.get(stretch + 1).map_or(i64::MAX, |next| next.saturating_sub(1));
            let may_pass = |gate: &Gate| gate.any_of.iter().any(|range| range.meets(low, high));
            for gate in gates.iter().filter(|gate| !may_pass(gate)) {
                if let Some(word) = words.get_mut(gate.rule / WORD) {
                    *word &= !(1 << (gate.rule % WORD));
                }
            }
        }
        Self { reader, starts, open }
    }

    fn at(&self, x: i64, n_words: usize) -> &[u64] {
        let stretch = self.starts.partition_point(|start| *start <= x).saturating_sub(1);
        self.open.get(stretch * n_words..(stretch + 1) * n_words).unwrap_or_default()
    }
}

/// Where the stretches begin within which no gate comes out differently, or every so many of them.
fn starts(gates: &[&Gate]) -> Vec<i64> {
    let mut starts = vec![i64::MIN];
    for range in gates.iter().flat_map(|gate| &gate.any_of) {
        starts.push(range.low);
        starts.extend(range.high.checked_add(1));
    }
    starts.sort_unstable();
    starts.dedup();
    let step = starts.len().div_ceil(MOST_STRETCHES);
    starts.into_iter().step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::event::schema::{EventId, SlotId};
    use crate::rules::eval::field_test::CurrencyCheck;
    use crate::rules::syntax::ast::CompareOp;

    const OPS: [CompareOp; 6] =
        [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];

    /// Slots: an integer, a number, a word, money and its currency.
    const CURRENCY: SlotId = SlotId(4);

    fn test() -> impl Strategy<Value = FieldTest> {
        let op = || prop::sample::select(&OPS);
        let int = prop_oneof![-5_i64..5, Just(i64::MIN), Just(i64::MAX)];
        let currency = prop_oneof![
            Just(CurrencyCheck { slot: None, code: 0 }),
            (1_u32..3).prop_map(|code| CurrencyCheck { slot: Some(CURRENCY), code }),
        ];
        prop_oneof![
            (op(), int).prop_map(|(op, x)| FieldTest::int(SlotId(0), op, x)),
            (op(), -2.0..2.0).prop_map(|(op, x)| FieldTest::number(SlotId(1), op, x)),
            (0_u32..4, any::<bool>()).prop_map(|(word, not)| FieldTest::word(SlotId(2), word, not)),
            (op(), currency, -30_i128..30).prop_map(|(op, currency, x)| FieldTest::money(
                SlotId(3),
                currency,
                op,
                x
            )),
        ]
    }

    /// One to three tests of which one has to pass, of one field.
    fn gate() -> impl Strategy<Value = Vec<FieldTest>> {
        let any_of = prop::collection::vec(test(), 1..4);
        prop_oneof![
            3 => test().prop_map(|test| vec![test]),
            1 => any_of.prop_map(|mut tests| {
                let reader = tests[0].reader;
                tests.retain(|test| test.reader == reader);
                tests
            }),
        ]
    }

    fn rows() -> impl Strategy<Value = Row> {
        let int =
            prop_oneof![-6_i64..6, Just(i64::MIN), Just(i64::MAX)].prop_map(i64::cast_unsigned);
        let number = (-2.0..2.0).prop_map(f64::to_bits);
        let minor = (-6_i64..6).prop_map(i64::cast_unsigned);
        let words =
            [int.boxed(), number.boxed(), (0_u64..5).boxed(), minor.boxed(), (0_u64..3).boxed()];
        words.map(prop::option::of).prop_map(|words| {
            let mut row = Row::default();
            row.reset(EventId(0), 5);
            for (slot, word) in (0_u16..).zip(words) {
                if let Some(word) = word {
                    row.set(SlotId(slot), word);
                }
            }
            row
        })
    }

    type Ruled = (usize, Vec<FieldTest>);

    fn gates(n_rules: usize, ruled: &[Ruled]) -> Gates {
        let gates: Vec<Gate> =
            ruled.iter().map(|(rule, tests)| Gate::of(*rule, tests).unwrap()).collect();
        Gates::new(n_rules, &gates)
    }

    /// Test by test: a rule is open unless all tests of one of its gates are known to fail.
    fn one_by_one(n_rules: usize, ruled: &[Ruled], row: &Row) -> Vec<bool> {
        let shut = |(_, tests): &&Ruled| tests.iter().all(|test| test.outcome(row).fails());
        let is_open = |rule| !ruled.iter().filter(|(of, _)| *of == rule).any(|ruled| shut(&ruled));
        (0..n_rules).map(is_open).collect()
    }

    fn sifted(gates: &Gates, row: &Row, n_rules: usize) -> Vec<bool> {
        let mut open = vec![7; 9];
        gates.sift(row, &mut open);
        let bit = |rule: usize| open[rule / WORD] >> (rule % WORD) & 1 == 1;
        assert_eq!(open.iter().map(|word| word.count_ones()).sum::<u32>() as usize, {
            (0..n_rules).filter(|rule| bit(*rule)).count()
        });
        (0..n_rules).map(bit).collect()
    }

    proptest! {
        #[test]
        fn what_is_open_is_what_no_test_rules_out(
            n_rules in 1_usize..200,
            ruled in prop::collection::vec((0_usize..200, gate()), 0..60),
            rows in prop::collection::vec(rows(), 1..20),
        ) {
            let ruled: Vec<_> = ruled.into_iter().map(|(rule, tests)| (rule % n_rules, tests)).collect();
            let gates = gates(n_rules, &ruled);
            for row in &rows {
                prop_assert_eq!(sifted(&gates, row, n_rules), one_by_one(n_rules, &ruled, row));
            }
        }
    }

    #[test]
    fn joined_stretches_leave_open_whatever_may_pass() {
        let n_rules = 4_000;
        let test = |rule: usize| {
            let op = if rule.is_multiple_of(2) { CompareOp::Eq } else { CompareOp::Lt };
            FieldTest::int(SlotId(0), op, i64::try_from(rule).unwrap())
        };
        let ruled: Vec<_> = (0..n_rules).map(|rule| (rule, vec![test(rule)])).collect();
        let gates = gates(n_rules, &ruled);
        assert!(gates.columns[0].starts.len() <= MOST_STRETCHES);
        for x in (-50_i64..4_100).step_by(61).chain([i64::MIN, i64::MAX]) {
            let mut row = Row::default();
            row.reset(EventId(0), 1);
            row.set(SlotId(0), x.cast_unsigned());
            let needed = one_by_one(n_rules, &ruled, &row);
            let open = sifted(&gates, &row, n_rules);
            assert!(needed.iter().zip(&open).all(|(needed, open)| *open || !*needed), "{x}");
            // By hand: 4,000 constants cut the integers at some 4,000 places, of which every fourth is kept; the rules
            // with a constant within three of the value may be open beside those that have to be.
            let extra = open.iter().zip(&needed).filter(|(open, needed)| **open && !**needed);
            assert!(extra.count() <= 4, "{x}");
        }
    }
}
