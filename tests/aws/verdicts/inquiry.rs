//! The same questions to those who say what the broker would do: TestAuthorization and the explanation.

use roundel::IssuedPem;
use serde_json::{Value, json};

use crate::stand::Stand;
use crate::table::{PREFIX, Question, Request, Verdict};

/// How many answers were compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) by_test: usize,
    pub(super) by_explanation: usize,
}

impl Compared {
    /// Asks both what becomes of each question of a request, as far as they can be told of it.
    pub(super) fn ask(&mut self, stand: &Stand, request: &Request, device: &IssuedPem) {
        // Neither is told of an address.
        if request.has("from") {
            return;
        }
        for asked in &request.questions {
            let resource = match request.get("certificate") {
                Some(id) => asked.resource.replace(id, &device.certificate_id),
                None => asked.resource.to_owned(),
            };
            self.test(stand, request, asked, &resource, device);
            self.explain(stand, request, asked, &resource, device);
        }
    }

    /// AWS-OPS-57 AWS-POL-29: it knows no will, no session and no RETAIN.
    fn test(
        &mut self,
        stand: &Stand,
        request: &Request,
        asked: &Question,
        resource: &str,
        device: &IssuedPem,
    ) {
        let action = asked.action.to_uppercase();
        if request.has("will") || request.has("persistent") || action == "RETAINPUBLISH" {
            return;
        }
        let target = format!("/test-authorization?clientId={}", client(request));
        let resources = [format!("{PREFIX}{resource}")];
        let body = json!({
            "principal": format!("{PREFIX}cert/{}", device.certificate_id),
            "authInfos": [{ "actionType": action, "resources": resources }],
        });
        let answer = stand.ask("POST", &target, &body.to_string());
        let expected = match asked.verdict {
            Verdict::Allowed => "ALLOWED",
            Verdict::ExplicitDeny => "EXPLICIT_DENY",
            Verdict::ImplicitDeny => "IMPLICIT_DENY",
        };
        let result = &answer["authResults"][0];
        assert_eq!(
            result["authDecision"],
            expected,
            "{}: {answer}",
            request.name()
        );
        self.by_test += 1;
    }

    fn explain(
        &mut self,
        stand: &Stand,
        request: &Request,
        asked: &Question,
        resource: &str,
        device: &IssuedPem,
    ) {
        let (_, name) = resource.split_once('/').expect("a type and a name");
        let (action, details) = match asked.action {
            "Connect" => ("connect", connect(request)),
            "Publish" => ("publish", String::new()),
            "RetainPublish" => ("publish", "&retain=true".to_owned()),
            "Subscribe" => ("subscribe", String::new()),
            "Receive" => ("receive", String::new()),
            other => panic!("no way to ask about {other}"),
        };
        let target = format!(
            "/v1/policy/explain?client={}&certificate={}&action={action}&resource={}{details}",
            client(request),
            device.certificate_id,
            encoded(name),
        );
        let answer = stand.ask("GET", &target, "");
        let checks = answer["checks"].as_array().expect("a list");
        let is_it = |check: &&Value| {
            check["action"] == format!("iot:{}", asked.action) && check["resource"] == resource
        };
        let check = checks.iter().find(is_it).expect("the question");
        let expected = match asked.verdict {
            Verdict::Allowed => "allowed",
            Verdict::ExplicitDeny => "explicit_deny",
            Verdict::ImplicitDeny => "implicit_deny",
        };
        assert_eq!(check["verdict"], expected, "{}: {answer}", request.name());
        self.by_explanation += 1;
    }
}

fn client(request: &Request) -> String {
    encoded(request.get("client").expect("a client"))
}

fn connect(request: &Request) -> String {
    let persistent = match request.has("persistent") {
        true => "&persistent=true",
        false => "",
    };
    let will = request.get("will");
    let will = will.map_or(String::new(), |topic| {
        format!("&will_topic={}", encoded(topic))
    });
    format!("{persistent}{will}")
}

/// As it stands in a URL.
fn encoded(text: &str) -> String {
    let bytes = text.bytes();
    bytes.map(|byte| format!("%{byte:02X}")).collect()
}
