//! The registry of a server: where it comes from, and what its changes mean for clients.

use std::sync::{Arc, Weak};
use std::time::SystemTime;

use crate::auth::Principal;
use crate::aws::authority::{Authority, why_not};
use crate::aws::registry::fleet::import_file;
use crate::aws::registry::{Changed, Means, Registry, StoreError};
use crate::broker::{Broker, Dirty};
use crate::config::{Config, PolicyMode, RegistryPlace};
use crate::engine::Engine;
use crate::policy::Scope;
use crate::time::{Clock, milliseconds};

use super::StartError;

/// The file in the folder of the certificates.
const FILE: &str = "registry.redb";

/// Opens what the configuration names. The file in the folder of the certificates belongs to the first
/// broker that takes it; others begin with nothing.
pub(super) fn open(config: &Config, now: SystemTime) -> Result<Option<Arc<Registry>>, StartError> {
    let registry = match &config.registry {
        RegistryPlace::Off => return Ok(None),
        RegistryPlace::Memory => Registry::in_memory(Scope::default()),
        RegistryPlace::File(path) => Registry::open(path, Scope::default())?,
        RegistryPlace::Certs => {
            let path = config.tls.certs.join(FILE);
            match path.exists() {
                false => Registry::in_memory(Scope::default()),
                true => match Registry::open(&path, Scope::default()) {
                    Err(StoreError::Held { path }) => {
                        tracing::warn!(
                            path = %path.display(),
                            "another broker has the registry; this one begins with an empty one in memory"
                        );
                        Registry::in_memory(Scope::default())
                    }
                    opened => opened?,
                },
            }
        }
    };
    if let Some(fleet) = &config.fleet {
        let means = Means {
            now: milliseconds(now),
            random: &mut || super::system_random(),
        };
        let applied = import_file(&registry, means, fleet)?;
        tracing::info!(path = %fleet.display(), changes = applied.len(), "fleet applied");
    }
    Ok(Some(Arc::new(registry)))
}

/// Has the policies of a registry asked.
pub(super) fn bind(broker: Broker, registry: &Arc<Registry>, clock: &Clock) -> Broker {
    let rules = &broker.config().aws;
    if rules.policies == PolicyMode::Auto && !registry.state().has_policies() {
        tracing::info!("there are no policies yet: until there is one, clients may do everything");
    }
    let authority = Authority::new(registry.clone(), clock.calendar(), rules);
    broker.with_access(Arc::new(authority))
}

/// Has clients feel what changes.
pub(super) fn follow(registry: &Registry, engine: &Arc<Engine>) {
    let engine = Arc::downgrade(engine);
    registry.on_change(move |changed| {
        if let Some(engine) = Weak::upgrade(&engine) {
            apply(changed, &engine);
        }
    });
}

fn apply(changed: &Changed, engine: &Engine) {
    let context = engine.broker.context(engine.clock.now());
    let mut dirty = Dirty::default();
    match changed {
        Changed::Certificate { id, status } => {
            let why = status.map_or(Some("the certificate was deleted"), why_not);
            if let Some(why) = why {
                let principal = Principal::Certificate(id.as_str().into());
                engine.broker.cut_off(&principal, why, &context, &mut dirty);
            }
        }
        Changed::Views => engine.broker.review_access(&context, &mut dirty),
    }
    engine.broker.flush_all(&context, dirty);
}
