//! The file layer: YAML text to leaves with their places. Knows the table of keys, not what the values mean.

use saphyr::{AnnotatedMapping, LoadableYamlNode as _, MarkedYaml, Marker, Scalar, YamlData};
use saphyr_parser::{Event, Parser};

use crate::config::error::{ConfigError, Problem};
use crate::config::keys::{self, Kind};
use crate::config::value::Origin;
use crate::diag::suggest;

/// Deepest nesting of sections and lists. No key lies deeper than four sections.
const MAX_DEPTH: u32 = 16;

/// A value as it stands in a layer, not yet checked against its key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    /// A text, quoted or not.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number with a fraction.
    Float(f64),
    /// `true` or `false`.
    Bool(bool),
    /// Nothing after the colon.
    Null,
    /// A sequence.
    List(Vec<Raw>),
    /// A mapping.
    Map(Vec<(String, Raw, Origin)>),
    /// A custom tag or something else that has no place here.
    Strange,
}

impl Raw {
    /// What it is, for "found …"; never the value, which may be a secret.
    pub(crate) fn describe(&self) -> &'static str {
        match self {
            Self::Text(_) => "a text",
            Self::Int(_) => "a number without a unit",
            Self::Float(_) => "a number with a fraction",
            Self::Bool(_) => "true or false",
            Self::Null => "nothing",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
            Self::Strange => "a value with a YAML tag",
        }
    }
}

/// One key of the table with the value that the file gives it.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// The key's path.
    pub(crate) path: String,
    /// The value.
    pub(crate) raw: Raw,
    /// Its place.
    pub(crate) origin: Origin,
}

type Mapping<'a> = AnnotatedMapping<'a, MarkedYaml<'a>>;

/// Reads a file's text. Mistakes go to `errors`, the leaves that could be read come back.
pub(crate) fn leaves(path: &str, text: &str, errors: &mut Vec<ConfigError>) -> Vec<Leaf> {
    let mut walk = Walk { path, errors, leaves: Vec::new() };
    if let Some(at) = too_deep(text) {
        let reason = format!("it is nested deeper than {MAX_DEPTH} levels");
        let at = walk.origin(&at);
        walk.errors.push(ConfigError::new(at, Problem::NotYaml { reason }));
        return walk.leaves;
    }
    match MarkedYaml::load_from_str(text) {
        Err(error) => {
            let reason = error.info().to_owned();
            let at = walk.origin(error.marker());
            walk.errors.push(ConfigError::new(at, Problem::NotYaml { reason }));
        }
        Ok(documents) => match documents.as_slice() {
            [] => {}
            [document] => walk.root(document),
            [_, second, ..] => {
                let reason = "there is more than one document".to_owned();
                let at = walk.origin(&second.span.start);
                walk.errors.push(ConfigError::new(at, Problem::NotYaml { reason }));
            }
        },
    }
    walk.leaves
}

/// Where the nesting passes its bound. What is not YAML is for the loader to tell.
///
/// WHY: the loader calls itself for each level, so a hostile file would end the process for lack of stack; the events
/// before it are read in a loop.
fn too_deep(text: &str) -> Option<Marker> {
    let mut depth = 0_u32;
    for event in Parser::new_from_str(text) {
        match event.ok()? {
            (Event::SequenceStart(..) | Event::MappingStart(..), span) => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Some(span.start);
                }
            }
            (Event::SequenceEnd | Event::MappingEnd, _) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

struct Walk<'a> {
    path: &'a str,
    errors: &'a mut Vec<ConfigError>,
    leaves: Vec<Leaf>,
}

impl Walk<'_> {
    fn origin(&self, at: &Marker) -> Origin {
        Origin::File { path: self.path.to_owned(), line: at.line(), column: at.col() + 1 }
    }

    fn root(&mut self, document: &MarkedYaml<'_>) {
        match &document.data {
            YamlData::Mapping(mapping) => self.mapping("", mapping),
            YamlData::BadValue | YamlData::Value(Scalar::Null) => {}
            _ => {
                let reason = "the file must be a mapping of sections".to_owned();
                let at = self.origin(&document.span.start);
                self.errors.push(ConfigError::new(at, Problem::NotYaml { reason }));
            }
        }
    }

    fn mapping(&mut self, section: &str, mapping: &Mapping<'_>) {
        for (name_node, node) in mapping {
            let at = self.origin(&name_node.span.start);
            let Some(name) = key_text(name_node) else {
                let reason = "a key must be a plain text".to_owned();
                self.errors.push(ConfigError::new(at, Problem::NotYaml { reason }));
                continue;
            };
            let path = if section.is_empty() { name } else { format!("{section}.{name}") };
            self.entry(path, node, at);
        }
    }

    fn entry(&mut self, path: String, node: &MarkedYaml<'_>, at: Origin) {
        if let Some(key) = keys::find(&path) {
            // WHY: a value stands where its first character is, except that a mapping's entries tell their own places.
            let place = if key.kind == Kind::TextMap { at } else { self.origin(&node.span.start) };
            let raw = self.raw(node);
            self.leaves.push(Leaf { path, raw, origin: place });
        } else if keys::is_section(&path) {
            match &node.data {
                YamlData::Mapping(mapping) => self.mapping(&path, mapping),
                YamlData::Value(Scalar::Null) => {}
                _ => {
                    let expected = format!("a section with {}", keys::children(&path).join(", "));
                    let found = self.raw(node).describe().to_owned();
                    let problem = Problem::WrongType { key: path, expected, found };
                    self.errors.push(ConfigError::new(at, problem));
                }
            }
        } else {
            self.errors.push(unknown_key(path, at));
        }
    }

    fn raw(&self, node: &MarkedYaml<'_>) -> Raw {
        match &node.data {
            YamlData::Value(Scalar::Null) => Raw::Null,
            YamlData::Value(Scalar::Boolean(flag)) => Raw::Bool(*flag),
            YamlData::Value(Scalar::Integer(number)) => Raw::Int(*number),
            YamlData::Value(Scalar::FloatingPoint(number)) => Raw::Float(number.into_inner()),
            YamlData::Value(Scalar::String(text)) => Raw::Text(text.to_string()),
            YamlData::Sequence(items) => Raw::List(items.iter().map(|i| self.raw(i)).collect()),
            YamlData::Mapping(entries) => Raw::Map(
                entries
                    .iter()
                    .map(|(name, node)| {
                        let text = key_text(name).unwrap_or_default();
                        (text, self.raw(node), self.origin(&name.span.start))
                    })
                    .collect(),
            ),
            YamlData::Tagged(..)
            | YamlData::Representation(..)
            | YamlData::Alias(_)
            | YamlData::BadValue => Raw::Strange,
        }
    }
}

fn key_text(node: &MarkedYaml<'_>) -> Option<String> {
    match &node.data {
        YamlData::Value(Scalar::String(text)) => Some(text.to_string()),
        _ => None,
    }
}

/// The error for a path that is no key, with the nearest one that is.
pub(crate) fn unknown_key(path: String, at: Origin) -> ConfigError {
    let (section, name) = path.rsplit_once('.').unwrap_or(("", &path));
    let sibling = suggest::nearest(name, keys::children(section))
        .map(|near| if section.is_empty() { near.to_owned() } else { format!("{section}.{near}") });
    // WHY: a right name in a wrong section (`brokers` at the root) is as common as a misspelt one.
    let elsewhere = || {
        let mut named = keys::KEYS.iter().filter(|key| key.path.rsplit('.').next() == Some(name));
        named.next().filter(|_| named.next().is_none()).map(|key| key.path.to_owned())
    };
    let whole =
        || suggest::nearest(&path, keys::KEYS.iter().map(|key| key.path)).map(str::to_owned);
    let nearest = sibling.or_else(elsewhere).or_else(whole);
    ConfigError::new(at, Problem::UnknownKey { key: path, nearest })
}
