//! People whose view ends at some input topics: what came by another one is not there for them, whatever they ask.

use std::io::{BufRead, BufReader};

use riskweir::api::roles::{Role, Scope};
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, in_hours, pay};
use crate::support::broker::Broker;
use crate::support::wait;

/// Payments of a topic that are held: one for each thing that can be done to a hold.
const N_HELD: usize = 5;

/// What there is of the payments of one topic.
struct Ids {
    topic: String,
    decision: String,
    /// One for each thing that can be done to it.
    holds: Vec<String>,
    episode: String,
    letter: String,
}

impl Ids {
    /// Has payments decided that are held and alerted, and a record that cannot be.
    fn make(desk: &Desk<'_>, topic: &str, name: &str) -> Self {
        let admin = desk.token(Role::Admin);
        let path = format!("/v1/score?deadline=30s&topic={topic}");
        let score = |body: &Value| desk.ask("POST", &path, Some(admin), Some(body), &[]);
        let held = |n: usize| {
            let answer = score(&pay(&format!("{name}{n}"), "950.00"));
            assert_eq!(answer.status, 200, "{answer:?}");
            let of = |member: &str| answer.body["decision"][member].as_str().unwrap().to_owned();
            (of("decision_id"), of("hold_id"))
        };
        let made: Vec<(String, String)> = (0..N_HELD).map(held).collect();
        assert_eq!(score(&json!({"id": name, "account": name, "amount": "1.00"})).status, 422);
        let items = |path: &str| desk.get(path, Role::Admin).body["items"].clone();
        let alert = |decision: &str| {
            items(&format!("/v1/alerts?decision_id={decision}"))
                .as_array()
                .unwrap()
                .first()
                .cloned()
        };
        let letter = || {
            let all = items("/v1/dlq");
            all.as_array().unwrap().iter().find(|it| it["source"]["topic"] == topic).cloned()
        };
        let is_held =
            |hold: &str| desk.get(&format!("/v1/holds/{hold}"), Role::Admin).status == 200;
        let is_there =
            |(decision, hold): &(String, String)| alert(decision).is_some() && is_held(hold);
        wait::until(|| letter().is_some() && made.iter().all(is_there), || desk.service.describe());
        let decision = made[0].0.clone();
        Self {
            topic: topic.to_owned(),
            episode: alert(&decision).unwrap()["alert"]["episode"]["id"]
                .as_str()
                .unwrap()
                .to_owned(),
            letter: letter().unwrap()["number"].as_str().unwrap().to_owned(),
            holds: made.iter().map(|(_, hold)| hold.clone()).collect(),
            decision,
        }
    }

    /// The path of a route about something of this topic, if it can be about such a thing.
    fn path(&self, route: &riskweir::api::Listed) -> Option<String> {
        let hold = match route.id {
            "confirmHold" => 1,
            "extendHold" => 2,
            "escalateHold" => 3,
            // What is given back was claimed before.
            "claimHold" | "unclaimHold" => 4,
            _ => 0,
        };
        let ids = [
            ("{decision_id}", &self.decision),
            ("{hold_id}", &self.holds[hold]),
            ("{episode_id}", &self.episode),
            ("{number}", &self.letter),
        ];
        let (name, id) = ids.into_iter().find(|(name, _)| route.path.contains(name))?;
        Some(route.path.replace(name, id))
    }
}

/// A body that each route about an id takes.
fn body(route: &riskweir::api::Listed) -> Option<Value> {
    let mut body = json!({"reason": "looked at it"});
    if route.id == "extendHold" {
        body["deadline_at"] = json!(in_hours(30));
    }
    if route.id == "escalateHold" {
        body["escalate_to"] = json!("seniors");
    }
    route.takes_body.then_some(body)
}

/// What an answer says, but for the id of its request.
fn said(mut answer: Answer) -> (u16, Value) {
    if let Some(body) = answer.body.as_object_mut() {
        body.remove("request_id");
    }
    (answer.status, answer.body)
}

/// A service with two input topics that take the same events, and what came by each.
fn two_topics(test: &str) -> (Desk<'static>, Ids, Ids) {
    let mut desk = Desk::open(Broker::shared(), test);
    let (ours, theirs) = (desk.fleet.input(), desk.fleet.topic("theirs.ndjson"));
    desk.fleet.broker.create_topic(&theirs, 2);
    desk.restart(&[&format!("topics.inputs={ours},{theirs}")]);
    desk.wait_listening();
    let (ours, theirs) = (Ids::make(&desk, &ours, "o"), Ids::make(&desk, &theirs, "t"));
    (desk, ours, theirs)
}

/// Every route of the table, by somebody with every role: about all topics it is refused, about an id of another topic it says
/// what it says about an id that nobody has.
#[test]
fn no_route_shows_or_changes_what_came_by_another_topic() {
    let (desk, ours, theirs) = two_topics("api-topics");
    let ann = desk.let_in("ann", &[&ours.topic]);
    let may = desk.ask("GET", "/v1/me", Some(&ann), None, &[]).body;
    assert_eq!(may["topics"], json!([ours.topic]));
    let may: Vec<&str> = may["may"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let ask = |route: &riskweir::api::Listed, path: &str| {
        desk.ask(route.method, path, Some(&ann), body(route).as_ref(), &[])
    };
    let mut n_about_ids = 0;
    for route in riskweir::api::listed() {
        let made_up = route.path.replace('{', "no-such-").replace('}', "");
        if !may.contains(&route.id) {
            let answer = ask(&route, &made_up);
            assert_eq!((answer.status, answer.code()), (403, "forbidden"), "{}", route.id);
            continue;
        }
        let (Some(own), Some(foreign)) = (ours.path(&route), theirs.path(&route)) else {
            assert!(!route.path.contains('{'), "{}: which id is it about?", route.id);
            continue;
        };
        n_about_ids += 1;
        let nothing = ask(&route, &made_up);
        assert_eq!(nothing.status, 404, "{} {nothing:?}", route.id);
        assert_eq!(said(ask(&route, &foreign)), said(nothing), "{}", route.id);
        let answer = ask(&route, &own);
        assert_eq!(answer.status, 200, "{} {answer:?}", route.id);
    }
    assert!(n_about_ids >= 11, "{n_about_ids}");
    // Nothing became of theirs.
    for hold in &theirs.holds {
        let shown = desk.get(&format!("/v1/holds/{hold}"), Role::Admin);
        assert_eq!(shown.body["hold"]["state"], "placed", "{shown:?}");
    }
    let open = desk.get(&format!("/v1/alerts?episode_id={}", theirs.episode), Role::Admin);
    assert_eq!(open.body["items"][0].get("closed"), None, "{open:?}");
}

#[test]
fn lists_and_streams_show_what_came_by_ones_own_topics() {
    let (desk, ours, theirs) = two_topics("api-topic-lists");
    let ann = desk.let_in("ann", &[&ours.topic]);
    let both = desk.let_in("both", &[&ours.topic, &theirs.topic]);
    let none = desk.let_in("none", &["another.topic"]);
    let count = |path: &str, token: &str| {
        let answer = desk.ask("GET", path, Some(token), None, &[]);
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        let whole = answer.body["items"].as_array().unwrap().len();
        assert!(token != ann || !answer.text.contains(&theirs.topic), "{path} {answer:?}");
        whole
    };
    for (path, n) in
        [("/v1/decisions", N_HELD), ("/v1/alerts", N_HELD), ("/v1/holds", N_HELD), ("/v1/dlq", 1)]
    {
        assert_eq!([count(path, &ann), count(path, &both), count(path, &none)], [n, 2 * n, 0]);
        // A filter by something of theirs finds nothing, and pages hold as many as they say.
        assert_eq!(count(&format!("{path}?limit=1"), &ann), 1);
    }
    assert_eq!(count(&format!("/v1/alerts?decision_id={}", theirs.decision), &ann), 0);
    assert_eq!(count("/v1/decisions?event_id=t0", &ann), 0);

    // The stream from the beginning on, up to a payment that comes last.
    let epoch = desk.get("/v1/status", Role::Viewer).body["epoch"].as_str().unwrap().to_owned();
    let scored = desk.ask("POST", "/v1/score", Some(&ann), Some(&pay("last", "1.00")), &[]);
    assert_eq!(scored.status, 200, "of two topics one is theirs: {scored:?}");
    let last = scored.body["decision"]["decision_id"].as_str().unwrap().to_owned();
    let from = format!("{epoch}-0");
    let stream = desk.stream_of("/v1/events", &ann, &[("Last-Event-ID", &from)]);
    let mut heard = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        heard.push_str(&line);
        heard.push('\n');
        if line.contains(&last) {
            break;
        }
    }
    for id in [&ours.decision, &ours.holds[0], &ours.episode] {
        assert!(heard.contains(id.as_str()), "{heard}");
    }
    for id in [&theirs.decision, &theirs.holds[0], &theirs.episode, &theirs.topic] {
        assert!(!heard.contains(id.as_str()), "{heard}");
    }
}

#[test]
fn events_are_written_to_ones_own_topics_alone() {
    let (desk, ours, theirs) = two_topics("api-topic-score");
    let ann = desk.let_in("ann", &[&ours.topic]);
    let none = desk.let_in("none", &["another.topic"]);
    let score = |token: &str, topic: &str| {
        let path = format!("/v1/score?topic={topic}");
        desk.ask("POST", &path, Some(token), Some(&pay("x", "1.00")), &[])
    };
    let before = desk.records("theirs.ndjson").len();
    let refused = score(&ann, &theirs.topic);
    assert_eq!((refused.status, refused.code()), (400, "bad_parameter"), "{refused:?}");
    assert_eq!(refused.body["topics"], json!([ours.topic]));
    assert_eq!(score(&ann, "no.such.topic").body["detail"], refused.body["detail"]);
    assert_eq!(score(&ann, &ours.topic).status, 200);
    let nowhere = score(&none, &ours.topic);
    assert_eq!((nowhere.status, nowhere.code()), (403, "forbidden"), "{nowhere:?}");
    assert_eq!(desk.records("theirs.ndjson").len(), before);
    assert!(Scope::of([ours.topic.as_str()]).unwrap().has(&ours.topic));
}
