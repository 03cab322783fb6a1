//! Random commands about holds of payments, held against a naive model that keeps everything for ever.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskweir::engine::OutputTopic;
use serde_json::{Value, json};

use super::support::dice::Dice;
use super::{DAY_MS, Desk, MINUTE_MS, RULES, START_MS, command, compiled, time};

/// What is above 900 asks the seniors after an hour, for four hours more.
const ASKING: &str = r#"
rule huge
  id "R-2"
  owner fraud
  severity high
  on pay
  when amount > 900 EUR
  then hold for 1h otherwise escalate to seniors for 4h otherwise release
"#;

/// Rules that hold what is large until somebody decides, and ask others about what is huge.
pub(super) fn rules() -> String {
    let large = RULES.replace("amount > 100 EUR", "amount > 100 EUR and amount < 900 EUR");
    format!("{large}{ASKING}")
}

/// A hold as the handbook has it.
#[derive(Clone, Debug)]
struct Held {
    state: &'static str,
    placed: i64,
    deadline: i64,
    /// How long those are asked whom its rule names, after the first deadline.
    asks_for: Option<i64>,
    claimed_by: Option<String>,
}

impl Held {
    fn is_open(&self) -> bool {
        ["placed", "extended", "escalated"].contains(&self.state)
    }
}

/// Id and state of a hold, and who works on it.
type Step = (String, String, String);

/// Every hold and every command for ever, in plain lists.
#[derive(Default)]
struct Naive {
    holds: BTreeMap<String, Held>,
    /// By id: all that came under it.
    commands: BTreeMap<String, Vec<Value>>,
    /// Queues that were asked.
    asked: Vec<String>,
}

impl Naive {
    fn step(&self, id: &str) -> Step {
        let held = &self.holds[id];
        (id.to_owned(), held.state.to_owned(), held.claimed_by.clone().unwrap_or_default())
    }

    /// The steps that holds take when it is so late, in the order of their deadlines.
    fn expire(&mut self, now_ms: i64, only: Option<&str>) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            let due = self.holds.iter().filter(|(id, held)| {
                held.is_open() && held.deadline <= now_ms && only.is_none_or(|only| only == *id)
            });
            let first = due.min_by_key(|(_, held)| held.deadline);
            let Some(id) = first.map(|(id, _)| id.clone()) else { return steps };
            let held = self.holds.get_mut(&id).unwrap();
            match held.asks_for.take() {
                Some(for_ms) => {
                    (held.state, held.deadline) = ("escalated", held.deadline + for_ms);
                    held.claimed_by = None;
                    self.asked.push("seniors".to_owned());
                }
                None => held.state = "expired",
            }
            steps.push(self.step(&id));
        }
    }

    /// What comes of a command: steps that holds take, and result, cause and state.
    fn take(&mut self, now_ms: i64, command: &Value) -> (Vec<Step>, [String; 3]) {
        let hold_id = command["hold_id"].as_str().unwrap();
        let known = |holds: &BTreeMap<String, Held>| {
            holds.get(hold_id).map_or("", |held| held.state).to_owned()
        };
        let id = command["command_id"].as_str().unwrap();
        let before = self.commands.entry(id.to_owned()).or_default();
        if before.first() == Some(command) {
            return (Vec::new(), ["repeated".into(), String::new(), known(&self.holds)]);
        }
        before.push(command.clone());
        if before.len() > 1 {
            let cause = "command_id_reused".to_owned();
            return (Vec::new(), ["refused".into(), cause, known(&self.holds)]);
        }
        let mut steps = self.expire(now_ms, Some(hold_id));
        let done = self.done(command);
        let state = known(&self.holds);
        match done {
            Ok(()) => {
                steps.push(self.step(hold_id));
                (steps, ["done".into(), String::new(), state])
            }
            Err(cause) => (steps, ["refused".into(), cause.into(), state]),
        }
    }

    /// Does it, or says why not.
    fn done(&mut self, command: &Value) -> Result<(), &'static str> {
        let text = |name: &str| command[name].as_str();
        let held = self.holds.get_mut(text("hold_id").unwrap()).ok_or("unknown_hold")?;
        if !held.is_open() {
            return Err("ended");
        }
        if text("expected_state").is_some_and(|expected| expected != held.state) {
            return Err("changed");
        }
        let until = text("deadline_at");
        let until = until.map(|text| riskweir::base::time::parse_rfc3339(text.as_bytes()).unwrap());
        let fits = |until: i64, before: i64| {
            let fits = (until > before).then_some(()).ok_or("not_later");
            fits.and((until <= held.placed + 400 * DAY_MS).then_some(()).ok_or("too_long"))
        };
        let actor = text("actor").unwrap();
        let others = held.claimed_by.as_deref().filter(|by| *by != actor);
        let keeps_out = others.is_some() && text("take_from") != others;
        match text("kind").unwrap() {
            "hold.extend" => {
                fits(until.unwrap(), held.deadline)?;
                (held.state, held.deadline) = ("extended", until.unwrap());
            }
            "hold.escalate" => {
                let by_rule = held.asks_for.map(|_| "seniors");
                let queue = text("escalate_to").or(by_rule).ok_or("no_queue")?;
                let last = held.deadline + held.asks_for.unwrap_or(0);
                if let Some(until) = until {
                    fits(until, last)?;
                }
                (held.state, held.deadline) = ("escalated", until.unwrap_or(last));
                (held.asks_for, held.claimed_by) = (None, None);
                self.asked.push(queue.to_owned());
            }
            "hold.unclaim" if held.claimed_by.is_none() => return Err("not_claimed"),
            "hold.claim" | "hold.unclaim" if keeps_out => return Err("claimed"),
            "hold.claim" => held.claimed_by = Some(actor.to_owned()),
            "hold.unclaim" => held.claimed_by = None,
            "hold.release" => held.state = "released",
            _ => held.state = "confirmed",
        }
        Ok(())
    }
}

const KINDS: [&str; 10] = [
    "hold.release",
    "hold.confirm",
    "hold.extend",
    "hold.extend",
    "hold.escalate",
    "hold.escalate",
    "hold.claim",
    "hold.claim",
    "hold.claim",
    "hold.unclaim",
];

fn random_command(dice: &mut Dice, naive: &Naive, now_ms: i64) -> Value {
    if !naive.commands.is_empty() && dice.one_in(6) {
        let at = usize::try_from(dice.below(naive.commands.len() as u64)).unwrap();
        let mut again = naive.commands.values().nth(at).unwrap()[0].clone();
        if dice.one_in(3) {
            again["reason"] = json!("another reason");
        }
        return again;
    }
    // Of open ones more often, and of the newest.
    let ids: Vec<&String> = naive.holds.keys().collect();
    let open: Vec<&String> =
        naive.holds.iter().filter(|(_, held)| held.is_open()).map(|(id, _)| id).collect();
    let ids = if dice.one_in(4) || open.is_empty() { ids } else { open };
    let hold_id = match ids.len() {
        0 => "none".to_owned(),
        n => ids[usize::try_from(dice.below(n as u64)).unwrap()].clone(),
    };
    let hold_id = if dice.one_in(20) { "none".to_owned() } else { hold_id };
    let kind = dice.pick(&KINDS);
    let mut command = command(&format!("c{}", naive.commands.len()), kind, &hold_id);
    command["actor"] = json!(dice.pick(&["ann", "bob"]));
    if kind == "hold.extend" || kind == "hold.escalate" && dice.one_in(2) {
        let minutes = i64::try_from(dice.below(480)).unwrap() - 30;
        let far = if dice.one_in(10) { 400 * DAY_MS } else { 0 };
        command["deadline_at"] = json!(time(now_ms + minutes * MINUTE_MS + far));
    }
    if kind == "hold.escalate" && dice.one_in(2) {
        command["escalate_to"] = json!(dice.pick(&["seniors", "law"]));
    }
    if kind.ends_with("claim") && dice.one_in(3) {
        command["take_from"] = json!(dice.pick(&["ann", "bob", "eve"]));
    }
    if dice.one_in(4) {
        command["expected_state"] =
            json!(dice.pick(&["placed", "extended", "escalated", "released"]));
    }
    command
}

/// The steps of holds, the answers, and the queues that were asked.
fn told(out: &[(OutputTopic, Value)]) -> (Vec<Step>, Vec<[String; 3]>, Vec<String>) {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let of = |wanted: OutputTopic| out.iter().filter(move |(topic, _)| *topic == wanted);
    let holds = of(OutputTopic::Holds).map(|(_, it)| {
        (text(&it["hold_id"]), text(&it["state"]), text(&it["claimed_by"]["actor"]))
    });
    let answers = of(OutputTopic::Audit).map(|(_, it)| {
        let it = &it["command"];
        [text(&it["result"]), text(&it["cause"]), text(&it["state"])]
    });
    let alerts = of(OutputTopic::Alerts).map(|(_, it)| {
        assert_eq!(it["rule"], "hold_escalation");
        text(&it["queue"])
    });
    (holds.collect(), answers.collect(), alerts.collect())
}

/// A payment that is held where it is large, and asks people in the end where it is very large; what came out, and what must.
fn paid(
    dice: &mut Dice,
    (desk, naive): (&mut Desk, &mut Naive),
    turn: i32,
    now_ms: i64,
) -> (Vec<(OutputTopic, Value)>, Vec<Step>) {
    let id = format!("p{turn}");
    let amount = dice.pick(&["50.00", "500.00", "950.00"]);
    let out = desk.pay(&id, now_ms, amount);
    let mut steps = naive.expire(now_ms, None);
    if amount != "50.00" {
        let decision = &out.iter().find(|it| it.0 == OutputTopic::Decisions);
        let hold_id = decision.unwrap().1["hold_id"].as_str().unwrap().to_owned();
        let held = Held {
            state: "placed",
            placed: now_ms,
            deadline: now_ms + 60 * MINUTE_MS,
            asks_for: (amount == "950.00").then_some(240 * MINUTE_MS),
            claimed_by: None,
        };
        naive.holds.insert(hold_id.clone(), held);
        steps.push(naive.step(&hold_id));
    }
    (out, steps)
}

/// Some payments, commands and clocks in a row, within two days; half-way the engine is restored from a snapshot that was taken
/// meanwhile.
#[test]
fn random_commands_do_what_a_naive_model_says_across_a_restore() {
    let program = compiled(&rules());
    let mut reached: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..40 {
        let dice = &mut Dice::new(seed);
        let (mut desk, mut naive) = (Desk::over(Arc::clone(&program)), Naive::default());
        let mut now_ms = START_MS;
        for turn in 0..300 {
            if turn == 150 {
                desk = desk.restored(Arc::clone(&program));
            }
            // One more, so that no two deadlines are the same.
            now_ms += i64::try_from(dice.below(8)).unwrap() * MINUTE_MS + 1;
            let (out, steps, answer) = match dice.below(10) {
                0..4 => {
                    let (out, steps) = paid(dice, (&mut desk, &mut naive), turn, now_ms);
                    (out, steps, None)
                }
                4 => {
                    let clock = json!({"schema": "riskweir.command.v1", "kind": "clock", "at": time(now_ms)});
                    (desk.command(now_ms, &clock), naive.expire(now_ms, None), None)
                }
                _ => {
                    let command = random_command(dice, &naive, now_ms);
                    let (steps, answer) = naive.take(now_ms, &command);
                    let what = format!("{} {}", command["kind"].as_str().unwrap(), answer[1]);
                    *reached.entry(what.trim().to_owned()).or_default() += 1;
                    (desk.command(now_ms, &command), steps, Some(answer))
                }
            };
            let answers: Vec<[String; 3]> = answer.into_iter().collect();
            let asked = core::mem::take(&mut naive.asked);
            assert_eq!(told(&out), (steps, answers.clone(), asked), "seed {seed}, turn {turn}");
            for [result, cause, _] in answers {
                *reached.entry(format!("{result} {cause}")).or_default() += 1;
            }
        }
        let open = naive.holds.values().filter(|held| held.is_open());
        assert_eq!(desk.engine.holds_open(), open.count());
    }
    for what in [
        "done ",
        "repeated ",
        "refused command_id_reused",
        "refused unknown_hold",
        "refused ended",
        "refused changed",
        "hold.extend not_later",
        "hold.extend too_long",
        "hold.escalate not_later",
        "hold.escalate too_long",
        "hold.escalate no_queue",
        "hold.claim claimed",
        "hold.unclaim claimed",
        "hold.unclaim not_claimed",
        "hold.escalate",
        "hold.claim",
        "hold.unclaim",
    ] {
        assert!(reached.get(what).is_some_and(|n| *n > 10), "{what}: {reached:?}");
    }
}
