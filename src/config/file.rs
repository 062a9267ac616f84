//! Reading one configuration file: keys first, so that a wrong one is answered with the right one,
//! then values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::nearest::nearest;
use crate::objects::Objects;

use super::error::{ConfigError, Place};
use super::raw::{RawAccessKey, RawAws, RawFile, RawLambda, RawLimits, RawTls, RawUser, SETTINGS};

/// A file whose keys all exist and whose values have the right kinds.
#[derive(Debug)]
pub(super) struct File {
    /// How it is named in messages.
    pub(super) name: String,
    /// The settings it gives, as text: `mqtts_port = 8883` is the same as `"8883"`.
    pub(super) settings: BTreeMap<&'static str, String>,
    /// Everything else.
    pub(super) raw: RawFile,
    /// The line of each key, named as `mqtts_port`, `limits.in_flight` or `users.0`.
    pub(super) lines: BTreeMap<String, usize>,
}

/// Reads the text of a file.
pub(super) fn read(name: &str, text: &str) -> Result<File, ConfigError> {
    let reader = Reader { name, text };
    let table = DeTable::parse(text).map_err(|error| reader.syntax(&error))?;
    let span = table.span();
    let mut lines = BTreeMap::new();
    let mut table = reader.with_underscores(table.into_inner())?;
    reader.check_keys(&table, &mut lines)?;
    let settings = reader.take_settings(&mut table)?;
    let rest = toml::de::Deserializer::from(Spanned::new(span, table));
    let raw = RawFile::deserialize(Objects(rest)).map_err(|error| reader.syntax(&error))?;
    Ok(File {
        name: name.to_owned(),
        settings,
        raw,
        lines,
    })
}

/// Reads one key with its value, as `--set` has them: a TOML value, or a word that is none and means itself.
pub(super) fn read_pair(pair: &str) -> Result<File, ConfigError> {
    let name = pair.split_once('=').map_or(pair, |(key, _)| key).trim();
    let name = format!("--set {name}");
    let complain = |message: &str| ConfigError::Syntax {
        place: Place {
            file: name.clone(),
            line: 0,
        },
        message: message.to_owned(),
    };
    let Some((key, value)) = pair.split_once('=') else {
        return Err(complain("KEY=VALUE is wanted"));
    };
    let is_part = |part: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
        !part.is_empty() && part.bytes().all(is_plain)
    };
    let key = key.trim();
    if !key.split('.').all(is_part) {
        return Err(complain(
            "a key is wanted, such as mqtt_port or limits.in_flight",
        ));
    }
    let read = |value: &str| {
        let text = format!("{key} = {value}");
        read(&name, &text).map(|mut file| {
            file.lines.values_mut().for_each(|line| *line = 0);
            file
        })
    };
    let as_it_is = read(value);
    // What begins as text, a list or a table is no word.
    let is_word = !value.trim_start().starts_with(['"', '\'', '[', '{']);
    match as_it_is {
        Err(ConfigError::Syntax { .. }) if is_word => {
            let word = toml::Value::String(value.trim().to_owned()).to_string();
            let error = match read(&word) {
                Ok(file) => return Ok(file),
                // A number where another kind of value is wanted is told of as a number.
                Err(_) if toml::from_str::<toml::Table>(&format!("v = {value}")).is_ok() => {
                    read(value).err()
                }
                Err(error) => Some(error),
            };
            Err(error.map_or_else(|| complain("it cannot be read"), without_line))
        }
        Err(error) => Err(without_line(error)),
        Ok(file) => Ok(file),
    }
}

/// The same without the number of a line, as there is one line only.
fn without_line(mut error: ConfigError) -> ConfigError {
    if let ConfigError::Syntax { place, .. }
    | ConfigError::UnknownKey { place, .. }
    | ConfigError::DuplicateKey { place, .. }
    | ConfigError::PlainPassword { place } = &mut error
    {
        place.line = 0;
    }
    error
}

/// Answers where an offset of the text is.
struct Reader<'t> {
    name: &'t str,
    text: &'t str,
}

impl<'t> Reader<'t> {
    /// Spells the keys at the top with underscores: as flags they have hyphens.
    fn with_underscores(&self, table: DeTable<'t>) -> Result<DeTable<'t>, ConfigError> {
        let mut result = DeTable::new();
        for (key, value) in table {
            let span = key.span();
            let name = key.as_ref().replace('-', "_");
            if result.contains_key(name.as_str()) {
                let key = key.into_inner().into_owned();
                return Err(ConfigError::DuplicateKey {
                    place: self.place(&span),
                    key,
                });
            }
            result.insert(Spanned::new(span, Cow::Owned(name)), value);
        }
        Ok(result)
    }

    fn check_keys(
        &self,
        top: &DeTable<'_>,
        lines: &mut BTreeMap<String, usize>,
    ) -> Result<(), ConfigError> {
        self.check_table(top, None, lines)?;
        // What is in a rule is looked at by whoever reads rules.
        if let Some(DeValue::Array(rules)) = top.get("rules").map(Spanned::as_ref) {
            for (index, rule) in rules.iter().enumerate() {
                lines.insert(format!("rules.{index}"), self.place(&rule.span()).line);
            }
        }
        for (table, _) in TABLES {
            match top.get(*table).map(Spanned::as_ref) {
                Some(DeValue::Table(inner)) => self.check_table(inner, Some(table), lines)?,
                Some(DeValue::Array(list)) => {
                    for (index, item) in list.iter().enumerate() {
                        lines.insert(format!("{table}.{index}"), self.place(&item.span()).line);
                        if let DeValue::Table(inner) = item.as_ref() {
                            self.check_table(inner, Some(table), lines)?;
                        }
                    }
                }
                _ => {} // of the wrong kind, which reading the values reports
            }
        }
        Ok(())
    }

    fn check_table(
        &self,
        keys: &DeTable<'_>,
        table: Option<&str>,
        lines: &mut BTreeMap<String, usize>,
    ) -> Result<(), ConfigError> {
        for key in keys.keys() {
            let (name, place) = (key.as_ref().as_ref(), self.place(&key.span()));
            if table == Some("users") && name == "password" {
                return Err(ConfigError::PlainPassword { place });
            }
            if !is_known(table, name) {
                let hint = hint(table, name);
                return Err(ConfigError::UnknownKey {
                    place,
                    key: name.to_owned(),
                    hint,
                });
            }
            lines.insert(dotted(table, name), place.line);
        }
        Ok(())
    }

    fn take_settings(
        &self,
        table: &mut DeTable<'_>,
    ) -> Result<BTreeMap<&'static str, String>, ConfigError> {
        let mut settings = BTreeMap::new();
        for &key in SETTINGS {
            if let Some(value) = table.remove(key) {
                let text = as_text(value.as_ref()).ok_or_else(|| ConfigError::Syntax {
                    place: self.place(&value.span()),
                    message: format!("`{key}` cannot be a {}", value.as_ref().type_str()),
                })?;
                settings.insert(key, text);
            }
        }
        Ok(settings)
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let place = self.place(&error.span().unwrap_or_default());
        let message = error.message().trim().replace('\n', ", ");
        // What stands left of the equals sign names the key. The value stays out of messages: it
        // may be a secret.
        let line = self.text.lines().nth(place.line - 1).unwrap_or_default();
        let message = match line.split_once('=') {
            Some((key, _)) if !key.trim_start().starts_with('#') => {
                format!("`{}`: {message}", key.trim())
            }
            _ => message,
        };
        ConfigError::Syntax { place, message }
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let before = self.text.as_bytes().iter().take(span.start);
        Place {
            file: self.name.to_owned(),
            line: 1 + before.filter(|byte| **byte == b'\n').count(),
        }
    }
}

/// Every table and the keys it has.
const TABLES: &[(&str, &[&str])] = &[
    ("limits", RawLimits::KEYS),
    ("aws", RawAws::KEYS),
    ("tls", RawTls::KEYS),
    ("users", RawUser::KEYS),
    ("access_keys", RawAccessKey::KEYS),
    ("lambda", RawLambda::KEYS),
];

/// All keys of all tables; `None` is the top of the file.
pub(super) fn known_keys() -> impl Iterator<Item = (Option<&'static str>, &'static str)> {
    let top = SETTINGS.iter().chain(RawFile::KEYS).map(|key| (None, *key));
    top.chain(
        TABLES
            .iter()
            .flat_map(|(table, keys)| keys.iter().map(|key| (Some(*table), *key))),
    )
}

/// The name of a key in messages.
pub(super) fn dotted(table: Option<&str>, key: &str) -> String {
    table.map_or_else(|| key.to_owned(), |table| format!("{table}.{key}"))
}

fn is_known(table: Option<&str>, name: &str) -> bool {
    known_keys().any(|known| known == (table, name))
}

/// Finds what was meant: the same key elsewhere, else the nearest one here.
fn hint(table: Option<&str>, name: &str) -> String {
    let wanted = name.to_ascii_lowercase().replace('-', "_");
    if let Some((place, key)) = known_keys().find(|(_, key)| *key == wanted) {
        return match place {
            _ if place == table => format!(": it is spelled `{key}`"),
            None => format!(": `{key}` belongs to the top of the file, above all tables"),
            Some(place) => format!(": `{key}` belongs to [{place}]"),
        };
    }
    let here = known_keys().filter(|(place, _)| *place == table);
    nearest(&wanted, here.map(|(_, key)| key))
        .map_or_else(String::new, |key| format!(": did you mean `{key}`?"))
}

/// What somebody may have meant by the name of a variable.
pub(super) enum Nearest {
    /// Something that is a variable.
    Setting(&'static str),
    /// A key that only the file has, with its table.
    OfFile(String),
}

/// Finds what was meant by a variable, without its prefix and in lower case.
pub(super) fn nearest_setting(wanted: &str) -> Option<Nearest> {
    let of_file = known_keys()
        .filter(|(table, key)| table.is_some() || !SETTINGS.contains(key))
        .map(|(table, key)| (key, dotted(table, key)))
        .find(|(key, dotted)| *key == wanted || dotted.replace('.', "_") == wanted);
    if let Some((_, dotted)) = of_file {
        return Some(Nearest::OfFile(dotted));
    }
    nearest(wanted, SETTINGS.iter().copied()).map(Nearest::Setting)
}

/// A setting as it would be written on the command line; a list with commas.
fn as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.clone().into_owned()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(|item| item.as_ref().as_str()).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read("r.toml", text).unwrap_err().to_string()
    }

    #[test]
    fn settings_take_numbers_words_lists_and_both_spellings() {
        let file = read(
            "r.toml",
            "mqtts-port = 8884\nws_port = \"off\"\nsan = [\"a\", \"b\"]\ndie-with-parent = true",
        )
        .unwrap();
        let settings: Vec<_> = file
            .settings
            .iter()
            .map(|(k, v)| (*k, v.as_str()))
            .collect();
        assert_eq!(
            settings,
            [
                ("die_with_parent", "true"),
                ("mqtts_port", "8884"),
                ("san", "a,b"),
                ("ws_port", "off")
            ]
        );
        assert_eq!(file.lines.get("die_with_parent"), Some(&4));
    }

    #[test]
    fn an_unknown_key_is_answered_with_its_line_and_the_nearest_key() {
        for (text, message) in [
            (
                "\nmqtss_port = 1",
                "r.toml:2: unknown key `mqtss_port`: did you mean `mqtts_port`?",
            ),
            (
                "[limits]\ntopic_lenght = 1",
                "r.toml:2: unknown key `topic_lenght`: did you mean `topic_length`?",
            ),
            (
                "[limits]\ntopic-length = 1",
                "r.toml:2: unknown key `topic-length`: it is spelled `topic_length`",
            ),
            (
                "in_flight = 1",
                "r.toml:1: unknown key `in_flight`: `in_flight` belongs to [limits]",
            ),
            (
                "[limits]\nmqtt_port = 1",
                "r.toml:2: unknown key `mqtt_port`: `mqtt_port` belongs to the top of the file, \
                 above all tables",
            ),
            (
                "[limit]\n",
                "r.toml:1: unknown key `limit`: did you mean `limits`?",
            ),
            ("zzzzzzzzz = 1", "r.toml:1: unknown key `zzzzzzzzz`"),
            ("[limits]\nfoo = 1", "r.toml:2: unknown key `foo`"),
            // Near to `http_port`, which is none of the limits.
            (
                "[limits]\nhttp_prot = 1",
                "r.toml:2: unknown key `http_prot`",
            ),
        ] {
            assert_eq!(error(text), message);
        }
    }

    #[test]
    fn a_key_in_both_spellings_is_there_twice() {
        let message = error("mqtt-port = 1\nmqtt_port = 2");
        assert_eq!(message, "r.toml:2: `mqtt_port` is there already");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_with_key_and_line() {
        for (text, line, key) in [
            ("[limits]\n\nconnections = -1", 3, "connections"),
            ("[limits]\nin_flight = 70000", 2, "in_flight"),
            ("[limits]\nconnect_timeout = \"soon\"", 2, "connect_timeout"),
            ("[limits]\npayload_size = \"128KB\"", 2, "payload_size"),
            ("[limits]\nkeep_alive = [30]", 2, "keep_alive"),
            (
                "[limits]\nkeep_alive = [\"30s\", \"500ms\"]",
                2,
                "keep_alive",
            ),
            ("overlapping = \"twice\"", 1, "overlapping"),
            ("seed = -1", 1, "seed"),
            ("limits = 1", 1, "limits"),
            ("[aws]\nnever_dup = \"off\"", 2, "never_dup"),
            ("mqtt_port = 1979-05-27", 1, "mqtt_port"),
            ("mqtt_port = ", 1, "mqtt_port"),
        ] {
            let message = error(text);
            assert!(
                message.starts_with(&format!("r.toml:{line}: `{key}`")),
                "{message}"
            );
            assert!(!message.contains('\n'), "{message}");
        }
    }

    #[test]
    fn pair_is_a_toml_value_or_a_word() {
        for (pair, key, text) in [
            ("mqtt_port=1884", "mqtt_port", "1884"),
            ("mqtt-port = off", "mqtt_port", "off"),
            ("san=['a', 'b']", "san", "a,b"),
            ("die_with_parent=true", "die_with_parent", "true"),
            ("host=::1", "host", "::1"),
        ] {
            let file = read_pair(pair).unwrap();
            assert_eq!(
                file.settings.get(key).map(String::as_str),
                Some(text),
                "{pair}"
            );
        }
        let file = read_pair("limits.in_flight=20").unwrap();
        assert_eq!(file.raw.limits.unwrap().in_flight, Some(20));
        let region = |pair| read_pair(pair).unwrap().raw.aws.unwrap().region;
        assert_eq!(region("aws.region=eu-west-1").as_deref(), Some("eu-west-1"));
        let account = read_pair("aws.account=123456789012")
            .unwrap()
            .raw
            .aws
            .unwrap()
            .account;
        assert_eq!(account.as_deref(), Some("123456789012"));
    }

    #[test]
    fn pair_that_cannot_be_taken_is_named_by_its_key() {
        for (pair, message) in [
            ("limits", "--set limits: KEY=VALUE is wanted"),
            ("=1", "--set : a key is wanted"),
            ("a b=1", "--set a b: a key is wanted"),
            (
                "limits.inflight=1",
                "--set limits.inflight: unknown key `inflight`: did you mean `in_flight`?",
            ),
            (
                "limits.in_flight=70000",
                "--set limits.in_flight: `limits.in_flight`: ",
            ),
            (
                "limits.in_flight=many",
                "--set limits.in_flight: `limits.in_flight`: ",
            ),
            ("san=['a'", "--set san: "),
            (
                "users=[{name='a',password='secret'}]",
                "--set users: `password` is not taken in the clear",
            ),
        ] {
            let error = read_pair(pair).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_in_the_clear_is_refused_and_not_repeated() {
        let message = error("[[users]]\nname = \"a\"\npassword = \"secret\"");
        assert!(message.starts_with("r.toml:3: `password`"), "{message}");
        assert!(message.contains("roundel passwd"), "{message}");
        assert!(!message.contains("secret"), "{message}");
    }
}
