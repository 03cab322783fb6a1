//! Which routes are for people whose view ends at some input topics ([`Scope`]).
//!
//! A route that is not named here is not for them: what cannot be said to be of one topic (rules, lists, snoozes, the audit trail,
//! holds of all payments of a subject) is for those who see all of them. What is named here shows and changes nothing beyond, and
//! answers about an id of another topic what it answers about one that does not exist.
//!
//! [`Scope`]: crate::api::roles::Scope

/// The routes, by `operationId`.
const OF_TOPICS: &[&str] = &[
    // Nothing of a payment is in these.
    "getMe",
    "getStatus",
    "getDocument",
    "score",
    "label",
    "listDecisions",
    "getDecision",
    "explainDecision",
    "listAlerts",
    "closeAlerts",
    "listDeadLetters",
    "getDeadLetter",
    "streamEvents",
    "listHolds",
    "getHold",
    "releaseHold",
    "confirmHold",
    "extendHold",
    "escalateHold",
    "claimHold",
    "unclaimHold",
];

/// Whether a route is for people of some topics, too.
pub(crate) fn is_of_topics(id: &str) -> bool {
    OF_TOPICS.contains(&id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::table::ROUTES;

    #[test]
    fn every_name_here_is_one_of_a_route() {
        for id in OF_TOPICS {
            assert!(ROUTES.iter().any(|route| route.id == *id), "{id}");
        }
    }
}
