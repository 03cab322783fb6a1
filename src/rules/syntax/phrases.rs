//! How people say it who know another language or none, and how it is written here.
//!
//! Asked only where a word cannot stand, for the help beside the mistake: no phrase changes what is read.

/// Words that people use, and what is written in their place.
const PHRASES: &[(&[&str], &str)] = &[
    (
        &["than", "more", "greater", "larger", "higher", "bigger", "above", "exceeds", "exceeding"],
        "`>` is more than, `>=` is at least: `amount > 500 EUR`",
    ),
    (
        &["less", "fewer", "smaller", "lower", "below", "under"],
        "`<` is less than, `<=` is at most: `amount < 500 EUR`",
    ),
    (&["equals", "equal"], "`=` compares: `status = declined`"),
    (&["not"], "another one is `!=`, none of several is `not in`: `country not in [DE, FR]`"),
    (
        &["like", "includes", "containing"],
        "of texts ask `contains`, `starts_with` or `matches`: `lower(note) contains \"crypto\"`",
    ),
    (
        &["times", "x"],
        "`*` multiplies: `3 * avg(transfer.amount) by sender over prior 30d`; how often something came is counted: `count(transfer) by sender over last 1h >= 3`",
    ),
    (
        &["kilometers", "kilometres", "kilometer", "kilometre", "kms"],
        "distances are written `900 km` and `50 m`, speeds `900 km/h`",
    ),
    (&["kmh", "kph"], "speeds are written `900 km/h`"),
    (&["percent", "pct"], "a percentage is written `30%`, a part of something `30% of` it"),
    (&["of"], "`of` stands behind a percentage: `30% of` what follows"),
    (
        &["with", "whose", "having", "which"],
        "`where` picks events, inside of the brackets: `count(login where result = failed)`",
    ),
    (
        &["where"],
        "events are counted, `count(login where result = failed) by customer over last 1h >= 3`, or are steps of a `sequence`",
    ),
    (
        &["excluding", "except", "before", "until", "till", "yesterday"],
        "a window that leaves out what is newest ends in the past: `over prior 90d before today`, `over prior 90d ending 1d ago`",
    ),
    (
        &["for"],
        "only `hold` takes a time, as in `hold for 2h`, and `add` to a list; for whom something is counted is said with `by`",
    ),
    (&["the", "a", "an"], "leave this word out"),
    (
        &["within", "during", "since"],
        "how far back is said behind `by`: `count(login) by customer over last 24h`; what comes one after the other stands in `sequence by customer within 24h [ login, this ]`",
    ),
    (
        &["timezone", "zone"],
        "another clock is named behind a window by the calendar: `over today in timezone \"Asia/Tokyo\"`, or a text field of this event in place of the name",
    ),
    (&["new"], "what was not there before: `is_new(transfer.receiver) by sender over prior 365d`"),
];

/// Aggregates by the names that they have elsewhere.
const AGGREGATES: &[(&[&str], &str)] = &[
    (&["number", "number_of", "n", "cnt", "frequency"], "count"),
    (&["total", "add_up"], "sum"),
    (&["average", "mean"], "avg"),
    (&["minimum", "smallest", "lowest"], "min"),
    (&["maximum", "largest", "highest"], "max"),
    (&["std", "stdev", "sd", "standard_deviation"], "stddev"),
    (&["quantile", "pct", "perc"], "percentile"),
    (&["count_distinct", "distinct_count", "unique", "nunique", "different"], "distinct"),
    (&["latest", "previous"], "last"),
    (&["new", "first", "first_time", "never"], "is_new"),
    (&["ratio", "proportion", "fraction"], "share"),
    (&["streak", "in_a_row"], "run"),
];

fn find(table: &[(&[&str], &'static str)], word: &str) -> Option<&'static str> {
    let lower = word.to_ascii_lowercase();
    table.iter().find(|(words, _)| words.contains(&lower.as_str())).map(|(_, meant)| *meant)
}

/// How it is written what somebody may mean by a word that cannot stand where it stands.
pub(super) fn help(word: &str) -> Option<&'static str> {
    find(PHRASES, word)
}

/// The aggregate that somebody may mean by a name.
pub(super) fn aggregate_meant(name: &str) -> Option<&'static str> {
    let is_percentile = name
        .strip_prefix('p')
        .is_some_and(|rank| !rank.is_empty() && rank.bytes().all(|byte| byte.is_ascii_digit()));
    find(AGGREGATES, name).or(is_percentile.then_some("percentile"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::syntax::words;

    #[test]
    fn no_word_is_told_twice_and_every_aggregate_that_is_meant_is_one() {
        for table in [PHRASES, AGGREGATES] {
            let mut all: Vec<&str> =
                table.iter().flat_map(|(words, _)| words.iter().copied()).collect();
            let n_words = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), n_words, "{all:?}");
        }
        for (names, meant) in AGGREGATES {
            assert!(words::AGGREGATES.contains(meant), "{meant}");
            assert!(names.iter().all(|name| !words::AGGREGATES.contains(name)), "{names:?}");
        }
        assert_eq!(aggregate_meant("p95"), Some("percentile"));
        assert_eq!(aggregate_meant("payments"), None);
    }
}
