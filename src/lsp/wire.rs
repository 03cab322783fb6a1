//! Messages on the wire: JSON-RPC 2.0 with the headers of the Language Server Protocol, section "Base Protocol".
//!
//! WHY not `lsp-server`: its reader ends at the first message that it cannot read, fails on whole-number ids beyond 32
//! bits, and reserves at once whatever a `Content-Length` claims. Here a message that cannot be read is answered and the
//! next one is read, and nothing is stored beyond [`MAX_MESSAGE_BYTES`].

use std::io::{self, BufRead, Read as _, Write};

use serde_json::{Value, json};

/// Largest message that is read. A rule file has at most a mebibyte, JSON escapes it to six at worst.
pub(super) const MAX_MESSAGE_BYTES: u64 = 16 << 20;

/// Longest line of a header.
const MAX_HEADER_BYTES: u64 = 4096;

/// What a client sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Incoming {
    /// It wants an answer with this id.
    Request { id: Value, method: String, params: Value },
    /// It wants none.
    Notification { method: String, params: Value },
    /// The answer to something that the server asked.
    Response,
    /// It cannot be read; what to answer.
    Malformed(ErrorCode, String),
}

/// Codes of JSON-RPC 2.0 and of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorCode {
    ParseError,
    InvalidRequest,
    MethodNotFound,
    InvalidParams,
    NotInitialized,
    RequestFailed,
}

impl ErrorCode {
    fn number(self) -> i32 {
        match self {
            Self::ParseError => -32_700,
            Self::InvalidRequest => -32_600,
            Self::MethodNotFound => -32_601,
            Self::InvalidParams => -32_602,
            Self::NotInitialized => -32_002,
            Self::RequestFailed => -32_803,
        }
    }
}

/// Reads one message; `None` at the end of the input.
///
/// # Errors
/// Only when the input itself fails.
pub(super) fn read(input: &mut impl BufRead) -> io::Result<Option<Incoming>> {
    let length = match headers(input)? {
        Headers::End => return Ok(None),
        Headers::NoLength => {
            let message = "a message without a `Content-Length` that can be read".to_owned();
            return Ok(Some(Incoming::Malformed(ErrorCode::ParseError, message)));
        }
        Headers::Length(length) => length,
    };
    if length > MAX_MESSAGE_BYTES {
        io::copy(&mut input.take(length), &mut io::sink())?;
        let message = format!("a message of {length} bytes, at most {MAX_MESSAGE_BYTES} are read");
        return Ok(Some(Incoming::Malformed(ErrorCode::InvalidRequest, message)));
    }
    let mut body = Vec::new();
    input.take(length).read_to_end(&mut body)?;
    if (body.len() as u64) < length {
        return Ok(None);
    }
    Ok(Some(match serde_json::from_slice(&body) {
        Ok(value) => classified(value),
        Err(error) => Incoming::Malformed(ErrorCode::ParseError, format!("no JSON: {error}")),
    }))
}

/// What the lines before a message say.
enum Headers {
    /// The input ended.
    End,
    /// None of them is a length.
    NoLength,
    /// So many bytes follow.
    Length(u64),
}

/// Reads the lines up to an empty one. What is no header is passed over, so reading finds its feet again after anything.
fn headers(input: &mut impl BufRead) -> io::Result<Headers> {
    let mut length = None;
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = input.by_ref().take(MAX_HEADER_BYTES).read_until(b'\n', &mut line)?;
        if n == 0 {
            return Ok(Headers::End);
        }
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        if text.is_empty() {
            return Ok(length.map_or(Headers::NoLength, Headers::Length));
        }
        if let Some((name, value)) = text.split_once(':')
            && name.trim().eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok();
        }
    }
}

fn classified(mut value: Value) -> Incoming {
    let invalid = |why: &str| Incoming::Malformed(ErrorCode::InvalidRequest, why.to_owned());
    let Some(object) = value.as_object_mut() else { return invalid("a message is an object") };
    let params = object.remove("params").unwrap_or(Value::Null);
    let id = object.remove("id");
    let method = object.remove("method");
    match (method, id) {
        (Some(Value::String(method)), Some(id @ (Value::Number(_) | Value::String(_)))) => {
            Incoming::Request { id, method, params }
        }
        (Some(Value::String(method)), None) => Incoming::Notification { method, params },
        (None, Some(_)) => Incoming::Response,
        (Some(Value::String(_)), Some(_)) => invalid("an id is a number or a text"),
        _ => invalid("a message has a method"),
    }
}

/// Writes one message.
///
/// # Errors
/// When the output fails.
fn write(output: &mut impl Write, message: &Value) -> io::Result<()> {
    let body = message.to_string();
    write!(output, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    output.flush()
}

/// Answers a request.
///
/// # Errors
/// When the output fails.
pub(super) fn answer(output: &mut impl Write, id: &Value, result: &Value) -> io::Result<()> {
    write(output, &json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

/// Answers that something went wrong; without a readable id the id is null.
///
/// # Errors
/// When the output fails.
pub(super) fn refuse(
    output: &mut impl Write,
    id: &Value,
    code: ErrorCode,
    message: &str,
) -> io::Result<()> {
    let error = json!({ "code": code.number(), "message": message });
    write(output, &json!({ "jsonrpc": "2.0", "id": id, "error": error }))
}

/// Tells the client something.
///
/// # Errors
/// When the output fails.
pub(super) fn notify(output: &mut impl Write, method: &str, params: &Value) -> io::Result<()> {
    write(output, &json!({ "jsonrpc": "2.0", "method": method, "params": params }))
}

/// Asks the client something.
///
/// # Errors
/// When the output fails.
pub(super) fn ask(
    output: &mut impl Write,
    id: &str,
    method: &str,
    params: &Value,
) -> io::Result<()> {
    write(output, &json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut input: &[u8]) -> Vec<Incoming> {
        let mut list = Vec::new();
        while let Some(message) = read(&mut input).unwrap() {
            list.push(message);
        }
        list
    }

    fn framed(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn requests_notifications_and_responses_are_told_apart() {
        let text = framed(r#"{"jsonrpc":"2.0","id":1,"method":"a","params":{"x":1}}"#)
            + &framed(r#"{"jsonrpc":"2.0","method":"b"}"#)
            + &framed(r#"{"jsonrpc":"2.0","id":"r","result":null}"#);
        let request =
            Incoming::Request { id: json!(1), method: "a".to_owned(), params: json!({ "x": 1 }) };
        let notification = Incoming::Notification { method: "b".to_owned(), params: Value::Null };
        assert_eq!(all(text.as_bytes()), [request, notification, Incoming::Response]);
    }

    #[test]
    fn what_cannot_be_read_is_answered_and_the_next_message_is_read() {
        let good = framed(r#"{"method":"b"}"#);
        let broken = [
            "Content-Length: nine\r\n\r\n".to_owned(),
            "X: y\r\n\r\n".to_owned(),
            framed("{"),
            framed("[]"),
            framed(r#"{"id":null,"method":"x"}"#),
            framed(r#"{"params":{}}"#),
            framed(&"[".repeat(100_000)),
            "Content-Length: 2\r\n\r\n\u{fffd}".replace('\u{fffd}', "\u{7f}\u{7f}"),
        ];
        for text in broken {
            let found = all((text.clone() + &good).as_bytes());
            assert!(matches!(found[0], Incoming::Malformed(..)), "{text}");
            assert!(matches!(found[1], Incoming::Notification { .. }), "{text}");
        }
    }

    #[test]
    fn a_length_beyond_all_memory_reserves_nothing() {
        let found = all(format!("Content-Length: {}\r\n\r\n{{", u64::MAX).as_bytes());
        assert!(matches!(found[..], [Incoming::Malformed(ErrorCode::InvalidRequest, _)]));
    }

    #[test]
    fn a_message_that_is_too_long_is_passed_over() {
        let long = "x".repeat(usize::try_from(MAX_MESSAGE_BYTES).unwrap() + 1);
        let found = all((framed(&long) + &framed(r#"{"method":"b"}"#)).as_bytes());
        assert!(matches!(found[0], Incoming::Malformed(ErrorCode::InvalidRequest, _)));
        assert!(matches!(found[1], Incoming::Notification { .. }));
    }

    #[test]
    fn a_message_that_ends_early_is_the_end() {
        assert!(all(b"Content-Length: 10\r\n\r\n{}").is_empty());
        assert!(all(b"Content-Len").is_empty());
    }
}
