//! Policies on the wire: who may connect, publish, subscribe and receive.

use roundel::IssuedPem;
use roundel::aws::registry::{NewThing, PrincipalType, RegisterStatus, Resource};
use serde_json::{Value, json};

use crate::stand::{Stand, allow, deny, everything};
use crate::support::*;

/// AWS-ID-02 AWS-ID-03: until the first policy is there, whoever has a certificate of this authority may do
/// everything; from then on, an unknown one has no standing.
#[test]
fn policies_hold_from_the_first_one_on() {
    both(|version| {
        let stand = Stand::start();
        let unknown = stand.issue("unknown");
        let mut before = stand.enter(&unknown, version, &Connect::new("before"));
        before.publish("a", "x", 1);
        stand.device("other", &json!([everything()]));
        stand.cut(&unknown, version, &Connect::new("after"));
        // Its next packet is not allowed either (AWS-ID-15).
        before.send(Publish::new("a", "x").qos(1, 9));
        match version {
            Version::V5 => assert_eq!(before.expect_puback(9), 0x87),
            Version::V3 => before.expect_closed(),
        }
        // Nor does deleting it go back.
        stand.change(|draft| {
            let target = draft.list_targets_for_policy("other", Default::default())?;
            for target in target.items {
                let target = draft.arn(&target);
                draft.detach_policy("other", &target)?;
            }
            draft.delete_policy("other")
        });
        stand.cut(&unknown, version, &Connect::new("after"));
        // Nor does anybody without a certificate get in.
        let mut plain = Client::dial(stand.server.addrs().mqtt.expect("a listener"), version);
        plain.send_connect(&Connect::new("plain"));
        plain.expect_closed();
    });
}

/// AWS-ID-53 AWS-ID-54
#[test]
fn account_and_region_are_the_configured_ones_or_do_not_matter() {
    let elsewhere = json!([{
        "Effect": "Allow", "Action": "iot:*", "Resource": "arn:aws:iot:eu-central-1:000000000001:*",
    }]);
    let moved = Stand::with(|config| {
        config.aws.account = "000000000001".to_owned();
        config.aws.region = "eu-central-1".to_owned();
    });
    let connect = || Connect::new("car");
    let device = moved.device("device", &elsewhere);
    moved.enter(&device, Version::V5, &connect());
    let home = Stand::start();
    let device = home.device("device", &elsewhere);
    home.refuse(&device, Version::V5, &connect());
    let open = Stand::with(|config| config.aws.match_any_account = true);
    let device = open.device("device", &elsewhere);
    open.enter(&device, Version::V5, &connect());
}

#[test]
fn enforced_policies_hold_before_there_are_any() {
    let stand = Stand::with(|config| {
        config.aws.policies = roundel::config::PolicyMode::Enforce;
        config.aws.anonymous_policy = Some("guests".to_owned());
    });
    let unknown = stand.issue("unknown");
    stand.cut(&unknown, Version::V5, &Connect::new("a"));
    let address = stand.server.addrs().mqtt.expect("a listener");
    let mut guest = Client::dial(address, Version::V5);
    guest.send_connect(&Connect::new("guest"));
    guest.expect_closed();
    let document =
        json!({ "Version": "2012-10-17", "Statement": [allow(&["Connect"], &["client/guest"])] });
    stand.change(|draft| {
        draft
            .create_policy("guests", &document.to_string(), Default::default())
            .map(drop)
    });
    let mut guest = Client::dial(address, Version::V5);
    guest.send_connect(&Connect::new("guest"));
    assert_eq!(guest.expect_connack().1, 0);
    let mut other = Client::dial(address, Version::V5);
    other.send_connect(&Connect::new("other"));
    other.expect_refusal(0x87);
}

/// AWS-ID-30 AWS-ID-31 AWS-FAIL-01 AWS-CONN-20 AWS-CONN-21
#[test]
fn connect_needs_its_client_identifier_and_its_will() {
    both(|version| {
        let stand = Stand::start();
        let statements = json!([
            allow(&["Connect"], &["client/test-*"]),
            allow(&["Publish"], &["topic/wills/*"]),
            allow(&["RetainPublish"], &["topic/wills/kept"]),
        ]);
        let device = stand.device("device", &statements);
        let connect = || Connect::new(fresh("test-"));
        stand.enter(&device, version, &connect());
        stand.refuse(&device, version, &Connect::new("car1"));
        let will = |topic: &str| Will::new(topic, "gone");
        stand.enter(&device, version, &connect().will(will("wills/a")));
        stand.refuse(&device, version, &connect().will(will("other")));
        stand.enter(
            &device,
            version,
            &connect().will(will("wills/kept").retain()),
        );
        stand.refuse(&device, version, &connect().will(will("wills/a").retain()));
    });
}

/// AWS-ID-32 AWS-ID-33 AWS-FAIL-02 AWS-FAIL-03 AWS-RET-11
#[test]
fn publish_needs_its_topic() {
    both(|version| {
        let stand = Stand::start();
        let statements = json!([
            allow(&["Connect"], &["client/*"]),
            allow(
                &["Publish", "Subscribe", "Receive"],
                &["topic/${iot:ClientId}/*", "topicfilter/*"]
            ),
            deny(&["Publish"], &["topic/*/secret"]),
        ]);
        let device = stand.device("device", &statements);
        let name = fresh("device");
        let mut client = stand.enter(&device, version, &Connect::new(&name));
        let own = format!("{name}/state");
        client.subscribe(&own, 1);
        client.publish(&own, "x", 1);
        assert_eq!(client.receive().text(), "x");
        for refused in [
            Publish::new("other/state", "x"),
            Publish::new(format!("{name}/secret"), "x"),
            // Publish alone does not keep.
            Publish::new(&own, "x").retain(),
        ] {
            let connect = Connect::new(&name);
            let mut client = stand.enter(&device, version, &connect);
            client.send(refused.clone().qos(1, 7));
            match version {
                Version::V5 => {
                    assert_eq!(client.expect_puback(7), 0x87);
                    client.expect_only_pingresp();
                }
                Version::V3 => client.expect_closed(),
            }
            let mut client = stand.enter(&device, version, &connect);
            client.send(refused);
            client.expect_error(0x87);
        }
    });
}

/// AWS-ID-35 AWS-ID-36 AWS-FAIL-04
#[test]
fn subscribe_needs_its_filter_as_text() {
    both(|version| {
        let stand = Stand::start();
        let statements = json!([
            allow(&["Connect"], &["client/*"]),
            allow(
                &["Subscribe"],
                &["topicfilter/a/+", "topicfilter/$share/*/b"]
            ),
        ]);
        let device = stand.device("device", &statements);
        let mut client = stand.enter(&device, version, &Connect::new(fresh("a")));
        assert_eq!(client.subscribe("a/+", 1), 1);
        assert_eq!(client.subscribe("$share/g/b", 1), 1);
        for refused in ["a/b", "b", "$share/g/a/+"] {
            let mut client = stand.enter(&device, version, &Connect::new(fresh("a")));
            match version {
                Version::V5 => {
                    assert_eq!(client.subscribe(refused, 1), 0x87, "{refused}");
                    client.expect_only_pingresp();
                }
                Version::V3 => {
                    client.send(Subscribe::new(1).filter(refused, 1));
                    client.expect_closed();
                }
            }
        }
    });
}

/// AWS-ID-37 AWS-ID-59 AWS-FAIL-05 AWS-ID-15
#[test]
fn receive_is_asked_for_each_delivery() {
    both(|version| {
        let stand = Stand::start();
        let statements = |denied: &str| {
            json!([
                allow(&["Connect", "Publish", "Subscribe", "Receive"], &["*"]),
                deny(&["Receive"], &[denied]),
            ])
        };
        let device = stand.device("device", &statements("topic/a/restricted/*"));
        let mut client = stand.enter(&device, version, &Connect::new(fresh("reader")));
        assert_eq!(client.subscribe("a/#", 1), 1);
        client.publish("a/restricted/x", "kept from it", 1);
        client.publish("a/b", "b", 1);
        assert_eq!(client.receive().topic, "a/b");
        // The connection and its subscription stay when the policy changes.
        stand.set_policy("device", &statements("topic/a/b"));
        client.publish("a/b", "kept from it", 1);
        client.publish("a/restricted/x", "x", 1);
        assert_eq!(client.receive().topic, "a/restricted/x");
    });
}

/// AWS-ID-38 AWS-ID-39 AWS-SHARE-28: what no member may have waits until one may.
#[test]
fn a_group_passes_over_who_may_not_receive() {
    let stand = Stand::start();
    let common = allow(&["Connect", "Publish", "Subscribe"], &["*"]);
    let none = stand.device("none", &json!([common]));
    let plain = stand.device("plain", &json!([common, allow(&["Receive"], &["topic/b"])]));
    let shared = stand.device(
        "shared",
        &json!([common, allow(&["Receive"], &["topic/$share/g/c"])]),
    );
    let member = |identity: &IssuedPem| {
        let mut client = stand.enter(identity, Version::V5, &Connect::new(fresh("member")));
        assert_eq!(client.subscribe("$share/g/+", 1), 1);
        client
    };
    let (mut none, mut plain, mut shared) = (member(&none), member(&plain), member(&shared));
    none.publish("a", "a", 1);
    for _ in 0..3 {
        none.publish("b", "b", 1);
        none.publish("c", "c", 1);
    }
    for _ in 0..3 {
        assert_eq!(plain.receive().topic, "b");
        assert_eq!(shared.receive().topic, "c");
    }
    stand.set_policy("plain", &json!([common, allow(&["Receive"], &["topic/a"])]));
    assert_eq!(plain.receive().topic, "a");
    none.expect_only_pingresp();
}

/// AWS-SHARE-17 AWS-SHARE-28: what waits for somebody who may have it goes with the last who is connected, if
/// nobody who is away gets QoS 1.
#[test]
fn what_no_member_may_have_is_dropped_when_the_last_one_is_gone() {
    let stand = Stand::start();
    let common = allow(&["Connect", "Publish", "Subscribe"], &["*"]);
    let none = stand.device("none", &json!([common]));
    let all = stand.device("all", &json!([everything()]));
    let (last, group) = (fresh("last"), "$share/g/a");
    let mut watcher = stand.enter(&all, Version::V5, &Connect::new(fresh("watcher")));
    watcher.subscribe(&format!("$aws/events/presence/disconnected/{last}"), 1);
    let mut member = stand.enter(&none, Version::V5, &Connect::new(&last).durable());
    assert_eq!(member.subscribe(group, 0), 0);
    watcher.publish("a", "waits", 1);
    member.disconnect();
    watcher.receive();
    let mut other = stand.enter(&all, Version::V5, &Connect::new(fresh("other")));
    assert_eq!(other.subscribe(group, 1), 1);
    watcher.publish("a", "new", 1);
    assert_eq!(other.receive().text(), "new");
}

/// AWS-ID-16 AWS-LIFE-13
#[test]
fn a_certificate_that_may_not_connect_any_more_loses_its_connection() {
    both(|version| {
        let stand = Stand::start();
        let watcher = stand.device("watcher", &json!([everything()]));
        let mut watcher = stand.enter(&watcher, Version::V5, &Connect::new(fresh("watcher")));
        watcher.subscribe("$aws/events/presence/disconnected/device", 1);
        let device = stand.device("device", &json!([everything()]));
        let mut client = stand.enter(&device, version, &Connect::new("device"));
        let id = device.certificate_id.clone();
        stand.change(|draft| draft.update_certificate(&id, RegisterStatus::Inactive));
        client.expect_error(0x87);
        let event: Value = serde_json::from_str(watcher.receive().text()).expect("JSON");
        assert_eq!(event["disconnectReason"], "FORBIDDEN_ACCESS");
        assert_eq!(event["principalIdentifier"], device.certificate_id);
        stand.cut(&device, version, &Connect::new("device"));
        stand.change(|draft| draft.update_certificate(&id, RegisterStatus::Active));
        stand.enter(&device, version, &Connect::new("device"));
    });
}

/// AWS-ID-07 AWS-ID-08 AWS-PEX-93 AWS-PEX-94: the thing that is named like the client, its variables and
/// the policies of its groups.
#[test]
fn the_thing_of_a_client_brings_variables_and_policies() {
    let stand = Stand::start();
    let statements = json!([
        allow(&["Connect"], &["client/*"]),
        allow(
            &["Publish"],
            &["topic/sites/${iot:Connection.Thing.Attributes[site]}"]
        ),
    ]);
    let device = stand.device("car1", &statements);
    let mut client = stand.enter(&device, Version::V5, &Connect::new("car1"));
    let mut try_to = |topic: &str, reason: u8| {
        assert_eq!(
            client.publish_message(Publish::new(topic, "x"), 1),
            reason,
            "{topic}"
        );
    };
    try_to("sites/s1", 0x87);
    let document =
        json!({ "Version": "2012-10-17", "Statement": [allow(&["Publish"], &["topic/fleet"])] });
    stand.change(|draft| {
        let attributes = [("site".to_owned(), "s1".to_owned())].into();
        let thing = NewThing {
            attributes,
            ..NewThing::default()
        };
        draft.create_thing("car1", thing)?;
        let principal = draft.arn(&Resource::Certificate(device.certificate_id.clone()));
        draft.attach_thing_principal("car1", &principal, PrincipalType::NonExclusiveThing)
    });
    try_to("sites/s1", 0x00);
    try_to("sites/s2", 0x87);
    try_to("fleet", 0x87);
    stand.change(|draft| {
        draft.create_thing_group("fleet", Default::default())?;
        draft.add_thing_to_group("fleet", "car1")?;
        draft.create_policy("fleet", &document.to_string(), Default::default())?;
        let target = draft.arn(&Resource::ThingGroup("fleet".to_owned()));
        draft.attach_policy("fleet", &target)
    });
    try_to("fleet", 0x00);
}
