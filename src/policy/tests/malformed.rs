//! What is no policy, and what is said of it.

use super::super::{Document, Effect, Scope};
use super::{document, of_statements};

#[track_caller]
fn assert_refused(text: &str, message: &str) {
    let error = Document::parse(text).expect_err(text).to_string();
    assert!(error.contains(message), "{error}: {text}");
}

/// A statement in a document, with `Effect`, `Action` and `Resource` where nothing else is said.
fn with(member: &str) -> String {
    let name = member.split('"').nth(1).unwrap_or_default();
    let mut members = vec![member.to_owned()];
    for (element, default) in [
        ("Effect", r#""Effect": "Allow""#),
        ("Action", r#""Action": "iot:Publish""#),
        ("Resource", r#""Resource": "*""#),
    ] {
        if !name.ends_with(element) {
            members.push(default.to_owned());
        }
    }
    format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{{}}}]}}"#,
        members.join(", ")
    )
}

#[test]
fn a_document_of_everything_is_read() {
    let text = r#"{"Version": "2012-10-17", "Id": "plant", "Statement": [
        {"Sid": "a1", "Effect": "Allow", "Action": ["iot:Publish", "iot:Sub*"], "Resource": ["*"]},
        {"Effect": "Deny", "NotAction": "iot:Connect", "NotResource": "arn:aws:iot:*",
         "Condition": {"Bool": {"iot:Connection.Thing.IsAttached": true}, "NumericLessThan": {"aws:EpochTime": 7},
            "StringEquals": {"iot:ClientId": []}, "StringLike": {}}}]}"#;
    let document = document(text);
    let [first, second] = document.statements() else {
        panic!("two statements");
    };
    assert_eq!((first.sid(), first.effect()), (Some("a1"), Effect::Allow));
    assert_eq!((second.sid(), second.effect()), (None, Effect::Deny));
    let without_space = text.split_whitespace().map(str::len).sum::<usize>();
    assert_eq!(document.length(), without_space);
    assert_eq!(document.remarks(&Scope::default()), Vec::<String>::new());
}

#[test]
fn what_is_no_json_is_refused_by_line_and_column() {
    for (text, message) in [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("{\n  \"Version\": 2012-10-17\n}", "line 2 column 18"),
        (
            "{\"Version\": \"2012-10-17\"} x",
            "trailing characters at line 1",
        ),
        ("{\"Id\": \"\\ud800\"}", "no JSON: "),
        ("{\"Id\": 1e999}", "no JSON: "),
        ("{'Version': 1}", "line 1 column 2"),
    ] {
        assert_refused(text, message);
    }
    let deep = format!("{{\"Statement\": {}{}}}", "[".repeat(200), "]".repeat(200));
    assert_refused(&deep, "recursion limit");
}

#[test]
fn the_document_has_its_elements_and_no_others() {
    let statement = r#"{"Effect": "Allow", "Action": "*", "Resource": "*"}"#;
    for (text, message) in [
        ("[]".to_owned(), "an object is wanted here, not an array"),
        ("null".to_owned(), "not null"),
        (
            format!(r#"{{"Statement": {statement}}}"#),
            "Version: `2012-10-17` is wanted, it is missing",
        ),
        (
            format!(r#"{{"Version": "2008-10-17", "Statement": {statement}}}"#),
            "not `2008-10-17`",
        ),
        (
            format!(r#"{{"Version": 1, "Statement": {statement}}}"#),
            "Version: a string is wanted here, not a number",
        ),
        (
            r#"{"Version": "2012-10-17"}"#.to_owned(),
            "`Statement` is missing",
        ),
        (
            r#"{"Version": "2012-10-17", "Statement": []}"#.to_owned(),
            "Statement: one statement",
        ),
        (
            r#"{"Version": "2012-10-17", "Statement": "a"}"#.to_owned(),
            "Statement: an object is wanted",
        ),
        (
            r#"{"Version": "2012-10-17", "Statement": [true]}"#.to_owned(),
            "Statement[0]: an object is wanted here, not a boolean",
        ),
        (
            format!(r#"{{"Version": "2012-10-17", "Id": 7, "Statement": {statement}}}"#),
            "Id: a string",
        ),
        (
            format!(r#"{{"Version": "2012-10-17", "statement": {statement}}}"#),
            "`statement` has no place here",
        ),
        (
            format!(
                r#"{{"Version": "2012-10-17", "Version": "2012-10-17", "Statement": {statement}}}"#
            ),
            "`Version` comes twice",
        ),
    ] {
        assert_refused(&text, message);
    }
}

#[test]
fn a_statement_has_its_elements_and_no_others() {
    for (member, message) in [
        (
            r#""Principal": "*""#,
            "Statement[0]: `Principal` has no place here",
        ),
        (r#""Sid": "a b""#, "Statement[0].Sid: `a b`"),
        (r#""Sid": 1"#, "Statement[0].Sid: a string"),
        (
            r#""Effect": "allow""#,
            "Statement[0].Effect: `allow` is neither",
        ),
        (
            r#""Effect": null"#,
            "Statement[0].Effect: a string is wanted here, not null",
        ),
        (r#""Action": []"#, "Statement[0].Action: one is wanted"),
        (
            r#""Action": {}"#,
            "Statement[0].Action: a string is wanted here, not an object",
        ),
        (
            r#""Action": ["iot:Publish", "Publish"]"#,
            "Statement[0].Action[1]: `Publish` is no action",
        ),
        (r#""Action": "iot:""#, "`iot:` is no action"),
        (r#""Action": "iot*:Publish""#, "is no action"),
        (r#""Action": "iot:Pub lish""#, "is no action"),
        (
            r#""NotAction": "iot:${iot:ClientId}""#,
            "Statement[0].NotAction: ",
        ),
        (r#""Resource": []"#, "Statement[0].Resource: one is wanted"),
        (
            r#""Resource": "topic/x""#,
            "Statement[0].Resource: `topic/x` is neither",
        ),
        (r#""Resource": "arn:aws:iot:us-east-1:1:""#, "is neither"),
        (r#""Resource": "arn:aws:iot:topic/x""#, "is neither"),
        (
            r#""Resource": ["*", "*x"]"#,
            "Statement[0].Resource[1]: `*x` is neither",
        ),
        (
            r#""NotResource": "arn:aws:iot:r:1:topic/${""#,
            "Statement[0].NotResource: a `${` without",
        ),
        (
            r#""Resource": "arn:aws:iot:r:1:topic/${}""#,
            "`${}` names no variable",
        ),
        (
            r#""Action": "*", "NotAction": "*""#,
            "`Action` and `NotAction` exclude each other",
        ),
        (
            r#""Resource": "*", "NotResource": "*""#,
            "`Resource` and `NotResource` exclude each other",
        ),
        (
            r#""Sid": "a", "Sid": "b""#,
            "Statement[0]: `Sid` comes twice",
        ),
    ] {
        assert_refused(&with(member), message);
    }
    for (missing, rest) in [
        ("Effect", r#""Action": "*", "Resource": "*""#),
        ("Action", r#""Effect": "Allow", "Resource": "*""#),
        ("Resource", r#""Effect": "Allow", "Action": "*""#),
    ] {
        let text = format!(r#"{{"Version": "2012-10-17", "Statement": {{{rest}}}}}"#);
        assert_refused(&text, &format!("Statement: `{missing}` is missing"));
    }
    let twice = [r#"{"Sid": "a", "Effect": "Allow", "Action": "*", "Resource": "*"}"#; 2].join(",");
    let text = format!(r#"{{"Version": "2012-10-17", "Statement": [{twice}]}}"#);
    assert_refused(&text, "Statement[1].Sid: another statement is called `a`");
    of_statements(&twice.replace("\"a\"", "\"\""));
}

/// AWS-ID-86.
#[test]
fn conditions_have_operators_keys_and_values() {
    for (condition, message) in [
        ("[]", "Statement[0].Condition: an object is wanted"),
        (
            r#"{"StringIs": {}}"#,
            "Statement[0].Condition.StringIs: there is no operator `StringIs`",
        ),
        (
            r#"{"Bool": "true"}"#,
            "Statement[0].Condition.Bool: an object is wanted",
        ),
        (r#"{"Bool": {"": "true"}}"#, "a key has a name"),
        (
            r#"{"Bool": {"a": "yes"}}"#,
            "Condition.Bool.a: `yes` is no `true` or `false`",
        ),
        (
            r#"{"Bool": {"a": [true, null]}}"#,
            "Condition.Bool.a[1]: a string is wanted here, not null",
        ),
        (
            r#"{"Bool": {"a": {}}}"#,
            "a string is wanted here, not an object",
        ),
        (
            r#"{"IpAddress": {"aws:SourceIp": "10.0.0.0/33"}}"#,
            "is no address",
        ),
        (r#"{"NumericEquals": {"a": "one"}}"#, "`one` is no number"),
        (r#"{"DateEquals": {"a": "today"}}"#, "`today` is no time"),
        (r#"{"ArnEquals": {"iot:Topic": "t"}}"#, "`t` is no ARN"),
        (r#"{"StringEquals": {"a": "${b"}}"#, "a `${` without"),
        (
            r#"{"Bool": {}, "Bool": {}}"#,
            "Condition: `Bool` comes twice",
        ),
        (
            r#"{"Bool": {"a": true, "a": true}}"#,
            "Condition.Bool: `a` comes twice",
        ),
    ] {
        assert_refused(&with(&format!("\"Condition\": {condition}")), message);
    }
}

/// AWS-LIM-27, AWS-OPS-34.
#[test]
fn a_document_has_a_longest_length() {
    let of_length = |length: usize, space: usize| {
        let text = with(r#""Sid": "@""#);
        let rest = text.split_whitespace().map(str::len).sum::<usize>() - 1;
        text.replace('@', &"a".repeat(length - rest)) + &" ".repeat(space)
    };
    assert_eq!(document(&of_length(2_048, 100)).length(), 2_048);
    assert_refused(
        &of_length(2_049, 0),
        "2049 characters that are no white space: 2048 is the most",
    );
    assert_refused(&of_length(2_000, 404_600), "characters: 404600 is the most");
}

/// AWS-ID-54, AWS-ID-56, AWS-ID-87.
#[test]
fn what_has_no_effect_is_remarked() {
    for (statement, remark) in [
        (
            r#""Action": ["iot:Publish", "iot:Pblish"], "Resource": "*""#,
            "Statement[0].Action[1]: `iot:Pblish` is no action of a client",
        ),
        (
            r#""Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/${iot:Client}""#,
            "Statement[0]: `iot:Client` never has a value",
        ),
        (
            r#""Action": "iot:Publish", "Resource": "*", "Condition": {"Null": {"a:b": "true"}}"#,
            "Statement[0]: `a:b` never has a value",
        ),
        (
            r#""Action": "iot:Publish", "Resource": "arn:aws:iot:eu-west-1:*:topic/x""#,
            "Statement[0]: `arn:aws:iot:eu-west-1:*:topic/x` is none of arn:aws:iot:us-east-1:123456789012:*",
        ),
        (
            r#""Action": ["iot:Subscribe", "iot:Connect"], "Resource": "arn:aws:iot:*:*:topic/x""#,
            "Statement[0]: none of the actions is about a `arn:aws:iot:*:*:topic/x`",
        ),
    ] {
        let document = of_statements(&format!(r#"{{"Effect": "Allow", {statement}}}"#));
        assert_eq!(document.remarks(&Scope::default()), [remark]);
    }
    let foreign = of_statements(
        r#"{"Effect": "Allow", "Action": "iot:*", "Resource": "arn:aws:iot:eu-west-1:7:topic/x"}"#,
    );
    let any = Scope {
        any: true,
        ..Scope::default()
    };
    assert_eq!(foreign.remarks(&any), Vec::<String>::new());
}
