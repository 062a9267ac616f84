//! The registry of a server: where it comes from, and what its changes mean for clients.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::auth::Principal;
use crate::aws::authority::Authority;
use crate::aws::registry::fleet::import_file;
use crate::aws::registry::{Announcement, Changed, Holder, Means, Registry, StoreError};
use crate::aws::shadow::desk::Desk;
use crate::aws::shadow::room::Room;
use crate::aws::subject::why_not;
use crate::broker::{Broker, Context, Dirty};
use crate::budget::{Charge, Kind};
use crate::config::{AwsRules, Config, PolicyMode, RegistryPlace, Tls};
use crate::engine::Engine;
use crate::policy::{Document, Scope};
use crate::time::{Clock, milliseconds};

use super::StartError;

/// The file in the folder of the certificates.
const FILE: &str = "registry.redb";

/// A command of the command line has the file for a moment. Whoever has it for longer keeps it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Between two looks whether the file is free.
const PAUSE: Duration = Duration::from_millis(50);

/// A registry, and that this broker has the file of it.
pub(super) struct Opened {
    pub(super) registry: Arc<Registry>,
    /// Said for as long as others can ask this broker.
    pub(super) announcement: Option<Announcement>,
}

/// Opens what the configuration names. `http` is where others can ask for what they cannot open then.
pub(super) fn open(
    config: &Config,
    http: Option<SocketAddr>,
    now: SystemTime,
) -> Result<Option<Opened>, StartError> {
    let scope = scope(&config.aws);
    let (registry, path) = match &config.registry {
        RegistryPlace::Off => return Ok(None),
        RegistryPlace::Memory => (Registry::in_memory(scope), None),
        RegistryPlace::Certs if !has_folder(&config.tls) => (Registry::in_memory(scope), None),
        RegistryPlace::File(path) => (open_file(path, &scope)?, Some(path.clone())),
        RegistryPlace::Certs => open_in(&config.tls.certs, scope)?,
    };
    let announcement = path.and_then(|path| announce(&path, http));
    if let Some(fleet) = &config.fleet {
        let means = Means {
            now: milliseconds(now),
            random: &mut || super::system_random(),
        };
        let applied = import_file(&registry, means, fleet)?;
        tracing::info!(path = %fleet.display(), changes = applied.len(), "fleet applied");
    }
    let registry = Arc::new(registry);
    Ok(Some(Opened {
        registry,
        announcement,
    }))
}

/// Opens a file, and waits for whoever has it unless that is a broker.
fn open_file(path: &Path, scope: &Scope) -> Result<Registry, StoreError> {
    let deadline = Instant::now() + PATIENCE;
    let mut holder = None;
    loop {
        let opened = Registry::open(path, scope.clone());
        if !matches!(opened, Err(StoreError::Held { .. })) || Instant::now() >= deadline {
            return opened;
        }
        // What a broker left behind is removed by whoever opens the file next; what stays is said by a
        // broker that runs.
        let found = Holder::of(path);
        if found == holder && found.as_ref().is_some_and(may_run) {
            return opened;
        }
        holder = found;
        std::thread::sleep(PAUSE);
    }
}

/// Whether a broker that says that it has a registry may be there: its listener is bound before it opens
/// the file.
fn may_run(holder: &Holder) -> bool {
    let reached = |addr| TcpStream::connect_timeout(&addr, PAUSE).is_ok();
    holder.http.is_none_or(reached)
}

/// Where to connect to what listens at `addr`, which may be every address.
fn reachable(mut addr: SocketAddr) -> SocketAddr {
    match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => addr.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => addr.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    addr
}

/// Says beside the file who has it. Nothing else depends on that.
fn announce(path: &Path, http: Option<SocketAddr>) -> Option<Announcement> {
    let token = uuid::Uuid::new_v4().to_string();
    let http = http.map(reachable);
    let said = Holder { http, token }.announce(path);
    said.inspect_err(|error| {
        let path = path.display();
        tracing::warn!(%path, %error, "cannot say beside the registry which broker has it");
    })
    .ok()
}

/// Whether there is a folder of the certificates: not where they are in memory, or files of one's own.
fn has_folder(tls: &Tls) -> bool {
    !tls.in_memory && tls.server_cert.is_none()
}

/// Whose resources they are.
fn scope(rules: &AwsRules) -> Scope {
    Scope {
        account: rules.account.clone(),
        region: rules.region.clone(),
        any: rules.match_any_account,
        ..Scope::default()
    }
}

/// The file in the folder of the certificates. It belongs to the first broker that takes it; others begin
/// with nothing.
fn open_in(folder: &Path, scope: Scope) -> Result<(Registry, Option<PathBuf>), StoreError> {
    // Without a TLS listener nobody has made it yet. Where that cannot be, the file cannot be either, and
    // that is what is said.
    #[cfg(feature = "tls")]
    let _ = crate::net::ca::create_folder(folder);
    #[cfg(not(feature = "tls"))]
    let _ = std::fs::create_dir_all(folder);
    let path = folder.join(FILE);
    match open_file(&path, &scope) {
        Err(StoreError::Held { path }) => {
            tracing::warn!(
                path = %path.display(),
                "another broker has the registry; this one begins with an empty one in memory"
            );
            Ok((Registry::in_memory(scope), None))
        }
        opened => Ok((opened?, Some(path))),
    }
}

/// Asks the policies of a registry.
pub(super) fn authority(registry: Arc<Registry>, config: &Config, clock: &Clock) -> Arc<Authority> {
    let rules = &config.aws;
    let state = registry.state();
    if rules.policies == PolicyMode::Auto && !state.policies_hold() {
        tracing::info!("there are no policies yet: until there is one, clients may do everything");
    }
    for policy in state.policies_in_force() {
        tell_of_others(&policy.name, &policy.document, state.scope());
    }
    let random = super::system_random;
    Arc::new(Authority::new(registry, clock.calendar(), random, config))
}

/// What answers requests to shadows, if they are to be answered.
pub(super) fn desk(authority: &Authority, broker: &Broker, clock: &Clock) -> Option<Arc<Desk>> {
    // Without a runtime there are no connections either.
    let runtime = Handle::try_current().ok()?;
    let config = broker.config();
    if !config.aws.shadows {
        return None;
    }
    let registry = authority.registry().clone();
    let room = Room::new(config, broker.budget());
    let desk = Desk::new(registry, clock.calendar(), super::system_random, room);
    let desk = Arc::new(desk);
    let served = Arc::downgrade(&desk);
    desk.call_with(move || {
        let served = served.clone();
        // Who publishes may be no thread of the runtime.
        runtime.spawn_blocking(move || {
            if let Some(desk) = Weak::upgrade(&served) {
                desk.serve();
            }
        });
    });
    Some(desk)
}

/// Has clients feel what changes.
pub(super) fn follow(registry: &Arc<Registry>, engine: &Arc<Engine>) {
    let state = registry.state();
    let held = Charge::forced(engine.broker.budget(), Kind::Shadows, state.shadow_bytes());
    let (engine, scope) = (Arc::downgrade(engine), state.scope().clone());
    let held = Mutex::new(held);
    // It has what follows, which may not have it.
    let followed = Arc::downgrade(registry);
    registry.on_change(move |changed| {
        let (engine, registry) = (Weak::upgrade(&engine), Weak::upgrade(&followed));
        let (Some(engine), Some(registry)) = (engine, registry) else {
            return;
        };
        held.lock().set(registry.state().shadow_bytes());
        let context = engine.broker.context(engine.clock.now());
        let mut dirty = Dirty::default();
        for change in changed {
            apply(change, &engine, &scope, &context, &mut dirty);
        }
        engine.broker.flush_all(&context, dirty);
    });
}

fn apply(
    change: &Changed,
    engine: &Engine,
    scope: &Scope,
    context: &Context<'_>,
    dirty: &mut Dirty,
) {
    match change {
        Changed::Certificate { id, status } => {
            let why = status.map_or(Some("the certificate was deleted"), why_not);
            if let Some(why) = why {
                let principal = Principal::Certificate(id.as_str().into());
                engine.broker.cut_off(&principal, why, context, dirty);
            }
        }
        Changed::Views => engine.broker.review_access(context, dirty),
        Changed::Event { topic, payload } => {
            engine.broker.publish_event(topic, payload, context, dirty);
        }
        // TLS listeners see to them.
        Changed::Authorities => {}
        Changed::Policy { name, document } => {
            if let Ok(document) = Document::parse(document) {
                tell_of_others(name, &document, scope);
            }
        }
    }
}

/// Says of a policy that it names other accounts or Regions (AWS-ID-54).
fn tell_of_others(policy: &str, document: &Document, scope: &Scope) {
    let foreign = document.foreign_resources(scope);
    if foreign.is_empty() {
        return;
    }
    let (resources, own) = (foreign.join(", "), scope.prefix());
    if scope.any {
        tracing::info!(
            policy,
            resources,
            own,
            "a policy names another account or Region, which is ignored"
        );
    } else {
        tracing::warn!(
            policy,
            resources,
            own,
            "a policy names another account or Region, where nothing is (aws.match_any_account ignores both)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_on_this_machine() {
        for (listens, reached) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()).to_string(), reached);
        }
    }

    #[test]
    fn the_defaults_of_account_and_region_are_the_same_everywhere() {
        for config in [Config::aws(), Config::standard()] {
            assert_eq!(scope(&config.aws), Scope::default());
        }
    }
}
