//! Any bytes as a record of the shipped schema: never a panic, the same answer from a cold and a warm decoder, and what
//! is taken is what `serde_json` reads.

use std::sync::LazyLock;

use riskweir::event::digest::Digester;
use riskweir::event::schema::Schema;
use riskweir::event::{DecodeScratch, Decoder, Limits, Row};

use crate::support::fuzz::naive;

static SHIPPED: LazyLock<(Schema, Decoder)> = LazyLock::new(|| {
    let (program, report) = riskweir::rules::compile(&riskweir::demo::shipped::sources());
    let schema = program.unwrap_or_else(|| panic!("{report:#?}")).schema;
    let decoder = Decoder::new(&schema, Limits::default());
    (schema, decoder)
});

pub(crate) fn run(data: &[u8]) {
    let (schema, decoder) = &*SHIPPED;
    let (mut scratch, mut cold, mut warm) =
        (DecodeScratch::default(), Row::default(), Row::default());
    let answer = decoder.decode_any(data, &mut scratch, &mut cold);
    let again = decoder.decode_any(data, &mut scratch, &mut warm);
    assert_eq!((&answer, &cold), (&again, &warm), "cold and warm");
    naive::compare(schema, |_| true, (data, &cold), &answer);
    if answer.is_ok() {
        let event = schema.event(cold.event());
        let digester = Digester::new(event);
        let digests = |row: &Row| (digester.body(row, data), digester.id(row, data));
        assert_eq!(digests(&cold), digests(&warm));
        let topic = event.topic.as_deref().and_then(|topic| decoder.topic(topic));
        let topic = topic.expect("a topic of the schema");
        assert_eq!(decoder.decode(topic, data, &mut scratch, &mut warm), Ok(()));
        assert_eq!(cold, warm, "by topic and by all");
    }
    cells(decoder, data);
}

/// The same bytes as a row of a table: `name,value` per line.
fn cells(decoder: &Decoder, data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else { return };
    let pairs: Vec<(&str, &str)> =
        text.lines().map(|line| line.split_once(',').unwrap_or((line, ""))).collect();
    let (mut scratch, mut cold, mut warm) =
        (DecodeScratch::default(), Row::default(), Row::default());
    let answer = decoder.decode_pairs(None, &pairs, &mut scratch, &mut cold);
    let again = decoder.decode_pairs(None, &pairs, &mut scratch, &mut warm);
    assert_eq!((answer, cold), (again, warm), "cold and warm");
}
