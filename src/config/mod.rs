//! Configuration: one YAML file, environment and flags become one [`Config`] whose every value knows its origin.
//!
//! Layers, later ones win: the defaults of [`keys::KEYS`], the file, `RISKWEIR__SECTION__KEY` variables, flags. Lists
//! are replaced, never merged. Every layer is parsed first; `${env:NAME}` and `${file:/path}` are filled in afterwards and
//! inside string leaves only, so no value can change the structure, and a variable or a flag means what the same text
//! means in the file. Everything wrong is collected and told at once.
//!
//! [`keys::KEYS`] is the only list of keys: parsing, defaults, suggestions and the commented example come from it.
//! Start reading at [`load`].

mod api;
pub mod error;
pub mod example;
mod interpolate;
pub mod keys;
mod layers;
mod pass_through;
pub mod secret;
mod typed;
pub(crate) mod units;
mod value;
mod variables;
mod yaml;

use std::path::PathBuf;

pub use api::{Api, ApiJwt, ApiTls, FOR_TWO, JwtKeys};
pub use error::ConfigError;
pub(crate) use layers::is_topic;
pub use layers::{Resolved, Setting};
pub use secret::Secret;
pub use typed::{
    Activation, Audit, Config, Delivery, DeliveryMode, Http, Kafka, Limits, Log, LogFormat,
    Recovery, Rules, Sasl, Security, Snapshot, State, Time, Tls, Topics,
};
pub(crate) use units::duration;
pub use value::{Origin, Rate as RateLimit, Value};

/// Where the layers above the defaults come from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The configuration file, if any.
    pub file: Option<PathBuf>,
    /// Environment variables: name and value.
    pub env: Vec<(String, String)>,
    /// Flags: the flag as the operator wrote it, the key it sets, the value.
    pub flags: Vec<(String, String, String)>,
}

/// A configuration and where it came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The typed configuration.
    pub config: Config,
    /// Every key with its value and origin.
    pub resolved: Resolved,
    /// Environment variables whose names begin like ours and that set nothing.
    pub unknown_variables: Vec<String>,
}

/// Reads all layers and checks them together.
///
/// # Errors
/// Everything that is wrong, in the order of the layers.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let resolved = layers::resolve(sources, &mut errors);
    let config = typed::build(&resolved, &mut errors);
    match config {
        Some(config) if errors.is_empty() => {
            let unknown_variables = variables::unknown(&sources.env);
            Ok(Loaded { config, resolved, unknown_variables })
        }
        _ => Err(errors),
    }
}

#[cfg(test)]
mod tests;
