//! One request of the table, made over HTTPS with a certificate.

use roundel::IssuedPem;
use serde_json::json;

use crate::stand::{Stand, everything};
use crate::support::*;
use crate::table::{Request, Verdict};

/// Makes a request, for which there is what it asks for.
pub(super) fn try_out(stand: &Stand, request: &Request, device: &IssuedPem) {
    let asked = &request.questions[0];
    let kind = asked.resource.split_once('/');
    let name = kind.map_or("", |(_, name)| name);
    let topic = request.get("topic").unwrap_or(name).replace('/', "%2F");
    // A client that may have a message, and what is kept.
    let receiver = fresh("receiver");
    let receiver = stand.device(&receiver, &json!([everything()]));
    let _receiver = stand.enter(&receiver, Version::V5, &Connect::new(name));
    let line = match asked.action {
        "Publish" => format!("POST /topics/{topic}"),
        "GetRetainedMessage" => {
            stand.ask("POST", &format!("/topics/{topic}?retain=true"), "kept");
            format!("GET /retainedMessage/{topic}")
        }
        "ListRetainedMessages" => "GET /retainedMessage".to_owned(),
        "SendDirectMessage" => format!("POST /connections/{name}/messages?topic={topic}"),
        "GetThingShadow" => {
            let target = match name.split_once('/') {
                Some((thing, shadow)) => format!("/things/{thing}/shadow?name={shadow}"),
                None => format!("/things/{name}/shadow"),
            };
            stand.ask("POST", &target, r#"{"state":{"desired":{}}}"#);
            format!("GET {target}")
        }
        other => panic!("no way to call {other}"),
    };
    let address = stand.server.addrs().https.expect("a listener");
    let answer = stand.call_at(address, Some(device), &line, "");
    match asked.verdict {
        Verdict::Allowed => assert_eq!(answer.status, 200, "{answer:?}"),
        Verdict::ExplicitDeny | Verdict::ImplicitDeny => answer.expect_forbidden(),
    }
}
