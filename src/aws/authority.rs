//! Who may do what: the policies of the registry, asked for each connection.
//!
//! A verdict is looked up, not evaluated, where it stands for as long as neither the registry nor the
//! connection changes: per topic for Publish and Receive. One that depends on the time is worked out each
//! time.

mod compiled;
mod connection;
mod grants;
mod standing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::auth::Principal;
use crate::broker::access::{Access, Claim, NotAdmitted, Permissions};
use crate::config::{AwsRules, PolicyMode};
use crate::policy::{Attachment, Context, Scope, Thing};
use crate::time::{Calendar, milliseconds};

use super::certificate::as_policies_see;
use super::registry::{self, CertificateStatus, PolicyFact, Registry, State, View};

use compiled::Compiled;
use connection::Connection;
use grants::{Bound, Grants, Who};

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
    /// Policies hold before there are any.
    enforces: bool,
    /// There was a policy once: they hold from the first one on.
    holds: AtomicBool,
    /// The policy of clients without a principal.
    anonymous_policy: Option<Box<str>>,
    compiled: Mutex<Compiled>,
}

impl Authority {
    pub(crate) fn new(registry: Arc<Registry>, calendar: Calendar, rules: &AwsRules) -> Self {
        let inner = Inner {
            scope: registry.state().scope().clone(),
            registry,
            calendar,
            enforces: rules.policies == PolicyMode::Enforce,
            holds: AtomicBool::new(false),
            anonymous_policy: rules.anonymous_policy.as_deref().map(Into::into),
            compiled: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }
}

impl Access for Authority {
    fn admit(&self, claim: Claim<'_>) -> Result<Arc<dyn Permissions>, NotAdmitted> {
        let tls = claim.facts.tls.as_ref();
        let who = Who {
            certificate_id: match claim.principal {
                Principal::Certificate(id) => Some(id.clone()),
                Principal::Anonymous | Principal::User(_) | Principal::Program => None,
            },
            client_id: claim.client_id.into(),
            source: Context {
                client_id: Some(claim.client_id.to_owned()),
                source_ip: claim.facts.peer.socket_addr().map(|peer| peer.ip()),
                domain_name: tls.and_then(|tls| tls.sni.clone()),
                ..Context::default()
            },
        };
        let version = self.inner.registry.version();
        let grants = self.inner.grants(&who, None, claim.now);
        let time = self.inner.seconds(claim.now);
        grants.check_connect(&claim, time)?;
        Ok(Arc::new(Connection::new(
            self.inner.clone(),
            who,
            version,
            grants,
            claim.charge,
        )))
    }
}

impl Inner {
    /// Milliseconds since 1970.
    fn milliseconds(&self, now: Instant) -> u64 {
        milliseconds(self.calendar.date(now))
    }

    /// Seconds since 1970.
    fn seconds(&self, now: Instant) -> i64 {
        i64::try_from(self.milliseconds(now) / 1000).unwrap_or(i64::MAX)
    }

    /// Whether policies hold: from the first one on, or always.
    fn has_policies(&self, state: &State) -> bool {
        if self.enforces || self.holds.load(Ordering::Relaxed) {
            return true;
        }
        let holds = state.has_policies();
        self.holds.fetch_or(holds, Ordering::Relaxed);
        holds
    }

    /// What a client has been granted as things stand, and was `before`.
    fn grants(&self, who: &Who, before: Option<&Grants>, now: Instant) -> Grants {
        let state = self.registry.state();
        if !self.has_policies(&state) {
            return Grants::Everything;
        }
        let Some(id) = &who.certificate_id else {
            let name = self.anonymous_policy.as_deref();
            return match name.and_then(|name| state.policy_in_force(name)) {
                Some(policy) => self.bound(vec![policy], who.source.clone(), 0),
                None => Grants::Nothing(
                    "the client has no principal, and aws.anonymous_policy names no policy",
                ),
            };
        };
        let found = state.view(id, &who.client_id, self.milliseconds(now));
        let (Some(view), Ok(certificate)) = (found, state.describe_certificate(id)) else {
            return Grants::Nothing("the certificate is not registered");
        };
        if let Some(why) = standing(&view) {
            return Grants::Nothing(why);
        }
        let context = Context {
            // What a certificate says does not change.
            certificate: match before.and_then(Grants::certificate) {
                Some(known) => Some(known.clone()),
                None => Some(as_policies_see(id, &certificate.pem)),
            },
            thing: view.thing.as_deref().map_or(Attachment::Detached, attached),
            ..who.source.clone()
        };
        let (mut policies, group_policies) = (view.policies, view.group_policies);
        policies.extend(group_policies);
        let thing = view.thing.as_ref().map_or(0, |thing| {
            let attributes = thing.attributes.iter();
            attributes
                .map(|(name, value)| name.len() + value.len())
                .sum()
        });
        self.bound(policies, context, certificate.pem.len() + thing)
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

/// Why a certificate opens no connection (AWS-ID-02); nothing for an active one within its validity.
fn standing(view: &View) -> Option<&'static str> {
    let outside = "the certificate is outside its validity";
    why_not(view.status).or((!view.is_valid_now).then_some(outside))
}

/// Why a certificate of this status may have no connection; nothing for an active one.
pub(crate) fn why_not(status: CertificateStatus) -> Option<&'static str> {
    match status {
        CertificateStatus::Active => None,
        CertificateStatus::Inactive => Some("the certificate is INACTIVE"),
        CertificateStatus::Revoked => Some("the certificate is REVOKED"),
        CertificateStatus::PendingActivation => Some("the certificate is PENDING_ACTIVATION"),
    }
}

fn attached(thing: &registry::Thing) -> Attachment {
    Attachment::Attached(Thing {
        name: thing.name.clone(),
        type_name: thing.thing_type.clone(),
        attributes: thing.attributes.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::aws::registry::{Draft, Error, Means};
    use crate::time::Clock;

    struct Stand {
        inner: Arc<Inner>,
        now: Instant,
    }

    impl Stand {
        fn new() -> Self {
            let registry = Arc::new(Registry::in_memory(Scope::default()));
            let rules = AwsRules {
                anonymous_policy: Some("guests".to_owned()),
                ..AwsRules::default()
            };
            let clock = Clock::default();
            let now = clock.now().now + Duration::from_secs(1);
            let authority = Authority::new(registry, clock.calendar(), &rules);
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
            let who = Who {
                certificate_id: None,
                client_id: client_id.into(),
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
