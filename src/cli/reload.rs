//! `riskweir reload`: asks a running service to look at its rule folder now, and says what became of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};

/// How long a service may take to compile.
const LIMIT: Duration = Duration::from_secs(30);

/// Arguments of `riskweir reload`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

/// Runs the command.
///
/// # Errors
/// When the service cannot be reached or does not take such requests.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    // WHY: with an address on the command line nothing else of a configuration is needed.
    let address = match arguments.settings.http() {
        Some(text) => text.parse().map_err(|_| {
            Failure::invalid(format!("--http: `{text}` is no address such as `127.0.0.1:9464`"))
        })?,
        None => match arguments.settings.load(console) {
            Some(loaded) => loaded.config.http.listen,
            None => return Ok(Exit::Invalid),
        },
    };
    let (status, body) = ask(address).map_err(|error| {
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
            }
            "unchanged" => {
                console.message(&format!("rule set {} is active already", word("ruleset")));
            }
            _ => console.message(word("reason")),
        },
    }
    match status {
        200 => Ok(Exit::Ok),
        422 => Ok(Exit::Invalid),
        404 => Err(Failure::invalid(
            "the service takes no such requests here: set `http.reload: on`, or send it SIGHUP",
        )),
        status => Err(Failure::unreachable(format!("the service at {address} answers {status}"))),
    }
}

fn ask(address: SocketAddr) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(
        stream,
        "POST /-/reload HTTP/1.1\r\nHost: {address}\r\nX-Riskweir: reload\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned());
    Ok((status, body))
}
