//! Who there is: things, their types and groups, certificates, policies, and what is attached to what.
//!
//! A [`Registry`] is one account in one Region. It is read from [`Registry::state`], which is the registry at
//! one moment and waits for nothing, and changed by [`Registry::change`], which returns once the change is in
//! the file, if there is one. The operations are the service's: those that change something are methods of
//! [`Draft`], the others of [`State`]. Neither reads a clock or a random source: [`Means`] brings both.
//!
//! Rows `AWS-OPS`, `AWS-API` and `AWS-ID` are the behaviours of the service that a line rests on.

mod attachments;
mod authorities;
mod authorizers;
#[cfg(feature = "http")]
mod browse;
mod certificates;
mod error;
mod events;
pub mod fleet;
mod groups;
mod holder;
mod names;
mod page;
mod policies;
mod record;
mod shadows;
mod state;
mod store;
mod tags;
#[cfg(test)]
#[cfg(feature = "tls")]
mod tests;
mod things;
mod types;
mod view;
mod x509;

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};

use crate::policy::Scope;

pub use authorities::{CaUpdate, NewCa};
pub use authorizers::{AuthorizerUpdate, NewAuthorizer};
#[cfg(feature = "http")]
pub(crate) use browse::Kind;
pub use certificates::RegisterStatus;
pub use error::Error;
pub use groups::{GroupFilter, GroupUpdate, NewGroup};
pub(crate) use holder::Announcement;
pub use holder::Holder;
pub use names::Resource;
pub use page::{Listed, Page};
pub use record::{
    Attributes, Authorizer, CaCertificate, Certificate, CertificateMode, CertificateStatus,
    EventConfigurations, EventType, Policy, PolicyVersion, PrincipalType, PropagatingAttribute,
    RegistrationConfig, Thing, ThingGroup, ThingType, ThingTypeProperties, Timestamp,
};
pub(crate) use shadows::Asked;
pub use state::State;
pub use store::StoreError;
pub use things::{NewThing, ThingFilter, ThingUpdate};
pub use view::{PolicyFact, View};

use state::Record;
use store::{Store, Write};
pub(crate) use x509::rsa_public_key;

/// What an operation takes from outside.
pub struct Means<'a> {
    /// The time.
    pub now: Timestamp,
    /// Gives random numbers, for identifiers.
    pub random: &'a mut dyn FnMut() -> u128,
}

/// What a change means for those who keep views.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changed {
    /// A certificate came, went or has another status.
    Certificate {
        /// Which one.
        id: String,
        /// What it may be used for now; none if it was deleted.
        status: Option<CertificateStatus>,
    },
    /// Any view may be another one.
    Views,
    /// Other authorities are active.
    Authorities,
    /// Something is to be told of (`UpdateEventConfigurations`).
    Event {
        /// Where.
        topic: String,
        /// In JSON.
        payload: Vec<u8>,
    },
    /// A policy has another document, whose views are told of besides.
    Policy {
        /// Its name.
        name: String,
        /// What holds now.
        document: Arc<str>,
    },
}

impl Changed {
    fn alters_views(&self) -> bool {
        matches!(self, Self::Certificate { .. } | Self::Views)
    }
}

/// Who wants to know of what changed with one commit.
type Listener = Arc<dyn Fn(&[Changed]) + Send + Sync>;

/// Those who want to know, each with a number that nobody else has had.
#[derive(Default)]
struct Listeners {
    next: u64,
    all: Vec<(u64, Listener)>,
}

impl Listeners {
    fn add(&mut self, listener: Listener) -> u64 {
        let number = self.next;
        self.next += 1;
        self.all.push((number, listener));
        number
    }
}

/// That somebody is told of changes, until it is dropped.
#[cfg(feature = "tls")]
pub(crate) struct Following {
    registry: std::sync::Weak<Registry>,
    number: u64,
}

#[cfg(feature = "tls")]
impl Drop for Following {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            let all = &mut registry.listeners.write().all;
            all.retain(|(number, _)| *number != self.number);
        }
    }
}

/// Things, certificates and policies of one account in one Region.
pub struct Registry {
    /// What is answered and read.
    published: RwLock<Arc<State>>,
    /// Locked by who makes a change for as long as that takes, and never across a commit.
    open: Mutex<Open>,
    /// The file, if there is one. Locked by who commits.
    disk: Mutex<Option<Store>>,
    version: AtomicU64,
    listeners: RwLock<Listeners>,
}

/// What the next commit consists of.
struct Open {
    batch: Batch,
    /// Somebody commits the batch before this one.
    is_committing: bool,
}

/// What becomes of the changes of a batch, which those who made them wait for.
#[derive(Default)]
struct Outcome {
    result: OnceLock<Result<(), Arc<StoreError>>>,
    /// Of the mutex of [`Open`].
    is_settled: Condvar,
}

impl Outcome {
    fn settle(&self, result: Result<(), Arc<StoreError>>) {
        let _ = self.result.set(result); // nobody else settles it
        self.is_settled.notify_all();
    }
}

/// Changes that wait for a commit.
struct Batch {
    /// As if they had been committed.
    state: State,
    writes: Vec<Write>,
    changed: Vec<Changed>,
    outcome: Arc<Outcome>,
}

impl Batch {
    fn new(state: State) -> Self {
        Self {
            state,
            writes: Vec::new(),
            changed: Vec::new(),
            outcome: Arc::default(),
        }
    }

    /// Does all of an operation, or nothing.
    fn run<T, E>(
        &mut self,
        means: Means<'_>,
        operation: impl FnOnce(&mut Draft<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let before = self.state.clone();
        let (writes, changed) = (self.writes.len(), self.changed.len());
        let Means { now, random } = means;
        let result = operation(&mut Draft {
            batch: &mut *self,
            means: Means {
                now,
                random: &mut *random,
            },
        });
        if result.is_err() {
            self.state = before;
            self.writes.truncate(writes);
            self.changed.truncate(changed);
        }
        result
    }
}

impl Registry {
    /// An empty one that is kept nowhere.
    pub fn in_memory(scope: Scope) -> Self {
        Self::new(State::new(scope), None)
    }

    /// The one in a file, which is made if there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Held`] if another process has it, and others if it is no registry, one of a later
    /// version, or the machine refuses. No file is changed that is not a registry.
    pub fn open(path: &Path, scope: Scope) -> Result<Self, StoreError> {
        let store = Store::open(path)?;
        Self::with_store(store, scope)
    }

    fn with_store(store: Store, scope: Scope) -> Result<Self, StoreError> {
        let state = store.load(scope)?;
        Ok(Self::new(state, Some(store)))
    }

    fn new(state: State, store: Option<Store>) -> Self {
        Self {
            published: RwLock::new(Arc::new(state.clone())),
            open: Mutex::new(Open {
                batch: Batch::new(state),
                is_committing: false,
            }),
            disk: Mutex::new(store),
            version: AtomicU64::new(0),
            listeners: RwLock::default(),
        }
    }

    /// The registry at this moment. Nobody waits for a disk here.
    pub fn state(&self) -> Arc<State> {
        self.published.read().clone()
    }

    /// Rises after each change that can alter a view. Who read it before a view knows by it whether the
    /// view still holds.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What is known of a client with a certificate; see [`State::view`].
    pub fn view(&self, certificate: &str, client_id: &str, now: Timestamp) -> Option<View> {
        self.state().view(certificate, client_id, now)
    }

    /// Has `listener` called after each commit with what changed that it may have to know of, in the order in which
    /// it did. It must not change the registry, nor panic: the next change waits for it.
    pub fn on_change(&self, listener: impl Fn(&[Changed]) + Send + Sync + 'static) {
        self.listeners.write().add(Arc::new(listener));
    }

    /// The same until the answer is dropped; a change that is being told of then may come once more.
    #[cfg(feature = "tls")]
    #[must_use]
    pub(crate) fn follow(
        self: &Arc<Self>,
        listener: impl Fn(&[Changed]) + Send + Sync + 'static,
    ) -> Following {
        Following {
            registry: Arc::downgrade(self),
            number: self.listeners.write().add(Arc::new(listener)),
        }
    }

    /// How many are told of changes.
    #[cfg(all(test, feature = "tls"))]
    pub(crate) fn listeners(&self) -> usize {
        self.listeners.read().all.len()
    }

    /// Makes a change, all of it or nothing, and waits until it is in the file, which blocks the thread for as
    /// long as a disk takes. What several threads want meanwhile is committed together.
    ///
    /// # Errors
    ///
    /// Those of the operation, which may have others than the registry, and [`Error::InternalFailure`] if the
    /// file did not take it.
    pub fn change<T, E: From<Error>>(
        &self,
        means: Means<'_>,
        operation: impl FnOnce(&mut Draft<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut open = self.open.lock();
        let result = open.batch.run(means, operation);
        // A refusal waits too: it may rest on what has not been committed.
        self.settle(open).map_err(Error::InternalFailure)?;
        result
    }

    /// Waits until the open batch is committed, by somebody else or here.
    fn settle(&self, mut open: MutexGuard<'_, Open>) -> Result<(), Arc<StoreError>> {
        let outcome = open.batch.outcome.clone();
        while open.is_committing {
            outcome.is_settled.wait(&mut open);
            if let Some(settled) = outcome.result.get() {
                return settled.clone();
            }
        }
        // Who commits settles what he took: what is not settled is the open batch.
        open.is_committing = true;
        let next = Batch::new(open.batch.state.clone());
        let batch = std::mem::replace(&mut open.batch, next);
        let result = MutexGuard::unlocked(&mut open, || self.commit(batch));
        open.is_committing = false;
        if let Err(error) = &result {
            // What was changed meanwhile rests on what was not committed.
            open.batch.outcome.settle(Err(error.clone()));
            open.batch = Batch::new(State::clone(&self.state()));
        }
        outcome.settle(result.clone());
        // One of those who wait for the next batch commits it.
        open.batch.outcome.is_settled.notify_one();
        result
    }

    /// Brings a batch into the file and before the readers.
    fn commit(&self, batch: Batch) -> Result<(), Arc<StoreError>> {
        let mut disk = self.disk.lock();
        let Some(store) = disk.as_mut().filter(|_| !batch.writes.is_empty()) else {
            self.publish(batch.state, batch.changed);
            return Ok(());
        };
        match store.commit(&batch.writes) {
            Ok(()) => {
                self.publish(batch.state, batch.changed);
                Ok(())
            }
            Err(error) => {
                // The commit may have reached the file all the same; if so, it has happened.
                let scope = self.state().scope().clone();
                if let Some(found) = store.reload(scope) {
                    self.publish(found, vec![Changed::Views, Changed::Authorities]);
                }
                Err(Arc::new(error))
            }
        }
    }

    fn publish(&self, state: State, mut changed: Vec<Changed>) {
        *self.published.write() = Arc::new(state);
        if changed.is_empty() {
            return;
        }
        if changed.iter().any(Changed::alters_views) {
            // After the state: who reads the new number sees what it stands for.
            self.version.fetch_add(1, Ordering::Release);
        }
        let mut views = false;
        // Any number of them says as much as one.
        changed.retain(|change| *change != Changed::Views || !std::mem::replace(&mut views, true));
        // Copied, as who is told may stop being told.
        let listeners = self.listeners.read().all.clone();
        for (_, listener) in listeners {
            listener(&changed);
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}

/// A change under way: the registry as it will be, and the operations that make it so.
pub struct Draft<'a> {
    batch: &'a mut Batch,
    means: Means<'a>,
}

impl Deref for Draft<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.batch.state
    }
}

impl Draft<'_> {
    fn now(&self) -> Timestamp {
        self.means.now
    }

    /// A new UUID.
    fn uuid(&mut self) -> String {
        let random = (self.means.random)().to_be_bytes();
        uuid::Builder::from_random_bytes(random)
            .into_uuid()
            .to_string()
    }

    /// 64 random hexadecimal digits.
    fn code(&mut self) -> String {
        format!(
            "{:032x}{:032x}",
            (self.means.random)(),
            (self.means.random)()
        )
    }

    fn put<R: Record>(&mut self, record: R) -> Arc<R> {
        let record = Arc::new(record);
        // Records are made of text and numbers, of which JSON can say everything.
        let value = serde_json::to_vec(&*record).unwrap_or_default();
        self.write::<R>(record.key(), Some(record.clone()), Some(value));
        record
    }

    fn remove<R: Record>(&mut self, key: &str) {
        self.write::<R>(key, None, None);
    }

    fn write<R: Record>(&mut self, key: &str, new: Option<Arc<R>>, value: Option<Vec<u8>>) {
        let old = self.batch.state.set(key, new.clone());
        R::changed(old.as_deref(), new.as_deref(), &mut self.batch.changed);
        R::tell(old.as_deref(), new.as_deref(), self);
        self.batch.writes.push(Write {
            table: R::TABLE,
            key: key.to_owned(),
            value,
        });
    }
}
