//! References in string leaves: `${env:NAME}` and `${file:/path}`; `$${` is the text `${`.

use std::path::Path;

use crate::config::error::Problem;
use crate::config::layers::read_bounded;

/// Fills in the references of one text.
///
/// # Errors
/// A missing variable or file, an unknown kind of reference, a value of several lines.
pub(crate) fn fill(key: &str, text: &str, env: &[(String, String)]) -> Result<String, Problem> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        if let Some(after) = from.strip_prefix("$${") {
            filled.push_str("${");
            rest = after;
        } else if let Some(after) = from.strip_prefix("${") {
            let Some((reference, tail)) = after.split_once('}') else {
                return Err(bad(key, "a `${` has no `}`; write `$${` to mean the text itself"));
            };
            filled.push_str(&look_up(key, reference, env)?);
            rest = tail;
        } else {
            filled.push('$');
            rest = from.strip_prefix('$').unwrap_or_default();
        }
    }
    filled.push_str(rest);
    Ok(filled)
}

fn look_up(key: &str, reference: &str, env: &[(String, String)]) -> Result<String, Problem> {
    let value = match reference.split_once(':') {
        Some(("env", name)) => match env.iter().find(|(known, _)| known == name) {
            Some((_, value)) => value.clone(),
            None => {
                return Err(Problem::MissingVariable {
                    key: key.to_owned(),
                    name: name.to_owned(),
                });
            }
        },
        Some(("file", path)) => match read_bounded(Path::new(path)) {
            // WHY: files of secrets end with a newline more often than not.
            Ok(content) => content.trim_end_matches(['\r', '\n']).to_owned(),
            Err(error) => {
                let (key, path, reason) = (key.to_owned(), path.to_owned(), error.to_string());
                return Err(Problem::MissingFile { key, path, reason });
            }
        },
        _ => return Err(bad(key, "only `${env:NAME}` and `${file:/path}` are known")),
    };
    if value.contains(['\n', '\r']) {
        return Err(bad(key, "the value has more than one line"));
    }
    Ok(value)
}

fn bad(key: &str, reason: &str) -> Problem {
    Problem::BadReference { key: key.to_owned(), reason: reason.to_owned() }
}
