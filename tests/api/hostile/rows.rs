//! The inputs, by the rows of `docs/RELIABILITY.md`, with the answers that they must get.

use std::io::Write as _;

/// A number that schemes publish for tests.
pub(super) const CARD: &str = "4111111111111111";

/// One input and its answers.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// `H1` to `H18`.
    pub(super) id: &'static str,
    pub(super) what: &'static str,
    /// Its bytes; for `$id`, `$way` and `$now` see [`super::Way::fill`].
    pub(super) body: Vec<u8>,
    /// The answer as a record.
    pub(super) kafka: String,
    /// The answer as a request.
    pub(super) http: String,
    /// What is asked over HTTP instead, where HTTP cannot carry it.
    pub(super) nearest: Option<&'static str>,
    pub(super) is_tombstone: bool,
    /// Whether its batch is compressed, and what a request has for a body then.
    pub(super) packed: bool,
    pub(super) packed_body: Option<Vec<u8>>,
    pub(super) partition: i32,
    pub(super) key: Option<&'static str>,
    pub(super) record_headers: Vec<(String, &'static str)>,
    pub(super) request_headers: Vec<(String, &'static str)>,
}

impl Row {
    fn new(
        id: &'static str,
        what: &'static str,
        body: impl Into<Vec<u8>>,
        (kafka, http): (String, String),
    ) -> Self {
        Self {
            id,
            what,
            body: body.into(),
            kafka,
            http,
            nearest: None,
            is_tombstone: false,
            packed: false,
            packed_body: None,
            partition: 0,
            key: Some("a"),
            record_headers: Vec::new(),
            request_headers: Vec::new(),
        }
    }

    /// HTTP answers this instead, for what it can carry at best.
    fn over_http(mut self, nearest: Option<&'static str>, http: &str) -> Self {
        self.nearest = nearest;
        http.clone_into(&mut self.http);
        self
    }

    /// In a batch that is compressed by gzip: the broker counts what is left of it.
    fn packed(mut self) -> Self {
        self.packed = true;
        self
    }
}

/// Decided the same on both ways.
fn decided(words: &str) -> (String, String) {
    (words.to_owned(), format!("200: {words}"))
}

/// A dead letter on both ways: an object that is no event.
fn letter(reason: &str) -> (String, String) {
    (format!("dead letter {reason}"), format!("422 `undecodable`: {reason}"))
}

/// The letter of a field.
fn field(reason: &str, name: &str) -> (String, String) {
    letter(&format!("`{reason}` of `pay.{name}`"))
}

/// No object at all: a dead letter, and over HTTP a refusal that leaves nothing on the log.
fn unread(reason: &str) -> (String, String) {
    (format!("dead letter `{reason}`"), format!("400 `bad_body`: `{reason}`"))
}

/// A payment of 5 EUR with further members.
fn pay(more: &str) -> String {
    format!(
        r#"{{"id":"$id","at":$now,"account":"a-$way","amount":"5.00","currency":"EUR","note":"-"{more}}}"#
    )
}

/// The same with one part written otherwise.
fn but(part: &str, other: &str) -> String {
    let body = pay("");
    assert!(body.contains(part), "{part}");
    body.replace(part, other)
}

/// A payment with a note, in JSON's writing.
fn noted(note: &str) -> String {
    but(r#""note":"-""#, &format!(r#""note":"{note}""#))
}

fn amount(value: &str, currency: &str) -> String {
    but(
        r#""amount":"5.00","currency":"EUR""#,
        &format!(r#""amount":{value},"currency":{currency}"#),
    )
}

fn at(when: &str) -> String {
    but("$now", when)
}

fn large_at(when: &str) -> String {
    at(when).replace("5.00", "500.00")
}

/// A payment with nothing wrong.
pub(super) fn good() -> Row {
    Row::new("none", "a good payment", pay(""), decided("`pass`"))
}

/// Every input, in the order in which it goes in.
pub(super) fn rows() -> Vec<Row> {
    let parts = [
        bytes(),
        sizes(),
        depths_and_keys(),
        numbers(),
        amounts(),
        times(),
        repeats(),
        texts(),
        drift(),
        packed(),
        envelopes(),
    ];
    parts.concat()
}

/// H1.
fn bytes() -> Vec<Row> {
    let row = |what, body: &[u8], answers| Row::new("H1", what, body, answers);
    let tombstone = Row {
        is_tombstone: true,
        ..row("a tombstone: a record without a value", b"", unread("tombstone"))
    };
    vec![
        row("no bytes", b"", unread("empty")),
        row("white space", b" \r\n\t ", unread("empty")),
        tombstone.over_http(Some("no body"), "400 `bad_body`: `empty`"),
        row("a byte that is no UTF-8", b"{\"id\":\"\xff\"}", unread("invalid_utf8")),
        row("half a surrogate as UTF-8", b"{\"id\":\"\xed\xa0\x80\"}", unread("invalid_utf8")),
        row("UTF-16", b"\xff\xfe{\0}\0", unread("invalid_utf8")),
        row("a byte order mark in front", b"\xef\xbb\xbf{}", unread("bom")),
        row("a NUL byte", b"\0", unread("invalid_json")),
        row("a NUL byte within a text", b"{\"id\":\"a\0b\"}", unread("invalid_json")),
        row("half a record", b"{\"id\":\"p1\",", unread("invalid_json")),
        row("two records in one", b"{} {}", unread("invalid_json")),
        row("a list", b"[]", unread("not_an_object")),
        row("a text", b"\"{}\"", unread("not_an_object")),
        row("an object with nothing in it", b"{}", field("missing_field", "pay_id")),
    ]
}

/// H2.
fn sizes() -> Vec<Row> {
    let row = |what, body: String, answers| Row::new("H2", what, body, answers);
    let list = |n: usize| pay(&format!(r#","items":[{}1]"#, "1,".repeat(n - 1)));
    let text = noted(&"x".repeat(10 << 20));
    vec![
        row("a text of 10 MiB", text, unread("too_large"))
            .packed()
            .over_http(None, "413 `too_large`"),
        row("a list of a million numbers", list(1_000_000), unread("too_large"))
            .packed()
            .over_http(None, "413 `too_large`"),
        row("a list of 400,000 numbers, within the bound", list(400_000), decided("`pass`")),
        row(
            "an id of 4,097 letters",
            but("$id", &"x".repeat(4_097)),
            field("text_too_long", "pay_id"),
        ),
    ]
}

/// H3, H4 and H14.
fn depths_and_keys() -> Vec<Row> {
    let deep = |what, body: String, answers| Row::new("H3", what, body, answers);
    let twice = |what, body: String| Row::new("H4", what, body, letter("`duplicate_key`"));
    let keys = |what, body: String, answers| Row::new("H14", what, body, answers);
    let nested = |n: usize| pay(&format!(r#","x":{}{}"#, "[".repeat(n), "]".repeat(n)));
    let open = pay(&format!(r#","x":{}"#, "{\"a\":".repeat(100_000)));
    let distinct = (0..10_000).map(|n| format!(r#","k{n}":0"#)).collect::<Vec<_>>().concat();
    vec![
        deep("100,000 open brackets", "[".repeat(100_000), letter("`too_deep`")),
        deep("a payment with 100,000 open objects", open, letter("`too_deep`")),
        deep("a payment nested 65 deep", nested(64), letter("`too_deep`")),
        deep("a payment nested 64 deep, within the bound", nested(63), decided("`pass`")),
        twice("the id twice", pay(r#","id":"p2""#)),
        twice("the amount twice", pay(r#","amount":"9.00""#)),
        twice("the id twice, once with an escape", pay(r#","\u0069d":"p2""#)),
        twice("a key twice that no rule reads", pay(r#","x":{"a":[{"b":1,"b":2}]}"#)),
        keys("10,000 keys", pay(&distinct), letter("`too_many_keys`")),
        keys(
            "keys that some program reserves",
            pay(
                r#","__proto__":{"x":1},"constructor":0,"$ref":"x","schema":"riskweir.decision.v1","":0"#,
            ),
            decided("`pass`"),
        ),
        keys(
            "a key of 100,000 letters",
            pay(&format!(r#","{}":0"#, "k".repeat(100_000))),
            decided("`pass`"),
        ),
    ]
}

/// H5.
fn numbers() -> Vec<Row> {
    let row = |what, body: String, answers| Row::new("H5", what, body, answers);
    let digits = "9".repeat(40);
    vec![
        row("`NaN`", pay(r#","score":NaN"#), unread("invalid_json")),
        row("`Infinity`", pay(r#","score":-Infinity"#), unread("invalid_json")),
        row("`1e999` in a number", pay(r#","score":1e999"#), field("bad_number", "score")),
        row("`1e999` where no rule reads it", pay(r#","x":1e999"#), decided("`pass`")),
        row(
            "40 digits where no rule reads them",
            pay(&format!(r#","x":{digits}"#)),
            decided("`pass`"),
        ),
        row("a fraction in a whole number", pay(r#","seq":1.5"#), field("bad_number", "seq")),
        row(
            "one more than 64 bits hold",
            pay(r#","seq":9223372036854775808"#),
            field("bad_number", "seq"),
        ),
        row(
            "an amount of 40 digits",
            amount(&digits, r#""EUR""#),
            field("amount_too_large", "amount"),
        ),
        row(
            "an amount of `1e999`",
            amount("1e999", r#""EUR""#),
            field("amount_too_large", "amount"),
        ),
        row(
            "an amount of `\"NaN\"`",
            amount(r#""NaN""#, r#""EUR""#),
            field("bad_amount", "amount"),
        ),
        row(
            "an amount of `\"1,50\"`",
            amount(r#""1,50""#, r#""EUR""#),
            field("bad_amount", "amount"),
        ),
        row(
            "an amount of `12.505`",
            amount("12.505", r#""EUR""#),
            field("amount_too_precise", "amount"),
        ),
        row("an amount of `-0`", amount("-0", r#""EUR""#), decided("`pass`")),
        // 100.01 EUR would be no more than 100 where a binary fraction of few digits stood between.
        row("`100.01` above a limit of 100", amount("100.01", r#""EUR""#), decided("`hold`")),
        row("`1.0001e2` above a limit of 100", amount("1.0001e2", r#""EUR""#), decided("`hold`")),
    ]
}

/// H6 and H7.
fn amounts() -> Vec<Row> {
    let sign = |what, body: String, answers| Row::new("H6", what, body, answers);
    let code = |what, body: String, answers| Row::new("H7", what, body, answers);
    let refund = |kind: &str| pay(&format!(r#","kind":"{kind}""#)).replace("5.00", "500.00");
    vec![
        sign("a negative amount", amount("-500.00", r#""EUR""#), decided("`pass`")),
        sign("an amount of zero", amount("0", r#""EUR""#), decided("`pass`")),
        sign(
            "a refund above the limit of a rule that does not ask for the kind",
            refund("refund"),
            decided("`hold`"),
        ),
        sign("a kind that is not declared", refund("reversal"), field("unknown_member", "kind")),
        code(
            "a currency that is gone: `DEM`",
            amount("5", r#""DEM""#),
            field("unknown_currency", "amount"),
        ),
        code("no currency: `XXX`", amount("5", r#""XXX""#), field("unknown_currency", "amount")),
        code(
            "a currency in small letters",
            amount("5", r#""eur""#),
            field("unknown_currency", "amount"),
        ),
        code("a currency by its number", amount("5", "978"), field("wrong_type", "amount")),
        code(
            "an amount without a currency",
            but(r#","currency":"EUR""#, ""),
            field("missing_currency", "amount"),
        ),
        code("half a yen", amount("100.5", r#""JPY""#), field("amount_too_precise", "amount")),
        code(
            "an amount in yen, held against one in euro, without a rate",
            amount("1500", r#""JPY""#),
            decided("`pass`, `R-1` undecided"),
        ),
    ]
}

/// H8 and H9.
fn times() -> Vec<Row> {
    let ahead = |what, body: String, answers| Row::new("H8", what, body, answers);
    let late = |what, body: String, answers| Row::new("H9", what, body, answers);
    vec![
        ahead("ten days ahead", at("$now+864000000"), decided("`pass`, `future_ts`")),
        ahead(
            "ten days ahead, above the limit",
            large_at("$now+864000000"),
            decided("`hold`, `future_ts`"),
        ),
        ahead(
            "microseconds for milliseconds: the year 58000",
            at("1764460800000000"),
            decided("`pass`, `future_ts`"),
        ),
        ahead(
            "seconds for milliseconds: January 1970",
            at("1764460800"),
            decided("`pass`, `too_late`"),
        ),
        ahead(
            "beyond what can be reckoned with",
            at("4611686018427387904"),
            field("bad_time", "made_at"),
        ),
        ahead(
            "a time as a text where a number is declared",
            at(r#""1764460800000""#),
            field("wrong_type", "made_at"),
        ),
        late("as late as is allowed", at("$now-60000"), decided("`pass`, `late`")),
        late(
            "as late as is allowed, above the limit",
            large_at("$now-60000"),
            decided("`hold`, `late`"),
        ),
        late("late by three days", at("$now-259200000"), decided("`pass`, `too_late`")),
        late(
            "late by three days, above the limit",
            large_at("$now-259200000"),
            decided("`pass`, `too_late`"),
        ),
        late("late by 25 years", at("$now-788400000000"), decided("`pass`, `too_late`")),
    ]
}

/// H10.
fn repeats() -> Vec<Row> {
    let id = |amount: &str| but("$id", "$way-twice").replace("5.00", amount);
    let row = |what, amount: &str, answers| Row::new("H10", what, id(amount), answers);
    let elsewhere =
        row("the first once more, in another partition", "500.00", decided("`hold`, a repeat"));
    vec![
        row("a payment", "500.00", decided("`hold`")),
        row("the same once more", "500.00", decided("`hold`, a repeat")),
        Row { partition: 1, ..elsewhere }
            .over_http(Some("in the partition of its key"), "200: `hold`, a repeat"),
        row("its id with another amount", "5.00", decided("`pass`, `id_reuse`, alert `id_reuse`")),
    ]
}

/// H11 to H13.
fn texts() -> Vec<Row> {
    let alike = |what, id: &str| Row::new("H11", what, but("$id", id), decided("`pass`"));
    let code = |what, note: &str| {
        Row::new("H12", what, noted(&format!("look: {note}")), decided("`pass`, alert `R-2`"))
    };
    let card = |what, body: String, answers| Row::new("H13", what, body, answers);
    let number = noted(&format!("look: {CARD}"));
    vec![
        alike("an id", "$way-case"),
        alike("the same to the eye: a Cyrillic letter", "$way-c\u{430}se"),
        alike("the same to the eye: a space of no width", "$way-ca\u{200b}se"),
        alike("in capitals", "$way-CASE"),
        alike("with a space behind", "$way-case "),
        alike("an accent in one letter", "$way-caf\u{e9}"),
        alike("the accent as a letter of its own", "$way-cafe\u{301}"),
        code("a formula for a spreadsheet", "=cmd|'/c calc'!A1"),
        code("a script for a browser", "<script>alert(1)</script>"),
        code("escapes for a terminal", r"\u001b[2J\u001b]0;title\u0007\u001b[31mred"),
        code("ends of lines", r"two\nlines\r\n\u2028and a third"),
        code("letters that turn the direction", "right\u{202e}tfel"),
        Row::new(
            "H12",
            "a line that ends within a text",
            noted("two\nlines"),
            unread("invalid_json"),
        ),
        card(
            "a card number in a note: masked in the alert",
            number.clone(),
            decided("`pass`, alert `R-2`"),
        ),
        card(
            "a card number in a payment that cannot be decoded: masked in the dead letter",
            number.replace(r#""amount":"5.00""#, r#""amount":[]"#),
            field("wrong_type", "amount"),
        ),
    ]
}

/// H15.
fn drift() -> Vec<Row> {
    let account = r#""account":"a-$way""#;
    let row = |what, other: &str, answers| Row::new("H15", what, but(account, other), answers);
    vec![
        row("a field that went", r#""other":1"#, field("missing_field", "account")),
        row("a field that is renamed", r#""Account":"a""#, field("missing_field", "account")),
        row("a field that is `null`", r#""account":null"#, field("missing_field", "account")),
        row(
            "a text that became an object",
            r#""account":{"id":"a"}"#,
            field("wrong_type", "account"),
        ),
        row("a text that became a list", r#""account":["a"]"#, field("wrong_type", "account")),
        row("a key that is empty", r#""account":"""#, field("empty_key", "account")),
    ]
}

/// H16.
fn packed() -> Vec<Row> {
    let row = |what, body: Vec<u8>, answers| Row::new("H16", what, body, answers);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&vec![b'x'; 100 << 20]).unwrap();
    let bomb = gzip.finish().unwrap();
    let encoded = vec![("Content-Encoding".to_owned(), "gzip")];
    let packed = row(
        "100 MiB of one letter in a batch that gzip made 100 KiB",
        vec![b'x'; 100 << 20],
        unread("too_large"),
    );
    vec![
        Row { packed_body: Some(bomb.clone()), request_headers: encoded, ..packed.packed() }
            .over_http(Some("`Content-Encoding: gzip`"), "415 `unsupported_media_type`"),
        row("the same, packed by the producer of the record", bomb, unread("invalid_utf8")),
        row(
            "the frame of a schema registry before the payment",
            [b"\0\0\0\0\x07", pay("").as_bytes()].concat(),
            unread("invalid_json"),
        ),
        row(
            "a file of Avro",
            b"Obj\x01\x04\x14avro.codec\x08null".to_vec(),
            unread("invalid_json"),
        ),
    ]
}

/// H17 and H18.
fn envelopes() -> Vec<Row> {
    let head = |what| Row::new("H17", what, pay(""), decided("`pass`"));
    let key = |what| Row::new("H18", what, pay(""), decided("`pass`"));
    let many = |n: usize| (0..n).map(|n| (format!("x-{n}"), "y")).collect::<Vec<_>>();
    let forged: Vec<(String, &str)> = [
        ("source_topic", "elsewhere"),
        ("source_offset", "0"),
        ("schema", "riskweir.decision.v1"),
        ("engine_version", "99"),
        ("traceparent", "00-00000000000000000000000000000000-0000000000000000-01"),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    vec![
        Row { record_headers: many(10_000), request_headers: many(100), ..head("10,000 headers") }
            .over_http(Some("a hundred headers, of which 64 are taken"), "431"),
        Row {
            record_headers: forged.clone(),
            request_headers: forged,
            ..head("headers that imitate ours, and a trace that is none")
        },
        Row { key: Some("somebody else"), ..key("a key that is not the account") }
            .over_http(Some("the service makes the key"), "200: `pass`"),
        Row { key: None, ..key("no key") }
            .over_http(Some("the service makes the key"), "200: `pass`"),
    ]
}
