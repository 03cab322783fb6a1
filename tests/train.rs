//! `train` and `evaluate` as a person calls them: what is trained on is what was known, what is written is what is used.
//! Figures are held against counts by hand and by naive loops over the generated events.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use riskweir::models::offline::Artifact;
use serde_json::Value;

mod support;

use support::dice::Dice;
use support::place::Place;

const RULES: &str = r#"
event payment
  id    id     : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR

feature n_day  = count(payment) by card over prior 24h
feature waited = time_since(payment) by card over prior 30d
feature half   = amount / 2 EUR

model frauds
  on payment
  kind learned
  from "frauds.rwm"
  reads waited, amount, half, n_day

rule asked "Whatever the model says"
  id "R-1"  owner fraud  severity low
  on payment
  when model.frauds.raw >= 0.0
  then score +1 in models cap 1

policy all
  base currency EUR
"#;

/// A generated payment, and what is known of it.
#[derive(Clone, Debug)]
struct Paid {
    id: usize,
    /// Minute since the first of March.
    minute: u64,
    card: u64,
    cents: u64,
    is_fraud: bool,
    kind: &'static str,
}

impl Paid {
    fn day(&self) -> u64 {
        self.minute / 1440
    }

    fn time(&self) -> String {
        let (day, minute) = (self.day(), self.minute % 1440);
        format!("2026-03-{:02}T{:02}:{:02}:00Z", day + 1, minute / 60, minute % 60)
    }

    fn line(&self) -> String {
        let Self { id, card, cents, .. } = self;
        let (whole, cent) = (cents / 100, cents % 100);
        format!(
            r#"{{"id":"p{id}","at":"{}","card":"c{card}","amount":"{whole}.{cent:02}"}}"#,
            self.time()
        )
    }
}

/// Thirty days of forty payments by 30 cards. Large ones are mostly fraud, and a few small ones.
fn history() -> Vec<Paid> {
    let dice = &mut Dice::new(17);
    let paid = |id: usize| {
        let minute = id as u64 * 36;
        let is_large = dice.one_in(12);
        let cents = if is_large { 20_000 } else { 0 } + dice.below(15_000) + 100;
        let is_fraud = if is_large { !dice.one_in(5) } else { dice.one_in(60) };
        let kind = if is_large { "large" } else { "small" };
        Paid { id, minute, card: dice.below(30), cents, is_fraud, kind }
    };
    (0..30 * 40).map(paid).collect()
}

/// A folder with the rules, a history and its labels. Frauds of the third of March come out on the twenty-ninth.
fn place(history: &[Paid]) -> Place {
    let events: Vec<String> = history.iter().map(Paid::line).collect();
    let mut labels = String::from("event_id,verdict,reported_at,kind\n");
    for paid in history.iter().filter(|paid| paid.is_fraud) {
        let reported = if paid.day() == 2 { "2026-03-29T00:00:00Z" } else { "" };
        labels.push_str(&format!("p{},fraud,{reported},{}\n", paid.id, paid.kind));
    }
    Place::with(&[
        ("rules/a.risk", RULES),
        ("events.ndjson", &(events.join("\n") + "\n")),
        ("labels.csv", &labels),
    ])
}

const SOURCE: [&str; 10] = [
    "--name",
    "frauds",
    "--input",
    "events.ndjson",
    "--labels",
    "labels.csv",
    "--card",
    "card",
    "--scenario-column",
    "kind",
];

#[track_caller]
fn json(place: &Place, arguments: &[&str]) -> Value {
    let out = place.good(&[arguments, &SOURCE, &["--format", "json"]].concat());
    serde_json::from_str(&out).unwrap()
}

/// Trained on days 1 to 10, measured on days 15 to 30, labels known after 4 days.
const PERIODS: [&str; 10] = [
    "--from",
    "2026-03-01",
    "--until",
    "2026-03-11",
    "--test-from",
    "2026-03-15",
    "--test-until",
    "2026-03-31T00:00:00Z",
    "--label-delay",
    "4d",
];

fn train(place: &Place, out: &str, more: &[&str]) -> Value {
    json(place, &[&["train", "--out", out, "--trees", "20"], &PERIODS[..], more].concat())
}

/// The rows of a dataset: the cells of each line.
fn dataset(place: &Place) -> Vec<Vec<String>> {
    let arguments = [&["train", "--dataset", "rows.csv"], &SOURCE[..]].concat();
    place.good(&arguments);
    let cells = |line: &str| line.split(',').map(str::to_owned).collect();
    place.read("rows.csv").lines().map(cells).collect()
}

/// By hand: 24 hours before p3 there was p2 alone, 23 and a half hours before; p4 is the first of its card.
#[test]
fn a_dataset_is_what_the_model_reads_before_the_event_is_remembered() {
    let events = r#"{"id":"p1","at":"2026-03-02T08:00:00Z","card":"c1","amount":"150.00"}
{"id":"p2","at":"2026-03-02T09:00:00Z","card":"c1","amount":"5.00"}
{"id":"p3","at":"2026-03-03T08:30:00Z","card":"c1","amount":"7.25"}
{"id":"p4","at":"2026-03-03T08:31:00Z","card":"c2","amount":"200.50"}
"#;
    let labels =
        "event_id,verdict,kind,reported_at\np1,fraud,stolen,2026-03-04T12:00:00Z\np2,genuine,,\n";
    let place =
        Place::with(&[("rules/a.risk", RULES), ("events.ndjson", events), ("labels.csv", labels)]);
    dataset(&place);
    // What was reported is known since then; what was not, a week after the payment.
    let expected = "event_id,time,amount,half,n_day,waited,label,label_known_at,scenario\n\
        p1,2026-03-02T08:00:00Z,150,75,0,,1,2026-03-04T12:00:00Z,stolen\n\
        p2,2026-03-02T09:00:00Z,5,2.5,1,3600,0,2026-03-09T09:00:00Z,\n\
        p3,2026-03-03T08:30:00Z,7.25,3.625,1,84600,0,2026-03-10T08:30:00Z,\n\
        p4,2026-03-03T08:31:00Z,200.5,100.25,0,,0,2026-03-10T08:31:00Z,\n";
    assert_eq!(place.read("rows.csv"), expected);
}

/// An id that comes again with another body is decided anew, and after days with the same one too; it has one label.
#[test]
fn an_id_that_comes_again_is_one_lesson() {
    let history = history();
    let place = place(&history);
    let files = ["train", "--dataset", "rows.csv", "--out", "m.rwm", "--trees", "2"];
    let words = [&files[..], &SOURCE, &PERIODS].concat();
    place.good(&words);
    let once = place.read("rows.csv");
    let mut events = place.read("events.ndjson");
    let twice: Vec<String> =
        history[..7].iter().map(|paid| paid.line().replace(":\"c", ":\"d")).collect();
    events.push_str(&(twice.join("\n") + "\n"));
    place.write("events.ndjson", &events);
    let called = place.call(&words);
    assert_eq!(called.err, "7 events of `payment` left out: their ids had come before\n");
    assert!(called.code == 0 && place.read("rows.csv") == once);
    let card: Value = serde_json::from_str(&place.read("m.json")).unwrap();
    assert_eq!(card["ids_again"], 7);
    let trained = history.iter().filter(|paid| paid.day() < 10).count();
    assert_eq!(card["trained_on"]["events"], trained);
}

/// What the features are made of, where it stood in a record, and that another place is told.
#[test]
fn a_model_knows_from_where_its_fields_were_read() {
    let place = place(&history());
    let card = train(&place, "rules/frauds.rwm", &[]);
    let fields = |it: &Value| [&it["name"], &it["read"]].map(|it| it.as_str().unwrap().to_owned());
    let told: Vec<[String; 2]> = card["fields"].as_array().unwrap().iter().map(fields).collect();
    let expected = [
        ["payment.amount", "money EUR at /amount"],
        ["payment.at", "time by RFC 3339 at /at"],
        ["payment.card", "key at /card"],
    ];
    assert_eq!(told, expected);
    assert!(place.read("rules/frauds.md").contains("| `payment.amount` | money EUR at /amount |"));
    assert!(!place.call(&["check", "rules"]).err.contains("W0607"));
    let moved =
        RULES.replace("money currency EUR", "money from \"/paid/cents\" currency EUR unit minor");
    place.write("rules/a.risk", &moved);
    let called = place.call(&["check", "rules"]);
    let words =
        "trained on `money EUR at /amount`, here it is `money EUR in minor units at /paid/cents`";
    assert!(
        called.code == 0 && called.err.contains("W0607") && called.err.contains(words),
        "{}",
        called.err
    );
}

#[test]
fn what_people_wrote_into_a_card_outlives_the_next_training() {
    let place = place(&history());
    train(&place, "m.rwm", &[]);
    let page = place.read("m.md");
    let licence =
        "## Data and licence\n\nOurs, from the third of March.\n\n### Of the labels\n\nAs well.\n";
    let limits = page.find("## Limits").unwrap();
    place.write(
        "m.md",
        &format!("{}## Owner\n\nFraud.\n\n{}\n{licence}", &page[..limits], &page[limits..]),
    );
    train(&place, "m.rwm", &[]);
    train(&place, "m.rwm", &["--seed", "4"]);
    let (fresh, after) = (place.read("m.md"), format!("\n## Owner\n\nFraud.\n\n{licence}"));
    assert!(fresh.ends_with(&after), "{fresh}");
    assert_eq!(fresh.matches("\n## ").count(), page.matches("\n## ").count() + 2);
}

/// Half a day is no day: what was trained on ends at noon.
#[test]
fn a_card_says_when_its_periods_begin_and_end_to_the_hour() {
    let history = history();
    let place = place(&history);
    let periods = [
        "--until",
        "2026-03-10T12:00:00Z",
        "--test-from",
        "2026-03-15",
        "--test-until",
        "2026-03-31",
    ];
    let delay = ["--label-delay", "4d", "--out", "m.rwm", "--trees", "5"];
    let card = json(&place, &[&["train"], &periods[..], &delay].concat());
    // Without `--from` it begins with the first payment, which is the first of the month at midnight.
    let of = |name: &str| {
        [&card[name]["from"], &card[name]["until"]].map(|it| it.as_str().unwrap().to_owned())
    };
    assert_eq!(of("trained_on"), ["2026-03-01", "2026-03-10T12:00:00Z"]);
    assert_eq!(of("measured_on"), ["2026-03-15", "2026-03-31"]);
    let noon = history.iter().filter(|paid| paid.minute < 9 * 1440 + 720).count();
    assert_eq!(card["trained_on"]["events"], noon);
    let page = place.read("m.md");
    assert!(
        page.contains("| trained on | 2026-03-01 up to 2026-03-10T12:00:00Z (exclusive): "),
        "{page}"
    );
}

#[test]
fn no_row_depends_on_what_came_later() {
    let history = history();
    let whole = dataset(&place(&history));
    let first = dataset(&place(&history[..300]));
    assert_eq!((whole.len(), first.len()), (1 + 1200, 1 + 300));
    assert_eq!(whole[..=300], first);
}

/// The days, the labels that had come out, and the cards that leave, counted once more.
#[test]
fn what_is_trained_on_is_what_was_known_when_measuring_begins() {
    let history = history();
    let card = train(&place(&history), "m.rwm", &[]);
    let trained = history.iter().filter(|paid| paid.day() < 10);
    let known = trained.clone().filter(|paid| paid.is_fraud && paid.day() != 2);
    assert!(history.iter().any(|paid| paid.is_fraud && paid.day() == 2));
    assert_eq!(card["trained_on"]["events"], trained.count());
    assert_eq!(card["trained_on"]["frauds"], known.count());
    // The loop of the handbook: each day, cards whose fraud is older than the delay are known, if it was reported.
    let mut measured = Vec::new();
    for day in 14..30 {
        let out = |paid: &&Paid| paid.day() + 4 < day && (paid.day() != 2 || day >= 28);
        let defrauded: BTreeSet<u64> =
            history.iter().filter(|paid| paid.is_fraud).filter(out).map(|paid| paid.card).collect();
        measured.extend(
            history.iter().filter(|paid| paid.day() == day && !defrauded.contains(&paid.card)),
        );
    }
    let frauds = measured.iter().filter(|paid| paid.is_fraud).count();
    assert!(frauds > 5 && measured.len() < 500, "{frauds} of {}", measured.len());
    assert_eq!(card["measured_on"]["events"], measured.len());
    assert_eq!(card["measured_on"]["frauds"], frauds);
    let recall = card["reached"]["recall"].as_array().unwrap();
    let all = recall.iter().find(|found| found["scenario"].is_null()).unwrap();
    assert_eq!(all["frauds"], frauds);
}

/// What whoever judges a model asks of its card.
fn assert_says_how_it_was_made(card: &Value, page: &str) {
    let said = [
        "library",
        "program",
        "command",
        "rules",
        "data",
        "label_delay_days",
        "trained_on",
        "measured_on",
        "fields",
        "scores",
        "scores_reference",
        "calibration",
    ];
    for key in said {
        let is_empty = card[key].as_array().is_some_and(Vec::is_empty);
        assert!(!card[key].is_null() && !is_empty, "{key}: {card}");
    }
    assert_eq!(card["parameters"]["seed"], 0, "{card}");
    for key in ["auc", "average_precision", "card_precision_100"] {
        assert!(card["reached"][key].is_f64(), "{key}: {card}");
    }
    // All kinds of fraud together, at each share of alerts.
    let recalls = card["reached"]["recall"].as_array().unwrap();
    let all: Vec<&Value> = recalls.iter().filter(|found| found["scenario"].is_null()).collect();
    let rates: Vec<f64> = all.iter().map(|found| found["alert_rate"].as_f64().unwrap()).collect();
    assert_eq!(rates, [0.005, 0.01, 0.02], "{card}");
    for feature in card["features"].as_array().unwrap() {
        for key in ["name", "meaning", "reference"] {
            assert!(!feature[key].is_null(), "{key}: {feature}");
        }
    }
    for heading in ["## Features", "## Calibration", "## Limits"] {
        assert!(page.contains(heading), "{heading}: {page}");
    }
}

#[test]
fn a_model_is_written_with_its_card_and_is_the_same_again() {
    let history = history();
    let place = place(&history);
    let card = train(&place, "models/frauds.rwm", &["--threads", "1"]);
    let again = train(&place, "again.rwm", &["--threads", "3"]);
    let bytes = |name: &str| fs::read(place.path().join(name)).unwrap();
    let model = Artifact::decode(&bytes("models/frauds.rwm")).unwrap();
    let other = Artifact::decode(&bytes("again.rwm")).unwrap();
    assert_eq!((&model.scorer, &model.features), (&other.scorer, &other.features));
    assert_eq!(card["data"], again["data"]);
    let names: Vec<&str> = model.features.iter().map(|feature| feature.name.as_str()).collect();
    assert_eq!(names, ["amount", "half", "n_day", "waited"]);
    assert_eq!((model.name.as_str(), model.event.as_str()), ("frauds", "payment"));
    assert_eq!(serde_json::from_str::<Value>(&model.facts).unwrap(), card);
    let written: Value = serde_json::from_str(&place.read("models/frauds.json")).unwrap();
    assert_eq!(written, card);
    let page = place.read("models/frauds.md");
    for words in
        ["# Model `frauds`", "label delay | 4 days", "riskweir train --out models/frauds.rwm"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert_says_how_it_was_made(&card, &page);
    // Frauds are mostly large, and no other feature tells them.
    assert!(card["reached"]["auc"].as_f64().unwrap() > 0.75, "{card}");
    let weight = |at: usize| card["features"][at]["weight"].as_f64().unwrap();
    assert!(weight(0) + weight(1) > 0.6, "{card}");
    let other_seed = train(&place, "seed.rwm", &["--seed", "5"]);
    assert_ne!(other_seed["reached"], card["reached"]);
}

/// Trained, then loaded by the rules and asked for every event: the stream says what the file says of the dataset's rows.
#[test]
fn the_stream_scores_what_was_trained() {
    let history = history();
    let place = place(&history);
    for kind in ["forest", "logistic", "tree"] {
        train(&place, "rules/frauds.rwm", &["--model", kind, "--max-depth", "6"]);
        let model = fs::read(place.path().join("rules/frauds.rwm")).unwrap();
        let model = Artifact::decode(&model).unwrap();
        place.good(&["backtest", "--input", "events.ndjson", "--out", "out", "--quiet"]);
        let mut scores = BTreeMap::new();
        for line in place.read("out/decisions.ndjson").lines() {
            let decision: Value = serde_json::from_str(line).unwrap();
            let id = decision["event"]["id"].as_str().unwrap().to_owned();
            scores.insert(id, decision["models"][0]["raw_micro"].as_i64());
        }
        let rows = dataset(&place);
        assert_eq!((rows.len(), scores.len()), (1 + history.len(), history.len()));
        for cells in &rows[1..] {
            // Natural units as whole numbers: cents, millionths, counts, ms.
            let scales = [100.0, 1e6, 1.0, 1e3];
            let values = cells[2..6].iter().zip(scales);
            #[expect(clippy::cast_possible_truncation, reason = "small whole numbers")]
            let row: Vec<Option<i64>> = values
                .map(|(cell, scale)| cell.parse::<f64>().ok().map(|it| (it * scale).round() as i64))
                .collect();
            assert_eq!(scores[&cells[0]], model.scorer.score_micro(&row), "{kind}: {cells:?}");
        }
    }
}

#[test]
fn methods_are_measured_over_periods_side_by_side() {
    let place = place(&history());
    let periods = [
        "evaluate",
        "--train",
        "8d",
        "--test",
        "4d",
        "--label-delay",
        "4d",
        "--folds",
        "3",
        "--trees",
        "20",
    ];
    let found = json(&place, &periods);
    let spans: Vec<(&str, &str)> = found["periods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["trained_on"]["from"].as_str().unwrap(),
                it["measured_on"]["until"].as_str().unwrap(),
            )
        })
        .collect();
    let expected =
        [("2026-03-15", "2026-03-31"), ("2026-03-11", "2026-03-27"), ("2026-03-07", "2026-03-23")];
    assert_eq!(spans, expected);
    let names = ["logistic regression", "decision tree, depth 2", "random forest, 20 trees"];
    for (at, name) in names.iter().enumerate() {
        assert_eq!(found["mean"][at]["method"], *name);
        let each = found["periods"].as_array().unwrap().iter();
        let each: Vec<f64> =
            each.filter_map(|it| it["methods"][at]["reached"]["auc"].as_f64()).collect();
        let mean = each.iter().sum::<f64>() / 3.0;
        let told = found["mean"][at]["auc"]["mean"].as_f64().unwrap();
        assert!(each.len() == 3 && (told - mean).abs() < 1e-12, "{told} {each:?}");
        assert!(told > 0.7, "{name}: {told}");
    }
    // A single period ends with the file when its end is named.
    let single =
        json(&place, &[&periods[..7], &["--folds", "1", "--until", "2026-03-31"]].concat());
    assert_eq!(single["periods"][0]["measured_on"], found["periods"][0]["measured_on"]);
    let table = place.good(&[&periods[..], &SOURCE].concat());
    for words in ["mean of 3 periods", "random forest, 20 trees", "scenario large", " ± "] {
        assert!(table.contains(words), "{words}: {table}");
    }
}

/// What is asked for, by words of a command line, and what is said.
const REFUSED: [(&str, &str); 15] = [
    ("--name frauds --out m.rwm", "name their file with `--labels`"),
    ("LABELS --name fraud --out m.rwm", "no model `fraud` of kind `learned`: they have frauds"),
    ("KNOWN --out m.rwm --card cart", "event `payment` has no key or text `cart`"),
    ("KNOWN --out m.rwm --card amount", "event `payment` has no key or text `amount`"),
    (
        "KNOWN --out m.rwm --label-reported reportd_at",
        "has no column `reportd_at`: name it with `--label-reported`",
    ),
    ("KNOWN --out m.rwm --label-id verdict", "none of the"),
    ("KNOWN --out m.rwm TRAINED --test-from 2027-01-01 --test-until 2027-02-01", "has no events"),
    (
        "KNOWN --out m.rwm --scenario-column why",
        "no column `why`: name it with `--scenario-column`",
    ),
    (
        "KNOWN --out m.rwm --label-delay 40d",
        "must be longer than the measured days and the label delay",
    ),
    (
        "KNOWN --out m.rwm --until 2026-03-20 --test-from 2026-03-21",
        "leave the label delay between them",
    ),
    ("KNOWN --out m.rwm --from 2027-01-01", "the input has no `payment` in the period"),
    ("KNOWN --out m.rwm --per-split 9", "1 to all features a split"),
    ("KNOWN --out events.ndjson", "would be overwritten"),
    ("KNOWN --out m.json", "`m.json` would be written twice"),
    ("KNOWN --out m.rwm --dataset m.md", "`m.md` would be written twice"),
];

#[test]
fn what_cannot_be_trained_says_how_to_mend_it() {
    let place = place(&history());
    let call = |line: &str| {
        let line = line.replace("KNOWN", "LABELS --name frauds");
        let line = line.replace("TRAINED", &PERIODS[..4].join(" "));
        let line = line.replace("LABELS", "--labels labels.csv");
        let words: Vec<&str> = line.split(' ').collect();
        let called = place.call(&[&["train", "--input", "events.ndjson"], &words[..]].concat());
        (called.code, called.err)
    };
    for (line, words) in REFUSED {
        let (code, err) = call(line);
        assert_eq!(code, 1, "{line}: {err}");
        assert!(err.contains(words), "{words}: {err}");
    }
    for (line, words) in [
        ("KNOWN", "--out"),
        ("KNOWN --out m.rwm --penalty=-1", "a number from 0 on"),
        ("KNOWN --out m.rwm --penalty=NaN", "a number from 0 on"),
        ("KNOWN --out m.rwm --penalty=inf", "a number from 0 on"),
        ("KNOWN --out m.rwm --from march", "2026-01-31"),
    ] {
        let (code, err) = call(line);
        assert!(code == 2 && err.contains(words), "{line}: {err}");
    }
}

/// The files beside a model are outputs too: a history that is called like one of them is not lost.
#[test]
fn a_card_never_takes_the_place_of_what_is_read() {
    let place = place(&history());
    let events = place.read("events.ndjson");
    place.write("m.json", &events);
    let called = place.call(&[
        "train",
        "--input",
        "m.json",
        "--labels",
        "labels.csv",
        "--name",
        "frauds",
        "--out",
        "m.rwm",
    ]);
    assert_eq!(called.code, 1, "{}", called.err);
    assert!(called.err.contains("`m.json` is an input and would be overwritten"), "{}", called.err);
    assert_eq!(place.read("m.json"), events);
}

#[test]
fn without_cards_nothing_is_said_of_their_precision_and_a_period_that_has_no_events_is_named() {
    let place = place(&history());
    let source = ["--name", "frauds", "--input", "events.ndjson", "--labels", "labels.csv"];
    let evaluate = |more: &[&str]| place.call(&[&["evaluate"], &source[..], more].concat());
    let short = ["--train", "5d", "--test", "3d", "--label-delay", "1d", "--trees", "3"];
    let told = evaluate(&[&short[..], &["--folds", "2", "--format", "json"]].concat());
    let told: Value = serde_json::from_str(&told.out).unwrap();
    assert!(told["mean"][0]["card_precision_100"].is_null(), "{told}");
    assert!(told["mean"][0]["auc"]["mean"].is_f64(), "{told}");

    let told = evaluate(&[&short[..], &["--folds", "20"]].concat());
    assert_eq!(told.code, 1);
    let err = &told.err;
    assert!(
        err.contains("period measured from 2026-0") && err.contains("fewer `--folds`"),
        "{err}"
    );
    let huge = ["--until", "2026-03-31", "--test", "46296296296d", "--folds", "4"];
    assert!(evaluate(&huge).err.contains("`--test` times `--folds`"), "{}", evaluate(&huge).err);
}
