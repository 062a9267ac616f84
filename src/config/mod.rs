//! What a broker is told to be: resolved, checked, ready to use.
//!
//! [`Config::aws`] and [`Config::standard`] are the two starting points; every field is public, so
//! that a program changes what it needs. The file, the environment and the command line end up
//! here as well, through `raw` and `load`. Nothing below this module knows where a value came from.

mod bad_tls;
mod check;
mod error;
mod file;
mod further;
mod load;
mod preset;
mod raw;
mod value;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

pub use self::bad_tls::BadTls;
pub use self::error::{ConfigError, Origin, Place};
pub use self::further::{FurtherListener, ListenerKind};
pub use self::load::{Loaded, Sources};
#[cfg(feature = "http")]
pub(crate) use self::value::parse_duration;
// For the `roundel` program alone.
#[doc(hidden)]
pub use self::load::{LogFormat, Program, Ready};
#[doc(hidden)]
pub use self::preset::{Preset, find as find_preset};

/// Everything that a [`Server`](crate::Server) can be told.
///
/// There is no default: a user chooses [`Config::aws`] or [`Config::standard`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// Which of the two sets of defaults this configuration started from.
    pub profile: Profile,
    /// Where the broker listens.
    pub listeners: Listeners,
    /// Certificates and the rules of TLS listeners.
    pub tls: Tls,
    /// Bounds on what clients may send, hold and queue.
    pub limits: Limits,
    /// Behaviour of the service that differs from the standard; all off in `standard`.
    pub aws: AwsRules,
    /// How a shared group chooses the next member.
    pub share_strategy: ShareStrategy,
    /// Whether the [journal](crate::journal) is written from the start.
    pub journal: bool,
    /// Whether each packet has a line in the log, with the target `roundel::packets`: what it is, of whom, its
    /// topic, QoS, identifier and size, never its payload.
    pub packets: bool,
    /// One copy or several for a client whose plain subscriptions overlap (MQTT-3.3.4-2).
    pub overlapping: Overlapping,
    /// What happens to a session whose queue is full.
    pub on_overflow: Overflow,
    /// User names and passwords; anyone may connect while the list is empty (`standard` only).
    pub users: Vec<User>,
    /// Keys with which callers of the service's HTTP API sign; once there is one, a call that is not signed
    /// with any is refused (AWS-API-47). Needs the feature `aws`.
    pub access_keys: Vec<AccessKey>,
    /// What answers in the place of functions of AWS Lambda, such as authorizers have (AWS-OPS-46). Needs the
    /// feature `aws`.
    pub lambda: Vec<Lambda>,
    /// Publish counters under `$SYS/` this often; `None` turns them off.
    pub sys_interval: Option<Duration>,
    /// Whether the port of the HTTP API has the console, pages for browsers at `/console/`. Needs the feature
    /// `console`; without it there is none.
    pub console: bool,
    /// Further names that a `Host` header of the HTTP API may carry.
    pub http_allowed_hosts: Vec<String>,
    /// A connection to the HTTP API that neither sends nor reads for so long is closed; a request may
    /// take six times as long in all.
    pub http_idle_timeout: Duration,
    /// Web pages, besides those of this machine, that may open a WebSocket: an origin such as
    /// `https://app.example.com`, or a host, whatever scheme and port.
    pub ws_allowed_origins: Vec<String>,
    /// Each packet is sent in a WebSocket frame of its own, for clients that do not read on within one, as Paho C's does not.
    /// The standard asks nobody to do so (MQTT-6.0.0-2), and many small packets take longer.
    pub ws_packet_frames: bool,
    /// Packet rules that are there before the first client, in JSON as `POST /v1/rules` takes them. Needs the feature
    /// `http`; [`Rules::add`](crate::rules::Rules::add) takes them from code.
    pub rules: Vec<String>,
    /// The name under which clients find this broker: what DescribeEndpoint answers (AWS-API-01), and one
    /// of the names in a server certificate that is made at start.
    pub endpoint_name: String,
    /// Where things, certificates and policies are kept; needs the feature `aws`.
    pub registry: RegistryPlace,
    /// A document of things, certificates and policies that is applied at the start.
    pub fleet: Option<PathBuf>,
    /// How many times as fast as the system's time the broker's clock runs, from its start: 1 to 10,000, and the nearer
    /// of the two for what is outside. Sessions, messages, retained messages and wills expire or come, and unacknowledged
    /// messages are sent again, that much sooner; a client's keep-alive, the time that it has for CONNECT, and rates stay what
    /// they are, because its own clock is no faster. A timer is at most some milliseconds of the machine late, and
    /// as many times that on this clock.
    pub time_scale: f64,
    /// Seeds everything that is random in the core; `None` takes a fresh seed.
    pub seed: Option<u64>,
}

/// Where things, certificates and policies are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryPlace {
    /// There are none.
    Off,
    /// For as long as the broker runs.
    Memory,
    /// In this file, which is made if there is none.
    File(PathBuf),
    /// In `registry.redb` in the folder of the certificates, which is made if there is none; in memory while
    /// another broker has that file, and where there is no such folder: certificates in memory or in files
    /// of one's own. So does the `roundel` program in profile `aws` unless told otherwise.
    Certs,
}

/// The set of defaults a configuration starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The behaviour, limits and refusals of AWS IoT Core.
    Aws,
    /// All that MQTT 5 and 3.1.1 define.
    Standard,
}

impl Profile {
    /// The name used on the command line and in files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Standard => "standard",
        }
    }
}

/// Addresses of the listeners. A port of 0 means any free port, `None` no listener.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listeners {
    /// The address that every listener binds to, except HTTP.
    pub host: IpAddr,
    /// The address of the HTTP API: loopback unless told otherwise.
    pub http_host: IpAddr,
    /// MQTT over TCP.
    pub mqtt: Option<u16>,
    /// MQTT over TLS.
    pub mqtts: Option<u16>,
    /// MQTT over WebSocket; path `/mqtt` in profile `aws`, any path in `standard`.
    pub ws: Option<u16>,
    /// MQTT over WebSocket over TLS, with the same paths.
    pub wss: Option<u16>,
    /// The service's port 443: MQTT, WebSocket and its HTTP API over TLS, told apart by ALPN or by the first
    /// byte. Clients may show a certificate, whatever [`Tls::client_cert`] says. Needs the feature `doors`.
    pub alpn: Option<u16>,
    /// The service's port 8443: its HTTP API for devices over TLS. Clients show a certificate, whatever
    /// [`Tls::client_cert`] says. Needs the feature `doors`.
    pub https: Option<u16>,
    /// The HTTP control API.
    pub http: Option<u16>,
    /// MQTT over TLS with something wrong about it, each kind on a port of its own. They ask clients for
    /// certificates as [`Tls::client_cert`] says.
    pub bad_tls: BTreeMap<BadTls, u16>,
    /// MQTT over TCP for whoever is one of [`users`](Config::users). Where there is this listener or
    /// [`ws_password`](Self::ws_password), users are asked for their passwords there, and every other listener is open.
    pub mqtt_password: Option<u16>,
    /// The same over WebSocket, with the paths of [`ws`](Self::ws).
    pub ws_password: Option<u16>,
    /// Listeners besides these: second ones of a kind, with rules of their own for client certificates, and such as take
    /// MQTT and WebSocket at one port.
    pub further: Vec<FurtherListener>,
    /// MQTT over a Unix socket at this path, where only processes of this one's user can connect. One that was left
    /// behind there is replaced, and it is removed when the broker stops. Not on Windows.
    pub unix_socket: Option<PathBuf>,
}

/// Certificates and handshake rules of the TLS listeners.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Tls {
    /// Folder with `ca.pem`, `ca.key`, `server.pem`, `server.key`; what is missing is made at start.
    pub certs: PathBuf,
    /// The server's certificate in a PKI of one's own, which takes the place of `certs`; those between
    /// it and its authority follow it in the file.
    pub server_cert: Option<PathBuf>,
    /// The private key of `server_cert`.
    pub server_key: Option<PathBuf>,
    /// The authorities that issue clients' certificates in a PKI of one's own.
    pub client_ca: Option<PathBuf>,
    /// Certificates are made at start, kept in memory, and end with the broker: no folder or file above is
    /// looked at. [`Handle::ca_pem`](crate::Handle::ca_pem) is what clients trust, and
    /// [`Handle::issue_pem`](crate::Handle::issue_pem) makes them certificates.
    pub in_memory: bool,
    /// Whether clients show a certificate.
    pub client_cert: ClientCert,
    /// Further names and addresses in a server certificate that is made at start.
    pub san: Vec<String>,
    /// A handshake in which the client takes longer is ended. Time in which the broker is busy with
    /// others does not count.
    pub handshake_timeout: Duration,
    /// The secrets of all TLS connections are appended to this file, which only its owner can read where it is made
    /// for this, in the format of NSS: Wireshark decrypts with it what it captured. A warning of the log says so.
    pub keylog: Option<PathBuf>,
}

/// Whether clients of a TLS listener show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCert {
    /// Not asked for.
    None,
    /// Checked when shown.
    Optional,
    /// No connection without one.
    Required,
}

/// How a shared group chooses among the members that can take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareStrategy {
    /// In join order, in turn, exactly.
    RoundRobin,
    /// Uniformly, from the seed of the configuration.
    Random,
}

/// Copies for a client whose plain subscriptions overlap (MQTT-3.3.4-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlapping {
    /// One copy, at the highest QoS, with all subscription identifiers.
    OneCopy,
    /// A copy for each matching subscription.
    CopyEach,
}

/// What happens to a session whose queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The newest message is dropped and counted.
    DropNewest,
    /// As `DropNewest`, and a connected client is disconnected with 0x97 (quota exceeded).
    Disconnect,
}

/// A user name with its hashed password.
#[derive(Clone, Debug)]
pub struct User {
    /// The User Name of CONNECT.
    pub name: String,
    /// `$pbkdf2-sha256$i=ITERATIONS$SALT$HASH`, base64 without padding, as `roundel passwd` prints it.
    pub password_hash: String,
}

/// An access key of AWS, with which requests are signed.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// What a request names: `AKIDEXAMPLE`.
    pub id: String,
    /// What it is signed with.
    pub secret: String,
    /// The policy of the registry that binds a client who opens a WebSocket with it, and a caller of the data
    /// plane (AWS-ID-10); without one it may do everything.
    pub policy: Option<String>,
}

impl std::fmt::Debug for AccessKey {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("id", &self.id)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// What answers in the place of a function of AWS Lambda: a URL, or answers that stand here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lambda {
    /// The ARN by which the function is named.
    pub arn: String,
    /// Gets the event by POST, and answers with the result, both in JSON: `http://` and a host.
    pub url: Option<String>,
    /// The result of every event, in JSON.
    pub result: Option<String>,
    /// Results of some events, in JSON, by what they are about: for an authorizer the token, or else the
    /// user name without its parameters. They go before `result`.
    pub results: BTreeMap<String, String>,
}

impl Lambda {
    /// One that answers nothing yet.
    #[must_use]
    pub fn new(arn: impl Into<String>) -> Self {
        Self {
            arn: arn.into(),
            ..Self::default()
        }
    }
}

/// Bounds on what clients may send, hold and queue. Sizes are bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Network connections at one time, all listeners together.
    pub connections: usize,
    /// From accept to a complete CONNECT.
    pub connect_timeout: Duration,
    /// Largest packet accepted; announced as Maximum Packet Size where it is below the protocol's.
    pub packet_size: u32,
    /// Largest packet but a PUBLISH. Such a packet is put together in one piece before it is handled.
    pub control_packet_size: u32,
    /// Largest CONNECT accepted, where `packet_size` is not below it. Who sends it is not known yet, so
    /// it is refused by its length alone.
    pub connect_size: u32,
    /// Longest property section of a packet, and of a will: what decoding one packet costs ends there.
    pub properties: usize,
    /// Largest payload of a PUBLISH (AWS-LIM-01).
    pub payload_size: Option<u32>,
    /// QoS 1 and 2 messages that a client may have unacknowledged (Receive Maximum in CONNACK).
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages that the broker has unacknowledged with one client, at most its own
    /// Receive Maximum.
    pub in_flight: u16,
    /// Topic Alias Maximum in CONNACK; 0 turns inbound aliases off.
    pub topic_alias_maximum: u16,
    /// Topic aliases that the broker uses towards a client that allows them; 0 turns them off.
    pub topic_alias_outbound: u16,
    /// Length of a topic name or filter, not counting `$share/name/` (AWS-LIM-04).
    pub topic_length: usize,
    /// Slashes in a topic name or filter, not counting `$share/name/` (AWS-LIM-05).
    pub topic_slashes: Option<usize>,
    /// Length of a share name (AWS-SHARE-02).
    pub share_name_length: Option<usize>,
    /// Filters in one SUBSCRIBE or UNSUBSCRIBE (AWS-LIM-07).
    pub filters_per_packet: Option<usize>,
    /// Subscriptions of one session (AWS-LIM-08).
    pub subscriptions_per_session: usize,
    /// Subscriptions of all sessions together.
    pub subscriptions: usize,
    /// Sessions, connected or not.
    pub sessions: usize,
    /// Shared groups (AWS-LIM-22).
    pub groups: Option<usize>,
    /// Members of one shared group (AWS-LIM-22).
    pub group_members: Option<usize>,
    /// Client identifier length (AWS-CONN-01).
    pub client_id_length: Option<usize>,
    /// User properties of one packet, names and values together (AWS-LIM-16).
    pub user_properties_size: Option<usize>,
    /// Content Type of a message (AWS-LIM-17).
    pub content_type_length: Option<usize>,
    /// Correlation Data of a message (AWS-LIM-17).
    pub correlation_data_length: Option<usize>,
    /// Shortest and longest keep-alive, in seconds; one outside (0 included) is replaced
    /// (AWS-CONN-07, -08).
    pub keep_alive: Option<(u16, u16)>,
    /// Bytes of one packet that have to come in each keep-alive interval for it to count as a sign of
    /// life before it is complete.
    pub keep_alive_bytes: usize,
    /// Longest Session Expiry Interval (AWS-SESS-04).
    pub session_expiry: Option<Duration>,
    /// Shortest and longest Message Expiry Interval, in seconds; one outside is clamped (AWS-LIM-18).
    pub message_expiry: Option<(u32, u32)>,
    /// Smallest Maximum Packet Size that a client may announce (AWS-CONN-29).
    pub client_packet_size_min: Option<u32>,
    /// Messages in a session's queue, with those in flight.
    pub session_queue: usize,
    /// Bytes in a session's queue, with those in flight.
    pub session_queue_bytes: usize,
    /// Messages that wait in a group's queue; returned ones always enter.
    pub group_queue: usize,
    /// Bytes that wait in a group's queue; returned ones always enter.
    pub group_queue_bytes: usize,
    /// Encoded bytes that wait for one client's socket; above it QoS 0 is dropped, QoS 1 and 2 queue.
    pub outbox: usize,
    /// All queues, outboxes and retained messages together; above it QoS 0 is dropped and QoS 1 and
    /// 2 are refused with 0x97.
    pub memory: usize,
    /// Retained messages.
    pub retained: usize,
    /// A socket that takes no byte for so long while data waits is closed.
    pub write_stall: Duration,
    /// PUBLISH packets per second and connection; the rest is discarded (AWS-LIM-10).
    pub publish_rate: Option<u32>,
    /// Bytes per second that a connection's client may send; beyond them reading waits (AWS-LIM-11).
    pub byte_rate: Option<u32>,
    /// CONNECT packets per second and client identifier (AWS-CONN-15).
    pub connect_rate: Option<u32>,
    /// Retained messages per second and topic (AWS-LIM-19).
    pub retained_rate: Option<u32>,
    /// Resend an unacknowledged QoS 1 PUBLISH on a live connection this often (AWS-MQTT-08).
    pub resend_interval: Option<Duration>,
    /// Give up on an unacknowledged QoS 1 PUBLISH after so long, on MQTT 3.1.1 and on MQTT 5
    /// (AWS-MQTT-09).
    pub resend_period: Option<(Duration, Duration)>,
}

/// Behaviour of the service that differs from the standard, one switch each.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AwsRules {
    /// QoS 2 is refused everywhere (AWS-MQTT-01 to -04, AWS-CONN-22).
    pub refuse_qos2: bool,
    /// SUBSCRIBE with a Subscription Identifier ends the connection with 0xA1 (AWS-MQTT-26).
    pub refuse_subscription_identifiers: bool,
    /// Publishing to, and subscribing to, unknown topics that start with `$` is refused
    /// (AWS-MQTT-16 to -19, AWS-FAIL-08, -09).
    pub refuse_reserved_topics: bool,
    /// Retained messages on topics that start with `$` are refused (AWS-RET-07).
    pub refuse_reserved_retain: bool,
    /// Client identifiers that start with `$` are refused (AWS-CONN-02, -04).
    pub refuse_reserved_client_ids: bool,
    /// A subscription with a wildcard gets no retained messages (AWS-RET-01).
    pub retained_exact_only: bool,
    /// `a/#` does not match `a` (AWS-MQTT-12).
    pub hash_excludes_parent: bool,
    /// DUP stays 0 when a message is sent again (AWS-MQTT-06).
    pub never_dup: bool,
    /// A session made with one protocol version is not resumed with the other (AWS-CONN-32).
    pub protocol_change_ends_session: bool,
    /// CONNACK states every limit, even where it is the standard's default (AWS-M5-01 to -09).
    pub announce_all: bool,
    /// PUBACK and UNSUBACK use no 0x10 and 0x11 (AWS-RC-05, -06).
    pub plain_acks: bool,
    /// Breaking a limit over MQTT 3.1.1 closes the connection without an answer (section 10.1).
    pub close_on_refusal_v3: bool,
    /// An assigned client identifier has the form `$GEN/uuid` (AWS-CONN-03).
    pub generated_client_ids: bool,
    /// Reason strings have the form `PACKET:text:trace id` (AWS-M5-12).
    pub traced_reason_strings: bool,
    /// A CONNECT whose protocol version has bit 0x80, which says that the client is a bridge, is
    /// refused as an unsupported version (MQTT-3.1.2-2). Without it such a client gets none of its own
    /// messages back and live messages with RETAIN as published.
    pub refuse_bridge_levels: bool,
    /// Clients that come and go, subscribe and unsubscribe are told of under `$aws/events/`
    /// (AWS-LIFE-01 to -22); needs the feature `aws`.
    pub lifecycle_events: bool,
    /// Requests on the topics of Device Shadow are answered (AWS-SHADOW-01 to -51); needs the feature `aws`
    /// and a registry.
    pub shadows: bool,
    /// DescribeEndpoint refuses the types that the service has retired, `iot:Data` and `iot:Jobs`
    /// (AWS-OPS-42); otherwise they have the same address as the others.
    pub refuse_retired_endpoints: bool,
    /// A connection over WebSocket ends after so long (AWS-ENDP-15).
    pub websocket_lifetime: Option<Duration>,
    /// TLS clients that name no server (SNI) are refused (AWS-TLS-05). One that connects to an address names none.
    pub refuse_missing_sni: bool,
    /// TLS clients that name another server than the certificate does are refused (AWS-TLS-06).
    pub refuse_foreign_sni: bool,
    /// Whether policies hold before there are any (AWS-ID-12).
    pub policies: PolicyMode,
    /// The policy of clients without a principal; without one they are refused where policies hold.
    pub anonymous_policy: Option<String>,
    /// The account that resources are in: 12 digits (AWS-ID-54).
    pub account: String,
    /// The Region that resources are in.
    pub region: String,
    /// Policies match whatever account and Region they name; otherwise those that name others match
    /// nothing (AWS-ID-53, -54).
    pub match_any_account: bool,
}

/// Whether policies hold before there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyMode {
    /// Everything is allowed until the first policy is there.
    #[default]
    Auto,
    /// What no policy allows is refused, from the start.
    Enforce,
}

/// The account and the Region of the service's own examples.
const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";

/// All switches off, as the standard has it.
impl Default for AwsRules {
    fn default() -> Self {
        Self {
            refuse_qos2: false,
            refuse_subscription_identifiers: false,
            refuse_reserved_topics: false,
            refuse_reserved_retain: false,
            refuse_reserved_client_ids: false,
            retained_exact_only: false,
            hash_excludes_parent: false,
            never_dup: false,
            protocol_change_ends_session: false,
            announce_all: false,
            plain_acks: false,
            close_on_refusal_v3: false,
            generated_client_ids: false,
            traced_reason_strings: false,
            refuse_bridge_levels: false,
            lifecycle_events: false,
            shadows: false,
            refuse_retired_endpoints: false,
            websocket_lifetime: None,
            refuse_missing_sni: false,
            refuse_foreign_sni: false,
            policies: PolicyMode::Auto,
            anonymous_policy: None,
            account: ACCOUNT.to_owned(),
            region: REGION.to_owned(),
            match_any_account: false,
        }
    }
}

impl AwsRules {
    /// All switches on, as the service behaves.
    #[must_use]
    pub fn on() -> Self {
        Self {
            refuse_qos2: true,
            refuse_subscription_identifiers: true,
            refuse_reserved_topics: true,
            refuse_reserved_retain: true,
            refuse_reserved_client_ids: true,
            retained_exact_only: true,
            hash_excludes_parent: true,
            never_dup: true,
            protocol_change_ends_session: true,
            announce_all: true,
            plain_acks: true,
            close_on_refusal_v3: true,
            generated_client_ids: true,
            traced_reason_strings: true,
            refuse_bridge_levels: true,
            lifecycle_events: true,
            shadows: true,
            websocket_lifetime: Some(Duration::from_secs(86_400)),
            ..Self::default()
        }
    }
}

const MIB: usize = 1 << 20;

impl Limits {
    /// High bounds that refuse nothing the standard allows.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            connections: 100_000,
            connect_timeout: Duration::from_secs(10),
            packet_size: 268_435_460,
            control_packet_size: 16 << 20,
            connect_size: 512 * 1024,
            properties: MIB,
            payload_size: None,
            receive_maximum: 65_535,
            in_flight: 65_535,
            topic_alias_maximum: 65_535,
            topic_alias_outbound: 16,
            topic_length: 65_535,
            topic_slashes: None,
            share_name_length: None,
            filters_per_packet: None,
            subscriptions_per_session: 1_000_000,
            subscriptions: 5_000_000,
            sessions: 1_000_000,
            groups: None,
            group_members: None,
            client_id_length: None,
            user_properties_size: None,
            content_type_length: None,
            correlation_data_length: None,
            keep_alive: None,
            keep_alive_bytes: 1024,
            session_expiry: None,
            message_expiry: None,
            client_packet_size_min: None,
            session_queue: 100_000,
            session_queue_bytes: 64 * MIB,
            group_queue: 500_000,
            group_queue_bytes: 256 * MIB,
            outbox: 64 * MIB,
            memory: 1024 * MIB,
            retained: 1_000_000,
            write_stall: Duration::from_secs(60),
            publish_rate: None,
            byte_rate: None,
            connect_rate: None,
            retained_rate: None,
            resend_interval: None,
            resend_period: None,
        }
    }

    /// The quotas of the service. Rates per second and the resend of unacknowledged messages are
    /// off: they slow tests down and change nothing that a client's logic sees.
    #[must_use]
    pub fn aws() -> Self {
        Self {
            packet_size: 149_504,
            connect_size: 149_504,
            properties: 149_504,
            payload_size: Some(131_072),
            receive_maximum: 100,
            in_flight: 100,
            topic_alias_maximum: 8,
            topic_alias_outbound: 0,
            topic_length: 256,
            topic_slashes: Some(7),
            share_name_length: Some(128),
            filters_per_packet: Some(8),
            subscriptions_per_session: 50,
            subscriptions: 500_000,
            sessions: 500_000,
            groups: Some(100),
            group_members: Some(100),
            client_id_length: Some(128),
            user_properties_size: Some(8 * 1024),
            content_type_length: Some(256),
            correlation_data_length: Some(8 * 1024),
            keep_alive: Some((30, 1200)),
            session_expiry: Some(Duration::from_secs(3600)),
            message_expiry: Some((1, 604_800)),
            client_packet_size_min: Some(512),
            retained: 500_000,
            ..Self::standard()
        }
    }
}

impl Config {
    /// The service: MQTT over TLS on 8883 with client certificates, its limits and refusals.
    #[must_use]
    pub fn aws() -> Self {
        Self {
            profile: Profile::Aws,
            listeners: Listeners {
                mqtts: Some(8883),
                http: Some(9883),
                ..Listeners::none()
            },
            limits: Limits::aws(),
            aws: AwsRules::on(),
            registry: RegistryPlace::Memory,
            sys_interval: None,
            ..Self::standard()
        }
    }

    /// The standard: MQTT over TCP on 1883 and over TLS on 8883, nothing refused that it allows.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            profile: Profile::Standard,
            listeners: Listeners {
                mqtt: Some(1883),
                mqtts: Some(8883),
                http: Some(9883),
                ..Listeners::none()
            },
            tls: Tls {
                certs: PathBuf::from("certs"),
                server_cert: None,
                server_key: None,
                client_ca: None,
                in_memory: false,
                client_cert: ClientCert::Required,
                san: Vec::new(),
                handshake_timeout: Duration::from_secs(10),
                keylog: None,
            },
            limits: Limits::standard(),
            aws: AwsRules::default(),
            share_strategy: ShareStrategy::RoundRobin,
            journal: false,
            packets: false,
            overlapping: Overlapping::OneCopy,
            on_overflow: Overflow::DropNewest,
            users: Vec::new(),
            access_keys: Vec::new(),
            lambda: Vec::new(),
            sys_interval: Some(Duration::from_secs(10)),
            console: true,
            http_allowed_hosts: Vec::new(),
            ws_allowed_origins: Vec::new(),
            ws_packet_frames: false,
            rules: Vec::new(),
            http_idle_timeout: Duration::from_secs(10),
            endpoint_name: "localhost".to_owned(),
            registry: RegistryPlace::Off,
            fleet: None,
            time_scale: 1.0,
            seed: None,
        }
    }
}

impl Config {
    /// The same for a broker that lives as long as a test: every listener but HTTP's at any free port of
    /// 127.0.0.1, no HTTP API, certificates and registry in memory.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), roundel::StartError> {
    /// use roundel::{Config, Server};
    ///
    /// let server = Server::start(Config::standard().ephemeral()).await?;
    /// assert_ne!(server.addrs().mqtt.map(|addr| addr.port()), Some(0));
    /// # server.stop().await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn ephemeral(mut self) -> Self {
        let port = |wanted: Option<u16>| wanted.map(|_| 0);
        let listeners = self.listeners;
        self.listeners = Listeners {
            mqtt: port(listeners.mqtt),
            mqtts: port(listeners.mqtts).filter(|_| cfg!(feature = "tls")),
            ws: port(listeners.ws),
            wss: port(listeners.wss).filter(|_| cfg!(feature = "tls")),
            alpn: port(listeners.alpn).filter(|_| cfg!(feature = "doors")),
            https: port(listeners.https).filter(|_| cfg!(feature = "doors")),
            unix_socket: listeners.unix_socket,
            mqtt_password: port(listeners.mqtt_password),
            ws_password: port(listeners.ws_password),
            bad_tls: listeners
                .bad_tls
                .into_keys()
                .map(|kind| (kind, 0))
                .collect(),
            further: listeners
                .further
                .into_iter()
                .map(|listener| FurtherListener {
                    port: 0,
                    ..listener
                })
                .collect(),
            ..Listeners::none()
        };
        self.tls.in_memory = true;
        if self.registry == RegistryPlace::Certs {
            self.registry = RegistryPlace::Memory;
        }
        self
    }
}

impl Listeners {
    /// No listener at all, on 127.0.0.1.
    #[must_use]
    pub fn none() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            http_host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            mqtt: None,
            mqtts: None,
            ws: None,
            wss: None,
            alpn: None,
            https: None,
            http: None,
            bad_tls: BTreeMap::new(),
            mqtt_password: None,
            ws_password: None,
            further: Vec::new(),
            unix_socket: None,
        }
    }

    /// Whether some of them are for users, and all others open.
    pub(crate) fn separate_users(&self) -> bool {
        self.mqtt_password.is_some() || self.ws_password.is_some()
    }
}
