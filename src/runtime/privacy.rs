//! What keeps payment data from whom it does not concern: keys of tokens, read from their files, and names of members that are
//! never stored; both given to rule sets.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::base::token::MIN_KEY_BYTES;
use crate::base::{NeverStore, Privacy, TokenKey};
use crate::config::Config;
use crate::rules::program::Program;

/// Reads the keys that the configuration names, and takes its names of members.
///
/// # Errors
/// A file cannot be read, or holds too little for a key.
pub fn privacy(config: &Config) -> Result<Privacy, String> {
    let read = |file: &Option<std::path::PathBuf>| file.as_deref().map(token_key).transpose();
    let names = config.never_store.as_ref();
    let names = names.map(|names| NeverStore::new(names.iter().map(String::as_str)));
    Ok(Privacy {
        current: read(&config.tokens.key_file)?,
        previous: read(&config.tokens.previous_key_file)?,
        never_store: Arc::new(names.unwrap_or_default()),
    })
}

/// Reads one key.
///
/// # Errors
/// The file cannot be read, or holds too little.
pub fn token_key(file: &Path) -> Result<TokenKey, String> {
    let shown = file.display();
    let bytes = fs::read(file)
        .map_err(|error| format!("could not read the key of tokens `{shown}`: {error}"))?;
    let secret = bytes.trim_ascii();
    TokenKey::new(secret).ok_or_else(|| {
        format!(
            "`{shown}` is no key of tokens: it holds {} bytes, at least {MIN_KEY_BYTES} are needed; `openssl rand -hex 32` makes one",
            secret.len()
        )
    })
}

/// A rule set with the key of its tokens, that stores nothing that is never stored.
///
/// # Errors
/// It has tokenized fields, and there is no key; or a field reads what is never stored.
pub fn kept_private(program: Arc<Program>, privacy: &Privacy) -> Result<Arc<Program>, String> {
    let names = &privacy.never_store;
    if let Some((field, member)) = program.schema.reads_any(names) {
        return Err(format!(
            "`{field}` reads `{member}`, whose values are never stored: take the field out of the rules, or, where the member is something else, `{member}` out of `privacy.never_store` (E0521)"
        ));
    }
    let program = Arc::unwrap_or_clone(program).never_storing(names);
    match (program.schema.tokenized_field(), &privacy.current) {
        (None, _) => Ok(Arc::new(program)),
        (Some(_), Some(key)) => Ok(Arc::new(program.keyed(key))),
        (Some(field), None) => Err(format!(
            "`{field}` is tokenized and `tokens.key_file` names no key: `openssl rand -hex 32 > FILE` makes one"
        )),
    }
}
