//! Any bytes as a configuration: the YAML file, after a NUL the environment as `NAME=VALUE` lines, after another the
//! flags as `key=value` lines. Mistakes are told, each with a code and a place; a secret is never shown.

use std::fs;

use riskweir::config::{ConfigError, Sources, load};

/// Set by the environment in every run, and never to be seen.
const SECRET: &str = "zx81-fuzzed-secret";
/// Longer files say nothing new.
const MAX_BYTES: usize = 64 << 10;

pub(crate) fn run(data: &[u8]) {
    // A file of the machine is none of the input, and who refers to a password by its variable may see it.
    let text = String::from_utf8_lossy(data);
    if data.len() > MAX_BYTES
        || [SECRET, "PASSWORD", "file:"].iter().any(|word| text.contains(word))
    {
        return;
    }
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("riskweir.yaml");
    fs::write(&path, parts.next().unwrap_or_default()).expect("a file");
    let mut sources = Sources { file: Some(path), ..Sources::default() };
    sources.env.push(("RISKWEIR__KAFKA__SECURITY__SASL__PASSWORD".to_owned(), SECRET.to_owned()));
    let pairs = |part: Option<&[u8]>| -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(part.unwrap_or_default()).into_owned();
        let pair = |line: &str| line.split_once('=').map(|(a, b)| (a.to_owned(), b.to_owned()));
        text.split('\n').filter_map(pair).collect()
    };
    sources.env.extend(pairs(parts.next()));
    let flags = pairs(parts.next()).into_iter();
    sources.flags.extend(flags.map(|(key, value)| ("--set".to_owned(), key, value)));
    let told = match load(&sources) {
        Ok(loaded) => {
            assert_eq!(loaded.resolved.digest(), loaded.resolved.clone().digest());
            let settings = loaded.resolved.iter();
            let shown: Vec<String> =
                settings.map(|(key, setting)| format!("{}={}", key.path, setting.value)).collect();
            format!("{loaded:?}{}", shown.join("\n"))
        }
        Err(errors) => {
            assert!(!errors.is_empty(), "a refusal has a reason");
            let line = |error: &ConfigError| {
                format!("{} {error} {}", error.code().0, error.help().unwrap_or_default())
            };
            errors.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    };
    assert!(!told.contains(SECRET), "the secret is shown: {told}");
}
