//! `/v1/groups` and `/v1/topics`.

use serde_json::json;

use crate::{
    api::Api,
    support::{Connect, Version, receive_maximum},
};

/// The example of the documentation, to the byte.
#[test]
fn list_has_the_shape_that_scripts_rely_on() {
    let api = Api::start();
    let mut a = api.open(Version::V5, &Connect::new("a").with(receive_maximum(1)));
    let mut b = api.connect("b");
    a.subscribe("$share/g/cars/+", 1);
    b.subscribe("$share/g/cars/+", 1);
    let mut publisher = api.connect("publisher");
    for text in ["1", "2", "3"] {
        publisher.publish("cars/1", text, 1);
    }
    assert_eq!(a.expect_publish().text(), "1");
    assert_eq!(b.receive().text(), "2");
    assert_eq!(b.receive().text(), "3");
    b.expect_only_pingresp();
    assert_eq!(
        api.get("/v1/groups").body,
        concat!(
            r#"{"groups":[{"share":"g","filter":"cars/+","cursor":0,"members":["#,
            r#"{"client_id":"a","connected":true,"in_flight":1,"delivered":1,"redelivered":0},"#,
            r#"{"client_id":"b","connected":true,"in_flight":0,"delivered":2,"redelivered":0}],"#,
            r#""queued":0,"dropped":0}],"total":1}"#
        )
    );
}

#[test]
fn groups_are_chosen_by_share_name_and_filter() {
    let api = Api::start();
    let mut client = api.connect("a");
    for filter in ["$share/g/x", "$share/h/x", "$share/g/y/#", "$share/g/z/+"] {
        client.subscribe(filter, 1);
    }
    let found = |query: &str| {
        let list = api.get(&format!("/v1/groups{query}")).json();
        let groups = list["groups"].as_array().expect("a list").clone();
        let name = |group: &serde_json::Value| format!("{} {}", group["share"], group["filter"]);
        groups
            .iter()
            .map(name)
            .collect::<Vec<_>>()
            .join(", ")
            .replace('"', "")
    };
    assert_eq!(found(""), "g x, h x, g y/#, g z/+");
    assert_eq!(found("?share=g"), "g x, g y/#, g z/+");
    assert_eq!(found("?filter=x"), "g x, h x");
    assert_eq!(found("?share=g&filter=y%2F%23"), "g y/#");
    assert_eq!(found("?filter=z/+"), "g z/+", "a plus sign as it is");
    assert_eq!(found("?filter=z%2F%2B"), "g z/+");
    assert_eq!(found("?share=other"), "");
    api.get("/v1/groups?name=g").expect_error(400, Some("name"));
}

#[test]
fn list_has_as_many_members_as_are_asked_for_and_says_how_many_there_are() {
    let api = Api::start();
    let mut clients = ["a", "b", "c"].map(|id| api.connect(id));
    for client in &mut clients {
        client.subscribe("$share/g/x", 1);
    }
    let mut away = api.open(Version::V5, &Connect::new("d").durable());
    away.subscribe("$share/g/x", 1);
    away.vanish();
    api.get("/v1/clients/d?wait=5s&connected=false").json();
    api.connect("publisher").publish("x", "1", 0);
    for members in [0, 2] {
        let list = api.get(&format!("/v1/groups?members={members}")).json();
        let group = &list["groups"][0];
        assert_eq!(group["members"].as_array().map(Vec::len), Some(members));
        assert_eq!(group["members_total"], 4);
        assert_eq!(group["members_connected"], 3);
        assert_eq!(group["number"], 1);
    }
    let all = api.get("/v1/groups").json();
    assert!(all["groups"][0].get("number").is_none(), "{all}");
    api.get("/v1/groups?members=1001")
        .expect_error(400, Some("members"));
}

#[test]
fn topics_count_subscribers_and_groups() {
    let api = Api::start();
    let (mut a, mut b) = (api.connect("a"), api.connect("b"));
    a.subscribe("x/+", 0);
    b.subscribe("x/+", 1);
    b.subscribe("$share/g/x/+", 1);
    a.subscribe("#", 0);
    assert_eq!(
        api.get("/v1/topics").json(),
        json!({"topics": [
            {"filter": "#", "subscribers": 1, "groups": 0},
            {"filter": "x/+", "subscribers": 2, "groups": 1},
        ], "total": 2})
    );
}
