//! From a document to a registry.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::super::authorities::{CaUpdate, NewCa};
use super::super::authorizers::{AuthorizerUpdate, NewAuthorizer};
use super::super::groups::{GroupUpdate, NewGroup};
use super::super::names::{CERTIFICATE_ID, NAME, POLICY_NAME, Resource, check};
use super::super::policies::{VERSIONS_MAX, check_document};
use super::super::record::{
    Certificate, EventType, Policy, PolicyVersion, PrincipalType, ThingTypeProperties,
};
use super::super::tags::check_tags;
use super::super::things::{NewThing, ThingUpdate, with_values};
use super::super::x509::Read;
use super::super::{Draft, Error};
use super::place::Step;
use super::{
    Fleet, FleetAuthorizer, FleetCa, FleetCertificate, FleetGroup, FleetPolicy, FleetThing,
    FleetType, Status,
};

/// Something that an import made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// What it is: `thing` and so on.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Whether it was there before.
    pub is_new: bool,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.is_new { "created" } else { "changed" };
        write!(f, "{verb} {}", self.kind)?;
        match self.name.is_empty() {
            true => Ok(()), // there is only one
            false => write!(f, " {}", self.name),
        }
    }
}

/// An import under way.
#[derive(Default)]
pub(super) struct Import {
    /// Where in the document it is; after an error, what that is about.
    pub(super) path: Vec<Step>,
    pub(super) applied: Vec<Applied>,
}

impl Import {
    /// Does `what` one step deeper. The step stays if it fails.
    fn at<T, E>(
        &mut self,
        step: impl Into<Step>,
        what: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.path.push(step.into());
        let done = what(self)?;
        self.path.pop();
        Ok(done)
    }

    /// Does what a resource needs and notes whether that was anything.
    fn apply(
        &mut self,
        draft: &mut Draft<'_>,
        (kind, name, is_new): (&'static str, &str, bool),
        what: impl FnOnce(&mut Self, &mut Draft<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let before = draft.batch.writes.len();
        what(self, draft)?;
        if draft.batch.writes.len() > before {
            self.applied.push(Applied {
                kind,
                name: name.to_owned(),
                is_new,
            });
        }
        Ok(())
    }

    /// Puts what stands in files into the document.
    pub(super) fn read_files(
        &mut self,
        fleet: &mut Fleet,
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<(), String> {
        let authorities = fleet.ca_certificates.iter_mut();
        let authorities = authorities.map(|ca| (&mut ca.pem, &ca.certificate_file));
        self.at("ca_certificates", |import| {
            import.read_each(authorities, read)
        })?;
        let certificates = fleet.certificates.iter_mut();
        let certificates = certificates.map(|own| (&mut own.pem, &own.certificate_file));
        self.at("certificates", |import| {
            import.read_each(certificates, read)
        })
    }

    /// What is told of, as a whole.
    fn events(
        &mut self,
        draft: &mut Draft<'_>,
        events: Option<&BTreeSet<EventType>>,
    ) -> Result<(), Error> {
        let known = draft.describe_event_configurations();
        let is_new = known.created.is_none();
        let Some(events) = events.filter(|events| is_new || known.enabled != **events) else {
            return Ok(());
        };
        self.apply(draft, ("event configurations", "", is_new), |_, draft| {
            let all = EventType::ALL.into_iter();
            draft.update_event_configurations(all.map(|kind| (kind, events.contains(&kind))));
            Ok(())
        })
    }

    fn read_each<'f>(
        &mut self,
        certificates: impl Iterator<Item = (&'f mut Option<String>, &'f Option<String>)>,
        read: &dyn Fn(&Path) -> io::Result<String>,
    ) -> Result<(), String> {
        for (number, (pem, file)) in certificates.enumerate() {
            self.at(number, |import| match (&pem, file) {
                (Some(_), None) => Ok(()),
                (None, Some(file)) => import.at("certificate_file", |_| {
                    let text = read(Path::new(file));
                    *pem = Some(text.map_err(|error| format!("cannot read `{file}`: {error}"))?);
                    Ok(())
                }),
                _ => Err("either `pem` or `certificate_file` is wanted".to_owned()),
            })?;
        }
        Ok(())
    }

    /// Makes the registry what the document says.
    pub(super) fn run(&mut self, draft: &mut Draft<'_>, fleet: &Fleet) -> Result<(), Error> {
        let known = draft.registration_code();
        if fleet.registration_code.is_some() && known != fleet.registration_code.as_ref() {
            self.at("registration_code", |import| {
                let is_new = draft.registration_code().is_none();
                let code = fleet.registration_code.clone();
                import.apply(draft, ("registration code", "", is_new), |_, draft| {
                    draft.set_registration_code(code);
                    Ok(())
                })
            })?;
        }
        self.each("policies", &fleet.policies, draft, Self::policy)?;
        self.each("thing_types", &fleet.thing_types, draft, Self::thing_type)?;
        self.groups(draft, &fleet.thing_groups)?;
        self.each("things", &fleet.things, draft, Self::thing)?;
        // Things can have got a type that is deprecated now.
        self.each("thing_types", &fleet.thing_types, draft, Self::deprecation)?;
        self.numbered(
            "ca_certificates",
            &fleet.ca_certificates,
            draft,
            Self::authority,
        )?;
        self.numbered(
            "certificates",
            &fleet.certificates,
            draft,
            Self::certificate,
        )?;
        self.each("authorizers", &fleet.authorizers, draft, Self::authorizer)?;
        self.default_authorizer(draft, fleet.default_authorizer.as_deref())?;
        // Last of all: nobody has to be told of what the document itself changes.
        self.events(draft, fleet.events.as_ref())
    }

    fn each<T>(
        &mut self,
        member: &str,
        all: &BTreeMap<String, T>,
        draft: &mut Draft<'_>,
        one: impl Fn(&mut Self, &mut Draft<'_>, &str, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.at(member, |import| {
            for (name, value) in all {
                import.at(name.as_str(), |import| one(import, draft, name, value))?;
            }
            Ok(())
        })
    }

    fn numbered<T>(
        &mut self,
        member: &str,
        all: &[T],
        draft: &mut Draft<'_>,
        one: impl Fn(&mut Self, &mut Draft<'_>, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.at(member, |import| {
            for (number, value) in all.iter().enumerate() {
                import.at(number, |import| one(import, draft, value))?;
            }
            Ok(())
        })
    }

    fn policy(
        &mut self,
        draft: &mut Draft<'_>,
        name: &str,
        wanted: &FleetPolicy,
    ) -> Result<(), Error> {
        check("policyName", name, &POLICY_NAME)?;
        let tags = wanted.tags.clone().0;
        self.at("tags", |_| check_tags(&tags))?;
        let known = draft.policies.get(name).cloned();
        let (texts, default_version) = self.versions(wanted, known.as_deref())?;
        let is_same = known.as_ref().is_some_and(|known| {
            let own = known.versions.iter().map(|(n, v)| (*n, &*v.document));
            own.eq(texts.iter().map(|(n, text)| (*n, text.as_str())))
                && known.default_version == default_version
                && known.tags == tags
        });
        if is_same {
            return Ok(());
        }
        let (now, generation) = (draft.now(), draft.uuid());
        let mut policy = known.as_deref().cloned().unwrap_or_else(|| Policy {
            name: name.to_owned(),
            versions: BTreeMap::new(),
            default_version,
            next_version: 1,
            created: now,
            modified: now,
            generation,
            tags: BTreeMap::new(),
        });
        let old = std::mem::take(&mut policy.versions);
        for (number, text) in texts {
            let kept = old.get(&number).filter(|old| *old.document == *text);
            let version = kept.cloned().unwrap_or_else(|| PolicyVersion {
                document: text.into(),
                created: now,
            });
            policy.next_version = policy.next_version.max(number.saturating_add(1));
            policy.versions.insert(number, version);
        }
        policy.default_version = default_version;
        policy.modified = now;
        policy.tags = tags;
        self.apply(draft, ("policy", name, known.is_none()), |_, draft| {
            draft.put(policy);
            Ok(())
        })
    }

    /// The versions that a policy is to have, and the number of the one that holds.
    fn versions(
        &mut self,
        wanted: &FleetPolicy,
        known: Option<&Policy>,
    ) -> Result<(BTreeMap<u64, String>, u64), Error> {
        if let Some(document) = &wanted.document {
            if !wanted.versions.is_empty() || wanted.default_version.is_some() {
                return Err(Error::invalid(
                    "`document` is the only version: `versions` and `default_version` do not go with it",
                ));
            }
            self.at("document", |_| check_document(&document.0))?;
            let same = known.and_then(|known| {
                let mut versions = known.versions.iter();
                let same = versions.find(|(_, version)| *version.document == *document.0);
                same.map(|(number, _)| *number)
            });
            let number = same.unwrap_or(known.map_or(1, |known| known.next_version));
            return Ok(([(number, document.0.clone())].into(), number));
        }
        let mut texts = BTreeMap::new();
        self.at("versions", |import| {
            for (number, text) in wanted.versions.iter() {
                import.at(number.as_str(), |_| {
                    check_document(&text.0)?;
                    // One form, so that no number is there twice.
                    let parsed = number.parse::<u64>().ok();
                    let parsed = parsed.filter(|n| *n > 0 && n.to_string() == *number);
                    let parsed = parsed.ok_or_else(|| Error::invalid("versions have numbers"))?;
                    texts.insert(parsed, text.0.clone());
                    Ok(())
                })?;
            }
            match texts.len() {
                1..=VERSIONS_MAX => Ok(()),
                count => Err(Error::InvalidRequest(format!(
                    "a policy has 1 to {VERSIONS_MAX} versions, or a `document`, and not {count}"
                ))),
            }
        })?;
        let Some(default) = wanted.default_version else {
            return Err(Error::invalid("`default_version` is missing"));
        };
        self.at("default_version", |_| match texts.contains_key(&default) {
            true => Ok((texts, default)),
            false => Err(Error::InvalidRequest(format!(
                "there is no version {default}"
            ))),
        })
    }

    fn thing_type(
        &mut self,
        draft: &mut Draft<'_>,
        name: &str,
        wanted: &FleetType,
    ) -> Result<(), Error> {
        let properties = ThingTypeProperties {
            description: wanted.description.clone(),
            searchable_attributes: wanted.searchable_attributes.clone(),
            propagating_attributes: wanted.propagating_attributes.clone(),
        };
        let tags = wanted.tags.clone().0;
        let known = draft.types.get(name).cloned();
        self.apply(
            draft,
            ("thing type", name, known.is_none()),
            |import, draft| match known {
                None => draft.create_thing_type(name, properties, tags).map(drop),
                Some(known) => {
                    if known.properties != properties {
                        draft.update_thing_type(name, properties)?;
                    }
                    if !wanted.deprecated {
                        draft.deprecate_thing_type(name, true)?;
                    }
                    let arn = draft.arn(&Resource::ThingType(name.to_owned()));
                    import.tags(draft, &arn, tags)
                }
            },
        )
    }

    fn deprecation(
        &mut self,
        draft: &mut Draft<'_>,
        name: &str,
        wanted: &FleetType,
    ) -> Result<(), Error> {
        if wanted.deprecated {
            // Whoever is told of the type's creation need not be told of this.
            let told = |applied: &Applied| applied.kind == "thing type" && applied.name == name;
            if self.applied.iter().any(told) {
                return draft.deprecate_thing_type(name, false);
            }
            self.apply(draft, ("thing type", name, false), |_, draft| {
                draft.deprecate_thing_type(name, false)
            })?;
        }
        Ok(())
    }

    fn tags(
        &mut self,
        draft: &mut Draft<'_>,
        arn: &str,
        tags: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        self.at("tags", |_| {
            check_tags(&tags)?;
            draft.set_tags(arn, tags)
        })
    }

    /// Groups, each after the one that it stands in.
    fn groups(
        &mut self,
        draft: &mut Draft<'_>,
        groups: &BTreeMap<String, FleetGroup>,
    ) -> Result<(), Error> {
        self.at("thing_groups", |import| {
            let mut waiting: Vec<_> = groups.iter().collect();
            while !waiting.is_empty() {
                let (ready, rest): (Vec<_>, Vec<_>) = waiting.iter().partition(|(_, group)| {
                    let parent = group.parent.as_ref();
                    parent.is_none_or(|parent| draft.groups.contains_key(parent))
                });
                if ready.is_empty() {
                    // Each waits for one that is not there or waits too.
                    return import.refuse_parents(groups);
                }
                for (name, group) in ready {
                    import.at(name.as_str(), |import| import.group(draft, name, group))?;
                }
                waiting = rest;
            }
            Ok(())
        })
    }

    /// Names the first parent that is not there, or else a group that stands in itself.
    fn refuse_parents(&mut self, groups: &BTreeMap<String, FleetGroup>) -> Result<(), Error> {
        let parents = groups.iter().filter_map(|(name, group)| {
            let parent = group.parent.as_ref()?;
            Some((groups.contains_key(parent), name, parent))
        });
        let Some((is_circle, name, parent)) = parents.min() else {
            return Ok(()); // somebody waits
        };
        self.at(name.as_str(), |import| {
            import.at("parent", |_| match is_circle {
                false => Err(Error::not_found("Thing group", parent)),
                true => Err(Error::InvalidRequest(format!(
                    "thing group {parent} stands in itself, by way of its own parents"
                ))),
            })
        })
    }

    fn group(
        &mut self,
        draft: &mut Draft<'_>,
        name: &str,
        wanted: &FleetGroup,
    ) -> Result<(), Error> {
        let known = draft.groups.get(name).cloned();
        let attributes = with_values(wanted.attributes.clone().0);
        let description = wanted.description.clone().filter(|text| !text.is_empty());
        self.apply(
            draft,
            ("thing group", name, known.is_none()),
            |import, draft| {
                let arn = draft.arn(&Resource::ThingGroup(name.to_owned()));
                match known {
                    None => {
                        let new = NewGroup {
                            parent: wanted.parent.clone(),
                            description,
                            attributes,
                            tags: wanted.tags.clone().0,
                        };
                        draft.create_thing_group(name, new)?;
                    }
                    Some(known) => {
                        if known.parent != wanted.parent {
                            return import.at("parent", |_| {
                                Err(Error::InvalidRequest(format!(
                                    "a thing group keeps its parent, which is {}",
                                    known.parent.as_deref().unwrap_or("none")
                                )))
                            });
                        }
                        let is_same =
                            known.description == description && known.attributes == attributes;
                        if !is_same {
                            let update = GroupUpdate {
                                description: Some(description.unwrap_or_default()),
                                attributes: Some(attributes),
                                ..GroupUpdate::default()
                            };
                            draft.update_thing_group(name, update)?;
                        }
                        import.tags(draft, &arn, wanted.tags.clone().0)?;
                    }
                }
                let held = draft.group(name)?.policies.clone();
                import.policies(draft, &arn, &held, &wanted.policies)
            },
        )
    }

    /// Attaches to a target what it is to have, and nothing else.
    fn policies(
        &mut self,
        draft: &mut Draft<'_>,
        target: &str,
        held: &BTreeSet<String>,
        wanted: &BTreeSet<String>,
    ) -> Result<(), Error> {
        self.at("policies", |_| {
            for policy in held.difference(wanted) {
                draft.detach_policy(policy, target)?;
            }
            for policy in wanted.difference(held) {
                draft.attach_policy(policy, target)?;
            }
            Ok(())
        })
    }

    fn thing(
        &mut self,
        draft: &mut Draft<'_>,
        name: &str,
        wanted: &FleetThing,
    ) -> Result<(), Error> {
        check("thingName", name, &NAME)?;
        let attributes = with_values(wanted.attributes.clone().0);
        let known = draft.things.get(name).cloned();
        self.apply(draft, ("thing", name, known.is_none()), |import, draft| {
            match known {
                None => {
                    let new = NewThing {
                        thing_type: wanted.thing_type.clone(),
                        attributes: wanted.attributes.clone().0,
                    };
                    draft.create_thing(name, new)?;
                }
                Some(known) => {
                    let is_same_type = known.thing_type == wanted.thing_type;
                    if !is_same_type || known.attributes != attributes {
                        let other = wanted.thing_type.clone().filter(|_| !is_same_type);
                        let update = ThingUpdate {
                            remove_type: wanted.thing_type.is_none(),
                            thing_type: other,
                            attributes: Some(wanted.attributes.clone().0),
                            ..ThingUpdate::default()
                        };
                        draft.update_thing(name, update)?;
                    }
                }
            }
            let held = draft.thing(name)?.groups.clone();
            import.at("groups", |_| {
                for group in held.difference(&wanted.groups) {
                    draft.remove_thing_from_group(group, name)?;
                }
                for group in wanted.groups.difference(&held) {
                    draft.add_thing_to_group(group, name)?;
                }
                Ok(())
            })
        })
    }

    /// Reads a PEM that [`Self::read_files`] has found, and compares the identifier.
    fn read(&mut self, pem: Option<&String>, id: Option<&String>) -> Result<Read, Error> {
        let read = Read::pem(pem.map_or("", String::as_str))?;
        match id {
            Some(id) if *id != read.id => self.at("id", |_| {
                Err(Error::InvalidRequest(format!(
                    "the certificate has the id {}",
                    read.id
                )))
            }),
            _ => Ok(read),
        }
    }

    fn authority(&mut self, draft: &mut Draft<'_>, wanted: &FleetCa) -> Result<(), Error> {
        let read = self.read(wanted.pem.as_ref(), wanted.id.as_ref())?;
        let id = read.id.clone();
        let known = draft.authorities.get(&id).cloned();
        let is_active = wanted.status == Status::Active;
        self.apply(
            draft,
            ("CA certificate", &id, known.is_none()),
            |import, draft| {
                let Some(known) = known else {
                    let new = NewCa {
                        is_active,
                        auto_registration: wanted.auto_registration,
                        registration: wanted.registration.clone(),
                        mode: wanted.mode,
                        tags: wanted.tags.clone().0,
                        ..NewCa::default()
                    };
                    return draft.add_ca(read, new).map(drop);
                };
                if known.mode != wanted.mode {
                    return import.at("mode", |_| {
                        Err(Error::invalid("a CA certificate keeps its mode"))
                    });
                }
                let update = CaUpdate {
                    is_active: Some(is_active),
                    auto_registration: Some(wanted.auto_registration),
                    registration: Some(wanted.registration.clone()),
                };
                draft.update_ca_certificate(&id, update)?;
                let arn = draft.arn(&Resource::CaCertificate(id.clone()));
                import.tags(draft, &arn, wanted.tags.clone().0)
            },
        )
    }

    fn authorizer(
        &mut self,
        draft: &mut Draft<'_>,
        name: &str,
        wanted: &FleetAuthorizer,
    ) -> Result<(), Error> {
        let known = draft.authorizers.get(name).cloned();
        let is_active = wanted.status == Status::Active;
        let (function_arn, keys) = (&wanted.function_arn, &wanted.token_signing_public_keys.0);
        self.apply(
            draft,
            ("authorizer", name, known.is_none()),
            |import, draft| {
                let Some(known) = known else {
                    let new = NewAuthorizer {
                        function_arn,
                        token_key_name: wanted.token_key_name.clone(),
                        token_signing_public_keys: keys.clone(),
                        is_active,
                        signing_disabled: wanted.signing_disabled,
                        caching_for_http: wanted.caching_for_http,
                        tags: wanted.tags.clone().0,
                    };
                    return draft.create_authorizer(name, new).map(drop);
                };
                if known.signing_disabled != wanted.signing_disabled {
                    return import.at("signing_disabled", |_| {
                        Err(Error::invalid("an authorizer keeps it as it was created"))
                    });
                }
                let update = AuthorizerUpdate {
                    function_arn: Some(function_arn),
                    token_key_name: Some(wanted.token_key_name.clone()),
                    token_signing_public_keys: Some(keys.clone()),
                    is_active: Some(is_active),
                    caching_for_http: Some(wanted.caching_for_http),
                };
                draft.update_authorizer(name, update)?;
                let arn = draft.arn(&Resource::Authorizer(name.to_owned()));
                import.tags(draft, &arn, wanted.tags.clone().0)
            },
        )
    }

    /// The authorizer of clients that name none.
    fn default_authorizer(
        &mut self,
        draft: &mut Draft<'_>,
        wanted: Option<&str>,
    ) -> Result<(), Error> {
        let known = draft.default_authorizer();
        let Some(name) = wanted.filter(|name| known.is_none_or(|known| known != name)) else {
            return Ok(());
        };
        let is_new = known.is_none();
        self.at("default_authorizer", |import| {
            import.apply(draft, ("default authorizer", "", is_new), |_, draft| {
                draft.authorizer(name)?;
                draft.put_default_authorizer(Some(name.to_owned()));
                Ok(())
            })
        })
    }

    fn certificate(
        &mut self,
        draft: &mut Draft<'_>,
        wanted: &FleetCertificate,
    ) -> Result<(), Error> {
        let read = self.read(wanted.pem.as_ref(), wanted.id.as_ref())?;
        let id = read.id.clone();
        let known = draft.certificates.get(&id).cloned();
        if let Some(ca) = &wanted.ca
            && known
                .as_ref()
                .is_none_or(|known| known.ca.as_ref() != Some(ca))
        {
            self.at("ca", |_| check_signer(draft, &read, ca))?;
        }
        self.apply(
            draft,
            ("certificate", &id, known.is_none()),
            |import, draft| {
                let held = match known {
                    None => {
                        draft.register(read, wanted.status, wanted.mode, wanted.ca.clone())?;
                        BTreeSet::new()
                    }
                    Some(known) => {
                        update(draft, &known, wanted);
                        known.policies.clone()
                    }
                };
                let arn = draft.arn(&Resource::Certificate(id.clone()));
                import.policies(draft, &arn, &held, &wanted.policies)?;
                import.attachments(draft, &id, wanted)
            },
        )
    }

    /// Attaches a certificate to the things that are to have it, and to no other.
    fn attachments(
        &mut self,
        draft: &mut Draft<'_>,
        id: &str,
        wanted: &FleetCertificate,
    ) -> Result<(), Error> {
        use PrincipalType::{ExclusiveThing, NonExclusiveThing};
        if wanted.exclusive_thing.is_some() && !wanted.things.is_empty() {
            return self.at("exclusive_thing", |_| {
                Err(Error::invalid(
                    "it has the certificate alone: there are `things` too",
                ))
            });
        }
        let arn = draft.arn(&Resource::Certificate(id.to_owned()));
        let shared = wanted
            .things
            .iter()
            .map(|thing| (thing.clone(), NonExclusiveThing));
        let alone = wanted.exclusive_thing.iter();
        let alone = alone.map(|thing| (thing.clone(), ExclusiveThing));
        let wants: Vec<_> = shared.chain(alone).collect();
        let held = draft
            .things_of(id)
            .map(|(thing, kind)| (thing.name.clone(), kind));
        let held: Vec<_> = held.collect();
        for (thing, _) in held.iter().filter(|own| !wants.contains(own)) {
            draft.detach_thing_principal(thing, &arn)?;
        }
        for (thing, kind) in wants.iter().filter(|own| !held.contains(own)) {
            let member = match kind {
                ExclusiveThing => "exclusive_thing",
                NonExclusiveThing => "things",
            };
            self.at(member, |_| draft.attach_thing_principal(thing, &arn, *kind))?;
        }
        Ok(())
    }
}

/// What a document says of a certificate itself.
fn update(draft: &mut Draft<'_>, known: &Arc<Certificate>, wanted: &FleetCertificate) {
    let mut changed = Certificate::clone(known);
    changed.status = wanted.status;
    changed.mode = wanted.mode;
    changed.ca.clone_from(&wanted.ca);
    if changed != **known {
        changed.version += 1;
        changed.modified = draft.now();
        draft.put(changed);
    }
}

/// An authority that is not registered any more is taken at its word.
fn check_signer(draft: &Draft<'_>, read: &Read, ca: &str) -> Result<(), Error> {
    check("caCertificateId", ca, &CERTIFICATE_ID)?;
    let Some(ca) = draft.authorities.get(ca) else {
        return Ok(());
    };
    let signer = Read::pem(&ca.pem)?;
    match read.is_signed_by(&signer) {
        true => Ok(()),
        false => Err(Error::CertificateValidation(
            "this CA did not sign the certificate".to_owned(),
        )),
    }
}

impl From<&str> for Step {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<usize> for Step {
    fn from(number: usize) -> Self {
        Self::Number(number)
    }
}
