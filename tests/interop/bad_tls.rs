//! Listeners of TLS with something wrong about them, and what Python's `ssl` and the AWS Common Runtime say of each.

use std::ffi::OsStr;

use libtest_mimic::Trial;

use crate::broker::{Broker, Profile, file, python};
use crate::script::{self, assert_passed};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("bad_tls::python_and_common_runtime", python_and_crt)]
}

/// Each with the function of the script that meets it.
const KINDS: [(&str, &str); 10] = [
    ("expired", "expired"),
    ("not-yet-valid", "not_yet_valid"),
    ("wrong-host", "wrong_host"),
    ("unknown-ca", "unknown_ca"),
    ("self-signed", "self_signed"),
    ("large-chain", "large_chain"),
    ("tls1.2-only", "tls12_only"),
    ("tls1.3-only", "tls13_only"),
    ("reject-client", "reject_client"),
    ("no-close-notify", "no_close_notify"),
];

fn python_and_crt() {
    let wanted = KINDS.map(|(kind, _)| format!("{kind}=0")).join(",");
    let flags = ["--journal", "--bad-tls", &wanted];
    let broker = Broker::start_with(Profile::Standard, &flags.map(OsStr::new));
    let identity = broker.issue("device");
    let mut command = python();
    command.arg(file("clients").join("bad_tls.py"));
    command.arg("--ca").arg(&identity.ca);
    command.arg("--cert").arg(&identity.cert);
    command.arg("--key").arg(&identity.key);
    command.arg("--http").arg(broker.http());
    for (kind, _) in KINDS {
        command.arg(format!("{kind}={}", broker.port_with_fault(kind)));
    }
    let outcomes = script::outcomes("bad_tls", &mut command);
    let mut cases = KINDS.map(|(_, case)| case).to_vec();
    // And what the broker says of all of them.
    cases.push("journal");
    assert_passed(&outcomes, &cases, &broker);
}
