//! What is kept of each resource: the record format of `docs/registry.md`.
//!
//! A member that is added needs `#[serde(default)]`, so that older files stay readable, and a higher
//! [`FORMAT`](super::store::FORMAT), so that older programs do not drop it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Attributes of a thing or a group; tags.
pub type Attributes = BTreeMap<String, String>;

/// Milliseconds since 1970.
pub type Timestamp = u64;

/// A device, as the registry knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thing {
    /// Its name, which is its default client id too.
    pub name: String,
    /// A UUID, for the life of the thing.
    pub id: String,
    /// The name of its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thing_type: Option<String>,
    /// Names and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: Attributes,
    /// 1 at first, higher after each update.
    pub version: u64,
    /// The groups that it was added to.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// The certificates that are attached, by id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub principals: BTreeMap<String, PrincipalType>,
}

/// How a certificate is attached to a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PrincipalType {
    /// To this thing and no other.
    ExclusiveThing,
    /// To as many things as there are.
    NonExclusiveThing,
}

/// What things have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThingType {
    /// Its name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// What people say of it.
    #[serde(default)]
    pub properties: ThingTypeProperties,
    /// When it was created.
    pub created: Timestamp,
    /// When it was deprecated, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deprecated: Option<Timestamp>,
    /// Keys and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Attributes,
}

/// `thingTypeProperties` of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThingTypeProperties {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Names of attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub searchable_attributes: Vec<String>,
    /// What is added to messages of MQTT 5.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub propagating_attributes: Vec<PropagatingAttribute>,
}

/// A user property that messages of a thing get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PropagatingAttribute {
    /// The key of the user property.
    pub user_property_key: String,
    /// The attribute of the thing that is its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thing_attribute: Option<String>,
    /// The attribute of the connection that is its value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection_attribute: Option<String>,
}

/// A static group of things.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThingGroup {
    /// Its name.
    pub name: String,
    /// A UUID.
    pub id: String,
    /// The group that it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Names and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: Attributes,
    /// 1 at first, higher after each update.
    pub version: u64,
    /// When it was created.
    pub created: Timestamp,
    /// Names of the policies that are attached.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub policies: BTreeSet<String>,
    /// Keys and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Attributes,
}

/// What a certificate may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum CertificateStatus {
    /// To connect.
    Active,
    /// For nothing, for the time being.
    Inactive,
    /// For nothing.
    Revoked,
    /// For nothing until somebody accepts it: it registered itself (AWS-TLS-12).
    PendingActivation,
}

/// Whether a certificate belongs to an account by its authority or by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum CertificateMode {
    /// By its authority.
    #[default]
    Default,
    /// By the name of the server that the client asks for.
    SniOnly,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// SHA-256 of its DER in hexadecimal digits (AWS-ID-01).
    pub id: String,
    /// In PEM.
    pub pem: Arc<str>,
    /// What it may be used for.
    pub status: CertificateStatus,
    /// See there.
    pub mode: CertificateMode,
    /// The registered authority that signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// When it was registered.
    pub created: Timestamp,
    /// When its status changed last.
    pub modified: Timestamp,
    /// 1 at first, higher after each update.
    pub version: u64,
    /// A UUID.
    pub generation: String,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// Names of the policies that are attached.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub policies: BTreeSet<String>,
}

/// The certificate of an authority whose certificates may be registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaCertificate {
    /// SHA-256 of its DER in hexadecimal digits.
    pub id: String,
    /// In PEM.
    pub pem: Arc<str>,
    /// Its subject, in the form of RFC 4514: the issuer of what it signs.
    pub subject: String,
    /// Whether certificates of it may be registered.
    pub is_active: bool,
    /// Whether they register themselves at their first CONNECT (AWS-ID-04).
    pub auto_registration: bool,
    /// See there.
    pub mode: CertificateMode,
    /// What is done with those.
    #[serde(default, skip_serializing_if = "RegistrationConfig::is_empty")]
    pub registration: RegistrationConfig,
    /// When it was registered.
    pub created: Timestamp,
    /// When it was updated last.
    pub modified: Timestamp,
    /// 1 at first, higher after each update.
    pub version: u64,
    /// A UUID.
    pub generation: String,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
    /// Keys and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Attributes,
}

/// `registrationConfig` of the service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationConfig {
    /// The body of a provisioning template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_body: Option<String>,
    /// The role for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// The name of a provisioning template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_name: Option<String>,
}

impl RegistrationConfig {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What says who clients are that have no certificate (AWS-AUTH-01 to -07).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authorizer {
    /// Its name.
    pub name: String,
    /// The function that is asked.
    pub function_arn: String,
    /// Under which name clients send their token, if they send one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_key_name: Option<String>,
    /// With one of these the token was signed: names and PEMs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub token_signing_public_keys: BTreeMap<String, String>,
    /// Whether clients are let in by it.
    pub is_active: bool,
    /// Whether tokens need no signature.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signing_disabled: bool,
    /// Whether answers hold for further requests over HTTP, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub caching_for_http: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it was updated last.
    pub modified: Timestamp,
    /// Keys and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Attributes,
}

/// A policy with its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Those that there are, by their numbers.
    pub versions: BTreeMap<u64, PolicyVersion>,
    /// The number of the one that holds.
    pub default_version: u64,
    /// The number that the next one gets: none is given twice.
    pub next_version: u64,
    /// When it was created.
    pub created: Timestamp,
    /// When its versions changed last.
    pub modified: Timestamp,
    /// A UUID.
    pub generation: String,
    /// Keys and values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: Attributes,
}

/// One version of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyVersion {
    /// As it was written.
    pub document: Arc<str>,
    /// When it was created.
    pub created: Timestamp,
}

/// Kinds of changes that can be told of (AWS-RSV-04).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum EventType {
    /// Things come, change and go.
    Thing,
    /// Groups do.
    ThingGroup,
    /// Types do.
    ThingType,
    /// Things enter groups and leave them.
    ThingGroupMembership,
    /// Groups begin and cease to stand in others.
    ThingGroupHierarchy,
    /// Things get types and lose them.
    ThingTypeAssociation,
    /// Jobs come, change and go.
    Job,
    /// Executions of jobs do.
    JobExecution,
    /// Policies do.
    Policy,
    /// Certificates do.
    Certificate,
    /// CA certificates do.
    CaCertificate,
}

impl EventType {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Thing,
        Self::ThingGroup,
        Self::ThingType,
        Self::ThingGroupMembership,
        Self::ThingGroupHierarchy,
        Self::ThingTypeAssociation,
        Self::Job,
        Self::JobExecution,
        Self::Policy,
        Self::Certificate,
        Self::CaCertificate,
    ];

    /// Its name on the service: `THING`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Thing => "THING",
            Self::ThingGroup => "THING_GROUP",
            Self::ThingType => "THING_TYPE",
            Self::ThingGroupMembership => "THING_GROUP_MEMBERSHIP",
            Self::ThingGroupHierarchy => "THING_GROUP_HIERARCHY",
            Self::ThingTypeAssociation => "THING_TYPE_ASSOCIATION",
            Self::Job => "JOB",
            Self::JobExecution => "JOB_EXECUTION",
            Self::Policy => "POLICY",
            Self::Certificate => "CERTIFICATE",
            Self::CaCertificate => "CA_CERTIFICATE",
        }
    }

    /// The one of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What is told of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventConfigurations {
    /// What is switched on; everything else is off.
    pub enabled: BTreeSet<EventType>,
    /// When somebody said so first; nobody has if it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// When somebody said so last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
}

impl EventConfigurations {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What there is one of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Account {
    /// 64 hexadecimal digits, once somebody asked for them (AWS-OPS-44).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) registration_code: Option<String>,
    /// Policies hold although there is none: there was one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) had_policies: bool,
    /// What is told of.
    #[serde(default, skip_serializing_if = "EventConfigurations::is_default")]
    pub(super) events: EventConfigurations,
    /// The name of the authorizer of clients that name none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) default_authorizer: Option<String>,
}
