//! The behaviours of the service, one test to a row of the reference.

use rcgen::PKCS_ED25519;

use super::*;

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    let pairs = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
    pairs.collect()
}

fn with(pairs: &[(&str, &str)]) -> NewThing {
    NewThing {
        thing_type: None,
        attributes: attributes(pairs),
    }
}

fn page<'a>() -> Page<'a> {
    Page::default()
}

/// AWS-OPS-20, AWS-API-42
#[test]
fn the_same_thing_twice_is_one_and_another_one_of_its_name_is_refused() {
    let office = Office::in_memory();
    let first = office.change(|d| d.create_thing("car", with(&[("k", "1")])));
    let again = office.change(|d| d.create_thing("car", with(&[("k", "1")])));
    assert_eq!(first.unwrap(), again.unwrap());
    let other = office.change(|d| d.create_thing("car", with(&[("k", "2")])));
    let Err(Error::ResourceAlreadyExists { id, arn, .. }) = other else {
        panic!("{other:?}");
    };
    assert_eq!(id, "car");
    assert_eq!(arn, "arn:aws:iot:us-east-1:123456789012:thing/car");
}

/// AWS-OPS-20
#[test]
fn the_same_type_twice_is_one_and_another_one_of_its_name_is_refused() {
    let office = Office::in_memory();
    let create = |description: &str| {
        let properties = ThingTypeProperties {
            description: Some(description.to_owned()),
            ..ThingTypeProperties::default()
        };
        office.change(|d| d.create_thing_type("t", properties, Attributes::new()))
    };
    assert_eq!(create("a").unwrap().id, create("a").unwrap().id);
    assert_eq!(refusal(create("b")).0, "ResourceAlreadyExistsException");
}

/// AWS-OPS-21
#[test]
fn the_same_group_twice_is_one_and_another_one_of_its_name_is_refused() {
    let office = Office::in_memory();
    office.group("root", None);
    office.group("g", Some("root"));
    office.group("g", Some("root"));
    let moved = office.change(|d| d.create_thing_group("g", NewGroup::default()));
    assert_eq!(refusal(moved).0, "ResourceAlreadyExistsException");
}

/// AWS-OPS-22
#[test]
fn a_thing_gets_no_unknown_and_no_deprecated_type() {
    let office = Office::in_memory();
    let create = || {
        let new = NewThing {
            thing_type: Some("t".to_owned()),
            ..NewThing::default()
        };
        office.change(|d| d.create_thing("car", new))
    };
    assert_eq!(refusal(create()).0, "ResourceNotFoundException");
    office
        .change(|d| {
            d.create_thing_type("t", ThingTypeProperties::default(), Attributes::new())?;
            d.deprecate_thing_type("t", false)
        })
        .unwrap();
    let (name, message) = refusal(create());
    assert_eq!(name, "InvalidRequestException");
    assert!(message.contains("t is deprecated"), "{message}");
    office
        .change(|d| d.deprecate_thing_type("t", true))
        .unwrap();
    assert_eq!(create().unwrap().thing_type.as_deref(), Some("t"));
}

/// AWS-OPS-23
#[test]
fn a_thing_is_deleted_when_nothing_is_attached_and_an_absent_one_too() {
    let office = Office::in_memory();
    office.change(|d| d.delete_thing("nobody", None)).unwrap();
    office.thing("car");
    let wrong = office.change(|d| d.delete_thing("car", Some(7)));
    assert_eq!(refusal(wrong).0, "VersionConflictException");
    let id = office.certificate();
    office.attach("car", &id, PrincipalType::NonExclusiveThing);
    let (name, message) = refusal(office.change(|d| d.delete_thing("car", None)));
    assert_eq!(name, "InvalidRequestException");
    assert!(
        message.starts_with("Cannot delete. Thing car is still attached to one or more principals")
    );
    assert!(message.contains(&id), "{message}");
    let arn = office.certificate_arn(&id);
    office
        .change(|d| {
            d.detach_thing_principal("car", &arn)?;
            d.delete_thing("car", Some(1))
        })
        .unwrap();
    assert!(office.registry.state().describe_thing("car").is_err());
}

/// AWS-OPS-24
#[test]
fn an_update_merges_or_replaces_and_an_empty_value_removes() {
    let office = Office::in_memory();
    office
        .change(|d| d.create_thing("car", with(&[("a", "1"), ("b", "2")])))
        .unwrap();
    let update = |pairs, merge, expected_version| {
        office.change(|d| {
            d.update_thing(
                "car",
                ThingUpdate {
                    attributes: Some(attributes(pairs)),
                    merge,
                    expected_version,
                    ..ThingUpdate::default()
                },
            )
        })
    };
    let merged = update(&[("a", ""), ("c", "3")], true, Some(1)).unwrap();
    assert_eq!(merged.attributes, attributes(&[("b", "2"), ("c", "3")]));
    assert_eq!(merged.version, 2);
    let stale = update(&[], true, Some(1));
    assert_eq!(refusal(stale).0, "VersionConflictException");
    let replaced = update(&[("d", "4")], false, None).unwrap();
    assert_eq!(replaced.attributes, attributes(&[("d", "4")]));
}

/// AWS-LIM-28
#[test]
fn a_thing_without_a_type_has_three_attributes_at_most() {
    let office = Office::in_memory();
    let four = [("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")];
    let refused = office.change(|d| d.create_thing("car", with(&four)));
    assert_eq!(refusal(refused).0, "InvalidRequestException");
    let typed = office.change(|d| {
        d.create_thing_type("t", ThingTypeProperties::default(), Attributes::new())?;
        let new = NewThing {
            thing_type: Some("t".to_owned()),
            ..with(&four)
        };
        d.create_thing("car", new)
    });
    assert_eq!(typed.unwrap().attributes.len(), 4);
    let bare = office.change(|d| {
        let update = ThingUpdate {
            remove_type: true,
            ..ThingUpdate::default()
        };
        d.update_thing("car", update)
    });
    assert_eq!(refusal(bare).0, "InvalidRequestException");
}

/// AWS-API-45, AWS-OPS-06, AWS-OPS-15
#[test]
fn names_are_held_to_their_patterns_and_lengths() {
    let office = Office::in_memory();
    let create = |name: &str| office.change(|d| d.create_thing(name, NewThing::default()));
    create(&"a:_-9".repeat(25)).unwrap();
    let (name, message) = refusal(create("ä b"));
    assert_eq!(name, "InvalidRequestException");
    assert_eq!(
        message,
        "1 validation error detected: Value at 'thingName' failed to satisfy constraint: Member \
         must satisfy regular expression pattern: [a-zA-Z0-9:_-]+"
    );
    let (_, message) = refusal(create(&"ä".repeat(129)));
    assert!(message.starts_with("2 validation errors detected: "));
    assert!(message.contains("; Value at 'thingName'"), "{message}");
    assert!(create("").is_err());
    let long = "v".repeat(801);
    let value = office.change(|d| d.create_thing("x", with(&[("a", &long)])));
    assert_eq!(refusal(value).0, "InvalidRequestException");
}

/// AWS-OPS-25
#[test]
fn a_type_is_deleted_when_it_is_deprecated_and_nothing_has_it() {
    let office = Office::in_memory();
    let new = NewThing {
        thing_type: Some("t".to_owned()),
        ..NewThing::default()
    };
    office
        .change(|d| {
            d.create_thing_type("t", ThingTypeProperties::default(), Attributes::new())?;
            d.create_thing("car", new)
        })
        .unwrap();
    let delete = || office.change(|d| d.delete_thing_type("t"));
    assert!(refusal(delete()).1.contains("deprecated before"));
    office
        .change(|d| d.deprecate_thing_type("t", false))
        .unwrap();
    assert!(refusal(delete()).1.contains("thing car has it"));
    office.change(|d| d.delete_thing("car", None)).unwrap();
    delete().unwrap();
    assert_eq!(refusal(delete()).0, "ResourceNotFoundException");
}

/// AWS-OPS-26
#[test]
fn a_group_is_deleted_after_those_in_it_and_its_things_stay() {
    let office = Office::in_memory();
    office.group("root", None);
    office.group("leaf", Some("root"));
    office.thing("car");
    office
        .change(|d| d.add_thing_to_group("leaf", "car"))
        .unwrap();
    let delete = |name: &str| office.change(|d| d.delete_thing_group(name, None));
    let (name, message) = refusal(delete("root"));
    assert_eq!(name, "InvalidRequestException");
    assert!(message.contains("leaf"), "{message}");
    delete("leaf").unwrap();
    delete("root").unwrap();
    delete("nobody").unwrap();
    let thing = office.registry.state().describe_thing("car").unwrap();
    assert!(thing.groups.is_empty());
}

/// AWS-ID-09, AWS-LIM-28
#[test]
fn groups_are_seven_deep_and_a_thing_is_in_ten_at_most() {
    let office = Office::in_memory();
    office.group("g1", None);
    for depth in 2..=7 {
        office.group(&format!("g{depth}"), Some(&format!("g{}", depth - 1)));
    }
    let new = NewGroup {
        parent: Some("g7".to_owned()),
        ..NewGroup::default()
    };
    let deeper = office.change(|d| d.create_thing_group("g8", new));
    assert_eq!(refusal(deeper).0, "InvalidRequestException");
    office.thing("car");
    for number in 0..10 {
        let name = format!("flat{number}");
        office.group(&name, None);
        office
            .change(|d| d.add_thing_to_group(&name, "car"))
            .unwrap();
    }
    let eleventh = office.change(|d| d.add_thing_to_group("g1", "car"));
    assert_eq!(refusal(eleventh).0, "InvalidRequestException");
    office
        .change(|d| d.add_thing_to_group("flat0", "car"))
        .unwrap();
}

#[test]
fn groups_and_their_things_are_listed_by_level_and_below_it() {
    let office = Office::in_memory();
    office.group("a", None);
    office.group("ab", Some("a"));
    office.group("abc", Some("ab"));
    for (group, thing) in [("a", "t1"), ("ab", "t2"), ("abc", "t3")] {
        office.thing(thing);
        office
            .change(|d| d.add_thing_to_group(group, thing))
            .unwrap();
    }
    let state = office.registry.state();
    let groups = |parent, is_recursive| {
        let filter = GroupFilter {
            parent,
            prefix: None,
            is_recursive,
        };
        let groups = state.list_thing_groups(&filter, page()).unwrap().items;
        groups.iter().map(|g| g.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(groups(None, false), ["a"]);
    assert_eq!(groups(None, true), ["a", "ab", "abc"]);
    assert_eq!(groups(Some("a"), false), ["ab"]);
    assert_eq!(groups(Some("a"), true), ["ab", "abc"]);
    let things = |is_recursive| state.list_things_in_group("ab", is_recursive, page());
    assert_eq!(things(false).unwrap().items, ["t2"]);
    assert_eq!(things(true).unwrap().items, ["t2", "t3"]);
    assert_eq!(
        state.list_groups_of_thing("t3", page()).unwrap().items,
        ["abc"]
    );
    let group = office.change(|d| {
        let update = GroupUpdate {
            description: Some("x".to_owned()),
            expected_version: Some(1),
            ..GroupUpdate::default()
        };
        d.update_thing_group("a", update)
    });
    assert_eq!(group.unwrap().version, 2);
    office
        .change(|d| d.remove_thing_from_group("ab", "t2"))
        .unwrap();
    let left = office.registry.state();
    assert_eq!(
        left.list_things_in_group("a", true, page()).unwrap().items,
        ["t1", "t3"]
    );
}

/// AWS-API-04
#[test]
fn things_are_listed_by_type_and_attribute_in_pages() {
    let office = Office::in_memory();
    office
        .change(|d| d.create_thing_type("t", ThingTypeProperties::default(), Attributes::new()))
        .unwrap();
    for number in 0..7 {
        let new = NewThing {
            thing_type: (number % 2 == 0).then(|| "t".to_owned()),
            attributes: attributes(&[("colour", if number < 4 { "red" } else { "redder" })]),
        };
        office
            .change(|d| d.create_thing(&format!("car{number}"), new))
            .unwrap();
    }
    let state = office.registry.state();
    let all = |filter: ThingFilter<'_>| {
        let mut names = String::new();
        let mut token = None;
        loop {
            let page = Page {
                limit: Some(2),
                token: token.as_deref(),
                is_descending: false,
            };
            let listed = state.list_things(&filter, page).unwrap();
            assert!(listed.items.len() <= 2);
            for thing in listed.items {
                names.push_str(&thing.name[3..]);
            }
            token = listed.next;
            if token.is_none() {
                return names;
            }
        }
    };
    let of_type = ThingFilter {
        thing_type: Some("t"),
        ..ThingFilter::default()
    };
    let red = ThingFilter {
        attribute: Some("colour"),
        value: Some("red"),
        ..ThingFilter::default()
    };
    let reddish = ThingFilter {
        is_prefix: true,
        ..red.clone()
    };
    let both = ThingFilter {
        thing_type: Some("t"),
        ..reddish.clone()
    };
    assert_eq!(all(ThingFilter::default()), "0123456");
    assert_eq!(all(of_type), "0246");
    assert_eq!(all(red), "0123");
    assert_eq!(all(reddish), "0123456");
    assert_eq!(all(both), "0246");
}

/// AWS-OPS-27, AWS-OPS-28, AWS-API-14
#[test]
fn a_certificate_is_deleted_when_it_is_inactive_and_alone() {
    let office = Office::in_memory();
    let id = office.certificate();
    let arn = office.certificate_arn(&id);
    office.thing("car");
    office.policy("p");
    office.attach("car", &id, PrincipalType::NonExclusiveThing);
    office.change(|d| d.attach_policy("p", &arn)).unwrap();
    let delete = |force| office.change(|d| d.delete_certificate(&id, force));
    assert_eq!(refusal(delete(true)).0, "CertificateStateException");
    let deactivate = || office.change(|d| d.update_certificate(&id, RegisterStatus::Inactive));
    deactivate().unwrap();
    deactivate().unwrap();
    let version = office.registry.state().certificates[&id].version;
    assert_eq!(version, 2, "the second one changed nothing");
    let (name, message) = refusal(delete(true));
    assert_eq!(name, "DeleteConflictException");
    assert!(message.ends_with(": car"), "{message}");
    office
        .change(|d| d.detach_thing_principal("car", &arn))
        .unwrap();
    let (name, message) = refusal(delete(false));
    assert_eq!(name, "DeleteConflictException");
    assert!(message.ends_with(": p"), "{message}");
    delete(true).unwrap();
    assert_eq!(refusal(delete(true)).0, "ResourceNotFoundException");
    office.change(|d| d.delete_policy("p")).unwrap();
}

/// AWS-ID-01, AWS-API-11
#[test]
fn a_certificate_is_named_after_its_der_and_knows_its_validity() {
    let office = Office::in_memory();
    let pem = Pki::new("CA").leaf("device");
    // Comments and other line ends do not make it another one.
    let dressed = format!("# a comment\n{}", pem.replace("\r\n", "\n"));
    let created = office
        .change(|d| d.create_certificate(&dressed, false))
        .unwrap();
    let der = pem_der(&pem);
    let expected = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &der);
    let expected: String = expected
        .as_ref()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(created.id, expected);
    assert_eq!(pem_der(&created.pem), der);
    assert_eq!(created.status, CertificateStatus::Inactive);
    // rcgen's defaults.
    assert_eq!(
        (created.not_before, created.not_after),
        (157_766_400, 67_090_118_400)
    );
}

fn pem_der(pem: &str) -> Vec<u8> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    block.contents
}

/// AWS-TLS-08
#[test]
fn what_is_no_certificate_or_has_another_key_is_refused() {
    let office = Office::in_memory();
    let create = |pem: &str| refusal(office.change(|d| d.create_certificate(pem, true)));
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let (name, message) = create(&Pki::new("CA").leaf_of("x", &key));
    assert_eq!(name, "CertificateValidationException");
    assert!(message.contains("neither RSA nor ECDSA"), "{message}");
    assert!(create("nonsense").1.contains("not in PEM"));
    assert!(
        create(&key.serialize_pem())
            .1
            .contains("it is a PRIVATE KEY")
    );
    let cut = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    assert_eq!(create(cut).0, "CertificateValidationException");
}

fn register_ca(office: &Office, pki: &Pki, auto: bool) -> Result<String, Error> {
    let code = office
        .change(|d| Ok::<_, Error>(d.get_registration_code()))
        .unwrap();
    let verification = pki.leaf(&code);
    office.change(|d| {
        let ca = d.register_ca_certificate(NewCa {
            certificate: &pki.pem,
            verification: Some(&verification),
            is_active: true,
            auto_registration: auto,
            ..NewCa::default()
        })?;
        Ok(ca.id.clone())
    })
}

/// AWS-OPS-31, AWS-OPS-32, AWS-API-07
#[test]
fn a_certificate_is_registered_with_the_authority_that_signed_it() {
    let office = Office::in_memory();
    let pki = Pki::new("CA one");
    let leaf = pki.leaf("device");
    let register = |pem: &str, ca: Option<&str>| {
        office.change(|d| d.register_certificate(pem, ca, RegisterStatus::Active))
    };
    assert_eq!(
        refusal(register(&leaf, None)).0,
        "CertificateValidationException"
    );
    let ca = register_ca(&office, &pki, false).unwrap();
    let registered = register(&leaf, None).unwrap();
    assert_eq!(registered.ca.as_deref(), Some(ca.as_str()));
    let again = register(&leaf, None);
    let Err(Error::ResourceAlreadyExists { id, .. }) = again else {
        panic!("{again:?}");
    };
    assert_eq!(id, registered.id);
    // Of the same name, but with another key.
    let forged = Pki::new("CA one").leaf("device");
    assert_eq!(
        refusal(register(&forged, None)).0,
        "CertificateValidationException"
    );
    let without = office
        .change(|d| d.register_certificate_without_ca(&forged, RegisterStatus::Inactive))
        .unwrap();
    assert_eq!(without.mode, CertificateMode::SniOnly);
    let state = office.registry.state();
    let by_ca = state.list_certificates_by_ca(&ca, page()).unwrap().items;
    assert_eq!(by_ca, [registered]);
    office
        .change(|d| {
            let update = CaUpdate {
                is_active: Some(false),
                ..CaUpdate::default()
            };
            d.update_ca_certificate(&ca, update)
        })
        .unwrap();
    let next = pki.leaf("next");
    assert_eq!(
        refusal(register(&next, Some(&pki.pem))).0,
        "CertificateStateException"
    );
}

/// AWS-OPS-33, AWS-OPS-44, AWS-TLS-14
#[test]
fn an_authority_is_registered_by_who_has_its_key() {
    let office = Office::in_memory();
    let pki = Pki::new("CA");
    let register = |ca: &Pki, verification: Option<&str>, mode| {
        office.change(|d| {
            d.register_ca_certificate(NewCa {
                certificate: &ca.pem,
                verification,
                mode,
                ..NewCa::default()
            })
        })
    };
    let none = register(&pki, None, CertificateMode::Default);
    assert_eq!(refusal(none).0, "InvalidRequestException");
    let wrong = pki.leaf("something");
    let wrong = register(&pki, Some(&wrong), CertificateMode::Default);
    assert_eq!(refusal(wrong).0, "RegistrationCodeValidationException");
    let code = office.change(|d| Ok(d.get_registration_code())).unwrap();
    assert_eq!(code.len(), 64);
    let foreign = Pki::new("CA").leaf(&code);
    let foreign = register(&pki, Some(&foreign), CertificateMode::Default);
    assert_eq!(refusal(foreign).0, "CertificateValidationException");
    register_ca(&office, &pki, false).unwrap();
    let again = register_ca(&office, &pki, false);
    assert_eq!(refusal(again).0, "ResourceAlreadyExistsException");
    for _ in 1..10 {
        register(&Pki::new("CA"), None, CertificateMode::SniOnly).unwrap();
    }
    let eleventh = register(&Pki::new("CA"), None, CertificateMode::SniOnly);
    assert_eq!(refusal(eleventh).0, "LimitExceededException");
    let leaf = Pki {
        pem: pki.leaf("leaf"),
        ..pki
    };
    let leaf = register(&leaf, None, CertificateMode::SniOnly);
    assert_eq!(refusal(leaf).0, "CertificateValidationException");
    office.change(|d| d.delete_registration_code()).unwrap();
    let next = office.change(|d| Ok(d.get_registration_code())).unwrap();
    assert_ne!(next, code);
}

/// AWS-OPS-31
#[test]
fn of_several_authorities_of_one_subject_and_key_one_has_to_be_named() {
    let office = Office::in_memory();
    let mut params = params("CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut pems = Vec::new();
    for serial in [1u64, 2] {
        params.serial_number = Some(serial.into());
        pems.push(params.self_signed(&key).unwrap().pem());
    }
    for pem in &pems {
        office
            .change(|d| {
                d.register_ca_certificate(NewCa {
                    certificate: pem,
                    is_active: true,
                    mode: CertificateMode::SniOnly,
                    ..NewCa::default()
                })
            })
            .unwrap();
    }
    let pki = Pki {
        issuer: Issuer::new(params, key),
        pem: pems[0].clone(),
    };
    let leaf = pki.leaf("device");
    let register = |ca: Option<&str>| {
        office.change(|d| d.register_certificate(&leaf, ca, RegisterStatus::Active))
    };
    assert_eq!(refusal(register(None)).0, "CertificateConflictException");
    register(Some(&pems[1])).unwrap();
}

/// AWS-ID-04, AWS-ID-05
#[test]
fn a_certificate_registers_itself_if_its_authority_allows_that() {
    let office = Office::in_memory();
    let (shy, open) = (Pki::new("shy"), Pki::new("open"));
    register_ca(&office, &shy, false).unwrap();
    register_ca(&office, &open, true).unwrap();
    let auto = |pem: &str, sni| {
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        office.change(|d| d.auto_register(&block.contents, sni))
    };
    let refused = auto(&shy.leaf("x"), true);
    assert_eq!(refusal(refused).0, "CertificateValidationException");
    let pending = auto(&open.leaf("x"), false).unwrap();
    assert_eq!(pending.status, CertificateStatus::PendingActivation);
    let modern = Pki::new("modern");
    office
        .change(|d| {
            d.register_ca_certificate(NewCa {
                certificate: &modern.pem,
                is_active: true,
                auto_registration: true,
                mode: CertificateMode::SniOnly,
                ..NewCa::default()
            })
        })
        .unwrap();
    assert!(auto(&modern.leaf("x"), false).is_err());
    auto(&modern.leaf("x"), true).unwrap();
}

/// AWS-API-10
#[test]
fn an_authority_is_deleted_when_it_is_inactive() {
    let office = Office::in_memory();
    let ca = register_ca(&office, &Pki::new("CA"), false).unwrap();
    let delete = || office.change(|d| d.delete_ca_certificate(&ca));
    assert_eq!(refusal(delete()).0, "CertificateStateException");
    office
        .change(|d| {
            let update = CaUpdate {
                is_active: Some(false),
                ..CaUpdate::default()
            };
            d.update_ca_certificate(&ca, update)
        })
        .unwrap();
    delete().unwrap();
    assert!(
        office
            .registry
            .state()
            .describe_ca_certificate(&ca)
            .is_err()
    );
}

/// AWS-API-12, AWS-API-43
#[test]
fn certificates_are_listed_by_date_both_ways() {
    let mut office = Office::in_memory();
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(office.certificate());
        office.now += 1;
    }
    let state = office.registry.state();
    let all = |is_descending| {
        let mut found = Vec::new();
        let mut token = None;
        loop {
            let page = Page {
                limit: Some(2),
                token: token.as_deref(),
                is_descending,
            };
            let listed = state.list_certificates(page).unwrap();
            found.extend(listed.items.iter().map(|c| c.id.clone()));
            token = listed.next;
            if token.is_none() {
                return found;
            }
        }
    };
    assert_eq!(all(false), ids);
    ids.reverse();
    assert_eq!(all(true), ids);
}

/// AWS-OPS-34, AWS-LIM-27
#[test]
fn a_policy_is_a_json_object_of_so_many_characters_and_there_once() {
    let office = Office::in_memory();
    let create = |name: &str, document: &str| {
        office.change(|d| d.create_policy(name, document, Attributes::new()))
    };
    let policy = create("p", DOCUMENT).unwrap();
    assert_eq!((policy.default_version, policy.versions.len()), (1, 1));
    let again = create("p", DOCUMENT);
    assert_eq!(refusal(again).0, "ResourceAlreadyExistsException");
    for document in ["", "{", "[]", "{} {}", "text"] {
        let refused = create("q", document);
        assert_eq!(refusal(refused).0, "MalformedPolicyException", "{document}");
    }
    let id =
        |length: usize| DOCUMENT.replacen('{', &format!(r#"{{"Id":"{}","#, "x".repeat(length)), 1);
    let room = 2048 - id(0).len();
    create(
        "fits",
        &id(room).replace("\":", &format!("\":{}", " ".repeat(400))),
    )
    .unwrap();
    let over = create("over", &id(room + 1));
    assert_eq!(refusal(over).0, "MalformedPolicyException");
    assert_eq!(
        refusal(create("a b", DOCUMENT)).0,
        "InvalidRequestException"
    );
}

/// AWS-OPS-35, AWS-OPS-37
#[test]
fn a_policy_has_five_versions_and_their_numbers_are_not_given_twice() {
    let office = Office::in_memory();
    office.policy("p");
    let add = |is_default| office.change(|d| d.create_policy_version("p", DOCUMENT, is_default));
    for number in 2..=5 {
        assert_eq!(add(false).unwrap(), number);
    }
    assert_eq!(refusal(add(false)).0, "VersionsLimitExceededException");
    let delete = |number| office.change(|d| d.delete_policy_version("p", number));
    delete(5).unwrap();
    assert_eq!(add(true).unwrap(), 6);
    assert_eq!(refusal(delete(6)).0, "DeleteConflictException");
    assert_eq!(refusal(delete(5)).0, "ResourceNotFoundException");
    office
        .change(|d| d.set_default_policy_version("p", 1))
        .unwrap();
    delete(6).unwrap();
    assert_eq!(office.registry.state().policies["p"].default_version, 1);
}

/// AWS-OPS-36
#[test]
fn a_policy_is_deleted_when_it_has_one_version_and_no_target() {
    let office = Office::in_memory();
    office.policy("p");
    office.group("g", None);
    let group = office.arn(Resource::ThingGroup("g".to_owned()));
    office
        .change(|d| {
            d.create_policy_version("p", DOCUMENT, false)?;
            d.attach_policy("p", &group)
        })
        .unwrap();
    let delete = || office.change(|d| d.delete_policy("p"));
    let (name, message) = refusal(delete());
    assert_eq!(name, "DeleteConflictException");
    assert!(message.contains("2 (DeletePolicyVersion)"), "{message}");
    office.change(|d| d.delete_policy_version("p", 2)).unwrap();
    let (name, message) = refusal(delete());
    assert_eq!(name, "DeleteConflictException");
    assert!(message.contains(&group), "{message}");
    office.change(|d| d.detach_policy("p", &group)).unwrap();
    delete().unwrap();
}

/// AWS-OPS-38, AWS-OPS-39, AWS-ID-09
#[test]
fn policies_are_attached_to_certificates_and_groups_up_to_a_number() {
    let office = Office::in_memory();
    let id = office.certificate();
    let certificate = office.certificate_arn(&id);
    for number in 0..11 {
        office.policy(&format!("p{number}"));
    }
    let attach = |policy: &str, target: &str| office.change(|d| d.attach_policy(policy, target));
    for number in 0..10 {
        attach(&format!("p{number}"), &certificate).unwrap();
    }
    attach("p0", &certificate).unwrap();
    assert_eq!(
        refusal(attach("p10", &certificate)).0,
        "LimitExceededException"
    );
    office.group("root", None);
    office.group("leaf", Some("root"));
    let (root, leaf) = ("root".to_owned(), "leaf".to_owned());
    let (root, leaf) = (Resource::ThingGroup(root), Resource::ThingGroup(leaf));
    let (root, leaf) = (office.arn(root), office.arn(leaf));
    attach("p1", &root).unwrap();
    attach("p2", &leaf).unwrap();
    attach("p3", &leaf).unwrap();
    assert_eq!(refusal(attach("p4", &leaf)).0, "LimitExceededException");
    let state = office.registry.state();
    let attached = |is_recursive| {
        let listed = state.list_attached_policies(&leaf, is_recursive, page());
        let names = listed.unwrap().items.into_iter().map(|p| p.name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(attached(false), ["p2", "p3"]);
    assert_eq!(attached(true), ["p1", "p2", "p3"]);
    let first = Page {
        limit: Some(1),
        ..page()
    };
    let targets = state.list_targets_for_policy("p2", first).unwrap();
    let second = Page {
        limit: Some(1),
        token: targets.next.as_deref(),
        ..page()
    };
    let more = state.list_targets_for_policy("p2", second).unwrap();
    let found: Vec<_> = targets.items.iter().chain(&more.items).cloned().collect();
    assert_eq!(
        found,
        [
            Resource::ThingGroup("leaf".into()),
            Resource::Certificate(id)
        ]
    );
    assert_eq!(more.next, None);
    let unknown = office.arn(Resource::ThingGroup("nobody".to_owned()));
    let thing = office.arn(Resource::Thing("t".to_owned()));
    for (policy, target, expected) in [
        ("nobody", leaf.as_str(), "ResourceNotFoundException"),
        ("p1", &unknown, "ResourceNotFoundException"),
        ("p1", &thing, "InvalidRequestException"),
        ("p1", "leaf", "InvalidRequestException"),
        (
            "p1",
            "arn:aws:iot:eu-west-1:123456789012:thinggroup/leaf",
            "InvalidRequestException",
        ),
    ] {
        assert_eq!(refusal(attach(policy, target)).0, expected, "{target}");
    }
}

/// AWS-OPS-40, AWS-OPS-41
#[test]
fn a_certificate_belongs_to_many_things_or_to_one_alone() {
    use PrincipalType::{ExclusiveThing, NonExclusiveThing};
    let office = Office::in_memory();
    let (id, alone) = (office.certificate(), office.certificate());
    office.thing("a");
    office.thing("b");
    office.attach("a", &id, NonExclusiveThing);
    office.attach("a", &id, NonExclusiveThing);
    office.attach("b", &id, NonExclusiveThing);
    let refused = office.try_attach("a", &id, ExclusiveThing);
    assert_eq!(refusal(refused).0, "InvalidRequestException");
    office.attach("a", &alone, ExclusiveThing);
    office.attach("a", &alone, ExclusiveThing);
    for kind in [ExclusiveThing, NonExclusiveThing] {
        let (name, message) = refusal(office.try_attach("b", &alone, kind));
        assert_eq!(name, "InvalidRequestException");
        assert!(message.contains("thing a"), "{message}");
    }
    let state = office.registry.state();
    let (arn, alone_arn) = (office.certificate_arn(&id), office.certificate_arn(&alone));
    let things = state.list_principal_things(&arn, None, page()).unwrap();
    assert_eq!(
        things.items,
        [
            ("a".to_owned(), NonExclusiveThing),
            ("b".to_owned(), NonExclusiveThing)
        ]
    );
    let exclusive = state.list_thing_principals("a", Some(ExclusiveThing), page());
    assert_eq!(
        exclusive.unwrap().items,
        [(alone_arn.clone(), ExclusiveThing)]
    );
    let missing = office.certificate_arn(&"0".repeat(64));
    for (thing, principal) in [("a", &missing), ("nobody", &arn)] {
        let refused = office.change(|d| d.attach_thing_principal(thing, principal, ExclusiveThing));
        assert_eq!(refusal(refused).0, "ResourceNotFoundException");
    }
    let detach = || office.change(|d| d.detach_thing_principal("a", &alone_arn));
    detach().unwrap();
    assert_eq!(refusal(detach()).0, "ResourceNotFoundException");
    office.attach("b", &alone, ExclusiveThing);
}

/// AWS-OPS-58
#[test]
fn types_groups_and_policies_have_tags_things_and_certificates_have_none() {
    let office = Office::in_memory();
    office.policy("p");
    office.thing("t");
    let policy = office.arn(Resource::Policy("p".to_owned()));
    let tag = |arn: &str, pairs| office.change(|d| d.tag_resource(arn, attributes(pairs)));
    tag(&policy, &[("a", "1"), ("b", "2")]).unwrap();
    tag(&policy, &[("a", "3")]).unwrap();
    office
        .change(|d| d.untag_resource(&policy, &["b", "c"]))
        .unwrap();
    let state = office.registry.state();
    let tags = state.list_tags(&policy, page()).unwrap().items;
    assert_eq!(tags, [("a".to_owned(), "3".to_owned())]);
    let thing = office.arn(Resource::Thing("t".to_owned()));
    assert_eq!(refusal(tag(&thing, &[])).0, "InvalidRequestException");
    let reserved = tag(&policy, &[("aws:x", "1")]);
    assert_eq!(refusal(reserved).0, "InvalidRequestException");
}
