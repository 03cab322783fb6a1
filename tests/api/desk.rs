//! A service with its API on real Kafka, and a plain client.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use riskweir::api::roles::{Person, Role, Scope};
use riskweir::api::tokens::Token;
use serde_json::{Value, json};

use crate::support::binary::Binary;
use crate::support::broker::Broker;
use crate::support::fleet::Fleet;
use crate::support::topics::Isolation;
use crate::support::wait;

/// What is above 100 is held for a day, what is above 900 raises an alert, too, and listed accounts are blocked.
pub(crate) const RULES: &str = r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   account : account from "/account"
  field amount  : money   from "/amount" currency EUR
rule large "large payment"
  id "R-1"  owner fraud  severity high
  on pay
  when amount > 100 EUR
  then hold for 24h otherwise release reason "paid {amount}"
list bad_accounts : account
rule listed "a listed account"
  id "R-3"  owner fraud  severity critical
  on pay
  when account in bad_accounts
  then block reason "listed"
rule huge "huge payment"
  id "R-2"  owner fraud  severity critical
  on pay
  when amount > 900 EUR
  then alert queue l1 once per account per 1h message "paid {amount}"
"#;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// The code of a problem.
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// A running service.
pub(crate) struct Desk<'a> {
    pub(crate) fleet: Fleet<'a>,
    pub(crate) service: Binary,
    pub(crate) address: String,
    tokens: BTreeMap<Role, (Token, String)>,
    file: PathBuf,
}

impl<'a> Desk<'a> {
    pub(crate) fn open(broker: &'a Broker, test: &str) -> Self {
        Self::open_with(broker, test, &[])
    }

    pub(crate) fn open_with(broker: &'a Broker, test: &str, settings: &[&str]) -> Self {
        Self::open_ruled(broker, test, RULES, settings)
    }

    /// By rules of the test's own.
    pub(crate) fn open_ruled(
        broker: &'a Broker,
        test: &str,
        rules: &str,
        settings: &[&str],
    ) -> Self {
        let fleet = Fleet::new(broker, test, ("transactional", 2));
        fs::write(fleet.rules().join("rules.risk"), rules).unwrap();
        broker.create_topic(&fleet.topic("commands"), 2);
        let tokens: BTreeMap<Role, (Token, String)> = Role::ALL
            .into_iter()
            .map(|role| {
                let token = Token::new().unwrap();
                let person = person(role, role);
                let line = token.line(&person, None);
                (role, (token, line))
            })
            .collect();
        let file = fleet.folder.path().join("tokens");
        let (service, address) = start(&fleet, (&file, &tokens), settings, &[]);
        Self { fleet, service, address, tokens, file }
    }

    /// The token of somebody who has this role and no other, and its name.
    pub(crate) fn token(&self, role: Role) -> &str {
        self.tokens[&role].0.reveal()
    }

    /// Takes the line of a token out of the file.
    pub(crate) fn forget(&self, role: Role) {
        let lines = self.tokens.iter().filter(|(it, _)| **it != role);
        let lines: Vec<&str> = lines.map(|(_, (_, line))| line.as_str()).collect();
        fs::write(&self.file, lines.join("\n")).unwrap();
    }

    /// Gives a token another role in the file.
    pub(crate) fn reassign(&self, role: Role, to: Role) {
        let person = person(role, to);
        let line = |(it, (token, line)): (&Role, &(Token, String))| {
            if *it == role { token.line(&person, None) } else { line.clone() }
        };
        let lines: Vec<String> = self.tokens.iter().map(line).collect();
        fs::write(&self.file, lines.join("\n")).unwrap();
    }

    /// Lets somebody in who has every role, for the payments of some topics; the token.
    #[track_caller]
    pub(crate) fn let_in(&self, name: &str, topics: &[&str]) -> String {
        let token = Token::new().unwrap();
        let scope = Scope::of(topics.iter().copied()).unwrap();
        let person = Person { name: name.to_owned(), roles: Role::ALL.to_vec(), scope };
        let lines = fs::read_to_string(&self.file).unwrap();
        fs::write(&self.file, format!("{lines}\n{}\n", token.line(&person, None))).unwrap();
        let token = token.reveal().to_owned();
        let is_known = || self.ask("GET", "/v1/me", Some(&token), None, &[]).status == 200;
        wait::until(is_known, || self.service.describe());
        token
    }

    /// Stops the service in order and starts it again.
    pub(crate) fn restart(&mut self, settings: &[&str]) {
        self.service.signal("-TERM");
        wait::until(|| self.service.has_ended(), || self.service.describe());
        self.start_again(settings, &[]);
    }

    /// Starts the service, which has ended.
    pub(crate) fn start_again(&mut self, settings: &[&str], flags: &[&str]) {
        let tokens = (&self.file, &self.tokens);
        (self.service, self.address) = start(&self.fleet, tokens, settings, flags);
    }

    /// Kills the service.
    pub(crate) fn kill(&self) {
        self.service.signal("-KILL");
        wait::until(|| self.service.has_ended(), || self.service.describe());
    }

    /// What a start says that does not come to deciding, and how it exits.
    pub(crate) fn start_in_vain(&self, settings: &[&str], flags: &[&str]) -> (Option<i32>, String) {
        let all = arguments(&self.fleet, &self.file, settings, flags);
        let made = crate::support::binary::command().args(all).output().unwrap();
        (made.status.code(), String::from_utf8_lossy(&made.stderr).into_owned())
    }

    /// Makes the file of tokens one that cannot be used.
    pub(crate) fn spoil_tokens(&self) {
        fs::write(&self.file, "no line of a token\n").unwrap();
    }

    pub(crate) fn get(&self, path: &str, role: Role) -> Answer {
        self.ask("GET", path, Some(self.token(role)), None, &[])
    }

    /// Another instance of the service, and the address of its API.
    pub(crate) fn beside_as(&self, name: &str, settings: &[&str]) -> (Binary, String) {
        let all = arguments_of(name, &self.fleet, &self.file, settings);
        let mut command = crate::support::binary::command();
        command.args(all);
        listening(Binary::start_command(command))
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.ask_at(&self.address, (method, path), token, body, headers)
    }

    /// The same of another instance.
    pub(crate) fn ask_at(
        &self,
        address: &str,
        (method, path): (&str, &str),
        token: Option<&str>,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let text = body.map(Value::to_string).unwrap_or_default();
        let mut headers = headers.to_vec();
        if body.is_some() {
            headers.push(("Content-Type", "application/json"));
        }
        self.raw_at(address, (method, path), token, text.as_bytes(), &headers)
    }

    pub(crate) fn raw(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Answer {
        self.raw_at(&self.address, (method, path), token, body, headers)
    }

    fn raw_at(
        &self,
        address: &str,
        (method, path): (&str, &str),
        token: Option<&str>,
        body: &[u8],
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        if let Some(token) = token {
            head.push_str(&format!("Authorization: Bearer {token}\r\n"));
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        // A body that is refused for its length is not read to its end.
        _ = stream.write_all(body);
        let mut raw = Vec::new();
        let mut part = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut part) {
            raw.extend_from_slice(&part[..n]);
            // A stream of events does not end by itself.
            if String::from_utf8_lossy(&raw).contains("text/event-stream") {
                break;
            }
        }
        answer(&String::from_utf8(raw).unwrap(), &self.service)
    }

    /// A stream that stays open: its connection, behind the head of the request.
    pub(crate) fn stream(&self, path: &str, role: Role, headers: &[(&str, &str)]) -> TcpStream {
        self.stream_of(path, self.token(role), headers)
    }

    /// The same of any token.
    pub(crate) fn stream_of(&self, path: &str, token: &str, headers: &[(&str, &str)]) -> TcpStream {
        let mut head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn post(&self, path: &str, role: Role, body: &Value) -> Answer {
        self.ask("POST", path, Some(self.token(role)), Some(body), &[])
    }

    /// The digest of the rule set that decides.
    pub(crate) fn active(&self) -> String {
        self.get("/v1/rules", Role::Viewer).body["digest"].as_str().unwrap().to_owned()
    }

    /// Writes a rule set into the folder; its digest.
    pub(crate) fn write_rules(&self, text: &str) -> String {
        fs::write(self.fleet.rules().join("rules.risk"), text).unwrap();
        let draft = json!({"files": [{"path": "rules.risk", "text": text}]});
        let told = self.post("/v1/rules:validate", Role::RuleAuthor, &draft).body;
        told["digest"].as_str().unwrap().to_owned()
    }

    /// An author asks that a rule set becomes active; where the request is.
    #[track_caller]
    pub(crate) fn request_activation(&self, digest: &str, reason: &str) -> String {
        let body = json!({"reason": reason, "digest": digest});
        let asked = self.post("/v1/rules:request-activation", Role::RuleAuthor, &body);
        assert_eq!(asked.status, 202, "{asked:?}");
        asked.header("location").unwrap().to_owned()
    }

    /// Somebody approves a request.
    #[track_caller]
    pub(crate) fn approve(&self, place: &str, role: Role, reason: &str) -> Answer {
        let done = self.post(&format!("{place}:approve"), role, &json!({"reason": reason}));
        assert_eq!(done.status, 200, "{done:?}");
        done
    }

    /// Waits until events can be decided over HTTP.
    #[track_caller]
    pub(crate) fn wait_listening(&self) {
        let status = || self.get("/v1/status", Role::Viewer).body;
        let is_ready = || status()["is_listening"] == true && self.service.get("/readyz").0 == 200;
        wait::until(is_ready, || format!("{} {}", status(), self.service.describe()));
    }

    /// Has a payment decided.
    #[track_caller]
    pub(crate) fn score(&self, id: &str, amount: &str) -> Value {
        let token = self.token(Role::Service);
        let path = "/v1/score?deadline=30s";
        let answer = self.ask("POST", path, Some(token), Some(&pay(id, amount)), &[]);
        assert_eq!(answer.status, 200, "{answer:?} {}", self.service.describe());
        answer.body
    }

    /// Has a payment held, and waits until the read model knows of it; the id of its hold.
    #[track_caller]
    pub(crate) fn hold(&self, id: &str, amount: &str) -> String {
        let scored = self.score(id, amount);
        let hold_id = scored["decision"]["hold_id"].as_str().unwrap().to_owned();
        let path = format!("/v1/holds/{hold_id}");
        let is_known = || self.get(&path, Role::Viewer).status == 200;
        wait::until(is_known, || self.service.describe());
        hold_id
    }

    /// The records of a topic: keys and bodies.
    pub(crate) fn records(&self, topic: &str) -> Vec<(String, Value)> {
        let records = self.fleet.broker.read(&self.fleet.topic(topic), Isolation::Committed);
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default()).unwrap();
        records
            .into_iter()
            .map(|it| (text(it.key), serde_json::from_str(&text(it.payload)).unwrap()))
            .collect()
    }
}

/// Somebody who has one role, by the name of a role.
fn person(named: Role, role: Role) -> Person {
    Person { name: named.name().to_owned(), roles: vec![role], scope: Scope::All }
}

/// A payment of an account of its own.
pub(crate) fn pay(id: &str, amount: &str) -> Value {
    json!({"id": id, "at": now_ms(), "account": format!("a-{id}"), "amount": amount})
}

/// So many hours from now.
pub(crate) fn in_hours(hours: i64) -> String {
    riskweir::base::time::format_rfc3339(now_ms() + hours * 3_600_000)
}

pub(crate) fn now_ms() -> i64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

fn start(
    fleet: &Fleet<'_>,
    (file, tokens): (&PathBuf, &BTreeMap<Role, (Token, String)>),
    settings: &[&str],
    flags: &[&str],
) -> (Binary, String) {
    let lines: Vec<&str> = tokens.values().map(|(_, line)| line.as_str()).collect();
    fs::write(file, lines.join("\n")).unwrap();
    let mut command = crate::support::binary::command();
    command.args(arguments(fleet, file, settings, flags));
    listening(Binary::start_command(command))
}

/// A service that was started, and the address of its API.
fn listening(service: Binary) -> (Binary, String) {
    let said = service.said();
    let line = said.lines().find(|line| line.starts_with("api ")).unwrap().to_owned();
    let address = line.split("//").nth(1).unwrap().split('/').next().unwrap().to_owned();
    (service, address)
}

fn arguments(
    fleet: &Fleet<'_>,
    file: &std::path::Path,
    settings: &[&str],
    flags: &[&str],
) -> Vec<String> {
    let mut all = arguments_of("one", fleet, file, settings);
    all.extend(flags.iter().map(|it| (*it).to_owned()));
    all
}

fn arguments_of(
    name: &str,
    fleet: &Fleet<'_>,
    file: &std::path::Path,
    settings: &[&str],
) -> Vec<String> {
    let mut all = vec![
        format!("topics.commands={}", fleet.topic("commands")),
        "api.listen=127.0.0.1:0".to_owned(),
        format!("api.tokens={}", file.display()),
        // Tests ask again and again until something is so.
        "api.rate_limit=100000/s".to_owned(),
    ];
    all.extend(settings.iter().map(|it| (*it).to_owned()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    fleet.arguments(name, &all)
}

fn answer(text: &str, service: &Binary) -> Answer {
    let Some((head, rest)) = text.split_once("\r\n\r\n") else {
        panic!("no answer: {text:?} {}", service.describe())
    };
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let body = serde_json::from_str(rest).unwrap_or(Value::Null);
    Answer { status, headers, text: rest.to_owned(), body }
}
