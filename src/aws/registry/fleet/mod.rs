//! The fleet document: a registry as people write it, in JSON or TOML. `docs/registry.md` describes it.
//!
//! It has what people decide and not what the service makes up: no identifiers of things, no dates, no
//! versions but those of policies. A resource that stands in it is afterwards as it stands there, with all
//! that is attached to it; what does not stand in it stays as it is.

mod export;
mod import;
mod place;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde::de::{Deserializer, Error as _, MapAccess, Visitor, value::MapAccessDeserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::record::{
    CertificateMode, CertificateStatus, EventType, PropagatingAttribute, RegistrationConfig,
};
use super::{Error, Means, Registry};

pub use import::Applied;
use import::Import;

/// In which of the two a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are their own names")]
pub enum Format {
    Json,
    Toml,
}

/// What is wrong with a document, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {}{reason}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct FleetError {
    /// From 1.
    pub line: usize,
    /// From 1, in bytes.
    pub column: usize,
    /// The member, as in `certificates[0].policies[1]`; empty for the whole document.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a document was not imported. Nothing of it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It is wrong.
    #[error(transparent)]
    Document(#[from] FleetError),
    /// The registry took nothing.
    #[error(transparent)]
    Registry(Error),
}

/// A document to import.
pub struct Source<'a> {
    /// All of it.
    pub text: &'a str,
    /// What it is written in.
    pub format: Format,
    /// Reads the file that a `certificate_file` names.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// Makes a registry what a document says, in one change; what that did, in the order of the document.
///
/// # Errors
///
/// The first thing that is wrong with it.
pub fn import(
    registry: &Registry,
    means: Means<'_>,
    source: &Source<'_>,
) -> Result<Vec<Applied>, ImportError> {
    let mut fleet = place::parse(source.text, source.format)?;
    let mut import = Import::default();
    let error = match import.read_files(&mut fleet, source.read) {
        Ok(()) => match registry.change(means, |draft| import.run(draft, &fleet)) {
            Ok(()) => return Ok(import.applied),
            Err(error @ Error::InternalFailure(_)) => return Err(ImportError::Registry(error)),
            Err(error) => error.to_string(),
        },
        Err(error) => error,
    };
    let place = place::locate(source.text, source.format, &import.path, error);
    Err(ImportError::Document(place))
}

/// Why the document in a file was not imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is wrong.
    #[error("{}:{source}", path.display())]
    Document {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        source: FleetError,
    },
    /// The registry took nothing.
    #[error(transparent)]
    Registry(Error),
}

/// A document in a file: JSON if its name ends in `.json`, else TOML. Files that it names are looked for
/// beside it.
pub struct Document {
    path: PathBuf,
    text: String,
    format: Format,
}

impl Document {
    /// Reads the file, and nothing of what stands in it.
    ///
    /// # Errors
    ///
    /// [`FileError::Unreadable`].
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let text = fs::read_to_string(path).map_err(|source| FileError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let is_json = path.extension().is_some_and(|own| own == "json");
        Ok(Self {
            path: path.to_owned(),
            text,
            format: if is_json { Format::Json } else { Format::Toml },
        })
    }

    /// Makes a registry what the document says.
    ///
    /// # Errors
    ///
    /// Those of [`import()`].
    pub fn import(&self, registry: &Registry, means: Means<'_>) -> Result<Vec<Applied>, FileError> {
        let source = Source {
            text: &self.text,
            format: self.format,
            read: &|named| self.read_beside(named),
        };
        import(registry, means, &source).map_err(|error| match error {
            ImportError::Document(source) => self.wrong(source),
            ImportError::Registry(error) => FileError::Registry(error),
        })
    }

    /// The same document in JSON, with the content of the files that it names in their place: for somebody
    /// who has none of them.
    ///
    /// # Errors
    ///
    /// What can be seen to be wrong with it without a registry.
    pub fn whole(&self) -> Result<Whole<'_>, FileError> {
        let parsed = place::parse(&self.text, self.format);
        let mut fleet = parsed.map_err(|error| self.wrong(error))?;
        let mut import = Import::default();
        let read = import.read_files(&mut fleet, &|named| self.read_beside(named));
        read.map_err(|reason| self.wrong_at(&import.path, reason))?;
        fleet.forget_files();
        let json = serde_json::to_value(&fleet);
        let json = json.map_err(|error| self.wrong_at(&[], error.to_string()))?;
        Ok(Whole { of: self, json })
    }

    fn read_beside(&self, named: &Path) -> io::Result<String> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        fs::read_to_string(folder.join(named))
    }

    fn wrong_at(&self, member: &[place::Step], reason: String) -> FileError {
        self.wrong(place::locate(&self.text, self.format, member, reason))
    }

    fn wrong(&self, source: FleetError) -> FileError {
        FileError::Document {
            path: self.path.clone(),
            source,
        }
    }
}

/// A [`Document`] that names no files.
pub struct Whole<'a> {
    of: &'a Document,
    json: serde_json::Value,
}

impl Whole<'_> {
    /// It.
    #[must_use]
    pub fn json(&self) -> String {
        self.json.to_string()
    }

    /// What somebody else found wrong with it, and where that is in the file.
    #[must_use]
    pub fn wrong(&self, member: &str, reason: String) -> FileError {
        self.of.wrong_at(&place::steps(member, &self.json), reason)
    }
}

/// Imports the document in a file.
///
/// # Errors
///
/// A file that cannot be read, and those of [`import()`].
pub fn import_file(
    registry: &Registry,
    means: Means<'_>,
    path: &Path,
) -> Result<Vec<Applied>, FileError> {
    Document::open(path)?.import(registry, means)
}

/// A registry as a document.
///
/// # Errors
///
/// What the format cannot say; nothing in a registry is.
pub fn export(registry: &Registry, format: Format) -> Result<String, String> {
    export::fleet(&registry.state()).write(format)
}

/// What stands in a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Fleet {
    #[serde(skip_serializing_if = "Option::is_none")]
    registration_code: Option<String>,
    /// The name of one of the authorizers.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_authorizer: Option<String>,
    /// What is told of; everything else is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    events: Option<BTreeSet<EventType>>,
    #[serde(skip_serializing_if = "Named::is_none")]
    policies: Named<FleetPolicy>,
    #[serde(skip_serializing_if = "Named::is_none")]
    thing_types: Named<FleetType>,
    #[serde(skip_serializing_if = "Named::is_none")]
    thing_groups: Named<FleetGroup>,
    #[serde(skip_serializing_if = "Named::is_none")]
    things: Named<FleetThing>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ca_certificates: Vec<FleetCa>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    certificates: Vec<FleetCertificate>,
    #[serde(skip_serializing_if = "Named::is_none")]
    authorizers: Named<FleetAuthorizer>,
}

impl Fleet {
    /// Leaves out where certificates were read from.
    fn forget_files(&mut self) {
        for certificate in &mut self.certificates {
            certificate.certificate_file = None;
        }
        for ca in &mut self.ca_certificates {
            ca.certificate_file = None;
        }
    }

    fn write(&self, format: Format) -> Result<String, String> {
        match format {
            Format::Json => serde_json::to_string_pretty(self)
                .map(|text| text + "\n")
                .map_err(|error| error.to_string()),
            Format::Toml => toml::to_string_pretty(self).map_err(|error| error.to_string()),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FleetPolicy {
    /// The only version.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Text>,
    /// With several versions: the one that holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    default_version: Option<u64>,
    /// By their numbers.
    #[serde(skip_serializing_if = "Named::is_none")]
    versions: Named<Text>,
    #[serde(skip_serializing_if = "Named::is_none")]
    tags: Named<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FleetType {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    deprecated: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    searchable_attributes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    propagating_attributes: Vec<PropagatingAttribute>,
    #[serde(skip_serializing_if = "Named::is_none")]
    tags: Named<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FleetGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    policies: BTreeSet<String>,
    #[serde(skip_serializing_if = "Named::is_none")]
    attributes: Named<String>,
    #[serde(skip_serializing_if = "Named::is_none")]
    tags: Named<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FleetThing {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    thing_type: Option<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    groups: BTreeSet<String>,
    #[serde(skip_serializing_if = "Named::is_none")]
    attributes: Named<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetAuthorizer {
    function_arn: String,
    #[serde(default)]
    status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_key_name: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    signing_disabled: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    caching_for_http: bool,
    /// Names and PEMs.
    #[serde(default, skip_serializing_if = "Named::is_none")]
    token_signing_public_keys: Named<String>,
    #[serde(default, skip_serializing_if = "Named::is_none")]
    tags: Named<String>,
}

/// Where a certificate is, and what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetCertificate {
    /// To read by; it follows from the certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default = "active")]
    status: CertificateStatus,
    #[serde(default, skip_serializing_if = "is_default")]
    mode: CertificateMode,
    /// The registered authority that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    policies: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    things: BTreeSet<String>,
    /// The thing that has it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exclusive_thing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pem: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FleetCa {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default)]
    status: Status,
    #[serde(default, skip_serializing_if = "is_default")]
    mode: CertificateMode,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    auto_registration: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    certificate_file: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pem: Option<String>,
    #[serde(default, skip_serializing_if = "RegistrationConfig::is_empty")]
    registration: RegistrationConfig,
    #[serde(default, skip_serializing_if = "Named::is_none")]
    tags: Named<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    #[default]
    Active,
    Inactive,
}

impl From<bool> for Status {
    fn from(is_active: bool) -> Self {
        match is_active {
            true => Self::Active,
            false => Self::Inactive,
        }
    }
}

fn active() -> CertificateStatus {
    CertificateStatus::Active
}

fn is_default(mode: &CertificateMode) -> bool {
    *mode == CertificateMode::default()
}

/// Members by name, none of them twice.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
struct Named<T>(BTreeMap<String, T>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Named<T> {
    fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Deref for Named<T> {
    type Target = BTreeMap<String, T>;

    fn deref(&self) -> &BTreeMap<String, T> {
        &self.0
    }
}

impl<T> From<BTreeMap<String, T>> for Named<T> {
    fn from(members: BTreeMap<String, T>) -> Self {
        Self(members)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("members by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut members = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let value = map.next_value()?;
                    if members.contains_key(&name) {
                        return Err(A::Error::custom(format!("`{name}` is there already")));
                    }
                    members.insert(name, value);
                }
                Ok(Named(members))
            }
        }

        deserializer.deserialize_map(Members(std::marker::PhantomData))
    }
}

/// The document of a policy: JSON in a string, or the object itself, which is the same as its shortest text.
#[derive(Clone, Debug, PartialEq)]
struct Text(String);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = serde_json::from_str::<serde_json::Value>(&self.0).ok();
        let object = value.filter(|value| {
            let shortest = value.to_string();
            value.is_object() && shortest == self.0
        });
        match object {
            Some(object) => object.serialize(serializer),
            None => serializer.serialize_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;

        impl<'de> Visitor<'de> for Either {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a policy document, as an object or as text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
                let value = serde_json::Value::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Text(value.to_string()))
            }
        }

        deserializer.deserialize_any(Either)
    }
}
