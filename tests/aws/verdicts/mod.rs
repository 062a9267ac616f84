//! The worked verdicts on the wire: each request of the table comes from a client with such a certificate, over
//! HTTPS or in both versions of MQTT, and has its effect or the service's refusal.

mod authorizer;
mod call;
mod certificate;
mod inquiry;
mod trial;

use std::collections::BTreeSet;

use crate::support::*;
use crate::table::{Request, blocks};

use inquiry::Compared;
use trial::Bench;

/// What comes over HTTPS, from a device or as a call of the data plane.
const CALLS: [u32; 5] = [5, 38, 76, 78, 100];

/// Those who say what the broker would do are asked at the same moment (AWS-OPS-57).
///
/// AWS-PEX-01 to AWS-PEX-102, AWS-FAIL-01 to AWS-FAIL-05 AWS-ID-40
#[test]
fn worked_verdicts_hold_on_the_wire() {
    both(|version| {
        let mut bench = Bench::new(version);
        let mut tried = BTreeSet::new();
        for block in blocks() {
            for request in &block.requests {
                match request.get("over") {
                    None => bench.try_out(&block, request),
                    Some("authorizer") => authorizer::try_out(version, &block, request),
                    Some(_) => continue,
                }
                tried.insert(request.id);
            }
        }
        // It is not in the table: an authorizer that does not authenticate asks no policy.
        authorizer::try_without_authentication(version);
        tried.insert(102);
        let others = BTreeSet::from(CALLS);
        assert_eq!(
            tried.union(&others).copied().collect::<Vec<_>>(),
            (1..=102).collect::<Vec<_>>()
        );
        assert_eq!(
            tried.intersection(&others).collect::<Vec<_>>(),
            [&5],
            "it comes in both ways"
        );
        let expected = Compared {
            by_test: 106,
            by_explanation: 130,
        };
        assert_eq!(bench.compared, expected);
    });
}

/// AWS-PEX-05, AWS-PEX-38, AWS-PEX-76, AWS-PEX-78, AWS-PEX-100, AWS-ID-42, AWS-ID-43
#[test]
fn worked_verdicts_hold_over_https() {
    let mut bench = Bench::new(Version::V5);
    let mut tried = BTreeSet::new();
    for block in blocks() {
        for request in block.requests.iter().filter(|request| is_call(request)) {
            bench.try_call(&block, request);
            tried.insert(request.id);
        }
    }
    assert_eq!(tried, BTreeSet::from(CALLS));
}

fn is_call(request: &Request) -> bool {
    let over = request.get("over");
    over.is_some_and(|over| ["HTTPS", "data plane"].contains(&over))
}

/// Nothing of the table is left out: what comes neither by MQTT nor over HTTPS comes by an authorizer.
#[test]
fn every_way_of_the_table_is_tried() {
    let requests = blocks().into_iter().flat_map(|block| block.requests);
    let others = requests.filter(|request| !is_call(request));
    let ways = others.filter_map(|request| request.get("over").map(str::to_owned));
    assert!(ways.into_iter().all(|way| way == "authorizer"));
}
