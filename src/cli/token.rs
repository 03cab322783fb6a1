//! `riskweir token`: tokens for the HTTP API.

use std::io::Write as _;

use clap::{Args, Subcommand};
use serde_json::json;

use crate::api::roles::{Person, Role, Scope};
use crate::api::tokens::{Token, is_name};
use crate::base::time::{format_rfc3339, parse_rfc3339};
use crate::cli::{Console, Exit, Failure, Format, unless_gone};
use crate::runtime::clock::{Clock as _, SystemClock};

/// Arguments of `riskweir token`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make a token: it is shown once and kept nowhere; its line goes into the file that `api.tokens` names.
    New(New),
}

#[derive(Args, Debug)]
struct New {
    /// Whose it is: the name that stands in records.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: String,
    /// What it may do; may be given several times.
    #[arg(long, value_name = "ROLE", required = true, value_parser = role)]
    role: Vec<Role>,
    /// Show and let decide only what came by this input topic; may be given several times (default: by any).
    #[arg(long, value_name = "TOPIC", value_parser = topic)]
    topic: Vec<String>,
    /// Until when it is valid, as in 2027-01-31T00:00:00Z (default: for ever).
    #[arg(long, value_name = "TIME", value_parser = future)]
    expires: Option<i64>,
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err("a name has 1 to 64 letters, digits, `.`, `_`, `-` or `@`, and is not `riskweir`"
        .to_owned())
}

fn role(text: &str) -> Result<Role, String> {
    Role::named(text).ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.into_iter().map(Role::name).collect();
        format!("the roles are {}", names.join(", "))
    })
}

fn topic(text: &str) -> Result<String, String> {
    Scope::of([text]).map(|_| text.to_owned()).map_err(str::to_owned)
}

fn future(text: &str) -> Result<i64, String> {
    let at_ms = parse_rfc3339(text.as_bytes())
        .ok_or_else(|| "write an instant as 2027-01-31T00:00:00Z".to_owned())?;
    if at_ms <= SystemClock::start().wall_ms() {
        return Err("it has passed: the token would open nothing".to_owned());
    }
    Ok(at_ms)
}

/// Runs the command.
///
/// # Errors
/// The system has no random numbers.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let What::New(New { name, role, topic, expires }) = &arguments.what;
    let token =
        Token::new().map_err(|error| Failure::invalid(format!("no random numbers: {error}")))?;
    let mut roles = role.clone();
    roles.sort_unstable();
    roles.dedup();
    let scope = if topic.is_empty() {
        Scope::All
    } else {
        Scope::of(topic.iter().map(String::as_str)).map_err(Failure::invalid)?
    };
    let person = Person { name: name.clone(), roles, scope };
    let line = token.line(&person, *expires);
    match console.format {
        Format::Json => {
            let roles: Vec<&str> = person.roles.iter().map(|role| role.name()).collect();
            let out = json!({
                "token": token.reveal(), "line": line, "name": name, "roles": roles,
                "topics": person.scope.topics(),
                "expires_at": expires.map(format_rfc3339),
            });
            console.data(&format!("{out}\n"));
        }
        Format::Text => {
            // The line alone is data, so that `>> tokens` does what is meant; the token goes to whoever looks.
            let mut err = std::io::stderr().lock();
            let told = writeln!(
                err,
                "token of {name}, shown once:\n\n  {}\n\nthis line makes it known:\n",
                token.reveal()
            );
            told.or_else(|error| unless_gone(&error))?;
            drop(err);
            console.data(&format!("{line}\n"));
        }
    }
    Ok(Exit::Ok)
}
