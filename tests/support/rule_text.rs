//! Random rule sets as an author would write them: every aggregate, window, operator and key form that the checker
//! accepts, over one small schema with optional fields.

#![expect(clippy::format_push_string, reason = "a writer of texts, and speed is nothing here")]

use riskweir::diag::{Source, Sources};

use crate::support::dice::Dice;

/// Two event types with a key in common, one key of their own each, and a field of every type.
pub(crate) const SCHEMA: &str = r#"
event pay from "t" when "/kind" = "pay"
  id    pay_id   : text
  time  at       : time unit ms
  key   card     : card
  key   device   : device?
  key   payer    : person
  field merchant : merchant
  field amount   : money currency EUR
  field total    : money? currency "/currency"
  field tries    : integer?
  field ratio    : number?
  field channel  : one of [pos, ecom, atm]
  field home     : country?
  field chip     : bool?
  field place    : geo?
  field note     : text?
event login from "t" when "/kind" = "login"
  id    login_id : text
  time  at       : time unit ms
  key   card     : card?
  key   device   : device
  key   account  : person
  field tries    : integer
  field ratio    : number?
  field chip     : bool?
  field note     : text?
entity customer = pay.payer | login.account
list watched : text
list stolen : card
policy p
  base currency EUR
  timezone "Europe/Berlin"
"#;

/// Members of the lists.
pub(crate) const LISTS: [(&str, &[&str]); 2] =
    [("watched", &["note one", "b"]), ("stolen", &["c1"])];

/// A table of exchange rates that half of the rule sets name; a rate of a dollar is there for most days on which streams
/// take place, and not for all.
pub(crate) const RATES: &str = "date,currency,rate
2025-12-24,USD,0.9
2026-01-01,USD,0.8512
2026-03-25,USD,0.333333
2026-03-29,USD,1.25
2026-03-30,USD,0.5
2026-04-20,USD,0.7
2026-03-30,JPY,0.0061
2026-03-28,GBP,1.1477
";

/// A list whose members give values.
type Given = (&'static str, &'static str, &'static [(&'static str, i64)]);

/// Lists whose members give values, as [`Author::giving`] declares them: name, file, and its members with what they give in
/// hundredths of a euro, or as they are.
pub(crate) const GIVENS: [Given; 2] =
    [("ceiling", "ceilings.csv", &[("DE", 150), ("FR", 200)]), ("rank", "ranks.csv", &[("c1", 2)])];

/// The file of a list whose members give values.
fn given_file(name: &str, members: &[(&str, i64)]) -> String {
    let mut text = "value,gives\n".to_owned();
    for (member, value) in members {
        let value = match name {
            "ceiling" => format!("{}.{:02}", value / 100, value % 100),
            _ => value.to_string(),
        };
        text += &format!("{member},{value}\n");
    }
    text
}

/// The files of a rule set with this text.
pub(crate) fn sources(text: &str) -> Sources {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let mut files = vec![file("all.risk", text), file("rates.csv", RATES)];
    files.extend(GIVENS.map(|(name, path, members)| file(path, &given_file(name, members))));
    Sources::of(files)
}

const SPANS: [&str; 6] = ["1s", "2s", "5s", "10s", "1m", "1h"];
const OPS: [&str; 6] = ["=", "!=", "<", "<=", ">", ">="];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Pay,
    Login,
}

impl On {
    fn name(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Login => "login",
        }
    }
}

/// Writes rule files.
#[derive(Debug)]
pub(crate) struct Author {
    pub(crate) dice: Dice,
    on: On,
    /// Inside an aggregate's `where` that asks fields only: no further aggregates.
    in_filter: bool,
    /// Inside an aggregate's `where` that may ask state: aggregates in it ask fields only.
    in_deep_filter: bool,
    /// Inside a step of a sequence: no further sequences.
    in_step: bool,
    money_lets: Vec<String>,
    integer_lets: Vec<String>,
    /// Lists that rules may ask for values.
    givens: &'static [Given],
}

impl Author {
    pub(crate) fn new(dice: Dice) -> Self {
        Self {
            dice,
            on: On::Pay,
            in_filter: false,
            in_deep_filter: false,
            in_step: false,
            money_lets: Vec::new(),
            integer_lets: Vec::new(),
            givens: &[],
        }
    }

    /// The same with rules that ask lists for values; the files of [`sources`] belong to it.
    pub(crate) fn giving(self) -> Self {
        Self { givens: &GIVENS, ..self }
    }

    /// A whole file: the schema, features, and `n` rules.
    pub(crate) fn file(&mut self, n: u32) -> String {
        let mut text = SCHEMA.to_owned();
        if self.dice.one_in(2) {
            text += "  rates from \"rates.csv\"\n";
        }
        for name in ["seen", "busy"] {
            let feature = match name {
                "seen" => "is_new(pay.device) by customer over prior 10s".to_owned(),
                _ => format!("count(login) by customer over last {} >= 2", self.dice.pick(&SPANS)),
            };
            text += &format!("feature {name} = {feature}\n");
        }
        text += &self.own_past();
        if !self.givens.is_empty() {
            text += "list ceiling : country gives money EUR from \"ceilings.csv\"\n\
                     list rank : card gives integer from \"ranks.csv\"\n";
        }
        text += "feature day_total = sum(pay.amount) by card over today\n\
                 feature pace = count(login) by card over prior 10s\n\
                 feature digits = ln(amount / 1 EUR)\n";
        for index in 0..n {
            text.push_str(&self.rule(index));
        }
        text
    }

    /// Features that are defined by their own past: of one event, and of two by turns.
    fn own_past(&mut self) -> String {
        let (key, field) = (
            self.dice.pick(&["card", "payer", "merchant"]),
            self.dice.pick(&["amount", "total in EUR"]),
        );
        let value = field.split(' ').next().unwrap_or_default();
        let (span, counts) = (self.dice.pick(&SPANS), self.dice.pick(&["0", "1", "2"]));
        let mine = self.dice.pick(&["not odd", "not odd and chip", "odd"]);
        let often = self.dice.pick(&["often", "not often"]);
        format!(
            "feature usual = avg(pay.{field} where {mine}) by {key} over prior {span} default 1 EUR\n\
             feature odd = {value} > 1.5 * usual and chip is present\n\
             feature often = count(login where busy_now) by card over prior {span} >= {counts}\n\
             feature busy_now = count(pay where {often}) by card over prior 1m > 1\n"
        )
    }

    fn rule(&mut self, index: u32) -> String {
        self.on = self.dice.pick(&[On::Pay, On::Pay, On::Login]);
        self.money_lets.clear();
        self.integer_lets.clear();
        let mut text = format!("rule r{index}\n  mode shadow\n  on {}", self.on.name());
        if self.dice.one_in(3) {
            text += &format!(" where {}", self.truth(1));
        }
        text.push_str("\n  param n = 2\n  param span = 10s\n");
        for letter in ["a", "b"] {
            if self.dice.one_in(2) {
                let (name, value) = (format!("m_{letter}"), self.money(2));
                text += &format!("  let {name} = {value}\n");
                self.money_lets.push(name);
            }
            if self.dice.one_in(2) {
                let (name, value) = (format!("i_{letter}"), self.integer(2));
                text += &format!("  let {name} = {value}\n");
                self.integer_lets.push(name);
            }
        }
        let number = self.number(2);
        text += &format!("  let x = {number}\n");
        let function = self.dice.pick(&["sum", "max", "avg", "median", "last", "distinct"]);
        let column = self.dice.pick(&["total in EUR", "total in USD", "amount in USD"]);
        let window = self.window();
        text += &format!("  let priced = {}\n", self.aggregate(function, column, &window));
        let depth = self.dice.pick(&[1, 2, 3]);
        let when = self.truth(depth);
        text += &format!("  when {when}\n");
        if self.dice.one_in(3) {
            let unless = self.truth(1);
            text += &format!("  unless {unless}\n");
        }
        text.push_str("  if missing skip\n  then alert\n");
        text
    }

    fn truth(&mut self, depth: u32) -> String {
        let op = self.dice.pick(&OPS);
        let equality = self.dice.pick(&["=", "!="]);
        match self.dice.below(if depth == 0 { 12 } else { 18 }) {
            0 => "chip".to_owned(),
            1 => format!("{} {op} {}", self.integer(depth), self.integer(depth)),
            2 => format!("{} {op} {}", self.money(depth), self.money(depth)),
            3 => format!("{} {op} {}", self.number(depth), self.number(depth)),
            4 => self.code_test(equality),
            5 => self.text_test(equality),
            6 => format!(
                "{} is {}",
                self.optional(),
                self.dice.pick(&["missing", "present", "not missing"])
            ),
            7 => format!("tries in [{}, 1, 7]", self.dice.below(4)),
            8 => format!("{} between {} and {}", self.money(0), self.money(0), self.money(0)),
            9 => format!("{} {op} {}", self.integer(depth), self.number(0)),
            10 if self.on == On::Pay && self.dice.one_in(4) => self.foreign_test(op),
            10 if !self.in_filter => self.state_test(op, equality),
            11 if !self.in_filter => self.deviation_test(),
            10 | 11 => format!("tries {op} n"),
            12 => format!("not ({})", self.truth(depth - 1)),
            13 | 14 => {
                let word = self.dice.pick(&["and", "or"]);
                let parts: Vec<String> = (0..2 + self.dice.below(2))
                    .map(|_| format!("({})", self.truth(depth - 1)))
                    .collect();
                parts.join(&format!(" {word} "))
            }
            15 if self.in_filter => "chip = true".to_owned(),
            15 => {
                let by_card = if self.on == On::Pay { "odd" } else { "busy_now" };
                self.dice.pick(&["seen", "busy", "often", by_card]).to_owned()
            }
            _ if self.in_filter || self.in_deep_filter || self.in_step => "chip = false".to_owned(),
            _ => self.sequence(),
        }
    }

    /// Amounts in another currency than that of the policy.
    fn foreign_test(&mut self, op: &str) -> String {
        let field = self.dice.pick(&["amount", "total", "2 * total", "80% of amount"]);
        if self.in_filter || self.dice.one_in(2) {
            return format!("{field} {op} {}.{:02} USD", self.dice.below(4), self.dice.below(100));
        }
        let function =
            self.dice.pick(&["sum", "min", "max", "avg", "last", "median", "percentile"]);
        let column = self.dice.pick(&["amount in USD", "total in USD", "total in JPY"]);
        let currency = if column.ends_with("JPY") { "JPY" } else { "USD" };
        let window = self.window();
        let aggregate = self.aggregate(function, column, &window);
        match self.dice.below(3) {
            0 => format!("{field} {op} {aggregate}"),
            1 => {
                let keys = self.keys(On::Pay);
                format!("is_new(pay.{column}) {keys} over {}", looking_back(&window))
            }
            _ => format!("{aggregate} {op} {} {currency}", self.dice.below(9)),
        }
    }

    /// Up to four steps, some forbidden, some several times, some compared with one before.
    fn sequence(&mut self) -> String {
        let keys = self.dice.pick(&["card", "device", "customer", "card, device", "card, tries"]);
        let span = self.dice.pick(&["1s", "5s", "10s", "1m", "span"]);
        let present = self.on;
        let lets = (core::mem::take(&mut self.money_lets), core::mem::take(&mut self.integer_lets));
        self.in_step = true;
        let mut steps: Vec<String> = Vec::new();
        let mut named: Vec<(String, On)> = Vec::new();
        for number in 0..=self.dice.below(4) {
            self.on = self.dice.pick(&[On::Pay, On::Login]);
            let without = number > 0 && self.dice.one_in(3);
            let mut step = match (without, self.dice.below(4)) {
                (true, _) => format!("without {}", self.on.name()),
                (false, 0) => format!("2 times {}", self.on.name()),
                (false, _) => self.on.name().to_owned(),
            };
            let alias = format!("s{}_{number}", self.dice.below(1_000_000));
            let is_named = !without && self.dice.one_in(2);
            if is_named {
                step += &format!(" as {alias}");
            }
            step += &self.step_filter(&named);
            if is_named {
                named.push((alias, self.on));
            }
            steps.push(step);
        }
        self.on = present;
        steps.push(format!("this{}", self.step_filter(&named)));
        self.in_step = false;
        (self.money_lets, self.integer_lets) = lets;
        format!("sequence by {keys} within {span} [ {} ]", steps.join(", "))
    }

    fn step_filter(&mut self, named: &[(String, On)]) -> String {
        let mut parts: Vec<String> = Vec::new();
        if self.dice.one_in(2) {
            let depth = self.dice.pick(&[0, 1]);
            parts.push(format!("({})", self.truth(depth)));
        }
        if !named.is_empty() && self.dice.one_in(2) {
            let (name, on) = self.dice.pick(named);
            let op = self.dice.pick(&OPS);
            parts.push(match (self.on, on, self.dice.below(4)) {
                (On::Pay, On::Pay, 0) => format!("amount {op} {name}.amount"),
                (On::Pay, On::Pay, 1) => format!("total {op} 2 * {name}.total"),
                (On::Pay, On::Pay, 2) => format!("channel = {name}.channel"),
                (_, _, 0) => format!("device = {name}.device"),
                (_, _, 1) => format!("note != {name}.note"),
                (_, _, 2) => format!("at - {name}.at {op} 2s"),
                _ => format!("tries {op} {name}.tries + 1"),
            });
        }
        if parts.is_empty() { String::new() } else { format!(" where {}", parts.join(" and ")) }
    }

    fn optional(&mut self) -> String {
        match self.on {
            On::Pay => {
                self.dice.pick(&["device", "total", "tries", "ratio", "home", "place", "note"])
            }
            On::Login => self.dice.pick(&["card", "ratio", "chip", "note"]),
        }
        .to_owned()
    }

    fn code_test(&mut self, equality: &str) -> String {
        match (self.on, self.dice.below(4)) {
            (On::Pay, 0) => format!("channel {equality} ecom"),
            (On::Pay, 1) => "channel in [pos, atm]".to_owned(),
            (On::Pay, 2) => format!("home {equality} DE"),
            (On::Pay, _) => "home not in [DE, FR]".to_owned(),
            (On::Login, _) => "chip".to_owned(),
        }
    }

    fn text_test(&mut self, equality: &str) -> String {
        match self.dice.below(10) {
            9 => format!(
                "similarity(note, {}) >= {}",
                self.dice.pick(&["\"a note\"", "lower(note)", "\"B\""]),
                self.dice.pick(&["0.5", "60%", "1"])
            ),
            0 => format!("note {equality} \"b\""),
            1 => "note contains \"one\"".to_owned(),
            2 => "note starts_with \"no\"".to_owned(),
            3 => "note matches \"^n.*e$\"".to_owned(),
            4 => "lower(note) = \"note one\"".to_owned(),
            5 => "note in watched".to_owned(),
            6 => "card not in stolen".to_owned(),
            7 => "note in [\"b\", \"a longer note\"]".to_owned(),
            _ => "length(note) > 3".to_owned(),
        }
    }

    fn state_test(&mut self, op: &str, equality: &str) -> String {
        let window = self.long_window();
        let by_pay = self.keys(On::Pay);
        match (self.on, self.dice.below(7)) {
            (_, 0) => {
                let field = match self.on {
                    On::Pay => {
                        self.dice.pick(&["device", "merchant", "tries", "home", "amount", "note"])
                    }
                    On::Login => self.dice.pick(&["device", "tries", "note"]),
                };
                let filter = self.filter(On::Pay);
                let window = if filter.is_empty() { looking_back(&window) } else { window };
                format!("is_new(pay.{field}{filter}) {by_pay} over {window}")
            }
            (On::Login, 1) => {
                let keys = self.keys(On::Login);
                let filter = self.filter(On::Login);
                let window = if filter.is_empty() { looking_back(&window) } else { window };
                format!("is_new(login.tries{filter}) {keys} over {window}")
            }
            (_, 1 | 2) => {
                let target = self.target();
                let (filter, keys) = (self.filter(target), self.keys(target));
                let window = if filter.is_empty() { looking_back(&window) } else { window };
                format!(
                    "time_since({}{filter}) {keys} over {window} {op} {}s",
                    target.name(),
                    self.dice.below(9)
                )
            }
            (On::Pay, 3) => {
                format!("distance(place, last(pay.place) {by_pay} over {window}) > 100 km")
            }
            (On::Pay, 4) => {
                let filter = self.filter(On::Pay);
                let window = if filter.is_empty() { looking_back(&window) } else { window };
                format!("last(pay.channel{filter}) {by_pay} over {window} {equality} pos")
            }
            (On::Pay, 5) => format!(
                "distance(place, last(pay.place) {by_pay} over {window}) / time_since(pay) {by_pay} over {} > 900 km/h",
                looking_back(&window)
            ),
            _ => format!("last(pay.note) {by_pay} over {window} {equality} note"),
        }
    }

    /// `value > avg + factor * stddev` of the same entries, on its exact boundary more often than by chance.
    fn deviation_test(&mut self) -> String {
        let (op, window, keys) = (self.dice.pick(&OPS[2..]), self.window(), self.keys(On::Pay));
        let filter = self.filter(On::Pay);
        let (value, column) = match self.on {
            On::Pay => self.dice.pick(&[
                ("amount", "amount"),
                ("tries", "tries"),
                ("ratio", "ratio"),
                ("total", "total in EUR"),
            ]),
            On::Login => self.dice.pick(&[("tries", "tries"), ("ratio", "ratio")]),
        };
        let factor = self.dice.pick(&["1 * ", "2 * ", "0.5 * ", "", "150% of "]);
        let sign = self.dice.pick(&["+", "-"]);
        let of = format!("(pay.{column}{filter}) {keys} over {window}");
        format!("{value} {op} avg{of} {sign} {factor}(stddev{of})")
    }

    fn integer(&mut self, depth: u32) -> String {
        let window = self.window();
        let choice = self.dice.below(if depth == 0 { 4 } else { 13 });
        match choice {
            0 => "tries".to_owned(),
            1 => "n".to_owned(),
            2 if !self.integer_lets.is_empty() && !self.in_filter => {
                let lets = self.integer_lets.clone();
                self.dice.pick(&lets)
            }
            3 if !self.givens.is_empty() && self.dice.one_in(3) => "rank(card)".to_owned(),
            2 | 3 => self.dice.below(6).to_string(),
            4 => format!(
                "({} {} {})",
                self.integer(depth - 1),
                self.dice.pick(&["+", "-", "*"]),
                self.integer(0)
            ),
            5 => format!("(tries default {})", self.integer(0)),
            6 => format!("abs({} - {})", self.integer(0), self.integer(0)),
            _ if self.in_filter => "tries".to_owned(),
            7 => self.aggregate("sum", "tries", &window),
            8 => {
                let function = self.dice.pick(&["min", "max", "last", "percentile"]);
                self.aggregate(function, "tries", &window)
            }
            10 => {
                let target = self.target();
                let (keys, filter) = (self.keys(target), self.filter(target));
                let filter = if filter.is_empty() { " where chip" } else { &filter };
                format!("(run({}{filter}) {keys} over {window})", target.name())
            }
            9 => {
                let field = self.dice.pick(&[
                    "device", "merchant", "channel", "tries", "note", "amount", "ratio", "card",
                ]);
                let (keys, filter) = (self.keys(On::Pay), self.filter(On::Pay));
                format!("(distinct(pay.{field}{filter}) {keys} over {window})")
            }
            _ => {
                let target = self.target();
                let window = self.long_window();
                let (keys, filter) = (self.keys(target), self.filter(target));
                format!("(count({}{filter}) {keys} over {window})", target.name())
            }
        }
    }

    fn money(&mut self, depth: u32) -> String {
        let window = self.window();
        let own = self.on == On::Pay;
        match self.dice.below(if depth == 0 { 4 } else { 11 }) {
            0 if own && !self.givens.is_empty() && self.dice.one_in(3) => {
                "ceiling(home)".to_owned()
            }
            0 if own => "amount".to_owned(),
            1 if own => "total".to_owned(),
            2 if !self.money_lets.is_empty() && !self.in_filter => {
                let lets = self.money_lets.clone();
                self.dice.pick(&lets)
            }
            0..4 => format!("{}.{:02} EUR", self.dice.below(4), self.dice.pick(&[0, 50, 99])),
            4 => format!(
                "({} {} {})",
                self.money(depth - 1),
                self.dice.pick(&["+", "-"]),
                self.money(0)
            ),
            5 => format!("{} * {}", self.dice.pick(&["2", "3", "1.5", "0.1"]), self.money(0)),
            6 => format!("({} / {})", self.money(0), self.dice.pick(&["2", "3", "1.5"])),
            7 => format!("80% of {}", self.money(0)),
            _ if self.in_filter => "2 EUR".to_owned(),
            8 if self.dice.one_in(3) => {
                let field = self.dice.pick(&["day_total", "usual"]);
                self.kept_feature(field, &looking_back(&window))
            }
            8 => {
                let field = self.dice.pick(&["amount", "total in EUR"]);
                self.aggregate("sum", field, &window)
            }
            9 => {
                let function = self.dice.pick(&[
                    "min",
                    "max",
                    "avg",
                    "stddev",
                    "last",
                    "median",
                    "percentile",
                ]);
                self.aggregate(function, "amount", &window)
            }
            _ => {
                let function = self.dice.pick(&[
                    "min",
                    "max",
                    "avg",
                    "stddev",
                    "last",
                    "median",
                    "percentile",
                ]);
                let reading = self.aggregate(function, "total in EUR", &window);
                format!("({reading} default 1 EUR)")
            }
        }
    }

    fn number(&mut self, depth: u32) -> String {
        let window = self.window();
        match self.dice.below(if depth == 0 { 3 } else { 10 }) {
            0 => "ratio".to_owned(),
            1 => self.dice.pick(&["0.5", "0.75", "0.1", "0.3"]).to_owned(),
            // A per cent alone beside a whole number is refused.
            2 => format!("(ratio default {})", self.dice.pick(&["0.5", "2.0", "30%"])),
            3 => format!("({} / {})", self.integer(depth - 1), self.integer(0)),
            4 => format!("({} / {})", self.money(depth - 1), self.money(0)),
            5 => format!(
                "({} {} ratio)",
                self.number(depth - 1),
                self.dice.pick(&["+", "-", "*", "/"])
            ),
            _ if self.in_filter => "ratio".to_owned(),
            6 => {
                let target = self.target();
                let keys = self.keys(target);
                let filter = self.filter(target);
                let filter = if filter.is_empty() { " where chip" } else { &filter };
                format!("(share({}{filter}) {keys} over {window})", target.name())
            }
            7 if self.dice.one_in(3) => self.kept_feature("digits", &window),
            7 if self.dice.one_in(3) => {
                let reading = self.kept_feature("pace", &looking_back(&window));
                format!("(0.5 * {reading})")
            }
            7 => {
                let function = self.dice.pick(&["avg", "stddev", "median"]);
                self.aggregate(function, "tries", &window)
            }
            _ => {
                let function = self.dice.pick(&[
                    "sum",
                    "avg",
                    "stddev",
                    "min",
                    "max",
                    "last",
                    "median",
                    "percentile",
                ]);
                self.aggregate(function, "ratio", &window)
            }
        }
    }

    /// An aggregate of what a feature was on events of `pay`.
    fn kept_feature(&mut self, name: &str, window: &str) -> String {
        let functions = ["sum", "min", "max", "avg", "stddev", "last", "median", "percentile"];
        let function = self.dice.pick(&functions);
        self.aggregate(function, name, window)
    }

    /// An aggregate of a field of `pay`.
    fn aggregate(&mut self, function: &str, field: &str, window: &str) -> String {
        let (keys, filter) = (self.keys(On::Pay), self.filter(On::Pay));
        let rank = match function {
            "percentile" => format!("{}, ", self.dice.pick(&["5", "50", "66.6667", "90", "100"])),
            _ => String::new(),
        };
        let looks_back = function == "last" && filter.is_empty();
        let window = if looks_back { looking_back(window) } else { window.to_owned() };
        format!("({function}({rank}pay.{field}{filter}) {keys} over {window})")
    }

    fn target(&mut self) -> On {
        self.dice.pick(&[On::Pay, On::Login])
    }

    fn window(&mut self) -> String {
        let word = self.dice.pick(&["last", "prior"]);
        if self.dice.one_in(4) {
            let period = self.dice.pick(&["today", "today", "this_week", "this_month"]);
            let zone = self.dice.pick(&[
                "",
                " in timezone note",
                " in timezone \"Asia/Kolkata\"",
                " in timezone \"UTC\"",
            ]);
            return format!("{word} {period}{zone}");
        }
        let length = self.dice.pick(&SPANS);
        let length = if self.in_filter || !self.dice.one_in(8) { length } else { "span" };
        let mut shift = if self.dice.one_in(8) { " ending 3s ago" } else { "" };
        if self.dice.one_in(6) {
            shift = self.dice.pick(&[
                " before today",
                " before this_week in timezone \"UTC\"",
                " before this_month",
                " before today in timezone note",
            ]);
        }
        let mut newest = "";
        if self.dice.one_in(4) {
            newest =
                self.dice.pick(&["1 event ", "2 events ", "3 events ", "7 events ", "n events "]);
        }
        let within = if newest.is_empty() { "" } else { "within " };
        format!("{word} {newest}{within}{length}{shift}")
    }

    /// The same, now and then for ever.
    fn long_window(&mut self) -> String {
        if self.dice.one_in(6) {
            return format!("{} lifetime", self.dice.pick(&["last", "prior"]));
        }
        self.window()
    }

    fn keys(&mut self, target: On) -> String {
        let same = self.on == target;
        let keys: &[&str] = match target {
            _ if self.dice.one_in(6) => &["card, device", "customer, device"],
            _ if self.dice.one_in(6) => &["card, tries", "chip, customer", "device, tries, chip"],
            On::Pay if same && self.dice.one_in(4) => &[
                "payer, merchant, amount",
                "card, total",
                "card, amount = this.total",
                "customer, total = this.amount",
                "channel, device",
                "merchant, home",
            ],
            On::Pay if same => &["card", "device", "payer", "merchant", "customer"],
            On::Pay => &["card", "device", "payer = this.account", "customer"],
            On::Login if same => &["card", "device", "account", "customer"],
            On::Login => &["card", "device", "account = this.payer", "customer"],
        };
        format!("by {}", self.dice.pick(keys))
    }

    fn filter(&mut self, target: On) -> String {
        if self.in_filter || !self.dice.one_in(3) {
            return String::new();
        }
        let outer = core::mem::replace(&mut self.on, target);
        let lets = (core::mem::take(&mut self.money_lets), core::mem::take(&mut self.integer_lets));
        let deep = !self.in_deep_filter && self.dice.one_in(3);
        self.in_filter = !deep;
        let within = core::mem::replace(&mut self.in_deep_filter, true);
        let filter = if deep && self.dice.one_in(3) { self.kept(target) } else { self.truth(1) };
        self.in_deep_filter = within;
        self.in_filter = false;
        (self.money_lets, self.integer_lets) = lets;
        self.on = outer;
        format!(" where {filter}")
    }

    /// What a feature that is defined by its own past, or looks back, was of an earlier event.
    fn kept(&mut self, target: On) -> String {
        let words: &[&str] = match target {
            On::Pay => &["odd", "not odd", "often", "odd and (chip or often)", "seen and not odd"],
            On::Login => &["busy_now", "not busy_now", "busy_now or chip"],
        };
        self.dice.pick(words).to_owned()
    }
}

/// A window for what asks what was before this event: one that always counts this event is refused there.
fn looking_back(window: &str) -> String {
    window.replacen("last ", "prior ", 1)
}
