//! Values of settings and where they came from.

use core::fmt;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::secret::Secret;
use crate::config::units;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A place in the configuration file; line and column count from 1.
    File {
        /// The path as the operator gave it.
        path: String,
        /// Line.
        line: usize,
        /// Column.
        column: usize,
    },
    /// An environment variable.
    Env(String),
    /// A flag of the command line.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// A checked value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The key is optional and nobody set it.
    Unset,
    /// Text, a path or one of a closed set of words.
    Text(String),
    /// A text that is never shown.
    Secret(Secret),
    /// A length of time.
    Duration(Duration),
    /// A number of bytes.
    Size(u64),
    /// So many per length of time.
    Rate(Rate),
    /// A count of things.
    Count(u64),
    /// Texts in order.
    List(Vec<String>),
    /// Names with texts, each with its origin.
    Map(BTreeMap<String, (String, Origin)>),
}

/// So many per length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// In which time.
    pub per: Duration,
}

impl fmt::Display for Value {
    /// The value as the configuration file would write it; secrets as `***`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("(unset)"),
            Self::Text(text) => f.write_str(text),
            Self::Secret(secret) => secret.fmt(f),
            Self::Duration(duration) => f.write_str(&units::show_duration(*duration)),
            Self::Size(bytes) => f.write_str(&units::show_size(*bytes)),
            Self::Rate(rate) => f.write_str(&units::show_rate(*rate)),
            Self::Count(count) => count.fmt(f),
            Self::List(items) => write!(f, "[{}]", items.join(", ")),
            Self::Map(entries) => {
                let shown: Vec<String> =
                    entries.iter().map(|(name, (text, _))| show_entry(name, text)).collect();
                write!(f, "{{{}}}", shown.join(", "))
            }
        }
    }
}

fn show_entry(name: &str, text: &str) -> String {
    if is_secret_name(name) { format!("{name}: ***") } else { format!("{name}: {text}") }
}

/// Whether a client setting of this name holds something that must not be shown.
pub(crate) fn is_secret_name(name: &str) -> bool {
    ["password", "secret", "pem", "token", "oauthbearer.config", "jaas"]
        .iter()
        .any(|part| name.contains(part))
}
