//! Who may do what: the policies of the registry, asked for each connection.
//!
//! A verdict is looked up, not evaluated, where it stands for as long as neither the registry nor the
//! connection changes: per topic for Publish and Receive. One that depends on the time is worked out each
//! time.

#[cfg(feature = "http")]
mod calls;
mod compiled;
mod connection;
#[cfg(feature = "http")]
mod explanation;
mod grants;
#[cfg(feature = "http")]
mod refused;
mod standing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::auth::Principal;
use crate::broker::ConnectionFacts;
#[cfg(feature = "websocket")]
use crate::broker::Upgrade;
use crate::broker::access::{Access, Authorization, Claim, NotAdmitted, Permissions};
use crate::config::{Config, PolicyMode};
use crate::policy::{Attachment, Context, Scope};
use crate::time::{Calendar, milliseconds, whole_seconds};

use super::authorizer::{self, Evidence, Http, Mqtt};
use super::enrolment;
#[cfg(feature = "http")]
use super::refusals::{self, Refusals};
use super::registry::{Means, PolicyFact, Registry, State};
use super::subject::{Subject, barred};

use compiled::Compiled;
use connection::Connection;
use grants::{Bound, Grants, Who};

#[cfg(feature = "http")]
pub(crate) use calls::Asked;
#[cfg(feature = "http")]
pub(crate) use explanation::{Check, Client, Decider, Deed, Explanation};

/// What a connection that is bound takes besides what is known of its client.
const BOUND: usize = 1024;

/// Asks the policies.
pub(crate) struct Authority {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Arc<Registry>,
    scope: Scope,
    calendar: Calendar,
    /// Gives random numbers.
    random: fn() -> u128,
    /// Policies hold before there are any.
    enforces: bool,
    /// The policy of clients without a principal.
    anonymous_policy: Option<Box<str>>,
    /// The names of the policies of access keys, by their ids.
    key_policies: HashMap<Arc<str>, Box<str>>,
    compiled: Mutex<Compiled>,
    #[cfg(feature = "http")]
    refusals: Refusals,
}

impl Authority {
    pub(crate) fn new(
        registry: Arc<Registry>,
        calendar: Calendar,
        random: fn() -> u128,
        config: &Config,
    ) -> Self {
        let rules = &config.aws;
        let keys = config.access_keys.iter();
        let inner = Inner {
            scope: registry.state().scope().clone(),
            registry,
            calendar,
            random,
            enforces: rules.policies == PolicyMode::Enforce,
            anonymous_policy: rules.anonymous_policy.as_deref().map(Into::into),
            key_policies: keys
                .filter_map(|key| Some((key.id.as_str().into(), key.policy.as_deref()?.into())))
                .collect(),
            compiled: Mutex::default(),
            #[cfg(feature = "http")]
            refusals: Refusals::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// What it asks.
    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.inner.registry
    }

    /// What was refused lately.
    #[cfg(feature = "http")]
    pub(crate) fn refusals(&self) -> &Refusals {
        &self.inner.refusals
    }
}

impl Access for Authority {
    fn admit(&self, claim: Claim<'_>) -> Result<Arc<dyn Permissions>, NotAdmitted> {
        if !claim.has_enrolled && enrolment::is_due(&self.inner.registry.state(), &claim) {
            return Err(NotAdmitted::Unregistered);
        }
        let tls = claim.facts.tls();
        let who = Who {
            principal: claim.principal.clone(),
            source: Context {
                client_id: Some(claim.client_id.to_owned()),
                source_ip: claim.facts.peer().socket_addr().map(|peer| peer.ip()),
                domain_name: tls.and_then(|tls| tls.sni.as_deref().map(str::to_owned)),
                ..Context::default()
            },
        };
        let version = self.inner.registry.version();
        let grants = match claim.authorization {
            Some(authorization) => self.inner.authorized(&who, authorization),
            None => self.inner.grants(&who, None, claim.now),
        };
        let time = self.inner.seconds(claim.now);
        let checked = grants.check_connect(&claim, time);
        #[cfg(feature = "http")]
        if let Err(NotAdmitted::Refused { violation, .. }) = &checked {
            let deed = refusals::Deed {
                action: "connect",
                resource: claim.client_id,
                retain: claim.will.is_some_and(|will| will.retain),
                persistent: claim.is_persistent,
                will_topic: claim.will.map(|will| &*will.topic),
                is_by_policy: true,
            };
            self.inner.note(&who, deed, &violation.text, claim.now);
        }
        checked?;
        Ok(Arc::new(Connection::new(
            self.inner.clone(),
            who,
            version,
            grants,
            claim.charge,
        )))
    }

    #[cfg(feature = "tls")]
    fn may_enrol(&self, certificate: &[u8]) -> bool {
        self.inner.registry.state().may_auto_register(certificate)
    }

    fn is_authorized_by_others(&self, username: Option<&str>, facts: &ConnectionFacts) -> bool {
        let evidence = Evidence {
            http: facts.upgrade().map(Http::from),
            mqtt: Some(Mqtt {
                username,
                password: None,
                client_id: None,
            }),
            ..Evidence::default()
        };
        authorizer::is_asked(&self.inner.registry.state(), &evidence)
    }

    #[cfg(feature = "websocket")]
    fn looks_at(&self, upgrade: &Upgrade) -> bool {
        let state = self.inner.registry.state();
        let evidence = Evidence {
            http: Some(Http::from(upgrade)),
            ..Evidence::default()
        };
        state.has_authorizers() || authorizer::is_asked(&state, &evidence)
    }

    fn enrol(&self, facts: &ConnectionFacts, now: Instant) -> Option<(String, Vec<u8>)> {
        let means = Means {
            now: self.inner.milliseconds(now),
            random: &mut || (self.inner.random)(),
        };
        enrolment::enrol(&self.inner.registry, facts, means)
    }
}

impl Inner {
    /// Milliseconds since 1970.
    fn milliseconds(&self, now: Instant) -> u64 {
        milliseconds(self.calendar.date(now))
    }

    /// Keeps a refusal.
    #[cfg(feature = "http")]
    fn note(&self, who: &Who, deed: refusals::Deed<'_>, why: &str, now: Instant) {
        let now = self.milliseconds(now);
        (self.refusals).keep(&who.principal, &who.source, deed, why, now);
    }

    /// Seconds since 1970.
    fn seconds(&self, now: Instant) -> i64 {
        whole_seconds(self.milliseconds(now))
    }

    /// Whether policies hold: from the first one on, or always.
    fn policies_hold(&self, state: &State) -> bool {
        self.enforces || state.policies_hold()
    }

    /// What a client has been granted as things stand, and was `before`.
    fn grants(&self, who: &Who, before: Option<&Grants>, now: Instant) -> Grants {
        let state = self.registry.state();
        if !self.policies_hold(&state) {
            // What somebody said of a certificate holds all the same.
            let barred = match &who.principal {
                Principal::Certificate(id) => barred(&state, id, self.milliseconds(now)),
                _ => None,
            };
            return barred.map_or(Grants::Everything, Grants::Nothing);
        }
        let Principal::Certificate(id) = &who.principal else {
            return self.grants_without_certificate(&state, who);
        };
        let now = self.milliseconds(now);
        let source = Context {
            certificate: before.and_then(Grants::certificate).cloned(),
            ..who.source.clone()
        };
        match Subject::of_certificate(&state, id, source, now) {
            None => Grants::Nothing("the certificate is not registered"),
            Some(Subject {
                barred: Some(why), ..
            }) => Grants::Nothing(why),
            Some(subject) => self.bound(subject.policies, subject.context, subject.size),
        }
    }

    /// What a client has been granted that has no certificate: an access key has one policy or none, in
    /// which case it may do everything (AWS-ID-10).
    fn grants_without_certificate(&self, state: &State, who: &Who) -> Grants {
        let (name, none) = match &who.principal {
            Principal::AccessKey(id) => match self.key_policies.get(id) {
                None => return Grants::Everything,
                Some(name) => (Some(&**name), "the policy of the access key is not there"),
            },
            Principal::Authorized(_) => {
                return Grants::Nothing("what its authorizer says is not known here");
            }
            _ => (
                self.anonymous_policy.as_deref(),
                "the client has no principal, and aws.anonymous_policy names no policy",
            ),
        };
        match name.and_then(|name| state.policy_in_force(name)) {
            Some(policy) => self.bound(vec![policy], who.source.clone(), 0),
            None => Grants::Nothing(none),
        }
    }

    /// What an authorizer has granted to a client: what it says, and nothing else. There is no thing then
    /// (AWS-ID-11).
    fn authorized(&self, who: &Who, authorization: &Authorization) -> Grants {
        let documents = authorization.documents.iter().enumerate();
        let policies = documents.map(|(number, document)| PolicyFact {
            name: format!("policyDocuments[{number}]"),
            version: 1,
            document: document.clone(),
        });
        let context = Context {
            thing: Attachment::Detached,
            ..who.source.clone()
        };
        self.bound(policies.collect(), context, authorization.size)
    }

    /// Policies that bind a client of whom is known what takes so many bytes.
    fn bound(&self, policies: Vec<PolicyFact>, context: Context, bytes: usize) -> Grants {
        Grants::Policies(Box::new(Bound {
            policies: self.compiled.lock().of(&policies, &self.scope),
            size: BOUND
                + bytes
                + policies
                    .iter()
                    .map(|policy| policy.name.len())
                    .sum::<usize>(),
            names: policies.into_iter().map(|policy| policy.name).collect(),
            context,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::aws::registry::{Draft, Error, Means};
    use crate::config::AccessKey;
    use crate::time::Clock;

    struct Stand {
        inner: Arc<Inner>,
        now: Instant,
    }

    impl Stand {
        fn new() -> Self {
            let registry = Arc::new(Registry::in_memory(Scope::default()));
            let mut config = Config::aws();
            config.aws.anonymous_policy = Some("guests".to_owned());
            let key = |id: &str, policy: Option<&str>| AccessKey {
                id: id.to_owned(),
                secret: "secret".to_owned(),
                policy: policy.map(str::to_owned),
            };
            config.access_keys = vec![key("FREE", None), key("BOUND", Some("guests"))];
            let clock = Clock::default();
            let now = clock.now().now + Duration::from_secs(1);
            let authority = Authority::new(registry, clock.calendar(), || 0, &config);
            Self {
                inner: authority.inner,
                now,
            }
        }

        fn change(&self, operation: impl FnOnce(&mut Draft<'_>) -> Result<(), Error>) {
            let means = Means {
                now: 0,
                random: &mut || 0,
            };
            self.inner.registry.change(means, operation).unwrap();
        }

        fn grants(&self, client_id: &str, before: Option<&Grants>) -> Grants {
            self.grants_of(Principal::Anonymous, client_id, before)
        }

        fn grants_of(
            &self,
            principal: Principal,
            client_id: &str,
            before: Option<&Grants>,
        ) -> Grants {
            let who = Who {
                principal,
                source: Context {
                    client_id: Some(client_id.to_owned()),
                    ..Context::default()
                },
            };
            self.inner.grants(&who, before, self.now)
        }
    }

    fn allow(action: &str) -> String {
        format!(
            r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Allow", "Action": "iot:{action}", "Resource": "*"}}}}"#
        )
    }

    /// AWS-ID-10
    #[test]
    fn access_key_has_a_policy_or_may_do_everything() {
        let stand = Stand::new();
        let of = |id: &str| stand.grants_of(Principal::AccessKey(id.into()), "a", None);
        stand.change(|draft| {
            draft.create_policy("others", &allow("Connect"), Default::default())?;
            Ok(())
        });
        assert!(matches!(of("FREE"), Grants::Everything));
        assert!(matches!(of("BOUND"), Grants::Nothing(_)), "it is not there");
        stand.change(|draft| {
            draft.create_policy("guests", &allow("Connect"), Default::default())?;
            Ok(())
        });
        assert!(matches!(of("BOUND"), Grants::Policies(_)));
    }

    /// Who keeps verdicts goes by this.
    #[test]
    fn grants_are_the_same_until_something_about_the_client_changes() {
        let stand = Stand::new();
        let everything = stand.grants("a", None);
        stand.change(|draft| {
            draft.create_policy("others", &allow("Connect"), Default::default())?;
            Ok(())
        });
        let nothing = stand.grants("a", Some(&everything));
        assert!(!nothing.is_same(&everything));
        stand.change(|draft| {
            draft.create_policy("guests", &allow("Connect"), Default::default())?;
            Ok(())
        });
        let connect = stand.grants("a", Some(&nothing));
        assert!(!connect.is_same(&nothing));
        assert!(!connect.is_same(&stand.grants("b", None)));
        stand.change(|draft| {
            draft.create_policy_version("others", &allow("Publish"), true)?;
            Ok(())
        });
        let still = stand.grants("a", Some(&connect));
        assert!(still.is_same(&connect));
        stand.change(|draft| {
            draft.create_policy_version("guests", &allow("Publish"), true)?;
            Ok(())
        });
        let publish = stand.grants("a", Some(&still));
        assert!(!publish.is_same(&connect));
    }
}
