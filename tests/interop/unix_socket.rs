//! Clients over a Unix socket: mosquitto's programs and Paho Python.

use std::path::{Path, PathBuf};
use std::process::Command;

use libtest_mimic::Trial;

use crate::broker::{Broker, Profile, file, python};
use crate::process::Process;
use crate::script::{self, assert_passed};
use crate::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("unix_socket::mosquitto", mosquitto),
        trial("unix_socket::paho", paho),
    ]
}

fn broker(folder: &Path) -> (Broker, PathBuf) {
    let path = folder.join("mqtt");
    let flags = ["--unix-socket".as_ref(), path.as_os_str()];
    (Broker::start_with(Profile::Standard, &flags), path)
}

fn mosquitto() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_broker, path) = broker(folder.path());
    let run = |program: &str, line: &[&str]| {
        let mut command = Command::new(program);
        command.arg("--unix").arg(&path).args(line);
        Process::start(program, &mut command).finish()
    };
    for version in ["mqttv311", "mqttv5"] {
        let topic = format!("unix/{version}");
        let message = ["-V", version, "-q", "2", "-t", &topic, "-r", "-m", "hello"];
        run("mosquitto_pub", &message);
        let lines = run(
            "mosquitto_sub",
            &["-V", version, "-t", &topic, "-C", "1", "-v"],
        );
        assert_eq!(lines, [format!("{topic} hello")]);
    }
}

fn paho() {
    let folder = tempfile::tempdir().expect("a folder");
    let (broker, path) = broker(folder.path());
    let mut command = python();
    command.arg(file("clients").join("paho_unix.py")).arg(&path);
    let outcomes = script::outcomes("paho_unix", &mut command);
    assert_passed(&outcomes, &["mqtt311", "mqtt5"], &broker);
}
