//! The registry for people who look around in it: lists by name, and one resource with all that is attached to it
//! or that it is attached to.

use serde::Serialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::time::whole_seconds;

use super::names::Resource;
use super::record::{
    Attributes, Authorizer, Certificate, CertificateStatus, Policy, Thing, ThingGroup, Timestamp,
};
use super::state::behind;
use super::{Error, State};

/// Names that are shown of what is attached to a resource.
const NAMED: usize = 100;

/// A kind of resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Things,
    Certificates,
    Policies,
    ThingGroups,
    Authorizers,
}

impl Kind {
    /// All there are.
    pub(crate) const ALL: [Self; 5] = [
        Self::Things,
        Self::Certificates,
        Self::Policies,
        Self::ThingGroups,
        Self::Authorizers,
    ];

    /// As it is called in an address.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Things => "things",
            Self::Certificates => "certificates",
            Self::Policies => "policies",
            Self::ThingGroups => "thing-groups",
            Self::Authorizers => "authorizers",
        }
    }
}

/// A resource in a list.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Row {
    Thing {
        name: String,
        r#type: Option<String>,
        certificates: usize,
        groups: usize,
        attributes: String,
    },
    Certificate {
        id: String,
        common_name: Option<String>,
        status: CertificateStatus,
        valid_until_ms: i64,
        things: usize,
        policies: usize,
    },
    Policy {
        name: String,
        version: u64,
        versions: usize,
        targets: usize,
        changed_ms: Timestamp,
    },
    ThingGroup {
        name: String,
        parent: Option<String>,
        things: usize,
        policies: usize,
        description: Option<String>,
    },
    Authorizer {
        name: String,
        status: &'static str,
        is_default: bool,
        function_arn: String,
    },
}

/// Names of other resources, the first ones.
#[derive(Serialize)]
pub(crate) struct Names {
    entries: Vec<Name>,
    /// With those that are not shown.
    total: usize,
}

#[derive(Serialize)]
struct Name {
    name: String,
    /// What people call it.
    title: Option<String>,
}

/// A resource with all that belongs to it.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Detail {
    Thing {
        name: String,
        arn: String,
        id: String,
        r#type: Option<String>,
        version: u64,
        attributes: Attributes,
        certificates: Names,
        thing_groups: Names,
        shadows: Names,
    },
    Certificate {
        id: String,
        arn: String,
        subject: Option<String>,
        issuer: Option<String>,
        status: CertificateStatus,
        is_valid_now: bool,
        valid_from_ms: i64,
        valid_until_ms: i64,
        registered_ms: Timestamp,
        changed_ms: Timestamp,
        ca_certificate: Option<String>,
        things: Names,
        policies: Names,
    },
    Policy {
        name: String,
        arn: String,
        created_ms: Timestamp,
        changed_ms: Timestamp,
        versions: Vec<Version>,
        certificates: Names,
        thing_groups: Names,
    },
    ThingGroup {
        name: String,
        arn: String,
        description: Option<String>,
        created_ms: Timestamp,
        version: u64,
        attributes: Attributes,
        /// Those that it stands in, the nearest first.
        parents: Names,
        children: Names,
        things: Names,
        policies: Names,
    },
    Authorizer {
        name: String,
        arn: String,
        status: &'static str,
        is_default: bool,
        function_arn: String,
        token_key_name: Option<String>,
        are_tokens_signed: bool,
        is_cached_for_http: bool,
        created_ms: Timestamp,
        changed_ms: Timestamp,
    },
}

/// A version of a policy.
#[derive(Serialize)]
pub(crate) struct Version {
    version: u64,
    is_default: bool,
    created_ms: Timestamp,
    /// As it was written.
    document: String,
}

impl State {
    /// Resources of a kind, by name: those behind `after` whose name contains `q`, so many at most. A certificate is
    /// found by its Common Name and by its things, too. With how many there are before and behind that.
    pub(crate) fn browse(
        &self,
        kind: Kind,
        after: Option<&str>,
        q: Option<&str>,
        limit: usize,
    ) -> (Vec<Row>, usize) {
        let names: Box<dyn Iterator<Item = &String>> = match kind {
            Kind::Things => Box::new(self.things.keys()),
            Kind::Certificates => Box::new(self.certificates.keys()),
            Kind::Policies => Box::new(self.policies.keys()),
            Kind::ThingGroups => Box::new(self.groups.keys()),
            Kind::Authorizers => Box::new(self.authorizers.keys()),
        };
        let is_found =
            |name: &String| q.is_none_or(|q| name.contains(q) || self.is_known_as(kind, name, q));
        let (mut rows, mut total) = (Vec::new(), 0);
        for name in names.filter(|name| is_found(name)) {
            total += 1;
            if rows.len() < limit && after.is_none_or(|after| **name > *after) {
                rows.extend(self.row(kind, name));
            }
        }
        (rows, total)
    }

    /// Whether a certificate has a part of a text in another name than its id.
    fn is_known_as(&self, kind: Kind, name: &str, q: &str) -> bool {
        let certificate = self.certificates.get(name);
        let Some(certificate) = certificate.filter(|_| kind == Kind::Certificates) else {
            return false;
        };
        let mut things = behind(&self.attached, name, None);
        things.any(|thing| thing.contains(q))
            || common_name(certificate).is_some_and(|name| name.contains(q))
    }

    fn row(&self, kind: Kind, name: &str) -> Option<Row> {
        Some(match kind {
            Kind::Things => {
                let thing: &Thing = self.things.get(name)?;
                let attributes = thing.attributes.iter();
                let attributes: Vec<_> = attributes
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                Row::Thing {
                    name: thing.name.clone(),
                    r#type: thing.thing_type.clone(),
                    certificates: thing.principals.len(),
                    groups: thing.groups.len(),
                    attributes: attributes.join(", "),
                }
            }
            Kind::Certificates => {
                let certificate: &Certificate = self.certificates.get(name)?;
                Row::Certificate {
                    id: certificate.id.clone(),
                    common_name: common_name(certificate),
                    status: certificate.status,
                    valid_until_ms: certificate.not_after.saturating_mul(1000),
                    things: behind(&self.attached, name, None).count(),
                    policies: certificate.policies.len(),
                }
            }
            Kind::Policies => {
                let policy: &Policy = self.policies.get(name)?;
                Row::Policy {
                    name: policy.name.clone(),
                    version: policy.default_version,
                    versions: policy.versions.len(),
                    targets: self.targets_of(name).len(),
                    changed_ms: policy.modified,
                }
            }
            Kind::ThingGroups => {
                let group: &ThingGroup = self.groups.get(name)?;
                Row::ThingGroup {
                    name: group.name.clone(),
                    parent: group.parent.clone(),
                    things: behind(&self.members, name, None).count(),
                    policies: group.policies.len(),
                    description: group.description.clone(),
                }
            }
            Kind::Authorizers => {
                let authorizer: &Authorizer = self.authorizers.get(name)?;
                Row::Authorizer {
                    name: authorizer.name.clone(),
                    status: status_of(authorizer),
                    is_default: self.default_authorizer().is_some_and(|one| one == name),
                    function_arn: authorizer.function_arn.clone(),
                }
            }
        })
    }

    /// One resource.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub(crate) fn look_at(&self, kind: Kind, name: &str, now: Timestamp) -> Result<Detail, Error> {
        let owned = name.to_owned();
        Ok(match kind {
            Kind::Things => {
                let thing: &Thing = self.thing(name)?;
                Detail::Thing {
                    arn: self.arn(&Resource::Thing(owned)),
                    id: thing.id.clone(),
                    r#type: thing.thing_type.clone(),
                    version: thing.version,
                    attributes: thing.attributes.clone(),
                    certificates: self.certificates_named(thing.principals.keys()),
                    thing_groups: names(thing.groups.iter().cloned()),
                    shadows: names(self.shadows_of(name)),
                    name: thing.name.clone(),
                }
            }
            Kind::Certificates => {
                let certificate: &Certificate = self.certificate(name)?;
                let (subject, issuer) = parties(certificate).unzip();
                let Certificate {
                    not_before: from,
                    not_after: until,
                    ..
                } = *certificate;
                Detail::Certificate {
                    arn: self.arn(&Resource::Certificate(owned)),
                    subject,
                    issuer,
                    status: certificate.status,
                    is_valid_now: (from..=until).contains(&whole_seconds(now)),
                    valid_from_ms: from.saturating_mul(1000),
                    valid_until_ms: until.saturating_mul(1000),
                    registered_ms: certificate.created,
                    changed_ms: certificate.modified,
                    ca_certificate: certificate.ca.clone(),
                    things: names(behind(&self.attached, name, None).cloned()),
                    policies: names(certificate.policies.iter().cloned()),
                    id: certificate.id.clone(),
                }
            }
            Kind::Policies => {
                let policy: &Policy = self.policy(name)?;
                let (mut certificates, mut groups) = (Vec::new(), Vec::new());
                for target in self.resources_of(name) {
                    match target {
                        Resource::Certificate(id) => certificates.push(id),
                        Resource::ThingGroup(name) => groups.push(name),
                        _ => {}
                    }
                }
                let versions = policy.versions.iter().rev();
                let versions = versions.map(|(number, version)| Version {
                    version: *number,
                    is_default: *number == policy.default_version,
                    created_ms: version.created,
                    document: (*version.document).to_owned(),
                });
                Detail::Policy {
                    arn: self.arn(&Resource::Policy(owned)),
                    created_ms: policy.created,
                    changed_ms: policy.modified,
                    versions: versions.collect(),
                    certificates: self.certificates_named(certificates.into_iter()),
                    thing_groups: names(groups.into_iter().cloned()),
                    name: policy.name.clone(),
                }
            }
            Kind::ThingGroups => {
                let group: &ThingGroup = self.group(name)?;
                let parents = self.lineage(name).skip(1);
                Detail::ThingGroup {
                    arn: self.arn(&Resource::ThingGroup(owned)),
                    description: group.description.clone(),
                    created_ms: group.created,
                    version: group.version,
                    attributes: group.attributes.clone(),
                    parents: names(parents.map(|group| group.name.clone())),
                    children: names(behind(&self.children, name, None).cloned()),
                    things: names(behind(&self.members, name, None).cloned()),
                    policies: names(group.policies.iter().cloned()),
                    name: group.name.clone(),
                }
            }
            Kind::Authorizers => {
                let authorizer = self.describe_authorizer(name)?;
                Detail::Authorizer {
                    arn: self.arn(&Resource::Authorizer(owned)),
                    status: status_of(&authorizer),
                    is_default: self.default_authorizer().is_some_and(|one| one == name),
                    function_arn: authorizer.function_arn.clone(),
                    token_key_name: authorizer.token_key_name.clone(),
                    are_tokens_signed: !authorizer.signing_disabled,
                    is_cached_for_http: authorizer.caching_for_http,
                    created_ms: authorizer.created,
                    changed_ms: authorizer.modified,
                    name: authorizer.name.clone(),
                }
            }
        })
    }

    /// Certificates with their Common Names.
    fn certificates_named<'a>(&self, ids: impl Iterator<Item = &'a String>) -> Names {
        let mut named = names(ids.cloned());
        for entry in &mut named.entries {
            let certificate = self.certificates.get(&entry.name);
            entry.title = certificate.and_then(|certificate| common_name(certificate));
        }
        named
    }
}

fn names(all: impl Iterator<Item = String>) -> Names {
    let (mut entries, mut total) = (Vec::new(), 0);
    for name in all {
        total += 1;
        if total <= NAMED {
            entries.push(Name { name, title: None });
        }
    }
    Names { entries, total }
}

fn status_of(authorizer: &Authorizer) -> &'static str {
    match authorizer.is_active {
        true => "ACTIVE",
        false => "INACTIVE",
    }
}

/// What `read` makes of a certificate; it was read when it was registered.
fn read<T>(
    certificate: &Certificate,
    read: impl FnOnce(&X509Certificate<'_>) -> Option<T>,
) -> Option<T> {
    let (_, block) = x509_parser::pem::parse_x509_pem(certificate.pem.as_bytes()).ok()?;
    let (_, parsed) = X509Certificate::from_der(&block.contents).ok()?;
    read(&parsed)
}

fn common_name(certificate: &Certificate) -> Option<String> {
    read(certificate, |parsed| {
        let name = parsed.subject().iter_common_name().next()?;
        name.as_str().ok().map(str::to_owned)
    })
}

/// Subject and issuer, in the form of RFC 4514.
fn parties(certificate: &Certificate) -> Option<(String, String)> {
    read(certificate, |parsed| {
        Some((parsed.subject().to_string(), parsed.issuer().to_string()))
    })
}
