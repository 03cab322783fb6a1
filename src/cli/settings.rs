//! What commands share that read a configuration: the flags, loading, showing what is wrong.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::{Console, Failure, Format};
use crate::config::{self, ConfigError, Loaded, Sources};
use crate::telemetry::http;

/// An address where nobody asks for anything.
const NO_BROKER: &str = "127.0.0.1:9092";

/// The key of the token of metrics.
const TOKEN_FILE: &str = "http.token_file";

/// Where the configuration comes from.
#[derive(Args, Debug, Clone)]
pub struct Settings {
    /// Configuration file (YAML); without it the defaults, the environment and the flags.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set one key over the file and the environment; may be given several times.
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
    /// Folder of the rule files, the same as `--set rules.path=DIR`.
    #[arg(long, value_name = "DIR")]
    rules: Option<String>,
    /// Addresses of the brokers, the same as `--set kafka.brokers=A,B`.
    #[arg(long, value_name = "ADDRESSES")]
    brokers: Option<String>,
    /// Address of metrics and health, the same as `--set http.listen=ADDRESS`.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<String>,
    /// Go on when records that the newest snapshot lacks are gone, the same as `--set recovery.on_gap=accept`.
    #[arg(long)]
    accept_gap: bool,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write `section.key=value`".to_owned()),
    }
}

impl Settings {
    /// Reads the configuration. Shows what is wrong, and nothing else; `None` when something is.
    pub fn load(&self, console: &Console) -> Option<Loaded> {
        match config::load(&self.sources()) {
            Ok(loaded) => {
                for name in loaded.unknown_variables.iter().filter(|_| !console.is_quiet()) {
                    console.message(&format!(
                        "warning: the environment variable `{name}` sets nothing; a key is set by a name such as `RISKWEIR__KAFKA__GROUP_ID`"
                    ));
                }
                Some(loaded)
            }
            Err(errors) => {
                show(&errors, console);
                None
            }
        }
    }

    /// The same for whoever talks to no broker: that none is named is no matter then.
    pub(crate) fn load_offline(&self, console: &Console) -> Option<Loaded> {
        let lacks_brokers = |errors: &[ConfigError]| errors.iter().all(ConfigError::is_lacking);
        let without = self.brokers.is_none()
            && config::load(&self.sources()).is_err_and(|it| lacks_brokers(&it));
        let brokers = without.then(|| NO_BROKER.to_owned()).or_else(|| self.brokers.clone());
        Self { brokers, ..self.clone() }.load(console)
    }

    /// The address of metrics and health of a running service, and the token that it asks for. With an address on the command
    /// line nothing else of a configuration is needed. `None`: something is wrong with it, which was shown.
    ///
    /// # Errors
    /// The address is none, or the token cannot be read.
    pub(crate) fn service(
        &self,
        console: &Console,
    ) -> Result<Option<(SocketAddr, Option<String>)>, Failure> {
        let (address, file) = if let Some(text) = &self.http {
            let address = text.parse().map_err(|_| {
                Failure::invalid(format!("--http: `{text}` is no address such as `127.0.0.1:9464`"))
            })?;
            let mut named = self.set.iter().filter(|(key, _)| key == TOKEN_FILE);
            (address, named.next_back().map(|(_, file)| PathBuf::from(file)))
        } else {
            let Some(loaded) = self.load(console) else { return Ok(None) };
            (loaded.config.http.listen, loaded.config.http.token)
        };
        let token = file.as_deref().map(http::text_of).transpose().map_err(Failure::invalid)?;
        Ok(Some((address, token)))
    }

    fn sources(&self) -> Sources {
        let named = [
            ("--rules", "rules.path", &self.rules),
            ("--brokers", "kafka.brokers", &self.brokers),
            ("--http", "http.listen", &self.http),
        ];
        let mut flags: Vec<(String, String, String)> = self
            .set
            .iter()
            .map(|(key, value)| ("--set".to_owned(), key.clone(), value.clone()))
            .collect();
        flags.extend(named.into_iter().filter_map(|(flag, key, value)| {
            Some((flag.to_owned(), key.to_owned(), value.clone()?))
        }));
        if self.accept_gap {
            let (flag, key, value) = ("--accept-gap", "recovery.on_gap", "accept");
            flags.push((flag.to_owned(), key.to_owned(), value.to_owned()));
        }
        Sources { file: self.config.clone(), env: environment(), flags }
    }
}

/// The environment variables.
pub(crate) fn environment() -> Vec<(String, String)> {
    // WHY: names and values that are not UTF-8 cannot be ours and cannot be referred to.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Shows what is wrong with a configuration: text as messages, JSON as data.
pub fn show(errors: &[ConfigError], console: &Console) {
    for error in errors {
        let (code, help) = (error.code().0, error.help());
        match console.format {
            Format::Json => {
                let line = json!({
                    "code": code,
                    "severity": "error",
                    "message": error.problem.to_string(),
                    "at": error.at.to_string(),
                    "help": help,
                    "page": format!("docs/errors/{code}.md"),
                });
                console.data(&format!("{line}\n"));
            }
            Format::Text => {
                console.problem(
                    code,
                    &error.problem.to_string(),
                    Some(&error.at.to_string()),
                    help.as_deref(),
                );
            }
        }
    }
}
