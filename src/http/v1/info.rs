//! `GET /v1/info`: which broker this is, and where it listens.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::config::{ClientCert, RegistryPlace, ShareStrategy};
use crate::server::Addrs;

use super::super::Api;
use super::super::query::NoParameters;

#[derive(Serialize)]
pub(super) struct Info {
    version: &'static str,
    profile: &'static str,
    pid: u32,
    /// Another one for each start.
    instance: String,
    listeners: Addrs,
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

pub(super) async fn show(_: NoParameters, State(api): State<Api>) -> Json<Info> {
    let config = api.engine.broker.config();
    let place = &*api.place;
    Json(Info {
        version: env!("CARGO_PKG_VERSION"),
        profile: config.profile.name(),
        pid: std::process::id(),
        instance: api.instance.to_string(),
        listeners: place.addrs.clone(),
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
