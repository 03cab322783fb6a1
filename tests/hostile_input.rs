//! Hostile and messy records against the decoder, through its public interface: one test per row of the list of input
//! faults (H1 to H10, H14). Expected values are worked out by hand.

#![expect(clippy::unwrap_used, reason = "helpers of tests: what they unwrap is checked input")]

use riskweir::base::{Currency, TextRef};
use riskweir::event::schema::{
    EntityId, EventId, EventType, Field, FieldId, FieldType, MoneyCurrency, MoneyUnit, Pointer,
    Role, Schema, SlotId, TimeUnit,
};
use riskweir::event::{DecodeError, DecodeScratch, Decoder, Digester, Limits, Reason, Row};

fn pointer(text: &str) -> Pointer {
    Pointer(text.split('/').skip(1).map(str::to_owned).collect())
}

fn field(slot: u16, name: &str, role: Role, ty: FieldType, from: &str) -> Field {
    let from = from.split(' ').map(pointer).collect();
    Field {
        name: name.into(),
        role,
        ty,
        optional: role == Role::Plain,
        from,
        slot: SlotId(slot),
        sensitive: None,
        tokenized: false,
    }
}

/// Payments with an amount in a currency of their own, a score, a sequence number and an account.
fn schema() -> Schema {
    let money = FieldType::Money {
        currency: MoneyCurrency::At(pointer("/amount/currency"), SlotId(3)),
        unit: MoneyUnit::Major,
    };
    let fields = vec![
        field(0, "id", Role::Id, FieldType::Text, "/id"),
        field(1, "at", Role::Time, FieldType::Time { unit: TimeUnit::Millis }, "/ts"),
        field(2, "amount", Role::Plain, money, "/amount/value"),
        field(4, "score", Role::Plain, FieldType::Number, "/score"),
        field(5, "seq", Role::Plain, FieldType::Integer, "/seq"),
        field(6, "account", Role::Plain, FieldType::Entity(EntityId(0)), "/account"),
        field(
            7,
            "kind",
            Role::Plain,
            FieldType::OneOf(vec!["payment".into(), "refund".into()]),
            "/kind",
        ),
    ];
    let payment = EventType {
        name: "payment".into(),
        topic: Some("payments".into()),
        discriminator: None,
        fields,
        id: FieldId(0),
        time: FieldId(1),
        n_slots: 8,
        labels: None,
        answers: None,
    };
    Schema {
        events: vec![payment],
        entities: vec!["account".into()],
        roles: Vec::new(),
        ..Schema::default()
    }
}

/// Decodes one record; the row comes with it.
fn decode_with(limits: Limits, raw: &[u8]) -> Result<Row, DecodeError> {
    let decoder = Decoder::new(&schema(), limits);
    let mut row = Row::default();
    let topic = decoder.topic("payments").unwrap();
    decoder.decode(topic, raw, &mut DecodeScratch::default(), &mut row)?;
    Ok(row)
}

fn decode(raw: impl AsRef<[u8]>) -> Result<Row, DecodeError> {
    decode_with(Limits::default(), raw.as_ref())
}

/// A record with these members beside id and time.
fn record(members: &str) -> String {
    format!(r#"{{"id":"p1","ts":1700000000000{members}}}"#)
}

#[track_caller]
fn refused(raw: impl AsRef<[u8]>, reason: Reason) {
    assert_eq!(decode(raw).map_err(|error| error.reason), Err(reason));
}

#[track_caller]
fn refused_field(members: &str, reason: Reason, field: &str) {
    let error = decode(record(members)).unwrap_err();
    assert_eq!((error.reason, error.field.as_deref()), (reason, Some(field)), "{members}");
}

#[track_caller]
fn amount(value: &str, currency: &str, expected: i64) {
    let members = format!(r#","amount":{{"value":{value},"currency":"{currency}"}}"#);
    let row = decode(record(&members)).unwrap();
    assert_eq!(row.get(SlotId(2)).map(u64::cast_signed), Some(expected), "{members}");
    let code = Currency::parse(currency).unwrap().0;
    assert_eq!(row.get(SlotId(3)), Some(u64::from(code)));
}

#[test]
fn h1_bytes_that_are_no_text_are_refused_with_a_reason_of_their_own() {
    refused(b"", Reason::Empty);
    refused(b" \n\t ", Reason::Empty);
    refused(b"\xef\xbb\xbf{}", Reason::Bom);
    refused(b"{\"id\":\"\xff\"}", Reason::InvalidUtf8);
    refused(b"{\"id\":\"\xc0\xaf\"}", Reason::InvalidUtf8);
    refused(b"{\"id\":\"\xed\xa0\x80\"}", Reason::InvalidUtf8);
    refused(b"\0", Reason::InvalidJson);
    refused(b"{\"id\":\"a\0b\"}", Reason::InvalidJson);
    refused(b"[]", Reason::NotAnObject);
    refused(b"\"{}\"", Reason::NotAnObject);
    refused(b"[1,", Reason::InvalidJson);
    refused(b"{} {}", Reason::InvalidJson);
    let error = decode(b"{\"id\":\"\xff\"}").unwrap_err();
    assert_eq!(error.offset, Some(7));
}

#[test]
fn h2_a_record_over_the_cap_is_refused_before_it_is_parsed() {
    let long = format!("{{\"id\":\"{}", "x".repeat(10_000_000));
    refused(&long, Reason::TooLarge);
    let limits = Limits { max_record_bytes: 34, ..Limits::default() };
    let exact = br#"{"id":"p1","ts":1700000000000,"a"}"#;
    assert_eq!(decode_with(limits, exact).unwrap_err().reason, Reason::InvalidJson);
    let over = br#"{"id":"p1","ts":1700000000000,"ab"}"#;
    assert_eq!(decode_with(limits, over).unwrap_err().reason, Reason::TooLarge);
}

#[test]
fn h2_long_texts_and_arrays_below_the_cap_are_read_within_their_bounds() {
    let array = format!(",\"items\":[{}1]", "1,".repeat(400_000));
    assert!(decode(record(&array)).is_ok());
    let id = |n: usize| format!("{{\"id\":\"{}\",\"ts\":1}}", "x".repeat(n));
    assert!(decode(id(4096)).is_ok());
    refused(id(4097), Reason::TextTooLong);
    // Escapes count as what they stand for: 4096 characters of one byte each.
    let escaped = format!("{{\"id\":\"{}\",\"ts\":1}}", "\\u0061".repeat(4096));
    assert!(decode(escaped).is_ok());
}

#[test]
fn h3_a_depth_bomb_is_refused_without_recursion() {
    for bracket in ["[", "{\"a\":"] {
        refused(bracket.repeat(100_000), Reason::TooDeep);
        refused(record(&format!(",\"x\":{}", bracket.repeat(100_000))), Reason::TooDeep);
    }
    let limits = Limits { max_depth: u32::MAX, max_keys: u32::MAX, ..Limits::default() };
    let bomb = record(&format!(",\"x\":{}", "[".repeat(500_000)));
    assert_eq!(decode_with(limits, bomb.as_bytes()).unwrap_err().reason, Reason::InvalidJson);
    let nested = |n: usize| record(&format!(",\"x\":{}{}", "[".repeat(n), "]".repeat(n)));
    assert!(decode(nested(63)).is_ok());
    refused(nested(64), Reason::TooDeep);
}

#[test]
fn h4_a_key_twice_is_refused_wherever_it_stands_and_however_it_is_written() {
    for members in [
        r#","id":"p2""#,
        r#","amount":{"value":1,"value":1000,"currency":"EUR"}"#,
        r#","unmapped":1,"unmapped":2"#,
        r#","unmapped":{"a":1,"a":2}"#,
        r#","unmapped":[[{"a":1,"\u0061":2}]]"#,
        r#","\u0069d":"p2""#,
        r#","\u0078":1,"x":2"#,
        r#","x":1,"\u0078":2"#,
        r#","":1,"":2"#,
    ] {
        refused(record(members), Reason::DuplicateKey);
    }
    assert!(decode(record(r#","x":{"id":1},"y":{"id":1}"#)).is_ok());
}

#[test]
fn h4_duplicates_are_found_by_a_decoder_that_has_learned_the_keys() {
    let schema = schema();
    let decoder = Decoder::new(&schema, Limits::default());
    let topic = decoder.topic("payments").unwrap();
    let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
    let good = record(r#","x":1,"y":2"#);
    let bad = record(r#","x":1,"x":2"#);
    for _ in 0..3 {
        assert!(decoder.decode(topic, good.as_bytes(), &mut scratch, &mut row).is_ok());
        let error = decoder.decode(topic, bad.as_bytes(), &mut scratch, &mut row).unwrap_err();
        assert_eq!(error.reason, Reason::DuplicateKey);
    }
}

#[test]
fn h5_numbers_are_exact_or_refused() {
    refused(record(r#","score":NaN"#), Reason::InvalidJson);
    refused(record(r#","score":Infinity"#), Reason::InvalidJson);
    refused_field(r#","score":1e999"#, Reason::BadNumber, "payment.score");
    refused_field(r#","score":-1e999"#, Reason::BadNumber, "payment.score");
    // A number whose millionths do not fit 64 bits: no window could remember it, so it is not taken either.
    refused_field(r#","score":9223372036855"#, Reason::BadNumber, "payment.score");
    refused_field(r#","score":-9223372036855"#, Reason::BadNumber, "payment.score");
    refused_field(r#","score":"5""#, Reason::WrongType, "payment.score");
    refused_field(r#","seq":1.0"#, Reason::BadNumber, "payment.seq");
    refused_field(r#","seq":1e3"#, Reason::BadNumber, "payment.seq");
    refused_field(r#","seq":9223372036854775808"#, Reason::BadNumber, "payment.seq");
    let seq = |text: &str| {
        decode(record(&format!(",\"seq\":{text}"))).unwrap().get(SlotId(5)).map(u64::cast_signed)
    };
    assert_eq!(seq("9223372036854775807"), Some(i64::MAX));
    assert_eq!(seq("-9223372036854775808"), Some(i64::MIN));
    assert_eq!(seq("9007199254740993"), Some(9_007_199_254_740_993));
    assert_eq!(seq("-0"), Some(0));
    let score = |text: &str| decode(record(&format!(",\"score\":{text}"))).unwrap().get(SlotId(4));
    assert_eq!(score("-0"), Some(0), "one zero only");
    assert_eq!(score("-0.0"), Some(0));
    assert_eq!(score("2.5e-1"), Some(0.25_f64.to_bits()));
    assert_eq!(score("1e-999"), Some(0));
    assert_eq!(score("9223372036854"), Some(9_223_372_036_854_f64.to_bits()));
    assert_eq!(score("-9223372036854"), Some((-9_223_372_036_854_f64).to_bits()));
}

#[test]
fn h5_amounts_never_pass_through_a_binary_fraction() {
    // 0.1 + 0.2 and 2^53 + 1 cents are where binary fractions go wrong.
    amount("0.1", "EUR", 10);
    amount("90071992547409.93", "EUR", 9_007_199_254_740_993);
    amount("\"90071992547409.93\"", "EUR", 9_007_199_254_740_993);
    amount("92233720368547758.07", "EUR", i64::MAX);
    amount("1.005e3", "EUR", 100_500);
    amount("-0", "EUR", 0);
    amount("1.1e1", "JPY", 11);
    let money = |value: &str| format!(r#","amount":{{"value":{value},"currency":"EUR"}}"#);
    for (value, reason) in [
        ("12.505", Reason::AmountTooPrecise),
        ("1e-3", Reason::AmountTooPrecise),
        ("92233720368547758.08", Reason::AmountTooLarge),
        ("1e999", Reason::AmountTooLarge),
        ("9999999999999999999999999999999999999999", Reason::AmountTooLarge),
        ("\"1,50\"", Reason::BadAmount),
        ("\"\"", Reason::BadAmount),
        ("\"NaN\"", Reason::BadAmount),
        ("true", Reason::WrongType),
        ("{}", Reason::WrongType),
        ("[1]", Reason::WrongType),
    ] {
        refused_field(&money(value), reason, "payment.amount");
    }
}

#[test]
fn h6_negative_and_zero_amounts_are_read_as_they_are() {
    amount("-12.50", "EUR", -1250);
    amount("0", "EUR", 0);
    amount("\"-0.01\"", "EUR", -1);
    let row = decode(record(r#","kind":"refund""#)).unwrap();
    assert_eq!(row.get(SlotId(7)), Some(1));
    refused_field(r#","kind":"reversal""#, Reason::UnknownMember, "payment.kind");
    refused_field(r#","kind":"Refund""#, Reason::UnknownMember, "payment.kind");
}

#[test]
fn h7_currencies_decide_the_minor_digits_and_must_be_known() {
    amount("1500", "JPY", 1500);
    amount("1.234", "BHD", 1234);
    amount("1.2345", "CLF", 12_345);
    amount("12.5", "EUR", 1250);
    for (value, currency, reason) in [
        ("100.5", "\"JPY\"", Reason::AmountTooPrecise),
        ("1.2345", "\"BHD\"", Reason::AmountTooPrecise),
        ("1", "\"DEM\"", Reason::UnknownCurrency),
        ("1", "\"eur\"", Reason::UnknownCurrency),
        ("1", "\"\"", Reason::UnknownCurrency),
        ("1", "\"XXX\"", Reason::UnknownCurrency),
        ("1", "978", Reason::WrongType),
        ("1", "null", Reason::MissingCurrency),
    ] {
        let members = format!(r#","amount":{{"value":{value},"currency":{currency}}}"#);
        refused_field(&members, reason, "payment.amount");
    }
    refused_field(r#","amount":{"value":1}"#, Reason::MissingCurrency, "payment.amount");
    refused_field(r#","amount":{"currency":"DEM"}"#, Reason::UnknownCurrency, "payment.amount");
    let row = decode(record(r#","amount":{"currency":"EUR"}"#)).unwrap();
    assert!(!row.has(SlotId(2)) && !row.has(SlotId(3)), "no amount, no money");
}

#[test]
fn h8_a_time_far_in_the_future_is_decoded_and_one_beyond_computing_is_refused() {
    let at = |ts: &str| decode(format!(r#"{{"id":"p1","ts":{ts}}}"#));
    // Microseconds read as milliseconds: the year 55000.
    assert_eq!(at("1700000000000000").unwrap().time_ms, 1_700_000_000_000_000);
    assert_eq!(at("-1").unwrap().time_ms, -1);
    assert_eq!(at("4611686018427387903").unwrap().time_ms, (1 << 62) - 1);
    for (ts, reason) in [
        ("4611686018427387904", Reason::BadTime),
        ("9223372036854775808", Reason::BadTime),
        ("1700000000000.5", Reason::BadTime),
        ("1.7e12", Reason::BadTime),
        ("\"1700000000000\"", Reason::WrongType),
        ("null", Reason::MissingField),
    ] {
        let error = at(ts).unwrap_err();
        assert_eq!((error.reason, error.field.as_deref()), (reason, Some("payment.at")), "{ts}");
    }
}

#[test]
fn h9_a_record_that_is_years_late_is_decoded_like_any_other() {
    let row = decode(br#"{"id":"p1","ts":946684800000}"#).unwrap();
    assert_eq!(row.time_ms, 946_684_800_000);
}

#[test]
fn h10_a_repeated_record_has_the_same_digests_and_a_changed_one_another_body() {
    let schema = schema();
    let event = schema.event(EventId(0));
    let digester = Digester::new(event);
    let digests = |raw: &str| {
        let row = decode(raw).unwrap();
        (digester.id(&row, raw.as_bytes()), digester.body(&row, raw.as_bytes()))
    };
    let first = digests(
        r#"{"id":"p1","ts":1,"amount":{"value":12.50,"currency":"EUR"},"account":"A1","x":1}"#,
    );
    let same = digests(
        r#" { "unmapped" : [1] , "account":"\u00411", "ts":1, "amount":{"currency":"EUR","value":"12.5"}, "id":"p1", "score":null } "#,
    );
    assert_eq!(first, same);
    for changed in [
        r#"{"id":"p1","ts":2,"amount":{"value":12.50,"currency":"EUR"},"account":"A1"}"#,
        r#"{"id":"p1","ts":1,"amount":{"value":12.51,"currency":"EUR"},"account":"A1"}"#,
        r#"{"id":"p1","ts":1,"amount":{"value":12.50,"currency":"USD"},"account":"A1"}"#,
        r#"{"id":"p1","ts":1,"amount":{"value":12.50,"currency":"EUR"},"account":"A2"}"#,
        r#"{"id":"p1","ts":1,"amount":{"value":12.50,"currency":"EUR"}}"#,
        r#"{"id":"p1","ts":1,"amount":{"value":12.50,"currency":"EUR"},"account":"A1","seq":0}"#,
    ] {
        let (id, body) = digests(changed);
        assert_eq!(id, first.0, "{changed}");
        assert_ne!(body, first.1, "{changed}");
    }
    let (id, body) =
        digests(r#"{"id":"p2","ts":1,"amount":{"value":12.50,"currency":"EUR"},"account":"A1"}"#);
    assert_ne!(id, first.0);
    assert_ne!(body, first.1);
}

#[test]
fn h14_ten_thousand_distinct_keys_are_refused_and_leave_no_trace() {
    let keys = |range: core::ops::Range<u32>, prefix: &str| -> String {
        range.map(|n| format!(",\"{prefix}{n}\":0")).collect::<Vec<_>>().concat()
    };
    let members = keys(0..10_000, "k");
    refused(record(&members), Reason::TooManyKeys);
    let members = keys(0..1022, "k");
    assert!(decode(record(&members)).is_ok());
    refused(record(&format!("{members},\"k5000\":0")), Reason::TooManyKeys);
    refused(record(&members.replace("k1021", "k300")), Reason::DuplicateKey);
    // Ever new keys, record by record, and then an ordinary one: the same answers.
    let schema = schema();
    let decoder = Decoder::new(&schema, Limits::default());
    let topic = decoder.topic("payments").unwrap();
    let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
    for round in 0..200 {
        let members = keys(0..50, &format!("r{round}k"));
        let raw = record(&members);
        assert_eq!(decoder.decode(topic, raw.as_bytes(), &mut scratch, &mut row), Ok(()));
        let raw = record(&format!("{members},\"r{round}k49\":0"));
        let error = decoder.decode(topic, raw.as_bytes(), &mut scratch, &mut row).unwrap_err();
        assert_eq!(error.reason, Reason::DuplicateKey);
    }
    let raw = record(r#","seq":7"#);
    assert_eq!(decoder.decode(topic, raw.as_bytes(), &mut scratch, &mut row), Ok(()));
    assert_eq!(row.get(SlotId(5)), Some(7));
}

#[test]
fn h14_reserved_and_very_long_keys_are_keys_like_others() {
    let long = "k".repeat(100_000);
    let raw = record(&format!(r#","__proto__":{{"id":"x"}},"constructor":1,"{long}":1"#));
    let row = decode(&raw).unwrap();
    let id = TextRef(row.get(SlotId(0)).unwrap());
    assert_eq!(row.text(raw.as_bytes(), id), b"p1");
    refused(record(&format!(r#","{long}":1,"{long}":2"#)), Reason::DuplicateKey);
}

#[test]
fn an_empty_key_is_refused_and_an_absent_one_is_absent() {
    refused(br#"{"id":"","ts":1}"#, Reason::EmptyKey);
    refused_field(r#","account":"""#, Reason::EmptyKey, "payment.account");
    assert!(!decode(record(r#","account":null"#)).unwrap().has(SlotId(6)));
    let raw = record(r#","account":123456789012345678901234567890"#);
    let row = decode(&raw).unwrap();
    let account = TextRef(row.get(SlotId(6)).unwrap());
    assert_eq!(row.text(raw.as_bytes(), account), b"123456789012345678901234567890");
    refused_field(r#","account":1.5"#, Reason::WrongType, "payment.account");
    refused_field(r#","account":true"#, Reason::WrongType, "payment.account");
}

#[test]
fn messages_name_fields_and_places_and_never_contents() {
    let error = decode(record(r#","kind":"4111111111111111""#)).unwrap_err();
    let expected = "field `payment.kind` is not a member of its declared set (at byte 38)";
    assert_eq!(error.to_string(), expected);
    let error = decode(r#"{"id":"secret""#).unwrap_err();
    assert_eq!(error.to_string(), "record is not valid JSON (at byte 14)");
}
