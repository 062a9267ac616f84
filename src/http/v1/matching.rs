//! What rows of the journal are like, in a line: `topic:cars/# -type:PINGREQ client:"car 1"`.

use crate::tap::journal::JournalQuery;
use crate::topic::Filter;

use super::super::error::{ApiError, excerpt};
use super::packets::{Code, DirectionName, TypeName};

/// The parameter that says so.
pub(super) const MATCH: &str = "match";

/// Keys and values in one line.
const MOST: usize = 32;

const KEYS: &str =
    "client, connection, dir, dup, event, id, listener, qos, reason, retain, topic and type";

/// What events are called, and what stands for all of them.
const EVENTS: [&str; 9] = [
    "*",
    "closed_before_connect",
    "connected",
    "disconnected",
    "handshake_failed",
    "published",
    "refused",
    "subscribed",
    "unsubscribed",
];

/// Whether rows can have an event of this name.
pub(super) fn is_event(name: &str) -> bool {
    EVENTS.contains(&name)
}

/// Adds what `text` asks for to `query`. Where a key comes several times, one of its values is enough; what has a `-`
/// in front may not be so.
///
/// # Errors
///
/// 400 that says which part of it is wrong.
pub(super) fn read(text: &str, query: &mut JournalQuery) -> Result<(), ApiError> {
    let mut wanted: Vec<(String, Vec<JournalQuery>)> = Vec::new();
    let mut rest = text.trim_start();
    for count in 1.. {
        if rest.is_empty() {
            break;
        }
        if count > MOST {
            return Err(wrong(format!("more than {MOST} keys")));
        }
        let (term, behind) = Term::take(rest)?;
        rest = behind.trim_start();
        let own = term.query()?;
        if term.is_not {
            query.except.push(own);
            continue;
        }
        match wanted.iter_mut().find(|(key, _)| key == term.key) {
            Some((_, values)) => values.push(own),
            None => wanted.push((term.key.to_owned(), vec![own])),
        }
    }
    query
        .one_of
        .extend(wanted.into_iter().map(|(_, values)| values));
    Ok(())
}

fn wrong(error: String) -> ApiError {
    ApiError::invalid(MATCH, error)
}

/// A key and its value.
struct Term<'a> {
    is_not: bool,
    key: &'a str,
    value: String,
}

impl<'a> Term<'a> {
    /// The first of a line, and what comes behind it.
    fn take(text: &'a str) -> Result<(Self, &'a str), ApiError> {
        let (is_not, own) = match text.strip_prefix('-') {
            Some(own) => (true, own),
            None => (false, text),
        };
        let end = own.find(char::is_whitespace).unwrap_or(own.len());
        let word = own.get(..end).unwrap_or(own);
        let Some((key, _)) = word.split_once(':') else {
            let word = excerpt(word);
            return Err(wrong(format!(
                "'{word}' has no key: write topic:{word}, client:{word} or another of {KEYS}"
            )));
        };
        let behind = own.get(key.len() + 1..).unwrap_or_default();
        let (value, rest) = match behind.strip_prefix('"') {
            Some(quoted) => Self::quoted(key, quoted)?,
            None => {
                let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
                let (value, rest) = behind.split_at(end);
                (value.to_owned(), rest)
            }
        };
        if value.is_empty() {
            return Err(wrong(format!("'{}:' has no value", excerpt(key))));
        }
        Ok((Self { is_not, key, value }, rest))
    }

    /// The value in front of the next quote, in which `\` stands before a quote that is part of it.
    fn quoted(key: &str, text: &'a str) -> Result<(String, &'a str), ApiError> {
        let (mut value, mut characters) = (String::new(), text.char_indices());
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => return Ok((value, text.get(at + 1..).unwrap_or_default())),
                '\\' => value.extend(characters.next().map(|(_, next)| next)),
                other => value.push(other),
            }
        }
        Err(wrong(format!(
            "the quote of '{}:' has no end",
            excerpt(key)
        )))
    }

    fn query(&self) -> Result<JournalQuery, ApiError> {
        let (key, value) = (self.key, self.value.as_str());
        let none = |what: &str| wrong(format!("'{key}:{}': {what}", excerpt(value)));
        let flag = || match value {
            "1" | "true" => Ok(true),
            "0" | "false" => Ok(false),
            _ => Err(none("is neither 1 nor 0")),
        };
        let mut query = JournalQuery::default();
        let own = &mut query.matches;
        match key {
            "client" => own.client = Some(value.to_owned()),
            "listener" => own.listener = Some(value.to_owned()),
            "topic" => match Filter::parse(value) {
                Ok(filter) if filter.share.is_none() => own.topic = Some(value.to_owned()),
                Ok(_) => return Err(none("topics are meant, without $share")),
                Err(error) => return Err(none(&error.to_string())),
            },
            "type" => {
                let found = TypeName::parse(&value.to_uppercase());
                let found = found.ok_or_else(|| none("is no packet type, such as PUBLISH"))?;
                own.packet_type = Some(found.0);
            }
            "dir" => {
                let found = DirectionName::parse(value);
                own.direction = Some(found.ok_or_else(|| none("is neither in nor out"))?.0);
            }
            "qos" => {
                let found = value.parse().ok().filter(|qos| *qos < 3);
                own.qos = Some(found.ok_or_else(|| none("is not 0, 1 or 2"))?);
            }
            "dup" => own.dup = Some(flag()?),
            "retain" => own.retain = Some(flag()?),
            "id" => {
                let found = value.parse().ok();
                own.packet_id = Some(found.ok_or_else(|| none("is not from 0 to 65535"))?);
            }
            "reason" => {
                let found = Code::parse(value);
                let found = found.ok_or_else(|| none("is no reason code, such as 0x97"))?;
                own.reason = Some(found.0);
            }
            "connection" => {
                let found = value.parse().ok();
                query.connection = Some(found.ok_or_else(|| none("is no number"))?);
            }
            "event" if is_event(value) => query.event = Some(value.to_owned()),
            "event" => return Err(none(&format!("is none of {}", EVENTS.join(", ")))),
            _ => {
                let error = format!("'{}' is none of the keys {KEYS}", excerpt(key));
                return Err(wrong(error));
            }
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<JournalQuery, String> {
        let mut query = JournalQuery::default();
        read(text, &mut query).map_err(|error| error.text().to_owned())?;
        Ok(query)
    }

    #[test]
    fn line_has_keys_with_values_quotes_and_negations() {
        let query =
            parsed(r#" topic:cars/#  type:publish client:"a \"b\\ c" -type:PINGREQ type:puback"#);
        let query = query.expect("it is fine");
        let one_of: Vec<usize> = query.one_of.iter().map(Vec::len).collect();
        assert_eq!(one_of, [1, 2, 1], "{query:?}");
        assert_eq!(query.one_of[0][0].matches.topic.as_deref(), Some("cars/#"));
        assert_eq!(
            query.one_of[2][0].matches.client.as_deref(),
            Some(r#"a "b\ c"#)
        );
        assert_eq!(query.except.len(), 1);
        assert_eq!(parsed("  ").expect("nothing"), JournalQuery::default());
        let colons = parsed("client:a:b").expect("it is fine");
        assert_eq!(colons.one_of[0][0].matches.client.as_deref(), Some("a:b"));
    }

    #[test]
    fn error_says_what_is_wrong() {
        for (text, error) in [
            (
                "cars",
                "'cars' has no key: write topic:cars, client:cars or another of client, connection, dir, dup, event, \
                 id, listener, qos, reason, retain, topic and type",
            ),
            ("qos:3", "'qos:3': is not 0, 1 or 2"),
            ("-dup:x", "'dup:x': is neither 1 nor 0"),
            ("topic:", "'topic:' has no value"),
            ("client:\"a b", "the quote of 'client:' has no end"),
            (
                "type:publsh",
                "'type:publsh': is no packet type, such as PUBLISH",
            ),
            ("id:70000", "'id:70000': is not from 0 to 65535"),
            (
                "reason:0x1ff",
                "'reason:0x1ff': is no reason code, such as 0x97",
            ),
            ("dir:up", "'dir:up': is neither in nor out"),
            (
                "topic:$share/g/x",
                "'topic:$share/g/x': topics are meant, without $share",
            ),
        ] {
            assert_eq!(parsed(text).expect_err(text), error);
        }
        assert!(parsed("topic:a/#/b").is_err());
        let key = parsed("size:3").expect_err("no key");
        assert!(
            key.starts_with("'size' is none of the keys client, "),
            "{key}"
        );
        assert!(parsed(&"qos:1 ".repeat(MOST)).is_ok());
        let many = parsed(&"qos:1 ".repeat(MOST + 1));
        assert_eq!(many.expect_err("too many"), "more than 32 keys");
    }
}
