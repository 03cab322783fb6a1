//! The words of the language: which are reserved, and how strictly.
//!
//! Three classes:
//!
//! - *Hard* words ([`is_hard`]) build sentences (`when`, `then`, `and`, `by`, …). They are never a name, except after
//!   a dot, where only a name can stand (`login.when`).
//! - *Soft* words ([`is_soft`]) begin an item, a clause or an action, or are an operator written as a word (`list`,
//!   `id`, `block`, `in`, …). Rules, features, lists, entities, params and lets may not be named so. Events, fields
//!   and members of a closed set may, because input data is often named like that: `on step_up`,
//!   `transfer.id`, `direction = in`. Where a value is expected a soft word is a name unless the next word continues
//!   it as a clause, so a forgotten value before `owner fraud` is still reported at `owner`.
//! - All other words with a meaning (`queue`, `once`, `per`, `from`, `time`, `key`, `count`, `last`, `today`, …) are
//!   special at one place only and may name anything.

/// Words that begin an item of a file.
pub const ITEMS: &[&str] = &[
    "event", "entity", "list", "feature", "model", "rule", "template", "use", "snooze", "policy",
    "test",
];

/// Words that begin a clause of a rule.
pub const CLAUSES: &[&str] = &[
    "id",
    "owner",
    "severity",
    "typology",
    "ref",
    "tags",
    "effective",
    "review",
    "mandatory",
    "mode",
    "on",
    "param",
    "let",
    "when",
    "unless",
    "if",
    "then",
];

/// Words that begin an action.
pub const ACTIONS: &[&str] =
    &["allow", "block", "hold", "step_up", "alert", "score", "add", "remove", "tag"];

/// Words that begin a clause of a policy.
pub const POLICY_CLAUSES: &[&str] =
    &["base", "timezone", "rates", "band", "approvals", "budget", "state", "breaker"];

/// Words that begin a clause of a model.
pub const MODEL_CLAUSES: &[&str] =
    &["on", "kind", "from", "reads", "segment", "over", "allowance", "seed", "frozen"];

/// On which side of what is usual a feature of a model is suspicious.
pub const DIRECTIONS: &[&str] = &["high", "low", "both"];

/// Words that begin a field of an event.
pub const FIELD_ROLES: &[&str] = &["id", "time", "key", "field"];

/// What a rule can be.
pub const MODES: &[&str] = &["draft", "shadow", "canary", "live", "retired"];

/// Words that begin an aggregate.
pub const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "stddev",
    "median",
    "percentile",
    "distinct",
    "last",
    "is_new",
    "time_since",
    "share",
    "run",
];

/// Operators written as words, and the words of `is missing`.
const OPERATORS: &[&str] =
    &["in", "is", "between", "matches", "contains", "starts_with", "default", "of", "present"];

const HARD: &[&str] = &[
    "rule", "when", "unless", "if", "then", "let", "param", "and", "or", "not", "this", "true",
    "false", "missing", "where", "by", "over",
];

/// Further words with a meaning at one place; only used to recognize them in wrong letter case.
const CONTEXTUAL: &[&str] = &[
    "from",
    "currency",
    "unit",
    "sensitive",
    "tokenized",
    "one",
    "expires",
    "gives",
    "as",
    "tune",
    "step",
    "skip",
    "match",
    "reason",
    "for",
    "otherwise",
    "release",
    "queue",
    "once",
    "per",
    "message",
    "cap",
    "to",
    "last",
    "prior",
    "ending",
    "before",
    "ago",
    "events",
    "today",
    "this_week",
    "this_month",
    "lifetime",
    "sequence",
    "within",
    "without",
    "times",
    "given",
    "every",
    "at",
    "until",
    "expect",
    "hit",
    "snoozed",
    "no",
    "undecided",
    "draft",
    "shadow",
    "canary",
    "live",
    "retired",
    "time",
    "key",
    "field",
    "labels",
    "answers",
    "verdict",
    "escalate",
    "most",
];

/// Whether the word builds sentences and is never a name, except after a dot.
pub fn is_hard(word: &str) -> bool {
    HARD.contains(&word)
}

/// Whether the word is reserved for naming things, yet usable for events, fields and members of a set.
pub fn is_soft(word: &str) -> bool {
    // WHY: `model` came last and begins an item only; score groups and fields are named like that.
    !is_hard(word)
        && word != "model"
        && [ITEMS, CLAUSES, ACTIONS, OPERATORS].iter().any(|class| class.contains(&word))
}

/// Whether rules, features, lists, entities, params and lets may not have this name.
pub fn is_reserved(word: &str) -> bool {
    is_hard(word) || is_soft(word)
}

/// Whether the word has a meaning anywhere in the language.
pub fn is_known(word: &str) -> bool {
    is_reserved(word)
        || [ITEMS, CONTEXTUAL, POLICY_CLAUSES, MODEL_CLAUSES, DIRECTIONS, AGGREGATES]
            .iter()
            .any(|class| class.contains(&word))
}

/// All words that have a meaning anywhere in the language, each once, in order.
pub fn all() -> Vec<&'static str> {
    let classes = [
        ITEMS,
        CLAUSES,
        ACTIONS,
        POLICY_CLAUSES,
        MODEL_CLAUSES,
        DIRECTIONS,
        OPERATORS,
        HARD,
        CONTEXTUAL,
        AGGREGATES,
    ];
    let mut words: Vec<&str> = classes.into_iter().flatten().copied().collect();
    words.sort_unstable();
    words.dedup();
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_data_are_soft_and_the_words_of_sentences_are_hard() {
        for word in ["id", "list", "step_up", "block", "in", "mode", "test", "default"] {
            assert!(is_soft(word) && !is_hard(word) && is_reserved(word), "{word}");
        }
        for word in ["when", "and", "rule", "this", "missing"] {
            assert!(is_hard(word) && !is_soft(word), "{word}");
        }
        for word in ["queue", "time", "key", "count", "amount"] {
            assert!(!is_reserved(word), "{word}");
        }
        assert!(is_known("queue") && is_known("budget") && !is_known("amount"));
    }
}
