//! `/metrics`, `/livez` and `/readyz`, on a thread of its own with a small runtime; loopback by default.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::oneshot;

use crate::telemetry::board::Board;
use crate::telemetry::health::{Check, Health};

/// A running server. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Looks at the rule folder, with the header [`BACKFILL`] if it was sent, and says what became of it: an HTTP status and
/// a body.
pub type Reload = Arc<dyn Fn(Option<&str>) -> (u16, Value) + Send + Sync>;

/// The header that says from when on the past is to be read again.
pub const BACKFILL: &str = "x-riskweir-backfill";

#[derive(Clone)]
struct Views {
    board: Arc<Board>,
    health: Arc<Health>,
    reload: Option<Reload>,
    token: Option<Token>,
}

/// What whoever reads metrics must show: the digest of a token. WHY: digests are compared in constant time, and of one length.
#[derive(Clone, Copy)]
pub struct Token([u8; 32]);

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(***)")
    }
}

/// Shortest token.
const MIN_TOKEN_BYTES: usize = 16;

impl Token {
    /// The token in a file, without blanks around it.
    ///
    /// # Errors
    /// The file cannot be read, or holds none.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = text_of(file)?;
        Ok(Self(Sha256::digest(text.as_bytes()).into()))
    }

    /// Whether a request shows it.
    fn is_shown(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let bearer = shown.and_then(|text| text.split_once(' '));
        let bearer = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        bearer.is_some_and(|(_, token)| {
            let digest: [u8; 32] = Sha256::digest(token.trim().as_bytes()).into();
            self.0.ct_eq(&digest).into()
        })
    }
}

/// The text of a token in a file.
///
/// # Errors
/// The file cannot be read, or holds none.
pub fn text_of(file: &Path) -> Result<String, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| format!("could not read the token `{shown}`: {error}"))?;
    let text = text.trim().to_owned();
    if text.len() < MIN_TOKEN_BYTES || text.bytes().any(|b| !b.is_ascii_graphic()) {
        return Err(format!(
            "`{shown}` holds no token: at least {MIN_TOKEN_BYTES} visible ASCII characters in one word; `openssl rand -hex 32` makes one"
        ));
    }
    Ok(text)
}

/// Starts the server; it listens when this returns.
///
/// # Errors
/// The address cannot be bound or the thread cannot be started.
pub fn serve(
    listen: SocketAddr,
    board: Arc<Board>,
    health: Arc<Health>,
    (reload, token): (Option<Reload>, Option<Token>),
) -> io::Result<Server> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let app = router(Views { board, health, reload, token });
    let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tokio::select! {
                outcome = axum::serve(listener, app) => outcome,
                _ = stopped => Ok(()),
            }
        })
    })?;
    Ok(Server { address, stop: Some(stop), thread: Some(thread) })
}

impl Server {
    /// The address that is bound, with the real port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // WHY: both fail only when the server has gone already, which is what is wanted.
        if let Some(stop) = self.stop.take() {
            _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

fn router(views: Views) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/-/reload", post(reload))
        .with_state(views)
}

async fn metrics(State(views): State<Views>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refusal(&views, &headers) {
        return refusal;
    }
    match views.board.render() {
        Ok(text) => {
            let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
            (StatusCode::OK, kind, text).into_response()
        }
        Err(error) => {
            let text = format!("could not render the metrics: {error}\n");
            (StatusCode::INTERNAL_SERVER_ERROR, text).into_response()
        }
    }
}

async fn livez(State(views): State<Views>) -> Response {
    verdict(&views.health.live())
}

async fn readyz(State(views): State<Views>) -> Response {
    verdict(&views.health.ready())
}

/// Only for callers that set the header `X-Riskweir`: a page in somebody's browser cannot.
async fn reload(State(views): State<Views>, headers: HeaderMap) -> Response {
    if let Some(refusal) = refusal(&views, &headers) {
        return refusal;
    }
    let Some(reload) = views.reload.filter(|_| headers.contains_key("x-riskweir")) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let backfill =
        headers.get(BACKFILL).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let work = move || reload(backfill.as_deref());
    let (status, body) = match tokio::task::spawn_blocking(work).await {
        Ok((status, body)) => (StatusCode::from_u16(status).unwrap_or_default(), body),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, json!({"reason": error.to_string()})),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

/// What is answered to whoever does not show the token, where there is one.
fn refusal(views: &Views, headers: &HeaderMap) -> Option<Response> {
    views.token.filter(|token| !token.is_shown(headers)).map(|_| {
        let asks = [(header::WWW_AUTHENTICATE, "Bearer realm=\"riskweir metrics\"")];
        (StatusCode::UNAUTHORIZED, asks, "send `Authorization: Bearer TOKEN`\n").into_response()
    })
}

fn verdict(checks: &[Check]) -> Response {
    let ok = checks.iter().all(|check| check.ok);
    let failing: Vec<_> = checks
        .iter()
        .filter(|check| !check.ok)
        .map(|check| json!({"check": check.name, "detail": check.detail}))
        .collect();
    let passed: Vec<_> = checks.iter().filter(|check| check.ok).map(|check| check.name).collect();
    let body =
        json!({"status": if ok { "ok" } else { "failing" }, "failing": failing, "passed": passed});
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::telemetry::board::Identity;

    fn get(address: SocketAddr, path: &str) -> (u16, String) {
        ask(address, "GET", path, "")
    }

    fn ask(address: SocketAddr, method: &str, path: &str, header: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: x\r\n{header}Connection: close\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        (status, text.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    #[test]
    fn metrics_are_for_whoever_shows_the_token_and_health_is_for_everybody() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
        let board = Arc::new(Board::new(1, Identity::default()));
        let health = Arc::new(Health::new(Duration::from_mins(1)));
        let answer: Reload = Arc::new(|_| (200, json!({})));
        let views = (Some(answer), Some(Token::read(file.path()).unwrap()));
        let server = serve("127.0.0.1:0".parse().unwrap(), board, health, views).unwrap();
        let status =
            |method: &str, path: &str, header: &str| ask(server.address(), method, path, header).0;
        let shown = "Authorization: Bearer 0123456789abcdef\r\n";
        for wrong in [
            "",
            "Authorization: Bearer 0123456789abcdee\r\n",
            "Authorization: Bearer 0123456789abcde\r\n",
            "Authorization: Bearer\r\n",
            "Authorization: Basic 0123456789abcdef\r\n",
        ] {
            assert_eq!(status("GET", "/metrics", wrong), 401, "{wrong}");
            let reload = format!("X-Riskweir: reload\r\n{wrong}");
            assert_eq!(status("POST", "/-/reload", &reload), 401, "{wrong}");
        }
        assert_eq!(status("GET", "/metrics", shown), 200);
        assert_eq!(status("POST", "/-/reload", &format!("X-Riskweir: reload\r\n{shown}")), 200);
        assert_eq!(status("GET", "/livez", ""), 200);
        for none in ["", "short", "two words of many letters"] {
            std::fs::write(file.path(), none).unwrap();
            let said = Token::read(file.path()).unwrap_err();
            assert!(said.contains("holds no token") && (none.is_empty() || !said.contains(none)));
        }
    }

    #[test]
    fn the_server_answers_and_names_the_failing_check() {
        let board = Arc::new(Board::new(1, Identity::default()));
        let health = Arc::new(Health::new(Duration::from_mins(1)));
        let listen = "127.0.0.1:0".parse().unwrap();
        let answer: Reload = Arc::new(|from| (422, json!({"outcome": "refused", "from": from})));
        let server = serve(listen, board, Arc::clone(&health), (Some(answer), None)).unwrap();
        let (status, body) = get(server.address(), "/metrics");
        assert_eq!(status, 200);
        assert!(body.contains("# TYPE riskweir_records_in_flight gauge"), "{body}");
        assert_eq!(get(server.address(), "/livez").0, 200);
        let (status, body) = get(server.address(), "/readyz");
        assert_eq!(status, 503);
        assert!(body.contains("\"check\":\"assigned\""), "{body}");
        health.tick();
        health.set_assigned(true);
        assert_eq!(get(server.address(), "/readyz").0, 200);
        assert_eq!(get(server.address(), "/nowhere").0, 404);
        let asked = |header: &str| ask(server.address(), "POST", "/-/reload", header);
        assert_eq!(asked("").0, 404);
        assert_eq!(
            asked("X-Riskweir: reload\r\n"),
            (422, "{\"outcome\":\"refused\",\"from\":null}\n".to_owned())
        );
        assert_eq!(
            asked("X-Riskweir: reload\r\nX-Riskweir-Backfill: from=7d\r\n"),
            (422, "{\"outcome\":\"refused\",\"from\":\"from=7d\"}\n".to_owned())
        );
    }
}
