//! Every bad input of `docs/RELIABILITY.md` (H1 to H18) as a record of the input topic and as the body of `POST /v1/score`,
//! with the answers worked out by hand. The table of that page is made of what is checked here.
//!
//! Start reading at [`rows`]: what goes in and what is said of it; `rows.rs` holds the words that make them.

use std::collections::BTreeSet;
use std::path::Path;

use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use riskweir::api::roles::Role;
use serde_json::Value;

use crate::desk::{Answer, Desk, now_ms};
use crate::support::broker::Broker;
use crate::support::topics::prefix;
use crate::support::wait::{self, PATIENCE};

use rows::{Row, rows};

#[path = "hostile/rows.rs"]
mod rows;

/// Nothing looks back, so an answer depends on its record, on what came before under its id, and on the clock.
const RULES: &str = r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   account : account from "/account"
  field amount  : money   from "/amount" currency "/currency"
  field kind    : one of [payment, refund]? from "/kind"
  field score   : number?  from "/score"
  field seq     : integer? from "/seq"
  field note    : text?    from "/note"

rule large "large payment"
  id "R-1"  owner fraud  severity high
  on pay
  when amount > 100 EUR
  if missing skip
  then hold for 24h otherwise release reason "paid {amount}"

rule told "a note to look at"
  id "R-2"  owner fraud  severity low
  on pay
  when note contains "look"
  if missing skip
  then alert queue l1 message "{account}: {note}"
"#;

/// How a payment goes in: the letter that its ids begin with, and the time that is now for it.
#[derive(Clone, Copy, Debug)]
struct Way {
    letter: char,
    now_ms: i64,
}

impl Way {
    fn new(letter: char) -> Self {
        Self { letter, now_ms: now_ms() }
    }

    /// The bytes of a row on this way: `$id` is its own, `$now` counts from now, as `$now-60000`.
    fn fill(self, row: &Row, place: usize) -> Vec<u8> {
        let Ok(text) = core::str::from_utf8(&row.body) else { return row.body.clone() };
        if !text.contains('$') {
            return row.body.clone();
        }
        let text = text
            .replace("$id", &format!("{}{place}", self.letter))
            .replace("$way", &self.letter.to_string());
        let mut filled = String::new();
        let mut parts = text.split("$now");
        filled.push_str(parts.next().unwrap());
        for part in parts {
            let is_count = |c: char| c == '+' || c == '-' || c.is_ascii_digit();
            let (count, rest) = part.split_at(part.find(|c| !is_count(c)).unwrap());
            let count: i64 = if count.is_empty() { 0 } else { count.parse().unwrap() };
            filled.push_str(&format!("{}{rest}", self.now_ms + count));
        }
        filled.into_bytes()
    }
}

/// All that came out of the service.
struct Told {
    decisions: Vec<Value>,
    letters: Vec<Value>,
    alerts: Vec<Value>,
}

impl Told {
    fn by(desk: &Desk<'_>) -> Self {
        let all = |name: &str| desk.records(name).into_iter().map(|(_, body)| body).collect();
        Self { decisions: all("decisions"), letters: all("dead_letter"), alerts: all("alerts") }
    }

    /// What is said of the record at a place.
    fn of_record(&self, partition: i32, offset: usize) -> String {
        let is_it = |told: &&Value| {
            told["source"]["partition"] == partition && told["source"]["offset"] == offset
        };
        match (self.decisions.iter().find(is_it), self.letters.iter().find(is_it)) {
            (Some(decision), None) => self.of_decision(decision),
            (None, Some(letter)) => format!("dead letter {}", reason(letter)),
            found => panic!("{partition}/{offset}: {found:?}"),
        }
    }

    /// A decision in few words: outcome, whether it is a repeat, under which circumstances, its alerts.
    fn of_decision(&self, decision: &Value) -> String {
        let text = |value: &Value| format!("`{}`", value.as_str().unwrap());
        let mut words = vec![text(&decision["outcome"])];
        if decision["duplicate"] == true {
            words.push("a repeat".to_owned());
        }
        let provenance = decision["provenance"].as_array().unwrap().iter();
        words.extend(provenance.filter(|it| **it != "normal").map(text));
        let undecided = decision["undecided"].as_array().into_iter().flatten();
        words.extend(undecided.map(|it| format!("`{}` undecided", it["rule"].as_str().unwrap())));
        let is_of_it = |alert: &&Value| {
            alert["source"] == decision["source"] && decision["duplicate"] == false
        };
        let alerts = self.alerts.iter().filter(is_of_it);
        words.extend(alerts.map(|it| format!("alert `{}`", it["rule"].as_str().unwrap())));
        words.join(", ")
    }

    /// An answer over HTTP in few words: status and code, and what the decision or the problem says.
    fn of_answer(&self, answer: &Answer) -> String {
        let (status, body) = (answer.status, &answer.body);
        match status {
            200 => format!("200: {}", self.of_decision(&body["decision"])),
            _ if body.is_null() => status.to_string(),
            _ if body["reason"].is_null() => format!("{status} `{}`", answer.code()),
            _ => format!("{status} `{}`: {}", answer.code(), reason(body)),
        }
    }
}

/// Reason and field of a dead letter or a problem.
fn reason(told: &Value) -> String {
    let reason = told["reason"].as_str().unwrap();
    match told["field"].as_str() {
        Some(field) => format!("`{reason}` of `{field}`"),
        None => format!("`{reason}`"),
    }
}

/// Writes the record of each row, and says where each one lies.
///
/// One that goes into another partition waits until the others are done, so that its place among them is certain.
fn write_all(desk: &Desk<'_>, all: &[Row]) -> Vec<(i32, usize)> {
    let plain = producer(desk.fleet.broker.client());
    let mut packing = desk.fleet.broker.client();
    let packing = producer(packing.set("compression.type", "gzip").clone());
    let way = Way::new('k');
    let mut n_written = [0_usize; 2];
    let mut places = Vec::new();
    for (place, row) in all.iter().enumerate() {
        if row.partition > 0 {
            desk.service.wait_done(u64::try_from(place).unwrap());
        }
        let body = way.fill(row, place);
        write(if row.packed { &packing } else { &plain }, &desk.fleet.input(), row, &body);
        let n = &mut n_written[usize::try_from(row.partition).unwrap()];
        places.push((row.partition, *n));
        *n += 1;
    }
    desk.service.wait_done(u64::try_from(all.len()).unwrap());
    places
}

fn producer(mut client: ClientConfig) -> BaseProducer {
    // WHY: the client counts a record before it is packed, the broker the packed batch.
    client.set("message.max.bytes", "500000000").create().unwrap()
}

fn write(producer: &BaseProducer, topic: &str, row: &Row, body: &[u8]) {
    let mut headers = OwnedHeaders::new_with_capacity(row.record_headers.len());
    for (key, value) in &row.record_headers {
        headers = headers.insert(Header { key, value: Some(*value) });
    }
    let mut record: BaseRecord<'_, str, [u8]> =
        BaseRecord::to(topic).partition(row.partition).headers(headers);
    record.payload = (!row.is_tombstone).then_some(body);
    record.key = row.key;
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
    assert_eq!(producer.in_flight_count(), 0, "{}", row.what);
}

/// Asks with the body of each row; the answers.
fn ask(desk: &Desk<'_>, way: Way, all: &[Row]) -> Vec<Answer> {
    let token = Some(desk.token(Role::Service));
    let ask = |(place, row): (usize, &Row)| {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(row.request_headers.iter().map(|(name, value)| (&**name, &**value)));
        let body = way.fill(row, place);
        let packed = row.packed_body.as_deref();
        let body = if row.is_tombstone { &[][..] } else { packed.unwrap_or(&body) };
        desk.raw("POST", "/v1/score?deadline=30s", token, body, &headers)
    };
    all.iter().enumerate().map(ask).collect()
}

/// What differs, with the input.
fn differences<'a>(
    all: &[Row],
    expected: impl Fn(&Row) -> &str,
    told: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let said = |(row, told): (&Row, &String)| {
        let wanted = expected(row);
        (wanted != told).then(|| format!("{} {}: {told}, not {wanted}", row.id, row.what))
    };
    all.iter().zip(told).filter_map(said).collect()
}

/// Nothing that leaves moves a cursor, begins a line, or holds the number of a card.
fn assert_inert(desk: &Desk<'_>) {
    for topic in ["decisions", "alerts", "holds", "audit", "dead_letter"] {
        for (key, body) in desk.records(topic) {
            let text = body.to_string();
            let told = body["message"].as_str().unwrap_or_default();
            let turns = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
            assert!(!told.contains(turns), "{told:?}");
            assert!(!text.contains(rows::CARD), "{topic} {key}: {text}");
            let raw = body["raw_base64"].as_str().map(|raw| {
                use base64::Engine as _;
                base64::prelude::BASE64_STANDARD.decode(raw).unwrap()
            });
            let raw = String::from_utf8_lossy(&raw.unwrap_or_default()).into_owned();
            assert!(!raw.contains(rows::CARD), "{topic} {key}: {raw}");
        }
    }
    let said = desk.service.said();
    assert!(!said.contains('\u{1b}') && !said.contains(rows::CARD), "{said}");
}

#[test]
fn every_bad_input_gets_the_answer_of_the_table_by_kafka_and_by_http() {
    let desk = Desk::open_ruled(Broker::shared(), "api-hostile", RULES, &[]);
    desk.wait_listening();
    let all = rows();
    let known: BTreeSet<&str> = all.iter().map(|row| row.id).collect();
    let wanted: BTreeSet<String> = (1..=18).map(|n| format!("H{n}")).collect();
    assert_eq!(known, wanted.iter().map(String::as_str).collect(), "each row has an input");

    let places = write_all(&desk, &all);
    let answers = ask(&desk, Way::new('h'), &all);
    let told = Told::by(&desk);
    let by_kafka: Vec<String> =
        places.iter().map(|(partition, offset)| told.of_record(*partition, *offset)).collect();
    let by_http: Vec<String> = answers.iter().map(|answer| told.of_answer(answer)).collect();
    let mut wrong = differences(&all, |row| &row.kafka, by_kafka.iter());
    wrong.extend(differences(&all, |row| &row.http, by_http.iter()));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // What HTTP refuses before it is an event is not on the log; everything else is, once.
    let is_written = |answer: &&Answer| matches!(answer.status, 200 | 422);
    let n_written = all.len() + answers.iter().filter(is_written).count();
    let books = desk.service.books().unwrap();
    // Commands are none of them: the start tells the audit trail who has tokens.
    assert_eq!(
        (books.read - books.commanded, books.in_flight, books.abandoned),
        (u64::try_from(n_written).unwrap(), 0, 0),
        "{books:?}"
    );
    assert_eq!(books.dead_lettered, u64::try_from(told.letters.len()).unwrap());

    // After all of it a good payment is decided on either way.
    let good = [rows::good()];
    let answers = ask(&desk, Way::new('i'), &good);
    assert_eq!(answers[0].status, 200, "{answers:?}");
    let body = Way::new('j').fill(&good[0], 0);
    write(&producer(desk.fleet.broker.client()), &desk.fleet.input(), &good[0], &body);
    desk.service.wait_done(u64::try_from(n_written + 2).unwrap());
    let last = Told::by(&desk).decisions;
    for id in ["i0", "j0"] {
        assert!(last.iter().any(|it| it["event"]["id"] == id && it["outcome"] == "pass"), "{id}");
    }
    assert_inert(&desk);
    check_the_page(&all);
}

/// The codec of a topic is its owner's affair: what a broker may pack, the service reads.
#[test]
fn records_that_a_broker_packed_by_any_codec_are_decided() {
    let broker = Broker::shared();
    let topics = ["gzip", "snappy", "lz4", "zstd"].map(|codec| {
        let topic = format!("{}{codec}", prefix("api-codec"));
        broker.create_topic_with(&topic, 1, &[("compression.type", codec)]);
        topic
    });
    let inputs = format!("topics.inputs={}", topics.join(","));
    let desk = Desk::open_ruled(broker, "api-codecs", RULES, &[&inputs]);
    let producer = producer(broker.client());
    for (place, topic) in topics.iter().enumerate() {
        write(&producer, topic, &rows::good(), &Way::new('c').fill(&rows::good(), place));
    }
    wait::until(
        || desk.service.books().is_some_and(|books| books.decided == 4),
        || desk.service.describe(),
    );
}

/// The table of the page is what is checked here: `UPDATE_GOLDEN=1` writes it.
fn check_the_page(all: &[Row]) {
    const BEGIN: &str = "<!-- answers: written by tests/api/hostile.rs -->\n";
    const END: &str = "<!-- answers end -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/RELIABILITY.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (_, tail) = rest.split_once(END).unwrap();
    let mut table =
        "| Input | Row | As a record | As the body of `POST /v1/score` |\n|---|---|---|---|\n"
            .to_owned();
    for row in all {
        let nearest = row.nearest.map_or_else(String::new, |it| format!("{it}: "));
        table.push_str(&format!(
            "| {} | {} | {} | {nearest}{} |\n",
            row.what, row.id, row.kafka, row.http
        ));
    }
    let wanted = format!("{head}{BEGIN}{table}{END}{tail}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    assert!(known == wanted, "docs/RELIABILITY.md differs: UPDATE_GOLDEN=1 rewrites its table");
}
