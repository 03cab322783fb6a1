//! What is due on a day: reviews, snoozes that have ended, rules past their last day. Asked with a date, never a clock:
//! the same files compile the same way on any day.

use jiff::civil::Date;

use crate::diag::{Diagnostic, codes};
use crate::rules::check::accepted;
use crate::rules::program::{Mode, Program};

/// A day, in the time zone of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day(Date);

impl Day {
    /// Reads a day such as `2026-01-31`.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// When it begins, in ms since 1970.
    fn start_ms(self, timezone: &str) -> Option<i64> {
        let zone = jiff::tz::db().get(timezone).unwrap_or(jiff::tz::TimeZone::UTC);
        Some(self.0.to_zoned(zone).ok()?.timestamp().as_millisecond())
    }
}

/// What somebody should look at on this day and no comment accepts: warnings, in the order of their places.
pub fn due(program: &Program, day: Day) -> Vec<Diagnostic> {
    let Some(now_ms) = day.start_ms(&program.policy.timezone) else { return Vec::new() };
    let mut report = Vec::new();
    for info in &program.rules {
        if info.mode == Mode::Retired {
            continue;
        }
        if let Some((end_ms, span)) = info.review_by
            && end_ms <= now_ms
        {
            let message = format!("rule `{}` waits for its review", info.name);
            report.push(
                Diagnostic::new(codes::W0516, span, message)
                    .with_help("look at it again, then give it the next date"),
            );
        }
        if let Some((_, Some(end_ms))) = info.effective
            && end_ms <= now_ms
        {
            let message = format!("rule `{}` is past its last day and only watches", info.name);
            report.push(
                Diagnostic::new(codes::W0518, info.effective_span, message)
                    .with_help("prolong it, or set `mode retired`"),
            );
        }
    }
    for snooze in program.snoozes.iter().filter(|snooze| snooze.until_ms <= now_ms) {
        let name = program.rules.get(usize::from(snooze.rule.0)).map_or("", |info| &info.name);
        let message = format!("this snooze of `{name}` has ended");
        report.push(
            Diagnostic::new(codes::W0517, snooze.span, message)
                .with_help("delete it; the history of the file keeps it"),
        );
    }
    accepted::hide(program, &mut report);
    report.sort_by_key(|found| found.span);
    report
}
