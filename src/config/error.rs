//! What can be wrong with a configuration, each with a stable code and a page `docs/errors/<CODE>.md`.

use thiserror::Error;

use crate::config::value::Origin;
use crate::config::variables;
use crate::diag::Code;

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{at}: {problem}", at = self.at)]
pub struct ConfigError {
    /// Where the wrong value came from.
    pub at: Origin,
    /// What is wrong.
    pub problem: Problem,
}

/// The kinds of mistakes.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The file could not be read.
    #[error("could not read the configuration file: {reason}")]
    Unreadable {
        /// What the operating system said.
        reason: String,
    },
    /// The file is not YAML, or has a key twice.
    #[error("this is not valid YAML: {reason}")]
    NotYaml {
        /// What the parser said.
        reason: String,
    },
    /// Nothing has this name.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The whole path of the key.
        key: String,
        /// The nearest known one.
        nearest: Option<String>,
    },
    /// A value of another type stands here.
    #[error("`{key}` expects {expected}, found {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What belongs here, with an example.
        expected: String,
        /// What stands here.
        found: String,
    },
    /// A text of the right type that cannot be read.
    #[error("`{key}` expects {expected}, found `{found}`")]
    BadValue {
        /// The key.
        key: String,
        /// What belongs here, with an example.
        expected: String,
        /// What stands here; `***` for secrets.
        found: String,
    },
    /// A key without default has no value.
    #[error("`{key}` is required and has no value")]
    Required {
        /// The key.
        key: String,
    },
    /// `${env:NAME}` names a variable that is not set.
    #[error("`{key}` refers to the environment variable `{name}`, which is not set")]
    MissingVariable {
        /// The key.
        key: String,
        /// The variable.
        name: String,
    },
    /// `${file:/path}` names a file that cannot be read.
    #[error("`{key}` refers to the file `{path}`, which could not be read: {reason}")]
    MissingFile {
        /// The key.
        key: String,
        /// The file.
        path: String,
        /// What the operating system said.
        reason: String,
    },
    /// A `${` that is not a reference of a known kind, or fills in several lines.
    #[error("`{key}` has a reference that cannot be filled in: {reason}")]
    BadReference {
        /// The key.
        key: String,
        /// Why not.
        reason: String,
    },
    /// A pass-through client setting that a typed key owns, or that would break a promise.
    #[error("`kafka.rdkafka` must not set `{name}`: {reason}")]
    ForbiddenClientSetting {
        /// The client's setting.
        name: String,
        /// What to use instead, or what would break.
        reason: String,
    },
    /// The file is of a version that this program does not read.
    #[error("version {found} of the configuration is not known, this program reads version 1")]
    Version {
        /// The version in the file.
        found: u64,
    },
    /// Two settings that cannot go together.
    #[error("{reason}")]
    Contradiction {
        /// Both keys and why they contradict.
        reason: String,
    },
    /// The setting needs something that this binary was built without.
    #[error("`{key}` needs {feature}, which this binary was built without")]
    NotBuiltIn {
        /// The key.
        key: String,
        /// What it needs.
        feature: String,
    },
    /// An environment variable that looks as if it set a key, and sets none.
    #[error("the environment variable `{name}` sets nothing")]
    MistakenVariable {
        /// The variable.
        name: String,
        /// The variable that was meant.
        nearest: String,
    },
}

impl Problem {
    /// The key whose value is at fault, when it is a value.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::WrongType { key, .. }
            | Self::BadValue { key, .. }
            | Self::Required { key }
            | Self::MissingVariable { key, .. }
            | Self::MissingFile { key, .. }
            | Self::BadReference { key, .. }
            | Self::NotBuiltIn { key, .. } => Some(key),
            _ => None,
        }
    }
}

impl ConfigError {
    /// An error at a place.
    pub fn new(at: Origin, problem: Problem) -> Self {
        Self { at, problem }
    }

    /// Whether all that is wrong is that a needed key is not set.
    pub fn is_lacking(&self) -> bool {
        matches!(self.problem, Problem::Required { .. })
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        Code(match self.problem {
            Problem::Unreadable { .. } => "C0001",
            Problem::NotYaml { .. } => "C0002",
            Problem::UnknownKey { .. } => "C0003",
            Problem::WrongType { .. } => "C0004",
            Problem::BadValue { .. } => "C0005",
            Problem::Required { .. } => "C0006",
            Problem::MissingVariable { .. } => "C0007",
            Problem::MissingFile { .. } => "C0008",
            Problem::BadReference { .. } => "C0009",
            Problem::ForbiddenClientSetting { .. } => "C0010",
            Problem::Version { .. } => "C0011",
            Problem::Contradiction { .. } => "C0012",
            Problem::NotBuiltIn { .. } => "C0013",
            Problem::MistakenVariable { .. } => "C0014",
        })
    }

    /// How to mend it, one sentence.
    pub fn help(&self) -> Option<String> {
        match &self.problem {
            Problem::UnknownKey { nearest: Some(nearest), .. } => {
                Some(format!("did you mean `{nearest}`?"))
            }
            Problem::UnknownKey { .. } => {
                Some("examples/riskweir.yaml lists every key with its default".to_owned())
            }
            Problem::Required { key } => {
                let variable = variables::name(key);
                Some(format!("set it in the file, by `{variable}` or by `--set {key}=...`"))
            }
            Problem::MissingVariable { name, .. } => {
                Some(format!("set `{name}`, or write `$${{env:{name}}}` to mean the text itself"))
            }
            Problem::NotBuiltIn { key, .. } if key == "snapshot.dir" => {
                Some("build with it, or name a folder of the file system".to_owned())
            }
            Problem::NotBuiltIn { key, .. } if key == "kafka.security.sasl.mechanism" => {
                Some("build with `--features kafka-oidc`".to_owned())
            }
            Problem::NotBuiltIn { key, .. } if key.starts_with("api.") => {
                Some("build with it, as the release builds are".to_owned())
            }
            Problem::NotBuiltIn { .. } => {
                Some("build with `--features secure`, as the release builds are".to_owned())
            }
            Problem::MistakenVariable { nearest, .. } => {
                Some(format!("did you mean `{nearest}`? two underscores stand between the parts"))
            }
            Problem::NotYaml { reason } if reason.contains("uplicate") => {
                Some("keep one of the two".to_owned())
            }
            _ => None,
        }
    }
}
