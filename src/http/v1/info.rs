//! `GET /v1/info`: which broker this is, and where it listens.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::config::{ClientCert, RegistryPlace, ShareStrategy};

use super::super::Api;
use super::super::query::NoParameters;

#[derive(Serialize)]
pub(super) struct Info {
    version: &'static str,
    profile: &'static str,
    pid: u32,
    /// Another one for each start.
    instance: String,
    listeners: Listeners,
    /// What clients trust, if there is TLS.
    ca_file: Option<String>,
    /// Where `roundel cert` puts certificates.
    certs: String,
    /// `none`, `optional` or `required`.
    client_cert: &'static str,
    /// `round-robin` or `random`.
    share_strategy: &'static str,
    /// Whether there are things, certificates and policies.
    has_registry: bool,
    /// Whether clients need a user name.
    has_users: bool,
    region: String,
}

#[derive(Serialize)]
struct Listeners {
    mqtts: Option<SocketAddr>,
    mqtt: Option<SocketAddr>,
    ws: Option<SocketAddr>,
    wss: Option<SocketAddr>,
    alpn: Option<SocketAddr>,
    https: Option<SocketAddr>,
    http: Option<SocketAddr>,
    bad_tls: BTreeMap<&'static str, SocketAddr>,
    unix_socket: Option<String>,
}

pub(super) async fn show(_: NoParameters, State(api): State<Api>) -> Json<Info> {
    let config = api.engine.broker.config();
    let place = &*api.place;
    let addrs = &place.addrs;
    let bad_tls = addrs.bad_tls.iter();
    Json(Info {
        version: env!("CARGO_PKG_VERSION"),
        profile: config.profile.name(),
        pid: std::process::id(),
        instance: api.instance.to_string(),
        listeners: Listeners {
            mqtts: addrs.mqtts,
            mqtt: addrs.mqtt,
            ws: addrs.ws,
            wss: addrs.wss,
            alpn: addrs.alpn,
            https: addrs.https,
            http: addrs.http,
            bad_tls: bad_tls.map(|(kind, addr)| (kind.name(), *addr)).collect(),
            unix_socket: addrs.unix_socket.as_ref().map(|path| shown(path)),
        },
        ca_file: place.ca_file.as_deref().map(shown),
        certs: shown(&config.tls.certs),
        client_cert: match config.tls.client_cert {
            ClientCert::None => "none",
            ClientCert::Optional => "optional",
            ClientCert::Required => "required",
        },
        share_strategy: match config.share_strategy {
            ShareStrategy::RoundRobin => "round-robin",
            ShareStrategy::Random => "random",
        },
        has_registry: !matches!(config.registry, RegistryPlace::Off),
        has_users: !config.users.is_empty(),
        region: config.aws.region.clone(),
    })
}

fn shown(path: &std::path::Path) -> String {
    path.display().to_string()
}
