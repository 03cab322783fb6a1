//! The last word of the demonstration: what was found and missed, how fast, and whether the books balance.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::demo::show::{Paint, Tone, thousands};
use crate::demo::tally::{Challenges, Example, RuleTally, ScenarioTally, Tally, Verdicts, share};

/// Most rules in the table for people.
const MOST_RULES: usize = 25;

/// Most reasons of a model that are shown to people.
const MOST_REASONS: usize = 3;

/// How the run ended, as the parts that ran say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closing {
    /// Records that the cell read.
    pub read: u64,
    /// Records that it decided.
    pub decided: u64,
    /// Records that it dead-lettered.
    pub dead_lettered: u64,
    /// Records whose outputs are not all acknowledged.
    pub in_flight: u64,
    /// Holds that are open.
    pub holds_open: u64,
    /// Outputs that the broker dropped before they were read.
    pub lost: u64,
    /// From the first record to the last answer.
    pub took: Duration,
}

/// A finished run.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    /// What was seen from outside.
    pub tally: &'a Tally,
    /// What the parts say.
    pub closing: Closing,
}

impl Report<'_> {
    /// Whether every record that was sent was read, and decided or dead-lettered, and its answer seen.
    pub fn is_balanced(&self) -> bool {
        let Closing { read, decided, dead_lettered, in_flight, lost, .. } = self.closing;
        let dead_seen: u64 = self.tally.dead_lettered.values().sum();
        let decided_seen: u64 = self.tally.decided.values().sum();
        self.tally.sent == read
            && read == decided + dead_lettered + in_flight
            && (in_flight, lost) == (0, 0)
            && (decided_seen, dead_seen) == (decided, dead_lettered)
    }

    /// For people.
    pub fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        let head = |text: &str| paint.paint(Tone::Strong, text);
        // WHY: writing into a string does not fail.
        _ = writeln!(out, "\n{}", head("Frauds in the traffic, and what the rules made of them"));
        out.push_str("  kind                  frauds  noticed  stopped  records  noticed\n");
        let mut all = ScenarioTally::default();
        for (scenario, tally) in &self.tally.scenarios {
            out.push_str(&scenario_line(scenario.name(), tally));
            all.events += tally.events;
            all.noticed_events += tally.noticed_events;
            all.episodes.extend(&tally.episodes);
            all.noticed.extend(&tally.noticed);
            all.stopped.extend(&tally.stopped);
        }
        out.push_str(&scenario_line("all", &all));
        _ = writeln!(
            out,
            "  recall: {} of the frauds noticed, {} stopped; {} of their records noticed",
            percent(share(all.noticed.len() as u64, all.episodes.len() as u64)),
            percent(share(all.stopped.len() as u64, all.episodes.len() as u64)),
            percent(share(all.noticed_events, all.events)),
        );
        _ = writeln!(out, "\n{}", head("Right and wrong"));
        out.push_str("                           all    right    wrong  precision\n");
        for (name, verdicts) in self.verdicts() {
            _ = writeln!(
                out,
                "  {name:<20} {:>7}  {:>7}  {:>7}  {:>9}",
                thousands(verdicts.total()),
                thousands(verdicts.right),
                thousands(verdicts.wrong),
                percent(verdicts.precision())
            );
        }
        out.push_str("  right: the very record that it speaks of belongs to a fraud\n");
        let Challenges { passed, failed, unanswered } = self.tally.challenges;
        _ = writeln!(
            out,
            "  second factors: {passed} passed, {failed} failed, {unanswered} unanswered"
        );
        self.rules_text(&mut out, paint);
        self.watching_text(&mut out, paint);
        self.books_text(&mut out, paint);
        out
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let Tally { sent, decided, dead_lettered, repeated, latency, .. } = self.tally;
        let Closing { read, in_flight, holds_open, lost, took, .. } = self.closing;
        let Challenges { passed, failed, unanswered } = self.tally.challenges;
        let verdicts = |it: Verdicts| json!({"right": it.right, "wrong": it.wrong, "precision": it.precision()});
        let ms = |permille| latency.permille(permille).map(|it| it.as_secs_f64() * 1e3);
        let scenarios = self.tally.scenarios.iter().map(|(scenario, it)| {
            let value = json!({
                "frauds": it.episodes.len(), "noticed": it.noticed.len(), "stopped": it.stopped.len(),
                "records": it.events, "records_noticed": it.noticed_events,
            });
            (scenario.name().to_owned(), value)
        });
        let rules = self.tally.rules.iter().map(|(name, it)| {
            (name.clone(), json!({"alerts": verdicts(it.alerts), "stops": verdicts(it.stops)}))
        });
        let watching = self.tally.watching.iter().map(|(name, it)| (name.clone(), verdicts(*it)));
        let models = self.tally.examples.iter().map(|(name, it)| (name.clone(), example_json(it)));
        json!({
            "kind": "summary",
            "sent": sent,
            "seconds": took.as_secs_f64(),
            "decided": decided,
            "dead_lettered": dead_lettered,
            "duplicates": repeated,
            "alerts": verdicts(self.tally.alerts),
            "holds": verdicts(self.tally.holds),
            "holds_expired": self.tally.holds_expired,
            "holds_open": holds_open,
            "blocks": verdicts(self.tally.blocks),
            "step_ups": verdicts(self.tally.step_ups),
            "challenges": {"passed": passed, "failed": failed, "unanswered": unanswered},
            "replies": self.tally.replies,
            "scenarios": scenarios.collect::<serde_json::Map<_, _>>(),
            "rules": rules.collect::<serde_json::Map<_, _>>(),
            "watching": watching.collect::<serde_json::Map<_, _>>(),
            "models": models.collect::<serde_json::Map<_, _>>(),
            "latency_ms": {
                "p50": ms(500), "p99": ms(990), "p99_9": ms(999),
                "longest": latency.longest().as_secs_f64() * 1e3,
            },
            "books": {
                "sent": sent, "read": read, "decided": self.closing.decided,
                "dead_lettered": self.closing.dead_lettered, "in_flight": in_flight,
                "outputs_lost_unread": lost, "balanced": self.is_balanced(),
            },
        })
    }

    fn verdicts(&self) -> [(&'static str, Verdicts); 4] {
        let Tally { alerts, holds, blocks, step_ups, .. } = self.tally;
        [("alerts", *alerts), ("holds", *holds), ("blocks", *blocks), ("second factors", *step_ups)]
    }

    fn rules_text(&self, out: &mut String, paint: Paint) {
        let mut rules: Vec<(&String, &RuleTally)> = self.tally.rules.iter().collect();
        rules.sort_by_key(|(_, it)| std::cmp::Reverse(it.alerts.total() + it.stops.total()));
        _ = writeln!(out, "\n{}", paint.paint(Tone::Strong, "What each rule did (right + wrong)"));
        out.push_str("  rule                          alerts         stops  precision\n");
        let left = rules.len().saturating_sub(MOST_RULES);
        for (name, it) in rules.into_iter().take(MOST_RULES) {
            let both = Verdicts {
                right: it.alerts.right + it.stops.right,
                wrong: it.alerts.wrong + it.stops.wrong,
            };
            let pair = |it: Verdicts| match it.total() {
                0 => "-".to_owned(),
                _ => format!("{} + {}", thousands(it.right), thousands(it.wrong)),
            };
            let precision = percent(both.precision());
            let (alerts, stops) = (pair(it.alerts), pair(it.stops));
            _ = writeln!(out, "  {name:<24} {alerts:>11}   {stops:>11}  {precision:>9}");
        }
        if left > 0 {
            _ = writeln!(out, "  and {left} more");
        }
    }

    fn watching_text(&self, out: &mut String, paint: Paint) {
        let Tally { watching, examples, .. } = self.tally;
        if !watching.is_empty() {
            let head = "Rules that only watch, with their models among them (shadow)";
            _ = writeln!(out, "\n{}", paint.paint(Tone::Strong, head));
            out.push_str("  rule                        hits    right    wrong  precision\n");
        }
        for (name, it) in watching {
            _ = writeln!(
                out,
                "  {name:<22} {:>9}  {:>7}  {:>7}  {:>9}",
                thousands(it.total()),
                thousands(it.right),
                thousands(it.wrong),
                percent(it.precision())
            );
        }
        for (name, it) in examples {
            let place = it.score.percentile_ppm.map_or_else(String::new, |ppm| {
                format!(", above {:.1}% of the last scores", f64::from(ppm) / 10_000.0)
            });
            let label = it.label.map_or_else(
                || paint.paint(Tone::Wrong, "honest"),
                |scenario| paint.paint(Tone::Right, &format!("fraud: {}", scenario.name())),
            );
            let what = it.amount.as_deref().unwrap_or("no amount");
            _ = writeln!(out, "  model {name}: {} of {what}{place} · {label}", it.event_type);
            for part in it.score.features.iter().take(MOST_REASONS) {
                _ = writeln!(out, "    {}", paint.paint(Tone::Dim, &part.reason));
            }
        }
    }

    fn books_text(&self, out: &mut String, paint: Paint) {
        let Tally { sent, latency, .. } = self.tally;
        let Closing { read, decided, dead_lettered, in_flight, lost, took, .. } = self.closing;
        _ = writeln!(
            out,
            "\n{}  record due → decision read, {} records in {:.1} s\n  {}",
            paint.paint(Tone::Strong, "Latency"),
            thousands(*sent),
            took.as_secs_f64(),
            percentiles(latency)
        );
        let (tone, verdict) = if self.is_balanced() {
            (Tone::Right, "balanced")
        } else {
            (Tone::Wrong, "NOT BALANCED")
        };
        _ = writeln!(
            out,
            "{}  sent {} = read {} = decided {} + dead-lettered {} + in flight {}; outputs lost unread {}: {}",
            paint.paint(Tone::Strong, "Books"),
            thousands(*sent),
            thousands(read),
            thousands(decided),
            thousands(dead_lettered),
            in_flight,
            lost,
            paint.paint(tone, verdict)
        );
    }
}

/// `p50 2.1 ms · p99 6.0 ms · p99.9 11 ms`
pub fn percentiles(latency: &crate::demo::latency::Latencies) -> String {
    let of = |name: &str, permille| match latency.permille(permille) {
        Some(length) => format!("{name} {:.1} ms", length.as_secs_f64() * 1e3),
        None => format!("{name} -"),
    };
    [of("p50", 500), of("p99", 990), of("p99.9", 999)].join(" · ")
}

fn scenario_line(name: &str, it: &ScenarioTally) -> String {
    let (episodes, noticed, stopped) = (it.episodes.len(), it.noticed.len(), it.stopped.len());
    let (events, noticed_events) = (thousands(it.events), thousands(it.noticed_events));
    format!(
        "  {name:<20} {episodes:>7}  {noticed:>7}  {stopped:>7}  {events:>7}  {noticed_events:>7}\n"
    )
}

fn example_json(it: &Example) -> Value {
    let reasons: Vec<&str> = it.score.features.iter().map(|part| part.reason.as_str()).collect();
    json!({
        "event_type": it.event_type,
        "amount": it.amount,
        "label": it.label.map_or("honest", |label| label.name()),
        "percentile_ppm": it.score.percentile_ppm,
        "reasons": reasons,
    })
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", share * 100.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_only_when_every_record_has_one_answer_that_was_seen() {
        let mut tally = Tally::default();
        tally.sent = 3;
        tally.decided.insert("pass".to_owned(), 2);
        tally.on_dead_letter("invalid_json");
        let closing = Closing { read: 3, decided: 2, dead_lettered: 1, ..Closing::default() };
        let balanced = |closing| Report { tally: &tally, closing }.is_balanced();
        assert!(balanced(closing));
        for wrong in [
            Closing { read: 2, ..closing },
            Closing { decided: 1, in_flight: 1, ..closing },
            Closing { lost: 1, ..closing },
            Closing { decided: 3, dead_lettered: 0, ..closing },
        ] {
            assert!(!balanced(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn what_models_say_is_shown_with_place_label_and_the_first_reasons() {
        let mut tally = Tally::default();
        tally.watching.insert("odd".to_owned(), Verdicts { right: 3, wrong: 1 });
        let score = serde_json::from_value(json!({
            "model": "m", "percentile_ppm": 997_000,
            "features": [{"reason": "one"}, {"reason": "two"}, {"reason": "three"}, {"reason": "four"}],
        }));
        let example = Example {
            event_type: "card_payment".to_owned(),
            amount: Some("12.50 EUR".to_owned()),
            label: None,
            score: score.unwrap(),
        };
        tally.examples.insert("m".to_owned(), example);
        let report = Report { tally: &tally, closing: Closing::default() };
        let text = report.text(Paint { color: false });
        assert!(
            text.contains("  odd                            4        3        1        75%\n"),
            "{text}"
        );
        let told = "  model m: card_payment of 12.50 EUR, above 99.7% of the last scores · honest\n    one\n    two\n    three\n";
        assert!(text.contains(told) && !text.contains("four"), "{text}");
        assert_eq!(report.json()["watching"]["odd"]["precision"], 0.75);
        assert_eq!(report.json()["models"]["m"]["reasons"][3], "four");
    }
}
