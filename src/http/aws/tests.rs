//! The documentation of the operations is made from what is routed.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::operation::{Operation, Run, Service};
use super::route::OPERATIONS;

/// Set, it has the document written anew.
const WRITE: &str = "ROUNDEL_WRITE_DOCUMENTS";

const HEAD: &str = "\
# Operations of AWS IoT Core

What the broker answers on its HTTP port (`--http-port`, 9883), and over TLS on `--alpn-port`, for the AWS CLI, boto3 and the AWS
SDKs, operation by operation of the service's three models; devices with a certificate have the data plane on `--https-port`, too. A test writes this page from the code (`ROUNDEL_WRITE_DOCUMENTS=1 cargo test --lib http::aws`); rows
AWS-OPS and AWS-API of [aws-differences.md](aws-differences.md) say what the behaviour rests on.

    aws --endpoint-url http://127.0.0.1:9883 iot list-things

There any credentials do, unless the configuration has access keys. An operation that is not answered gets a typed error that
names it (400, `InvalidRequestException`), is counted at `GET /v1/refused-calls`, and logged when it is called first.
";

#[test]
fn document_lists_what_is_routed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/aws-operations.md");
    let expected = document();
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &expected).expect("the document can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/aws-operations.md is not what is routed: {WRITE}=1 writes it"
    );
}

fn document() -> String {
    let mut text = HEAD.to_owned();
    let services = [
        (Service::Iot, "Control plane, `iot`"),
        (Service::IotData, "Data plane, `iot-data`"),
        (Service::IotJobsData, "Jobs of devices, `iot-jobs-data`"),
    ];
    for (service, title) in services {
        let all = OPERATIONS.iter().copied().flatten();
        let mut all: Vec<_> = all.filter(|one| one.service == service).collect();
        all.sort_unstable_by_key(|operation| operation.name);
        let (answered, refused): (Vec<_>, Vec<_>) = all.into_iter().partition(is_answered);
        let (few, many) = (answered.len(), answered.len() + refused.len());
        let _ = writeln!(text, "\n## {title}: {few} of {many}");
        if !answered.is_empty() {
            text.push_str(
                "\n| operation | request line | since | difference |\n|---|---|---|---|\n",
            );
        }
        for operation in answered {
            let Operation {
                name,
                line,
                since,
                differs,
                ..
            } = operation;
            let _ = writeln!(text, "| {name} | `{line}` | {since} | {differs} |");
        }
        let names: Vec<_> = refused.iter().map(|operation| operation.name).collect();
        if !names.is_empty() {
            let _ = writeln!(text, "\nNot answered: {}.", names.join(", "));
        }
    }
    text
}

fn is_answered(operation: &&Operation) -> bool {
    !matches!(operation.run, Run::Refused)
}
