//! Where the broker is (AWS-API-01, AWS-OPS-42, -43).

use serde_json::json;

use super::call::Call;
use super::host::Host;
use super::operation::{Answered, Operation};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 1] =
    [
        Operation::ask("DescribeEndpoint", "GET /endpoint", describe_endpoint)
            .differs("All types have the address of this broker, also `iot:Data` and `iot:Jobs`, which the service has retired (`aws.refuse_retired_endpoints` refuses them)."),
    ];

const CURRENT: &str = "iot:Data-ATS";

/// Types that the service refuses today.
const RETIRED: [&str; 2] = ["iot:Data", "iot:Jobs"];

const TYPES: [&str; 4] = [CURRENT, RETIRED[0], "iot:CredentialProvider", RETIRED[1]];

fn describe_endpoint(host: &Host, call: &Call) -> Answered {
    if let Some(wanted) = call.text("endpointType")
        && !TYPES.contains(&wanted)
    {
        return Err(Refusal::invalid(format!(
            "Endpoint type {wanted} is none: there are {}.",
            TYPES.join(", ")
        )));
    }
    if let Some(retired) = call.text("endpointType")
        && RETIRED.contains(&retired)
        && host.config().aws.refuse_retired_endpoints
    {
        return Err(Refusal::invalid(format!(
            "Endpoint type {retired} is retired: {CURRENT} takes its place."
        )));
    }
    Ok(json!({ "endpointAddress": host.config().endpoint_name }))
}
