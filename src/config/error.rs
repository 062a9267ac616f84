use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why there is no configuration: each message names the flag, variable or key to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not TOML, or a key has a value of the wrong kind.
    #[error("{place}: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// A key that does not exist.
    #[error("{place}: unknown key `{key}`{hint}")]
    UnknownKey {
        /// Where.
        place: Place,
        /// The key as written.
        key: String,
        /// The nearest key that exists, as the end of the sentence; may be empty.
        hint: String,
    },
    /// An environment variable that looks like a setting and is none.
    #[error("unknown environment variable {name}{hint}")]
    UnknownVariable {
        /// Its name.
        name: String,
        /// The nearest one that exists, as the end of the sentence; may be empty.
        hint: String,
    },
    /// The same key twice, once with hyphens and once with underscores.
    #[error("{place}: `{key}` is there already")]
    DuplicateKey {
        /// Where the second one is.
        place: Place,
        /// The key as written.
        key: String,
    },
    /// A password in the clear.
    #[error(
        "{place}: `password` is not taken in the clear: `roundel passwd NAME` makes the \
         `password_hash` to write instead"
    )]
    PlainPassword {
        /// Where.
        place: Place,
    },
    /// A value that cannot be taken.
    #[error("{origin}: {reason}")]
    Value {
        /// Who gave it.
        origin: Origin,
        /// Why not; quotes the value.
        reason: String,
    },
    /// Two values that cannot both be taken.
    #[error("{first} and {second}: {reason}")]
    Conflict {
        /// Who gave the one.
        first: Box<Origin>,
        /// Who gave the other.
        second: Box<Origin>,
        /// Why not both.
        reason: String,
    },
    /// The file names no profile, and the library has no default one.
    #[error("{file}: no `profile`: write `profile = \"aws\"` or `profile = \"standard\"`")]
    NoProfile {
        /// The file.
        file: String,
    },
    /// Nobody could connect.
    #[error(
        "mqtt_port, mqtts_port, ws_port, wss_port, alpn_port and unix_socket are all off: nobody could connect"
    )]
    NoListener,
}

/// A line of a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named, or the flag whose value is read as a line of one: `--set mqtt_port`.
    pub file: String,
    /// The line, counted from 1; 0 where there is no file.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// Who gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody: it is the profile's default.
    Default {
        /// The key.
        key: String,
    },
    /// A preset, where nobody else gave one.
    Preset {
        /// Its name.
        name: &'static str,
        /// The key.
        key: String,
    },
    /// A key of the file.
    File {
        /// Where.
        place: Place,
        /// The key, with the table before a dot.
        key: String,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: String,
    },
    /// A flag of the command line.
    Flag {
        /// Its name, with the hyphens.
        name: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default { key } => write!(f, "`{key}` (default)"),
            Self::Preset { name, key } => write!(f, "`{key}` of the preset {name}"),
            Self::File { place, key } => write!(f, "{place}: `{key}`"),
            Self::Variable { name } => f.write_str(name),
            Self::Flag { name } => f.write_str(name),
        }
    }
}
