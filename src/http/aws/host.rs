//! What operations work on.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::aws::authority::Authority;
use crate::aws::connectivity::Connectivity;
use crate::aws::registry::{Draft, Error, Means, Registry, Timestamp};
use crate::aws::shadow::room::Room;
use crate::config::Config;
use crate::engine::Engine;
use crate::net::Functions;
use crate::time::milliseconds;

use super::super::jobs::Jobs;
use super::RefusedCalls;
use super::call::Call;
use super::operation::{Operation, Run};
use super::refusal::Refusal;

/// Changes that are made at the same time, each on a thread that waits for the disk: what waits together is
/// committed together.
const CHANGES_AT_ONCE: usize = 32;

/// Certificates that are issued at the same time.
const ISSUED_AT_ONCE: usize = 2;

/// Calls of each kind that run or wait: more than there are connections at all entrances.
const CALLS: usize = 1024;

/// Calls that wait for a client at the same time: half of the connections of an entrance, so that others find a place.
const WAITING: usize = 128;

/// What an operation came to.
pub(super) enum Output {
    Value(Value),
    /// JSON as it is.
    Payload(Vec<u8>),
}

/// The registry, and what is needed beside it.
pub(in crate::http) struct Host {
    engine: Arc<Engine>,
    authority: Option<Arc<Authority>>,
    /// How clients' connections ended.
    pub(super) connectivity: Arc<Connectivity>,
    /// What answers in the place of functions of AWS Lambda.
    pub(super) functions: Arc<Functions>,
    #[cfg(feature = "tls")]
    signer: Option<Arc<crate::net::ca::Signer>>,
    registry_token: Option<Arc<str>>,
    /// The threads of changes.
    pub(in crate::http) changes: Jobs,
    /// Those that make keys: nobody who asks for something else waits for them.
    pub(in crate::http) issuing: Jobs,
    waiting: Arc<Semaphore>,
    pub(in crate::http) refused_calls: RefusedCalls,
}

impl Host {
    pub(in crate::http) fn new(parts: &super::super::Parts) -> Self {
        Self {
            engine: parts.engine.clone(),
            authority: parts.authority.clone(),
            connectivity: parts.connectivity.clone(),
            functions: parts.functions.clone(),
            #[cfg(feature = "tls")]
            signer: parts.signer.clone(),
            registry_token: parts.registry_token.clone(),
            changes: Jobs::bounded(CHANGES_AT_ONCE, CALLS),
            issuing: Jobs::bounded(ISSUED_AT_ONCE, CALLS),
            waiting: Arc::new(Semaphore::new(WAITING)),
            refused_calls: RefusedCalls::default(),
        }
    }

    /// Forgets what it remembers of clients and calls, when the broker is reset.
    pub(in crate::http) fn forget(&self) {
        self.connectivity.clear();
        self.refused_calls.clear();
        if let Some(authority) = self.authority() {
            authority.refusals().clear();
        }
    }

    pub(in crate::http) fn registry(&self) -> Option<&Arc<Registry>> {
        self.authority
            .as_ref()
            .map(|authority| authority.registry())
    }

    /// What asks the policies, if there is a registry.
    pub(in crate::http) fn authority(&self) -> Option<&Authority> {
        self.authority.as_deref()
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn config(&self) -> &Config {
        self.engine.broker.config()
    }

    /// What signs certificates of clients.
    #[cfg(feature = "tls")]
    pub(in crate::http) fn signer(&self) -> Option<&crate::net::ca::Signer> {
        self.signer.as_deref()
    }

    /// What the broker is known by where the file of its registry is, if it has one.
    pub(in crate::http) fn registry_token(&self) -> Option<&str> {
        self.registry_token.as_deref()
    }

    /// A place for a call that waits for a client.
    ///
    /// # Errors
    ///
    /// 429 if too many wait already.
    pub(super) fn place_to_wait(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let place = self.waiting.clone().try_acquire_owned();
        place.map_err(|_| Refusal::throttled("Too many calls wait for a client already."))
    }

    /// Milliseconds since 1970, by the broker's clock.
    pub(in crate::http) fn now(&self) -> Timestamp {
        milliseconds(self.engine.clock.date())
    }

    /// Carries an operation out.
    pub(super) fn run(&self, operation: &Operation, call: &Call) -> Result<Output, Refusal> {
        let answered = match operation.run {
            Run::Payload(run) => return run(self, call).map(Output::Payload),
            Run::Read(read) => read(&self.required()?.state(), call),
            Run::Change(change) => self.change(|draft| change(draft, call)),
            Run::Work(work) | Run::Issue(work) | Run::Ask(work) => work(self, call),
            Run::Await(_) | Run::Refused => Err(Refusal::invalid("It is not implemented.")),
        };
        answered.map(without_nulls).map(Output::Value)
    }

    /// Bytes that all shadows may take now.
    pub(super) fn shadow_room(&self) -> usize {
        Room::new(self.config(), self.engine.broker.budget()).bytes()
    }

    pub(super) fn required(&self) -> Result<&Arc<Registry>, Refusal> {
        self.registry()
            .ok_or_else(|| Refusal::invalid("This broker has no registry (`registry` is off)."))
    }

    /// Changes the registry, and waits for the commit.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.attempt(change)?
    }

    /// The same with errors of its own.
    ///
    /// # Errors
    ///
    /// There is no registry.
    pub(super) fn attempt<T, E: From<Error>>(
        &self,
        change: impl FnOnce(&mut Draft<'_>) -> Result<T, E>,
    ) -> Result<Result<T, E>, Refusal> {
        let registry = self.required()?;
        Ok(self.with_means(|means| registry.change(means, change)))
    }

    /// Does what takes the time and random numbers.
    pub(in crate::http) fn with_means<T>(&self, what: impl FnOnce(Means<'_>) -> T) -> T {
        what(Means {
            now: self.now(),
            random: &mut || uuid::Uuid::new_v4().as_u128(),
        })
    }
}

/// Leaves out what has no value, as the service does.
pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            Value::Object(
                members
                    .map(|(name, value)| (name, without_nulls(value)))
                    .collect(),
            )
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
