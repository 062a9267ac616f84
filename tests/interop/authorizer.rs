//! Custom authorizers with the AWS IoT Device SDK.

use libtest_mimic::Trial;

use crate::broker::{Broker, Profile, Transport, file, python};
use crate::script::{self, assert_passed};
use crate::trial;

/// What answers for the function of the authorizers: a token and a user are known.
const FUNCTION: &str = r#"
profile = "aws"

[[lambda]]
arn = "arn:aws:lambda:us-east-1:123456789012:function:authorize"
result = '{"isAuthenticated": false}'

[lambda.results]
good = '''{"isAuthenticated": true, "principalId": "good", "policyDocuments": [
  {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}]}'''
ann = '''{"isAuthenticated": true, "principalId": "ann", "policyDocuments": [
  {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}]}'''
"#;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("authorizer::sdk_names_it", sdk_names_it)]
}

/// AWS-AUTH-01 AWS-AUTH-03 AWS-FLOW-21 to AWS-FLOW-23 AWS-FLOW-50
fn sdk_names_it() {
    let flags = ["--wss-port", "0", "--client-cert", "optional"];
    let broker = Broker::start_configured(Profile::Aws, FUNCTION, &flags);
    let mut command = python();
    command.arg(file("clients").join("aws_authorizer.py"));
    command.args(["--endpoint", &broker.http()]);
    for (flag, transport) in [
        ("--mqtts-port", Transport::Tls),
        ("--wss-port", Transport::Wss),
    ] {
        command.args([flag, &broker.port(transport).to_string()]);
    }
    command.arg("--ca").arg(broker.ca_file());
    let outcomes = script::outcomes("authorizer", &mut command);
    assert_passed(&outcomes, &["unsigned", "signed"], &broker);
}
