//! The environment variables that set keys: `RISKWEIR__SECTION__KEY`, and those that only look as if they did.

use crate::config::error::{ConfigError, Problem};
use crate::config::keys::{KEYS, Kind};
use crate::config::value::Origin;
use crate::diag::suggest;

/// How their names begin: two underscores, as there are between the parts of a key.
pub(crate) const PREFIX: &str = "RISKWEIR__";

/// How names begin that somebody may have meant so.
const LOOKALIKE: &str = "RISKWEIR_";

/// The variable that sets a key.
pub(crate) fn name(path: &str) -> String {
    format!("{PREFIX}{}", path.to_uppercase().replace('.', "__"))
}

/// The key that a variable means.
pub(crate) fn path(name: &str) -> String {
    name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase().replace("__", ".")
}

/// Variables that set nothing and, but for their underscores or a slip of the pen, would: each would be a setting that
/// somebody relies on and that does not hold.
pub(crate) fn mistaken(env: &[(String, String)]) -> Vec<ConfigError> {
    let mut names: Vec<&str> = env.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let refused = |name: &str| {
        let problem = Problem::MistakenVariable { name: name.to_owned(), nearest: meant(name)? };
        Some(ConfigError::new(Origin::Env(name.to_owned()), problem))
    };
    names.into_iter().filter_map(refused).collect()
}

/// Variables that begin as ours do and that nobody knows: told, not refused, because another program may read them.
pub(crate) fn unknown(env: &[(String, String)]) -> Vec<String> {
    let strange = |name: &&str| {
        let rest = name.strip_prefix(LOOKALIKE);
        rest.is_some_and(|rest| !is_service_link(rest)) && !name.starts_with(PREFIX)
    };
    let mut names: Vec<&str> = env.iter().map(|(name, _)| name.as_str()).filter(strange).collect();
    names.sort_unstable();
    names.into_iter().map(str::to_owned).collect()
}

/// The variable that a name which sets nothing was meant to be.
fn meant(variable: &str) -> Option<String> {
    let whole = variable.to_uppercase();
    let rest = whole.strip_prefix(LOOKALIKE)?;
    if variable.starts_with(PREFIX) || is_service_link(rest) {
        return None;
    }
    let squeezed = |text: &str| text.replace(['_', '.'], "").to_lowercase();
    let rest = squeezed(rest);
    let exactly = KEYS.iter().find(|key| squeezed(key.path) == rest).map(|key| name(key.path));
    let entry = || {
        let mut maps = KEYS.iter().filter(|key| key.kind == Kind::TextMap);
        maps.find(|key| rest.starts_with(&squeezed(key.path)))
            .map(|key| format!("{}__NAME", name(key.path)))
    };
    let near = || {
        let known: Vec<(String, &str)> =
            KEYS.iter().map(|key| (squeezed(key.path), key.path)).collect();
        let nearest = suggest::nearest(&rest, known.iter().map(|(text, _)| text.as_str()))?;
        known.iter().find(|(text, _)| text == nearest).map(|(_, path)| name(path))
    };
    exactly.or_else(entry).or_else(near)
}

/// Kubernetes sets such variables for every service in the namespace, so for one that is called `riskweir`.
///
/// # Source
/// Kubernetes, "Environment variables" of "Service": `{NAME}_SERVICE_HOST`, `{NAME}_SERVICE_PORT[_NAME]`, and Docker's
/// `{NAME}_PORT[_...]`.
fn is_service_link(rest: &str) -> bool {
    rest.starts_with("SERVICE_") || rest == "PORT" || rest.starts_with("PORT_")
}
