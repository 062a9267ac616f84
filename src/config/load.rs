//! From file, environment and command line to one [`Config`].
//!
//! Later sources win: the defaults of the profile, then the file, then the environment, then
//! flags. Each value keeps its origin until all is checked, so that a message names the flag,
//! variable or key to change.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::check;
use super::error::{ConfigError, Origin, Place};
use super::file::{self, File, Nearest};
use super::further;
use super::preset::{self, Preset};
use super::raw::SETTINGS;
use super::value::{
    PasswordListener, parse_address, parse_listeners, parse_name, parse_names, parse_optional_path,
    parse_path, parse_port, parse_registry, parse_scale, parse_switch, parse_word,
};
use super::{Config, Profile, RegistryPlace};

/// Gathers what was said about a configuration, and by whom.
///
/// The `roundel` program uses this; so may another that offers the same flags.
///
/// ```
/// use roundel::config::Sources;
///
/// let loaded = Sources::new()
///     .environment([("ROUNDEL_MQTT_PORT".to_owned(), "1884".to_owned())])
///     .flag("mqtts_port", "off")
///     .load()?;
/// assert_eq!(loaded.config.listeners.mqtt, Some(1884));
/// assert_eq!(loaded.config.listeners.mqtts, None);
/// # Ok::<(), roundel::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Sources {
    file: Option<PathBuf>,
    variables: BTreeMap<&'static str, String>,
    /// Variables that are none of ours and look as if they were.
    unknown: BTreeSet<String>,
    flags: BTreeMap<&'static str, String>,
    /// Any keys of the file with their values, each as `KEY=VALUE`.
    pairs: Vec<String>,
}

/// A configuration, and what it says about the program around the broker.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the broker is told.
    pub config: Config,
    /// What the `roundel` program is told.
    #[doc(hidden)]
    pub program: Program,
}

/// Settings of the `roundel` program that are none of the broker's.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// What is printed once every listener accepts.
    pub ready: Ready,
    /// Whether the end of standard input ends the program.
    pub die_with_parent: bool,
    /// The filter of log messages, and who gave it.
    pub log: Option<(String, Origin)>,
    /// The form of log messages.
    pub log_format: LogFormat,
    /// The suite of tests whose listeners these are.
    pub preset: Option<&'static Preset>,
    /// Who said which packet rule, in their order.
    pub rules: Vec<Origin>,
    /// Who chose the ports of the listeners, by their names: `mqtt`, `mqtts`, `ws`, `wss`, `alpn`, `https`,
    /// `http`, `mqtt-password`, `ws-password`, and those of [`BadTls`](super::BadTls) that there are; under
    /// `listener` who chose those of further ones.
    pub ports: BTreeMap<&'static str, Origin>,
    /// Who chose what else may be the matter with a start, by its key.
    pub origins: BTreeMap<&'static str, Origin>,
}

/// What is printed on standard output once every listener accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ready {
    /// One line of JSON, for programs.
    Json,
    /// Addresses and examples, for people.
    #[default]
    Text,
}

/// How log messages are written on standard error, one to a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level, message, then `key=value`, quoted where need be.
    #[default]
    Text,
    /// An object of JSON.
    Json,
}

impl super::value::Named for LogFormat {
    const NAMES: &[(&str, Self)] = &[("text", Self::Text), ("json", Self::Json)];
}

impl super::value::Named for Ready {
    const NAMES: &[(&str, Self)] = &[("json", Self::Json), ("text", Self::Text)];
}

impl Sources {
    /// Starts with nothing but defaults: those of profile `aws`, unless a source says otherwise.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the configuration file.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>) -> Self {
        self.file = Some(path.into());
        self
    }

    /// Adds environment variables: `ROUNDEL_MQTTS_PORT` is `--mqtts-port`. An empty one says nothing.
    ///
    /// Other names that start with `ROUNDEL_` are errors when it comes to [`load`](Self::load), but for
    /// `ROUNDEL_CONFIG`, which the caller reads, and those that are left to test programs:
    /// `ROUNDEL_BIN`, `ROUNDEL_BINARY` and all that start with `ROUNDEL_TEST_`.
    #[must_use]
    pub fn environment(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        for (name, value) in variables {
            // Most are somebody else's.
            let Some(rest) = name.strip_prefix(PREFIX).filter(|_| !value.is_empty()) else {
                continue;
            };
            let setting = SETTINGS.iter().find(|key| key.to_ascii_uppercase() == rest);
            if let Some(key) = setting {
                self.variables.insert(key, value);
            } else if !is_reserved(&name) {
                self.unknown.insert(name);
            }
        }
        self
    }

    /// Checks that there is no unknown variable, as [`load`](Self::load) does before all else.
    ///
    /// # Errors
    ///
    /// The first variable that is unknown, with the nearest one that is not.
    pub fn check_variables(&self) -> Result<(), ConfigError> {
        let Some(name) = self.unknown.first() else {
            return Ok(());
        };
        let key = name.trim_start_matches(PREFIX).to_ascii_lowercase();
        let hint = match file::nearest_setting(&key) {
            Some(Nearest::Setting(key)) => format!(": did you mean `{}`?", variable_name(key)),
            Some(Nearest::OfFile(key)) => {
                format!(": `{key}` is a key of the configuration file only")
            }
            None => String::new(),
        };
        Err(ConfigError::UnknownVariable {
            name: name.clone(),
            hint,
        })
    }

    /// Adds a flag by its key, `mqtts_port` for `--mqtts-port`. One that may be repeated (`san`, `bad_tls`,
    /// `password_listener`, `listener`) takes several values, or one with commas. A key that is no setting is passed over.
    #[must_use]
    pub fn flag(mut self, key: &str, value: impl Into<String>) -> Self {
        if let Some(key) = SETTINGS.iter().find(|setting| **setting == key) {
            let value = value.into();
            self.flags
                .entry(key)
                .and_modify(|values| *values = format!("{values},{value}"))
                .or_insert(value);
        }
        self
    }

    /// Adds a key of the file with its value, as `--set KEY=VALUE` does: `limits.in_flight=20`. The value is one
    /// of TOML, or a word that stands for itself. It goes before the file and variables; a key that is a flag as
    /// well is given once, here or there.
    #[must_use]
    pub fn set(mut self, pair: impl Into<String>) -> Self {
        self.pairs.push(pair.into());
        self
    }

    /// Reads, layers and checks everything.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with the flag, variable, or file and key to change.
    pub fn load(self) -> Result<Loaded, ConfigError> {
        self.check_variables()?;
        let file = self.file.as_deref().map(read_file).transpose()?;
        self.layer(file, RegistryPlace::Certs)
    }

    /// `kept` is where profile `aws` has its registry unless a source says otherwise.
    fn layer(self, file: Option<File>, kept: RegistryPlace) -> Result<Loaded, ConfigError> {
        let mut said = Said::default();
        let mut raws = Vec::new();
        if let Some(file) = file {
            for (key, line) in file.lines {
                let place = Place {
                    file: file.name.clone(),
                    line,
                };
                let origin = Origin::File {
                    place,
                    key: key.clone(),
                };
                said.keys.insert(key, origin);
            }
            for (key, text) in file.settings {
                said.settings.insert(key, (text, said.in_file(key)));
            }
            raws.push(file.raw);
        }
        for (key, text) in self.variables {
            said.settings.insert(
                key,
                (
                    text,
                    Origin::Variable {
                        name: variable_name(key),
                    },
                ),
            );
        }
        for pair in &self.pairs {
            let pair = file::read_pair(pair)?;
            let origin = Origin::Flag { name: pair.name };
            for key in pair.lines.into_keys() {
                said.keys.insert(key, origin.clone());
            }
            for (key, text) in pair.settings {
                if self.flags.contains_key(key) {
                    return Err(ConfigError::Conflict {
                        first: Box::new(Origin::Flag {
                            name: flag_name(key),
                        }),
                        second: Box::new(origin),
                        reason: "they say the same thing, and one of them has to go".to_owned(),
                    });
                }
                said.settings.insert(key, (text, origin.clone()));
            }
            raws.push(pair.raw);
        }
        for (key, text) in self.flags {
            said.settings.insert(
                key,
                (
                    text,
                    Origin::Flag {
                        name: flag_name(key),
                    },
                ),
            );
        }
        let preset = said.read("preset", preset::parse)?.flatten();
        let of_preset = preset.map(Preset::read).transpose()?;
        if let (Some(preset), Some(file)) = (preset, &of_preset) {
            said.add_preset(preset, file);
        }
        let profile = said.read("profile", parse_word)?.unwrap_or(Profile::Aws);
        let mut config = match profile {
            Profile::Aws => Config {
                registry: kept,
                ..Config::aws()
            },
            Profile::Standard => Config::standard(),
        };
        let has_users_of_preset = of_preset.is_some() && raws.iter().all(|raw| raw.users.is_none());
        for raw in of_preset.map(|file| file.raw).into_iter().chain(raws) {
            raw.apply(&mut config);
        }
        let mut program = apply_settings(&said, &mut config)?;
        program.preset = preset;
        let rules = (0..config.rules.len()).map(|index| said.origin(&format!("rules.{index}")));
        program.rules = rules.collect();
        // The users of a suite are for its listeners, and ask nobody for a password elsewhere.
        if has_users_of_preset && !config.listeners.separate_users() {
            config.users.clear();
        }
        check::check(&mut config, &said)?;
        Ok(Loaded { config, program })
    }
}

impl Config {
    /// Reads a configuration file, without regard to the environment.
    ///
    /// The file must name its `profile`. Keys about the program (`ready`, `die_with_parent`,
    /// `log`) are checked and have no effect.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its line and key.
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        from_toml(read_file(path.as_ref())?)
    }

    /// Reads a configuration from the text of a file.
    ///
    /// ```
    /// use roundel::Config;
    ///
    /// let config = Config::from_toml_str("profile = 'standard'\nmqtt_port = 0")?;
    /// assert_eq!(config.listeners.mqtt, Some(0));
    /// # Ok::<(), roundel::config::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Config::from_file`].
    pub fn from_toml_str(text: &str) -> Result<Self, ConfigError> {
        from_toml(file::read("configuration", text)?)
    }
}

/// What the sources said, and who said it.
#[derive(Default)]
pub(super) struct Said {
    /// Who gave each key that the file may have, by `key` or `table.key`.
    keys: BTreeMap<String, Origin>,
    settings: BTreeMap<&'static str, (String, Origin)>,
}

impl Said {
    /// Adds what a preset says and nobody else does.
    fn add_preset(&mut self, preset: &'static Preset, file: &File) {
        for (&key, text) in &file.settings {
            let origin = Origin::Preset {
                name: preset.name,
                key: key.to_owned(),
            };
            self.settings
                .entry(key)
                .or_insert_with(|| (text.clone(), origin));
        }
    }

    /// Who gave a value; `key` is that of a setting, or `table.key` of the file.
    pub(super) fn origin(&self, key: &str) -> Origin {
        match self.settings.get(key) {
            Some((_, origin)) => origin.clone(),
            None => self.in_file(key),
        }
    }

    /// Whether anybody gave a value.
    pub(super) fn has(&self, key: &str) -> bool {
        !matches!(self.origin(key), Origin::Default { .. })
    }

    fn in_file(&self, key: &str) -> Origin {
        match self.keys.get(key) {
            Some(origin) => origin.clone(),
            None => Origin::Default {
                key: key.to_owned(),
            },
        }
    }

    fn read<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let Some((text, origin)) = self.settings.get(key) else {
            return Ok(None);
        };
        parse(text).map(Some).map_err(|reason| ConfigError::Value {
            origin: origin.clone(),
            reason,
        })
    }

    fn set<T>(
        &self,
        key: &str,
        target: &mut T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<(), ConfigError> {
        if let Some(value) = self.read(key, parse)? {
            *target = value;
        }
        Ok(())
    }
}

fn apply_settings(said: &Said, config: &mut Config) -> Result<Program, ConfigError> {
    let listeners = &mut config.listeners;
    said.set("host", &mut listeners.host, parse_address)?;
    said.set("mqtt_port", &mut listeners.mqtt, parse_port)?;
    said.set("mqtts_port", &mut listeners.mqtts, parse_port)?;
    said.set("ws_port", &mut listeners.ws, parse_port)?;
    said.set("wss_port", &mut listeners.wss, parse_port)?;
    said.set("alpn_port", &mut listeners.alpn, parse_port)?;
    said.set("https_port", &mut listeners.https, parse_port)?;
    said.set("http_port", &mut listeners.http, parse_port)?;
    said.set("http_host", &mut listeners.http_host, parse_address)?;
    said.set("console", &mut config.console, parse_switch)?;
    said.set("bad_tls", &mut listeners.bad_tls, parse_listeners)?;
    let with_passwords = said.read("password_listener", parse_listeners::<PasswordListener>)?;
    if let Some(ports) = with_passwords {
        listeners.mqtt_password = ports.get(&PasswordListener::Mqtt).copied();
        listeners.ws_password = ports.get(&PasswordListener::Ws).copied();
    }
    said.set("listener", &mut listeners.further, further::parse)?;
    let unix_socket = &mut listeners.unix_socket;
    said.set("unix_socket", unix_socket, parse_optional_path)?;
    said.set("certs", &mut config.tls.certs, parse_path)?;
    let tls = &mut config.tls;
    said.set("server_cert", &mut tls.server_cert, parse_optional_path)?;
    said.set("server_key", &mut tls.server_key, parse_optional_path)?;
    said.set("client_ca", &mut tls.client_ca, parse_optional_path)?;
    said.set("keylog", &mut tls.keylog, parse_optional_path)?;
    said.set("client_cert", &mut config.tls.client_cert, parse_word)?;
    said.set("san", &mut config.tls.san, parse_names)?;
    said.set("endpoint_name", &mut config.endpoint_name, parse_name)?;
    said.set("registry", &mut config.registry, parse_registry)?;
    said.set("fleet", &mut config.fleet, parse_optional_path)?;
    said.set("share_strategy", &mut config.share_strategy, parse_word)?;
    said.set("journal", &mut config.journal, parse_word)?;
    said.set("packets", &mut config.packets, parse_word)?;
    said.set("time_scale", &mut config.time_scale, parse_scale)?;

    let mut program = Program::default();
    said.set("ready", &mut program.ready, parse_word)?;
    said.set("die_with_parent", &mut program.die_with_parent, parse_word)?;
    said.set("log_format", &mut program.log_format, parse_word)?;
    program.log = said.settings.get("log").cloned();
    program.ports = ["mqtt", "mqtts", "ws", "wss", "alpn", "https", "http"]
        .map(|listener| (listener, said.origin(&format!("{listener}_port"))))
        .into();
    let keys = [
        "unix_socket",
        "registry",
        "fleet",
        "keylog",
        "bad_tls",
        "san",
    ];
    program.origins = keys.map(|key| (key, said.origin(key))).into();
    let bad_tls = config.listeners.bad_tls.keys();
    let bad_tls = bad_tls.map(|kind| (kind.listener(), said.origin("bad_tls")));
    program.ports.extend(bad_tls);
    let with_passwords = ["mqtt-password", "ws-password"];
    let with_passwords = with_passwords.map(|name| (name, said.origin("password_listener")));
    program.ports.extend(with_passwords);
    program.ports.insert("listener", said.origin("listener"));
    Ok(program)
}

fn read_file(path: &Path) -> Result<File, ConfigError> {
    let text = read_text(path).map_err(|source| ConfigError::Read {
        path: path.to_owned(),
        source,
    })?;
    file::read(&path.display().to_string(), &text)
}

/// Reads a file, or what a shell puts in the place of one (`--config <(command)`).
fn read_text(path: &Path) -> io::Result<String> {
    if std::fs::metadata(path)?.is_file() {
        return read_start(path);
    }
    // A pipe may have nobody at its other end, and cannot be opened without waiting for somebody.
    let (done, read) = std::sync::mpsc::channel();
    let from = path.to_owned();
    std::thread::spawn(move || done.send(read_start(&from)));
    read.recv_timeout(PIPE_LIMIT).unwrap_or_else(|_| {
        let reason = "it is no file, and nobody has written it to its end within 5 s";
        Err(io::Error::new(io::ErrorKind::TimedOut, reason))
    })
}

fn read_start(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_SIZE_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_SIZE_MAX {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    Ok(text)
}

fn from_toml(file: File) -> Result<Config, ConfigError> {
    if !file.settings.contains_key("profile") {
        return Err(ConfigError::NoProfile { file: file.name });
    }
    let kept = Config::aws().registry;
    Ok(Sources::new().layer(Some(file), kept)?.config)
}

/// A configuration that comes out of a pipe is there after so long, or not at all.
const PIPE_LIMIT: Duration = Duration::from_secs(5);

/// Bytes of a configuration file; ten thousand users have a tenth.
const FILE_SIZE_MAX: u64 = 16 << 20;

/// What every variable starts with.
const PREFIX: &str = "ROUNDEL_";

/// Names that mean nothing here and are no mistakes.
fn is_reserved(name: &str) -> bool {
    matches!(name, "ROUNDEL_CONFIG" | "ROUNDEL_BIN" | "ROUNDEL_BINARY")
        || name.starts_with("ROUNDEL_TEST_")
}

fn variable_name(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

fn flag_name(key: &str) -> String {
    format!("--{}", key.replace('_', "-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(feature = "tls", any(feature = "http", feature = "websocket")))]
    use crate::config::ClientCert;
    #[cfg(all(feature = "tls", feature = "websocket"))]
    use crate::config::{FurtherListener, ListenerKind};

    fn sources(
        file: &str,
        variables: &[(&str, &str)],
        flags: &[(&str, &str)],
    ) -> Result<Loaded, ConfigError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let sources = Sources::new().environment(variables.iter().map(owned));
        let sources = flags
            .iter()
            .fold(sources, |s, (key, value)| s.flag(key, *value));
        sources.layer(Some(file::read("r.toml", file)?), RegistryPlace::Certs)
    }

    #[cfg(all(feature = "http", feature = "tls"))]
    fn aws_of_the_program() -> Config {
        Config {
            registry: RegistryPlace::Certs,
            ..Config::aws()
        }
    }

    #[cfg(feature = "tls")]
    const HASH: &str = "$7$101$c2FsdA==$YWJjZGVmZ2hpamtsbW5vcA==";

    fn error(file: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
        sources(file, variables, flags).unwrap_err().to_string()
    }

    // The listeners that it names are there with these features only.
    #[cfg(all(feature = "http", feature = "tls"))]
    #[test]
    fn nothing_said_means_aws() {
        let loaded = Sources::new().load().unwrap();
        assert_eq!(
            format!("{:?}", loaded.config),
            format!("{:?}", aws_of_the_program())
        );
    }

    // The listeners that it names are there with these features only.
    #[cfg(all(feature = "http", feature = "tls"))]
    #[test]
    fn flags_win_over_variables_and_variables_over_the_file() {
        let file = "mqtt_port = 1\nmqtts_port = 1\nws_port = 1";
        let variables = [("ROUNDEL_MQTTS_PORT", "2"), ("ROUNDEL_WS_PORT", "2")];
        let listeners = sources(file, &variables, &[("ws_port", "3")])
            .unwrap()
            .config
            .listeners;
        assert_eq!(
            (listeners.mqtt, listeners.mqtts, listeners.ws),
            (Some(1), Some(2), Some(3))
        );
    }

    #[test]
    fn the_profile_of_a_later_source_brings_its_own_defaults() {
        let config = sources("profile = 'aws'", &[("ROUNDEL_PROFILE", "standard")], &[])
            .unwrap()
            .config;
        assert_eq!(config.profile, Profile::Standard);
        assert_eq!(config.listeners.mqtt, Some(1883));
        assert_eq!(config.limits.topic_slashes, None);
    }

    // The listeners that it names are there with these features only.
    #[cfg(feature = "doors")]
    #[test]
    fn every_setting_reaches_its_place() {
        let values = [
            ("profile", "standard"),
            ("preset", "off"),
            ("host", "::1"),
            ("mqtts_port", "1"),
            ("client_cert", "optional"),
            ("san", ""),
            ("mqtt_port", "2"),
            ("ws_port", "3"),
            ("wss_port", "4"),
            ("alpn_port", "6"),
            ("https_port", "7"),
            ("http_port", "5"),
            ("http_host", "127.0.0.2"),
            ("console", "off"),
            ("bad_tls", ""),
            ("password_listener", "mqtt=8,ws=9"),
            ("listener", "mqtt+ws=10"),
            ("unix_socket", "/run/mqtt"),
            ("certs", "certs"),
            ("server_cert", "/server.pem"),
            ("server_key", "/server.key"),
            ("client_ca", "/ca.pem"),
            ("keylog", "/keys.txt"),
            ("endpoint_name", "broker.test"),
            ("registry", "/registry.redb"),
            ("fleet", "/fleet.toml"),
            ("share_strategy", "random"),
            ("journal", "true"),
            ("packets", "true"),
            ("time_scale", "2.5"),
            ("ready", "json"),
            ("die_with_parent", "true"),
            ("log", "debug"),
            ("log_format", "json"),
        ];
        assert!(
            SETTINGS
                .iter()
                .all(|key| values.iter().any(|(name, _)| name == key))
        );
        let users = format!("[[users]]\nname = 'ann'\npassword_hash = '{HASH}'");
        let Loaded { config, program } = sources(&users, &[], &values).unwrap();
        assert_eq!(config.profile, Profile::Standard);
        assert_eq!(config.listeners.host.to_string(), "::1");
        assert_eq!(config.listeners.mqtts, Some(1));
        assert_eq!(config.listeners.mqtt, Some(2));
        assert_eq!(config.listeners.ws, Some(3));
        assert_eq!(config.listeners.wss, Some(4));
        assert_eq!(config.listeners.alpn, Some(6));
        assert_eq!(config.listeners.https, Some(7));
        assert_eq!(config.listeners.http, Some(5));
        assert_eq!(config.listeners.mqtt_password, Some(8));
        assert_eq!(config.listeners.ws_password, Some(9));
        let both = FurtherListener::new(ListenerKind::MqttAndWs, 10);
        assert_eq!(config.listeners.further, [both]);
        assert_eq!(config.tls.client_cert, ClientCert::Optional);
        assert_eq!(config.listeners.http_host.to_string(), "127.0.0.2");
        assert!(!config.console);
        let path = |text| Some(PathBuf::from(text));
        assert_eq!(config.tls.server_cert, path("/server.pem"));
        assert_eq!(config.tls.server_key, path("/server.key"));
        assert_eq!(config.tls.client_ca, path("/ca.pem"));
        assert_eq!(config.tls.keylog, path("/keys.txt"));
        assert_eq!(config.listeners.unix_socket, path("/run/mqtt"));
        let registry = RegistryPlace::File("/registry.redb".into());
        assert_eq!(config.registry, registry);
        assert_eq!(config.endpoint_name, "broker.test");
        assert_eq!(config.fleet, path("/fleet.toml"));
        assert_eq!(config.share_strategy, crate::config::ShareStrategy::Random);
        assert_eq!(config.time_scale, 2.5);
        assert_eq!(program.ready, Ready::Json);
        assert!(config.journal && config.packets);
        assert!(program.die_with_parent);
        assert_eq!(program.log.unwrap().0, "debug");
        assert_eq!(program.log_format, LogFormat::Json);
    }

    #[test]
    fn certificates_of_the_folder_reach_their_place() {
        let values = [
            ("mqtt_port", "1"),
            ("certs", "/somewhere"),
            ("san", "a.test"),
            ("san", "10.0.0.7"),
            ("server_cert", "off"),
        ];
        let tls = sources("", &[], &values).unwrap().config.tls;
        assert_eq!(tls.certs, Path::new("/somewhere"));
        assert_eq!(tls.san, ["a.test", "10.0.0.7"]);
        assert_eq!(tls.server_cert, None);
    }

    #[cfg(feature = "tls")]
    #[test]
    fn listeners_with_faults_are_named_with_their_ports() {
        use crate::config::BadTls;

        let flags = [("bad_tls", "expired=0"), ("bad_tls", "tls1.2-only=8884")];
        let loaded = sources("mqtt_port = 0\nbad_tls = ['self-signed=0']", &[], &flags).unwrap();
        let wanted = [(BadTls::Expired, 0), (BadTls::Tls12Only, 8884)];
        assert_eq!(loaded.config.listeners.bad_tls, wanted.into());
        let origin = loaded.program.ports["bad-tls:tls1.2-only"].to_string();
        assert_eq!(origin, "--bad-tls");
        let none = sources("bad_tls = ['expired=0']", &[], &[("bad_tls", "off")]);
        assert!(none.unwrap().config.listeners.bad_tls.is_empty());
        for (value, words) in [
            ("expired", "`expired` is not of the form KIND=PORT"),
            ("old=0", "`old` is none of expired, not-yet-valid, "),
            ("expired=off", "`off` is no port (0 to 65535)"),
            ("expired=1,expired=2", "`expired` is there twice"),
            ("expired=7,self-signed=7", "both are to listen on port 7"),
            ("expired=8883", "`mqtts_port` (default)"),
        ] {
            let message = error("", &[], &[("bad_tls", value)]);
            assert!(
                message.contains("--bad-tls") && message.contains(words),
                "{message}"
            );
        }
    }

    #[cfg(all(feature = "tls", feature = "websocket"))]
    #[test]
    fn listeners_with_passwords_need_users_and_ports_of_their_own() {
        let users = format!("[[users]]\nname = 'ann'\npassword_hash = '{HASH}'");
        let file = format!("password-listener = ['mqtt=1884', 'ws=0']\n{users}");
        let loaded = sources(&file, &[], &[]).unwrap();
        let listeners = loaded.config.listeners;
        let ports = (listeners.mqtt_password, listeners.ws_password);
        assert_eq!(ports, (Some(1884), Some(0)));
        let origin = loaded.program.ports["ws-password"].to_string();
        assert_eq!(origin, "r.toml:1: `password_listener`");
        // A flag takes the place of what the file says, and brings no other kind with it.
        let flag = [("password_listener", "ws=8090")];
        let listeners = sources(&file, &[], &flag).unwrap().config.listeners;
        let ports = (listeners.mqtt_password, listeners.ws_password);
        assert_eq!(ports, (None, Some(8090)));
        // They alone are listeners enough.
        let alone = format!("mqtts_port = 'off'\n{file}");
        sources(&alone, &[], &[]).unwrap();

        let variable = ("ROUNDEL_PASSWORD_LISTENER", "mqtt=0");
        let message = error("", &[variable], &[]);
        assert!(
            message.starts_with("ROUNDEL_PASSWORD_LISTENER: ") && message.contains("[[users]]"),
            "{message}"
        );
        for (value, words) in [
            ("mqtt", "`mqtt` is not of the form KIND=PORT"),
            ("mqtts=0", "`mqtts` is none of mqtt, ws"),
            ("ws=off", "`off` is no port (0 to 65535)"),
            ("ws=1,ws=2", "`ws` is there twice"),
            ("ws=7,mqtt=7", "both are to listen on port 7"),
            ("mqtt=8883", "`mqtts_port` (default)"),
        ] {
            let message = error(&users, &[], &[("password_listener", value)]);
            assert!(
                message.contains("--password-listener") && message.contains(words),
                "{message}"
            );
        }
        let message = error(&users, &[], &[("password_listener", "off")]);
        assert!(message.contains("`profile`"), "{message}");
        assert!(message.contains("`password_listener`"), "{message}");
    }

    #[cfg(all(feature = "tls", feature = "websocket"))]
    #[test]
    fn further_listeners_have_kinds_ports_and_rules_for_client_certificates() {
        let flags = [
            ("listener", "mqtt+ws=1884"),
            ("listener", "mqtts:none=0"),
            ("listener", "mqtts=0"),
        ];
        let loaded = sources("mqtts_port = 'off'\nlistener = 'ws=1'", &[], &flags).unwrap();
        let none = FurtherListener::new(ListenerKind::Mqtts, 0).with_client_cert(ClientCert::None);
        let wanted = [
            FurtherListener::new(ListenerKind::MqttAndWs, 1884),
            none,
            FurtherListener::new(ListenerKind::Mqtts, 0),
        ];
        assert_eq!(loaded.config.listeners.further, wanted);
        assert_eq!(loaded.program.ports["listener"].to_string(), "--listener");
        let off = sources("listener = ['ws=1']", &[], &[("listener", "off")]).unwrap();
        assert!(off.config.listeners.further.is_empty());
        for (value, words) in [
            ("mqtt", "`mqtt` is not of the form KIND=PORT"),
            (
                "mqt=0",
                "`mqt` is none of mqtt, mqtts, ws, wss, mqtt+ws, mqtts+wss",
            ),
            (
                "mqtts:maybe=0",
                "`maybe` is none of required, optional, none",
            ),
            (
                "mqtt:none=0",
                "`mqtt:none=0`: a listener `mqtt` has no client certificates",
            ),
            ("ws=off", "`off` is no port (0 to 65535)"),
            ("ws=7,mqtt=7", "both are to listen on port 7"),
            ("mqtt=8883", "`mqtts_port` (default)"),
        ] {
            let message = error("", &[], &[("listener", value)]);
            assert!(
                message.contains("--listener") && message.contains(words),
                "{message}"
            );
        }
        // A listener that asks for certificates is enough for authorities to be of use, and needs them.
        let own = "mqtts_port = 'off'\nclient_cert = 'none'\nserver_cert = 's.pem'\nserver_key = 's.key'\n";
        let asks = [("listener", "mqtts:required=0")];
        sources(&format!("{own}client_ca = 'ca.pem'"), &[], &asks).unwrap();
        assert!(error(own, &[], &asks).contains("client_ca"));
    }

    #[test]
    fn pairs_win_over_file_and_variables_and_do_not_go_with_their_flag() {
        let text = "profile = 'standard'\n[limits]\nin_flight = 1\nsessions = 7";
        let sources = Sources::new()
            .environment([("ROUNDEL_MQTT_PORT".to_owned(), "1".to_owned())])
            .set("mqtt_port=2")
            .set("limits.in_flight=20")
            .set("limits.in_flight=21")
            .set("http_allowed_hosts=['a.test']");
        let layer = |sources: Sources| {
            let file = file::read("r.toml", text)?;
            sources.layer(Some(file), RegistryPlace::Off)
        };
        let loaded = layer(sources.clone()).unwrap();
        assert_eq!(loaded.config.listeners.mqtt, Some(2));
        assert_eq!(loaded.program.ports["mqtt"].to_string(), "--set mqtt_port");
        assert_eq!(loaded.config.limits.in_flight, 21);
        assert_eq!(loaded.config.limits.sessions, 7);
        assert_eq!(loaded.config.http_allowed_hosts, ["a.test"]);
        let error = layer(sources.clone().flag("mqtt_port", "3"))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("--mqtt-port and --set mqtt_port: "),
            "{error}"
        );
        let error = layer(sources.set("limits.connections=0"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("--set limits.connections: "), "{error}");
    }

    #[test]
    fn an_unknown_variable_is_answered_with_the_nearest_one() {
        for (name, end) in [
            ("ROUNDEL_MQTTS_PROT", ": did you mean `ROUNDEL_MQTTS_PORT`?"),
            ("ROUNDEL_MQTTPORT", ": did you mean `ROUNDEL_MQTT_PORT`?"),
            (
                "ROUNDEL_IN_FLIGHT",
                ": `limits.in_flight` is a key of the configuration file only",
            ),
            (
                "ROUNDEL_LIMITS_IN_FLIGHT",
                ": `limits.in_flight` is a key of the configuration file only",
            ),
            ("ROUNDEL_ZZZZZZZZZ", ""),
            ("ROUNDEL_FOO", ""),
        ] {
            let sources = Sources::new().environment([(name.to_owned(), "1".to_owned())]);
            let message = sources.load().unwrap_err().to_string();
            assert_eq!(message, format!("unknown environment variable {name}{end}"));
        }
    }

    #[test]
    fn other_variables_and_those_of_test_programs_are_passed_over() {
        let names = [
            "ROUNDEL",
            "PATH",
            "ROUNDEL_CONFIG",
            "ROUNDEL_BIN",
            "ROUNDEL_BINARY",
            "ROUNDEL_TEST_LOG",
        ];
        let variables = names.map(|name| (name.to_owned(), "x".to_owned()));
        let sources = Sources::new().environment(variables);
        sources.check_variables().unwrap();
        let empty = ("ROUNDEL_ZZZ".to_owned(), String::new());
        sources.environment([empty]).check_variables().unwrap();
    }

    #[test]
    fn a_wrong_value_is_named_by_who_gave_it() {
        for (file, variables, flags, start) in [
            ("", &[][..], &[("mqtts_port", "x")][..], "--mqtts-port: `x`"),
            (
                "",
                &[("ROUNDEL_MQTTS_PORT", "x")],
                &[],
                "ROUNDEL_MQTTS_PORT: `x`",
            ),
            (
                "\nmqtts_port = 'x'",
                &[],
                &[],
                "r.toml:2: `mqtts_port`: `x`",
            ),
            (
                "",
                &[],
                &[("profile", "azure")],
                "--profile: `azure` is none of aws, standard",
            ),
            (
                "",
                &[],
                &[("host", "example.org")],
                "--host: `example.org` is no IP address",
            ),
            ("", &[], &[("san", "a b")], "--san: `a b`"),
            ("", &[], &[("time_scale", "0.5")], "--time-scale: `0.5` is"),
            (
                "",
                &[],
                &[("time_scale", "10001")],
                "--time-scale: `10001` is",
            ),
            (
                "",
                &[],
                &[("time_scale", "fast")],
                "--time-scale: `fast` is",
            ),
            (
                "time_scale = 1e9",
                &[],
                &[],
                "r.toml:1: `time_scale`: `1e9`",
            ),
        ] {
            let message = error(file, variables, flags);
            assert!(message.starts_with(start), "{message}");
        }
    }

    // The listeners that it names are there with these features only.
    #[cfg(all(feature = "http", feature = "tls"))]
    #[test]
    fn an_empty_variable_says_nothing() {
        let loaded = sources("", &[("ROUNDEL_MQTTS_PORT", "")], &[]).unwrap();
        assert_eq!(loaded.config.listeners.mqtts, Some(8883));
    }

    #[test]
    fn the_library_has_no_default_profile() {
        let message = Config::from_toml_str("mqtt_port = 0")
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("configuration: no `profile`"),
            "{message}"
        );
    }

    #[cfg(all(feature = "aws", feature = "http", feature = "tls"))]
    #[test]
    fn the_program_keeps_a_registry_and_the_library_where_it_is_asked_to() {
        let program = |flags: &[(&str, &str)]| sources("", &[], flags).unwrap().config.registry;
        assert_eq!(program(&[]), RegistryPlace::Certs);
        assert_eq!(
            program(&[("registry", "memory"), ("mqtt_port", "1")]),
            RegistryPlace::Memory
        );
        let standard = program(&[("profile", "standard"), ("mqtt_port", "1")]);
        assert_eq!(standard, RegistryPlace::Off);
        let library = |text: &str| Config::from_toml_str(text).unwrap().registry;
        let text = "profile = 'aws'\nmqtt_port = 0";
        assert_eq!(library(text), RegistryPlace::Memory);
        let asked = format!("{text}\nregistry = 'certs'");
        assert_eq!(library(&asked), RegistryPlace::Certs);
    }

    #[cfg(all(feature = "aws", feature = "http", feature = "tls"))]
    #[test]
    fn account_and_region_are_those_of_the_table() {
        let text = "mqtt_port = 1\n[aws]\naccount = '000000000001'\nregion = 'eu-central-1'";
        let rules = sources(text, &[], &[]).unwrap().config.aws;
        assert_eq!(
            (&*rules.account, &*rules.region, rules.match_any_account),
            ("000000000001", "eu-central-1", false)
        );
        let text = "profile = 'standard'\n[aws]\nmatch_any_account = true";
        let rules = sources(text, &[], &[]).unwrap().config.aws;
        assert_eq!(
            (&*rules.account, &*rules.region, rules.match_any_account),
            ("123456789012", "us-east-1", true)
        );
        for (line, words) in [
            ("account = '12345678901'", "12 digits"),
            ("account = '12345678901x'", "12 digits"),
            ("region = ''", "small letters"),
            ("region = 'eu:central'", "small letters"),
        ] {
            let message = error(&format!("[aws]\n{line}"), &[], &[]);
            let key = line.split(' ').next().unwrap();
            assert!(
                message.starts_with(&format!("r.toml:2: `aws.{key}`")) && message.contains(words),
                "{message}"
            );
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let message = Config::from_file("/nowhere/r.toml")
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            "cannot read the configuration file `/nowhere/r.toml`"
        );
    }

    fn shipped(name: &str) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        std::fs::read_to_string(folder.join(name)).unwrap()
    }

    #[cfg(all(feature = "tls", feature = "http"))]
    #[test]
    fn the_shipped_files_state_the_defaults() {
        for (name, defaults) in [
            ("default-standard.toml", Config::standard()),
            ("default-aws.toml", aws_of_the_program()),
        ] {
            let config = Config::from_toml_str(&shipped(name)).unwrap();
            assert_eq!(format!("{config:#?}"), format!("{defaults:#?}"), "{name}");
        }
    }

    #[test]
    fn the_shipped_files_have_every_key() {
        for name in ["default-standard.toml", "default-aws.toml"] {
            let lines = file::read(name, &shipped(name)).unwrap().lines;
            for (table, key) in file::known_keys() {
                // One in a file of defaults would lock everybody else out, or be nobody's.
                let is_of = |name| key == name || table == Some(name);
                let has_none = ["users", "access_keys", "lambda", "rules"];
                let has_none = has_none.into_iter().any(is_of);
                let key = file::dotted(table, key);
                assert!(has_none || lines.contains_key(&key), "{name} lacks {key}");
            }
        }
    }

    #[test]
    fn the_shipped_minimal_file_listens_on_one_free_port() {
        let config = Config::from_toml_str(&shipped("minimal.toml")).unwrap();
        assert_eq!(config.listeners.mqtt, Some(0));
        assert_eq!(
            (config.listeners.mqtts, config.listeners.http),
            (None, None)
        );
    }
}
