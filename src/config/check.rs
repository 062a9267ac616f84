//! What no single value shows: combinations that cannot work, and numbers out of any sense.

use std::net::IpAddr;

use super::error::{ConfigError, Origin};
use super::load::Said;
use super::{AwsRules, ClientCert, Config, Lambda, Limits, Profile, RegistryPlace};

/// The largest packet of the protocol: a fixed header of 5 bytes and what it can announce.
const PACKET_SIZE_MAX: u32 = 268_435_460;

/// The longest string of the protocol.
const STRING_MAX: usize = 65_535;

/// Refuses what cannot work, and names who asked for it.
pub(super) fn check(config: &mut Config, said: &Said) -> Result<(), ConfigError> {
    leave_out_what_is_not_built(config, said)?;
    check_listeners(config, said)?;
    check_certificates(config, said)?;
    check_registry(config, said)?;
    check_account(&config.aws, said)?;
    check_limits(&config.limits, said)?;
    if config.http_idle_timeout.is_zero() {
        return Err(zero(said.origin("http_idle_timeout")));
    }
    let lifetime = config.aws.websocket_lifetime;
    if lifetime.is_some_and(|lifetime| lifetime.is_zero()) {
        return Err(zero(said.origin("aws.websocket_lifetime")));
    }
    if config.tls.handshake_timeout.is_zero() {
        return Err(zero(said.origin("tls.handshake_timeout")));
    }
    check_users(config, said)?;
    check_access_keys(config, said)?;
    check_lambda(config, said)
}

/// A listener that this build lacks is an error if somebody asked for it, and off otherwise.
fn leave_out_what_is_not_built(config: &mut Config, said: &Said) -> Result<(), ConfigError> {
    let listeners = &mut config.listeners;
    let (tls, websocket) = (cfg!(feature = "tls"), cfg!(feature = "websocket"));
    for (key, port, is_built, feature) in [
        ("mqtts_port", &mut listeners.mqtts, tls, "tls"),
        ("ws_port", &mut listeners.ws, websocket, "websocket"),
        (
            "wss_port",
            &mut listeners.wss,
            tls && websocket,
            "tls, websocket",
        ),
        (
            "alpn_port",
            &mut listeners.alpn,
            cfg!(feature = "doors"),
            "doors",
        ),
        (
            "https_port",
            &mut listeners.https,
            cfg!(feature = "doors"),
            "doors",
        ),
        (
            "http_port",
            &mut listeners.http,
            cfg!(feature = "http"),
            "http",
        ),
    ] {
        if is_built || port.is_none() {
            continue;
        }
        if said.has(key) {
            let reason = format!("this build lacks the feature {feature}");
            return Err(ConfigError::Value {
                origin: said.origin(key),
                reason,
            });
        }
        *port = None;
    }
    let has_console = cfg!(feature = "console");
    let asks_for_console = config.console && said.has("console");
    config.console &= has_console;
    let lacks_tls = "this build lacks the feature tls";
    let lacks_websocket = "this build lacks the feature websocket";
    let mut further = listeners.further.iter();
    let further_tls = further.clone().any(|one| one.kind.is_tls());
    let further_websocket = further.any(|one| one.kind.takes_websocket());
    for (key, is_wanted, is_built, reason) in [
        ("bad_tls", !listeners.bad_tls.is_empty(), tls, lacks_tls),
        (
            "console",
            asks_for_console,
            has_console,
            "this build lacks the feature console",
        ),
        ("keylog", config.tls.keylog.is_some(), tls, lacks_tls),
        (
            "password_listener",
            listeners.separate_users(),
            tls,
            "this build lacks the feature tls, which checks passwords",
        ),
        (
            "password_listener",
            listeners.ws_password.is_some(),
            websocket,
            lacks_websocket,
        ),
        (
            "rules",
            !config.rules.is_empty(),
            cfg!(feature = "http"),
            "this build lacks the feature http, which reads rules",
        ),
        ("listener", further_tls, tls, lacks_tls),
        ("listener", further_websocket, websocket, lacks_websocket),
        (
            "unix_socket",
            listeners.unix_socket.is_some(),
            cfg!(unix),
            "Unix sockets are for Unix systems",
        ),
    ] {
        if is_wanted && !is_built {
            return Err(ConfigError::Value {
                origin: said.origin(key),
                reason: reason.to_owned(),
            });
        }
    }
    Ok(())
}

fn check_listeners(config: &Config, said: &Said) -> Result<(), ConfigError> {
    let listeners = &config.listeners;
    let mut all = vec![
        ("mqtt_port", listeners.host, listeners.mqtt),
        ("mqtts_port", listeners.host, listeners.mqtts),
        ("ws_port", listeners.host, listeners.ws),
        ("wss_port", listeners.host, listeners.wss),
        ("alpn_port", listeners.host, listeners.alpn),
        ("https_port", listeners.host, listeners.https),
        ("http_port", listeners.http_host, listeners.http),
        ("password_listener", listeners.host, listeners.mqtt_password),
        ("password_listener", listeners.host, listeners.ws_password),
    ];
    let bad_tls = listeners.bad_tls.values();
    all.extend(bad_tls.map(|port| ("bad_tls", listeners.host, Some(*port))));
    let further = listeners.further.iter();
    all.extend(further.map(|one| ("listener", listeners.host, Some(one.port))));
    let takes_mqtt = |(key, _, port): &(&str, IpAddr, Option<u16>)| {
        port.is_some() && !["https_port", "http_port"].contains(key)
    };
    if !all.iter().any(takes_mqtt) && listeners.unix_socket.is_none() {
        return Err(ConfigError::NoListener);
    }
    for (index, (key, host, port)) in all.iter().enumerate() {
        let Some(port) = port.filter(|port| *port != 0) else {
            continue;
        };
        let others = all.iter().skip(index + 1);
        let mut same = others.filter(|other| other.2 == Some(port) && overlap(*host, other.1));
        if let Some((other, ..)) = same.next() {
            let reason = format!("both are to listen on port {port}");
            return Err(conflict(said, key, other, reason));
        }
    }
    Ok(())
}

/// Files of a PKI of one's own belong together, and take the place of the folder.
fn check_certificates(config: &Config, said: &Said) -> Result<(), ConfigError> {
    let (tls, listeners) = (&config.tls, &config.listeners);
    let no_certificate = tls.server_cert.is_none();
    // The doors of the service ask by themselves.
    let has_doors = listeners.alpn.is_some() || listeners.https.is_some();
    let of_further = listeners.further.iter().filter_map(|one| one.client_cert);
    let asks_clients = has_doors
        || of_further
            .chain([tls.client_cert])
            .any(|rule| rule != ClientCert::None);
    // The folder's default in so many words says no more than the default.
    let has_folder = tls.certs != Config::standard().tls.certs;
    let needs_authority = listeners.bad_tls.keys().any(|kind| kind.needs_authority());
    for (is_wrong, first, second, reason) in [
        (
            !no_certificate && tls.server_key.is_none(),
            "server_cert",
            "server_key",
            "a server certificate of one's own needs its private key",
        ),
        (
            no_certificate && tls.server_key.is_some(),
            "server_key",
            "server_cert",
            "a private key needs the certificate that it belongs to",
        ),
        (
            no_certificate && tls.client_ca.is_some(),
            "client_ca",
            "server_cert",
            "a PKI of one's own has a server certificate, too",
        ),
        (
            !no_certificate && tls.client_ca.is_none() && asks_clients,
            "server_cert",
            "client_cert",
            "clients are asked for certificates, so `client_ca` has to name the authorities that \
             issue them",
        ),
        (
            tls.client_ca.is_some() && !asks_clients,
            "client_ca",
            "client_cert",
            "no client is asked for a certificate",
        ),
        (
            !no_certificate && has_folder,
            "server_cert",
            "certs",
            "certificates are either in a folder or in files of one's own",
        ),
        (
            !no_certificate && !tls.san.is_empty(),
            "server_cert",
            "san",
            "a certificate of one's own has its names already",
        ),
        (
            !no_certificate && needs_authority,
            "bad_tls",
            "server_cert",
            "Roundel makes the certificates of these listeners, and has no authority of its own: `self-signed`, \
             `unknown-ca`, `tls1.2-only`, `tls1.3-only`, `reject-client` and `no-close-notify` need none",
        ),
    ] {
        if is_wrong {
            return Err(conflict(said, first, second, reason.to_owned()));
        }
    }
    Ok(())
}

/// What a build without it says of the registry; and a fleet needs one to be applied to.
fn check_registry(config: &Config, said: &Said) -> Result<(), ConfigError> {
    let is_off = config.registry == RegistryPlace::Off;
    if config.fleet.is_some() && is_off {
        let reason = "a fleet is applied to a registry, which is off".to_owned();
        return Err(conflict(said, "fleet", "registry", reason));
    }
    for (key, is_wanted) in [
        (
            "registry",
            matches!(config.registry, RegistryPlace::File(_)),
        ),
        ("fleet", config.fleet.is_some()),
    ] {
        if is_wanted && !cfg!(feature = "aws") {
            return Err(ConfigError::Value {
                origin: said.origin(key),
                reason: "this build lacks the feature aws".to_owned(),
            });
        }
    }
    Ok(())
}

/// What ARNs are made of.
fn check_account(rules: &AwsRules, said: &Said) -> Result<(), ConfigError> {
    let AwsRules {
        account, region, ..
    } = rules;
    let is_number = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let is_small = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_region = !region.is_empty() && region.bytes().all(is_small);
    for (key, value, is_right, form) in [
        ("aws.account", account, is_number, "12 digits"),
        (
            "aws.region",
            region,
            is_region,
            "small letters, digits and hyphens",
        ),
    ] {
        if !is_right {
            return Err(ConfigError::Value {
                origin: said.origin(key),
                reason: format!("`{value}` is not of the form: {form}"),
            });
        }
    }
    Ok(())
}

/// Whether one port cannot be bound at both addresses.
fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || a.is_unspecified() || b.is_unspecified()
}

fn check_limits(limits: &Limits, said: &Said) -> Result<(), ConfigError> {
    for (key, is_zero) in [
        ("limits.connections", limits.connections == 0),
        ("limits.connect_timeout", limits.connect_timeout.is_zero()),
        ("limits.packet_size", limits.packet_size == 0),
        (
            "limits.control_packet_size",
            limits.control_packet_size == 0,
        ),
        ("limits.connect_size", limits.connect_size == 0),
        ("limits.receive_maximum", limits.receive_maximum == 0),
        ("limits.in_flight", limits.in_flight == 0),
        ("limits.topic_length", limits.topic_length == 0),
        ("limits.keep_alive_bytes", limits.keep_alive_bytes == 0),
        ("limits.sessions", limits.sessions == 0),
        ("limits.write_stall", limits.write_stall.is_zero()),
        ("limits.publish_rate", limits.publish_rate == Some(0)),
        ("limits.byte_rate", limits.byte_rate == Some(0)),
        ("limits.connect_rate", limits.connect_rate == Some(0)),
        ("limits.retained_rate", limits.retained_rate == Some(0)),
        (
            "limits.resend_interval",
            limits.resend_interval.is_some_and(|time| time.is_zero()),
        ),
    ] {
        if is_zero {
            return Err(zero(said.origin(key)));
        }
    }
    for (key, is_too_large, largest) in [
        (
            "limits.packet_size",
            limits.packet_size > PACKET_SIZE_MAX,
            PACKET_SIZE_MAX as usize,
        ),
        (
            "limits.topic_length",
            limits.topic_length > STRING_MAX,
            STRING_MAX,
        ),
    ] {
        if is_too_large {
            let reason = format!("the protocol allows no more than {largest}");
            return Err(ConfigError::Value {
                origin: said.origin(key),
                reason,
            });
        }
    }
    for (key, is_reversed) in [
        (
            "limits.keep_alive",
            limits.keep_alive.is_some_and(|(min, max)| min > max),
        ),
        (
            "limits.message_expiry",
            limits.message_expiry.is_some_and(|(min, max)| min > max),
        ),
    ] {
        if is_reversed {
            let reason = "the shortest is longer than the longest".to_owned();
            return Err(ConfigError::Value {
                origin: said.origin(key),
                reason,
            });
        }
    }
    match limits.payload_size {
        Some(payload) if payload > limits.packet_size => {
            let reason = format!(
                "a payload of {payload} bytes fits in no packet of {}",
                limits.packet_size
            );
            Err(conflict(
                said,
                "limits.payload_size",
                "limits.packet_size",
                reason,
            ))
        }
        _ => Ok(()),
    }
}

fn check_users(config: &Config, said: &Said) -> Result<(), ConfigError> {
    let listeners = &config.listeners;
    if config.users.is_empty() {
        return match listeners.separate_users() {
            false => Ok(()),
            true => Err(ConfigError::Value {
                origin: said.origin("password_listener"),
                reason:
                    "nobody gets in there without `[[users]]`: `roundel passwd NAME` prints one"
                        .to_owned(),
            }),
        };
    }
    if !listeners.separate_users() {
        check_users_of_all_listeners(config, said)?;
    }
    for (index, user) in config.users.iter().enumerate() {
        let origin = said.origin(&format!("users.{index}"));
        if user.name.is_empty() {
            let reason = "a user needs a `name`".to_owned();
            return Err(ConfigError::Value { origin, reason });
        }
        if let Err(reason) = check_hash(&user.password_hash) {
            let reason = format!("`password_hash` of `{}`: {reason}", user.name);
            return Err(ConfigError::Value { origin, reason });
        }
        let earlier = config
            .users
            .iter()
            .take(index)
            .position(|other| other.name == user.name);
        if let Some(earlier) = earlier {
            let (first, second) = (format!("users.{earlier}"), format!("users.{index}"));
            let reason = format!("both are named `{}`", user.name);
            return Err(conflict(said, &first, &second, reason));
        }
    }
    Ok(())
}

/// Refuses users where some listener knows clients by something else.
fn check_users_of_all_listeners(config: &Config, said: &Said) -> Result<(), ConfigError> {
    if config.profile == Profile::Aws {
        let reason =
            "user names are for profile `standard`, or for listeners of `password_listener`";
        return Err(conflict(said, "users", "profile", reason.to_owned()));
    }
    let listeners = &config.listeners;
    for (key, port) in [
        ("alpn_port", listeners.alpn),
        ("https_port", listeners.https),
    ] {
        if port.is_some() {
            let reason = "callers over HTTPS have no user names, unless only listeners of `password_listener` ask for \
                          them";
            return Err(conflict(said, "users", key, reason.to_owned()));
        }
    }
    Ok(())
}

fn check_access_keys(config: &Config, said: &Said) -> Result<(), ConfigError> {
    for (index, key) in config.access_keys.iter().enumerate() {
        let place = |index| format!("access_keys.{index}");
        let refused = |reason: &str| ConfigError::Value {
            origin: said.origin(&place(index)),
            reason: reason.to_owned(),
        };
        if !cfg!(feature = "aws") {
            return Err(refused(
                "this build lacks the feature aws, which checks signatures",
            ));
        }
        let is_id = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if key.id.is_empty() || !key.id.chars().all(is_id) {
            return Err(refused("an access key needs an `id` of letters and digits"));
        }
        if key.secret.is_empty() {
            return Err(refused("an access key needs a `secret`"));
        }
        let mut earlier = config.access_keys.iter().take(index);
        if let Some(earlier) = earlier.position(|other| other.id == key.id) {
            let reason = format!("both have the id `{}`", key.id);
            return Err(conflict(said, &place(earlier), &place(index), reason));
        }
    }
    Ok(())
}

fn check_lambda(config: &Config, said: &Said) -> Result<(), ConfigError> {
    for (index, lambda) in config.lambda.iter().enumerate() {
        let place = |index| format!("lambda.{index}");
        if let Err(reason) = check_function(lambda) {
            let origin = said.origin(&place(index));
            return Err(ConfigError::Value { origin, reason });
        }
        let mut earlier = config.lambda.iter().take(index);
        if let Some(earlier) = earlier.position(|other| other.arn == lambda.arn) {
            let reason = format!("both are for `{}`", lambda.arn);
            return Err(conflict(said, &place(earlier), &place(index), reason));
        }
    }
    Ok(())
}

/// What answers for a function: either a URL or results that are JSON.
fn check_function(lambda: &Lambda) -> Result<(), String> {
    if !cfg!(feature = "aws") {
        return Err("this build lacks the feature aws, which has functions called".to_owned());
    }
    if lambda.arn.is_empty() {
        return Err("a function needs its `arn`".to_owned());
    }
    let texts = lambda.result.iter().chain(lambda.results.values());
    match (&lambda.url, texts.clone().next()) {
        (Some(_), Some(_)) => Err("either `url` or results are wanted, and not both".to_owned()),
        (None, None) => Err("`url`, `result` or `results` is wanted".to_owned()),
        (Some(url), None) if !has_host(url) => Err(format!(
            "`url`: `{url}` is not of the form http://host:port/path"
        )),
        (Some(_), None) => Ok(()),
        (None, Some(_)) => texts.map(String::as_str).try_for_each(check_result),
    }
}

fn has_host(url: &str) -> bool {
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    !authority.is_empty() && !authority.contains(['@', '#', ' '])
}

#[cfg(feature = "aws")]
fn check_result(text: &str) -> Result<(), String> {
    let read = serde_json::from_str::<serde::de::IgnoredAny>(text);
    read.map(drop)
        .map_err(|error| format!("a result is no JSON: {error}"))
}

#[cfg(not(feature = "aws"))]
fn check_result(_: &str) -> Result<(), String> {
    Ok(())
}

#[cfg(feature = "tls")]
fn check_hash(hash: &str) -> Result<(), String> {
    match hash.parse::<crate::auth::password::PasswordHash>() {
        _ if hash.is_empty() => Err("it is missing: `roundel passwd` makes one".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(not(feature = "tls"))]
fn check_hash(_: &str) -> Result<(), String> {
    Err("this build lacks the feature tls, which checks passwords".to_owned())
}

fn zero(origin: Origin) -> ConfigError {
    ConfigError::Value {
        origin,
        reason: "it must not be zero".to_owned(),
    }
}

fn conflict(said: &Said, first: &str, second: &str, reason: String) -> ConfigError {
    ConfigError::Conflict {
        first: Box::new(said.origin(first)),
        second: Box::new(said.origin(second)),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let text = format!("profile = 'standard'\n{text}");
        Config::from_toml_str(&text).unwrap_err().to_string()
    }

    // The listeners that it names are there with these features only.
    #[cfg(all(feature = "http", feature = "tls"))]
    #[test]
    fn a_conflict_names_both_origins() {
        let message = error("mqtt_port = 8883");
        assert!(
            message.contains("configuration:2: `mqtt_port`"),
            "{message}"
        );
        assert!(message.contains("`mqtts_port` (default)"), "{message}");
        assert!(
            message.ends_with("both are to listen on port 8883"),
            "{message}"
        );

        let message = error("[limits]\npacket_size = 100\npayload_size = \"1KiB\"");
        assert!(
            message.contains("configuration:3: `limits.packet_size`"),
            "{message}"
        );
        assert!(
            message.contains("configuration:4: `limits.payload_size`"),
            "{message}"
        );
    }

    // The listeners that it names are there with these features only.
    #[cfg(all(feature = "http", feature = "tls"))]
    #[test]
    fn one_port_at_two_addresses_is_fine() {
        let text =
            "profile = 'standard'\nhost = '127.0.0.2'\nmqtt_port = 9883\nhttp_host = '127.0.0.1'";
        Config::from_toml_str(text).unwrap();
        let text = text.replace("127.0.0.2", "0.0.0.0");
        Config::from_toml_str(&text).unwrap_err();
    }

    // The listeners that it names are there with these features only.
    #[cfg(all(feature = "http", feature = "tls"))]
    #[test]
    fn any_free_port_may_be_asked_for_twice() {
        Config::from_toml_str("profile = 'standard'\nmqtt_port = 0\nmqtts_port = 0").unwrap();
    }

    #[cfg(not(feature = "console"))]
    #[test]
    fn console_that_is_not_built_is_off_and_refused_to_whoever_asks_for_it() {
        let message = error("console = 'on'");
        assert!(
            message.ends_with("this build lacks the feature console"),
            "{message}"
        );
        for text in ["", "console = 'off'"] {
            let text = format!("profile = 'standard'\n{text}");
            assert!(!Config::from_toml_str(&text).unwrap().console);
        }
    }

    #[test]
    fn a_broker_without_listeners_is_refused() {
        let off = "mqtt_port = 'off'\nmqtts_port = 'off'";
        let message = error(off);
        assert!(message.contains("mqtts_port"), "{message}");
        // Devices only publish there.
        #[cfg(feature = "doors")]
        assert_eq!(error(&format!("{off}\nhttps_port = 0")), message);
    }

    #[test]
    fn files_of_ones_own_pki_belong_together() {
        let (cert, key) = ("server_cert = 'a'", "server_key = 'b'");
        let ca = "client_ca = 'c'";
        for (lines, first, second) in [
            (&[cert][..], "server_cert", "server_key"),
            (&[key], "server_key", "server_cert"),
            (&[ca], "client_ca", "server_cert"),
            (&[key, ca], "server_key", "server_cert"),
            (&[cert, key], "server_cert", "client_cert"),
            (
                &[cert, key, "client_cert = 'optional'"],
                "server_cert",
                "client_cert",
            ),
            (
                &[cert, key, ca, "client_cert = 'none'"],
                "client_ca",
                "client_cert",
            ),
            (&[cert, key, ca, "certs = 'd'"], "server_cert", "certs"),
            (&[cert, key, ca, "san = ['e.test']"], "server_cert", "san"),
            #[cfg(feature = "doors")]
            (
                &[cert, key, "client_cert = 'none'", "alpn_port = 0"],
                "server_cert",
                "client_cert",
            ),
        ] {
            let message = error(&lines.join("\n"));
            for key in [first, second] {
                assert!(
                    message.contains(&format!("`{key}`")),
                    "{lines:?}: {message}"
                );
            }
        }
        for lines in [
            &[cert, key, ca][..],
            &[cert, key, "client_cert = 'none'"],
            &[cert, key, ca, "certs = 'certs'", "san = []"],
            &[
                "server_cert = 'off'",
                "server_key = 'off'",
                "client_ca = 'off'",
            ],
        ] {
            let text = format!("profile = 'standard'\n{}", lines.join("\n"));
            Config::from_toml_str(&text).unwrap();
        }
    }

    #[test]
    fn numbers_out_of_any_sense_are_refused() {
        for (line, key) in [
            ("receive_maximum = 0", "limits.receive_maximum"),
            ("connect_timeout = 0", "limits.connect_timeout"),
            ("topic_length = 65536", "limits.topic_length"),
            ("packet_size = \"1GiB\"", "limits.packet_size"),
            ("keep_alive = [60, 30]", "limits.keep_alive"),
            ("publish_rate = 0", "limits.publish_rate"),
        ] {
            let message = error(&format!("[limits]\n{line}"));
            assert!(
                message.starts_with(&format!("configuration:3: `{key}`: ")),
                "{message}"
            );
        }
    }

    #[cfg(feature = "tls")]
    mod users {
        use super::*;

        const HASH: &str = "$7$101$c2FsdA==$YWJjZGVmZ2hpamtsbW5vcA==";

        fn user(name: &str, hash: &str) -> String {
            format!("[[users]]\nname = '{name}'\npassword_hash = '{hash}'\n")
        }

        #[test]
        fn a_hash_that_cannot_be_read_is_named_by_user_and_line() {
            let message = error(&user("anna", "secret"));
            assert!(
                message.starts_with("configuration:2: `users.0`: "),
                "{message}"
            );
            assert!(
                message.contains("`anna`") && !message.contains("secret"),
                "{message}"
            );
            let message = error("[[users]]\nname = 'anna'");
            assert!(message.contains("roundel passwd"), "{message}");
            let message = error(&format!("[[users]]\npassword_hash = '{HASH}'"));
            assert!(message.contains("`name`"), "{message}");
        }

        #[test]
        fn two_users_of_one_name_are_refused() {
            let message = error(&format!("{}{}", user("anna", HASH), user("anna", HASH)));
            assert!(message.contains("configuration:5: `users.1`"), "{message}");
        }

        #[cfg(feature = "doors")]
        #[test]
        fn users_do_not_go_with_callers_over_https() {
            for key in ["alpn_port", "https_port"] {
                let message = error(&format!("{key} = 0\n{}", user("anna", HASH)));
                assert!(message.contains(&format!("`{key}`")), "{message}");
                let listener = "password_listener = ['mqtt=0']";
                let text = format!(
                    "profile = 'standard'\n{listener}\n{key} = 0\n{}",
                    user("anna", HASH)
                );
                Config::from_toml_str(&text).unwrap();
            }
        }

        #[test]
        fn users_are_for_the_standard_profile() {
            let text = format!("profile = 'aws'\n{}", user("anna", HASH));
            let message = Config::from_toml_str(&text).unwrap_err().to_string();
            assert!(message.contains("configuration:1: `profile`"), "{message}");
        }
    }

    #[cfg(feature = "aws")]
    #[test]
    fn a_function_has_a_url_or_results_and_is_there_once() {
        let error = |lines: &str| error(&format!("mqtt_port = 0\nmqtts_port = 'off'\n{lines}"));
        for (lines, why) in [
            ("url = 'http://localhost'", "needs its `arn`"),
            ("arn = 'a'", "`url`, `result` or `results` is wanted"),
            ("arn = 'a'\nurl = 'http://h'\nresult = '{}'", "not both"),
            ("arn = 'a'\nurl = 'https://h'", "not of the form"),
            ("arn = 'a'\nurl = 'http:///x'", "not of the form"),
            ("arn = 'a'\nurl = 'http://u@h/'", "not of the form"),
            ("arn = 'a'\nresult = '{'", "no JSON"),
            ("arn = 'a'\nresults = { t = 'x' }", "no JSON"),
        ] {
            let message = error(&format!("[[lambda]]\n{lines}"));
            assert!(
                message.contains("`lambda.0`") && message.contains(why),
                "{message}"
            );
        }
        let two = "[[lambda]]\narn = 'a'\nresult = '1'\n".repeat(2);
        assert!(error(&two).ends_with("both are for `a`"));
    }
}
