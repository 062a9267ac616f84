//! Single values: how they are written, on the command line, in a variable and in the file.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::time::SCALE_MAX;

use super::{ClientCert, Overflow, Overlapping, PolicyMode, Profile, RegistryPlace, ShareStrategy};

/// What a value in the file becomes in the configuration.
pub(super) trait Resolve {
    type To;

    fn resolve(self) -> Self::To;
}

/// Values that stand in the file as they are.
macro_rules! resolve_to_self {
    ($($kind:ty),*) => {$(
        impl Resolve for $kind {
            type To = Self;

            fn resolve(self) -> Self {
                self
            }
        }
    )*};
}

resolve_to_self!(bool, u16, u32, u64, usize, String, Vec<String>);

impl<T: Resolve> Resolve for (T, T) {
    type To = (T::To, T::To);

    fn resolve(self) -> Self::To {
        (self.0.resolve(), self.1.resolve())
    }
}

/// A number of bytes: `131072` or `"128KiB"`.
#[derive(Debug)]
pub(super) struct Size<T>(T);

/// A length of time: seconds, or `"500ms"`, `"30s"`, `"1h30m"`.
#[derive(Debug)]
pub(super) struct Span(Duration);

/// The same, in whole seconds that fit what the protocol has for them.
#[derive(Debug)]
pub(super) struct Seconds<T>(T);

/// A value, or the word `"off"`.
#[derive(Debug)]
pub(super) struct OrOff<T>(Option<T>);

/// A number, or the word `"random"`.
#[derive(Debug)]
pub(super) struct Seed(Option<u64>);

/// One of a few words.
#[derive(Debug)]
pub(super) struct Word<T>(T);

impl<T> Resolve for Size<T> {
    type To = T;

    fn resolve(self) -> T {
        self.0
    }
}

impl Resolve for Span {
    type To = Duration;

    fn resolve(self) -> Duration {
        self.0
    }
}

impl<T> Resolve for Seconds<T> {
    type To = T;

    fn resolve(self) -> T {
        self.0
    }
}

impl<T: Resolve> Resolve for OrOff<T> {
    type To = Option<T::To>;

    fn resolve(self) -> Self::To {
        self.0.map(Resolve::resolve)
    }
}

impl Resolve for Seed {
    type To = Option<u64>;

    fn resolve(self) -> Option<u64> {
        self.0
    }
}

impl<T> Resolve for Word<T> {
    type To = T;

    fn resolve(self) -> T {
        self.0
    }
}

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Size<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = match toml::Value::deserialize(deserializer)? {
            toml::Value::Integer(bytes) => u64::try_from(bytes).ok(),
            toml::Value::String(text) => parse_size(&text),
            _ => None,
        };
        let bytes =
            bytes.ok_or_else(|| D::Error::custom("expected bytes, as 131072 or \"128KiB\""))?;
        let size =
            T::try_from(bytes).map_err(|_| D::Error::custom("so many bytes are too many"))?;
        Ok(Self(size))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let span = match toml::Value::deserialize(deserializer)? {
            toml::Value::Integer(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
            toml::Value::String(text) => parse_duration(&text),
            _ => None,
        };
        span.map(Self)
            .ok_or_else(|| D::Error::custom("expected a time, as 30, \"500ms\" or \"1h30m\""))
    }
}

impl<'de, T: TryFrom<u64>> Deserialize<'de> for Seconds<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Span(span) = Span::deserialize(deserializer)?;
        if span.subsec_nanos() != 0 {
            return Err(D::Error::custom("expected whole seconds"));
        }
        T::try_from(span.as_secs())
            .map(Self)
            .map_err(|_| D::Error::custom("so many seconds are too many"))
    }
}

impl<'de, T: for<'a> Deserialize<'a>> Deserialize<'de> for OrOff<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        if value.as_str() == Some(OFF) {
            return Ok(Self(None));
        }
        T::deserialize(value)
            .map(|value| Self(Some(value)))
            .map_err(|error| D::Error::custom(format!("{}, or \"off\"", error.message())))
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::Integer(seed) => u64::try_from(seed).ok().map(|seed| Self(Some(seed))),
            toml::Value::String(word) if word == "random" => Some(Self(None)),
            _ => None,
        }
        .ok_or_else(|| D::Error::custom("expected a number that is not negative, or \"random\""))
    }
}

impl<'de, T: Named> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        parse_word(&word).map(Self).map_err(D::Error::custom)
    }
}

/// A choice whose alternatives have names.
pub(super) trait Named: Copy + 'static {
    const NAMES: &[(&str, Self)];
}

impl Named for Profile {
    const NAMES: &[(&str, Self)] = &[("aws", Self::Aws), ("standard", Self::Standard)];
}

impl Named for ClientCert {
    const NAMES: &[(&str, Self)] = &[
        ("required", Self::Required),
        ("optional", Self::Optional),
        ("none", Self::None),
    ];
}

impl Named for ShareStrategy {
    const NAMES: &[(&str, Self)] = &[("round-robin", Self::RoundRobin), ("random", Self::Random)];
}

impl Named for Overlapping {
    const NAMES: &[(&str, Self)] = &[("one-copy", Self::OneCopy), ("copy-each", Self::CopyEach)];
}

impl Named for PolicyMode {
    const NAMES: &[(&str, Self)] = &[("auto", Self::Auto), ("enforce", Self::Enforce)];
}

impl Named for Overflow {
    const NAMES: &[(&str, Self)] = &[
        ("drop-newest", Self::DropNewest),
        ("disconnect", Self::Disconnect),
    ];
}

/// What a listener with passwords speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PasswordListener {
    Mqtt,
    Ws,
}

impl Named for PasswordListener {
    const NAMES: &[(&str, Self)] = &[("mqtt", Self::Mqtt), ("ws", Self::Ws)];
}

impl Named for bool {
    const NAMES: &[(&str, Self)] = &[("true", true), ("false", false), ("1", true), ("0", false)];
}

pub(super) const OFF: &str = "off";

/// Reads one of the names of a choice.
pub(super) fn parse_word<T: Named>(text: &str) -> Result<T, String> {
    if let Some((_, value)) = T::NAMES.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let names: Vec<_> = T::NAMES.iter().map(|(name, _)| *name).collect();
    Err(format!("`{text}` is none of {}", names.join(", ")))
}

/// Reads a port, or `off`.
pub(super) fn parse_port(text: &str) -> Result<Option<u16>, String> {
    if text == OFF {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| format!("`{text}` is neither a port (0 to 65535) nor `off`"))
}

/// Reads `on` or `off`, or a boolean of the file.
pub(super) fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        OFF => Ok(false),
        _ => parse_word(text).map_err(|_| format!("`{text}` is neither `on` nor `off`")),
    }
}

/// What stands between commas, unless it is `off`.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    let items = text.split(',').map(str::trim);
    items.filter(|item| !item.is_empty() && *item != OFF)
}

/// Reads one listener as `KIND=PORT`.
pub(super) fn parse_listener(item: &str) -> Result<(&str, u16), String> {
    let (kind, port) = item
        .split_once('=')
        .ok_or_else(|| format!("`{item}` is not of the form KIND=PORT"))?;
    let port = port
        .parse()
        .map_err(|_| format!("`{port}` is no port (0 to 65535)"))?;
    Ok((kind, port))
}

/// Reads listeners by their kinds, each of them once, as `expired=8884,self-signed=0`, or `off`.
pub(super) fn parse_listeners<K: Named + Ord>(text: &str) -> Result<BTreeMap<K, u16>, String> {
    let mut listeners = BTreeMap::new();
    for item in items(text) {
        let (kind, port) = parse_listener(item)?;
        if listeners.insert(parse_word(kind)?, port).is_some() {
            return Err(format!("`{kind}` is there twice"));
        }
    }
    Ok(listeners)
}

/// Reads how many times as fast the clock runs.
pub(super) fn parse_scale(text: &str) -> Result<f64, String> {
    let scale = text.parse().ok();
    scale
        .filter(|scale| (1.0..=SCALE_MAX).contains(scale))
        .ok_or_else(|| format!("`{text}` is no number from 1 to {SCALE_MAX}"))
}

/// Reads the path of a file or folder.
pub(super) fn parse_path(text: &str) -> Result<PathBuf, String> {
    match text.is_empty() {
        true => Err("the path is empty".to_owned()),
        false => Ok(PathBuf::from(text)),
    }
}

/// Reads a path, or `off`.
pub(super) fn parse_optional_path(text: &str) -> Result<Option<PathBuf>, String> {
    if text == OFF {
        return Ok(None);
    }
    parse_path(text).map(Some)
}

/// Reads where the registry is kept.
pub(super) fn parse_registry(text: &str) -> Result<RegistryPlace, String> {
    match text {
        OFF => Ok(RegistryPlace::Off),
        "memory" => Ok(RegistryPlace::Memory),
        "certs" => Ok(RegistryPlace::Certs),
        path => parse_path(path).map(RegistryPlace::File),
    }
}

/// Reads an address to bind to.
pub(super) fn parse_address(text: &str) -> Result<IpAddr, String> {
    if text == "localhost" {
        return Ok(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse()
        .map_err(|_| format!("`{text}` is no IP address"))
}

/// Reads names separated by commas.
pub(super) fn parse_names(text: &str) -> Result<Vec<String>, String> {
    let names = text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty());
    names.map(parse_name).collect()
}

/// Reads the name of a host, or its address.
pub(super) fn parse_name(text: &str) -> Result<String, String> {
    match is_host(text) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is neither a host name nor an IP address")),
    }
}

/// An address, or labels of letters, digits, `-` and `_`; the first may be `*`.
fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let labels = name.strip_prefix("*.").unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || (name.len() <= 253 && labels.split('.').all(is_label))
}

fn parse_size(text: &str) -> Option<u64> {
    let (digits, unit) = split_number(text.trim());
    let factor = match unit.trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Reads `30s`, `500ms`, `1h30m`; a number alone is seconds.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let (digits, after) = split_number(rest);
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, next) = after.split_at(end);
        let unit = match unit.trim() {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            "d" => Duration::from_secs(86_400),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(digits.parse().ok()?)?)?;
        rest = next;
    }
    (!text.trim().is_empty()).then_some(total)
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit_and_in_sums() {
        for (text, millis) in [
            ("30", Some(30_000)),
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("", None),
            ("s", None),
            ("5 fortnights", None),
            ("-1s", None),
            ("1.5s", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(
                parse_duration(text),
                millis.map(Duration::from_millis),
                "{text:?}"
            );
        }
    }

    #[test]
    fn sizes_are_read_in_binary_units_only() {
        for (text, bytes) in [
            ("131072", Some(131_072)),
            ("128KiB", Some(131_072)),
            ("64 MiB", Some(67_108_864)),
            ("1GiB", Some(1 << 30)),
            ("10KB", None),
            ("KiB", None),
            ("17179869184GiB", None),
        ] {
            assert_eq!(parse_size(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn ports_are_numbers_or_off() {
        assert_eq!(parse_port("0"), Ok(Some(0)));
        assert_eq!(parse_port("off"), Ok(None));
        for wrong in ["65536", "-1", "", "no"] {
            assert!(
                parse_port(wrong).is_err_and(|error| error.contains(wrong)),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_host_may_be_a_name_an_address_or_a_wildcard() {
        for name in [
            "localhost",
            "a.b-c.test",
            "my_host",
            "*.test",
            "10.0.0.7",
            "::1",
        ] {
            assert!(is_host(name), "{name}");
        }
        for name in ["", "a b", "a..b", "*", "a.*.b", "http://a", "a/b"] {
            assert!(!is_host(name), "{name}");
        }
    }

    #[test]
    fn an_unknown_word_is_answered_with_the_known_ones() {
        let error = parse_word::<ClientCert>("maybe").err();
        assert_eq!(
            error.as_deref(),
            Some("`maybe` is none of required, optional, none")
        );
    }
}
