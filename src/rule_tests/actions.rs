//! Whether a rule contributes the action that a test names: every part that the author of the test wrote is compared,
//! texts as people read them.

use crate::rules::program::{ActionPlan, Program, WantedAction};

/// An action of the rule under test, and its text with the values of the judged event.
pub(super) type Said<'p> = (&'p ActionPlan, Option<String>);

/// Whether one action is the wanted one.
pub(super) fn is_wanted(
    program: &Program,
    (action, text): &Said<'_>,
    wanted: &WantedAction,
) -> bool {
    match (action, wanted) {
        (ActionPlan::Allow, WantedAction::Allow) => true,
        (ActionPlan::Block { .. }, WantedAction::Block { reason }) => {
            agrees(reason.as_ref(), text.as_ref())
        }
        (
            ActionPlan::Hold { of, for_ms, escalate, otherwise, .. },
            WantedAction::Hold {
                of: wanted_of,
                for_ms: wanted_ms,
                escalate: wanted_escalate,
                otherwise: wanted_otherwise,
                reason,
            },
        ) => {
            for_ms == wanted_ms
                && (wanted_of.is_none() || wanted_of == of)
                && (wanted_escalate == escalate
                    || wanted_escalate.is_none() && wanted_otherwise.is_none())
                && wanted_otherwise.is_none_or(|wanted| wanted == *otherwise)
                && agrees(reason.as_ref(), text.as_ref())
        }
        (
            ActionPlan::StepUp { method, within_ms, otherwise },
            WantedAction::StepUp {
                method: wanted_method,
                within_ms: wanted_ms,
                otherwise: wanted_otherwise,
            },
        ) => {
            method == wanted_method
                && wanted_ms.is_none_or(|wanted| wanted == *within_ms)
                && (wanted_otherwise.is_none() || wanted_otherwise == otherwise)
        }
        (
            ActionPlan::Alert { queue, once, .. },
            WantedAction::Alert { queue: wanted_queue, once: wanted_once, message },
        ) => {
            (wanted_queue.is_none() || wanted_queue == queue)
                && (wanted_once.is_none() || wanted_once == once)
                && agrees(message.as_ref(), text.as_ref())
        }
        (
            ActionPlan::Score { points, group },
            WantedAction::Score { points: wanted_points, group: wanted_group, cap },
        ) => {
            let known = program.groups.get(usize::from(*group));
            let said_cap = known.and_then(|group| group.said_cap);
            points == wanted_points
                && wanted_group.is_none_or(|wanted| wanted == *group)
                && (cap.is_none() || *cap == said_cap)
        }
        (ActionPlan::Tag(tag), WantedAction::Tag(wanted)) => tag == wanted,
        _ => false,
    }
}

/// Whether a text is the wanted one, where one is wanted.
fn agrees(wanted: Option<&String>, text: Option<&String>) -> bool {
    wanted.is_none() || wanted == text
}
