//! `riskweir config print|schema`: the configuration as it came out, each value with its origin, and the schema of its file.

use clap::{Args, Subcommand};
use serde_json::{Map, Value as Json, json};

use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};
use crate::config::keys::{Fallback, KEYS, Key, Kind};
use crate::config::{Resolved, Setting, Value};
use crate::diag::suggest;

/// Arguments of `riskweir config`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Show what is set, with its origin; secrets are masked.
    Print(Box<Print>),
    /// The JSON Schema of the configuration file, for editors.
    Schema,
}

#[derive(Args, Debug)]
struct Print {
    #[command(flatten)]
    settings: Settings,
    /// Every key, set or not.
    #[arg(long)]
    resolved: bool,
    /// The defaults alone, whatever is set.
    #[arg(long, conflicts_with_all = ["resolved", "explain"])]
    defaults: bool,
    /// One key: value, origin, default and meaning.
    #[arg(long, value_name = "KEY")]
    explain: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When no key has the name that is to be explained.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    match &arguments.task {
        Task::Schema => {
            // WHY: texts, numbers and lists always become JSON.
            let text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
            console.data(&format!("{text}\n"));
            Ok(Exit::Ok)
        }
        Task::Print(print) => show(print, console),
    }
}

fn show(print: &Print, console: &Console) -> Result<Exit, Failure> {
    if print.defaults {
        print_all(KEYS.iter().map(|key| (key, default_text(key), "default".to_owned())), console);
        return Ok(Exit::Ok);
    }
    let Some(loaded) = print.settings.load(console) else { return Ok(Exit::Invalid) };
    let resolved = &loaded.resolved;
    if let Some(name) = &print.explain {
        return explain(name, resolved, console);
    }
    let all = KEYS.iter().filter_map(|key| {
        let Setting { value, origin } = resolved.get(key.path)?;
        let origin = origin.to_string();
        let is_shown = print.resolved || origin != "default";
        is_shown.then(|| (key, text(value), origin))
    });
    print_all(all, console);
    Ok(Exit::Ok)
}

/// A value as it is written in the file; none where the key is not set.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Unset => None,
        value => Some(value.to_string()),
    }
}

fn default_text(key: &Key) -> Option<String> {
    match key.fallback {
        Fallback::Value(value) => Some(value.to_owned()),
        Fallback::Required(_) | Fallback::Unset(_) => None,
    }
}

fn print_all<'k>(all: impl Iterator<Item = (&'k Key, Option<String>, String)>, console: &Console) {
    for (key, value, origin) in all {
        let line = match console.format {
            Format::Json => json!({"key": key.path, "value": value, "origin": origin}).to_string(),
            Format::Text => match value {
                Some(value) => format!("{}: {value}  # {origin}", key.path),
                None => format!("# {}:  # {}", key.path, without(key)),
            },
        };
        console.data(&format!("{line}\n"));
    }
}

/// What holds where nobody sets a key.
fn without(key: &Key) -> String {
    match key.fallback {
        Fallback::Value(value) => value.to_owned(),
        Fallback::Required(_) => "required".to_owned(),
        Fallback::Unset(meaning) => format!("without it: {meaning}"),
    }
}

fn explain(name: &str, resolved: &Resolved, console: &Console) -> Result<Exit, Failure> {
    let found = KEYS.iter().find(|key| key.path == name);
    let Some((key, Setting { value, origin })) =
        found.and_then(|key| Some((key, resolved.get(key.path)?)))
    else {
        let near = suggest::nearest(name, KEYS.iter().map(|key| key.path));
        let help = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        return Err(Failure {
            message: format!("there is no key `{name}`{help}"),
            exit: Exit::Usage,
        });
    };
    let (value, origin) = (text(value), origin.to_string());
    let variable = format!("RISKWEIR__{}", key.path.to_uppercase().replace('.', "__"));
    let (expected, default) = (key.kind.range(), without(key));
    if console.format == Format::Json {
        let line = json!({
            "key": key.path, "value": value, "origin": origin, "default": default,
            "expected": expected, "variable": variable, "doc": key.doc,
        });
        console.data(&format!("{line}\n"));
        return Ok(Exit::Ok);
    }
    let value = value.unwrap_or_else(|| "not set".to_owned());
    console.data(&format!(
        "{}\n  {}\n  value     {value}\n  origin    {origin}\n  default   {default}\n  expected  {expected}\n  variable  {variable}\n",
        key.path, key.doc,
    ));
    Ok(Exit::Ok)
}

/// The JSON Schema of the file, from the same table of keys that it is read by.
pub fn schema() -> Json {
    let mut root = object("The configuration of riskweir.");
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("riskweir.yaml");
    for key in KEYS {
        let mut at = &mut root;
        let (sections, name) = key.path.rsplit_once('.').map_or(("", key.path), |it| it);
        for section in sections.split('.').filter(|section| !section.is_empty()) {
            at = member(at, section, || object(""));
        }
        *member(at, name, || Json::Null) = property(key);
    }
    root
}

fn object(description: &str) -> Json {
    let mut object = json!({"type": "object", "additionalProperties": false, "properties": {}});
    if !description.is_empty() {
        object["description"] = json!(description);
    }
    object
}

fn member<'j>(of: &'j mut Json, name: &str, new: impl FnOnce() -> Json) -> &'j mut Json {
    if !of["properties"].is_object() {
        of["properties"] = Json::Object(Map::new());
    }
    let slot = &mut of["properties"][name];
    if slot.is_null() {
        *slot = new();
    }
    slot
}

fn property(key: &Key) -> Json {
    let mut schema = match key.kind {
        Kind::Choice(words) => json!({"type": "string", "enum": words}),
        Kind::Count(least, most) => json!({"type": "integer", "minimum": least, "maximum": most}),
        Kind::TopicList | Kind::NameList | Kind::AddressList => {
            json!({"type": "array", "items": {"type": "string"}, "minItems": 1})
        }
        Kind::TextMap => {
            json!({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})
        }
        _ => json!({"type": "string", "minLength": 1}),
    };
    schema["description"] = json!(format!("{} Expected: {}.", key.doc, key.kind.range()));
    if let Fallback::Value(value) = key.fallback {
        schema["default"] = match key.kind {
            Kind::Count(..) => value.parse::<u64>().map_or(Json::Null, Json::from),
            Kind::TextMap => json!({}),
            _ => json!(value),
        };
    }
    schema
}
