//! SIGHUP: certificates and users are read again, and what else has changed is named, for it needs a restart.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use roundel::Server;
use tokio::runtime::Handle;
#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::ServeArgs;
use super::failure::Failure;

/// What a program that runs knows of what it was started with.
pub(super) struct Reload {
    #[cfg(unix)]
    hangup: Signal,
    /// The keys of the file, those of a table behind its name and a dot, with their values.
    keys: BTreeMap<String, toml::Value>,
}

impl Reload {
    /// Takes note of the file, and of the signal from now on.
    pub(super) fn watch(args: &ServeArgs) -> io::Result<Self> {
        Ok(Self {
            #[cfg(unix)]
            hangup: signal(SignalKind::hangup())?,
            // One that cannot be read again, such as a pipe, is compared with nothing.
            keys: args.file().map(|file| keys(&file)).unwrap_or_default(),
        })
    }

    /// Waits for the signal.
    #[cfg(unix)]
    pub(super) async fn asked(&mut self) {
        if self.hangup.recv().await.is_none() {
            std::future::pending().await
        }
    }

    /// Elsewhere there is none.
    #[cfg(not(unix))]
    pub(super) async fn asked(&mut self) {
        std::future::pending().await
    }

    /// Reads everything again, and has the broker go by what it can. What is wrong leaves all as it was.
    pub(super) async fn run(&mut self, args: &ServeArgs, server: &Server, workers: &Handle) {
        let path = args.file();
        if path.as_deref().is_some_and(|path| !path.is_file()) {
            tracing::warn!(
                "SIGHUP: the configuration is no file that can be read again, and stays as it is"
            );
            return reload_certificates(server, workers).await;
        }
        let loaded = args
            .sources()
            .and_then(|sources| sources.load().map_err(Failure::misuse));
        let loaded = match loaded {
            Ok(loaded) => loaded,
            Err(failure) => {
                tracing::error!(reason = failure.message(), "SIGHUP: nothing is changed");
                return;
            }
        };
        reload_certificates(server, workers).await;
        let now = path.map(|path| keys(&path)).unwrap_or_default();
        let mut changed: Vec<String> = self.keys.keys().chain(now.keys()).cloned().collect();
        changed.sort_unstable();
        changed.dedup();
        changed.retain(|key| self.keys.get(key) != now.get(key));
        if let Some(at) = changed.iter().position(|key| key == "users") {
            let count = loaded.config.users.len();
            if server.set_users(loaded.config.users) {
                tracing::info!(users = count, "SIGHUP: the users are those of the file now");
                changed.remove(at);
                let users = now.get("users").cloned();
                self.keys
                    .extend(users.map(|users| ("users".to_owned(), users)));
            }
        }
        if !changed.is_empty() {
            tracing::warn!(
                keys = changed.join(","),
                "SIGHUP: what has changed besides needs a restart"
            );
        }
    }
}

/// Has the listeners go on with the certificates that the files have now.
async fn reload_certificates(server: &Server, workers: &Handle) {
    #[cfg(feature = "tls")]
    {
        let handle = server.handle();
        let reloading = workers.spawn(async move { handle.reload_certificates().await });
        match reloading.await {
            Ok(Ok(())) => tracing::info!("SIGHUP: certificates are read again"),
            Ok(Err(error)) => {
                let failure = Failure::machine(error);
                tracing::error!(
                    reason = failure.message(),
                    "SIGHUP: the certificates stay as they were"
                );
            }
            Err(broken) => tracing::error!("SIGHUP: reading the certificates broke off: {broken}"),
        }
    }
    #[cfg(not(feature = "tls"))]
    let _ = (server, workers);
}

/// The keys of a configuration file; none of one that cannot be read.
fn keys(path: &Path) -> BTreeMap<String, toml::Value> {
    let mut keys = BTreeMap::new();
    if !path.is_file() {
        return keys;
    }
    let text = std::fs::read_to_string(path).unwrap_or_default();
    for (key, value) in toml::from_str::<toml::Table>(&text).unwrap_or_default() {
        match value {
            toml::Value::Table(table) => {
                keys.extend(
                    table
                        .into_iter()
                        .map(|(name, value)| (format!("{key}.{name}"), value)),
                );
            }
            value => {
                keys.insert(key.replace('-', "_"), value);
            }
        }
    }
    keys
}
