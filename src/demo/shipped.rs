//! The shipped rules as they were when the program was built, with the models that they name.

use crate::diag::{Binary, Source, Sources};

/// Path inside `rules/` and text, sorted by path.
const FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/shipped_rules.rs"));

/// Path from `rules/` and bytes of every artifact in `models/`, sorted by path.
const ARTIFACTS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/shipped_models.rs"));

/// The shipped rule folder, as the loader would read it.
pub fn sources() -> Sources {
    let source =
        |(path, text): &(&str, &str)| Source { path: (*path).to_owned(), text: (*text).to_owned() };
    let artifact =
        |(path, bytes): &(&str, &[u8])| Binary { path: (*path).to_owned(), bytes: (*bytes).into() };
    let mut sources = Sources::default();
    sources.files.extend(FILES.iter().map(source));
    sources.artifacts.extend(ARTIFACTS.iter().map(artifact));
    sources
}
