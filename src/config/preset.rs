//! What well-known suites of clients' tests expect of a broker: which listeners, and which variables say where.

use super::error::ConfigError;
use super::file::{self, File};
use super::value::OFF;

/// A suite.
#[derive(Debug)]
pub struct Preset {
    /// Its name on the command line and in files.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// A configuration file, over the defaults and under whatever else is said.
    pub(super) config: &'static str,
    /// The variables that the suite reads. `{ca}`, `{certificate}` and `{key}` stand for files: of the
    /// authority, and of a client that is named as the suite.
    pub variables: &'static [(&'static str, &'static str)],
    /// What is to be run in the folder of its source, in this order; empty where there is nothing to say.
    pub commands: &'static [&'static str],
    /// What the suite expects besides, and there is not.
    pub lacks: &'static [&'static str],
}

/// A packet rule of the file: nobody may subscribe to this topic.
macro_rules! nobody_subscribes {
    ($topic:literal) => {
        concat!(
            "[[rules]]\nname = 'nosubscribe'\n",
            "match = { type = 'SUBSCRIBE', direction = 'in', topic = '",
            $topic,
            "' }\ndo = 'answer'\npacket = { type = 'SUBACK', reasons = [0x80] }\n"
        )
    };
}

/// All suites there are.
pub(super) static PRESETS: [Preset; 6] = [
    Preset {
        name: "aws-crt",
        about: "the Common Runtime of AWS, in Python, Java, JavaScript and C++; its tests trust the system's store: roundel trust --install",
        config: "profile = 'aws'\nregistry = 'memory'\n\
                 mqtt_port = 1883\nmqtts_port = 8883\nws_port = 8080\nwss_port = 8081\nclient_cert = 'optional'\n\
                 password_listener = ['mqtt=1884', 'ws=8090']\n\
                 [limits]\nresend_interval = '30s'\nresend_period = ['1h', '16m']\n\
                 [[users]]\nname = 'rw'\npassword_hash = \
                 '$pbkdf2-sha256$i=20000$QVAhVbk9T3QE8ek2w+pSkA$DjeqtMDwXc5+xty+lvs7Dxib+l/ojt8NspJ+xc18yq4'",
        // The tests take TLS and the certificate to whatever host has the name of IOT_CORE_HOST.
        variables: &[
            ("AWS_TEST_MQTT5_IOT_CORE_HOST", "localhost"),
            ("AWS_TEST_MQTT5_IOT_CORE_TLS13_HOST", "localhost"),
            ("AWS_TEST_MQTT5_IOT_CORE_REGION", "us-east-1"),
            ("AWS_TEST_MQTT5_IOT_CORE_RSA_CERT", "{certificate}"),
            ("AWS_TEST_MQTT5_IOT_CORE_RSA_KEY", "{key}"),
            ("AWS_TEST_MQTT5_DIRECT_MQTT_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT5_DIRECT_MQTT_PORT", "1883"),
            ("AWS_TEST_MQTT5_DIRECT_MQTT_BASIC_AUTH_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT5_DIRECT_MQTT_BASIC_AUTH_PORT", "1884"),
            ("AWS_TEST_MQTT5_DIRECT_MQTT_TLS_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT5_DIRECT_MQTT_TLS_PORT", "8883"),
            ("AWS_TEST_MQTT5_WS_MQTT_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT5_WS_MQTT_PORT", "8080"),
            ("AWS_TEST_MQTT5_WS_MQTT_BASIC_AUTH_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT5_WS_MQTT_BASIC_AUTH_PORT", "8090"),
            ("AWS_TEST_MQTT5_WS_MQTT_TLS_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT5_WS_MQTT_TLS_PORT", "8081"),
            ("AWS_TEST_MQTT5_BASIC_AUTH_USERNAME", "rw"),
            ("AWS_TEST_MQTT5_BASIC_AUTH_PASSWORD", "rw"),
            ("AWS_TEST_MQTT5_CERTIFICATE_FILE", "{certificate}"),
            ("AWS_TEST_MQTT5_KEY_FILE", "{key}"),
            ("AWS_TEST_MQTT5_IOT_CERTIFICATE_PATH", "{certificate}"),
            ("AWS_TEST_MQTT5_IOT_KEY_PATH", "{key}"),
            ("AWS_TEST_MQTT311_IOT_CORE_HOST", "localhost"),
            ("AWS_TEST_MQTT311_IOT_CORE_REGION", "us-east-1"),
            ("AWS_TEST_MQTT311_IOT_CORE_RSA_CERT", "{certificate}"),
            ("AWS_TEST_MQTT311_IOT_CORE_RSA_KEY", "{key}"),
            ("AWS_TEST_MQTT311_DIRECT_MQTT_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT311_DIRECT_MQTT_PORT", "1883"),
            ("AWS_TEST_MQTT311_DIRECT_MQTT_BASIC_AUTH_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT311_DIRECT_MQTT_BASIC_AUTH_PORT", "1884"),
            ("AWS_TEST_MQTT311_DIRECT_MQTT_TLS_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT311_DIRECT_MQTT_TLS_PORT", "8883"),
            ("AWS_TEST_MQTT311_WS_MQTT_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT311_WS_MQTT_PORT", "8080"),
            ("AWS_TEST_MQTT311_WS_MQTT_BASIC_AUTH_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT311_WS_MQTT_BASIC_AUTH_PORT", "8090"),
            ("AWS_TEST_MQTT311_WS_MQTT_TLS_HOST", "127.0.0.1"),
            ("AWS_TEST_MQTT311_WS_MQTT_TLS_PORT", "8081"),
            ("AWS_TEST_MQTT311_BASIC_AUTH_USERNAME", "rw"),
            ("AWS_TEST_MQTT311_BASIC_AUTH_PASSWORD", "rw"),
            ("AWS_TEST_MQTT311_CERTIFICATE_FILE", "{certificate}"),
            ("AWS_TEST_MQTT311_KEY_FILE", "{key}"),
        ],
        commands: &[],
        lacks: &[
            "an HTTP proxy (PROXY, 3128): its tests are skipped",
            "signed WebSockets, custom authorizers and ALPN on port 443 (ROLE_CREDENTIAL, COGNITO, X509, SIGNING_AUTHORIZER): \
             --alpn-port, access_keys and authorizers can be added, and their tests are skipped otherwise",
        ],
    },
    Preset {
        name: "paho-c",
        about: "Eclipse Paho C: the tests that its CMake files run",
        // What these tests expect of the broker that they name: properties in SUBACK and UNSUBACK, refusals of a topic, and
        // of the proxy between them and it, which cuts a connection when it is told to.
        config: concat!(
            "profile = 'standard'\nmqtt_port = 'off'\nmqtts_port = 'off'\nws_packet_frames = true\n\
                 listener = ['mqtt+ws=1883', 'mqtt+ws=1884', 'mqtt+ws=18883', 'mqtts+wss:required=18884', \
                 'mqtts+wss:none=18885', 'mqtts+wss:none=18886']\nbad_tls = ['reject-client=18887']\n\
                 [limits]\nreceive_maximum = 20\n\
                 [[rules]]\nname = 'proxy'\nmatch = { type = 'PUBLISH', direction = 'in', topic = 'MQTTSAS topic' }\n\
                 do = 'close'\n\
                 [[rules]]\nname = 'suback'\nmatch = { type = 'SUBACK', direction = 'out' }\n\
                 do = 'replace'\nset = { properties = { user_property = ['preset', 'paho-c'] } }\n\
                 [[rules]]\nname = 'unsuback'\nmatch = { type = 'UNSUBACK', direction = 'out' }\n\
                 do = 'replace'\nset = { properties = { user_property = ['preset', 'paho-c'] } }\n\
                 [[rules]]\nname = 'puback'\n\
                 match = { type = 'PUBLISH', direction = 'in', topic = 'test_qos_1_2_errors', qos = 1 }\n\
                 do = 'answer'\npacket = { type = 'PUBACK', reason = 0x87 }\n\
                 [[rules]]\nname = 'pubrec'\n\
                 match = { type = 'PUBLISH', direction = 'in', topic = 'test_qos_1_2_errors', qos = 2 }\n\
                 do = 'answer'\npacket = { type = 'PUBREC', reason = 0x87 }\n\
                 [[rules]]\nname = 'pubcomp'\n\
                 match = { type = 'PUBCOMP', direction = 'out', topic = 'test_qos_1_2_errors_pubcomp' }\n\
                 do = 'replace'\nset = { reason = 0x92 }\n",
            nobody_subscribes!("nosubscribe")
        ),
        variables: &[
            ("MQTT_TEST_BROKER", "tcp://localhost:1883"),
            ("MQTT_WS_TEST_BROKER", "ws://localhost:1883"),
            ("MQTT_TEST_PROXY", "tcp://localhost:1884"),
            ("MQTT_WS_TEST_PROXY", "tcp://localhost:1884"),
            ("MQTT_SSL_HOSTNAME", "localhost"),
        ],
        commands: &[
            "cat test/ssl/server.crt test/ssl/test-signing-ca.crt >chain.pem",
            "roundel serve --preset paho-c --server-cert chain.pem --server-key test/ssl/server.key --client-ca test/ssl/all-ca.crt &",
            "cmake -S . -B build -DPAHO_WITH_SSL=TRUE && cmake --build build && ctest --test-dir build",
        ],
        lacks: &[
            "pre-shared keys on 18888: these tests are commented out in the suite, and the TLS library has none",
        ],
    },
    Preset {
        name: "paho-python",
        about: "the interoperability tests of Eclipse Paho, client_test.py and client_test5.py",
        // What these tests ask of the broker's CONNACK, a limit that they reach before long, and a topic that nobody may
        // subscribe to.
        config: concat!(
            "profile = 'standard'\nmqtt_port = 1883\nmqtts_port = 'off'\n\
             [limits]\nreceive_maximum = 20\nkeep_alive = [1, 60]\n",
            nobody_subscribes!("test/nosubscribe")
        ),
        variables: &[],
        commands: &[],
        lacks: &[
            "what Paho Python's own tests bring themselves: sockets that expect exact bytes, and a broker in their process",
        ],
    },
    Preset {
        name: "aiomqtt",
        about: "aiomqtt: what it expects of test.mosquitto.org",
        config: "profile = 'standard'\n\
                 mqtt_port = 1883\nmqtts_port = 8883\nws_port = 8080\nclient_cert = 'none'\nsan = ['test.mosquitto.org']\n\
                 ws_allowed_origins = ['test.mosquitto.org']\npassword_listener = ['mqtt=1884']\n\
                 [[users]]\nname = 'rw'\npassword_hash = \
                 '$pbkdf2-sha256$i=20000$9GUkdQ7ZNiuVvb8EdEAQ+g$YyLD1xqQTdsLD3ybPtCUjOs5W15SOlOT0q0a2a0wdMQ'",
        variables: &[("AIOMQTT_TEST_HOSTNAME", "localhost")],
        commands: &[],
        lacks: &[
            "user names that are refused where nobody needs one (test_aenter_state_reset_connack_negative)",
            "the certificate in tests/mosquitto.org.crt: a copy of ca.pem of --certs takes its place",
        ],
    },
    Preset {
        name: "mqttjs",
        about: "MQTT.js: its tests in browsers",
        config: "profile = 'standard'\n\
                 mqtt_port = 1883\nmqtts_port = 'off'\nws_port = 4000\nwss_port = 4443\nclient_cert = 'none'",
        variables: &[],
        commands: &[],
        lacks: &[
            "what its tests in Node bring themselves: a server in their process that answers as each test has it",
        ],
    },
    Preset {
        name: "gmqtt",
        about: "gmqtt: what it expects of a broker other than that of flespi.io",
        config: concat!(
            "profile = 'standard'\nmqtt_port = 1883\nmqtts_port = 8883\nclient_cert = 'none'\n",
            nobody_subscribes!("test/nosubscribe")
        ),
        variables: &[
            ("TOKEN", ""),
            ("HOST", "127.0.0.1"),
            ("PORT", "1883"),
            ("SSL_CERT_FILE", "{ca}"),
        ],
        commands: &[],
        lacks: &[],
    },
];

impl Preset {
    /// What it says of the configuration.
    pub(super) fn read(&self) -> Result<File, ConfigError> {
        file::read(&format!("preset {}", self.name), self.config)
    }
}

/// Reads the name of a suite, or `off`.
pub(super) fn parse(text: &str) -> Result<Option<&'static Preset>, String> {
    if text == OFF {
        return Ok(None);
    }
    find(text).map(Some)
}

/// The suite of this name, or why there is none.
///
/// # Errors
///
/// The names that there are.
pub fn find(name: &str) -> Result<&'static Preset, String> {
    let found = PRESETS.iter().find(|preset| preset.name == name);
    found.ok_or_else(|| {
        let names: Vec<_> = PRESETS.iter().map(|preset| preset.name).collect();
        format!("`{name}` is none of {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(all(feature = "tls", feature = "websocket"))]
    use crate::config::Sources;

    #[cfg(all(feature = "tls", feature = "websocket"))]
    #[test]
    fn every_suite_makes_a_configuration_and_its_variables_name_its_ports() {
        for preset in &PRESETS {
            let loaded = Sources::new().flag("preset", preset.name).load().unwrap();
            let listeners = loaded.config.listeners;
            let mut ports = vec![
                listeners.mqtt,
                listeners.mqtts,
                listeners.ws,
                listeners.wss,
                listeners.mqtt_password,
                listeners.ws_password,
            ];
            ports.extend(listeners.further.iter().map(|one| Some(one.port)));
            for (name, value) in preset.variables {
                let port = value.rsplit(':').next().and_then(|end| end.parse().ok());
                assert!(
                    port.is_none() || ports.contains(&port),
                    "{}: {name}={value}",
                    preset.name
                );
            }
        }
    }

    #[cfg(all(feature = "tls", feature = "websocket"))]
    #[test]
    fn users_of_a_suite_have_the_passwords_that_it_sends() {
        use crate::auth::password::PasswordHash;

        for (suite, password) in [("aws-crt", "rw"), ("aiomqtt", "readwrite")] {
            let loaded = Sources::new().flag("preset", suite).load().unwrap();
            let hash = &loaded.config.users[0].password_hash;
            let hash = hash.parse::<PasswordHash>().unwrap();
            assert!(hash.verify(password.as_bytes()), "{suite}");
        }
    }

    #[cfg(all(feature = "tls", feature = "websocket"))]
    #[test]
    fn a_file_beside_a_suite_keeps_its_users_unless_it_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("r.toml");
        let users = |text: &str| {
            std::fs::write(&file, text).unwrap();
            let sources = Sources::new().file(&file).flag("preset", "aws-crt");
            let users = sources.load().unwrap().config.users.into_iter();
            users.map(|user| user.name).collect::<Vec<_>>()
        };
        assert_eq!(users("http_port = 'off'"), ["rw"]);
        let own =
            "[[users]]\nname = 'ann'\npassword_hash = '$7$101$c2FsdA==$YWJjZGVmZ2hpamtsbW5vcA=='";
        assert_eq!(users(own), ["ann"]);
    }

    #[cfg(all(feature = "tls", feature = "websocket"))]
    #[test]
    fn whatever_else_is_said_goes_before_a_suite() {
        let load = |flags: &[(&str, &str)]| {
            let flags = flags.iter();
            let sources = flags.fold(Sources::new(), |s, (key, value)| s.flag(key, *value));
            sources
                .environment([("ROUNDEL_WS_PORT".to_owned(), "1".to_owned())])
                .load()
        };
        let aiomqtt = ("preset", "aiomqtt");
        let config = load(&[aiomqtt, ("mqtts_port", "2")]).unwrap().config;
        let listeners = config.listeners;
        assert_eq!(
            (listeners.mqtt, listeners.mqtts, listeners.ws),
            (Some(1883), Some(2), Some(1))
        );
        let error = load(&[aiomqtt, ("mqtts_port", "1883")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`mqtt_port` of the preset aiomqtt and --mqtts-port: both are to listen on port 1883"
        );
        // The users of a suite are for its listeners with passwords, and go with them.
        let users = |flags: &[(&str, &str)]| {
            let users = load(flags).unwrap().config.users.into_iter();
            users.map(|user| user.name).collect::<Vec<_>>()
        };
        assert_eq!(users(&[aiomqtt]), ["rw"]);
        assert!(users(&[aiomqtt, ("password_listener", "off")]).is_empty());
        assert!(users(&[("preset", "aws-crt"), ("password_listener", "off")]).is_empty());
        let limits = load(&[("preset", "paho-c")]).unwrap().config.limits;
        assert_eq!(limits.receive_maximum, 20);
        let error = load(&[("preset", "paho")]).unwrap_err().to_string();
        assert!(
            error.starts_with("--preset: `paho` is none of aws-crt, paho-c"),
            "{error}"
        );
    }
}
