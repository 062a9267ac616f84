//! What the enforcement is told.

use std::sync::Mutex;

use super::*;
use crate::policy::Document;

fn names(facts: &[PolicyFact]) -> Vec<&str> {
    facts.iter().map(|fact| fact.name.as_str()).collect()
}

/// AWS-ID-02, AWS-ID-06, AWS-ID-08
#[test]
fn view_has_the_policies_of_the_certificate_and_of_all_groups_above_the_thing() {
    let office = Office::in_memory();
    for policy in ["own", "root", "leaf", "elsewhere"] {
        office.policy(policy);
    }
    let id = office.certificate();
    let certificate = office.certificate_arn(&id);
    office.thing("car");
    office.group("root", None);
    office.group("leaf", Some("root"));
    office.group("elsewhere", None);
    office
        .change(|d| {
            d.attach_policy("own", &certificate)?;
            for group in ["root", "leaf", "elsewhere"] {
                let arn = d.arn(&Resource::ThingGroup(group.to_owned()));
                d.attach_policy(group, &arn)?;
            }
            d.add_thing_to_group("leaf", "car")
        })
        .unwrap();
    office.attach("car", &id, PrincipalType::NonExclusiveThing);
    let view = office.registry.view(&id, "car", office.now).unwrap();
    assert_eq!(view.status, CertificateStatus::Active);
    assert!(view.is_valid_now);
    assert_eq!(names(&view.policies), ["own"]);
    assert_eq!(
        *view.policies[0].document,
        Document::parse(DOCUMENT).unwrap()
    );
    assert_eq!(names(&view.group_policies), ["leaf", "root"]);
    let stranger = office.registry.view(&id, "other", office.now).unwrap();
    assert_eq!(names(&stranger.policies), ["own"]);
    assert_eq!((stranger.thing, stranger.group_policies), (None, vec![]));
    let expired = office.registry.view(&id, "car", 67_090_118_401_000);
    assert!(!expired.unwrap().is_valid_now);
    assert_eq!(office.registry.view("unknown", "car", office.now), None);
}

/// AWS-ID-07
#[test]
fn thing_is_the_exclusive_one_else_the_one_named_like_the_client() {
    let office = Office::in_memory();
    let (shared, alone) = (office.certificate(), office.certificate());
    for thing in ["a", "b", "c"] {
        office.thing(thing);
    }
    office.attach("a", &shared, PrincipalType::NonExclusiveThing);
    office.attach("b", &shared, PrincipalType::NonExclusiveThing);
    office.attach("c", &alone, PrincipalType::ExclusiveThing);
    let thing = |certificate: &str, client: &str| {
        let view = office.registry.view(certificate, client, office.now);
        view.unwrap().thing.map(|thing| thing.name.clone())
    };
    assert_eq!(thing(&shared, "b").as_deref(), Some("b"));
    assert_eq!(thing(&shared, "c"), None);
    assert_eq!(thing(&shared, "x"), None);
    assert_eq!(thing(&alone, "x").as_deref(), Some("c"));
    assert_eq!(thing(&alone, "a").as_deref(), Some("c"));
}

#[test]
fn version_rises_with_what_can_alter_a_view_and_with_nothing_else() {
    let office = Office::in_memory();
    let version = || office.registry.version();
    office.thing("car");
    office.group("g", None);
    office.change(|d| d.add_thing_to_group("g", "car")).unwrap();
    assert_eq!(version(), 0, "nobody is this thing");
    office.policy("p");
    let id = office.certificate();
    let known = version();
    assert!(known > 0);
    office.attach("car", &id, PrincipalType::NonExclusiveThing);
    assert_eq!(version(), known + 1);
    let arn = office.certificate_arn(&id);
    office.change(|d| d.attach_policy("p", &arn)).unwrap();
    assert_eq!(version(), known + 2);
    office
        .change(|d| d.create_policy_version("p", DENIAL, false))
        .unwrap();
    office.change(|d| d.attach_policy("p", &arn)).unwrap();
    let tags = || Attributes::from([("k".to_owned(), "v".to_owned())]);
    let policy = office.arn(Resource::Policy("p".to_owned()));
    office.change(|d| d.tag_resource(&policy, tags())).unwrap();
    assert_eq!(version(), known + 2, "none of these changed what holds");
    office
        .change(|d| d.set_default_policy_version("p", 2))
        .unwrap();
    assert_eq!(version(), known + 3);
}

/// AWS-ID-16
#[test]
fn listeners_hear_of_certificates_by_id_after_they_can_be_seen() {
    let office = Office::in_memory();
    let id = office.certificate();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hears = heard.clone();
    office
        .registry
        .on_change(move |changed| hears.lock().unwrap().extend_from_slice(changed));
    office
        .change(|d| d.update_certificate(&id, RegisterStatus::Revoked))
        .unwrap();
    office.change(|d| d.delete_certificate(&id, false)).unwrap();
    office.thing("car");
    let certificate = |status| Changed::Certificate {
        id: id.clone(),
        status,
    };
    assert_eq!(
        *heard.lock().unwrap(),
        [
            certificate(Some(CertificateStatus::Revoked)),
            certificate(None)
        ]
    );
}

#[test]
fn a_change_that_fails_leaves_nothing_behind() {
    let office = Office::in_memory();
    let before = office.registry.version();
    let failed = office.change(|d| {
        d.create_policy("p", DOCUMENT, Attributes::new())?;
        d.create_thing("car", NewThing::default())?;
        d.create_thing("not a name", NewThing::default())
    });
    assert_eq!(refusal(failed).0, "InvalidRequestException");
    let state = office.registry.state();
    assert!(state.policies.is_empty() && state.things.is_empty());
    assert_eq!(office.registry.version(), before);
}
