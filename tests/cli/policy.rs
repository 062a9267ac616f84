//! `roundel policy`.

use std::fs;

use super::{Outcome, run};

const PREFIX: &str = "arn:aws:iot:us-east-1:123456789012:";

const OWN: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"},
    {"Sid": "own", "Effect": "Allow", "Action": "iot:Publish",
     "Resource": "arn:aws:iot:us-east-1:123456789012:topic/${iot:Connection.Thing.ThingName}/*"}]}"#;

const GUARD: &str = r#"{"Version": "2012-10-17", "Statement":
    {"Effect": "Deny", "Action": "iot:*", "Resource": "*",
     "Condition": {"NotIpAddress": {"aws:SourceIp": "127.0.0.0/8"}}}}"#;

const SEASON: &str = r#"{"Version": "2012-10-17", "Statement":
    {"Effect": "Allow", "Action": "iot:Publish", "Resource": "*",
     "Condition": {"DateLessThan": {"aws:CurrentTime": "2026-12-01"}}}}"#;

/// The program in a folder with these policies; words of the line are separated by white space.
fn policy(line: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("own.json", OWN),
        ("guard.json", GUARD),
        ("season.json", SEASON),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let words: Vec<_> = ["policy"]
        .into_iter()
        .chain(line.split_whitespace())
        .collect();
    run(folder.path(), &words)
}

#[track_caller]
fn assert_says(line: &str, status: i32, said: &[&str]) {
    let outcome = policy(line);
    assert_eq!(
        (outcome.status, outcome.stderr.as_str()),
        (Some(status), ""),
        "{line}"
    );
    assert_eq!(outcome.stdout.lines().collect::<Vec<_>>(), said, "{line}");
}

#[test]
fn an_allowed_request_is_explained() {
    assert_says(
        "explain --policy guard.json --policy own.json --client-id car1 --thing car1 --source-ip 127.0.0.1
         --action Publish --resource topic/car1/speed",
        0,
        &[
            "verdict: allowed",
            "decided by: own.json: Statement[1], Sid own",
            "variable: aws:SourceIp is `127.0.0.1`",
            "variable: iot:Connection.Thing.ThingName is `car1`",
        ],
    );
    // The ARN of the same, over HTTPS.
    let arn = format!(
        "explain --policy season.json --action iot:publish --resource {PREFIX}topic/a --time 7"
    );
    assert_says(
        &arn,
        0,
        &[
            "verdict: allowed",
            "time: at another time there may be another verdict",
            "decided by: season.json: Statement[0]",
            "variable: aws:CurrentTime is `1970-01-01T00:00:07Z`",
        ],
    );
}

#[test]
fn a_denied_request_is_explained() {
    assert_says(
        "explain --policy own.json --policy guard.json --client-id car1 --thing car1 --source-ip 10.0.0.1
         --action Publish --resource topic/car1/speed",
        1,
        &[
            "verdict: explicit deny",
            "decided by: guard.json: Statement[0]",
            "variable: aws:SourceIp is `10.0.0.1`",
            "variable: iot:Connection.Thing.ThingName is `car1`",
        ],
    );
    assert_says(
        "explain --policy own.json --client-id car1 --action Publish --resource topic/car1/*",
        1,
        &[
            "verdict: implicit deny",
            "variable: iot:Connection.Thing.ThingName has no value",
            "near miss: own.json: Statement[1], Sid own: Resource arn:aws:iot:us-east-1:123456789012:topic/\
             ${iot:Connection.Thing.ThingName}/* does not fit",
            "would be allowed by: {\"Effect\": \"Allow\", \"Action\": \"iot:Publish\", \"Resource\": \
             \"arn:aws:iot:us-east-1:123456789012:topic/car1/${*}\"}",
        ],
    );
}

#[test]
fn everything_about_a_client_can_be_said() {
    let folder = tempfile::tempdir().unwrap();
    let conditions = [
        (
            "StringEquals",
            "iot:Connection.Thing.Attributes[site]",
            "north",
        ),
        ("StringEquals", "iot:Connection.Thing.ThingTypeName", "bus"),
        ("StringEquals", "iot:CertificateId", "c0ffee"),
        ("StringEquals", "iot:Certificate.Subject.CommonName.1", "b"),
        ("StringEquals", "iot:DomainName", "localhost"),
        (
            "ForAllValues:StringEquals",
            "iot:ConnectAttributes",
            "PersistentConnect\", \"LastWill",
        ),
        (
            "ArnEquals",
            "iot:LastWillTopic",
            "arn:aws:iot:eu-west-1:7:topic/w",
        ),
    ];
    let conditions = conditions.map(|(operator, key, value)| {
        format!(r#"{{"Effect": "Deny", "Action": "iot:Connect", "Resource": "*", "Condition":
            {{"Null": {{"{key}": true}}}}}},
            {{"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:eu-west-1:7:client/c",
              "Condition": {{"{operator}": {{"{key}": ["{value}"]}}}}}}"#)
    });
    for (number, condition) in conditions.iter().enumerate() {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{condition}]}}"#);
        fs::write(folder.path().join(format!("{number}.json")), text).unwrap();
        let line = format!(
            "policy explain --policy {number}.json --client-id c --thing c --thing-type bus --attribute site=north
             --certificate-id c0ffee --certificate Subject.CommonName=a --certificate Subject.CommonName=b
             --domain-name localhost --persistent --will-topic w --region eu-west-1 --account 7
             --action Connect --resource client/c"
        );
        let outcome = run(folder.path(), &line.split_whitespace().collect::<Vec<_>>());
        outcome.assert_done();
        assert!(
            outcome.stdout.contains("Statement[1]"),
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn any_account_will_do_on_request() {
    let line = "explain --policy own.json --client-id a --thing a --account 7 --action Publish --resource topic/a/b";
    assert_eq!(policy(line).status, Some(1));
    assert_eq!(policy(&format!("{line} --any-account")).status, Some(0));
}

#[test]
fn what_cannot_be_explained_is_an_error() {
    for (line, words) in [
        (
            "explain --policy own.json --action Fly --resource *",
            &["--action", "`Fly`"][..],
        ),
        (
            "explain --policy own.json --action Publish",
            &["--resource"],
        ),
        ("explain --action Publish --resource topic/a", &["--policy"]),
        (
            "explain --policy own.json --action Subscribe --resource topic/a",
            &["--resource", "`topicfilter/NAME`", "`topic/a`"],
        ),
        (
            "explain --policy own.json --action Publish --resource arn:aws:iot:eu-west-1:7:topic/a",
            &["`arn:aws:iot:us-east-1:123456789012:`"],
        ),
        (
            "explain --policy own.json --action ListRetainedMessages --resource topic/a",
            &["`*`"],
        ),
        (
            "explain --policy no.json --action Publish --resource topic/a",
            &["`no.json`"],
        ),
        (
            "explain --policy own.json --action Publish --resource topic/a --time soon",
            &["--time", "soon"],
        ),
        (
            "explain --policy own.json --action Publish --resource topic/a --attribute a=b",
            &["--thing"],
        ),
        (
            "explain --policy own.json --action Publish --resource topic/a --certificate-id c --certificate Age=7",
            &["`Age`"],
        ),
        (
            "explain --policy own.json --action Publish --resource topic/a --thing t --attribute a",
            &["NAME=VALUE"],
        ),
    ] {
        policy(line).assert_failed(2, words);
    }
}

#[test]
fn valid_policies_are_called_so_with_what_has_no_effect() {
    assert_says(
        "check own.json guard.json --region eu-west-1",
        0,
        &[
            "own.json: valid, 2 statements, 239 of 2048 characters",
            "own.json: Statement[1]: `arn:aws:iot:us-east-1:123456789012:topic/${iot:Connection.Thing.ThingName}/*` \
             is none of arn:aws:iot:eu-west-1:123456789012:*",
            "guard.json: valid, 1 statement, 146 of 2048 characters",
        ],
    );
}

#[test]
fn what_is_no_policy_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("a.json", "{\n  \"Version\" 1}"),
        (
            "b.json",
            r#"{"Version": "2012-10-17", "Statement": {"Effect": "Yes"}}"#,
        ),
        ("c.json", "\u{fffd}"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join("d.json"), b"\xff").unwrap();
    let outcome = run(
        folder.path(),
        &["policy", "check", "a.json", "b.json", "c.json", "d.json"],
    );
    outcome.assert_failed(
        2,
        &[
            "a.json: no JSON",
            "line 2 column 13",
            "b.json: Statement.Effect: `Yes`",
            "c.json: ",
            "`d.json`",
        ],
    );
    run(folder.path(), &["policy", "check", "/dev/zero"]).assert_failed(2, &["/dev/zero", "2048"]);
}
