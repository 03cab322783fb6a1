//! Decimals and per cents of rules against fractions without a bound, on values that lie on the bound or beside it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::collections::BTreeSet;
use std::sync::Arc;

use num_bigint::BigInt;
use num_rational::BigRational;
use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, Input, Output};
use serde_json::{Value, json};

use crate::support::dice::Dice;

mod support;

const SCHEMA: &str = r#"
event pair from "t" when "/kind" = "pair"
  id    id    : text
  time  at    : time unit ms
  key   card  : card
  field n     : integer
  field m     : integer
  field x     : number
  field money : money currency EUR
  field limit : money currency EUR
event other from "t" when "/kind" = "other"
  id    id    : text
  time  at    : time unit ms
  key   card  : card
"#;

/// A condition as a rule says it, and as fractions: whether it holds of `n`, `m` and the two amounts in cents.
struct Condition {
    text: String,
    holds: Box<dyn Fn(&Pair) -> bool>,
    /// The factor that its bound has, and which of the fields it is about.
    factor: BigRational,
    is_quotient: bool,
}

/// The values of an event.
#[derive(Clone, Copy, Debug)]
struct Pair {
    n: i64,
    m: i64,
    money: i64,
    limit: i64,
}

fn whole(x: i64) -> BigRational {
    BigRational::from_integer(x.into())
}

/// `mantissa / 10^scale`, as text and as a fraction.
fn decimal(dice: &mut Dice) -> (String, BigRational) {
    let width = 1 + usize::try_from(dice.below(4)).unwrap();
    let power = 10_u64.pow(u32::try_from(width).unwrap());
    let mantissa = 1 + dice.below(3 * power);
    let text = format!("{}.{:0width$}", mantissa / power, mantissa % power);
    // Three decimals above one look like thousands, which a rule must not say.
    let text = if width == 3 && mantissa >= power { format!("{text}1") } else { text };
    let digits: i64 = text.replace('.', "").parse().unwrap();
    let scale = u32::try_from(text.len() - text.find('.').unwrap() - 1).unwrap();
    (text, whole(digits) / BigInt::from(10).pow(scale))
}

fn condition(dice: &mut Dice) -> Condition {
    let (text, factor) = decimal(dice);
    let percent = {
        let percent = &factor * BigInt::from(100);
        // Four decimals of a factor are two of a per cent.
        let hundredths = (percent * BigInt::from(1_000)).to_integer();
        let hundredths: i64 = hundredths.try_into().unwrap();
        format!("{}.{:03}%", hundredths / 1_000, hundredths % 1_000)
    };
    let sign = dice.pick(&[">", ">=", "<", "<=", "=", "!="]);
    let order = |sign: &str, a: &BigRational, b: &BigRational| match sign {
        ">" => a > b,
        ">=" => a >= b,
        "<" => a < b,
        "<=" => a <= b,
        "=" => a == b,
        _ => a != b,
    };
    let f = factor.clone();
    let sign_text = sign.to_owned();
    let amounts = dice.below(2) == 0;
    let is_quotient = dice.below(4) == 0;
    let (left, right) = if amounts { ("money", "limit") } else { ("n", "m") };
    let text = match dice.below(4) {
        _ if is_quotient => format!("{left} / {text} {sign} {right}"),
        0 => format!("{left} {sign} {text} * {right}"),
        1 => format!("{left} {sign} {right} * {text}"),
        2 => format!("{left} {sign} {percent} of {right}"),
        _ => format!("({left} - {right} * {text}) {sign} 0 * {right}"),
    };
    let holds = Box::new(move |pair: &Pair| {
        let (a, b) = if amounts { (pair.money, pair.limit) } else { (pair.n, pair.m) };
        if is_quotient {
            order(&sign_text, &(whole(a) / &f), &whole(b))
        } else {
            order(&sign_text, &whole(a), &(whole(b) * &f))
        }
    });
    Condition { text, holds, factor, is_quotient }
}

/// An event on the bound of a condition, or one beside it.
fn beside(dice: &mut Dice, condition: &Condition) -> Pair {
    let step = i64::try_from(condition.factor.denom().clone()).unwrap();
    let times = 1 + i64::try_from(dice.below(5_000)).unwrap();
    let m = step * times;
    let bound = (whole(m) * &condition.factor).to_integer();
    let n = i64::try_from(bound).unwrap() + i64::try_from(dice.below(3)).unwrap() - 1;
    Pair { n, m, money: n, limit: m }
}

struct Runner {
    engine: Engine,
    offset: i64,
}

impl Runner {
    fn new(rules: &str) -> Self {
        let files = vec![Source { path: "a.risk".to_owned(), text: format!("{SCHEMA}{rules}") }];
        let (program, report) = riskweir::rules::compile(&Sources::of(files));
        let program = program.unwrap_or_else(|| panic!("{report:#?}\n{rules}"));
        let engine = Engine::new(Arc::new(program), EngineOptions::default()).unwrap();
        Self { engine, offset: 0 }
    }

    /// The rules that hit an event.
    fn take(&mut self, mut fields: Value) -> BTreeSet<String> {
        fields["id"] = format!("id-{}", self.offset).into();
        fields["at"] = (1_772_445_600_000 + self.offset).into();
        fields["card"] = "c".into();
        let line = fields.to_string();
        let stream = self.engine.open_stream("t", 0);
        let payload = Some(line.as_bytes());
        let mut out: Vec<Output> = Vec::new();
        let input = Input { stream, offset: self.offset, arrival_ms: None, payload };
        self.engine.step(&input, &mut out);
        self.offset += 1;
        let Some(decided) = out.first() else { return BTreeSet::new() };
        let decision: Value = serde_json::from_slice(&decided.body).unwrap();
        let hits = decision["contributions"].as_array().cloned().unwrap_or_default();
        hits.iter().map(|hit| hit["rule"].as_str().unwrap().to_owned()).collect()
    }
}

fn rule(name: &str, condition: &str) -> String {
    format!(
        "rule {name}\n  id \"{name}\"  owner fraud\n  on pair\n  when {condition}\n  if missing skip\n  then score +1 in g\n"
    )
}

#[test]
fn decimals_and_per_cents_are_exact_on_their_bound() {
    let mut n_on_bound = 0;
    for seed in 0..12 {
        let mut dice = Dice::new(seed);
        let conditions: Vec<Condition> = (0..25).map(|_| condition(&mut dice)).collect();
        let rules: String = conditions
            .iter()
            .enumerate()
            .map(|(at, c)| rule(&format!("r{at:02}"), &c.text))
            .collect();
        let mut runner = Runner::new(&rules);
        for about in &conditions {
            for _ in 0..5 {
                let pair = beside(&mut dice, about);
                let (a, b) = (whole(pair.n), whole(pair.m) * &about.factor);
                n_on_bound += u32::from(a == b);
                let euros = |cents: i64| format!("{}.{:02}", cents / 100, cents % 100);
                let hits = runner.take(json!({
                    "kind": "pair", "n": pair.n, "m": pair.m, "x": 0.5,
                    "money": euros(pair.money), "limit": euros(pair.limit),
                }));
                for (at, condition) in conditions.iter().enumerate() {
                    assert_eq!(
                        hits.contains(&format!("r{at:02}")),
                        (condition.holds)(&pair),
                        "seed {seed}: `{}` of {pair:?} ({})",
                        condition.text,
                        condition.is_quotient,
                    );
                }
            }
        }
    }
    assert!(n_on_bound >= 400, "{n_on_bound} events lie on a bound");
}

/// 29 of 100 are 29 %, and no more; a double says 28.999999999999996.
#[test]
fn counts_are_compared_with_a_per_cent_of_counts_exactly() {
    let counts = "count(other) by card over prior 1h";
    let rules = [
        rule("more", &format!("count(pair) by card over last 1h > 29% of {counts}")),
        rule("as_many", &format!("count(pair) by card over last 1h = 29% of {counts}")),
        rule("a_part", &format!("count(pair) by card over last 1h / {counts} > 0.29")),
        rule("nearest", &format!("round(0.145 * {counts}) = 15")),
        rule("in_set", &format!("0.29 * {counts} in [28, 29]")),
    ];
    let mut runner = Runner::new(&rules.concat());
    for _ in 0..100 {
        runner.take(json!({"kind": "other"}));
    }
    let pair = json!({"kind": "pair", "n": 1, "m": 1, "x": 0.5, "money": "1.00", "limit": "1.00"});
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    for n in 1..=30 {
        let expected: BTreeSet<String> = match n {
            29 => names(&["as_many", "in_set", "nearest"]),
            30 => names(&["a_part", "in_set", "more", "nearest"]),
            _ => names(&["in_set", "nearest"]),
        };
        assert_eq!(runner.take(pair.clone()), expected, "{n} of 100");
    }
}

/// Three payments of 10, 10 and 11 euros are 31 in all, so three times their average is 31, though it is 10.33 to the eye.
#[test]
fn an_average_is_compared_before_it_is_rounded() {
    let rules = [
        rule("above", "limit > 3 * avg(pair.money) by card over prior 1h"),
        rule("at", "limit = 3 * avg(pair.money) by card over prior 1h"),
        rule("numbers", "3 * avg(pair.x) by card over prior 1h = 0.4"),
    ];
    let mut runner = Runner::new(&rules.concat());
    let mut pay = |x: f64, money: &str, limit: &str| {
        runner.take(json!({"kind": "pair", "n": 1, "m": 1, "x": x, "money": money, "limit": limit}))
    };
    pay(0.1, "10.00", "0.00");
    pay(0.1, "10.00", "0.00");
    pay(0.2, "11.00", "0.00");
    let hits = pay(0.1, "31.00", "31.00");
    assert_eq!(hits, BTreeSet::from(["at".to_owned(), "numbers".to_owned()]));
}

/// The square of 2^40 is 2^80, which 64 bits do not hold.
#[test]
fn a_product_that_is_too_large_is_missing_and_counted() {
    let mut runner = Runner::new(&rule("large", "n * m > 5"));
    for (n, hit) in [(3_i64, true), (1 << 40, false), (2, false)] {
        let hits = runner.take(
            json!({"kind": "pair", "n": n, "m": n, "x": 0.5, "money": "1.00", "limit": "1.00"}),
        );
        assert_eq!(!hits.is_empty(), hit, "{n}");
    }
    assert_eq!(runner.engine.counters().overflows, 1);
    // A division by zero is no overflow.
    let mut runner = Runner::new(&rule("none", "n / m > 5"));
    runner
        .take(json!({"kind": "pair", "n": 1, "m": 0, "x": 0.5, "money": "1.00", "limit": "1.00"}));
    assert_eq!(runner.engine.counters().overflows, 0);
}

/// `once per card, money`: one alert for each amount of a card.
#[test]
fn alerts_are_thinned_by_an_amount_beside_somebody() {
    let text =
        rule("same", "n > 0").replace("score +1 in g", "alert queue q once per card, money per 1h");
    let mut runner = Runner::new(&text);
    for money in ["1.00", "1.01", "1.00", "1.01", "1.02"] {
        runner.take(
            json!({"kind": "pair", "n": 1, "m": 1, "x": 0.5, "money": money, "limit": "1.00"}),
        );
    }
    let counters = runner.engine.counters();
    assert_eq!((counters.alerts, counters.rules[0].thinned), (3, 2));
}
