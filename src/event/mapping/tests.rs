//! Decoding: each type, each refusal, and the borrowing of texts.

use proptest::prelude::*;

use super::*;
use crate::base::value::Place;
use crate::base::{Currency, TextRef};
use crate::event::build::RowBuilder;
use crate::event::digest::Digester;
use crate::event::schema::{
    EntityId, EventId, EventType, Field, FieldId, FieldType, MoneyCurrency, MoneyUnit, Pointer,
    Role, SlotId, TimeUnit,
};

fn pointer(text: &str) -> Pointer {
    Pointer(text.split('/').skip(1).map(str::to_owned).collect())
}

fn field(slot: u16, name: &str, ty: FieldType, from: &str) -> Field {
    let role = match name {
        "id" => Role::Id,
        "at" => Role::Time,
        _ => Role::Plain,
    };
    Field {
        name: name.into(),
        role,
        ty,
        optional: role == Role::Plain,
        from: from.split(' ').map(pointer).collect(),
        slot: SlotId(slot),
        sensitive: None,
        tokenized: false,
    }
}

fn event(name: &str, topic: &str, when: Option<(&str, &str)>, extra: Vec<Field>) -> EventType {
    let mut fields = vec![
        field(0, "id", FieldType::Text, "/id"),
        field(1, "at", FieldType::Time { unit: TimeUnit::Iso }, "/at"),
    ];
    fields.extend(extra);
    EventType {
        name: name.into(),
        topic: Some(topic.into()),
        discriminator: when.map(|(at, value)| (pointer(at), value.to_owned())),
        fields,
        id: FieldId(0),
        time: FieldId(1),
        n_slots: 16,
        labels: None,
        answers: None,
    }
}

fn fixed(code: &str, unit: MoneyUnit) -> FieldType {
    let currency = MoneyCurrency::Fixed(Currency::parse(code).unwrap());
    FieldType::Money { currency, unit }
}

/// Two event types on one topic, one on another, with every type of field between them.
fn schema() -> Schema {
    let transfer = vec![
        field(2, "amount", fixed("EUR", MoneyUnit::Minor), "/legs/0/amount"),
        field(3, "second", fixed("EUR", MoneyUnit::Major), "/legs/1/amount /second"),
        field(4, "payee", FieldType::Entity(EntityId(0)), "/creditor/account /payee"),
        field(5, "country", FieldType::Country, "/country"),
        field(6, "note", FieldType::Text, "/note"),
    ];
    let login = vec![
        field(2, "ip", FieldType::Ip, "/ip"),
        field(3, "place", FieldType::Geo, "/lat /lon"),
        field(5, "ok", FieldType::Bool, "/ok"),
        field(6, "seen", FieldType::Time { unit: TimeUnit::Seconds }, "/seen"),
        field(7, "currency", FieldType::CurrencyCode, "/currency"),
        field(8, "risk", FieldType::Number, "/risk"),
        field(9, "tries", FieldType::Integer, "/tries"),
        field(10, "via", FieldType::OneOf(vec!["web".into(), "app".into()]), "/via"),
        field(11, "minute", FieldType::Time { unit: TimeUnit::Minutes }, "/minute"),
        field(12, "step", FieldType::Time { unit: TimeUnit::Hours }, "/step"),
    ];
    Schema {
        events: vec![
            event("transfer", "bank", Some(("/type", "transfer")), transfer),
            event("login", "bank", Some(("/type", "login")), login),
            event("card", "cards", Some(("/mti", "0100")), Vec::new()),
        ],
        entities: vec!["account".into()],
        roles: Vec::new(),
        ..Schema::default()
    }
}

struct Decoded {
    raw: Vec<u8>,
    row: Row,
}

impl Decoded {
    fn text(&self, slot: u16) -> Option<&str> {
        let text = TextRef(self.row.get(SlotId(slot))?);
        core::str::from_utf8(self.row.text(&self.raw, text)).ok()
    }

    fn word(&self, slot: u16) -> Option<u64> {
        self.row.get(SlotId(slot))
    }
}

fn decode(raw: &str) -> core::result::Result<Decoded, DecodeError> {
    let decoder = Decoder::new(&schema(), Limits::default());
    let topic = decoder.topic("bank").unwrap();
    let mut row = Row::default();
    decoder.decode(topic, raw.as_bytes(), &mut DecodeScratch::default(), &mut row)?;
    Ok(Decoded { raw: raw.as_bytes().to_vec(), row })
}

fn record(ty: &str, members: &str) -> String {
    format!(r#"{{"id":"e1","at":"1970-01-01T00:00:01Z"{members},"type":"{ty}"}}"#)
}

#[track_caller]
fn refused(ty: &str, members: &str, reason: Reason, field: Option<&str>) {
    let error = decode(&record(ty, members)).err().expect(members);
    assert_eq!((error.reason, error.field.as_deref()), (reason, field), "{members}");
}

#[test]
fn the_discriminator_may_come_last_and_chooses_the_type() {
    let transfer = decode(&record("transfer", r#","ip":"not looked at""#)).unwrap();
    assert_eq!(transfer.row.event(), EventId(0));
    assert_eq!(transfer.row.time_ms, 1000);
    assert_eq!(decode(&record("login", "")).unwrap().row.event(), EventId(1));
    refused("logout", "", Reason::UnknownEvent, None);
    let error = decode(r#"{"id":"e1"}"#).err().unwrap();
    assert_eq!(error.reason, Reason::UnknownEvent);
    let escaped = r#"{"id":"e1","at":"1970-01-01T00:00:01Z","type":"\u006cogin"}"#;
    assert_eq!(decode(escaped).unwrap().row.event(), EventId(1));
}

#[test]
fn a_type_without_discriminator_fits_only_when_it_is_alone() {
    let alone = Schema { events: vec![event("a", "t", None, Vec::new())], ..Schema::default() };
    let two = Schema {
        events: vec![event("a", "t", None, Vec::new()), event("b", "u", None, Vec::new())],
        ..Schema::default()
    };
    let raw = br#"{"id":"1","at":"1970-01-01T00:00:00Z"}"#;
    let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
    for (schema, any) in [(&alone, Ok(())), (&two, Err(Reason::UnknownEvent))] {
        let decoder = Decoder::new(schema, Limits::default());
        let topic = decoder.topic("t").unwrap();
        assert_eq!(decoder.decode(topic, raw, &mut scratch, &mut row), Ok(()));
        let found = decoder.decode_any(raw, &mut scratch, &mut row).map_err(|e| e.reason);
        assert_eq!(found, any);
    }
}

#[test]
fn any_event_of_the_schema_is_known_by_its_own_discriminator() {
    let decoder = Decoder::new(&schema(), Limits::default());
    let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
    for (members, expected) in
        [(r#""type":"login""#, 1), (r#""mti":"0100""#, 2), (r#""mti":"0100","type":"transfer""#, 0)]
    {
        let raw = format!(r#"{{{members},"id":"1","at":"1970-01-01T00:00:00Z"}}"#);
        assert_eq!(decoder.decode_any(raw.as_bytes(), &mut scratch, &mut row), Ok(()));
        assert_eq!(row.event(), EventId(expected), "{members}");
    }
    assert_eq!(decoder.topic("unheard_of"), None);
}

#[test]
fn pointers_reach_into_objects_and_arrays() {
    let decoded = decode(&record(
        "transfer",
        r#","legs":[{"x":[1],"amount":1250},{"amount":"-3.5"},{"amount":"unread"}],"creditor":{"name":"N","account":"A9"}"#,
    ));
    let decoded = decoded.unwrap();
    assert_eq!(decoded.word(2), Some(1250));
    assert_eq!(decoded.word(3).map(u64::cast_signed), Some(-350));
    assert_eq!(decoded.text(4), Some("A9"));
    let keys = decode(&record("transfer", r#","legs":{"0":{"amount":7},"1":null}"#)).unwrap();
    assert_eq!((keys.word(2), keys.word(3)), (Some(7), None));
    refused(
        "transfer",
        r#","legs":[{"amount":1},{"amount":1,"amount":2}]"#,
        Reason::DuplicateKey,
        None,
    );
    refused(
        "transfer",
        r#","creditor":{"account":{"iban":"X"}}"#,
        Reason::WrongType,
        Some("transfer.payee"),
    );
}

#[test]
fn the_first_pointer_that_is_present_and_not_null_wins() {
    let payee =
        |members: &str| decode(&record("transfer", members)).unwrap().text(4).map(str::to_owned);
    assert_eq!(payee(r#","payee":"B","creditor":{"account":"A"}"#).as_deref(), Some("A"));
    assert_eq!(payee(r#","payee":"B","creditor":{"account":null}"#).as_deref(), Some("B"));
    assert_eq!(payee(r#","payee":"B","creditor":null"#).as_deref(), Some("B"));
    assert_eq!(payee(r#","payee":"B","creditor":"text""#).as_deref(), Some("B"));
    assert_eq!(payee(""), None);
    refused(
        "transfer",
        r#","payee":"B","creditor":{"account":""}"#,
        Reason::EmptyKey,
        Some("transfer.payee"),
    );
}

#[test]
fn texts_stay_in_the_record_unless_they_have_escapes() {
    let plain = decode(&record("transfer", r#","note":"grüße, \u00fc""#)).unwrap();
    assert_eq!(plain.text(6), Some("grüße, ü"));
    assert_eq!(TextRef(plain.word(6).unwrap()).place(), Place::Arena);
    assert_eq!(TextRef(plain.word(0).unwrap()).place(), Place::Raw);
    assert_eq!(plain.text(0), Some("e1"));
    let empty = decode(&record("transfer", r#","note":"""#)).unwrap();
    assert_eq!(empty.text(6), Some(""), "a plain text may be empty");
    let pair = decode(&record("transfer", r#","note":"\ud83d\ude00\n\/\"""#)).unwrap();
    assert_eq!(pair.text(6), Some("😀\n/\""));
}

#[test]
fn addresses_are_kept_in_canonical_form() {
    let ip = |text: &str| {
        let decoded = decode(&record("login", &format!(r#","ip":"{text}""#)))?;
        Ok::<_, DecodeError>(decoded.text(2).unwrap().to_owned())
    };
    assert_eq!(ip("10.0.0.1").unwrap(), "10.0.0.1");
    assert_eq!(ip("2001:DB8:0:0:0:0:0:1").unwrap(), "2001:db8::1");
    assert_eq!(ip("2001:db8::1").unwrap(), "2001:db8::1");
    assert_eq!(ip("::ffff:10.0.0.1").unwrap(), "10.0.0.1");
    assert_eq!(ip(r"10.0.0.\u0031").unwrap(), "10.0.0.1");
    for text in ["", "10.0.0", "10.0.0.256", "010.0.0.1", "10.0.0.1:80", "fe80::1%eth0", "[::1]"] {
        assert_eq!(ip(text).map_err(|error| error.reason), Err(Reason::BadIp), "{text}");
    }
}

#[test]
fn places_need_both_coordinates_in_range() {
    let decoded = decode(&record("login", r#","lat":-90,"lon":180.0"#)).unwrap();
    assert_eq!(decoded.word(3), Some((-90.0_f64).to_bits()));
    assert_eq!(decoded.word(4), Some(180.0_f64.to_bits()));
    assert_eq!(decode(&record("login", r#","lat":null"#)).unwrap().word(3), None);
    for members in [
        r#","lat":1"#,
        r#","lon":1"#,
        r#","lat":90.01,"lon":0"#,
        r#","lat":0,"lon":-181"#,
        r#","lat":1e999,"lon":0"#,
    ] {
        refused("login", members, Reason::BadGeo, Some("login.place"));
    }
    refused("login", r#","lat":"1","lon":"2""#, Reason::WrongType, Some("login.place"));
}

#[test]
fn time_in_minutes_and_hours_counts_from_1970() {
    let decoded = decode(&record("login", r#","minute":29540760,"step":492346"#)).unwrap();
    // date -ud 2026-03-02T10:00 +%s gives 1772445600: 29540760 minutes, 492346 hours.
    assert_eq!(decoded.word(11).map(u64::cast_signed), Some(1_772_445_600_000));
    assert_eq!(decoded.word(12).map(u64::cast_signed), Some(1_772_445_600_000));
    for member in [r#""step":1.5"#, r#""step":9223372036854775807"#, r#""minute":153722867280913"#]
    {
        let name = member.split('"').nth(1).unwrap();
        refused("login", &format!(",{member}"), Reason::BadTime, Some(&format!("login.{name}")));
    }
    refused("login", r#","step":"12""#, Reason::WrongType, Some("login.step"));
}

#[test]
fn every_other_type_is_read_as_declared_or_refused() {
    let decoded = decode(&record(
        "login",
        r#","ok":true,"seen":-5,"currency":"CHF","risk":0.1,"tries":-3,"via":"app""#,
    ));
    let decoded = decoded.unwrap();
    assert_eq!(decoded.word(5), Some(1));
    assert_eq!(decoded.word(6).map(u64::cast_signed), Some(-5000));
    assert_eq!(decoded.word(7), Some(0x43_4846));
    assert_eq!(decoded.word(8), Some(0.1_f64.to_bits()));
    assert_eq!(decoded.word(9).map(u64::cast_signed), Some(-3));
    assert_eq!(decoded.word(10), Some(1));
    for (member, reason) in [
        (r#""ok":"true""#, Reason::WrongType),
        (r#""ok":1"#, Reason::WrongType),
        (r#""seen":9223372036854776"#, Reason::BadTime),
        (r#""seen":1.5"#, Reason::BadTime),
        (r#""currency":"chf""#, Reason::UnknownCurrency),
        (r#""currency":{}"#, Reason::WrongType),
        (r#""risk":true"#, Reason::WrongType),
        (r#""tries":"3""#, Reason::WrongType),
        (r#""via":"phone""#, Reason::UnknownMember),
        (r#""via":1"#, Reason::WrongType),
    ] {
        let name = member.split('"').nth(1).unwrap();
        refused("login", &format!(",{member}"), reason, Some(&format!("login.{name}")));
    }
    for country in [r#""de""#, r#""DEU""#, r#""""#, r#""D1""#, r#""UK""#, r#""YQ""#, r#""\u00c4T""#]
    {
        refused(
            "transfer",
            &format!(r#","country":{country}"#),
            Reason::BadCountry,
            Some("transfer.country"),
        );
    }
    let decoded = decode(&record("transfer", r#","country":"DE""#)).unwrap();
    assert_eq!(decoded.word(5), Some(0x4445));
    // Kosovo has no assigned code; `XK` is of those that ISO 3166 leaves to users.
    let decoded = decode(&record("transfer", r#","country":"XK""#)).unwrap();
    assert_eq!(decoded.word(5), Some(0x584b));
    refused(
        "transfer",
        r#","legs":[{"amount":12.5}]"#,
        Reason::AmountTooPrecise,
        Some("transfer.amount"),
    );
}

#[test]
fn a_missing_required_field_is_named() {
    let error = decode(r#"{"type":"login","at":"1970-01-01T00:00:00Z"}"#).err().unwrap();
    assert_eq!(error.to_string(), "field `login.id` is required but absent");
    let error = decode(r#"{"type":"login","id":"1","at":"yesterday"}"#).err().unwrap();
    assert_eq!(
        error.to_string(),
        "field `login.at` is not a time of the declared form (at byte 31)"
    );
}

#[test]
fn spaces_after_commas_and_colons_are_on_the_guessed_path_and_elsewhere_off_it() {
    let decoder = Decoder::new(&schema(), Limits::default());
    let topic = decoder.topic("bank").unwrap();
    let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
    for (comma, colon) in [(",", ":"), (", ", ": "), (", ", ":"), (" , ", " : "), (",\n  ", ": ")] {
        for tries in 0..3 {
            let raw = format!(
                "{{\"id\"{colon}\"e1\"{comma}\"x\"{colon}null{comma}\"tries\"{colon}{tries}{comma}\"ok\"{colon}true{comma}\"at\"{colon}\"1970-01-01T00:00:01Z\"{comma}\"type\"{colon}\"login\"}}"
            );
            assert_eq!(decoder.decode(topic, raw.as_bytes(), &mut scratch, &mut row), Ok(()));
            assert_eq!((row.get(SlotId(9)), row.get(SlotId(5))), (Some(tries), Some(1)));
            let doubled = raw.replace("\"x\"", "\"tries\"");
            let error = decoder.decode(topic, doubled.as_bytes(), &mut scratch, &mut row);
            assert_eq!(error.map_err(|error| error.reason), Err(Reason::DuplicateKey));
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> core::result::Result<Decoded, DecodeError> {
    let decoder = Decoder::new(&schema(), Limits::default());
    let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
    let first = decoder.decode_pairs(decoder.topic("bank"), pairs, &mut scratch, &mut row);
    let mut again = Row::default();
    let second = decoder.decode_pairs(None, pairs, &mut scratch, &mut again);
    assert_eq!((&first, &row), (&second, &again), "with or without topic, cold or warm");
    first?;
    Ok(Decoded { raw: Vec::new(), row })
}

#[test]
fn a_row_of_a_table_is_read_like_a_record() {
    let decoded = pairs(&[
        ("tries", "3"),
        ("id", "e1"),
        ("unread", "x"),
        ("at", "1970-01-01T00:00:01Z"),
        ("type", "login"),
        ("ok", "1"),
        ("lat", "1.5"),
        ("lon", "-2"),
        ("ip", "::1"),
        ("risk", ""),
        ("via", "web"),
    ]);
    let decoded = decoded.unwrap();
    assert_eq!((decoded.text(0), decoded.row.time_ms), (Some("e1"), 1000));
    assert_eq!((decoded.text(2), decoded.word(3)), (Some("::1"), Some(1.5_f64.to_bits())));
    assert_eq!((decoded.word(5), decoded.word(8)), (Some(1), None));
    assert_eq!((decoded.word(9), decoded.word(10)), (Some(3), Some(0)));
}

#[test]
fn cells_that_do_not_fit_are_refused_without_a_place() {
    let head = [("id", "e1"), ("at", "1970-01-01T00:00:01Z"), ("type", "login")];
    for (name, value, reason) in [
        ("tries", "3.0", Reason::BadNumber),
        ("tries", "three", Reason::BadNumber),
        ("risk", "inf", Reason::BadNumber),
        ("risk", "+1", Reason::BadNumber),
        ("ok", "yes", Reason::WrongType),
        ("lat", "1", Reason::BadGeo),
        ("seen", "x", Reason::BadTime),
    ] {
        let error = pairs(&[head[0], head[1], head[2], (name, value)]).err().expect(name);
        assert_eq!((error.reason, error.offset), (reason, None), "{name}");
    }
    let reason = |cells: &[(&str, &str)]| pairs(cells).err().map(|error| error.reason);
    assert_eq!(reason(&[]), Some(Reason::Empty));
    assert_eq!(reason(&[("id", ""), ("at", "")]), Some(Reason::Empty));
    assert_eq!(reason(&[head[0], head[0], head[1]]), Some(Reason::DuplicateKey));
    assert_eq!(reason(&[head[0], ("x", "1"), ("x", "2")]), Some(Reason::DuplicateKey));
    let many: Vec<(String, String)> = (0..1025).map(|n| (format!("c{n}"), "1".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(reason(&many), Some(Reason::TooManyKeys));
    let big = "x".repeat(1 << 20);
    assert_eq!(reason(&[("id", &big), ("n", "1")]), Some(Reason::TooLarge));
}

#[test]
fn a_built_row_equals_a_decoded_one() {
    let schema = schema();
    let raw = record(
        "login",
        r#","ip":"::ffff:10.0.0.1","lat":1.5,"lon":-2,"ok":false,"seen":7,"currency":"EUR","risk":-0.0,"tries":3,"via":"app""#,
    );
    let decoded = decode(&raw).unwrap();
    let mut builder = RowBuilder::new(&schema, EventId(1));
    builder.event_time(1000).id("e1").unwrap();
    builder.text(FieldId(2), "10.0.0.1").unwrap();
    builder.geo(FieldId(3), 1.5, -2.0).unwrap();
    builder.boolean(FieldId(4), false).unwrap();
    builder.time(FieldId(5), 7000).unwrap();
    builder.text(FieldId(6), "EUR").unwrap();
    builder.number(FieldId(7), -0.0).unwrap();
    builder.integer(FieldId(8), 3).unwrap();
    builder.text(FieldId(9), "app").unwrap();
    let built = builder.build();
    let event = schema.event(EventId(1));
    assert_eq!((built.present, built.time_ms), (decoded.row.present, 1000));
    let digester = Digester::new(event);
    assert_eq!(digester.body(&built, b""), digester.body(&decoded.row, raw.as_bytes()));
    assert_eq!(digester.id(&built, b""), digester.id(&decoded.row, raw.as_bytes()));
    assert_eq!(built.key(b"", SlotId(0)), decoded.row.key(raw.as_bytes(), SlotId(0)));
}

#[test]
fn a_builder_refuses_what_a_field_cannot_hold() {
    let schema = schema();
    let mut builder = RowBuilder::new(&schema, EventId(0));
    let euro = Currency::parse("EUR").unwrap();
    assert_eq!(builder.money(FieldId(2), 1250, euro), Ok(()));
    let yen = Currency::parse("JPY").unwrap();
    let messages = [
        builder.money(FieldId(2), 1, yen),
        builder.money(FieldId(4), 1, euro),
        builder.text(FieldId(2), "1"),
        builder.text(FieldId(5), "de"),
        RowBuilder::new(&schema, EventId(1)).text(FieldId(9), "fax"),
        RowBuilder::new(&schema, EventId(1)).number(FieldId(7), f64::NAN),
        RowBuilder::new(&schema, EventId(1)).geo(FieldId(3), f64::NAN, 0.0),
    ]
    .map(|result| result.unwrap_err().to_string());
    let expected = [
        "field `amount` is always in EUR",
        "field `payee` does not take money",
        "field `amount` does not take a text",
        "field `country` does not take this value",
        "field `via` has no member `fax`",
        "field `risk` does not take this value",
        "field `place` does not take this value",
    ];
    assert_eq!(messages, expected);
    let row = builder.build();
    assert_eq!((row.get(SlotId(2)), row.present), (Some(1250), 1 << 2));
}

/// Writes a text as JSON, with an escape wherever the mask has a bit.
fn quote(text: &str, mask: u32) -> String {
    let mut out = String::from("\"");
    for (index, character) in text.chars().enumerate() {
        let must = matches!(character, '"' | '\\' | '\0'..='\x1f');
        if must || mask >> (index % 32) & 1 == 1 {
            let mut units = [0; 2];
            let units = character.encode_utf16(&mut units).iter();
            let escapes: Vec<String> = units.map(|unit| format!("\\u{unit:04x}")).collect();
            out.push_str(&escapes.concat());
        } else {
            out.push(character);
        }
    }
    out + "\""
}

/// One transfer: its expected contents and a way of writing it.
fn transfer() -> impl Strategy<Value = (String, String, Option<i64>, Option<String>)> {
    let texts = ("[ -~äß😀]{1,12}", proptest::option::of("[ -~äß😀\"\\\\]{0,20}"));
    let amount = proptest::option::of(any::<i64>());
    let unread =
        proptest::collection::btree_map("[a-d\"é]{1,2}", "(1|null|\\[\\{\\}\\]|\"x\")", 0..4);
    let writing = (any::<u32>(), "[ \n\t]{0,2}", any::<u64>());
    (texts, amount, unread, writing).prop_map(
        |((id, note), amount, unread, (mask, space, seed))| {
            let mut members = vec![
                (quote("id", mask >> 3), quote(&id, mask)),
                (quote("at", mask >> 9), "\"1970-01-01T00:00:01Z\"".to_owned()),
                (quote("type", mask >> 5), quote("transfer", mask & mask >> 7)),
            ];
            members.extend(
                note.iter().map(|note| (quote("note", mask >> 11), quote(note, mask >> 1))),
            );
            let legs = |amount: &i64| ("\"legs\"".to_owned(), format!("[{{\"amount\":{amount}}}]"));
            members.extend(amount.iter().map(legs));
            members.extend(unread.into_iter().map(|(key, value)| (quote(&key, 0), value)));
            let n = members.len() as u64;
            members.sort_by_key(|(key, _)| {
                xxh3_64(key.as_bytes()).rotate_left((seed % 64) as u32) % (n + seed % 3)
            });
            let members: Vec<String> = members
                .into_iter()
                .map(|(key, value)| format!("{space}{key}{space}:{space}{value}{space}"))
                .collect();
            (format!("{{{}}}", members.join(",")), id, amount, note)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn records_in_any_order_and_spelling_give_what_was_written(
        records in proptest::collection::vec(transfer(), 1..6)
    ) {
        let decoder = Decoder::new(&schema(), Limits::default());
        let topic = decoder.topic("bank").unwrap();
        let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
        for (raw, id, amount, note) in records {
            let raw = raw.into_bytes();
            prop_assert_eq!(decoder.decode(topic, &raw, &mut scratch, &mut row), Ok(()));
            let found = Decoded { raw, row: row.clone() };
            prop_assert_eq!(found.text(0), Some(id.as_str()));
            prop_assert_eq!(found.word(2).map(u64::cast_signed), amount);
            prop_assert_eq!(found.text(6), note.as_deref());
            prop_assert_eq!(found.row.time_ms, 1000);
        }
    }

    #[test]
    fn damaged_records_give_the_same_answer_from_a_cold_and_a_warm_scratch(
        records in proptest::collection::vec((transfer(), any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let decoder = Decoder::new(&schema(), Limits::default());
        let topic = decoder.topic("bank").unwrap();
        let mut warm = DecodeScratch::default();
        for ((raw, ..), at, byte) in records {
            let mut raw = raw.into_bytes();
            let at = at.index(raw.len());
            raw[at] = byte;
            let (mut a, mut b) = (Row::default(), Row::default());
            let cold_answer = decoder.decode(topic, &raw, &mut DecodeScratch::default(), &mut a);
            let warm_answer = decoder.decode(topic, &raw, &mut warm, &mut b);
            prop_assert_eq!(&cold_answer, &warm_answer);
            prop_assert_eq!(a, b);
            if cold_answer.is_ok() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&raw).is_ok());
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(raw: Vec<u8>) {
        let decoder = Decoder::new(&schema(), Limits::default());
        let mut row = Row::default();
        let answer = decoder.decode_any(&raw, &mut DecodeScratch::default(), &mut row);
        prop_assert!(answer.is_err());
    }
}
