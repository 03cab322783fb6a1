//! Parts of a rule in words.

use crate::rules::syntax::ast::{
    Action, ActionKind, Decimal, IfMissing, Otherwise, Path, StepUpOtherwise,
};

/// Milliseconds in words: `2h`, `90m`.
pub(super) fn time(ms: i64) -> String {
    if ms == i64::MAX {
        return "for ever".to_owned();
    }
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fits = units.iter().find(|(size, _)| ms >= *size && ms % size == 0);
    fits.map_or_else(|| format!("{ms}ms"), |(size, unit)| format!("{}{unit}", ms / size))
}

/// A decimal as it is written.
pub(super) fn decimal(value: Decimal) -> String {
    let Decimal { mantissa, scale } = value;
    let scale = scale as usize;
    let digits = format!("{:0width$}", mantissa.unsigned_abs(), width = scale + 1);
    let (whole, rest) = digits.split_at(digits.len() - scale);
    let sign = if mantissa < 0 { "-" } else { "" };
    let point = if rest.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{rest}")
}

fn dotted(path: &Path) -> String {
    path.parts.iter().map(|part| part.text.as_str()).collect::<Vec<_>>().join(".")
}

/// What happens when the condition cannot be decided.
pub(super) fn if_missing(what: Option<IfMissing>) -> &'static str {
    match what {
        None | Some(IfMissing::Skip) => "If a value that it needs is missing, it does nothing.",
        Some(IfMissing::Match) => "If a value that it needs is missing, it acts as if it hit.",
        Some(IfMissing::Review) => {
            "If a value that it needs is missing, a person is asked to look."
        }
    }
}

/// What an action does.
pub(super) fn action(action: &Action) -> String {
    match &action.kind {
        ActionKind::Allow => {
            "lets the payment pass, over blocks and holds that are not mandatory".into()
        }
        ActionKind::Block(reason) => format!("refuses the payment{}", because(reason.as_ref())),
        ActionKind::Hold { of, for_ms, escalate, otherwise, reason } => {
            let what = of.as_ref().map_or_else(
                || "the payment".to_owned(),
                |of| format!("the payment, and every other one of its `{}`,", dotted(of)),
            );
            let asked = escalate.as_ref().map_or_else(String::new, |escalate| {
                let queue = escalate.queue.as_ref().map_or("escalations", |queue| &queue.text);
                let more = time(escalate.for_ms);
                format!("; without a decision by then queue `{queue}` is asked and has {more}")
            });
            let then = match otherwise {
                Some(Otherwise::Block) => "refused",
                Some(Otherwise::Release) | None => "let go",
            };
            format!(
                "holds {what} for {}{asked}; without a decision by then it is {then}{}",
                time(*for_ms),
                because(reason.as_ref())
            )
        }
        ActionKind::StepUp { method, within_ms, otherwise } => {
            let within = within_ms.map_or_else(String::new, |ms| format!(" within {}", time(ms)));
            let then = match otherwise {
                None => String::new(),
                Some(StepUpOtherwise::Block) => {
                    format!("; unanswered{within}, the payment is refused")
                }
                Some(StepUpOtherwise::Hold(ms)) => {
                    format!("; unanswered{within}, the payment is held for {}", time(*ms))
                }
            };
            format!("asks for a second factor, `{}`{then}", method.text)
        }
        ActionKind::Alert { queue, once, message } => {
            let queue = queue
                .as_ref()
                .map_or_else(String::new, |queue| format!(" in queue `{}`", queue.text));
            let once = once.as_ref().map_or_else(String::new, |(keys, ms)| {
                let keys: Vec<String> =
                    keys.iter().map(|key| format!("`{}`", dotted(key))).collect();
                format!(", at most once per {} in {}", keys.join(" and "), time(*ms))
            });
            format!("asks a person to look{queue}{once}{}", because(message.as_ref()))
        }
        ActionKind::Score { points, group, cap } => {
            let group = group
                .as_ref()
                .map_or_else(String::new, |group| format!(" in group `{}`", group.text));
            let cap = cap.map_or_else(String::new, |cap| {
                format!(", of which at most {} count", decimal(cap))
            });
            format!("adds {} risk points{group}{cap}", decimal(*points))
        }
        ActionKind::Add { path, list, for_ms } => {
            let span = for_ms.map_or_else(String::new, |ms| format!(" for {}", time(ms)));
            format!("puts `{}` on the list `{}`{span}", dotted(path), list.text)
        }
        ActionKind::Remove { path, list } => {
            format!("takes `{}` off the list `{}`", dotted(path), list.text)
        }
        ActionKind::Tag(tag) => format!("marks the decision `{}`", tag.text),
    }
}

fn because(text: Option<&crate::rules::syntax::ast::Text>) -> String {
    text.map_or_else(String::new, |text| format!(": \"{}\"", text.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_written_as_authors_write_them() {
        let of = |mantissa, scale| decimal(Decimal { mantissa, scale });
        assert_eq!([of(35, 0), of(-30, 0), of(125, 1), of(5, 2)], ["35", "-30", "12.5", "0.05"]);
        assert_eq!([time(7_200_000), time(5_400_000), time(250)], ["2h", "90m", "250ms"]);
    }
}
