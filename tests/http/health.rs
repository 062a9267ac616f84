//! Health, counters and metrics.

use crate::api::Api;

#[test]
fn health_and_readiness_are_ok_while_the_server_runs() {
    let api = Api::start();
    assert_eq!(api.get("/healthz").json()["status"], "ok");
    assert_eq!(api.get("/readyz").json()["status"], "ready");
}

#[test]
fn stopped_server_accepts_no_request() {
    let mut api = Api::start();
    // An idle connection does not hold the stop up.
    let idle = std::net::TcpStream::connect(api.http).expect("the API accepts");
    api.stop();
    assert!(std::net::TcpStream::connect(api.http).is_err());
    drop(idle);
}

#[test]
fn stats_count_what_happened() {
    let api = Api::start();
    let mut client = api.connect("a");
    client.subscribe("x", 0);
    client.subscribe("$share/g/y", 1);
    let mut other = api.connect("b");
    other.retain("x", "kept", 1);
    assert_eq!(client.receive().text(), "kept");
    let stats = api.get("/v1/stats").json();
    for (name, expected) in [
        ("clients_connected", 2),
        ("sessions", 2),
        ("subscriptions", 2),
        ("groups", 1),
        ("retained", 1),
        ("queued", 0),
        ("in_flight", 0),
        ("connections_opened", 2),
        ("messages_received", 1),
        ("messages_sent", 1),
        ("messages_dropped", 0),
    ] {
        assert_eq!(stats[name], expected, "{name}: {stats}");
    }
}

/// Workers write down what they count only now and then.
#[test]
fn memory_is_that_of_this_moment_and_never_none() {
    let api = Api::start();
    let held = |kind: &str| {
        let stats = api.get("/v1/stats").json();
        let kinds = stats["memory_bytes_by_kind"].as_object().expect("kinds");
        let sum: u64 = kinds.values().filter_map(serde_json::Value::as_u64).sum();
        assert_eq!(stats["memory_bytes"], sum);
        assert!(sum > 0, "the request has a connection");
        kinds[kind].as_u64().expect("a number")
    };
    assert_eq!(held("connections"), 0);
    let client = api.connect("a");
    // Less than a worker writes down.
    let one = held("connections");
    assert!((1_000..10_000).contains(&one), "{one}");
    assert!(held("sessions") > 0);
    drop(client);
}

#[test]
fn stats_say_what_the_broker_is_to_programs_for_aws() {
    let api = Api::start();
    let expected = serde_json::json!({
        "account": "123456789012",
        "region": "us-east-1",
        "endpoint_name": "localhost",
    });
    assert_eq!(api.get("/v1/stats").json()["aws"], expected);
}

#[test]
fn counters_outlive_the_connections_that_they_count() {
    let api = Api::start();
    let mut client = api.connect("a");
    client.subscribe("x", 1);
    client.publish("x", "hello", 1);
    client.receive();
    client.expect_only_pingresp();
    let counted = |stats: &serde_json::Value| {
        [
            "packets_received",
            "bytes_received",
            "messages_received",
            "messages_sent",
        ]
        .map(|name| stats[name].as_u64().expect("a count"))
    };
    let [packets, bytes, received, sent] = counted(&api.get("/v1/stats").json());
    assert_eq!((packets, received, sent), (5, 1, 1), "with CONNECT");
    client.disconnect();
    let after = counted(&api.get("/v1/stats").json());
    assert_eq!(after, [packets + 1, bytes + 2, received, sent]);
}

/// The lines that both forms of the metrics have in common, after some traffic.
const SAMPLES: [&str; 5] = [
    "# TYPE roundel_clients_connected gauge",
    "# TYPE roundel_turn_seconds histogram",
    "roundel_clients_connected 1",
    "roundel_messages_received_total 1",
    "roundel_build_info{version=\"0.1.0\",profile=\"standard\"} 1",
];

#[test]
fn metrics_are_prometheus_text() {
    let api = Api::start();
    let mut client = api.connect("a");
    client.publish("x", "hello", 1);
    let answer = api.get("/metrics");
    assert_eq!(answer.status, 200);
    let media_type = answer.header("content-type").expect("a content type");
    assert!(
        media_type.starts_with("text/plain; version=0.0.4"),
        "{media_type}"
    );
    expect_lines(&answer.body, &SAMPLES);
    let only_here = [
        "# HELP roundel_messages_received_total Messages from clients.",
        "# TYPE roundel_messages_received_total counter",
        "# TYPE roundel_build_info gauge",
    ];
    expect_lines(&answer.body, &only_here);
    for keyword in ["# UNIT", "# EOF"] {
        assert!(!answer.body.contains(keyword), "{}", answer.body);
    }
    expect_help_and_type_of_each(&answer.body);
}

#[test]
fn metrics_are_open_metrics_text_for_who_asks_for_it() {
    let api = Api::start();
    let mut client = api.connect("a");
    client.publish("x", "hello", 1);
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4";
    let answer = api.send("GET", "/metrics", &[("Accept", accept)], "");
    assert_eq!(answer.status, 200);
    let media_type = answer.header("content-type").expect("a content type");
    assert!(
        media_type.starts_with("application/openmetrics-text"),
        "{media_type}"
    );
    expect_lines(&answer.body, &SAMPLES);
    let only_here = [
        "# HELP roundel_messages_received Messages from clients.",
        "# TYPE roundel_messages_received counter",
        "# UNIT roundel_sent_bytes bytes",
        "# UNIT roundel_uptime_seconds seconds",
        "# EOF",
    ];
    expect_lines(&answer.body, &only_here);
    expect_help_and_type_of_each(&answer.body);
}

#[test]
fn metrics_have_the_length_of_turns() {
    let api = Api::start();
    let turns = || {
        let body = api.get("/metrics").body;
        let sample = |name: &str| {
            let line = body.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|value| value.trim().parse::<f64>().ok());
            value.unwrap_or_else(|| panic!("{name} in {body}"))
        };
        let count = sample("roundel_turn_seconds_count");
        let all = sample("roundel_turn_seconds_bucket{le=\"+Inf\"}");
        assert_eq!(count, all);
        (count, sample("roundel_turn_seconds_sum"))
    };
    let mut client = api.connect("a");
    let (count, sum) = turns();
    for _ in 0..100 {
        client.publish("x", "hello", 1);
    }
    let (count_after, sum_after) = turns();
    // What comes before a turn has ended belongs to it.
    assert!(count_after > count, "{count} and {count_after}");
    assert!(sum_after > sum, "{sum} and {sum_after}");
}

#[track_caller]
fn expect_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(
            text.lines().any(|found| found == *line),
            "{line} is not in\n{text}"
        );
    }
}

#[track_caller]
fn expect_help_and_type_of_each(text: &str) {
    let count = |start| text.lines().filter(|line| line.starts_with(start)).count();
    let (helps, types) = (count("# HELP"), count("# TYPE"));
    assert_eq!((helps, types), (21, 21), "{text}");
}
