//! Why somebody asks for something: what people read before they approve, and auditors afterwards.

use crate::api::problem::{BAD_BODY, Problem};
use crate::base::text::is_invisible;

/// Longest reason.
const MAX_BYTES: usize = 1_000;

/// What nobody sees, as classes of patterns have it: what [`is_invisible`] names.
macro_rules! unseen {
    () => {
        "\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\u{e0000}-\u{e007f}"
    };
}

/// What [`check_reason`] takes, for documents: something that is seen, and nothing that is not.
pub(crate) const SEEN: &str =
    concat!("^[^", unseen!(), "]*[^\\s", unseen!(), "][^", unseen!(), "]*$");

/// A reason that says something and fits into a command.
///
/// # Errors
/// It does not, or has what a reader would not see.
pub(crate) fn check_reason(reason: &str) -> Result<(), Problem> {
    let wrong = |what: String| Err(Problem::new(BAD_BODY, what).with("member", "reason"));
    if reason.trim().is_empty() || reason.len() > MAX_BYTES {
        return wrong(format!("`reason` says something, in at most {MAX_BYTES} bytes"));
    }
    // WHY: a second person decides by what they see of it.
    match reason.chars().find(|c| is_invisible(*c)) {
        Some(c) => wrong(format!("`reason` has the invisible character U+{:04X}", u32::from(c))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_document_says_of_every_letter_whether_a_reason_may_have_it() {
        let schema =
            jsonschema::validator_for(&json!({"type": "string", "pattern": SEEN})).unwrap();
        for c in ('\0'..='\u{ffff}').chain('\u{e0000}'..='\u{e00ff}') {
            for text in [c.to_string(), format!("a{c}")] {
                let is_taken = check_reason(&text).is_ok();
                assert_eq!(schema.is_valid(&json!(text)), is_taken, "U+{:04X}", u32::from(c));
            }
        }
        assert!(check_reason("paid rent\nsee \u{645}\u{6cc}\u{200c}\u{62e}").is_ok());
    }

    #[test]
    fn what_would_not_be_seen_is_named() {
        for (text, what) in [
            ("\u{200b}", "U+200B"),
            ("paid\u{202e}tner", "U+202E"),
            ("a\u{e0041}", "U+E0041"),
            (" \n", "says something"),
        ] {
            let problem = check_reason(text).unwrap_err();
            assert!(problem.detail.contains(what), "{problem:?}");
        }
    }
}
