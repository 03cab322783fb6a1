//! The shipped rules as they were when the program was built.

use crate::diag::{Source, Sources};

/// Path inside `rules/` and text, sorted by path.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped_rules.rs"));

/// The shipped rule folder, as the loader would read it.
pub fn sources() -> Sources {
    let source =
        |(path, text): &(&str, &str)| Source { path: (*path).to_owned(), text: (*text).to_owned() };
    let mut sources = Sources::default();
    sources.files.extend(FILES.iter().map(source));
    sources
}
