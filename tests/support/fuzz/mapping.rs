//! A random schema, and records with any JSON values in its fields: what is taken is what `serde_json` and plain
//! look-ups say, and a record in which every field is as declared is taken.

use riskweir::event::{DecodeScratch, Decoder, Limits, Row};

use crate::support::dice::Dice;
use crate::support::fuzz::{events, naive};

const RECORDS: usize = 4;

pub(crate) fn run(data: &[u8]) {
    taken(data);
}

/// Does it, and says how many records were taken.
pub(crate) fn taken(data: &[u8]) -> usize {
    let mut n_taken = 0;
    let mut dice = Dice::from(data);
    let schema = events::schema(&mut dice);
    let decoder = Decoder::new(&schema, Limits::default());
    let mut scratch = DecodeScratch::default();
    for _ in 0..RECORDS {
        let record = events::record(&schema, &mut dice);
        let raw = record.text.as_bytes();
        let (mut row, mut cold) = (Row::default(), Row::default());
        let answer = decoder.decode_any(raw, &mut scratch, &mut row);
        let fresh = decoder.decode_any(raw, &mut DecodeScratch::default(), &mut cold);
        assert_eq!((&answer, &row), (&fresh, &cold), "warm and cold: {}", record.text);
        if record.as_declared {
            assert_eq!(answer, Ok(()), "{}\n{schema:#?}", record.text);
        }
        naive::compare(&schema, |_| true, (raw, &row), &answer);
        n_taken += usize::from(answer.is_ok());
    }
    n_taken
}
