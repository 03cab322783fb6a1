//! The rule sets of a seed: those that may lie in the rule folder while it runs, good ones and bad ones.
//!
//! *Light* ones differ in thresholds, deadlines and members of a list; what their windows hold is the same. *Deep* ones
//! have other windows, other rules, or none in common. Bad ones do not compile.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

use riskweir::diag::{Source, Sources};
use riskweir::engine::EngineOptions;
use riskweir::rules::program::Program;
use riskweir::runtime::DecidingEngines;
use riskweir::runtime::port::Engines as _;

use super::dice::Dice;

/// The topics of the input.
pub(crate) const TOPICS: [&str; 2] = ["payments", "sessions"];

const PAYMENT: &str = r#"
event payment from "payments" when "/type" = "payment"
  id    id     : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
  field shop   : text?
"#;

const LOGIN: &str = r#"
event login from "TOPIC" when "/type" = "login"
  id   id   : text
  time at   : time
  key  card : card
  field about : text?
  field ok  : bool
  labels payment by about verdict ok
"#;

/// What comes on a second topic only.
const TOPUP: &str = r#"
event topup from "sessions" when "/type" = "topup"
  id    id     : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
rule topped "More than five hundred added in an hour"
  id "R-9"  owner fraud  severity medium
  on topup
  when sum(topup.amount in EUR) by card over last 1h > 500 EUR
  then hold for 15m otherwise release reason "much added"
"#;

/// A list that has a file, and that rules change.
const WATCHED: &str = r#"
list watched : card from "watched.csv" expires 50m
rule watched_card "A card that is watched"
  id "R-8"  owner fraud  severity low
  on payment
  when card in watched
  then score +30 in watched
"#;

/// Velocity, holds with two deadlines, an episode.
const VELOCITY: &str = r#"
rule large "More than nine hundred"
  id "R-1"  owner fraud  severity high
  on payment
  when amount > 900 EUR
  then hold for 20m otherwise block reason "{amount} is a lot"
rule fast "Four in ten minutes"
  id "R-2"  owner fraud  severity medium
  on payment
  when count(payment) by card over last 10m >= 4
  then score +35 in velocity cap 50
       alert queue l1 once per card per 30m message "now {amount}"
       add card to watched
rule spent "More than two thousand in an hour"
  id "R-3"  owner fraud  severity high
  on payment
  when sum(payment.amount in EUR) by card over last 1h > 2_000 EUR
  then hold for 45m otherwise release reason "much in an hour"
"#;

/// State of every kind: lists that rules change, distinct values, extremes, deviation, what came last.
const STATE: &str = r#"
list blocked : card
rule guessing "Two failed logins"
  id "R-1"  owner fraud  severity medium
  on login where ok = false
  when count(login where ok = false) by card over last 30m >= 2
  then add card to blocked for 40m
       remove card from watched
rule from_blocked "A card that guessed"
  id "R-2"  owner fraud  severity high
  on payment
  when card in blocked
  then block reason "blocked card"
rule shops "Three shops in an hour"
  id "R-3"  owner fraud  severity low
  on payment
  when distinct(payment.shop) by card over last 1h >= 3
  then score +20 in shops
       alert queue l2
rule larger "The largest in two hours"
  id "R-4"  owner fraud  severity medium
  on payment
  when amount > max(payment.amount) by card over prior 2h
  if missing skip
  then score +15 in size
rule unusual "Far above the average"
  id "R-5"  owner fraud  severity high
  on payment
  when amount > avg(payment.amount) by card over prior 3h + 2 * stddev(payment.amount) by card over prior 3h
  if missing skip
  then hold for 1h otherwise block reason "unusual"
rule moved "Another shop than last time"
  id "R-6"  owner fraud  severity low
  on payment
  when shop != last(payment.shop) by card over prior 1h
  if missing skip
  then score +5 in shops
       tag moved
"#;

/// One rule set as it may lie in the folder.
#[derive(Clone, Debug)]
pub(crate) struct RuleSet {
    /// None where it does not compile.
    pub(crate) program: Option<Arc<Program>>,
    /// As notes name it.
    pub(crate) id: String,
}

/// Reads `from`, in which every text must occur.
fn with(from: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(from.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "`{old}` is not in the rule set");
        text.replace(old, new)
    })
}

/// A rule set of the same windows as `base`, and the other one.
fn light(base: &str) -> [String; 2] {
    if base == VELOCITY {
        [
            with(
                base,
                &[("amount > 900 EUR", "amount > 250 EUR"), ("hold for 20m", "hold for 5m")],
            ),
            with(base, &[("by card over last 10m >= 4", "by card over last 10m >= 2")]),
        ]
    } else {
        [
            with(base, &[("for 40m", "for 15m"), ("hold for 1h", "hold for 10m"), ("+20", "+25")]),
            with(
                base,
                &[
                    ("over last 30m >= 2", "over last 30m >= 1"),
                    ("remove card", "add card"),
                    ("from watched", "to watched"),
                ],
            ),
        ]
    }
}

fn deep(base: &str) -> [String; 3] {
    if base == VELOCITY {
        let (head, _) = base.split_once("rule spent").unwrap();
        [head.to_owned(), with(base, &[("over last 10m", "over last 25m")]), STATE.to_owned()]
    } else {
        let (_, tail) = base.split_once("rule shops").unwrap();
        let other = with(base, &[("by card over prior 3h + 2", "by card over prior 1h + 1")]);
        [format!("rule shops{tail}"), other, VELOCITY.to_owned()]
    }
}

/// Members of the list's file: of every lane other cards.
fn members(odd: bool) -> String {
    let lanes = 0..8;
    let card = |lane: usize| format!("c{lane}-{},,\n", (lane + usize::from(odd)) % 3);
    format!("value,expires,note\n{}", lanes.map(card).collect::<String>())
}

/// What became of a text, with one file of the list or the other.
type Compiled = BTreeMap<(String, bool), Option<Arc<Program>>>;

/// Compiles once for all seeds.
fn compile(rules: &str, n_topics: usize, odd: bool) -> Option<Arc<Program>> {
    static KNOWN: OnceLock<Mutex<Compiled>> = OnceLock::new();
    let (topic, topup) = if n_topics > 1 { (TOPICS[1], TOPUP) } else { (TOPICS[0], "") };
    let text = format!("{PAYMENT}{}{topup}{WATCHED}{rules}", LOGIN.replace("TOPIC", topic));
    let known = KNOWN.get_or_init(Mutex::default);
    if let Some(known) = known.lock().unwrap().get(&(text.clone(), odd)) {
        return known.clone();
    }
    let file = |path: &str, text: String| Source { path: path.to_owned(), text };
    let files = vec![file("rules.risk", text.clone()), file("watched.csv", members(odd))];
    let (program, _) = riskweir::rules::compile(&Sources::of(files));
    let program = program.map(Arc::new);
    known.lock().unwrap().insert((text, odd), program.clone());
    program
}

/// Rule sets of a seed, the first to begin with; `deep_too`: others than light ones, and the last is a bad one.
pub(crate) fn draw(
    dice: &mut Dice,
    (n_topics, deep_too): (usize, bool),
    options: EngineOptions,
) -> Vec<RuleSet> {
    let base = dice.pick(&[VELOCITY, STATE]);
    let mut texts = vec![(base.to_owned(), false), (base.to_owned(), true)];
    texts.extend(light(base).into_iter().map(|text| (text, false)));
    if deep_too {
        texts.extend(deep(base).into_iter().map(|text| (text, false)));
    }
    let good = |(text, odd): (String, bool)| {
        let program = compile(&text, n_topics, odd);
        let program = program.unwrap_or_else(|| panic!("does not compile: {text}"));
        let id = DecidingEngines::new(Arc::clone(&program), options).wanted().to_owned();
        RuleSet { program: Some(program), id }
    };
    let mut sets: Vec<RuleSet> = texts.into_iter().map(good).collect();
    // As when the folder is looked at while a file is being written, and as when somebody mistypes.
    let (half, _) = base.split_once("  then").unwrap();
    let bad = dice.pick(&[with(base, &[("amount", "amuont")]), half.to_owned()]);
    assert!(compile(&bad, n_topics, false).is_none(), "compiles: {bad}");
    sets.push(RuleSet { program: None, id: "bad".to_owned() });
    sets
}
