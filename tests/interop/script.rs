//! Client programs that report one JSON object per case.

use std::process::Command;

use serde_json::Value;

use crate::broker::Broker;
use crate::process::Process;

/// What became of one case.
pub(crate) struct Outcome {
    pub(crate) case: String,
    /// Why it failed, in the client's words.
    pub(crate) error: Option<String>,
}

/// Runs a client program to its end and returns its outcomes.
#[track_caller]
pub(crate) fn outcomes(name: &str, command: &mut Command) -> Vec<Outcome> {
    let lines = Process::start(name, command).finish();
    let outcomes = lines
        .iter()
        .filter(|line| line.starts_with('{'))
        .map(|line| {
            let value: Value = serde_json::from_str(line).expect("a result is JSON");
            let text = |key: &str| value[key].as_str().map(str::to_owned);
            Outcome {
                case: text("case").expect("a result names its case"),
                error: (value["ok"] != true).then(|| text("error").unwrap_or_default()),
            }
        });
    outcomes.collect()
}

/// Fails unless exactly the `wanted` cases are reported, all of them passed.
#[track_caller]
pub(crate) fn assert_passed(outcomes: &[Outcome], wanted: &[&str], broker: &Broker) {
    for outcome in outcomes {
        if let Some(error) = &outcome.error {
            panic!("{}: {error}{}", outcome.case, broker.log());
        }
    }
    let got: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.case.as_str())
        .collect();
    assert_eq!(
        got, wanted,
        "the client reports other cases than it was asked for"
    );
}
