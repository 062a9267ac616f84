//! From a registry to a document.

use std::collections::BTreeMap;

use super::super::State;
use super::super::record::{
    Authorizer, CaCertificate, Certificate, Policy, PrincipalType, Thing, ThingGroup, ThingType,
};
use super::super::state::Map;
use super::{
    Fleet, FleetAuthorizer, FleetCa, FleetCertificate, FleetGroup, FleetPolicy, FleetThing,
    FleetType, Named, Text,
};

pub(super) fn fleet(state: &State) -> Fleet {
    let events = state.describe_event_configurations();
    Fleet {
        registration_code: state.registration_code().cloned(),
        default_authorizer: state.default_authorizer().cloned(),
        events: events.created.map(|_| events.enabled),
        policies: named(&state.policies, policy),
        thing_types: named(&state.types, thing_type),
        thing_groups: named(&state.groups, group),
        things: named(&state.things, thing),
        ca_certificates: state.authorities.values().map(|ca| authority(ca)).collect(),
        certificates: state
            .certificates
            .values()
            .map(|found| certificate(state, found))
            .collect(),
        authorizers: named(&state.authorizers, authorizer),
    }
}

fn named<R, T>(map: &Map<R>, convert: impl Fn(&R) -> T) -> Named<T> {
    let members = map
        .iter()
        .map(|(name, found)| (name.clone(), convert(found)));
    members.collect::<BTreeMap<_, _>>().into()
}

pub(super) fn policy(policy: &Policy) -> FleetPolicy {
    let text = |number| {
        let version = policy.versions.get(number)?;
        Some(Text(version.document.to_string()))
    };
    let is_plain = policy.versions.keys().eq([&1]);
    let versions = policy.versions.keys().filter(|_| !is_plain);
    let versions = versions.filter_map(|number| Some((number.to_string(), text(number)?)));
    FleetPolicy {
        document: text(&1).filter(|_| is_plain),
        default_version: (!is_plain).then_some(policy.default_version),
        versions: versions.collect::<BTreeMap<_, _>>().into(),
        tags: policy.tags.clone().into(),
    }
}

fn thing_type(found: &ThingType) -> FleetType {
    let properties = found.properties.clone();
    FleetType {
        description: properties.description,
        deprecated: found.deprecated.is_some(),
        searchable_attributes: properties.searchable_attributes,
        propagating_attributes: properties.propagating_attributes,
        tags: found.tags.clone().into(),
    }
}

fn group(group: &ThingGroup) -> FleetGroup {
    FleetGroup {
        parent: group.parent.clone(),
        description: group.description.clone(),
        policies: group.policies.clone(),
        attributes: group.attributes.clone().into(),
        tags: group.tags.clone().into(),
    }
}

fn thing(thing: &Thing) -> FleetThing {
    FleetThing {
        thing_type: thing.thing_type.clone(),
        groups: thing.groups.clone(),
        attributes: thing.attributes.clone().into(),
    }
}

fn authorizer(authorizer: &Authorizer) -> FleetAuthorizer {
    FleetAuthorizer {
        function_arn: authorizer.function_arn.clone(),
        status: authorizer.is_active.into(),
        token_key_name: authorizer.token_key_name.clone(),
        signing_disabled: authorizer.signing_disabled,
        caching_for_http: authorizer.caching_for_http,
        token_signing_public_keys: authorizer.token_signing_public_keys.clone().into(),
        tags: authorizer.tags.clone().into(),
    }
}

fn authority(ca: &CaCertificate) -> FleetCa {
    FleetCa {
        id: Some(ca.id.clone()),
        status: ca.is_active.into(),
        mode: ca.mode,
        auto_registration: ca.auto_registration,
        certificate_file: None,
        pem: Some(ca.pem.to_string()),
        registration: ca.registration.clone(),
        tags: ca.tags.clone().into(),
    }
}

fn certificate(state: &State, certificate: &Certificate) -> FleetCertificate {
    let (mut things, mut exclusive_thing) = ([].into(), None);
    for (thing, kind) in state.things_of(&certificate.id) {
        let name = thing.name.clone();
        match kind {
            PrincipalType::ExclusiveThing => exclusive_thing = Some(name),
            PrincipalType::NonExclusiveThing => {
                std::collections::BTreeSet::insert(&mut things, name);
            }
        }
    }
    FleetCertificate {
        id: Some(certificate.id.clone()),
        status: certificate.status,
        mode: certificate.mode,
        ca: certificate.ca.clone(),
        policies: certificate.policies.clone(),
        things,
        exclusive_thing,
        certificate_file: None,
        pem: Some(certificate.pem.to_string()),
    }
}
