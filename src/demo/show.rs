//! Alerts and holds as a person reads them: two lines each, the second one dim.

use crate::demo::tally::Fact;
use crate::demo::wire::{Alert, Hold};

/// Width of what stands before the text: the time and the kind.
const INDENT: &str = "                             ";

/// Colors, or none.
#[derive(Clone, Copy, Debug)]
pub struct Paint {
    /// Whether to color.
    pub color: bool,
}

/// A color by its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Asks for attention.
    Alert,
    /// Waits for a person.
    Hold,
    /// Is refused.
    Block,
    /// Asks the customer.
    StepUp,
    /// Is right.
    Right,
    /// Is wrong.
    Wrong,
    /// Stands back.
    Dim,
    /// Stands out.
    Strong,
}

impl Paint {
    /// The text in this tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Alert => "1;33",
            Tone::Hold => "1;35",
            Tone::Block => "1;31",
            Tone::StepUp => "1;36",
            Tone::Right => "32",
            Tone::Wrong => "31",
            Tone::Dim => "2",
            Tone::Strong => "1",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// An alert. `title` says in one line what the rule is about.
pub fn alert(alert: &Alert, title: &str, fact: Option<&Fact>, paint: Paint) -> String {
    let tone = match alert.outcome.as_str() {
        "block" => Tone::Block,
        "hold" => Tone::Hold,
        "step_up" => Tone::StepUp,
        _ => Tone::Dim,
    };
    let mut facts: Vec<String> = Vec::new();
    facts.extend(fact.and_then(|fact| fact.amount.clone()));
    facts.extend(alert.entities.iter().map(|it| format!("{} {}", it.name, it.value)));
    if alert.entities.is_empty() {
        facts.push(format!("{} {}", alert.event.event_type, alert.event.id));
    }
    match (alert.episode.seq, alert.episode.count) {
        (1, 1) => {}
        (seq, count) => facts.push(format!("alert {seq} of this episode, {count} hits")),
    }
    let kind = paint.paint(Tone::Alert, "ALERT");
    let outcome = paint.paint(tone, &format!("→ {}", alert.outcome));
    let first = format!("{}  {kind}   {title}  {outcome}", time(&alert.event.time));
    two_lines(&first, &alert.message, &facts, fact, paint)
}

/// A hold that was placed or that expired. `title` says in one line what the first of its rules is about.
pub fn hold(hold: &Hold, title: &str, fact: Option<&Fact>, paint: Paint) -> String {
    let amount = hold.amount.as_ref().map(|money| format!("{} {}", money.value, money.currency));
    let about = hold.reasons.first().map_or(title, String::as_str);
    if hold.state != "placed" || hold.by.is_some() {
        let what = amount.unwrap_or_else(|| hold.subject.event_type.clone());
        return hold_step(hold, &what, paint);
    }
    let kind = paint.paint(Tone::Hold, "HOLD");
    let what = amount.map(|amount| paint.paint(Tone::Strong, &amount)).unwrap_or_default();
    let first = format!("{}  {kind}    {what}  {title}", time(&hold.subject.time));
    let facts = [
        format!("{} {}", hold.subject.event_type, hold.subject.id),
        format!("until {}, then {}", time(&hold.deadline_at), hold.otherwise),
    ];
    two_lines(&first, about, &facts, fact, paint)
}

/// A step of a hold: what somebody answered, or what a deadline brought.
fn hold_step(hold: &Hold, what: &str, paint: Paint) -> String {
    if let Some(by) = &hold.by {
        let (at, state) = (time(&hold.deadline_at), &hold.state);
        let kind = paint.paint(Tone::Dim, "BY HAND");
        return format!("{at}  {kind} {what} → {state} (by {})\n", by.actor);
    }
    let answered = hold.answered_by.as_ref();
    let (kind, tone, then) = match (hold.state.as_str(), answered.is_some()) {
        ("released" | "extended", true) => {
            ("ANSWERED ", Tone::Right, "the second factor was passed")
        }
        (_, true) => ("ANSWERED ", Tone::Wrong, "the second factor was failed"),
        ("escalated", false) => ("UNANSWERED", Tone::Dim, "nobody answered in time"),
        _ => ("HOLD ENDS", Tone::Dim, "nobody decided"),
    };
    let at = answered.map_or(&hold.deadline_at, |event| &event.time);
    let end = match hold.state.as_str() {
        "expired" => &hold.otherwise,
        state => state,
    };
    format!("{}  {} {what} → {end} ({then})\n", time(at), paint.paint(tone, kind))
}

fn two_lines(
    first: &str,
    about: &str,
    facts: &[String],
    fact: Option<&Fact>,
    paint: Paint,
) -> String {
    let label = match fact.map(|fact| fact.label) {
        Some(Some(scenario)) => paint.paint(Tone::Right, &format!("fraud: {}", scenario.name())),
        Some(None) => paint.paint(Tone::Wrong, "honest"),
        None => paint.paint(Tone::Dim, "label forgotten"),
    };
    let second = format!("{about} · {}", facts.join(" · "));
    format!("{first}\n{INDENT}{} · {label}\n", paint.paint(Tone::Dim, &second))
}

/// `2024-01-08 05:21:51` of an RFC 3339 time.
fn time(rfc3339: &str) -> String {
    let date = rfc3339.get(..10).unwrap_or(rfc3339);
    let clock = rfc3339.get(11..19).unwrap_or_default();
    format!("{date} {clock}")
}

/// A number with its thousands apart: `12,345`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::traffic::Scenario;
    use std::time::Duration;

    #[test]
    fn an_alert_reads_as_two_lines_with_what_a_person_needs() {
        let record: Alert = serde_json::from_value(serde_json::json!({
            "name": "r", "severity": "high", "message": "6 cards, 6 declined", "outcome": "block",
            "event": {"id": "evt_1", "type": "card_payment", "time": "2024-01-08T05:21:51.056Z"},
            "score": 0, "entities": [{"name": "device", "value": "dev_1"}],
            "episode": {"seq": 2, "count": 9},
        }))
        .unwrap();
        let fact = Fact {
            due: Duration::ZERO,
            label: Some(Scenario::CardTesting),
            episode: 1,
            amount: Some("3.56 EUR".to_owned()),
            is_noticed: false,
            key: String::new(),
            time_ms: 0,
        };
        let text = alert(&record, "Many cards", Some(&fact), Paint { color: false });
        assert_eq!(
            text,
            "2024-01-08 05:21:51  ALERT   Many cards  → block\n                             6 cards, 6 \
             declined · 3.56 EUR · device dev_1 · alert 2 of this episode, 9 hits · fraud: card_testing\n"
        );
    }

    #[test]
    fn thousands_are_set_apart() {
        let expected = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in expected {
            assert_eq!(thousands(number), text);
        }
    }
}
