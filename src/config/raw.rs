//! The configuration file as it is written: every key, each of them optional.
//!
//! A key that is a flag as well is not here but in [`SETTINGS`]: those three sources share one
//! reader, in `load`. Everything else has a field below, in the table where the file has it.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::value::{OrOff, Resolve as _, Seconds, Seed, Size, Span, Word};
use super::{AccessKey, AwsRules, Config, Lambda, Limits, Overflow, Overlapping, PolicyMode, User};

/// What can be said on the command line, in a variable and at the top of the file.
///
/// `mqtts_port` here is `--mqtts-port`, `ROUNDEL_MQTTS_PORT` and `mqtts_port` or `mqtts-port`.
pub(super) const SETTINGS: &[&str] = &[
    "profile",
    "preset",
    "host",
    "mqtts_port",
    "client_cert",
    "san",
    "mqtt_port",
    "ws_port",
    "wss_port",
    "alpn_port",
    "https_port",
    "http_port",
    "http_host",
    "console",
    "bad_tls",
    "password_listener",
    "listener",
    "unix_socket",
    "certs",
    "server_cert",
    "server_key",
    "client_ca",
    "keylog",
    "endpoint_name",
    "registry",
    "fleet",
    "share_strategy",
    "journal",
    "packets",
    "time_scale",
    "ready",
    "die_with_parent",
    "log",
    "log_format",
];

/// Defines a table of the file, the list of its keys, and how it changes the configuration.
///
/// With `for Target`, a field of the target without a key in the table does not compile.
macro_rules! table {
    ($raw:ident for $target:ident { $($key:ident: $kind:ty,)* }) => {
        table!($raw { $($key: $kind,)* });

        impl $raw {
            fn apply(self, target: &mut $target) {
                let $target { $($key: _),* } = target;
                $(if let Some(value) = self.$key {
                    target.$key = value.resolve();
                })*
            }
        }
    };
    ($raw:ident { $($key:ident: $kind:ty,)* }) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $raw {
            $(pub(super) $key: Option<$kind>,)*
        }

        impl $raw {
            pub(super) const KEYS: &[&str] = &[$(stringify!($key)),*];
        }
    };
}

table!(RawFile {
    http_allowed_hosts: Vec<String>,
    ws_allowed_origins: Vec<String>,
    ws_packet_frames: bool,
    http_idle_timeout: Span,
    overlapping: Word<Overlapping>,
    on_overflow: Word<Overflow>,
    sys_interval: OrOff<Span>,
    seed: Seed,
    tls: RawTls,
    limits: RawLimits,
    aws: RawAws,
    users: Vec<RawUser>,
    access_keys: Vec<RawAccessKey>,
    lambda: Vec<RawLambda>,
    rules: Vec<toml::Table>,
});

table!(RawTls {
    handshake_timeout: Span,
});

table!(RawUser {
    name: String,
    password_hash: String,
});

table!(RawAccessKey {
    id: String,
    secret: String,
    policy: String,
});

table!(RawLambda {
    arn: String,
    url: String,
    result: String,
    results: BTreeMap<String, String>,
});

table!(RawLimits for Limits {
    connections: usize,
    connect_timeout: Span,
    packet_size: Size<u32>,
    control_packet_size: Size<u32>,
    connect_size: Size<u32>,
    properties: Size<usize>,
    payload_size: OrOff<Size<u32>>,
    receive_maximum: u16,
    in_flight: u16,
    topic_alias_maximum: u16,
    topic_alias_outbound: u16,
    topic_length: usize,
    topic_slashes: OrOff<usize>,
    share_name_length: OrOff<usize>,
    filters_per_packet: OrOff<usize>,
    subscriptions_per_session: usize,
    subscriptions: usize,
    sessions: usize,
    groups: OrOff<usize>,
    group_members: OrOff<usize>,
    client_id_length: OrOff<usize>,
    user_properties_size: OrOff<Size<usize>>,
    content_type_length: OrOff<usize>,
    correlation_data_length: OrOff<Size<usize>>,
    keep_alive: OrOff<(Seconds<u16>, Seconds<u16>)>,
    keep_alive_bytes: Size<usize>,
    session_expiry: OrOff<Span>,
    message_expiry: OrOff<(Seconds<u32>, Seconds<u32>)>,
    client_packet_size_min: OrOff<Size<u32>>,
    session_queue: usize,
    session_queue_bytes: Size<usize>,
    group_queue: usize,
    group_queue_bytes: Size<usize>,
    outbox: Size<usize>,
    memory: Size<usize>,
    retained: usize,
    write_stall: Span,
    publish_rate: OrOff<u32>,
    byte_rate: OrOff<Size<u32>>,
    connect_rate: OrOff<u32>,
    retained_rate: OrOff<u32>,
    resend_interval: OrOff<Span>,
    resend_period: OrOff<(Span, Span)>,
});

table!(RawAws for AwsRules {
    refuse_qos2: bool,
    refuse_subscription_identifiers: bool,
    refuse_reserved_topics: bool,
    refuse_reserved_retain: bool,
    refuse_reserved_client_ids: bool,
    retained_exact_only: bool,
    hash_excludes_parent: bool,
    never_dup: bool,
    protocol_change_ends_session: bool,
    announce_all: bool,
    plain_acks: bool,
    close_on_refusal_v3: bool,
    generated_client_ids: bool,
    traced_reason_strings: bool,
    refuse_bridge_levels: bool,
    lifecycle_events: bool,
    shadows: bool,
    refuse_retired_endpoints: bool,
    websocket_lifetime: OrOff<Span>,
    refuse_missing_sni: bool,
    refuse_foreign_sni: bool,
    policies: Word<PolicyMode>,
    anonymous_policy: OrOff<String>,
    account: String,
    region: String,
    match_any_account: bool,
});

impl RawFile {
    /// Writes what the file says over the defaults of its profile.
    pub(super) fn apply(self, config: &mut Config) {
        if let Some(hosts) = self.http_allowed_hosts {
            config.http_allowed_hosts = hosts;
        }
        if let Some(origins) = self.ws_allowed_origins {
            config.ws_allowed_origins = origins;
        }
        if let Some(is_on) = self.ws_packet_frames {
            config.ws_packet_frames = is_on;
        }
        if let Some(timeout) = self.http_idle_timeout {
            config.http_idle_timeout = timeout.resolve();
        }
        if let Some(overlapping) = self.overlapping {
            config.overlapping = overlapping.resolve();
        }
        if let Some(on_overflow) = self.on_overflow {
            config.on_overflow = on_overflow.resolve();
        }
        if let Some(interval) = self.sys_interval {
            config.sys_interval = interval.resolve();
        }
        if let Some(seed) = self.seed {
            config.seed = seed.resolve();
        }
        if let Some(timeout) = self.tls.and_then(|tls| tls.handshake_timeout) {
            config.tls.handshake_timeout = timeout.resolve();
        }
        self.limits.unwrap_or_default().apply(&mut config.limits);
        self.aws.unwrap_or_default().apply(&mut config.aws);
        if let Some(users) = self.users {
            config.users = users.into_iter().map(RawUser::resolve).collect();
        }
        if let Some(keys) = self.access_keys {
            config.access_keys = keys.into_iter().map(RawAccessKey::resolve).collect();
        }
        if let Some(lambda) = self.lambda {
            config.lambda = lambda.into_iter().map(RawLambda::resolve).collect();
        }
        if let Some(rules) = self.rules {
            config.rules = rules.iter().map(as_json).collect();
        }
    }
}

/// A packet rule as the HTTP API takes it.
#[cfg(feature = "http")]
fn as_json(rule: &toml::Table) -> String {
    // The keys of a table are strings, and numbers that JSON does not have become null.
    serde_json::to_string(rule).unwrap_or_default()
}

/// `check` refuses it.
#[cfg(not(feature = "http"))]
fn as_json(rule: &toml::Table) -> String {
    rule.to_string()
}

impl RawAccessKey {
    /// What is missing stays empty, and `check` refuses it with its place.
    fn resolve(self) -> AccessKey {
        AccessKey {
            id: self.id.unwrap_or_default(),
            secret: self.secret.unwrap_or_default(),
            policy: self.policy,
        }
    }
}

impl RawLambda {
    /// What is missing stays so, and `check` refuses it with its place.
    fn resolve(self) -> Lambda {
        Lambda {
            arn: self.arn.unwrap_or_default(),
            url: self.url,
            result: self.result,
            results: self.results.unwrap_or_default(),
        }
    }
}

impl RawUser {
    /// A name or hash that is missing stays empty, and `check` refuses it with its place.
    fn resolve(self) -> User {
        User {
            name: self.name.unwrap_or_default(),
            password_hash: self.password_hash.unwrap_or_default(),
        }
    }
}
