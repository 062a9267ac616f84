//! Who gets in, and what every request is held to.

use crate::api::Api;

#[test]
fn request_under_a_foreign_host_is_forbidden() {
    let api = Api::start();
    for host in [
        "example.com",
        "example.com:9883",
        "localhost.example.com",
        "192.168.0.1",
    ] {
        api.send("GET", "/v1/clients", &[("Host", host)], "")
            .expect_error(403, None);
        api.send("GET", "/no/such/path", &[("Host", host)], "")
            .expect_error(403, None);
    }
}

#[test]
fn request_without_host_or_for_a_foreign_one_is_forbidden() {
    let api = Api::start();
    api.send_bytes(b"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
        .expect_error(403, None);
    api.send("GET", "http://example.com/healthz", &[], "")
        .expect_error(403, None);
}

/// RFC 9112, 3.2: whichever of them it is for.
#[test]
fn request_with_two_hosts_is_none() {
    let api = Api::start();
    for second in ["localhost", "example.com"] {
        let hosts = [("Host", "localhost"), ("Host", second)];
        api.send("GET", "/v1/clients", &hosts, "")
            .expect_error(400, Some("Host"));
    }
}

/// RFC 9112, 6.1: what is in a coding that is not understood is published by nobody.
#[test]
fn body_in_chunks_is_read_and_one_in_another_coding_is_refused() {
    let api = Api::start();
    let publish = |coding: &str| {
        let message = r#"{"topic":"a","payload":"x","qos":1}"#;
        let body = format!("{:x}\r\n{message}\r\n0\r\n\r\n", message.len());
        let head = "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close";
        api.send_bytes(format!("{head}\r\n{coding}\r\n\r\n{body}").as_bytes())
    };
    assert_eq!(publish("Transfer-Encoding: Chunked").status, 200);
    for coding in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
    ] {
        publish(coding).expect_error(501, Some("Transfer-Encoding"));
    }
}

#[test]
fn loopback_names_and_addresses_are_let_in_with_any_port() {
    let api = Api::start();
    for host in [
        "localhost",
        "LOCALHOST:1",
        "roundel.localhost:80",
        "127.0.0.2:9883",
        "[::1]:5",
        // What Docker calls this machine.
        "host.docker.internal:9883",
    ] {
        assert_eq!(
            api.send("GET", "/healthz", &[("Host", host)], "").status,
            200,
            "{host}"
        );
    }
}

#[test]
fn allowed_host_is_let_in() {
    let api = Api::start_with(|config| config.http_allowed_hosts = vec!["broker.test".to_owned()]);
    let headers = [
        ("Host", "broker.test:9883"),
        ("Origin", "http://broker.test"),
    ];
    assert_eq!(api.send("GET", "/healthz", &headers, "").status, 200);
    api.send("GET", "/healthz", &[("Host", "other.test")], "")
        .expect_error(403, None);
}

#[test]
fn foreign_origin_is_forbidden_and_changes_nothing() {
    let api = Api::start();
    let mut client = api.connect("a");
    for origin in [
        "http://example.com",
        "https://localhost.example.com",
        "null",
        "file://",
    ] {
        let headers = [("Origin", origin)];
        api.send("DELETE", "/v1/clients/a", &headers, "")
            .expect_error(403, None);
    }
    client.expect_only_pingresp();
    let origin = [("Origin", "http://localhost:3000")];
    assert_eq!(api.send("GET", "/healthz", &origin, "").status, 200);
}

#[test]
fn page_from_elsewhere_is_known_by_what_its_browser_says() {
    let api = Api::start();
    let mut client = api.connect("a");
    for origin in [None, Some("http://localhost:3000")] {
        let mut headers = vec![("Sec-Fetch-Site", "cross-site")];
        headers.extend(origin.map(|origin| ("Origin", origin)));
        for (method, target) in [
            ("GET", "/v1/clients"),
            ("GET", "/healthz"),
            ("DELETE", "/v1/clients/a"),
            ("POST", "/v1/publish"),
            ("GET", "/no/such/path"),
        ] {
            api.send(method, target, &headers, "")
                .expect_error(403, None);
        }
    }
    client.expect_silence();
    for site in ["same-origin", "same-site", "none"] {
        let headers = [("Sec-Fetch-Site", site)];
        let answer = api.send("GET", "/healthz", &headers, "");
        assert_eq!(answer.status, 200, "{site}");
    }
}

/// Below an allowed name there may be strangers: `other.test.example` beside `broker.test.example`.
#[test]
fn page_of_the_same_site_as_an_allowed_host_needs_an_origin_that_is_allowed() {
    let name = "broker.test.example";
    let api = Api::start_with(|config| config.http_allowed_hosts = vec![name.to_owned()]);
    let get = |headers: &[_]| api.send("GET", "/healthz", headers, "");
    let site = [("Host", name), ("Sec-Fetch-Site", "same-site")];
    get(&site).expect_error(403, None);
    let own = [
        site[0],
        site[1],
        ("Origin", "http://broker.test.example:81"),
    ];
    assert_eq!(get(&own).status, 200);
    let other = [site[0], site[1], ("Origin", "http://other.test.example")];
    get(&other).expect_error(403, None);
}

/// In the log of the program, on one line each whatever the request says.
#[cfg(feature = "cli")]
#[test]
fn refusal_is_logged_with_its_reason() {
    use std::{
        io::{Read, Write},
        net::TcpStream,
    };

    use crate::support::{DEADLINE, TestBroker};

    let flags = ["--profile", "standard", "--http-port", "0"];
    let (broker, log) = TestBroker::start_with_log(&flags, "");
    let address = broker.address("http").expect("the API is on");
    let requests = [
        ("GET", "Host: evil.example\r\n"),
        (
            "DELETE",
            "Host: localhost\r\nOrigin: http://evil.example\r\n",
        ),
        ("GET", "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n"),
    ];
    for (method, headers) in requests {
        let mut stream = TcpStream::connect(address).expect("the API accepts");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        let request =
            format!("{method} /v1/clients HTTP/1.1\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the API reads");
        stream.read_to_end(&mut Vec::new()).expect("an answer");
    }
    assert_eq!(broker.stop(), Some(0));
    let mut refusals = log.rest();
    refusals.retain(|line| line.contains("request refused"));
    assert_eq!(refusals.len(), requests.len(), "{refusals:?}");
    for (line, words) in refusals.iter().zip([
        ["GET", "host 'evil.example' is not allowed"],
        ["DELETE", "origin 'http://evil.example' is not allowed"],
        ["GET", "sec-fetch-site 'cross-site' is not allowed"],
    ]) {
        for word in words.iter().chain(&["/v1/clients"]) {
            assert!(line.contains(word), "no {word} in {line}");
        }
    }
}

#[test]
fn unknown_path_is_not_found() {
    let api = Api::start();
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v1/clients/",
        "/v1/clients/a/b",
        "/v1/nothing",
        "/no/such/path",
        "/console/assets/nothing",
    ] {
        let answer = api.get(path);
        answer.expect_error(404, None);
        // It leads to the paths that there are.
        assert!(answer.body.contains("/v1/openapi.json"), "{answer:?}");
    }
}

#[test]
fn wrong_method_is_not_allowed_and_the_right_ones_are_named() {
    let api = Api::start();
    let answer = api.post("/v1/clients/a", "{}");
    answer.expect_error(405, None);
    let allowed = answer.header("allow").expect("RFC 9110, section 15.5.6");
    assert!(
        allowed.contains("GET") && allowed.contains("DELETE"),
        "{allowed}"
    );
    api.get("/v1/publish").expect_error(405, None);
    api.delete("/v1/clients").expect_error(405, None);
}

#[test]
fn body_has_to_be_declared_as_json() {
    let api = Api::start();
    let body = r#"{"topic":"a","payload":""}"#;
    api.send("POST", "/v1/publish", &[], body)
        .expect_error(415, None);
    for media_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json5",
    ] {
        let headers = [("Content-Type", media_type)];
        api.send("POST", "/v1/publish", &headers, body)
            .expect_error(415, None);
    }
    let headers = [("Content-Type", "application/json; charset=utf-8")];
    assert_eq!(api.send("POST", "/v1/publish", &headers, body).status, 200);
}

#[test]
fn body_far_above_the_payload_limit_is_too_large() {
    let api = Api::start_with(|config| config.limits.payload_size = Some(100));
    let body = format!(r#"{{"topic":"a","payload":"{}"}}"#, "x".repeat(101));
    api.post("/v1/publish", &body)
        .expect_error(413, Some("payload"));
    // Not even sent: the server answers as soon as it knows the length.
    let request = format!(
        "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {}\r\n\r\n",
        100 + (1 << 20) + 1
    );
    api.send_bytes(request.as_bytes()).expect_error(413, None);
}

#[test]
fn client_that_sends_all_of_a_body_too_large_reads_the_answer() {
    let api = Api::start_with(|config| config.limits.payload_size = Some(100));
    // More than the buffers of both sockets hold: all of it has to be read.
    let body = format!(r#"{{"topic":"a","payload":"{}"}}"#, "x".repeat(20 << 20));
    api.post("/v1/publish", &body).expect_error(413, None);
}
