//! Logs: text on a terminal, JSON otherwise, to standard error.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use thiserror::Error;
use tracing::field::{Field, Visit};
use tracing::subscriber::{NoSubscriber, with_default};
use tracing::{Event, Subscriber};

use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

pub use tracing::Level;

use crate::base::cards::mask_cards;
use crate::base::time::format_rfc3339;
use crate::telemetry::throttle;

/// How logs are written.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Form; none is text on a terminal and JSON otherwise.
    pub form: Option<Form>,
    /// Least grave level: `error`, `warn`, `info`, `debug` or `trace`.
    pub level: Level,
    /// How often the same warning or error is written: so many per length of time.
    pub repeat_limit: (u64, Duration),
    /// Whether text is colored.
    pub color: bool,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// The level of a word; `info` when there is none of that name.
pub fn level(word: &str) -> Level {
    match word {
        "error" => Level::ERROR,
        "warn" => Level::WARN,
        "debug" => Level::DEBUG,
        "trace" => Level::TRACE,
        _ => Level::INFO,
    }
}

/// Logs could not be set up.
#[derive(Debug, Error)]
#[error("could not set up logs: they are set up already")]
pub struct LogError;

/// Does some work of which nothing is logged on this thread.
pub fn unheard<T>(work: impl FnOnce() -> T) -> T {
    with_default(NoSubscriber::new(), work)
}

/// Sets up logs for the process.
///
/// # Errors
/// They are set up already.
pub fn init(settings: &Settings) -> Result<(), LogError> {
    let (count, per) = settings.repeat_limit;
    throttle::set_limit(count, per);
    let json = match settings.form {
        Some(form) => form == Form::Json,
        None => !io::stderr().is_terminal(),
    };
    // WHY: whoever reads the log may go away; complaining to the same closed pipe would end the process.
    let builder = tracing_subscriber::fmt()
        .with_max_level(settings.level)
        .with_writer(io::stderr)
        .log_internal_errors(false);
    let outcome = if json {
        builder.event_format(JsonLine).try_init()
    } else {
        let settings = builder.with_ansi(settings.color).with_target(false);
        settings.fmt_fields(debug_fn(text_field).delimited(" ")).try_init()
    };
    outcome.map_err(|_| LogError)
}

/// A field of a line of text: the message as it is, others by name. Card numbers in texts are masked.
fn text_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    let text = format!("{value:?}");
    let is_number = text.parse::<i128>().is_ok();
    let text = if is_number { text.into() } else { mask_cards(&text) };
    if field.name() == "message" {
        write!(writer, "{text}")
    } else {
        write!(writer, "{field}={text}")
    }
}

/// One JSON object per line: `ts`, `level`, `target`, `msg` and the fields of the happening.
#[derive(Clone, Copy, Debug)]
struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut line = Map::new();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        line.insert("ts".to_owned(), format_rfc3339(now_ms).into());
        line.insert("level".to_owned(), event.metadata().level().as_str().to_lowercase().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        if let Some(message) = fields.0.remove("message") {
            line.insert("msg".to_owned(), message);
        }
        line.extend(fields.0.into_iter().map(|(name, value)| (name.to_owned(), value)));
        writeln!(writer, "{}", Value::Object(line))
    }
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, Value>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), mask_cards(&format!("{value:?}")).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), mask_cards(value).into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn card_numbers_in_texts_of_a_line_are_masked_and_numbers_stay() {
        for is_json in [true, false] {
            let lines = Lines::default();
            let writer = lines.clone();
            let builder = tracing_subscriber::fmt().with_writer(move || writer.clone());
            let write = || {
                let (offset, error) = (4_111_111_111_111_111_i64, "bad `4111 1111 1111 1111`");
                tracing::warn!(offset, error, place = ?Some("5555555555554444"), "Card 378282246310005.");
            };
            if is_json {
                let subscriber = builder.event_format(JsonLine).finish();
                tracing::subscriber::with_default(subscriber, write);
            } else {
                let fields = debug_fn(text_field).delimited(" ");
                let subscriber = builder.with_ansi(false).fmt_fields(fields).finish();
                tracing::subscriber::with_default(subscriber, write);
            }
            let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            for expected in [
                "***********0005.",
                "`**** **** **** 1111`",
                "************4444",
                "4111111111111111",
            ] {
                assert!(text.contains(expected), "{expected}: {text}");
            }
            assert!(
                !text.contains("378282246310005") && !text.contains("5555555555554444"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_json_line_carries_time_level_target_message_and_fields() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .event_format(JsonLine)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(partition = 3, topic = "a\u{1b}[31m\n", "Something happened.");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["level"], "warn");
        assert_eq!(line["msg"], "Something happened.");
        assert_eq!(line["partition"], 3);
        assert_eq!(line["topic"], "a\u{1b}[31m\n");
        assert!(line["ts"].as_str().unwrap().ends_with('Z'));
        assert!(line["target"].as_str().unwrap().contains("telemetry"));
    }
}
