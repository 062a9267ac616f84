//! Pages of lists, and the parameters that every request is held to.

use roundel::{QoS, Subscription};
use serde_json::Value;

use crate::{api::Api, support::Client};

/// The four lists: path, name of the list, how an entry is named in `after`.
type List = (&'static str, &'static str, fn(&Value) -> String);

const LISTS: [List; 4] = [
    ("/v1/clients", "clients", |entry| text(entry, "client_id")),
    ("/v1/groups", "groups", |entry| {
        format!("$share/{}/{}", text(entry, "share"), text(entry, "filter"))
    }),
    ("/v1/topics", "topics", |entry| text(entry, "filter")),
    ("/v1/retained", "retained", |entry| text(entry, "topic")),
];

fn text(entry: &Value, key: &str) -> String {
    entry[key].as_str().expect("a text").to_owned()
}

fn encoded(text: &str) -> String {
    let keep = |byte: &u8| byte.is_ascii_alphanumeric();
    text.bytes()
        .map(|byte| match keep(&byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

/// The names of one page, and `total`.
fn page((path, name, key): List, api: &Api, query: &str) -> (Vec<String>, u64) {
    let answer = api.get(&format!("{path}?{query}")).json();
    let entries = answer[name].as_array().expect("a list");
    let total = answer["total"].as_u64().expect("a total");
    (entries.iter().map(key).collect(), total)
}

/// The names of all pages, until one is empty.
fn pages(list: List, api: &Api, query: &str) -> Vec<Vec<String>> {
    let mut pages: Vec<Vec<String>> = Vec::new();
    loop {
        let after = pages.last().and_then(|page| page.last());
        let after = after.map_or_else(String::new, |after| format!("&after={}", encoded(after)));
        let (names, _) = page(list, api, &format!("{query}{after}"));
        if names.is_empty() {
            return pages;
        }
        pages.push(names);
    }
}

/// Seven entries in each list; the clients hold them.
fn some_of_each(api: &Api) -> Vec<Client> {
    let filters = ["a/+", "a/#", "b", "c/d", "c/+/x", "zzz", "A"];
    let mut retainer = api.connect("retainer");
    for topic in ["a", "a/b", "a/b/c", "b/ü", "b/%", "c+d", "z"] {
        if !topic.contains('+') {
            retainer.retain(topic, "kept", 1);
        }
    }
    retainer.retain("c d", "kept", 1);
    retainer.disconnect();
    filters
        .iter()
        .enumerate()
        .map(|(number, filter)| {
            let mut client = api.connect(&format!("client {}", 6 - number));
            client.subscribe(filter, 1);
            client.subscribe(&format!("$share/g{}/{filter}", number % 3), 1);
            client
        })
        .collect()
}

#[test]
fn pages_of_each_list_have_every_entry_once_and_in_order() {
    let api = Api::start();
    let _clients = some_of_each(&api);
    for list in LISTS {
        let (all, total) = page(list, &api, "");
        assert_eq!((all.len(), total), (7, 7), "{}: {all:?}", list.0);
        for limit in [1, 2, 3, 6, 7, 8, 1000] {
            let pages = pages(list, &api, &format!("limit={limit}"));
            assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit));
            assert_eq!(pages.concat(), all, "{} by {limit}", list.0);
        }
        assert_eq!(page(list, &api, "limit=0"), (Vec::new(), 7));
    }
}

#[test]
fn page_goes_on_behind_an_entry_that_is_gone_and_shows_what_came() {
    let api = Api::start();
    let mut client = api.connect("x");
    for filter in ["a", "c", "e", "g"] {
        client.subscribe(filter, 1);
        client.retain(filter, "kept", 1);
        client.subscribe(&format!("$share/g/{filter}"), 1);
    }
    for (list, prefix) in [(LISTS[1], "$share/g/"), (LISTS[2], ""), (LISTS[3], "")] {
        let after = |key: &str| format!("limit=1&after={}", encoded(&format!("{prefix}{key}")));
        let next = |key: &str| page(list, &api, &after(key)).0.concat();
        assert_eq!(next("a"), format!("{prefix}c"));
        client.unsubscribe("c");
        client.unsubscribe("$share/g/c");
        client.retain("c", "", 1);
        assert_eq!(next("a"), format!("{prefix}e"));
        assert_eq!(next("c"), format!("{prefix}e"));
        client.subscribe("d", 1);
        client.subscribe("$share/g/d", 1);
        client.retain("d", "kept", 1);
        assert_eq!(next("c"), format!("{prefix}d"));
        for topic in ["d", "c"] {
            client.unsubscribe(topic);
            client.unsubscribe(&format!("$share/g/{topic}"));
            client.retain(topic, "", 1);
        }
        client.subscribe("c", 1);
        client.subscribe("$share/g/c", 1);
        client.retain("c", "kept", 1);
    }
}

#[test]
fn q_chooses_entries_whose_name_contains_it() {
    let api = Api::start();
    let _clients = some_of_each(&api);
    let found = |list: usize, query: &str| {
        let (names, total) = page(LISTS[list], &api, query);
        format!("{} of {total}", names.join(" "))
    };
    assert_eq!(found(0, "q=t%203"), "client 3 of 1");
    assert_eq!(
        found(0, "q=client&limit=1&after=client%204"),
        "client 5 of 7"
    );
    assert_eq!(found(1, "q=c/"), "$share/g1/c/+/x $share/g0/c/d of 2");
    assert_eq!(
        found(1, "q=g1&limit=1&after=$share/g1/a/%23"),
        "$share/g1/c/+/x of 2"
    );
    assert_eq!(found(1, "q=share"), " of 0");
    assert_eq!(found(2, "q=+&limit=1"), "a/+ of 2");
    assert_eq!(found(2, "q=a/"), "a/# a/+ of 2");
    assert_eq!(found(3, "q=b/"), "a/b/c b/% b/ü of 3");
    assert_eq!(found(3, "q=b&filter=a/%23&limit=1"), "a/b of 2");
    assert_eq!(found(3, "q=none"), " of 0");
}

/// A filter with several subscribers is one filter, also where it is looked for by a part of it.
#[test]
fn filter_with_many_subscribers_counts_once() {
    let api = Api::start();
    let (mut a, mut b) = (api.connect("a"), api.connect("b"));
    for client in [&mut a, &mut b] {
        client.subscribe("x/y", 0);
        client.subscribe("$share/g/x/y", 0);
        client.subscribe("$share/h/x/y", 0);
    }
    for query in ["", "q=x"] {
        let answer = api.get(&format!("/v1/topics?{query}")).json();
        assert_eq!(
            answer,
            serde_json::json!({"topics": [
                {"filter": "x/y", "subscribers": 2, "groups": 2},
            ], "total": 1})
        );
    }
}

/// A plain filter in `after` stands behind all groups of it.
#[test]
fn groups_go_on_behind_a_filter() {
    let api = Api::start();
    let mut client = api.connect("a");
    for filter in ["$share/g/x", "$share/h/x", "$share/g/y"] {
        client.subscribe(filter, 1);
    }
    let list = LISTS[1];
    assert_eq!(page(list, &api, "after=x").0, ["$share/g/y"]);
    assert_eq!(page(list, &api, "after=w").0.len(), 3);
    let (names, total) = page(list, &api, "filter=x&after=$share/g/x");
    assert_eq!((names.concat(), total), ("$share/h/x".to_owned(), 2));
}

#[test]
fn limit_is_a_hundred_unless_told_and_a_thousand_at_most() {
    let api = Api::start();
    let mut client = api.connect("a");
    for number in 0..120 {
        client.retain(&format!("t/{number:03}"), "kept", 1);
    }
    let list = LISTS[3];
    assert_eq!(page(list, &api, "").0.len(), 100);
    assert_eq!(page(list, &api, "limit=1000").0.len(), 120);
    for (path, ..) in LISTS {
        for limit in ["1001", "-1", "x", "1.5", "%2B1", "18446744073709551616"] {
            api.get(&format!("{path}?limit={limit}"))
                .expect_error(400, Some("limit"));
        }
    }
}

/// Parameters that an operation knows, of those that any knows.
#[test]
fn parameter_that_is_unknown_or_repeated_or_empty_is_refused_everywhere() {
    let api = Api::start();
    let _client = api.connect("a");
    for (method, path, known) in [
        ("GET", "/healthz", &[][..]),
        ("GET", "/readyz", &[]),
        ("GET", "/metrics", &[]),
        ("GET", "/v1/stats", &[]),
        ("GET", "/v1/openapi.json", &[]),
        ("GET", "/v1/clients", &["after", "limit", "q", "filter"]),
        ("GET", "/v1/clients/a", &[]),
        ("DELETE", "/v1/clients/a", &["reason"]),
        (
            "GET",
            "/v1/groups",
            &["after", "limit", "q", "share", "filter"],
        ),
        ("GET", "/v1/topics", &["after", "limit", "q"]),
        ("GET", "/v1/retained", &["after", "limit", "q", "filter"]),
        ("POST", "/v1/publish", &[]),
    ] {
        let headers = [("Content-Type", "application/json")];
        let ask = |query: &str| api.send(method, &format!("{path}?{query}"), &headers, "{}");
        for name in [
            "nothing", "Limit", "after", "limit", "q", "share", "filter", "reason",
        ] {
            if known.contains(&name) {
                ask(name).expect_error(400, Some(name));
                ask(&format!("{name}=")).expect_error(400, Some(name));
                ask(&format!("{name}=1&{name}=1")).expect_error(400, Some(name));
            } else {
                ask(&format!("{name}=1")).expect_error(400, Some(name));
                ask(name).expect_error(400, Some(name));
            }
        }
    }
}

#[test]
fn group_with_many_members_is_shown_in_part() {
    let api = Api::start();
    let _members: Vec<Subscription> = (0..1_005)
        .map(|_| {
            let subscribed = api.server().subscribe("$share/g/x", QoS::AtLeastOnce);
            subscribed.expect("a subscription")
        })
        .collect();
    let answer = api.get("/v1/groups").json();
    let group = &answer["groups"][0];
    assert_eq!(group["members"].as_array().map(Vec::len), Some(1_000));
    assert_eq!(group["members_total"], 1_005);
}

#[test]
fn client_with_many_subscriptions_is_listed_in_part_and_shown_in_full() {
    let api = Api::start();
    let mut client = api.connect("a");
    for number in (0..600).rev() {
        client.subscribe(&format!("x/{number:03}"), 1);
    }
    let listed = &api.get("/v1/clients").json()["clients"][0];
    let subscriptions = listed["subscriptions"].as_array().expect("a list");
    assert_eq!(subscriptions.len(), 100);
    assert_eq!(
        (&subscriptions[0], &subscriptions[99]),
        (&"x/000".into(), &"x/099".into())
    );
    assert_eq!(listed["subscriptions_total"], 600);
    let shown = api.get("/v1/clients/a").json();
    let subscriptions = shown["subscriptions"].as_array().expect("a list");
    assert_eq!(subscriptions.len(), 600);
    assert!(subscriptions.is_sorted_by_key(|name| name.as_str()));
    assert_eq!(
        shown["granted_qos"].as_object().map(|all| all.len()),
        Some(600)
    );
}

#[test]
fn payloads_that_one_answer_has_no_room_for_are_left_out_with_their_size() {
    let api = Api::start();
    let mut client = api.connect("a");
    for (topic, size) in [("a", 600_000), ("b", 600_000), ("c", 10), ("d", 2 << 20)] {
        client.retain(topic, vec![b'x'; size], 1);
    }
    let answer = api.get("/v1/retained").json();
    let list = answer["retained"].as_array().expect("a list");
    let lengths: Vec<_> = list
        .iter()
        .map(|message| message["payload"].as_str().map(str::len))
        .collect();
    assert_eq!(lengths, [Some(600_000), None, Some(10), None]);
    for (message, size) in [(&list[1], 600_000), (&list[3], 2 << 20)] {
        assert_eq!(message["payload_left_out"], true);
        assert_eq!(message["payload_size"], size);
        assert!(message["payload_base64"].is_null());
    }
    for message in [&list[0], &list[2]] {
        assert!(message.get("payload_left_out").is_none());
    }
    let alone = api.get("/v1/retained?filter=b").json();
    let payload = alone["retained"][0]["payload"].as_str().expect("a payload");
    assert_eq!(payload.len(), 600_000);
}

/// However long the names are, an answer is bounded, and the pages still have everything.
#[test]
fn page_ends_early_where_its_entries_are_long() {
    let api = Api::start();
    let mut client = api.connect("a");
    let topics: Vec<_> = (0..200)
        .map(|number| format!("{number:03}/{}", "x".repeat(20_000)))
        .collect();
    for topic in &topics {
        client.retain(topic, vec![b'y'; 5_000], 1);
    }
    let pages = pages(LISTS[3], &api, "limit=1000");
    assert!(pages.len() > 1, "one answer had everything");
    assert_eq!(pages.concat(), topics);
}
