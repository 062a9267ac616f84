//! The worked verdicts on the wire: each request of the table comes from a client with such a certificate, in
//! both versions, and has its effect or the service's refusal.

mod authorizer;
mod certificate;
mod inquiry;
mod trial;

use std::collections::{BTreeMap, BTreeSet};

use crate::support::*;
use crate::table::blocks;

use inquiry::Compared;
use trial::Bench;

/// What does not come by MQTT with a certificate, and how it comes: it is tried there when that exists.
const LATER: [(u32, &str); 5] = [
    (5, "data plane"),
    (38, "HTTPS"),
    (76, "data plane"),
    (78, "HTTPS"),
    (100, "data plane"),
];

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
        let later = BTreeSet::from(LATER.map(|(id, _)| id));
        assert_eq!(
            tried.union(&later).copied().collect::<Vec<_>>(),
            (1..=102).collect::<Vec<_>>()
        );
        assert_eq!(
            tried.intersection(&later).collect::<Vec<_>>(),
            [&5],
            "partly tried"
        );
        let expected = Compared {
            by_test: 106,
            by_explanation: 130,
        };
        assert_eq!(bench.compared, expected);
    });
}

/// What is left for later is what the table says does not come by MQTT.
#[test]
fn what_is_left_for_later_is_listed() {
    let requests = blocks().into_iter().flat_map(|block| block.requests);
    let over = requests.filter_map(|request| Some((request.id, request.get("over")?)));
    let over = over.filter(|(_, way)| *way != "authorizer");
    let over: BTreeMap<u32, &str> = over.collect();
    assert_eq!(over, BTreeMap::from(LATER));
}
