//! Every client over every transport that it knows, in both protocol versions.

use std::fmt;
use std::process::Command;

use libtest_mimic::Trial;

use crate::broker::{Broker, Endpoint, HOST, Profile, Transport, file, python};
use crate::report::{self, CASES};
use crate::script::{self, Outcome};
use crate::{mosquitto, rumqttc, trial};

/// The protocol version, by the level in CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1
    V4,
    /// MQTT 5
    V5,
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Mosquitto,
    Paho,
    MqttJs,
    AwsCrt,
    Rumqttc,
}

/// One row of the matrix.
#[derive(Clone, Copy, Debug)]
struct Row {
    client: Client,
    version: Version,
    profile: Profile,
    transport: Transport,
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for client in [
        Client::Mosquitto,
        Client::Paho,
        Client::MqttJs,
        Client::AwsCrt,
        Client::Rumqttc,
    ] {
        for version in [Version::V4, Version::V5] {
            for transport in [
                Transport::Tcp,
                Transport::Tls,
                Transport::Ws,
                Transport::Wss,
            ] {
                let row = Row {
                    client,
                    version,
                    profile: Profile::Standard,
                    transport,
                };
                trials.extend(row.is_possible().then(|| row.trial()));
            }
            let row = Row {
                client,
                version,
                profile: Profile::Aws,
                transport: Transport::Tls,
            };
            trials.push(row.trial());
        }
    }
    trials
}

impl Row {
    fn trial(self) -> Trial {
        trial(format!("matrix::{self}").replace(' ', "_"), move || {
            self.run()
        })
    }

    /// Debian builds the mosquitto clients without WebSocket.
    fn is_possible(self) -> bool {
        !matches!(
            (self.client, self.transport),
            (Client::Mosquitto, Transport::Ws | Transport::Wss)
        )
    }

    /// The service has no QoS 2, and for that reason neither has its client.
    fn cases(self) -> Vec<&'static str> {
        let has_qos2 = self.profile == Profile::Standard && !matches!(self.client, Client::AwsCrt);
        CASES
            .into_iter()
            .filter(|case| *case != "qos2" || has_qos2)
            .collect()
    }

    fn run(self) {
        let broker = Broker::start(self.profile);
        let endpoint = broker.endpoint(self.transport);
        let cases = self.cases();
        let outcomes = self.outcomes(&endpoint, &cases);
        let results = |outcome: &Outcome| (outcome.case.clone(), outcome.error.is_none());
        report::row(&self.to_string(), outcomes.iter().map(results).collect());
        script::assert_passed(&outcomes, &cases, &broker);
    }

    fn outcomes(self, endpoint: &Endpoint, cases: &[&str]) -> Vec<Outcome> {
        let scripted = |program: Command| {
            script::outcomes(
                &self.to_string(),
                &mut self.command(program, endpoint, cases),
            )
        };
        let script = |mut program: Command, name: &str| {
            program.arg(file("clients").join(name));
            program
        };
        match self.client {
            Client::Mosquitto => mosquitto::outcomes(self.version, endpoint, cases),
            Client::Rumqttc => rumqttc::outcomes(self.version, endpoint, cases),
            Client::Paho => scripted(script(python(), "paho_matrix.py")),
            Client::AwsCrt => scripted(script(python(), "awscrt_matrix.py")),
            Client::MqttJs => scripted(script(Command::new("node"), "mqttjs_matrix.mjs")),
        }
    }

    /// The arguments that every client script takes.
    fn command(self, mut program: Command, endpoint: &Endpoint, cases: &[&str]) -> Command {
        program.args(["--version", self.version.level()]);
        program.args(["--transport", self.transport.name()]);
        program.args(["--host", HOST, "--port", &endpoint.port.to_string()]);
        program.arg("--ca").arg(&endpoint.identity.ca);
        program.arg("--cert").arg(&endpoint.identity.cert);
        program.arg("--key").arg(&endpoint.identity.key);
        program.args(["--prefix", "interop", "--cases", &cases.join(",")]);
        program
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let client = match self.client {
            Client::Mosquitto => "mosquitto",
            Client::Paho => "paho-python",
            Client::MqttJs => "mqtt.js",
            Client::AwsCrt => "awscrt",
            Client::Rumqttc => "rumqttc",
        };
        let (version, transport) = (self.version.name(), self.transport.name());
        write!(f, "{client} {version} {transport} {}", self.profile)
    }
}

impl Version {
    fn level(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V5 => "5",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V4 => "3.1.1",
            Self::V5 => "5",
        }
    }

    /// The value of `-V`.
    pub(crate) fn mosquitto(self) -> &'static str {
        match self {
            Self::V4 => "mqttv311",
            Self::V5 => "mqttv5",
        }
    }
}
