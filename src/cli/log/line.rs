//! One event, one line: the only place where log lines are composed.
//!
//! What an event says may come from a peer. Here it is made harmless, so that no call elsewhere can
//! write a line that begins, ends or reads otherwise than it should.

use std::fmt;

use roundel::config::LogFormat;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::value::{Cut, printing, push_message, push_value};

/// RFC 3339, in UTC.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Writes events as lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lines {
    pub(super) format: LogFormat,
    /// The level in colour, for a terminal.
    pub(super) colour: bool,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let metadata = event.metadata();
        let target = said.log_target.as_deref().unwrap_or(metadata.target());
        writer.write_str(&self.compose(*metadata.level(), target, &said))
    }
}

impl Lines {
    /// A line that is no event of the broker's: one about the log itself.
    pub(super) fn note(self, message: &str, field: &'static str, count: u64) -> String {
        let said = Said {
            message: message.to_owned(),
            fields: vec![(field, Value::Plain(count.into()))],
            log_target: None,
        };
        self.compose(Level::WARN, module_path!(), &said)
    }

    fn compose(self, level: Level, target: &str, said: &Said) -> String {
        let time = OffsetDateTime::now_utc();
        let time = time.format(TIME).unwrap_or_default(); // it cannot fail for a year of four digits
        match self.format {
            LogFormat::Text => self.text(&time, level, said),
            LogFormat::Json => json(&time, level, target, said),
        }
    }

    fn text(self, time: &str, level: Level, said: &Said) -> String {
        let mut line = format!("{time} ");
        match colour(level).filter(|_| self.colour) {
            Some(colour) => line.push_str(&format!("\u{1b}[{colour}m{level:>5}\u{1b}[0m")),
            None => line.push_str(&format!("{level:>5}")),
        }
        if !said.message.is_empty() {
            line.push(' ');
            push_message(&mut line, &said.message);
        }
        for (name, value) in &said.fields {
            line.push(' ');
            line.push_str(name);
            line.push('=');
            match value {
                Value::Plain(value) => line.push_str(&value.to_string()),
                Value::Text(text) => push_value(&mut line, text),
            }
        }
        line.push('\n');
        line
    }
}

fn colour(level: Level) -> Option<u8> {
    match level {
        Level::ERROR => Some(31),
        Level::WARN => Some(33),
        Level::INFO => Some(32),
        _ => None,
    }
}

/// The same keys as the JSON of `tracing-subscriber`, which readers of logs know.
fn json(time: &str, level: Level, target: &str, said: &Said) -> String {
    let mut fields = serde_json::Map::new();
    if !said.message.is_empty() {
        fields.insert("message".to_owned(), said.message.as_str().into());
    }
    for (name, value) in &said.fields {
        let value = match value {
            Value::Plain(value) => value.clone(),
            Value::Text(text) => text.as_str().into(),
        };
        fields.insert((*name).to_owned(), value);
    }
    let whole = Json {
        timestamp: time,
        level: level.as_str(),
        fields,
        target,
    };
    let whole = serde_json::to_string(&whole).expect("invariant: only strings and numbers");
    // What JSON lets through but a terminal or an editor may not. All of it is inside quotes, where
    // an escape says the same.
    let mut line = printing(&whole);
    line.push('\n');
    line
}

#[derive(Serialize)]
struct Json<'a> {
    timestamp: &'a str,
    level: &'a str,
    fields: serde_json::Map<String, serde_json::Value>,
    target: &'a str,
}

/// What an event says, its values cut to what a line shows.
#[derive(Default)]
struct Said {
    message: String,
    fields: Vec<(&'static str, Value)>,
    /// The module that logged through the crate `log`, as some dependencies do.
    log_target: Option<String>,
}

enum Value {
    /// A number or a truth.
    Plain(serde_json::Value),
    Text(String),
}

impl Said {
    fn add_text(&mut self, field: &Field, value: impl fmt::Display) {
        let text = Cut::of(value).into_text();
        match field.name() {
            "message" => self.message = text,
            "log.target" => self.log_target = Some(text),
            // Where in the sources.
            name if name.starts_with("log.") => {}
            // Without the mark of a raw identifier.
            name => {
                let name = name.strip_prefix("r#").unwrap_or(name);
                self.fields.push((name, Value::Text(text)));
            }
        }
    }

    fn add_plain(&mut self, field: &Field, value: serde_json::Value) {
        if !field.name().starts_with("log.") {
            self.fields.push((field.name(), Value::Plain(value)));
        }
    }
}

impl Visit for Said {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add_text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add_text(field, format_args!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add_plain(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_plain(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_plain(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add_plain(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `log` runs.
    fn written(format: LogFormat, log: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Lines {
                format,
                colour: false,
            })
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: &str =
        "x\n2026-01-01T00:00:00Z  INFO connected client_id=\"admin\" \u{1b}[2J\u{9b}\u{202e}";

    #[test]
    fn a_line_is_time_level_message_and_pairs() {
        let line = written(LogFormat::Text, || {
            let peer: std::net::SocketAddr = "127.0.0.1:1883".parse().unwrap();
            tracing::info!(client_id = "car 1", %peer, protocol = 5, clean = true, "connected to it");
        });
        let (time, rest) = line.split_at(27);
        assert!(time.ends_with('Z') && time.as_bytes()[10] == b'T', "{time}");
        assert_eq!(
            rest,
            "  INFO connected to it client_id=\"car 1\" peer=127.0.0.1:1883 protocol=5 clean=true\n"
        );
    }

    #[test]
    fn nothing_that_is_logged_begins_a_line() {
        let log = || {
            tracing::info!(client_id = HOSTILE, user = %HOSTILE, sni = ?HOSTILE, "refused: {HOSTILE}");
        };
        let line = written(LogFormat::Text, log);
        assert_eq!(line.lines().count(), 1, "{line}");
        let printing = |c: char| super::super::value::is_printing(c);
        assert!(
            line.trim_end_matches('\n').chars().all(printing),
            "{line:?}"
        );
        // The message has quotes, so what looks like a pair in it is none.
        let (_, message) = line.split_once("INFO ").unwrap();
        let mut parts = serde_json::Deserializer::from_str(message).into_iter::<String>();
        assert_eq!(
            parts.next().unwrap().unwrap(),
            format!("refused: {HOSTILE}")
        );

        let line = written(LogFormat::Json, log);
        assert_eq!(line.lines().count(), 1, "{line}");
        assert!(
            line.trim_end_matches('\n').chars().all(printing),
            "{line:?}"
        );
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["level"], "INFO");
        assert_eq!(event["target"], module_path!());
        assert_eq!(event["fields"]["client_id"], HOSTILE);
        assert_eq!(event["fields"]["user"], HOSTILE);
        assert_eq!(event["fields"]["message"], format!("refused: {HOSTILE}"));
    }

    #[test]
    fn values_and_messages_of_any_length_make_short_lines() {
        let long = "ä".repeat(32_767);
        for format in [LogFormat::Text, LogFormat::Json] {
            let line = written(format, || {
                tracing::info!(client_id = long, "refused: {long}")
            });
            assert!(line.len() < 3000, "{}", line.len());
            assert_eq!(line.matches("… (65534 bytes)").count(), 1, "{line}");
            assert_eq!(line.matches("… (65543 bytes)").count(), 1, "{line}");
        }
    }

    #[test]
    fn a_note_about_the_log_has_the_same_shape() {
        let lines = |format| Lines {
            format,
            colour: false,
        };
        let line = lines(LogFormat::Text).note("lost", "lines", 3);
        assert!(line.ends_with("Z  WARN lost lines=3\n"), "{line}");
        let line = lines(LogFormat::Json).note("lost", "lines", 3);
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["fields"]["lines"], 3);
    }
}
