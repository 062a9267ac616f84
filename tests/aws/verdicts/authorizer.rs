//! Requests of clients whose policies an authorizer brings.

use roundel::aws::registry::NewAuthorizer;
use roundel::config::Lambda;
use serde_json::{Value, json};

use crate::stand::Stand;
use crate::support::*;
use crate::table::{Block, Request, Verdict};

const ARN: &str = "arn:aws:lambda:us-east-1:123456789012:function:f";

/// A broker whose clients are what this answer says.
fn stand(answer: &Value) -> Stand {
    let stand = Stand::with(|config| {
        let mut lambda = Lambda::new(ARN);
        lambda.result = Some(answer.to_string());
        config.lambda = vec![lambda];
    });
    stand.change(|draft| {
        let new = NewAuthorizer {
            function_arn: ARN,
            signing_disabled: true,
            is_active: true,
            ..NewAuthorizer::default()
        };
        draft.create_authorizer("a", new)?;
        draft.set_default_authorizer("a")
    });
    stand
}

fn dial(stand: &Stand, version: Version, client_id: &str) -> Client {
    let address = stand.server.addrs().mqtt.expect("a listener");
    let mut client = Client::dial(address, version);
    client.send_connect(&Connect::new(client_id));
    client
}

/// Makes a request under the documents of its block, and sees what becomes of it.
pub(super) fn try_out(version: Version, block: &Block, request: &Request) {
    let documents: Vec<_> = block.policies.iter().map(|one| &one.document).collect();
    let stand = stand(&json!({
        "isAuthenticated": true,
        "principalId": "p",
        "policyDocuments": documents,
    }));
    let asked = &request.questions[0];
    let is_allowed = asked.verdict == Verdict::Allowed;
    let mut client = dial(&stand, version, request.get("client").expect("a client"));
    if asked.action == "Connect" && !is_allowed {
        return client.expect_refusal(0x87);
    }
    assert_eq!(client.expect_connack().1, 0);
    match asked.action {
        "Connect" => {}
        "Publish" => {
            let topic = asked.resource.strip_prefix("topic/").expect("a topic");
            assert!(is_allowed, "the table has no other");
            assert_eq!(client.publish_message(Publish::new(topic, "x"), 1), 0);
        }
        other => panic!("no way to try {other}"),
    }
}

/// AWS-PEX-102
pub(super) fn try_without_authentication(version: Version) {
    let document = json!({
        "Version": "2012-10-17",
        "Statement": { "Effect": "Allow", "Action": "iot:*", "Resource": "*" },
    });
    let stand = stand(&json!({
        "isAuthenticated": false,
        "principalId": "p",
        "policyDocuments": [document],
    }));
    dial(&stand, version, "c").expect_refusal(0x87);
}
