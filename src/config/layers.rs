//! Layers: defaults, file, environment, flags; later ones win, each value keeps its origin.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::net::Ipv6Addr;
use std::path::Path;

use crate::base::Digest;
use crate::config::Sources;
use crate::config::error::{ConfigError, Problem};
use crate::config::interpolate;
use crate::config::keys::{self, Fallback, KEYS, Key, Kind};
use crate::config::pass_through;
use crate::config::secret::Secret;
use crate::config::units;
use crate::config::value::{Origin, Value};
use crate::config::variables;
use crate::config::yaml::{self, Raw};

/// Most bytes of a configuration file, or of a file that a value comes from.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// A value with its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Who set it.
    pub origin: Origin,
}

/// Every key with its value and origin.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    settings: BTreeMap<&'static str, Setting>,
}

impl Resolved {
    /// The setting of a key of the table.
    pub fn get(&self, path: &str) -> Option<&Setting> {
        self.settings.get(path)
    }

    /// All settings in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Key, &Setting)> {
        KEYS.iter().filter_map(|key| self.settings.get(key.path).map(|setting| (key, setting)))
    }

    /// A digest over every value that may change a decision or its delivery; secrets do not count.
    pub fn digest(&self) -> Digest {
        let lines: Vec<String> =
            self.iter().map(|(key, setting)| format!("{}={}", key.path, setting.value)).collect();
        let parts: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        Digest::of_parts(&parts)
    }
}

/// Reads and merges all layers. What is wrong goes to `errors`.
pub(crate) fn resolve(sources: &Sources, errors: &mut Vec<ConfigError>) -> Resolved {
    let mut resolved = Resolved::default();
    for key in KEYS {
        let value = match key.fallback {
            Fallback::Value(text) => {
                parse_text(key, text, &Origin::Default).unwrap_or(Value::Unset)
            }
            Fallback::Required(_) | Fallback::Unset(_) => Value::Unset,
        };
        resolved.settings.insert(key.path, Setting { value, origin: Origin::Default });
    }
    file_layer(sources, &mut resolved, errors);
    let readable = !errors
        .iter()
        .any(|error| matches!(error.problem, Problem::NotYaml { .. } | Problem::Unreadable { .. }));
    env_layer(sources, &mut resolved, errors);
    flag_layer(sources, &mut resolved, errors);
    for (key, setting) in resolved.iter().filter(|_| readable) {
        // WHY: a value that could not be read is told already; "has no value" would only confuse.
        let told = errors.iter().any(|error| error.problem.key() == Some(key.path));
        if matches!(key.fallback, Fallback::Required(_)) && setting.value == Value::Unset && !told {
            let problem = Problem::Required { key: key.path.to_owned() };
            errors.push(ConfigError::new(whole_file(sources), problem));
        }
    }
    resolved
}

/// Reads a file of the configuration, which is small.
///
/// # Errors
/// As the file system says; also for a file that is no UTF-8, or larger than [`MAX_FILE_BYTES`].
pub(crate) fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let n = fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if n as u64 > MAX_FILE_BYTES {
        let reason = format!("it is larger than {} KiB", MAX_FILE_BYTES >> 10);
        return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    }
    Ok(text)
}

fn whole_file(sources: &Sources) -> Origin {
    sources.file.as_ref().map_or(Origin::Default, |path| Origin::File {
        path: path.display().to_string(),
        line: 1,
        column: 1,
    })
}

fn file_layer(sources: &Sources, resolved: &mut Resolved, errors: &mut Vec<ConfigError>) {
    let Some(path) = &sources.file else { return };
    let text = match read_bounded(path) {
        Ok(text) => text,
        Err(error) => {
            let problem = Problem::Unreadable { reason: error.to_string() };
            errors.push(ConfigError::new(whole_file(sources), problem));
            return;
        }
    };
    for leaf in yaml::leaves(&path.display().to_string(), &text, errors) {
        let Some(key) = keys::find(&leaf.path) else { continue };
        let outcome = fill_raw(key.path, leaf.raw, &sources.env)
            .and_then(|raw| parse_raw(key, raw, &leaf.origin));
        resolved.put(key, outcome, leaf.origin, errors);
    }
}

fn env_layer(sources: &Sources, resolved: &mut Resolved, errors: &mut Vec<ConfigError>) {
    let mut variables: Vec<&(String, String)> =
        sources.env.iter().filter(|(name, _)| name.starts_with(variables::PREFIX)).collect();
    variables.sort();
    for (name, text) in variables {
        let origin = Origin::Env(name.clone());
        set_from_text(&variables::path(name), text, origin, sources, (resolved, errors));
    }
    errors.extend(variables::mistaken(&sources.env));
}

fn flag_layer(sources: &Sources, resolved: &mut Resolved, errors: &mut Vec<ConfigError>) {
    for (flag, path, text) in &sources.flags {
        set_from_text(path, text, Origin::Flag(flag.clone()), sources, (resolved, errors));
    }
}

/// Sets a key, or one entry of a map key, from a text outside the file. As in the file, the text is parsed first and
/// references are filled in afterwards, so no value can make two items of one.
fn set_from_text(
    path: &str,
    text: &str,
    origin: Origin,
    sources: &Sources,
    (resolved, errors): (&mut Resolved, &mut Vec<ConfigError>),
) {
    if let Some(key) = keys::find(path) {
        let outcome = one_line(path, text)
            .and_then(|text| fill_raw(path, raw_of(key, text), &sources.env))
            .and_then(|raw| parse_raw(key, raw, &origin));
        resolved.put(key, outcome, origin, errors);
        return;
    }
    let map_key = KEYS.iter().filter(|key| key.kind == Kind::TextMap).find_map(|key| {
        path.strip_prefix(key.path).and_then(|rest| rest.strip_prefix('.')).map(|name| (key, name))
    });
    let Some((key, name)) = map_key else {
        errors.push(yaml::unknown_key(path.to_owned(), origin));
        return;
    };
    // WHY: a variable's name cannot hold the dots of `fetch.min.bytes`, and no setting of librdkafka that may be
    // passed through has an underscore.
    let name = name.replace('_', ".");
    let filled = one_line(path, text)
        .and_then(|text| interpolate::fill(path, text, &sources.env))
        .and_then(|text| pass_through::check(&name, &text).map(|()| text));
    match filled {
        Err(problem) => errors.push(ConfigError::new(origin, problem)),
        Ok(text) => {
            if let Some(Setting { value: Value::Map(entries), .. }) =
                resolved.settings.get_mut(key.path)
            {
                entries.insert(name, (text, origin));
            }
        }
    }
}

fn one_line<'a>(path: &str, text: &'a str) -> Result<&'a str, Problem> {
    if text.contains(['\n', '\r']) {
        let reason = "the value has more than one line".to_owned();
        return Err(Problem::BadReference { key: path.to_owned(), reason });
    }
    Ok(text)
}

/// The structure of a text outside the file: items of lists stand between commas, maybe in brackets.
fn raw_of(key: &Key, text: &str) -> Raw {
    if !matches!(key.kind, Kind::TopicList | Kind::NameList | Kind::AddressList) {
        return Raw::Text(text.to_owned());
    }
    let text = text.trim();
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let items = inner.split(',').map(str::trim).filter(|item| !item.is_empty());
    Raw::List(items.map(|item| Raw::Text(item.to_owned())).collect())
}

impl Resolved {
    fn put(
        &mut self,
        key: &Key,
        outcome: Result<Value, Problem>,
        origin: Origin,
        errors: &mut Vec<ConfigError>,
    ) {
        match outcome {
            Ok(value) => {
                if let Some(setting) = self.settings.get_mut(key.path) {
                    *setting = Setting { value, origin };
                }
            }
            Err(problem) => errors.push(ConfigError::new(origin, problem)),
        }
    }
}

fn fill_raw(key: &str, raw: Raw, env: &[(String, String)]) -> Result<Raw, Problem> {
    Ok(match raw {
        Raw::Text(text) => Raw::Text(interpolate::fill(key, &text, env)?),
        Raw::List(items) => Raw::List(
            items.into_iter().map(|item| fill_raw(key, item, env)).collect::<Result<_, _>>()?,
        ),
        Raw::Map(entries) => Raw::Map(
            entries
                .into_iter()
                .map(|(name, raw, at)| Ok((name, fill_raw(key, raw, env)?, at)))
                .collect::<Result<_, Problem>>()?,
        ),
        other => other,
    })
}

fn parse_raw(key: &Key, raw: Raw, origin: &Origin) -> Result<Value, Problem> {
    match (key.kind, raw) {
        (Kind::TopicList | Kind::NameList | Kind::AddressList, Raw::List(items)) => {
            let texts = items.into_iter().map(|item| match item {
                Raw::Text(text) if is_item(key.kind, &text) => Ok(text),
                Raw::Text(text) => Err(bad_value(key, &text)),
                other => Err(wrong_type(key, &other)),
            });
            match texts.collect::<Result<Vec<String>, Problem>>()? {
                none if none.is_empty() => Err(bad_value(key, "[]")),
                items => Ok(Value::List(items)),
            }
        }
        (Kind::TextMap, Raw::Map(entries)) => {
            let mut map = BTreeMap::new();
            for (name, raw, at) in entries {
                let text = match raw {
                    Raw::Text(text) => text,
                    Raw::Int(number) => number.to_string(),
                    Raw::Float(number) => number.to_string(),
                    Raw::Bool(flag) => flag.to_string(),
                    other => return Err(wrong_type(key, &other)),
                };
                pass_through::check(&name, &text)?;
                map.insert(name, (text, at));
            }
            Ok(Value::Map(map))
        }
        (Kind::Count(..), Raw::Int(number)) => parse_text(key, &number.to_string(), origin),
        (Kind::TopicList | Kind::NameList | Kind::AddressList | Kind::TextMap, other) => {
            Err(wrong_type(key, &other))
        }
        (_, Raw::Text(text)) => parse_text(key, &text, origin),
        (_, other) => Err(wrong_type(key, &other)),
    }
}

fn parse_text(key: &Key, text: &str, origin: &Origin) -> Result<Value, Problem> {
    let value = match key.kind {
        Kind::Text | Kind::Path => Some(text)
            .filter(|text| !text.trim().is_empty())
            .map(|text| Value::Text(text.to_owned())),
        Kind::Secret => {
            Some(text).filter(|text| !text.is_empty()).map(|t| Value::Secret(Secret::new(t)))
        }
        Kind::Duration(least, most) => {
            return bounded(key, text, units::duration, (least, most)).map(Value::Duration);
        }
        Kind::Size(least, most) => {
            return bounded(key, text, units::size, (least, most)).map(Value::Size);
        }
        Kind::Rate => units::rate(text).filter(|rate| rate.count > 0).map(Value::Rate),
        Kind::Count(least, most) => {
            let count = text.trim().parse().ok();
            count.filter(|count| (least..=most).contains(count)).map(Value::Count)
        }
        Kind::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
        Kind::Topic => is_topic(text).then(|| Value::Text(text.to_owned())),
        Kind::TextMap if *origin == Origin::Default => Some(Value::Map(BTreeMap::new())),
        Kind::TopicList | Kind::NameList | Kind::AddressList | Kind::TextMap => None,
    };
    value.ok_or_else(|| bad_value(key, text))
}

/// Reads a number with its unit and holds it to the least and the most of its key.
fn bounded<T: PartialOrd>(
    key: &Key,
    text: &str,
    read: impl Fn(&str) -> Option<T>,
    (least, most): (&str, &str),
) -> Result<T, Problem> {
    let value = read(text).ok_or_else(|| bad_value(key, text))?;
    let within = read(least).is_some_and(|least| least <= value)
        && read(most).is_some_and(|most| value <= most);
    within.then_some(value).ok_or_else(|| Problem::BadValue {
        key: key.path.to_owned(),
        expected: key.kind.range(),
        found: text.to_owned(),
    })
}

fn is_item(kind: Kind, text: &str) -> bool {
    if kind == Kind::AddressList { is_address(text) } else { is_topic(text) }
}

/// Whether Kafka takes this as the name of a topic.
///
/// # Source
/// `org.apache.kafka.common.internals.Topic`: `[a-zA-Z0-9._-]`, at most 249, neither `.` nor `..`.
pub(crate) fn is_topic(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=249).contains(&text.len()) && text.chars().all(plain) && text != "." && text != ".."
}

/// Whether this is a host with a port: a name, an IPv4 address, or an IPv6 address in brackets.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let named = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_');
    let host_is_good = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(named),
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    host_is_good && digits && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn wrong_type(key: &Key, found: &Raw) -> Problem {
    let (expected, found) = (key.kind.expectation(), found.describe().to_owned());
    Problem::WrongType { key: key.path.to_owned(), expected, found }
}

fn bad_value(key: &Key, text: &str) -> Problem {
    let found = if key.kind == Kind::Secret { "***".to_owned() } else { text.to_owned() };
    Problem::BadValue { key: key.path.to_owned(), expected: key.kind.expectation(), found }
}
