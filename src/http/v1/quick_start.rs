//! `GET /v1/quick-start`: lines to copy that make clients of this very broker, by language. The console shows them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::config::{ClientCert, Config, RegistryPlace};
use crate::server::Addrs;

use super::super::Api;
use super::super::query::NoParameters;

/// What the members of the group subscribe to.
const FILTER: &str = "$share/workers/demo/#";

#[derive(Serialize)]
pub(super) struct QuickStart {
    /// Empty where no listener takes clients that are not browsers.
    languages: Vec<Language>,
}

#[derive(Serialize)]
struct Language {
    name: &'static str,
    steps: Vec<Step>,
}

#[derive(Clone, Serialize)]
struct Step {
    title: &'static str,
    /// Each is copied by itself: a command for a shell of its own, or a program.
    texts: Vec<String>,
}

/// How a client on this machine reaches the broker.
struct Way {
    host: String,
    port: u16,
    has_users: bool,
    /// There is TLS: the CA, and where clients need one of their own a certificate and its key.
    files: Vec<String>,
    /// Where `roundel cert` is to put the certificate.
    folder: String,
}

pub(super) async fn show(_: NoParameters, State(api): State<Api>) -> Json<QuickStart> {
    let config = api.engine.broker.config();
    let place = &*api.place;
    let way = Way::find(config, &place.addrs, place.ca_file.as_deref());
    let has_registry = !matches!(config.registry, RegistryPlace::Off);
    let service = place.addrs.http.filter(|_| has_registry);
    let languages = way.map_or_else(Vec::new, |way| way.languages(service));
    Json(QuickStart { languages })
}

impl Way {
    /// Without TLS where that is possible.
    fn find(config: &Config, addrs: &Addrs, ca: Option<&Path>) -> Option<Self> {
        let has_users = !config.users.is_empty();
        if let Some(addr) = addrs.mqtt {
            return Some(Self::plain(addr, has_users));
        }
        let needs_own = !matches!(config.tls.client_cert, ClientCert::None);
        let secure = |addr| Self::secure(addr, has_users, ca, &config.tls.certs, needs_own);
        addrs.mqtts.map(secure)
    }

    fn plain(addr: SocketAddr, has_users: bool) -> Self {
        Self {
            host: host(addr),
            port: addr.port(),
            has_users,
            files: Vec::new(),
            folder: String::new(),
        }
    }

    fn secure(
        addr: SocketAddr,
        has_users: bool,
        ca: Option<&Path>,
        certs: &Path,
        needs_own: bool,
    ) -> Self {
        // The folder of a CA of our own has an absolute path there; the flag may have none.
        let own = ca.filter(|ca| ca.ends_with("ca.pem"));
        let folder = own.and_then(Path::parent).unwrap_or(certs);
        let file = |path: &Path| path.display().to_string();
        let mut files = vec![ca.map_or_else(|| file(&folder.join("ca.pem")), file)];
        if needs_own {
            files.extend(
                ["demo.certificate.pem", "demo.private.key"].map(|name| file(&folder.join(name))),
            );
        }
        Self {
            files,
            folder: file(folder),
            ..Self::plain(addr, has_users)
        }
    }

    fn languages(&self, service: Option<SocketAddr>) -> Vec<Language> {
        let certificate = (self.files.len() > 1).then(|| Step {
            title: "A certificate for the clients",
            texts: vec![self.certificate()],
        });
        let language = |name, steps: Vec<Step>| Language {
            name,
            steps: certificate.iter().cloned().chain(steps).collect(),
        };
        let program = |title, text| {
            vec![Step {
                title,
                texts: vec![text],
            }]
        };
        let mut all = vec![
            language("mosquitto", self.mosquitto()),
            language(
                "Python",
                program("paho-mqtt 2, a member of the group", self.python()),
            ),
            language(
                "Node",
                program("mqtt 5, a member of the group", self.node()),
            ),
            language(
                "Rust",
                program("rumqttc and tokio, a member of the group", self.rust()),
            ),
        ];
        all.extend(service.map(aws_cli));
        all
    }

    fn certificate(&self) -> String {
        match self.folder.as_str() {
            "certs" => "roundel cert demo".to_owned(),
            // A folder may have the name of a flag.
            folder => format!("roundel cert demo --certs={}", word(folder)),
        }
    }

    fn mosquitto(&self) -> Vec<Step> {
        let host = match self.host.as_str() {
            "localhost" => String::new(),
            host => format!(" -h {}", word(host)),
        };
        let files = ["--cafile", "--cert", "--key"].iter().zip(&self.files);
        let files: String = files
            .map(|(flag, file)| format!(" {flag} {}", word(file)))
            .collect();
        let user = if self.has_users {
            " -u USER -P PASSWORD"
        } else {
            ""
        };
        let flags = format!("{host} -p {}{files}{user}", self.port);
        let worker = |number| {
            format!("mosquitto_sub{flags} -V mqttv5 -i worker{number} -q 1 -t '{FILTER}' -v")
        };
        vec![
            Step {
                title: "A group of two, each in a terminal of its own",
                texts: vec![worker(1), worker(2)],
            },
            Step {
                title: "Messages: each goes to the one whose turn it is",
                texts: vec![format!(
                    r#"for n in 1 2 3 4 5 6; do mosquitto_pub{flags} -q 1 -t demo/$n -m "message $n"; done"#
                )],
            },
        ]
    }

    fn python(&self) -> String {
        let files: Vec<_> = self.files.iter().map(|file| json(file)).collect();
        let tls = format!("client.tls_set({})\n", files.join(", "));
        let (host, port) = (&self.host, self.port);
        format!(
            r#"import paho.mqtt.client as mqtt

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "worker3", protocol=mqtt.MQTTv5)
{}{}client.on_connect = lambda client, *_: client.subscribe("{FILTER}", 1)
client.on_message = lambda client, _, message: print(message.topic, message.payload.decode())
client.connect("{host}", {port})
client.loop_forever()"#,
            line(!files.is_empty(), &tls),
            line(
                self.has_users,
                "client.username_pw_set(\"USER\", \"PASSWORD\")\n"
            ),
        )
    }

    fn node(&self) -> String {
        let keys = ["ca", "cert", "key"].iter().zip(&self.files);
        let files: String = keys
            .map(|(key, file)| format!("  {key}: readFileSync({}),\n", json(file)))
            .collect();
        let (scheme, host, port) = (
            if files.is_empty() { "mqtt" } else { "mqtts" },
            self.authority(),
            self.port,
        );
        format!(
            r#"import mqtt from 'mqtt';
{}
const client = mqtt.connect('{scheme}://{host}:{port}', {{
  clientId: 'worker4',
  protocolVersion: 5,
{files}{}}});
client.on('connect', () => client.subscribe('{FILTER}', {{ qos: 1 }}));
client.on('message', (topic, payload) => console.log(topic, payload.toString()));"#,
            line(
                !files.is_empty(),
                "import { readFileSync } from 'node:fs';\n"
            ),
            line(
                self.has_users,
                "  username: 'USER',\n  password: 'PASSWORD',\n"
            ),
        )
    }

    fn rust(&self) -> String {
        let mut files = self
            .files
            .iter()
            .map(|file| format!("std::fs::read({file:?})?"));
        let ca = files.next();
        let own = match (files.next(), files.next()) {
            (Some(certificate), Some(key)) => format!("Some(({certificate}, {key}))"),
            _ => "None".to_owned(),
        };
        let tls = ca.as_ref().map(|ca| {
            format!("    options.set_transport(rumqttc::Transport::tls({ca}, {own}, None));\n")
        });
        let (host, port) = (&self.host, self.port);
        format!(
            r#"use rumqttc::v5::{{AsyncClient, MqttOptions, mqttbytes::QoS}};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {{
    let {}options = MqttOptions::new("worker5", "{host}", {port});
{}{}    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("{FILTER}", QoS::AtLeastOnce).await?;
    loop {{
        println!("{{:?}}", events.poll().await?);
    }}
}}"#,
            line(ca.is_some() || self.has_users, "mut "),
            tls.unwrap_or_default(),
            line(
                self.has_users,
                "    options.set_credentials(\"USER\", \"PASSWORD\");\n"
            ),
        )
    }

    /// The host as it stands in an address.
    fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }
}

/// The service's own calls.
fn aws_cli(http: SocketAddr) -> Language {
    let way = Way::plain(http, false);
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Language {
        name: "AWS CLI",
        steps: vec![
            Step {
                title: "Endpoints, a region and keys, for one terminal",
                texts: vec![format!(
                    "eval \"$(roundel env --http {}:{})\"",
                    way.authority(),
                    way.port
                )],
            },
            Step {
                title: "Things",
                texts: texts(&[
                    "aws iot create-thing --thing-name car1",
                    "aws iot list-things",
                ]),
            },
            Step {
                title: "A message",
                // From a file: version 2 of the CLI takes a payload on the command line for Base64.
                texts: texts(&[
                    "echo '{\"speed\": 75}' > message.json",
                    "aws iot-data publish --topic demo/1 --qos 1 --payload fileb://message.json",
                ]),
            },
        ],
    }
}

/// The host of an address for a client on this machine: the name that the server certificate has, where that leads there.
fn host(addr: SocketAddr) -> String {
    let ip = addr.ip();
    match ip.is_unspecified() || ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST {
        true => "localhost".to_owned(),
        false => ip.to_string(),
    }
}

/// A text as a shell reads it: one word, whatever is in it.
fn word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./-_".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// A text as a literal of JSON, which Python and JavaScript read alike.
fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn line(has: bool, text: &str) -> &str {
    if has { text } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "/tmp/it's \"$(touch x)\" `touch y`; \\\n -p \u{202e}$HOME";

    fn secure(folder: &str, needs_own: bool) -> Way {
        let addr = "127.0.0.1:8883".parse().expect("an address");
        let ca = Path::new(folder).join("ca.pem");
        Way::secure(addr, true, Some(&ca), Path::new("certs"), needs_own)
    }

    fn texts(way: &Way, language: &str) -> Vec<String> {
        let all = way.languages(None);
        let found = all.into_iter().find(|one| one.name == language);
        let steps = found.expect("it is there").steps;
        steps.into_iter().flat_map(|step| step.texts).collect()
    }

    /// What a shell makes of a line: the words of each command, one a line.
    #[cfg(unix)]
    fn words(text: &str) -> Vec<String> {
        let mine = "show() { for one; do printf '%s\\0' \"$one\"; done; }
            roundel() { show \"$@\"; }; mosquitto_sub() { show \"$@\"; }; mosquitto_pub() { show \"$@\"; }";
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-uc", &format!("{mine}\n{text}")]).output();
        let output = output.expect("a shell");
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{text}: {output:?}"
        );
        let said = String::from_utf8(output.stdout).expect("it is what the line has");
        said.split_terminator('\0').map(str::to_owned).collect()
    }

    /// Whatever a folder is called is one word, and nothing of it is run.
    #[cfg(unix)]
    #[test]
    fn paths_are_one_word_each_in_a_shell() {
        let all = texts(&secure(HOSTILE, true), "mosquitto");
        assert_eq!(
            words(&all[0]),
            ["cert", "demo", &format!("--certs={HOSTILE}")]
        );
        let files = [
            "--cafile",
            "ca.pem",
            "--cert",
            "demo.certificate.pem",
            "--key",
            "demo.private.key",
        ];
        let files = files.map(|word| match word.starts_with("--") {
            true => word.to_owned(),
            false => format!("{HOSTILE}/{word}"),
        });
        let first: Vec<_> = ["-p", "8883"]
            .map(str::to_owned)
            .into_iter()
            .chain(files)
            .collect();
        for text in &all[1..] {
            assert_eq!(words(text)[..first.len()], first, "{text}");
        }
        let (last, worker) = (words(&all[3]), words(&all[1]));
        assert_eq!(last[last.len() - 4..], ["-t", "demo/6", "-m", "message 6"]);
        assert_eq!(worker[worker.len() - 3..], ["-t", FILTER, "-v"]);
    }

    #[test]
    fn plain_tcp_is_preferred_to_tls_and_there_is_nothing_besides() {
        let config = Config::aws();
        let found = |addrs: &Addrs| {
            let way = Way::find(&config, addrs, None);
            way.map(|way| (way.port, way.files.len()))
        };
        let addr = |port| Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let mut addrs = Addrs {
            ws: addr(1),
            ..Addrs::default()
        };
        assert_eq!(found(&addrs), None);
        addrs.mqtts = addr(2);
        assert_eq!(found(&addrs), Some((2, 3)));
        addrs.mqtt = addr(3);
        assert_eq!(found(&addrs), Some((3, 0)));
    }

    #[test]
    fn paths_are_one_literal_each_in_a_program() {
        let way = secure(HOSTILE, true);
        let escaped = "\"/tmp/it's \\\"$(touch x)\\\" `touch y`; \\\\\\n -p ";
        for (language, right_to_left) in [
            ("Python", "\u{202e}"),
            ("Node", "\u{202e}"),
            ("Rust", "\\u{202e}"),
        ] {
            let program = texts(&way, language).pop().expect("a program");
            for name in ["ca.pem", "demo.certificate.pem", "demo.private.key"] {
                let literal = format!("{escaped}{right_to_left}$HOME/{name}\"");
                assert!(program.contains(&literal), "no {literal} in {program}");
            }
        }
    }

    #[test]
    fn lines_have_what_this_broker_asks_for_and_no_more() {
        let addr = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let worker = |way: &Way| texts(way, "mosquitto").swap_remove(0);
        let plain = Way::plain(addr("0.0.0.0:1883"), false);
        assert_eq!(
            worker(&plain),
            "mosquitto_sub -p 1883 -V mqttv5 -i worker1 -q 1 -t '$share/workers/demo/#' -v"
        );
        let none = secure("/own", false);
        assert_eq!(
            worker(&none),
            "mosquitto_sub -p 8883 --cafile /own/ca.pem -u USER -P PASSWORD -V mqttv5 -i worker1 -q 1 \
             -t '$share/workers/demo/#' -v"
        );
        // Another's CA says nothing of where our certificates are.
        let other = Some(Path::new("/other/root.pem"));
        let other = Way::secure(addr("127.0.0.1:1"), false, other, Path::new("certs"), true);
        assert_eq!(worker(&other), "roundel cert demo");
        assert_eq!(
            other.files,
            [
                "/other/root.pem",
                "certs/demo.certificate.pem",
                "certs/demo.private.key"
            ]
        );

        let far = Way::plain(addr("[2001:db8::1]:1883"), false);
        assert!(worker(&far).starts_with("mosquitto_sub -h 2001:db8::1 -p 1883 "));
        assert!(texts(&far, "Node")[0].contains("'mqtt://[2001:db8::1]:1883'"));
        assert!(texts(&far, "Python")[0].contains("(\"2001:db8::1\", 1883)"));
        for language in ["Python", "Node", "Rust"] {
            let (plain, tls) = (texts(&plain, language), texts(&none, language));
            for (part, has) in [
                ("ca.pem", false),
                ("USER", false),
                ("demo.private.key", false),
            ] {
                assert_eq!(plain[0].contains(part), has, "{language}: {part}");
            }
            for (part, has) in [
                ("ca.pem", true),
                ("USER", true),
                ("demo.private.key", false),
            ] {
                assert_eq!(tls[0].contains(part), has, "{language}: {part}");
            }
        }
    }
}
