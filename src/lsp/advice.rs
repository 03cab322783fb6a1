//! What the words of the language say, in a sentence each; the long form is docs/LANGUAGE.md.

/// Words of items, clauses, actions and expressions.
const WORDS: &[(&str, &str)] = &[
    ("event", "What a record looks like, and where each value stands in it."),
    (
        "entity",
        "One name for the same thing in several events: `entity customer = login.user | transfer.user`.",
    ),
    (
        "list",
        "A set of values that rules look up and change; its members come from a file, from rules, or both.",
    ),
    ("feature", "A named expression that all rules may use, worked out at most once per event."),
    (
        "model",
        "Scores events by some features: by what is usual of them, or, with `kind learned`, by what was trained on labelled history; rules ask it: `model.NAME >= 0.995`.",
    ),
    ("rule", "When what happens: `on` events, `when` a condition holds, `then` do this."),
    ("template", "A rule with blanks; each `use` fills them in and makes one rule of it."),
    ("use", "Fills in a template: `use NAME(argument, ...) as RULE`."),
    ("snooze", "Keeps one rule from acting on the events of one key, to the end of a day."),
    ("policy", "Currency, time zone, what a score leads to; once in a rule set."),
    ("test", "Given these events, the rule does this."),
    (
        "id",
        "In a rule: its stable id, written into decisions, never given to another rule. In an event: the field with the unique id.",
    ),
    ("owner", "Who answers for it."),
    ("severity", "For alerts: `low`, `medium`, `high` or `critical`."),
    ("typology", "The patterns that the rule looks for."),
    ("ref", "Where the rule comes from."),
    ("tags", "For your own order."),
    (
        "effective",
        "First and last day of event time on which the rule acts: `effective 2026-01-01 .. 2026-12-31`.",
    ),
    ("review", "When somebody looks at it again: `review by 2026-12-31`."),
    ("mandatory", "An `allow` cannot override the rule, and nobody can snooze it."),
    (
        "mode",
        "`draft` and `retired` are not asked, `shadow` only watches, `canary 10% by card` acts on a share, `live` acts.",
    ),
    ("on", "Which events the rule is asked on, and with `where` which of them."),
    ("param", "A constant with a name: `param n = 5 tune 3..12 step 1`."),
    ("tune", "The range in which `riskweir sweep` tries a parameter."),
    ("let", "A value with a name, for this rule."),
    ("when", "In a rule: the condition. In a test: the event that is judged."),
    ("unless", "The exemption. It exempts only when it is proven: an undecided one does not."),
    (
        "if",
        "`if missing skip` / `match` / `review`: what happens when the condition cannot be decided.",
    ),
    ("then", "What a hit does."),
    (
        "allow",
        "Lets the payment pass, over blocks and holds that are not mandatory; needs an end date.",
    ),
    ("block", "Refuses the payment."),
    (
        "hold",
        "Stops the payment for a time. Where nobody has decided when it is over, `hold for 2h otherwise release` lets the payment go and `otherwise block` refuses it. At an event, `hold at most 9s where rail [sct_inst] otherwise block`: no payment of that rail is held for longer, whatever rules say.",
    ),
    ("step_up", "Asks for a second factor."),
    (
        "alert",
        "Asks a person to look; never stops money. `once per card per 1h` thins alerts, nothing else.",
    ),
    ("score", "Adds risk points: `score +35 in velocity cap 50`."),
    ("add", "Puts a value on a list: `add device to blocked_devices for 24h`."),
    ("remove", "Takes a value off a list."),
    ("tag", "Marks the decision."),
    ("base", "`base currency EUR`: money of several currencies meets in this one."),
    ("timezone", "Where days begin."),
    ("rates", "`rates from \"rates.csv\" expires 7d`: exchange rates into the base currency."),
    ("band", "What a score leads to: `band 40..69 -> alert queue l1`."),
    (
        "approvals",
        "How many people beside whoever asks approve a change of rules with these actions, where the HTTP API activates it: `approvals 2 for [allow, block, hold]`.",
    ),
    ("budget", "`budget 20us per event`: what the rules on one event may cost at most."),
    ("state", "Memory for all windows; beyond it the oldest keys go first, counted and marked."),
    (
        "breaker",
        "`breaker 1000 per 1h`: how many holds and blocks one rule makes at most before it only watches.",
    ),
    ("where", "Which of the events: only those for which it is true."),
    ("by", "The key: whose events are meant."),
    ("over", "The window. Say `last` or `prior`: there is no default."),
    (
        "last",
        "As a window it counts this event, `prior` does not. As a function it is the value of the latest event before.",
    ),
    ("prior", "The window without this event; `last` counts it."),
    ("ending", "`ending 30d ago` moves the window into the past."),
    (
        "before",
        "`over prior 90d before today` ends at midnight: nothing of today is inside. So do `this_week` and `this_month`.",
    ),
    (
        "events",
        "`over prior 5 events within 90d`: the newest five of the key that are no older; the `where` looks at those.",
    ),
    ("today", "Since midnight, in the policy's time zone or `in timezone \"...\"`."),
    ("this_week", "Since Monday."),
    ("this_month", "Since the first."),
    (
        "lifetime",
        "All that is known of the key; only `count`, `is_new`, `last` and `time_since`. Never forgotten.",
    ),
    (
        "sequence",
        "`sequence by KEY within SPAN [ step, without step, this ]`: these events in order, the last of which is this one.",
    ),
    (
        "answers",
        "Whose second factor this event answers: `answers transfer by payment, customer verdict outcome passed [passed] failed [failed]`: a payment of that id and that customer which waits goes or is stopped by it.",
    ),
    (
        "escalate",
        "What comes at the deadline of a hold instead of its end: `otherwise escalate to seniors for 4h` asks people and stops the payment for longer.",
    ),
    (
        "labels",
        "What came out about other events: `labels card_payment by payment verdict fraud`; the precision of rules and models is counted by it.",
    ),
    (
        "verdict",
        "The field that says what came out: true or false, or a word, then with `fraud [...] genuine [...]`.",
    ),
    (
        "most",
        "`hold at most 9s where rail [sct_inst] otherwise block`: how long events of a type may be held, by a field that is one of a set; without `where` all others.",
    ),
    ("within", "From the first step to the last; of `5 events within 90d` how old they may be."),
    ("without", "No such event between its neighbours."),
    ("times", "`3 times login`: that many events, one after the other."),
    ("and", "True when all are; false as soon as one is false, whatever the others lack."),
    ("or", "True as soon as one is, whatever the others lack."),
    ("not", "The opposite; of what cannot be decided it cannot be decided either."),
    ("in", "Member of a list or of `[a, b]`; of money: its currency."),
    ("is", "`is missing`, `is present`: never undecided itself."),
    ("missing", "The value is absent or cannot be worked out."),
    ("present", "The value is there."),
    ("between", "Both ends included."),
    ("matches", "A regular expression, somewhere in the text, in linear time."),
    ("contains", "The text holds this one."),
    ("starts_with", "The text begins with this one."),
    ("default", "What holds where the value is missing."),
    ("of", "`80% of x`."),
    ("this", "The present event: `this.sender`; in a sequence the last step."),
    ("skip", "If it cannot be decided: no hit."),
    ("match", "If it cannot be decided: as if it hit."),
    (
        "otherwise",
        "What comes where nobody has decided until the deadline: `release` lets the payment go (so it is without `otherwise`), `block` refuses it, `escalate to seniors for 4h` asks others first. Of a `step_up` it is what comes of a challenge that failed or was not answered: `block`, or `hold for 30m`.",
    ),
    ("given", "What happened before."),
    (
        "expect",
        "What must come out: `hit`, `no hit`, `undecided on FIELD`, an action, `name = value`.",
    ),
    ("expires", "Entries that rules add end after this time."),
    ("gives", "Each member of the list gives a value: `gives money EUR`."),
    ("sensitive", "Kept out of messages and reasons."),
    ("tokenized", "Rules, windows and outputs see a keyed hash in its place, never the value."),
    ("currency", "`currency EUR`, or where the record says it: `currency \"/amount/currency\"`."),
    ("unit", "How a number is written: `minor` of money; `ms`, `s`, `minutes`, `hours` of time."),
    ("key", "A field that you intend to group by."),
    ("time", "The event time."),
    ("field", "A value that rules may read."),
    ("hit", "The rule is true on the event and acts, or would."),
    ("undecided", "The condition lacks data."),
];

/// Aggregates: how one is begun in an editor that knows placeholders, and what it says.
pub(super) const AGGREGATES: &[(&str, &str, &str)] = &[
    ("count", "count(${1:event}) by ${2:key} over last ${3:10m}", "How many events of the key."),
    (
        "sum",
        "sum(${1:event}.${2:amount}) by ${3:key} over last ${4:24h}",
        "The sum of a field; 0 over nothing.",
    ),
    (
        "avg",
        "avg(${1:event}.${2:amount}) by ${3:key} over prior ${4:30d}",
        "The mean; missing over nothing.",
    ),
    (
        "min",
        "min(${1:event}.${2:amount}) by ${3:key} over prior ${4:30d}",
        "The smallest value; missing over nothing.",
    ),
    (
        "max",
        "max(${1:event}.${2:amount}) by ${3:key} over prior ${4:30d}",
        "The largest value; missing over nothing.",
    ),
    (
        "stddev",
        "stddev(${1:event}.${2:amount}) by ${3:key} over prior ${4:30d}",
        "The population standard deviation; missing over nothing.",
    ),
    (
        "median",
        "median(${1:event}.${2:amount}) by ${3:key} over prior ${4:90d}",
        "The value in the middle; missing over nothing.",
    ),
    (
        "percentile",
        "percentile(${1:95}, ${2:event}.${3:amount}) by ${4:key} over prior ${5:90d}",
        "The nearest rank; missing over nothing.",
    ),
    (
        "distinct",
        "distinct(${1:event}.${2:field}) by ${3:key} over last ${4:24h}",
        "How many different values.",
    ),
    (
        "last",
        "last(${1:event}.${2:field}) by ${3:key} over prior ${4:24h}",
        "The value of the latest event before; missing over nothing.",
    ),
    (
        "is_new",
        "is_new(${1:event}.${2:field}) by ${3:key} over prior ${4:180d}",
        "No event of the key had this event's value.",
    ),
    (
        "time_since",
        "time_since(${1:event}) by ${2:key} over prior ${3:365d}",
        "How long ago the latest event before was; missing over nothing.",
    ),
    (
        "share",
        "share(${1:event} where ${2:condition}) by ${3:key} over last ${4:1h}",
        "Which part of the events passes the filter; missing over nothing.",
    ),
    (
        "run",
        "run(${1:event} where ${2:condition}) by ${3:key} over last ${4:30d}",
        "How many events in a row pass the filter, the newest first; 0 over nothing.",
    ),
];

/// What a word of the language says.
pub(super) fn word(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(known, _)| *known == word).map(|(_, text)| *text)
}

/// What an aggregate says.
pub(super) fn aggregate(word: &str) -> Option<&'static str> {
    AGGREGATES.iter().find(|(known, ..)| *known == word).map(|(_, _, text)| *text)
}

/// A beginning for editors that know no placeholders.
pub(super) fn plain(snippet: &str) -> String {
    let mut out = String::new();
    let mut rest = snippet;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (inner, behind) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(inner.split_once(':').map_or("", |(_, text)| text));
        rest = behind;
    }
    out.push_str(rest);
    out.replace("$0", "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::syntax::words;

    #[test]
    fn every_word_that_begins_something_is_told_and_no_other_word_is() {
        let begins = [words::ITEMS, words::CLAUSES, words::ACTIONS, words::POLICY_CLAUSES];
        for known in begins.into_iter().flatten() {
            assert!(word(known).is_some(), "{known}");
        }
        for (told, _) in WORDS {
            assert!(words::is_known(told), "{told}");
        }
        let told: Vec<&str> = AGGREGATES.iter().map(|(word, ..)| *word).collect();
        assert_eq!(told, words::AGGREGATES);
    }

    #[test]
    fn a_snippet_without_its_placeholders_is_text() {
        assert_eq!(plain("count(${1:event}) by ${2:key}$0"), "count(event) by key");
        assert_eq!(plain("a ${1} b ${2:c"), "a  b c");
    }
}
