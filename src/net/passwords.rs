//! Passwords are checked on threads of their own: few at a time, those of each address in turn, and a
//! bounded number wait. Checking one takes milliseconds of a core by design, so there is no other way
//! to keep some hundred CONNECTs from taking every core.
//!
//! A thread lives for one check. Starting it costs a hundredth of that, and each check begins with a
//! task on a worker, so that checks make room for traffic where the workers are busy.

use std::hash::RandomState;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::oneshot;

use crate::auth::Source;
use crate::auth::failures::Failures;
use crate::broker::Broker;
use crate::budget::Kind;
use crate::client::{Credentials, Verdict};
use crate::config::User;

use super::Shared;
use super::gate::{Gate, Place};
use super::seldom::Seldom;

/// Checks that may wait. Half of them are for one address: what a thousand devices on it do at once,
/// most of them try again.
const WAITING: usize = 1024;

/// What checks of passwords share.
pub(crate) struct Passwords {
    gate: Gate,
    users: RwLock<Arc<[User]>>,
    failures: Mutex<Failures>,
    /// Chooses whose password is checked for a name that nobody has.
    names: RandomState,
    too_many: Seldom,
}

impl Passwords {
    pub(crate) fn new(broker: &Broker) -> Self {
        // Where there are none at the start, nobody is ever asked, and to count the cores takes files.
        let places = match broker.config().users.is_empty() {
            true => 1,
            false => checks_at_once(),
        };
        Self {
            gate: Gate::new(places, WAITING),
            users: RwLock::new(broker.config().users.clone().into()),
            failures: Mutex::new(Failures::new(broker.charge(Kind::Connections))),
            names: RandomState::new(),
            too_many: Seldom::default(),
        }
    }

    /// Has others from now on.
    pub(crate) fn set_users(&self, users: Vec<User>) {
        *self.users.write() = users.into();
    }

    /// Whether a CONNECT named a user of the list with the right password. Takes milliseconds of CPU
    /// if it has both, whatever they are.
    fn is_valid(&self, users: &[User], credentials: &Credentials) -> bool {
        let (Some(name), Some(password)) = (&credentials.username, &credentials.password) else {
            return false;
        };
        let known = users.iter().find(|user| *user.name == **name);
        let Some(user) = known.or_else(|| self.stand_in(users, name)) else {
            return false;
        };
        // The work comes first, so that the time does not tell who is known.
        verify(user, password) && known.is_some()
    }

    /// A user whose password is checked in place of one that does not exist: always the same one for
    /// the same name, because hashes may differ in what they cost.
    fn stand_in<'a>(&self, users: &'a [User], name: &str) -> Option<&'a User> {
        use std::hash::BuildHasher as _;

        let count = NonZeroUsize::new(users.len())?;
        let number = self.names.hash_one(name) as usize % count;
        users.get(number)
    }
}

/// Half of the cores: traffic has the others.
fn checks_at_once() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).max(1)
}

/// Whether it is the user's password. Takes milliseconds of CPU.
#[cfg(feature = "tls")]
fn verify(user: &User, password: &[u8]) -> bool {
    use crate::auth::password::PasswordHash;

    let hash = user.password_hash.parse::<PasswordHash>();
    hash.is_ok_and(|hash| hash.verify(password))
}

/// Without the cryptography nobody's password can be checked, so nobody on the list gets in; a
/// configuration from a file was refused before it came to this.
#[cfg(not(feature = "tls"))]
fn verify(_user: &User, _password: &[u8]) -> bool {
    false
}

/// Checks user name and password of a client at `source`. A refusal for a wrong one is put off while
/// wrong ones come from there.
///
/// Dropping the future gives the place in the line back. A check that has begun goes on to its end,
/// and keeps the next one waiting until then.
pub(super) async fn check(
    shared: Arc<Shared>,
    source: Source,
    credentials: Credentials,
) -> Verdict {
    tokio::select! {
        verdict = wait_for_check(&shared, source, credentials) => verdict,
        () = shared.engine.stopping.cancelled() => Verdict::Busy,
    }
}

async fn wait_for_check(shared: &Arc<Shared>, source: Source, credentials: Credentials) -> Verdict {
    let limit = shared.engine.broker.config().limits.connect_timeout;
    let clock = &shared.engine.clock;
    let entered = clock
        .timeout(limit, shared.passwords.gate.enter(source))
        .await;
    let Ok(Ok(place)) = entered else {
        return refuse(shared, "too many passwords wait to be checked");
    };
    let (tell, told) = oneshot::channel();
    let thread = std::thread::Builder::new().name("password".into());
    let own = shared.clone();
    let started = thread.spawn(move || {
        let verdict = judge(&own, source, &credentials, &place);
        drop((place, credentials));
        // The client may be gone by now.
        let _ = tell.send(verdict);
    });
    if let Err(error) = started {
        return refuse(
            shared,
            &format!("no thread to check a password on: {error}"),
        );
    }
    match told.await {
        Ok(Checked::Right) => Verdict::Valid,
        Ok(Checked::Wrong { wait }) => {
            clock.sleep(wait).await;
            Verdict::Invalid
        }
        Err(_) => refuse(shared, "the check of a password broke off"),
    }
}

/// What a check came to.
enum Checked {
    Right,
    /// It is told after so long.
    Wrong {
        wait: Duration,
    },
}

/// Checks on this thread, and takes note of failures even if the client does not wait for the word.
fn judge(shared: &Shared, source: Source, credentials: &Credentials, _place: &Place) -> Checked {
    let passwords = &shared.passwords;
    let users = passwords.users.read().clone();
    let is_valid = passwords.is_valid(&users, credentials);
    let now = shared.engine.clock.now().live;
    let mut failures = passwords.failures.lock();
    if is_valid {
        failures.succeeded(source);
        return Checked::Right;
    }
    Checked::Wrong {
        wait: failures.failed(source, now),
    }
}

fn refuse(shared: &Shared, why: &str) -> Verdict {
    if let Some(earlier) = shared
        .passwords
        .too_many
        .due(shared.engine.clock.now().live)
    {
        tracing::warn!(earlier, "clients are refused as the broker is busy: {why}");
    }
    Verdict::Busy
}

#[cfg(all(test, feature = "tls"))]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use tokio::time::Instant;

    use super::*;
    use crate::auth::password::PasswordHash;
    use crate::config::Config;

    fn shared() -> Arc<Shared> {
        let mut config = Config::standard();
        for name in ["ann", "bob"] {
            config.users.push(User {
                name: name.into(),
                password_hash: PasswordHash::new(b"secret", &[7; 16]).to_string(),
            });
        }
        crate::server::share(
            config,
            Default::default(),
            #[cfg(feature = "aws")]
            None,
        )
    }

    fn source(number: u8) -> Source {
        IpAddr::from(Ipv4Addr::new(192, 0, 2, number)).into()
    }

    fn credentials(shared: &Shared, name: &str, password: &str) -> Credentials {
        let charge = shared.engine.broker.charge(Kind::Packets);
        Credentials::new(Some(name.into()), Some(password.as_bytes()), charge)
    }

    async fn check_of(shared: &Arc<Shared>, from: u8, name: &str, password: &str) -> Verdict {
        let credentials = credentials(shared, name, password);
        check(shared.clone(), source(from), credentials).await
    }

    #[tokio::test]
    async fn a_name_that_nobody_has_costs_a_check_and_lets_nobody_in() {
        let shared = shared();
        let users = &shared.engine.broker.config().users;
        for name in ["", "carol", "dave", "eve"] {
            let stand_in = shared.passwords.stand_in(users, name).unwrap();
            let again = shared.passwords.stand_in(users, name).unwrap();
            assert_eq!(stand_in.name, again.name, "always the same one");
            let right = credentials(&shared, name, "secret");
            assert!(!shared.passwords.is_valid(users, &right));
        }
        assert_eq!(check_of(&shared, 1, "bob", "secret").await, Verdict::Valid);
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_passwords_are_told_later_each_time_and_right_ones_at_once() {
        let shared = shared();
        let start = Instant::now();
        for _ in 0..8 {
            let verdict = check_of(&shared, 1, "ann", "wrong").await;
            assert_eq!(verdict, Verdict::Invalid);
        }
        // 50 ms, doubled up to 2 s: 5.15 s in all, less what the machine took between.
        assert!(start.elapsed() > Duration::from_secs(4));
        let start = Instant::now();
        assert_eq!(check_of(&shared, 1, "ann", "secret").await, Verdict::Valid);
        let verdict = check_of(&shared, 1, "ann", "wrong").await;
        assert_eq!(verdict, Verdict::Invalid);
        assert_eq!(start.elapsed(), Duration::ZERO, "the count began anew");
    }

    #[tokio::test]
    async fn where_too_many_wait_the_next_is_refused_as_busy_and_others_are_served() {
        let shared = shared();
        let gate = &shared.passwords.gate;
        let mut inside = Vec::new();
        for _ in 0..checks_at_once() {
            inside.push(gate.enter(source(9)).await.unwrap());
        }
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..WAITING / 2 {
            let own = shared.clone();
            waiting.spawn(async move { check_of(&own, 1, "ann", "wrong").await });
        }
        while gate.waiting() < WAITING / 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(check_of(&shared, 1, "ann", "secret").await, Verdict::Busy);
        let own = shared.clone();
        let other = tokio::spawn(async move { check_of(&own, 2, "ann", "secret").await });
        while gate.waiting() <= WAITING / 2 {
            tokio::task::yield_now().await;
        }
        // Who does not wait any more gives the place back at once.
        waiting.shutdown().await;
        assert_eq!(gate.waiting(), 1);
        drop(inside);
        assert_eq!(other.await.unwrap(), Verdict::Valid);
        assert_eq!(gate.waiting(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_for_a_check_does_not_hold_up_a_stop() {
        let shared = shared();
        let mut inside = Vec::new();
        for _ in 0..checks_at_once() {
            inside.push(shared.passwords.gate.enter(source(9)).await.unwrap());
        }
        let own = shared.clone();
        let waiting = tokio::spawn(async move { check_of(&own, 1, "ann", "secret").await });
        while shared.passwords.gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        shared.engine.stopping.cancel();
        assert_eq!(waiting.await.unwrap(), Verdict::Busy);
    }
}
