//! The registry of stable codes. A code is never reused; each has a page `docs/errors/<CODE>.md`.
//!
//! Ranges: `E00xx` characters and grammar, `E01xx` names, `E02xx` types and units, `E03xx` what happens when data is
//! missing, `E04xx` windows and aggregates, `E05xx` the shape of rules, policy, tests and schema, `E06xx` models,
//! `E09xx` parts of the language that are not supported yet; `W…` warnings in the same ranges, and `W05xx` analysis, `W06xx` state,
//! `W07xx` cost.

/// A stable code such as `E0101`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Code(pub &'static str);

/// One line of the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeInfo {
    /// The code.
    pub code: Code,
    /// What it is about, in a few words; also the title of its page.
    pub title: &'static str,
}

/// Looks a code up by its text, as in `E0101`.
pub fn find(code: &str) -> Option<CodeInfo> {
    REGISTRY.iter().copied().find(|info| info.code.0 == code)
}

macro_rules! registry {
    ($($name:ident $title:literal;)*) => {
        $(#[doc = $title] pub const $name: Code = Code(stringify!($name));)*

        /// All codes in ascending order.
        pub const REGISTRY: &[CodeInfo] = &[$(CodeInfo { code: $name, title: $title }),*];
    };
}

registry! {
    E0001 "a character that does not belong here";
    E0002 "a text without its closing quote";
    E0003 "an unknown escape in a text";
    E0004 "a number that cannot be read";
    E0005 "an unknown unit after a number";
    E0006 "no such date";
    E0007 "file too large";
    E0008 "too many mistakes in one file";
    E0009 "nested too deeply or too long";
    E0010 "unexpected word or sign";
    E0011 "a word of the language used as a name";
    E0012 "something outside of any rule, event or other item";
    E0013 "a value is expected";
    E0014 "comparisons in a chain";
    E0015 "a bracket that is never closed";
    E0016 "an incomplete aggregate or sequence";
    E0017 "the wrong kind of literal";
    E0018 "an operator of another language";
    E0019 "a duration finer than a millisecond";
    E0101 "unknown name or field";
    E0102 "unknown event";
    E0103 "unknown function";
    E0104 "name given twice";
    E0105 "unknown type";
    E0106 "unknown list";
    E0107 "a name that hides another";
    E0108 "a feature that this event cannot compute";
    E0109 "a feature defined by itself";
    E0110 "unknown template";
    E0111 "arguments that do not fit a template";
    E0201 "types that cannot be compared or combined";
    E0202 "wrong argument";
    E0203 "a condition that is not true or false";
    E0204 "not a member of this set";
    E0205 "units that do not fit";
    E0211 "money against a plain number";
    E0214 "two different entities";
    E0220 "mixed currencies";
    E0221 "an id or time that may be absent";
    E0230 "a pattern that cannot be read";
    E0231 "a literal that cannot be a value of this type";
    E0301 "a rule that stops or frees money can be undecided";
    E0302 "an allow rule without an end date";
    E0401 "unknown window or key of an aggregate";
    E0402 "a window that does not say whether it counts this event";
    E0403 "a window that is empty or too long";
    E0404 "an aggregate of a field of the wrong type";
    E0405 "a field of another event in an aggregate";
    E0406 "too many aggregates, filters or columns";
    E0407 "an aggregate beside a field of another step";
    E0408 "steps that make no sequence";
    E0409 "a window that leaves nothing to ask";
    E0420 "an aggregate that cannot look at a lifetime";
    E0421 "a window of too few or too many events";
    E0422 "a remembered feature that is not known yet";
    E0501 "a missing clause";
    E0502 "a clause given twice";
    E0503 "a live rule needs an id and an owner";
    E0504 "bands that overlap or leave the range";
    E0505 "a test of an unknown rule";
    E0506 "a sensitive field in a message";
    E0507 "an event in a test that does not fit its schema";
    E0508 "an event without id or time";
    E0509 "a JSON pointer that cannot be read";
    E0510 "the policy is missing or given twice";
    E0511 "a value out of its range";
    E0512 "a list file that cannot be used";
    E0513 "more than a rule set may hold";
    E0514 "events of one topic that cannot be told apart";
    E0515 "a score group with two caps";
    E0516 "a snooze of an unknown rule";
    E0517 "a snooze of a mandatory rule";
    E0518 "an event that costs more than the budget";
    E0519 "an id in a template";
    E0520 "labels that do not fit";
    E0521 "a field that reads what nobody may store";
    E0530 "a rate file that cannot be used";
    E0601 "unknown model";
    E0602 "what a model cannot be made of";
    E0603 "a model where it has no score";
    E0604 "an artifact of a model that cannot be used";
    E0605 "an artifact that was trained on other features";
    E0606 "a model that takes too long to score an event";
    E0907 "not yet supported: address look-ups";
    W0001 "`and` and `or` mixed without parentheses";
    W0002 "a comment that accepts nothing";
    W0101 "a type that looks misspelt";
    W0102 "a parameter of a template that is not used";
    W0103 "a list that nothing fills";
    W0104 "an answer that counts for everybody";
    W0201 "a day that stands for its first instant";
    W0202 "two ends between which nothing is";
    W0203 "a percentile below one";
    W0204 "amounts in any currency without exchange rates";
    W0301 "an alert or score rule can be undecided";
    W0501 "a rule that never hits";
    W0502 "a condition that is never false";
    W0503 "a rule that another one covers";
    W0504 "an allow that swallows a rule";
    W0505 "an exemption that never applies";
    W0507 "a rule that never hits, by what windows hold";
    W0516 "a review that is due";
    W0517 "a snooze that has ended";
    W0518 "a rule past its last day";
    W0519 "a snooze that another one outlasts";
    W0520 "a hold that is longer than any rail leaves";
    W0601 "a filter on one side of a comparison only";
    W0602 "a changed filter, so its state begins empty";
    W0603 "state that is never forgotten";
    W0604 "a value compared with an average that includes it";
    W0605 "a bound that no score of a model comes to";
    W0606 "a frozen model that nothing has taught";
    W0607 "a field that a model was trained on from elsewhere";
    W0608 "a value compared with itself";
    W0609 "a comparison with a history that may be empty";
    W0610 "what two parties of an event did, compared";
    W0611 "a sum compared with what may be known of one event";
    W0701 "more state than the policy gives";
}

/// Codes that were given once and never will be again, with what they said.
pub const RETIRED: &[&str] = &[
    "E0901 not yet supported: sequence",
    "E0902 not yet supported: template and use",
    "E0903 not yet supported: canary",
    "E0904 not yet supported: calendar windows",
    "E0905 not yet supported: percentile and median",
    "E0906 not yet supported: lifetime",
    "W0901 a clause without effect yet: approvals",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retired_code_is_not_given_another_meaning() {
        let code = |retired: &str| retired.split(' ').next().and_then(find);
        assert!(RETIRED.iter().all(|retired| code(retired).is_none()));
    }

    #[test]
    fn codes_are_ascending_and_therefore_unique() {
        assert!(REGISTRY.windows(2).all(|pair| pair[0].code < pair[1].code));
    }

    #[test]
    fn a_code_is_found_by_its_text() {
        assert_eq!(find("E0402").map(|info| info.code), Some(E0402));
        assert_eq!(find("E9999"), None);
    }
}
