//! The console's files: which answer, with which headers.

use crate::api::{Answer, Api};

fn accept(api: &Api, path: &str, accept: &str) -> Answer {
    api.send("GET", path, &[("Accept", accept)], "")
}

#[test]
fn browsers_are_taken_to_the_console_and_programs_are_not() {
    let api = Api::start();
    let welcome = accept(&api, "/", "text/html,application/xhtml+xml,*/*;q=0.8");
    assert_eq!(
        (welcome.status, welcome.header("location")),
        (307, Some("/console/"))
    );
    assert_eq!(api.get("/console").header("location"), Some("/console/"));
    for kind in ["*/*", "application/json"] {
        accept(&api, "/", kind).expect_error(404, None);
    }
    // And from nowhere else than a page of this machine.
    let foreign = [("Accept", "text/html"), ("Host", "evil.example")];
    for path in ["/", "/console/", "/console/assets/app.js"] {
        assert_eq!(api.send("GET", path, &foreign, "").status, 403, "{path}");
    }
    let posted = api.send("POST", "/console/", &[("Content-Type", "text/html")], "x");
    posted.expect_error(405, None);
}

#[test]
fn console_that_is_off_is_none_of_the_paths() {
    let api = Api::start_with(|config| config.console = false);
    for path in ["/", "/console", "/console/", "/console/assets/app.js"] {
        accept(&api, path, "text/html").expect_error(404, None);
    }
    // The control API is there as ever.
    let stats = api.get("/v1/stats");
    stats.json_with(200);
    assert_eq!(stats.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn every_address_below_the_console_is_the_page_but_those_of_assets() {
    let api = Api::start();
    let page = api.get("/console/");
    assert!(page.body.starts_with("<!doctype html>"), "{page:?}");
    for path in [
        "groups/workers/cars%2F%2B",
        "clients/app.js",
        "clients/%00",
        "nothing",
    ] {
        let deep = api.get(&format!("/console/{path}"));
        assert_eq!((deep.status, &deep.body), (200, &page.body), "{path}");
    }
    for path in [
        "nothing.js",
        "index.html",
        "../Cargo.toml",
        "..%2Findex.html",
    ] {
        let missing = api.get(&format!("/console/assets/{path}"));
        assert_ne!(missing.status, 200, "{path}");
    }
}

#[test]
fn files_of_the_console_come_with_what_keeps_others_out() {
    let api = Api::start();
    for (path, kind) in [
        ("/console/", "text/html; charset=utf-8"),
        ("/console/assets/app.css", "text/css; charset=utf-8"),
        ("/console/assets/app.js", "text/javascript; charset=utf-8"),
        ("/console/assets/icon.svg", "image/svg+xml"),
        (
            "/console/assets/vendor/lit-html/lit-html.js",
            "text/javascript; charset=utf-8",
        ),
    ] {
        let answer = api.get(path);
        let header = |name| answer.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("content-type"), kind, "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(
            header("cross-origin-resource-policy"),
            "same-origin",
            "{path}"
        );
        assert_eq!(header("cache-control"), "no-cache", "{path}");
        let policy = header("content-security-policy");
        for part in [
            "default-src 'none'",
            "script-src 'self';",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        let tag = header("etag");
        let again = api.send("GET", path, &[("If-None-Match", &tag)], "");
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        let other = api.send("GET", path, &[("If-None-Match", "\"other\"")], "");
        assert_eq!(other.status, 200, "{path}");
    }
    let answer = api.get("/v1/stats");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
}

/// Where a broker listens is said once, in the shape of the line of `--ready json`.
#[test]
fn info_has_every_listener_that_there_is() {
    let api = Api::start_with(|config| config.listeners.mqtt_password = Some(0));
    let listeners = api.get("/v1/info").json()["listeners"].clone();
    let own = api.server().addrs();
    let address = own.mqtt_password.expect("it is on").to_string();
    assert_eq!(listeners["mqtt-password"], address.as_str());
    assert_eq!(listeners, serde_json::to_value(own).expect("addresses"));
}
