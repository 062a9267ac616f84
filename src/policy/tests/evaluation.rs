//! What single rules of evaluation come to.

use std::sync::Arc;

use super::super::{
    Action, Attachment, Certificate, Context, Decision, Details, Place, Policies, Request, Scope,
    Thing, Verdict, parse_time,
};
use super::{PREFIX, of_statements, policies};

/// A client with a bit of everything.
fn context() -> Context {
    let certificate = Certificate::new("c0ffee")
        .with("Subject.CommonName", "Car, One")
        .and_then(|certificate| certificate.with("SerialNumber", "17"));
    Context {
        client_id: Some("car1".to_owned()),
        thing: Attachment::Attached(Thing {
            name: "car1".to_owned(),
            type_name: None,
            attributes: [("Site".to_owned(), "north".to_owned())].into(),
        }),
        certificate: certificate.ok(),
        source_ip: "10.1.2.3".parse().ok(),
        domain_name: Some("iot.example.com".to_owned()),
    }
}

fn evaluate(policies: &Policies, time: Option<i64>) -> Decision {
    let context = context();
    let request = Request::new(Action::Publish, "topic/x", &context);
    policies.evaluate(&Request { time, ..request })
}

/// Whether `iot:Publish` on `topic/x` is allowed under a condition.
fn holds(condition: &str) -> bool {
    let statement = format!(
        r#"{{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {condition}}}"#
    );
    evaluate(&policies(&[&statement]), parse_time("2026-11-28T12:00:00Z")).verdict
        == Verdict::Allowed
}

/// AWS-ID-80 to -85: keys that the client has.
#[test]
fn operators_compare_what_is_there() {
    for condition in [
        r#"{"StringEquals": {"iot:ClientId": ["bus", "car1"]}}"#,
        r#"{"StringEquals": {"IOT:clientid": "${iot:Thing.ThingName}"}}"#,
        r#"{"StringNotEquals": {"iot:ClientId": ["bus", "car2"]}}"#,
        r#"{"StringEqualsIgnoreCase": {"iot:ClientId": "CAR1"}}"#,
        r#"{"StringNotEqualsIgnoreCase": {"iot:ClientId": "CAR2"}}"#,
        r#"{"StringLike": {"iot:ClientId": "c?r*"}}"#,
        r#"{"StringNotLike": {"iot:ClientId": "b*"}}"#,
        r#"{"StringLike": {"iot:DomainName": "*.example.com"}}"#,
        r#"{"Bool": {"iot:Connection.Thing.IsAttached": "TRUE"}}"#,
        r#"{"IpAddress": {"aws:SourceIp": ["192.168.0.0/16", "10.0.0.0/8"]}}"#,
        r#"{"NotIpAddress": {"aws:SourceIp": "11.0.0.0/8"}}"#,
        r#"{"StringEquals": {"aws:SourceIp": "10.1.2.3"}}"#,
        r#"{"NumericEquals": {"iot:Certificate.SerialNumber": 17}}"#,
        r#"{"NumericGreaterThan": {"iot:Certificate.SerialNumber": "16.5"}}"#,
        r#"{"NumericNotEquals": {"iot:Certificate.SerialNumber": [1, 2]}}"#,
        r#"{"NumericLessThanEquals": {"iot:Certificate.SerialNumber": 17}}"#,
        r#"{"StringEquals": {"iot:Certificate.Subject.CommonName": "Car\\, One"}}"#,
        r#"{"ForAnyValue:StringEquals": {"iot:Certificate.AvailableKeys": "iot:Certificate.SerialNumber"}}"#,
        r#"{"DateGreaterThan": {"aws:CurrentTime": "2026-11-28T11:59:59Z"}}"#,
        r#"{"DateLessThanEquals": {"aws:EpochTime": "2026-11-28T13:00:00+01:00"}}"#,
        r#"{"NumericGreaterThanEquals": {"aws:EpochTime": 1795867200}}"#,
        r#"{"StringLike": {"aws:CurrentTime": "2026-11-28T*"}}"#,
        r#"{"Null": {"iot:LastWillTopic": true, "iot:ClientId": false}}"#,
        r#"{"StringEquals": {"iot:ClientId": "car1"}, "Bool": {"iot:Connection.Thing.IsAttached": true}}"#,
    ] {
        assert!(holds(condition), "{condition}");
    }
}

#[test]
fn operators_refuse_what_is_not_so() {
    for condition in [
        r#"{"StringEquals": {"iot:ClientId": ["bus", "car*", "CAR1"]}}"#,
        r#"{"StringEquals": {"iot:ClientId": []}}"#,
        r#"{"StringNotEquals": {"iot:ClientId": ["bus", "car1"]}}"#,
        r#"{"StringNotEqualsIgnoreCase": {"iot:ClientId": "CAR1"}}"#,
        r#"{"StringNotLike": {"iot:ClientId": "c*"}}"#,
        r#"{"StringLike": {"iot:ClientId": "c${*}1"}}"#,
        r#"{"Bool": {"iot:Connection.Thing.IsAttached": false}}"#,
        r#"{"Bool": {"iot:ClientId": [true, false]}}"#,
        r#"{"IpAddress": {"aws:SourceIp": "11.0.0.0/8"}}"#,
        r#"{"IpAddress": {"iot:ClientId": "0.0.0.0/0"}}"#,
        r#"{"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}"#,
        r#"{"NumericLessThan": {"iot:Certificate.SerialNumber": 17}}"#,
        r#"{"NumericEquals": {"iot:ClientId": 1}}"#,
        r#"{"DateEquals": {"iot:ClientId": 1}}"#,
        r#"{"DateNotEquals": {"aws:EpochTime": "2026-11-28T12:00:00Z"}}"#,
        r#"{"ArnEquals": {"iot:ClientId": "*"}}"#,
        r#"{"Null": {"iot:ClientId": true}}"#,
        r#"{"StringEquals": {"iot:ClientId": "car1"}, "Bool": {"iot:Connection.Thing.IsAttached": false}}"#,
    ] {
        assert!(!holds(condition), "{condition}");
    }
}

/// AWS-ID-81, AWS-ID-82, AWS-ID-87.
#[test]
fn a_missing_key_has_a_rule_for_each_kind_of_operator() {
    for key in [
        "iot:Connection.Thing.ThingTypeName",
        "iot:Connection.Thing.Attributes[site]",
        "a:b",
    ] {
        for (operator, expected) in [
            ("StringEquals", false),
            ("StringNotEquals", true),
            ("StringEqualsIfExists", true),
            ("StringNotLike", true),
            ("StringLikeIfExists", true),
            ("ForAllValues:StringEquals", true),
            ("ForAnyValue:StringEquals", false),
            ("ForAnyValue:StringNotEquals", false),
            ("ForAnyValue:StringEqualsIfExists", true),
        ] {
            let condition = format!(r#"{{"{operator}": {{"{key}": "x"}}}}"#);
            assert_eq!(holds(&condition), expected, "{condition}");
        }
    }
    // `.List` is for operators on sets alone (AWS-ID-70).
    assert!(!holds(
        r#"{"StringEquals": {"iot:Certificate.SerialNumber.List": "17"}}"#
    ));
    assert!(holds(
        r#"{"ForAnyValue:StringEquals": {"iot:Certificate.SerialNumber.List": "17"}}"#
    ));
    assert!(!holds(
        r#"{"StringEquals": {"iot:ClientId": "${iot:Certificate.SerialNumber.List}"}}"#
    ));
}

/// AWS-POL-24: neither in a condition nor in NotResource does what has no value make a statement apply.
#[test]
fn a_variable_without_a_value_lets_no_statement_apply() {
    assert!(!holds(r#"{"StringEquals": {"iot:ClientId": "${a:b}"}}"#));
    assert!(!holds(r#"{"StringNotEquals": {"iot:ClientId": "${a:b}"}}"#));
    assert!(!holds(
        r#"{"Bool": {"iot:Connection.Thing.IsAttached": "${a:b}"}}"#
    ));
    assert!(holds(
        r#"{"Bool": {"iot:Connection.Thing.IsAttached": "${iot:Connection.Thing.IsAttached}"}}"#
    ));
    assert!(!holds(
        r#"{"Bool": {"iot:Connection.Thing.IsAttached": "${iot:ClientId}"}}"#
    ));
    for (variable, verdict) in [
        ("iot:ClientId", Verdict::Allowed),
        ("a:b", Verdict::ImplicitDeny),
    ] {
        let statement = format!(
            r#"{{"Effect": "Allow", "Action": "*", "NotResource": "{PREFIX}topic/${{{variable}}}"}}"#
        );
        assert_eq!(
            evaluate(&policies(&[&statement]), None).verdict,
            verdict,
            "{variable}"
        );
    }
}

#[test]
fn actions_may_be_all_but_some() {
    let but =
        |action| format!(r#"{{"Effect": "Allow", "NotAction": "{action}", "Resource": "*"}}"#);
    assert_eq!(
        evaluate(&policies(&[&but("iot:Connect")]), None).verdict,
        Verdict::Allowed
    );
    assert_eq!(
        evaluate(&policies(&[&but("iot:Pub*")]), None).verdict,
        Verdict::ImplicitDeny
    );
}

#[test]
fn a_decision_names_the_statement() {
    let policies = policies(&[
        r#"{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}"#,
        r#"{"Effect": "Deny", "Action": "iot:Connect", "Resource": "*"},
           {"Sid": "here", "Effect": "Allow", "Action": "iot:Publish", "Resource": "*"}"#,
    ]);
    let decision = evaluate(&policies, None);
    let place = Place {
        document: 1,
        statement: 1,
    };
    let expected = Decision {
        verdict: Verdict::Allowed,
        decided_by: Some(place),
        is_lasting: true,
    };
    assert_eq!(decision, expected);
    assert_eq!(policies.statement(place).unwrap().sid(), Some("here"));
    assert!(
        policies
            .statement(Place {
                document: 2,
                statement: 0
            })
            .is_none()
    );
    let context = context();
    let connect = policies.evaluate(&Request::new(Action::Connect, "client/car1", &context));
    assert_eq!(
        connect.decided_by,
        Some(Place {
            document: 1,
            statement: 0
        })
    );
}

/// A verdict lasts if no other time makes it another one.
#[test]
fn a_decision_says_whether_time_matters() {
    let timed = |effect, resource| {
        format!(
            r#"{{"Effect": "{effect}", "Action": "*", "Resource": "{resource}",
                "Condition": {{"DateLessThan": {{"aws:CurrentTime": "2026-01-01"}}}}}}"#
        )
    };
    let plain = |effect| format!(r#"{{"Effect": "{effect}", "Action": "*", "Resource": "*"}}"#);
    let elsewhere = format!("{PREFIX}topic/y");
    let stamped = format!(
        r#"{{"Effect": "Deny", "Action": "*", "Resource": "{PREFIX}topic/${{aws:EpochTime}}"}}"#
    );
    let (before, after) = (parse_time("2025-01-01"), parse_time("2026-02-01"));
    use Verdict::{Allowed, ExplicitDeny, ImplicitDeny};
    for (statements, time, verdict, is_lasting) in [
        (vec![timed("Allow", "*")], before, Allowed, false),
        (vec![timed("Allow", "*")], after, ImplicitDeny, false),
        (vec![timed("Allow", &elsewhere)], after, ImplicitDeny, true),
        (
            vec![timed("Allow", "*"), plain("Allow")],
            before,
            Allowed,
            true,
        ),
        (
            vec![plain("Allow"), timed("Deny", "*")],
            before,
            ExplicitDeny,
            false,
        ),
        (
            vec![plain("Allow"), timed("Deny", "*")],
            after,
            Allowed,
            false,
        ),
        (
            vec![timed("Deny", "*"), plain("Deny")],
            before,
            ExplicitDeny,
            true,
        ),
        (
            vec![plain("Allow"), timed("Deny", &elsewhere)],
            before,
            Allowed,
            true,
        ),
        (vec![plain("Allow"), stamped], after, Allowed, false),
    ] {
        let joined = statements.join(", ");
        let decision = evaluate(&policies(&[&joined]), time);
        assert_eq!(
            (decision.verdict, decision.is_lasting),
            (verdict, is_lasting),
            "{joined}"
        );
    }
}

/// AWS-ID-53, AWS-ID-54.
#[test]
fn account_and_region_are_compared_unless_any_will_do() {
    for (arn, exact, any) in [
        ("arn:aws:iot:us-east-1:123456789012:topic/x", true, true),
        ("arn:aws:iot:*:*:topic/x", true, true),
        ("arn:aws:iot:us-*:123456789012:topic/?", true, true),
        ("arn:aws:iot:*", true, true),
        ("arn:*:topic/x", true, true),
        ("arn:aws:iot:eu-west-1:123456789012:topic/x", false, true),
        ("arn:aws:iot:us-east-1:1:topic/*", false, true),
        (
            "arn:aws-cn:iot:us-east-1:123456789012:topic/x",
            false,
            false,
        ),
        ("arn:aws:s3:us-east-1:123456789012:topic/x", false, false),
        (
            "arn:aws:iot:${iot:DomainName}:123456789012:topic/x",
            false,
            true,
        ),
    ] {
        let statement = format!(r#"{{"Effect": "Allow", "Action": "*", "Resource": "{arn}*"}}"#);
        let document = Arc::new(of_statements(&statement));
        for (scope, expected) in [
            (Scope::default(), exact),
            (
                Scope {
                    any: true,
                    ..Scope::default()
                },
                any,
            ),
        ] {
            let policies = Policies::new([document.clone()], &scope);
            let is_allowed = evaluate(&policies, None).verdict == Verdict::Allowed;
            assert_eq!(is_allowed, expected, "{arn}, any: {}", scope.any);
        }
    }
}

/// A Region that the request has a value for is compared with the whole ARN.
#[test]
fn a_variable_may_stand_before_the_resource() {
    let statement = r#"{"Effect": "Allow", "Action": "*", "Resource": "arn:aws:iot:${iot:DomainName}:123456789012:topic/*"}"#;
    let policies = policies(&[statement]);
    let context = Context {
        domain_name: Some("us-east-1".to_owned()),
        ..Context::default()
    };
    let request = Request::new(Action::Publish, "topic/x", &context);
    assert_eq!(policies.evaluate(&request).verdict, Verdict::Allowed);
    assert_eq!(evaluate(&policies, None).verdict, Verdict::ImplicitDeny);
}

/// AWS-ID-57.
#[test]
fn what_is_about_no_one_thing_needs_everything() {
    let context = Context::default();
    let list = |resource: &str| {
        let statement =
            format!(r#"{{"Effect": "Allow", "Action": "*", "Resource": "{resource}"}}"#);
        let request = Request::new(Action::ListRetainedMessages, "*", &context);
        policies(&[&statement]).evaluate(&request).verdict
    };
    assert_eq!(list("*"), Verdict::Allowed);
    assert_eq!(list("arn:aws:iot:*"), Verdict::ImplicitDeny);
    assert_eq!(list(&format!("{PREFIX}*")), Verdict::ImplicitDeny);
}

#[test]
fn the_smallest_grant_allows_the_request_and_no_other() {
    let context = Context::default();
    let none = policies(&[]);
    for (action, resource, others) in [
        (
            Action::Publish,
            "topic/a/b",
            vec!["topic/a/c", "topic/a/b/c"],
        ),
        (
            Action::Subscribe,
            "topicfilter/a/+/#",
            vec!["topicfilter/a/b/#"],
        ),
        (
            Action::Connect,
            "client/a*?b",
            vec!["client/axxb", "client/a*xb"],
        ),
        (Action::Publish, "topic/$aws/x", vec!["topic/aws/x"]),
        (Action::Publish, "topic/${iot:ClientId}", vec!["topic/"]),
        (Action::ListRetainedMessages, "*", vec![]),
    ] {
        let request = Request::new(action, resource, &context);
        assert_eq!(none.evaluate(&request).verdict, Verdict::ImplicitDeny);
        let granted = policies(&[&none.smallest_grant(&request)]);
        assert_eq!(
            granted.evaluate(&request).verdict,
            Verdict::Allowed,
            "{resource}"
        );
        for other in others {
            let request = Request::new(action, other, &context);
            assert_eq!(
                granted.evaluate(&request).verdict,
                Verdict::ImplicitDeny,
                "{other}"
            );
        }
    }
    let request = Request::new(Action::Publish, "topic/\"", &context);
    let expected = r#"{"Effect": "Allow", "Action": "iot:Publish", "Resource": "arn:aws:iot:us-east-1:123456789012:topic/\""}"#;
    assert_eq!(none.smallest_grant(&request), expected);
}

#[test]
fn variables_are_listed_with_what_they_stand_for() {
    let policies = policies(&[&format!(
        r#"{{"Effect": "Allow", "Action": "iot:Connect", "Resource": "{PREFIX}client/${{iot:clientid}}",
             "Condition": {{"StringEquals": {{"iot:Connection.Thing.ThingTypeName": "${{aws:SourceIp}}"}},
                "ForAllValues:StringEquals": {{"iot:ConnectAttributes": "LastWill"}}}}}},
           {{"Effect": "Allow", "Action": "iot:Publish", "Resource": "{PREFIX}topic/${{iot:CertificateId}}"}}"#
    )]);
    let context = context();
    let request = Request::new(Action::Connect, "client/car1", &context);
    let details = Details {
        persistent: true,
        will_topic: Some("w"),
        ..Details::default()
    };
    let found = policies.variables(&Request { details, ..request });
    let expected = [
        ("aws:SourceIp", Some("10.1.2.3")),
        ("iot:ClientId", Some("car1")),
        ("iot:ConnectAttributes", Some("PersistentConnect, LastWill")),
        ("iot:Connection.Thing.ThingTypeName", None),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.map(str::to_owned)));
    assert_eq!(found, expected);
}
