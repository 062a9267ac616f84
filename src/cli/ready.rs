//! What is printed once every listener accepts: a line for programs, or a page for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use roundel::Addrs;
use roundel::config::{ClientCert, Config, FurtherListener, ListenerKind, RegistryPlace};
use serde::Serialize;

use super::{quoted, reachable, shell_word};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The ready event: one line of JSON. Scripts rely on its keys.
pub(crate) fn json(config: &Config, addrs: &Addrs, ca_file: Option<&Path>) -> String {
    let ready = Ready {
        event: "ready",
        pid: std::process::id(),
        version: VERSION,
        profile: config.profile.name(),
        listeners: addrs,
        ca_file: ca_file.map(|path| path.display().to_string()),
    };
    let mut line = serde_json::to_string(&ready).expect("invariant: only strings and numbers");
    line.push('\n');
    line
}

#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    pid: u32,
    version: &'static str,
    profile: &'static str,
    listeners: &'a Addrs,
    ca_file: Option<String>,
}

fn bad_tls(addrs: &Addrs) -> BTreeMap<&'static str, SocketAddr> {
    let listeners = addrs.bad_tls.iter();
    listeners.map(|(kind, addr)| (kind.name(), *addr)).collect()
}

/// What listens where, and commands to copy that work against this very broker.
///
/// `program` is what a shell calls this program by.
pub(crate) fn text(
    config: &Config,
    addrs: &Addrs,
    ca_file: Option<&Path>,
    program: &str,
) -> String {
    let control = match config.registry {
        RegistryPlace::Off => "control API",
        _ => "control API, and that of AWS IoT Core",
    };
    let mut page = format!("Roundel {VERSION}, profile {}\n\n", config.profile.name());
    for (name, address, what) in [
        ("mqtt", addrs.mqtt, "MQTT"),
        ("mqtts", addrs.mqtts, "MQTT over TLS"),
        ("ws", addrs.ws, "MQTT over WebSocket, path /mqtt"),
        ("wss", addrs.wss, "MQTT over WebSocket over TLS, path /mqtt"),
        (
            "alpn",
            addrs.alpn,
            "MQTT, WebSocket and HTTPS of AWS IoT Core, by ALPN",
        ),
        ("https", addrs.https, "HTTPS of AWS IoT Core for devices"),
        ("http", addrs.http, control),
        (
            "mqtt",
            addrs.mqtt_password,
            "MQTT, for users with passwords",
        ),
        (
            "ws",
            addrs.ws_password,
            "MQTT over WebSocket, for users with passwords",
        ),
    ] {
        if let Some(address) = address {
            let address = address.to_string();
            let _ = writeln!(page, "  {name:6} {address:22} {what}");
        }
    }
    for (name, address) in bad_tls(addrs) {
        let address = address.to_string();
        let _ = writeln!(
            page,
            "  mqtts  {address:22} MQTT over TLS with a fault: {name}"
        );
    }
    for (listener, address) in config.listeners.further.iter().zip(&addrs.further) {
        let (name, what) = further(listener);
        let _ = writeln!(page, "  {name:6} {:22} {what}", address.to_string());
    }
    if let Some(path) = &addrs.unix_socket {
        let path = path.display().to_string();
        let _ = writeln!(page, "  unix   {path:22} MQTT over a Unix socket");
    }
    page.push('\n');
    let examples = examples(config, addrs, ca_file, program);
    let service = service_examples(config, addrs, program);
    for line in examples.into_iter().chain(service) {
        let _ = writeln!(page, "  {line}");
    }
    if let Some(address) = addrs.http.filter(|_| config.console) {
        let address = SocketAddr::new(reachable(address.ip()), address.port());
        let _ = writeln!(page, "\nIn a browser: http://{address}/");
    }
    page.push_str("\nCtrl-C stops it.\n");
    page
}

/// What a further listener is called, and what it is.
fn further(listener: &FurtherListener) -> (&'static str, String) {
    let (name, what) = match listener.kind {
        ListenerKind::Mqtt => ("mqtt", "MQTT"),
        ListenerKind::Ws => ("ws", "MQTT over WebSocket"),
        ListenerKind::MqttAndWs => ("mqtt", "MQTT, and MQTT over WebSocket"),
        ListenerKind::Mqtts => ("mqtts", "MQTT over TLS"),
        ListenerKind::Wss => ("wss", "MQTT over WebSocket over TLS"),
        ListenerKind::MqttsAndWss => ("mqtts", "MQTT over TLS, and over WebSocket over TLS"),
        kind => (kind.name(), ""),
    };
    let rule = match listener.client_cert {
        Some(ClientCert::Required) => ", client certificates required",
        Some(ClientCert::Optional) => ", client certificates optional",
        Some(ClientCert::None) => ", no client certificates",
        None => "",
    };
    (name, format!("{what}{rule}"))
}

/// A command of the AWS CLI, where there is something for it to ask about, behind the one that has it ask here:
/// without keys and a region it asks nobody.
fn service_examples(config: &Config, addrs: &Addrs, program: &str) -> Vec<String> {
    let Some(address) = addrs.http.filter(|_| config.registry != RegistryPlace::Off) else {
        return Vec::new();
    };
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    let variables = format!("{} env --http {address}", shell_word(program));
    let variables = match cfg!(windows) {
        true => format!("{variables} | Out-String | Invoke-Expression"),
        false => format!("eval \"$({variables})\""),
    };
    vec![variables, "aws iot list-things".to_owned()]
}

/// Commands for the simplest listener there is; none where only browsers can connect.
fn examples(config: &Config, addrs: &Addrs, ca_file: Option<&Path>, program: &str) -> Vec<String> {
    let mut lines = Vec::new();
    // With listeners for users beside them, the others ask nobody.
    let mut is_open = addrs.mqtt_password.is_some() || addrs.ws_password.is_some();
    let further = config.listeners.further.iter().zip(&addrs.further);
    let mut open = further.filter(|(one, _)| one.kind.takes_mqtt() && !one.kind.is_tls());
    let mqtt = addrs.mqtt.or_else(|| open.next().map(|(_, addr)| *addr));
    let to = match (mqtt, addrs.mqtts, ca_file) {
        (Some(address), ..) => to(address),
        (None, Some(address), Some(ca_file)) => {
            lines.extend(make_certificate(config, program));
            to(address) + &tls_flags(config, ca_file)
        }
        _ => match (&addrs.unix_socket, addrs.mqtt_password) {
            (Some(path), _) => format!("--unix {}", shell_word(&path.display().to_string())),
            (None, Some(address)) => {
                is_open = false;
                to(address)
            }
            (None, None) => return lines,
        },
    };
    let user = match config.users.first().filter(|_| !is_open) {
        Some(user) => format!(" -u {} -P PASSWORD", shell_word(&user.name)),
        None => String::new(),
    };
    let (filter, message) = (quoted("demo/#"), quoted("hello"));
    lines.push(format!("mosquitto_sub {to}{user} -t {filter} -v"));
    lines.push(format!(
        "mosquitto_pub {to}{user} -t demo/hello -m {message}"
    ));
    lines
}

/// The command that makes the client certificate of the examples, unless it is there.
fn make_certificate(config: &Config, program: &str) -> Option<String> {
    let certs = &config.tls.certs;
    if config.tls.client_cert == ClientCert::None
        || config.tls.server_cert.is_some()
        || certs.join(CERTIFICATE).exists()
    {
        return None;
    }
    let mut line = format!("{} cert demo", shell_word(program));
    if certs != Path::new("certs") {
        let _ = write!(
            line,
            " --certs {}",
            shell_word(&certs.display().to_string())
        );
    }
    Some(line)
}

const CERTIFICATE: &str = "demo.certificate.pem";
const PRIVATE_KEY: &str = "demo.private.key";

fn tls_flags(config: &Config, ca_file: &Path) -> String {
    let quote = |path: &Path| shell_word(&path.display().to_string());
    let mut flags = format!(" --cafile {}", quote(ca_file));
    if config.tls.client_cert == ClientCert::None {
        return flags;
    }
    if config.tls.server_cert.is_some() {
        flags.push_str(" --cert CERTIFICATE --key KEY");
    } else {
        let certificate = quote(&config.tls.certs.join(CERTIFICATE));
        let key = quote(&config.tls.certs.join(PRIVATE_KEY));
        let _ = write!(flags, " --cert {certificate} --key {key}");
    }
    flags
}

/// The flags that lead to an address.
fn to(address: SocketAddr) -> String {
    format!("{}-p {}", host_flag(address.ip()), address.port())
}

/// mosquitto's own default host is localhost, a name in every server certificate.
fn host_flag(ip: IpAddr) -> String {
    let is_localhost = ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST;
    if is_localhost || ip.is_unspecified() {
        String::new()
    } else {
        format!("-h {ip} ")
    }
}

#[cfg(test)]
mod tests {
    use roundel::config::{BadTls, User};

    use super::*;

    fn at(address: &str) -> Option<SocketAddr> {
        Some(address.parse().unwrap())
    }

    #[test]
    fn the_json_line_has_every_key_in_order() {
        let mut addrs = Addrs::default();
        addrs.mqtts = at("127.0.0.1:8883");
        addrs.alpn = at("127.0.0.1:443");
        addrs.http = at("[::1]:9883");
        let line = json(&Config::aws(), &addrs, Some(Path::new("/abs/certs/ca.pem")));
        let pid = std::process::id();
        assert_eq!(
            line,
            format!(
                "{{\"event\":\"ready\",\"pid\":{pid},\"version\":\"{VERSION}\",\"profile\":\"aws\",\
                 \"listeners\":{{\"mqtts\":\"127.0.0.1:8883\",\"mqtt\":null,\"ws\":null,\
                 \"wss\":null,\"alpn\":\"127.0.0.1:443\",\"https\":null,\"http\":\"[::1]:9883\"}},\
                 \"ca_file\":\"/abs/certs/ca.pem\"}}\n"
            )
        );
    }

    #[test]
    fn listeners_with_faults_are_told_of_where_there_are_any() {
        let mut addrs = Addrs::default();
        for (kind, address) in [
            (BadTls::Expired, "127.0.0.1:1"),
            (BadTls::NoCloseNotify, "127.0.0.1:2"),
        ] {
            addrs.bad_tls.insert(kind, address.parse().unwrap());
        }
        let line = json(&Config::aws(), &addrs, None);
        let faults =
            r#""http":null,"bad_tls":{"expired":"127.0.0.1:1","no-close-notify":"127.0.0.1:2"}}"#;
        assert!(line.contains(faults), "{line}");
        let page = text(&Config::aws(), &addrs, None, "roundel");
        assert!(
            page.contains("127.0.0.1:1            MQTT over TLS with a fault: expired"),
            "{page}"
        );
    }

    #[test]
    fn listeners_with_passwords_are_told_of_and_only_their_examples_have_a_user() {
        let mut config = Config::standard();
        config.users.push(User {
            name: "rw".into(),
            password_hash: String::new(),
        });
        let mut addrs = Addrs::default();
        addrs.mqtt = at("127.0.0.1:1883");
        addrs.mqtt_password = at("127.0.0.1:1884");
        addrs.ws_password = at("127.0.0.1:8090");
        let line = json(&config, &addrs, None);
        let both =
            r#""http":null,"mqtt-password":"127.0.0.1:1884","ws-password":"127.0.0.1:8090"}"#;
        assert!(line.contains(both), "{line}");
        let page = text(&config, &addrs, None, "roundel");
        assert!(page.contains("mosquitto_sub -p 1883 -t"), "{page}");
        let row = "  ws     127.0.0.1:8090         MQTT over WebSocket, for users with passwords\n";
        assert!(page.contains(row), "{page}");
        addrs.mqtt = None;
        let page = text(&config, &addrs, None, "roundel");
        let command = "mosquitto_sub -p 1884 -u rw -P PASSWORD -t";
        assert!(page.contains(command), "{page}");
    }

    #[test]
    fn further_listeners_are_told_of_in_their_order() {
        let mut config = Config::standard();
        config.listeners.further = vec![
            FurtherListener::new(ListenerKind::MqttsAndWss, 0).with_client_cert(ClientCert::None),
            FurtherListener::new(ListenerKind::MqttAndWs, 0),
        ];
        let mut addrs = Addrs::default();
        addrs.further = vec![
            "127.0.0.1:2".parse().unwrap(),
            "127.0.0.1:1".parse().unwrap(),
        ];
        let line = json(&config, &addrs, None);
        let both = r#""http":null,"further":["127.0.0.1:2","127.0.0.1:1"]}"#;
        assert!(line.contains(both), "{line}");
        let page = text(&config, &addrs, None, "roundel");
        for row in [
            "  mqtts  127.0.0.1:2            MQTT over TLS, and over WebSocket over TLS, no client certificates\n",
            "  mqtt   127.0.0.1:1            MQTT, and MQTT over WebSocket\n",
            "  mosquitto_sub -p 1 -t 'demo/#' -v\n",
        ] {
            assert!(page.contains(row), "{page}");
        }
    }

    #[test]
    fn unix_socket_is_told_of_where_there_is_one() {
        let mut addrs = Addrs::default();
        addrs.unix_socket = Some("/run/my mqtt".into());
        let line = json(&Config::standard(), &addrs, None);
        let end = r#""http":null,"unix_socket":"/run/my mqtt"},"ca_file":null}"#;
        assert!(line.trim_end().ends_with(end), "{line}");
        let page = text(&Config::standard(), &addrs, None, "roundel");
        assert!(
            page.contains("\n  mosquitto_sub --unix '/run/my mqtt' -t 'demo/#' -v\n"),
            "{page}"
        );
    }

    #[test]
    fn without_tls_there_is_no_ca_file() {
        let line = json(&Config::standard(), &Addrs::default(), None);
        assert!(line.ends_with("\"ca_file\":null}\n"), "{line}");
    }

    #[test]
    fn the_plain_listener_needs_nothing_but_its_port() {
        let mut addrs = Addrs::default();
        addrs.mqtt = at("0.0.0.0:1883");
        addrs.mqtts = at("0.0.0.0:8883");
        let page = text(
            &Config::standard(),
            &addrs,
            Some(Path::new("/c/ca.pem")),
            "roundel",
        );
        assert!(
            page.contains("\n  mosquitto_sub -p 1883 -t 'demo/#' -v\n"),
            "{page}"
        );
        assert!(
            page.contains("\n  mosquitto_pub -p 1883 -t demo/hello -m 'hello'\n"),
            "{page}"
        );
        assert!(page.contains("mqtts  0.0.0.0:8883"), "{page}");
        assert!(!page.contains("cert demo"), "{page}");
    }

    #[test]
    fn aws_cli_is_told_where_to_ask_before_it_asks() {
        let mut addrs = Addrs::default();
        addrs.http = at("0.0.0.0:40002");
        let page = text(&Config::aws(), &addrs, None, "./my roundel");
        let lines = match cfg!(windows) {
            true => {
                " env --http 127.0.0.1:40002 | Out-String | Invoke-Expression\n  aws iot list-things\n"
            }
            false => {
                "\n  eval \"$('./my roundel' env --http 127.0.0.1:40002)\"\n  aws iot list-things\n"
            }
        };
        assert!(page.contains(lines), "{page}");
        let page = text(&Config::standard(), &addrs, None, "roundel");
        assert!(!page.contains("aws"), "{page}");
    }

    #[test]
    fn client_certificates_are_made_first_and_then_used() {
        let mut addrs = Addrs::default();
        addrs.mqtts = at("127.0.0.1:40001");
        let mut config = Config::aws();
        config.tls.certs = "/no such/certs".into();
        let page = text(
            &config,
            &addrs,
            Some(Path::new("/no such/certs/ca.pem")),
            "./roundel",
        );
        assert!(
            page.contains("\n  ./roundel cert demo --certs '/no such/certs'\n"),
            "{page}"
        );
        let flags = "-p 40001 --cafile '/no such/certs/ca.pem' \
            --cert '/no such/certs/demo.certificate.pem' --key '/no such/certs/demo.private.key'";
        assert!(
            page.contains(&format!("mosquitto_sub {flags} -t 'demo/#' -v")),
            "{page}"
        );

        config.tls.server_cert = Some("/own/server.pem".into());
        let page = text(&config, &addrs, Some(Path::new("/ca.pem")), "roundel");
        assert!(
            page.contains(
                "mosquitto_sub -p 40001 --cafile /ca.pem --cert CERTIFICATE --key KEY -t"
            ),
            "{page}"
        );
        assert!(!page.contains("cert demo"), "{page}");

        config.tls.client_cert = ClientCert::None;
        let page = text(&config, &addrs, Some(Path::new("/ca.pem")), "roundel");
        assert!(
            page.contains("mosquitto_sub -p 40001 --cafile /ca.pem -t 'demo/#' -v"),
            "{page}"
        );
        assert!(!page.contains("cert demo"), "{page}");
    }

    #[test]
    fn another_address_and_users_are_part_of_the_command() {
        let mut addrs = Addrs::default();
        addrs.mqtt = at("192.0.2.1:1883");
        let mut config = Config::standard();
        config.users.push(User {
            name: "anna b".into(),
            password_hash: String::new(),
        });
        let page = text(&config, &addrs, None, "roundel");
        let command = "mosquitto_sub -h 192.0.2.1 -p 1883 -u 'anna b' -P PASSWORD -t 'demo/#' -v";
        assert!(page.contains(command), "{page}");
    }

    #[test]
    fn console_is_named_where_there_is_one() {
        let mut config = Config::standard();
        let line = |config: &Config, http| {
            let mut addrs = Addrs::default();
            addrs.http = http;
            let page = text(config, &addrs, None, "roundel");
            page.lines()
                .find(|line| line.starts_with("In a browser"))
                .map(str::to_owned)
        };
        let wanted = Some("In a browser: http://127.0.0.1:9883/".to_owned());
        assert_eq!(line(&config, at("0.0.0.0:9883")), wanted);
        assert_eq!(line(&config, None), None);
        config.console = false;
        assert_eq!(line(&config, at("127.0.0.1:9883")), None);
    }
}
