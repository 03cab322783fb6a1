//! Card numbers go in and none comes out: random events and commands, good and broken, through the engine and through the
//! built binary on a real Kafka.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use riskweir::base::TokenKey;
use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, Input, Output, OutputTopic, SnapshotStatus};
use riskweir::rules::compile;
use riskweir::rules::program::Program;
use serde_json::{Value, json};

use support::binary::{Binary, command};
use support::broker::Broker;
use support::dice::Dice;
use support::topics::{Isolation, NewRecord, Record, prefix};
use support::wait;

const RULES: &str = r#"
event pay from "payments"
  id    pay_id   : text     from "/id"
  time  made_at  : time     from "/at"
  key   card     : card     from "/card/pan" tokenized
  key   customer : customer from "/customer"
  field amount   : money    from "/amount" currency "/currency"
  field note     : text?    from "/note"
  field old_card : card?    from "/old" tokenized

list stolen : card from "lists/stolen.csv"

policy decisions
  base currency EUR
  timezone "UTC"

rule stolen_card "a stolen card"
  id "R-1"  owner tests  severity high  mode live
  on pay
  when card in stolen
  then hold for 30m otherwise release reason "stolen: {card}, {note}"

rule busy_card "a busy card"
  id "R-2"  owner tests  severity low  mode live
  on pay
  when count(pay) by card over last 1h >= 2
  if missing skip
  then score +5 in speed
       alert queue l1 once per card per 1h message "{card} of {customer}: {note}"

rule told "what the note says"
  id "R-3"  owner tests  severity low  mode live
  on pay
  when note contains "card" or old_card = card
  if missing skip
  then score +1 in told
"#;

/// Numbers that schemes publish for tests, of 13 to 19 digits.
const CARDS: [&str; 10] = [
    "4111111111111111",
    "5555555555554444",
    "378282246310005",
    "6011000990139424",
    "30569309025904",
    "4222222222222",
    "3530111333300000",
    "6304000000000000000",
    "5105105105105100",
    "4012888888881881",
];
/// Those on the list: in one, and in groups.
const STOLEN: &str = "value\n5555555555554444\n3782 822463 10005\n";
const IS_STOLEN: [&str; 2] = ["5555555555554444", "378282246310005"];

fn program() -> Arc<Program> {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let files = vec![file("lists/stolen.csv", STOLEN), file("rules.risk", RULES)];
    let (program, found) = compile(&Sources::of(files));
    assert!(program.is_some(), "{found:#?}");
    Arc::new(program.unwrap())
}

/// A payment whose card is the first of these, and whether it can be decided.
struct Made {
    body: Vec<u8>,
    card: &'static str,
    is_good: bool,
}

/// A number as people write it.
fn written(card: &str, dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => card.to_owned(),
        form => {
            let apart = if form == 1 { " " } else { "-" };
            let groups: Vec<&str> = card
                .as_bytes()
                .chunks(4)
                .map(|group| core::str::from_utf8(group).unwrap())
                .collect();
            groups.join(apart)
        }
    }
}

/// A payment with card numbers wherever one can stand.
fn payment(n: u64, dice: &mut Dice) -> Made {
    let (card, other) = (dice.pick(&CARDS), dice.pick(&CARDS));
    let (hour, minute) = (n / 60, n % 60);
    let mut body = json!({
        "id": format!("p{n}"),
        "at": format!("2026-11-01T{hour:02}:{minute:02}:00Z"),
        "card": {"pan": written(card, dice), "holder": written(other, dice)},
        "customer": format!("c{}", dice.below(4)),
        "amount": "12.00",
        "currency": "EUR",
        "extra": [written(other, dice), {"pan": other}],
    });
    if dice.one_in(2) {
        body["note"] = json!(format!("card {} or {}", written(other, dice), written(card, dice)));
    }
    if dice.one_in(2) {
        body["old"] = json!(written(other, dice));
    }
    if dice.one_in(4) {
        body["card"]["pan"] = json!(card.parse::<u64>().unwrap());
    }
    let is_good = dice.below(3) > 0;
    if !is_good {
        match dice.below(6) {
            0 => body["amount"] = json!(format!("{card}x")),
            1 => body["at"] = json!(written(card, dice)),
            2 => body["customer"] = json!({ "card": other }),
            3 => body["card"]["pan"] = json!([card]),
            4 => body["currency"] = json!(other),
            _ => {
                let mut text = body.to_string();
                // Its digits, or some of them, as JSON may write them.
                for digit in ('0'..='9').filter(|_| dice.one_in(3)) {
                    text = text.replace(digit, &format!("\\u00{:02x}", u32::from(digit)));
                }
                let cut = usize::try_from(dice.below(text.len() as u64 - 1)).unwrap();
                return Made { body: text.as_bytes()[..cut].to_vec(), card, is_good };
            }
        }
    }
    Made { body: body.to_string().into_bytes(), card, is_good }
}

/// Commands about cards, the last one broken.
fn commands(card: &str) -> Vec<String> {
    let asked = |kind: &str, about: Value| {
        let mut command = json!({
            "schema": "riskweir.command.v1", "command_id": format!("{kind} 1"), "kind": kind,
            "actor": "ann", "reason": format!("called about {card}"),
        });
        command.as_object_mut().unwrap().extend(about.as_object().unwrap().clone());
        command.to_string()
    };
    vec![
        asked("list.add", json!({"list": "stolen", "value": card})),
        asked(
            "snooze.set",
            json!({"rule": "R-2", "key": "card", "value": card, "until": "2026-12-01T00:00:00Z"}),
        ),
        asked(
            "hold.place",
            json!({"entity": "card", "value": card, "deadline_at": "2026-12-01T00:00:00Z"}),
        ),
        asked("list.add", json!({"list": "stolen", "value": card, "number": card})),
    ]
}

/// The runs of digits in a text that are as long as a card number, and whose last digit is right.
fn card_runs(text: &str) -> BTreeSet<String> {
    let is_one = |run: &&str| {
        let digits: Vec<u32> = run.chars().rev().map(|digit| digit.to_digit(10).unwrap()).collect();
        let doubled = |digit: &u32| [0, 2, 4, 6, 8, 1, 3, 5, 7, 9][*digit as usize];
        let sum: u32 = digits.iter().step_by(2).sum::<u32>()
            + digits.iter().skip(1).step_by(2).map(doubled).sum::<u32>();
        (13..=19).contains(&digits.len()) && sum.is_multiple_of(10)
    };
    let runs = text.split(|letter: char| !letter.is_ascii_digit());
    runs.filter(is_one).map(str::to_owned).collect()
}

/// What a reader of an output sees: its key, its body, and the record that a dead letter holds.
fn seen(key: &[u8], body: &[u8]) -> String {
    let mut text = format!("{} {}", String::from_utf8_lossy(key), String::from_utf8_lossy(body));
    let value: Option<Value> = serde_json::from_slice(body).ok();
    if let Some(raw) = value.as_ref().and_then(|value| value["raw_base64"].as_str()) {
        let raw = String::from_utf8_lossy(&BASE64.decode(raw).unwrap()).into_owned();
        text.push_str(&unescaped(&raw));
        text.push_str(&raw);
    }
    text
}

/// A text with its escaped digits as digits: as whoever mends a broken record reads it.
fn unescaped(text: &str) -> String {
    ('0'..='9').fold(text.to_owned(), |text, digit| {
        text.replace(&format!("\\u00{:02x}", u32::from(digit)), &digit.to_string())
    })
}

/// No card number of the input stands there, nor one in groups. WHY: digests have runs of digits of their own.
#[track_caller]
fn assert_clean(text: &str, input: &BTreeSet<String>, what: &str) {
    let shown: Vec<String> = card_runs(text).intersection(input).cloned().collect();
    assert_eq!(shown, [""; 0], "{what}: {text}");
    let digits: String = text.chars().filter(|letter| !matches!(letter, ' ' | '-')).collect();
    for card in CARDS {
        assert!(!digits.contains(card), "{what} shows {card}: {text}");
    }
}

struct Run {
    engine: Engine,
    outputs: Vec<Output>,
    offset: i64,
}

impl Run {
    fn new(program: Arc<Program>) -> Self {
        let mut engine = Engine::new(program, EngineOptions::default()).unwrap();
        engine.take_commands_from("commands");
        Self { engine, outputs: Vec::new(), offset: 0 }
    }

    /// What comes out for a record.
    fn step(&mut self, topic: &str, body: &[u8]) -> Vec<Output> {
        let stream = self.engine.open_stream(topic, 0);
        let input = Input { stream, offset: self.offset, arrival_ms: None, payload: Some(body) };
        self.offset += 1;
        let mut outputs: Vec<Output> = Vec::new();
        self.engine.announce(&input, &mut outputs);
        self.engine.step(&input, &mut outputs);
        self.outputs.extend(outputs.iter().cloned());
        outputs
    }

    fn snapshot(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.engine.begin_snapshot();
        while self.engine.snapshot_part(1 << 20, &mut bytes) == SnapshotStatus::More {}
        bytes
    }
}

fn decision(outputs: &[Output]) -> Option<Value> {
    let found = outputs.iter().find(|output| output.topic == OutputTopic::Decisions)?;
    serde_json::from_slice(&found.body).ok()
}

#[test]
fn no_card_number_of_the_input_is_in_any_output_nor_in_the_state() {
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let key = TokenKey::new(format!("a key of tests, number {seed:020}").as_bytes()).unwrap();
        let mut run = Run::new(Arc::new(Arc::unwrap_or_clone(program()).keyed(&key)));
        let mut n_of_card: BTreeMap<&str, u32> = BTreeMap::new();
        let mut input: BTreeSet<String> = BTreeSet::new();
        for n in 0..60 {
            let made = payment(n, &mut dice);
            input.extend(card_runs(&unescaped(&String::from_utf8_lossy(&made.body))));
            let outputs = run.step("payments", &made.body);
            let Some(decision) = decision(&outputs) else {
                assert!(!made.is_good, "seed {seed}: {}", String::from_utf8_lossy(&made.body));
                continue;
            };
            // What rules say of the tokens is what they would say of the numbers: worked out here by the numbers.
            let before = n_of_card.entry(made.card).or_default();
            let text = decision.to_string();
            let says = |rule: &str| text.contains(&format!("\"rule\":\"{rule}\""));
            assert_eq!(says("R-1"), IS_STOLEN.contains(&made.card), "seed {seed}: {text}");
            assert_eq!(says("R-2"), *before + 1 >= 2, "seed {seed}: {text}");
            *before += 1;
        }
        for command in commands(CARDS[0]) {
            run.step("commands", command.as_bytes());
        }
        let listed = json!({"id": "last", "at": "2026-11-01T01:00:00Z", "card": {"pan": CARDS[0]},
            "customer": "c1", "amount": "1.00", "currency": "EUR"});
        let outputs = run.step("payments", listed.to_string().as_bytes());
        let text = decision(&outputs).unwrap().to_string();
        assert!(
            text.contains("\"R-1\"") && text.contains("\"held\""),
            "the commands were understood: {text}"
        );
        let all: Vec<String> =
            run.outputs.iter().map(|output| seen(&output.key, &output.body)).collect();
        for text in &all {
            assert_clean(text, &input, &format!("seed {seed}"));
        }
        for wanted in ["\"dead_letter.v1\"", "tk_", "raw_masked", "****", "\"result\":\"done\""] {
            let wanted = wanted.trim_matches('"');
            assert!(all.iter().any(|text| text.contains(wanted)), "seed {seed}: no {wanted}");
        }
        let state = String::from_utf8_lossy(&run.snapshot()).into_owned();
        for card in CARDS {
            assert!(!state.contains(card), "seed {seed}: the state holds {card}");
        }
    }
}

#[test]
fn another_key_makes_other_tokens_and_their_windows_begin_anew() {
    let with = |secret: u8| {
        Arc::new(Arc::unwrap_or_clone(program()).keyed(&TokenKey::new(&[secret; 32]).unwrap()))
    };
    let pay = |n: u64| {
        let at = if n == 0 {
            "2026-11-01T00:00:00Z".to_owned()
        } else {
            format!("2026-11-01T09:{n:02}:00Z")
        };
        json!({"id": format!("q{n}"), "at": at, "card": {"pan": CARDS[0]},
            "customer": "c1", "amount": "1.00", "currency": "EUR"})
        .to_string()
    };
    let mut run = Run::new(with(1));
    let says = |outputs: &[Output]| {
        let text = decision(outputs).unwrap().to_string();
        (text.contains("\"R-2\""), text.contains("warming"))
    };
    // Its window is one hour, and it has known nine.
    let all: Vec<_> = (0..4).map(|n| says(&run.step("payments", pay(n).as_bytes()))).collect();
    assert_eq!(all[1..], [(false, false), (true, false), (true, false)]);
    run.engine.activate(with(1)).unwrap();
    assert_eq!(says(&run.step("payments", pay(4).as_bytes())), (true, false), "the same key");
    run.engine.activate(with(2)).unwrap();
    // Nothing is counted by the new tokens yet, and what is counted then says that it does not know the hour.
    let all: Vec<_> = (5..7).map(|n| says(&run.step("payments", pay(n).as_bytes()))).collect();
    assert_eq!(all, [(false, false), (true, true)]);
}

const OUTPUTS: [&str; 5] = ["decisions", "alerts", "holds", "audit", "dead_letter"];

/// A service with a key of tokens, which `validate` has refused without one and with a short one.
struct World {
    broker: &'static Broker,
    prefix: String,
    folder: tempfile::TempDir,
}

/// What the key file says.
const SECRET: &str = "5b0d9c1f7a3e8264b0d9c1f7a3e82645";

impl World {
    fn new() -> Self {
        let world = Self {
            broker: Broker::shared(),
            prefix: prefix("cards"),
            folder: tempfile::tempdir().unwrap(),
        };
        fs::create_dir_all(world.folder.path().join("rules/lists")).unwrap();
        let rules = RULES.replace("\"payments\"", &format!("\"{}\"", world.topic("in")));
        fs::write(world.path("rules/rules.risk"), rules).unwrap();
        fs::write(world.path("rules/lists/stolen.csv"), STOLEN).unwrap();
        for name in OUTPUTS.iter().chain(&["in", "commands"]) {
            world.broker.create_topic(&world.topic(name), 1);
        }
        world.configure();
        world
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn config(&self) -> String {
        self.path("riskweir.yaml")
    }

    fn validate(&self) -> (Option<i32>, String) {
        let done = command().args(["validate", "-c", &self.config()]).output().unwrap();
        (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
    }

    fn configure(&self) {
        let mut text = format!(
            "version: 1\nkafka:\n  brokers: [\"{}\"]\n  group_id: {}\nrules:\n  path: {}\nsnapshot:\n  dir: {}\nlog:\n  level: debug\nhttp:\n  listen: 127.0.0.1:0\ntopics:\n  inputs: [{}]\n  commands: {}\n",
            self.broker.address(),
            self.topic("group"),
            self.path("rules"),
            self.path("snapshots"),
            self.topic("in"),
            self.topic("commands"),
        );
        for output in OUTPUTS {
            text.push_str(&format!("  {output}: {}\n", self.topic(output)));
        }
        fs::write(self.config(), &text).unwrap();
        let (code, said) = self.validate();
        assert!(code == Some(1) && said.contains("`pay.card` is tokenized"), "{code:?} {said}");
        text.push_str(&format!("tokens:\n  key_file: {}\n", self.path("token.key")));
        fs::write(self.config(), &text).unwrap();
        fs::write(self.path("token.key"), "too short").unwrap();
        let (code, said) = self.validate();
        assert!(code == Some(1) && said.contains("at least 32"), "{code:?} {said}");
        assert!(!said.contains("too short"), "{said}");
        fs::write(self.path("token.key"), format!("{SECRET}\n")).unwrap();
        assert_eq!(self.validate().0, Some(0));
    }

    fn bodies(&self, name: &str) -> Vec<Record> {
        self.broker.read(&self.topic(name), Isolation::Committed)
    }

    /// Everything is answered: so many payments and broken ones, three commands and a broken one.
    fn is_done(&self, n_payments: usize) -> bool {
        let done = self.bodies("decisions").len() + self.bodies("dead_letter").len();
        let audit = self.bodies("audit");
        let is_answer = |record: &&Record| {
            String::from_utf8_lossy(record.payload.as_deref().unwrap()).contains("\"command\"")
        };
        done > n_payments && audit.iter().filter(is_answer).count() >= 3
    }
}

#[test]
fn no_card_number_of_the_input_is_in_any_output_log_metric_or_snapshot_of_the_service() {
    let world = World::new();
    let mut dice = Dice::new(7);
    let payments: Vec<Made> = (0..150).map(|n| payment(n, &mut dice)).collect();
    let n_payments = payments.len();
    let input: BTreeSet<String> =
        payments.iter().flat_map(|made| card_runs(&String::from_utf8_lossy(&made.body))).collect();
    let record = |body: Vec<u8>| NewRecord::new("k", body, 1_790_000_000_000);
    let payments: Vec<NewRecord> = payments.into_iter().map(|made| record(made.body)).collect();
    let asked = commands(CARDS[0]).into_iter().map(|it| record(it.into_bytes()));
    let asked: Vec<NewRecord> = asked.collect();
    let service = Binary::start(&["run", "-c", &world.config()]);
    world.broker.produce(&world.topic("in"), &payments);
    world.broker.produce(&world.topic("commands"), &asked);
    wait::until(|| world.is_done(n_payments) || service.has_ended(), || service.describe());
    let metrics = service.get("/metrics").1;
    let said = service.stop_in_order();
    for name in OUTPUTS {
        for record in world.bodies(name) {
            let text = seen(&record.key.unwrap_or_default(), &record.payload.unwrap());
            assert_clean(&text, &input, name);
        }
    }
    let shards = fs::read_dir(world.path("snapshots")).unwrap();
    let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    let snapshots: Vec<String> = files
        .map(|file| file.unwrap().path())
        .filter(|file| file.extension().is_some_and(|it| it == "rws"))
        .map(|file| String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned())
        .collect();
    assert!(!snapshots.is_empty(), "a stop in order leaves one");
    let printed = command().args(["config", "print", "-c", &world.config()]).output().unwrap();
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    for text in snapshots.iter().chain([&said, &metrics, &printed]) {
        for card in CARDS {
            assert!(!text.contains(card), "{card} is shown: {text}");
        }
        assert!(!text.contains(SECRET), "the key is shown: {text}");
    }
}

#[test]
fn a_broken_record_with_escaped_digits_is_masked_and_reads_as_long_as_before() {
    let mut run = Run::new(program());
    let record = br#"{"card":{"pan":"\u0034111\u00201111 1111\u002d111\u0031"},"id":"x","amount":"#;
    let outputs = run.step("payments", record);
    let [letter] = &outputs[outputs.len() - 1..] else { panic!("{outputs:#?}") };
    let body: Value = serde_json::from_slice(&letter.body).unwrap();
    assert_eq!(
        (&body["schema"], &body["raw_masked"]),
        (&json!("riskweir.dead_letter.v1"), &json!(1))
    );
    let raw = BASE64.decode(body["raw_base64"].as_str().unwrap()).unwrap();
    let expected =
        br#"{"card":{"pan":"\u002a***\u0020**** ****\u002d111\u0031"},"id":"x","amount":"#;
    assert_eq!(String::from_utf8_lossy(&raw), String::from_utf8_lossy(expected));
}

#[test]
fn backtest_and_explain_make_the_tokens_of_the_service_where_they_have_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir_all(folder.path().join("rules/lists")).unwrap();
    let secret = "a secret of 32 bytes and some more";
    for (name, text) in [
        ("rules/rules.risk", RULES),
        ("rules/lists/stolen.csv", STOLEN),
        ("key", &format!("{secret}\n")),
        ("short", "too short"),
    ] {
        std::fs::write(path(name), text).unwrap();
    }
    let stolen = IS_STOLEN[0];
    let pay = json!({"id": "q1", "at": "2026-11-01T09:00:00Z", "card": {"pan": stolen},
        "customer": "c1", "amount": "1.00", "currency": "EUR"});
    std::fs::write(path("events.ndjson"), format!("{pay}\n")).unwrap();
    let call = |verb: &str, more: &[&str]| {
        let (rules, events) = (path("rules"), path("events.ndjson"));
        let mut asked = vec![verb, "--rules", &rules, "--input", &events];
        asked.extend(more);
        let done = command().args(&asked).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (done.status.code(), text(done.stdout), text(done.stderr))
    };
    let (key, out) = (path("key"), path("out"));
    let decisions = || std::fs::read_to_string(folder.path().join("out/decisions.ndjson")).unwrap();

    // What the running service, which has the key, says of the same record.
    let of_service = TokenKey::new(secret.as_bytes()).unwrap();
    let mut run = Run::new(Arc::new(Arc::unwrap_or_clone(program()).keyed(&of_service)));
    let served = decision(&run.step("payments", pay.to_string().as_bytes())).unwrap();
    let token = of_service.token_of(stolen);
    assert!(
        served["contributions"].to_string().contains(&format!("stolen: {token}")),
        "{served:#}"
    );

    let (code, _, told) = call("backtest", &["--out", &out, "--token-key", &key]);
    assert_eq!((code, told.contains("everybody knows")), (Some(0), false), "{told}");
    let with: Value = serde_json::from_str(&decisions()).unwrap();
    assert_eq!(with["contributions"], served["contributions"]);
    let (_, laid_out, _) =
        call("explain", &["--event", "q1", "--rule", "R-1", "--token-key", &key]);
    assert!(laid_out.contains(&token), "{laid_out}");

    // Without the key the list is found all the same, and whoever compares tokens is told.
    let (code, _, told) = call("backtest", &["--out", &out]);
    assert_eq!((code, told.contains("`--token-key FILE`")), (Some(0), true), "{told}");
    let without = decisions();
    assert!(without.contains("stolen: ") && !without.contains(&token), "{without}");

    let (code, _, told) = call("backtest", &["--out", &out, "--token-key", &path("short")]);
    assert!(code != Some(0) && told.contains("is no key of tokens"), "{told}");
    let plain = RULES.replace(" tokenized", "");
    std::fs::write(path("rules/rules.risk"), plain).unwrap();
    let (code, _, told) = call("explain", &["--event", "q1", "--token-key", &key]);
    assert!(code != Some(0) && told.contains("leave `--token-key` out"), "{told}");
}
