//! Random events of the schema in [`super::rule_text`]: few keys, missing fields, equal times, late arrivals.

use riskweir::base::Currency;
use riskweir::event::row::Row;
use riskweir::event::schema::{EventId, FieldType, MoneyCurrency, Schema, SlotId};

use crate::support::dice::Dice;

/// How far an event may lie behind the newest one before it.
pub(crate) const MAX_LATENESS_MS: i64 = 10_000;

/// Just before a day begins somewhere: 2026-01-01 UTC (and a month), Sunday 2026-03-29 in Berlin, the Monday after it
/// (and a week), which comes an hour early, and 2026-05-01 in Kolkata.
const STARTS_MS: [i64; 4] =
    [1_767_225_570_000, 1_774_738_770_000, 1_774_821_570_000, 1_777_573_770_000];
const NOTES: [&str; 5] = ["note one", "b", "a longer note", "B", "Asia/Kolkata"];

/// Random rows with ids of their own.
pub(crate) fn rows(schema: &Schema, dice: Dice, n: usize) -> Vec<Row> {
    let mut stream = Stream::new(schema, dice);
    let row = |index| {
        let mut row = stream.next_row();
        let event = schema.event(row.event());
        let id = row.store_text(format!("id-{index}").as_bytes());
        row.set(event.field(event.id).slot, id.0);
        row
    };
    (0..n).map(row).collect()
}

/// Makes events in the order of their arrival.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    schema: &'a Schema,
    dice: Dice,
    newest_ms: i64,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(schema: &'a Schema, mut dice: Dice) -> Self {
        let newest_ms = dice.pick(&STARTS_MS);
        Self { schema, dice, newest_ms }
    }

    /// The next event.
    pub(crate) fn next_row(&mut self) -> Row {
        let event = EventId(self.dice.pick(&[0, 0, 1]));
        let step = self.dice.pick(&[0, 0, 1, 500, 999, 1_000, 1_001, 2_000, 5_000, 9_999, 30_000]);
        self.newest_ms += step;
        let time_ms = if self.dice.one_in(6) {
            self.newest_ms - self.dice.pick(&[1, 1_000, 3_000, MAX_LATENESS_MS])
        } else {
            self.newest_ms
        };
        let mut row = Row::default();
        row.reset(event, self.schema.event(event).n_slots);
        row.time_ms = time_ms;
        for field in &self.schema.event(event).fields {
            if field.optional && self.dice.one_in(3) {
                continue;
            }
            let word = match &field.ty {
                FieldType::Time { .. } => time_ms.cast_unsigned(),
                FieldType::Integer => self.dice.below(5),
                FieldType::Number => self.number(),
                FieldType::Bool => self.dice.below(2),
                FieldType::Country => self.dice.pick(&[0x4445, 0x4652, 0x4b50]),
                FieldType::OneOf(members) => self.dice.below(members.len() as u64),
                FieldType::Money { currency, .. } => {
                    self.set_currency(&mut row, currency);
                    self.dice.pick(&[
                        0,
                        50,
                        99,
                        100,
                        100,
                        150,
                        200,
                        300,
                        (-120_i64).cast_unsigned(),
                    ])
                }
                FieldType::Geo => {
                    let (lat, lon) = self.dice.pick(&[(52.5, 13.4), (48.1, 11.6), (52.4, 13.1)]);
                    let (lat, lon): (f64, f64) = (lat, lon);
                    row.set(SlotId(field.slot.0 + 1), lon.to_bits());
                    lat.to_bits()
                }
                _ => {
                    let text = match field.name.as_str() {
                        "note" => self.dice.pick(&NOTES).to_owned(),
                        name => format!("{}{}", &name[..1], self.dice.below(2)),
                    };
                    row.store_text(text.as_bytes()).0
                }
            };
            row.set(field.slot, word);
        }
        row
    }

    fn set_currency(&mut self, row: &mut Row, currency: &MoneyCurrency) {
        let code = self.dice.pick(&["EUR", "EUR", "USD"]);
        if let (MoneyCurrency::At(_, slot), Some(code)) = (currency, Currency::parse(code)) {
            row.set(*slot, u64::from(code.0));
        }
    }

    fn number(&mut self) -> u64 {
        let number: f64 = self.dice.pick(&[0.0, 0.1, 0.25, 0.5, 1.0, 1.25, 2.0, -1.5, 0.333_333_3]);
        number.to_bits()
    }
}
