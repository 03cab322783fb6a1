//! `riskweir reload`: asks a running service to look at its rule folder now, and says what became of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::cli::run::backfill_from;
use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};
use crate::telemetry::http::BACKFILL;

/// How long a service may take to compile.
const LIMIT: Duration = Duration::from_secs(30);

/// Most bytes of an answer: the errors of a rule set.
const MOST_BYTES: u64 = 16 << 20;

/// Arguments of `riskweir reload`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,

    /// Reads the past again for what is new or still warming: `from=7d`, `from=2026-11-01T00:00:00Z` or `from=earliest`.
    #[arg(long, value_name = "FROM")]
    backfill: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the service cannot be reached or does not take such requests.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let backfill = arguments.backfill.as_deref();
    if let Some(Err(reason)) = backfill.map(backfill_from) {
        return Err(Failure::invalid(format!("--backfill: {reason}")));
    }
    let Some((address, token)) = arguments.settings.service(console)? else {
        return Ok(Exit::Invalid);
    };
    let (status, body) = ask(address, backfill, token.as_deref()).map_err(|error| {
        Failure::unreachable(format!(
            "no service answers at {address}: {error}; name its `http.listen` with --http"
        ))
    })?;
    let told: Value = serde_json::from_str(&body).unwrap_or_default();
    let word = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default();
    match console.format {
        Format::Json => console.data(&format!("{}\n", body.trim())),
        Format::Text => match word("outcome") {
            "taken" => {
                console.message(&format!("rule set {} is taken over", word("ruleset")));
                tell_backfill(&told, console);
            }
            "unchanged" => {
                console.message(&format!("rule set {} is active already", word("ruleset")));
                tell_backfill(&told, console);
            }
            "waiting" => console.message(&format!(
                "rule set {} is handed over, and becomes active once the service has partitions and its windows",
                word("ruleset")
            )),
            _ => console.message(word("reason")),
        },
    }
    match status {
        200 | 202 => Ok(Exit::Ok),
        422 => Ok(Exit::Invalid),
        404 => Err(Failure::invalid(
            "the service takes no such requests here: set `http.reload: on`, or send it SIGHUP",
        )),
        status => Err(Failure::unreachable(format!("the service at {address} answers {status}"))),
    }
}

/// Says what will be read of the past.
fn tell_backfill(told: &Value, console: &Console) {
    let Some(backfill) = told.get("backfill").filter(|backfill| !backfill.is_null()) else {
        return;
    };
    let word = |name: &str| backfill.get(name).and_then(Value::as_str);
    let count = |name: &str| backfill.get(name).and_then(Value::as_u64).unwrap_or(0);
    let from = word("from").unwrap_or("the oldest record");
    console.message(&match word("state") {
        Some("reading") => {
            format!("about {} records are read again, from {from} on", count("records"))
        }
        Some("nothing") => {
            "nothing is to be read again: no window lacks any of its past".to_owned()
        }
        _ => "the past is read again once the service has partitions and its windows".to_owned(),
    });
    let (cut, all) = (count("partitions_cut"), count("partitions"));
    if cut > 0 {
        console.message(&format!(
            "the log does not reach back so far in {cut} of {all} partitions: what it holds is taken, and windows that \
             reach further back stay warming"
        ));
    }
}

fn ask(
    address: SocketAddr,
    backfill: Option<&str>,
    token: Option<&str>,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let header = backfill.map_or_else(String::new, |from| format!("{BACKFILL}: {from}\r\n"));
    let shown = token.map_or_else(String::new, |it| format!("Authorization: Bearer {it}\r\n"));
    write!(
        stream,
        "POST /-/reload HTTP/1.1\r\nHost: {address}\r\nX-Riskweir: reload\r\n{header}{shown}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.take(MOST_BYTES).read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned());
    Ok((status, body))
}
