//! The keys of tokens: read from their files, and given to rule sets.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use crate::base::token::MIN_KEY_BYTES;
use crate::base::{TokenKey, TokenKeys};
use crate::config::Config;
use crate::rules::program::Program;

/// Reads the keys that the configuration names.
///
/// # Errors
/// A file cannot be read, or holds too little for a key.
pub fn token_keys(config: &Config) -> Result<TokenKeys, String> {
    let read = |file: &Option<std::path::PathBuf>| file.as_deref().map(token_key).transpose();
    Ok(TokenKeys {
        current: read(&config.tokens.key_file)?,
        previous: read(&config.tokens.previous_key_file)?,
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

/// A rule set with the key of its tokens.
///
/// # Errors
/// It has tokenized fields, and there is no key.
pub fn keyed(program: Arc<Program>, keys: &TokenKeys) -> Result<Arc<Program>, String> {
    match (program.schema.tokenized_field(), &keys.current) {
        (None, _) => Ok(program),
        (Some(_), Some(key)) => Ok(Arc::new(Arc::unwrap_or_clone(program).keyed(key))),
        (Some(field), None) => Err(format!(
            "`{field}` is tokenized and `tokens.key_file` names no key: `openssl rand -hex 32 > FILE` makes one"
        )),
    }
}
