//! Who may do what: the policies of the registry, asked for each connection.
//!
//! A verdict is looked up, not evaluated, where it stands for as long as neither the registry nor the
//! connection changes: per topic for Publish and Receive. One that depends on the time is worked out each
//! time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::auth::Principal;
use crate::broker::ConnectionFacts;
use crate::broker::access::{Access, Claim, NotAdmitted, Permissions};
use crate::budget::Charge;
use crate::codec::ReasonCode;
use crate::config::{AwsRules, PolicyMode};
use crate::policy::{
    Action, Attachment, Context, Decision, Details, Policies, Request, Scope, Thing, Verdict,
};
use crate::protocol::violation::Violation;
use crate::time::{Calendar, milliseconds};

use super::certificate::as_policies_see;
use super::enrolment;
use super::registry::{self, CertificateStatus, Means, PolicyFact, Registry, State, View};

/// Verdicts that a connection keeps; beyond them it begins anew.
const KEPT: usize = 512;

/// Sets of policies that are kept ready before the first look for those that nobody has any more.
const TIDIED_AT: usize = 64;

/// What a connection that is bound takes besides what is known of its client.
const BOUND: usize = 1024;

/// What a verdict takes besides its topic, and a group besides its name.
const VERDICT: usize = 64;
const GROUP: usize = 128;

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
    compiled: Mutex<Compiled>,
}

/// Policies that were made ready, shared by all who have the same ones: by the addresses of their
/// documents, which last for as long as the policies do.
#[derive(Default)]
struct Compiled {
    known: HashMap<Vec<usize>, Weak<Policies>>,
    /// Those that nobody has any more are looked for when there are so many.
    tidied_at: usize,
}

impl Compiled {
    fn of(&mut self, facts: &[PolicyFact], scope: &Scope) -> Arc<Policies> {
        let documents = facts.iter().map(|fact| &fact.document);
        let addresses: Vec<usize> = documents
            .clone()
            .map(|one| Arc::as_ptr(one).addr())
            .collect();
        if let Some(known) = self.known.get(&addresses).and_then(Weak::upgrade) {
            return known;
        }
        if self.known.len() >= self.tidied_at {
            self.known.retain(|_, policies| policies.strong_count() > 0);
            self.tidied_at = 2 * self.known.len() + TIDIED_AT;
        }
        let made = Arc::new(Policies::new(documents.cloned(), scope));
        self.known.insert(addresses, Arc::downgrade(&made));
        made
    }
}

impl Authority {
    pub(crate) fn new(
        registry: Arc<Registry>,
        calendar: Calendar,
        random: fn() -> u128,
        rules: &AwsRules,
    ) -> Self {
        let inner = Inner {
            scope: registry.state().scope().clone(),
            registry,
            calendar,
            random,
            enforces: rules.policies == PolicyMode::Enforce,
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
        if !claim.has_enrolled && enrolment::is_due(&self.inner.registry.state(), &claim) {
            return Err(NotAdmitted::Unregistered);
        }
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
        let grants = self.inner.grants(&who, claim.now);
        let time = self.inner.seconds(claim.now);
        grants.check_connect(&claim, time)?;
        Ok(Arc::new(Connection {
            inner: self.inner.clone(),
            who,
            view: Mutex::new(Standing::new(version, grants, claim.charge)),
        }))
    }

    #[cfg(feature = "tls")]
    fn may_enrol(&self, certificate: &[u8]) -> bool {
        self.inner.registry.state().may_auto_register(certificate)
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

    /// Seconds since 1970.
    fn seconds(&self, now: Instant) -> i64 {
        i64::try_from(self.milliseconds(now) / 1000).unwrap_or(i64::MAX)
    }

    /// Whether policies hold: from the first one on, or always.
    fn policies_hold(&self, state: &State) -> bool {
        self.enforces || state.policies_hold()
    }

    /// What a client has been granted as things stand.
    fn grants(&self, who: &Who, now: Instant) -> Grants {
        let state = self.registry.state();
        if !self.policies_hold(&state) {
            // What somebody said of a certificate holds all the same.
            let id = who.certificate_id.as_deref();
            let view = id.and_then(|id| state.view(id, &who.client_id, self.milliseconds(now)));
            let refused = view.as_ref().and_then(standing);
            return refused.map_or(Grants::Everything, Grants::Nothing);
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
            certificate: Some(as_policies_see(id, &certificate.pem)),
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

/// Who has connected: what does not change while the connection lasts.
struct Who {
    certificate_id: Option<Arc<str>>,
    client_id: Box<str>,
    /// Without what the registry knows.
    source: Context,
}

/// What a client may do.
enum Grants {
    /// No policies hold.
    Everything,
    /// It should have no connection.
    Nothing(&'static str),
    Policies(Box<Bound>),
}

/// Policies that bind a client.
struct Bound {
    policies: Arc<Policies>,
    /// What it takes, in bytes.
    size: usize,
    /// In the order of their documents.
    names: Vec<String>,
    context: Context,
}

impl Bound {
    /// Evaluates, and says why if the answer is no.
    fn check(&self, request: &Request<'_>) -> Result<(), String> {
        let decision = self.policies.evaluate(request);
        match decision.verdict {
            Verdict::Allowed => Ok(()),
            Verdict::ExplicitDeny | Verdict::ImplicitDeny => Err(self.explain(request, decision)),
        }
    }

    fn explain(&self, request: &Request<'_>, decision: Decision) -> String {
        let (action, resource) = (request.action.name(), request.resource);
        let Some(place) = decision.decided_by else {
            let grant = self.policies.smallest_grant(request);
            return format!("no policy allows {action} on {resource}; this would: {grant}");
        };
        let policy = self.names.get(place.document).map_or("", |name| name);
        let statement = self.policies.statement(place);
        let sid = statement.and_then(|statement| statement.sid());
        match sid {
            Some(sid) => {
                format!("statement {sid} of policy {policy} denies {action} on {resource}")
            }
            None => format!(
                "statement {} of policy {policy} denies {action} on {resource}",
                place.statement + 1
            ),
        }
    }

    fn request<'a>(&'a self, action: Action, resource: &'a str, time: i64) -> Request<'a> {
        Request {
            time: Some(time),
            ..Request::new(action, resource, &self.context)
        }
    }
}

impl Grants {
    /// What they take, in bytes.
    fn size(&self) -> usize {
        match self {
            Self::Everything | Self::Nothing(_) => 0,
            Self::Policies(bound) => bound.size,
        }
    }

    /// CONNECT as a whole: the client identifier, then the will (AWS-ID-30, -31).
    fn check_connect(&self, claim: &Claim<'_>, time: i64) -> Result<(), NotAdmitted> {
        let bound = match self {
            Self::Everything => return Ok(()),
            // AWS-ID-03
            Self::Nothing(why) => return Err(not_admitted(*why, false)),
            Self::Policies(bound) => bound,
        };
        let resource = format!("client/{}", claim.client_id);
        let mut connect = bound.request(Action::Connect, &resource, time);
        connect.details = Details {
            persistent: claim.is_persistent,
            will_topic: claim.will.map(|will| &*will.topic),
            ..Details::default()
        };
        let refused = |text: String| not_admitted(text, true);
        bound.check(&connect).map_err(refused)?;
        match claim.will {
            Some(will) => check_publish(bound, &will.topic, will.retain, time).map_err(refused),
            None => Ok(()),
        }
    }
}

fn not_admitted(text: impl Into<std::borrow::Cow<'static, str>>, is_told: bool) -> NotAdmitted {
    NotAdmitted::Refused {
        violation: Violation::new(ReasonCode::NotAuthorized, "AWS-FAIL-01", text),
        is_told,
    }
}

/// Publish, and RetainPublish for a message that is to be kept (AWS-ID-32, -33).
fn check_publish(bound: &Bound, topic: &str, retain: bool, time: i64) -> Result<(), String> {
    let resource = format!("topic/{topic}");
    bound.check(&bound.request(Action::Publish, &resource, time))?;
    match retain {
        true => bound.check(&bound.request(Action::RetainPublish, &resource, time)),
        false => Ok(()),
    }
}

/// What one client may do, on one connection.
struct Connection {
    inner: Arc<Inner>,
    who: Who,
    view: Mutex<Standing>,
}

/// What it may do as the registry stands, and what was worked out of that.
struct Standing {
    version: u64,
    grants: Grants,
    publish: Verdicts,
    /// Both Publish and RetainPublish.
    retain: Verdicts,
    receive: Verdicts,
    /// Receive through groups, by ShareName.
    shared: Vec<(Box<str>, Verdicts)>,
    /// Verdicts of all kinds.
    kept: usize,
    /// Accounts for them.
    charge: Charge,
}

/// By topic.
type Verdicts = HashMap<Box<str>, bool>;

/// What is asked about a topic.
#[derive(Clone, Copy)]
enum Question<'a> {
    Publish,
    /// A message that is to be kept.
    Retain,
    Receive,
    /// Through the group of this ShareName.
    ReceiveShared(&'a str),
}

impl Standing {
    fn new(version: u64, grants: Grants, mut charge: Charge) -> Self {
        charge.set(grants.size());
        Self {
            version,
            grants,
            publish: Verdicts::default(),
            retain: Verdicts::default(),
            receive: Verdicts::default(),
            shared: Vec::new(),
            kept: 0,
            charge,
        }
    }

    fn verdicts(&mut self, question: Question<'_>) -> Option<&mut Verdicts> {
        match question {
            Question::Publish => Some(&mut self.publish),
            Question::Retain => Some(&mut self.retain),
            Question::Receive => Some(&mut self.receive),
            Question::ReceiveShared(share) => {
                let mut groups = self.shared.iter_mut();
                let group = groups.find(|(name, _)| **name == *share);
                group.map(|(_, verdicts)| verdicts)
            }
        }
    }

    /// Keeps a verdict, if there is memory for it.
    fn keep(&mut self, question: Question<'_>, topic: &str, is_allowed: bool) {
        if self.kept >= KEPT {
            self.forget();
        }
        let share = match question {
            Question::ReceiveShared(share) if self.verdicts(question).is_none() => Some(share),
            _ => None,
        };
        let bytes = VERDICT + topic.len() + share.map_or(0, |share| GROUP + share.len());
        if self.charge.grow(bytes).is_err() {
            return;
        }
        if let Some(share) = share {
            self.shared.push((share.into(), Verdicts::default()));
        }
        self.kept += 1;
        if let Some(verdicts) = self.verdicts(question) {
            verdicts.insert(topic.into(), is_allowed);
        }
    }

    fn forget(&mut self) {
        self.publish = Verdicts::default();
        self.retain = Verdicts::default();
        self.receive = Verdicts::default();
        self.shared = Vec::new();
        self.kept = 0;
        self.charge.set(self.grants.size());
    }
}

/// A verdict, and whether it stands at any time.
#[derive(Clone, Copy)]
struct Ruling {
    is_allowed: bool,
    is_lasting: bool,
}

impl From<Decision> for Ruling {
    fn from(decision: Decision) -> Self {
        Self {
            is_allowed: decision.verdict == Verdict::Allowed,
            is_lasting: decision.is_lasting,
        }
    }
}

impl Bound {
    fn rule(&self, question: Question<'_>, topic: &str, time: i64) -> Ruling {
        let resource = format!("topic/{topic}");
        let decide = |action, resource: &str| {
            let request = self.request(action, resource, time);
            self.policies.evaluate(&request)
        };
        match question {
            Question::Publish => decide(Action::Publish, &resource).into(),
            Question::Receive => decide(Action::Receive, &resource).into(),
            Question::Retain => {
                let publish: Ruling = decide(Action::Publish, &resource).into();
                let retain: Ruling = decide(Action::RetainPublish, &resource).into();
                Ruling {
                    is_allowed: publish.is_allowed && retain.is_allowed,
                    is_lasting: publish.is_lasting && retain.is_lasting,
                }
            }
            // Either resource may be allowed, and neither denied (AWS-OPEN-08).
            Question::ReceiveShared(share) => {
                let plain = decide(Action::Receive, &resource);
                let shared = decide(Action::Receive, &format!("topic/$share/{share}/{topic}"));
                let verdicts = [plain.verdict, shared.verdict];
                Ruling {
                    is_allowed: verdicts.contains(&Verdict::Allowed)
                        && !verdicts.contains(&Verdict::ExplicitDeny),
                    is_lasting: plain.is_lasting && shared.is_lasting,
                }
            }
        }
    }
}

impl Connection {
    /// What it may do as things stand now.
    fn view(&self, now: Instant) -> MutexGuard<'_, Standing> {
        let mut view = self.view.lock();
        let version = self.inner.registry.version();
        if view.version != version {
            view.version = version;
            view.grants = self.inner.grants(&self.who, now);
            view.forget();
        }
        view
    }

    /// The verdict on `topic`: one that was kept, or what the policies say now.
    fn may(&self, question: Question<'_>, topic: &str, now: Instant) -> bool {
        let mut view = self.view(now);
        match view.grants {
            Grants::Everything => return true,
            Grants::Nothing(_) => return false,
            Grants::Policies(_) => {}
        }
        let kept = view.verdicts(question);
        if let Some(is_allowed) = kept.and_then(|verdicts| verdicts.get(topic)) {
            return *is_allowed;
        }
        let Grants::Policies(bound) = &view.grants else {
            return false;
        };
        let ruling = bound.rule(question, topic, self.inner.seconds(now));
        if ruling.is_lasting {
            view.keep(question, topic, ruling.is_allowed);
        }
        ruling.is_allowed
    }

    /// What the policies say now, with the reason for a refusal.
    fn check(
        &self,
        rule: &'static str,
        now: Instant,
        check: impl FnOnce(&Bound, i64) -> Result<(), String>,
    ) -> Result<(), Violation> {
        let checked = match &self.view(now).grants {
            Grants::Everything => Ok(()),
            Grants::Nothing(why) => Err((*why).to_owned()),
            Grants::Policies(bound) => check(bound, self.inner.seconds(now)),
        };
        checked.map_err(|text| Violation::new(ReasonCode::NotAuthorized, rule, text))
    }
}

impl Permissions for Connection {
    fn may_publish(&self, topic: &str, retain: bool, now: Instant) -> bool {
        match retain {
            true => self.may(Question::Retain, topic, now),
            false => self.may(Question::Publish, topic, now),
        }
    }

    fn refuse_publish(&self, topic: &str, retain: bool, now: Instant) -> Violation {
        const RULE: &str = "AWS-FAIL-02";
        let check = |bound: &Bound, time| check_publish(bound, topic, retain, time);
        let refusal = self.check(RULE, now, check).err();
        // The policies may have changed in between.
        refusal.unwrap_or_else(|| Violation::new(ReasonCode::NotAuthorized, RULE, "not authorized"))
    }

    fn check_subscribe(&self, filter: &str, now: Instant) -> Result<(), Violation> {
        self.check("AWS-FAIL-04", now, |bound, time| {
            let resource = format!("topicfilter/{filter}");
            bound.check(&bound.request(Action::Subscribe, &resource, time))
        })
    }

    fn may_receive(&self, topic: &str, share: Option<&str>, now: Instant) -> bool {
        let question = share.map_or(Question::Receive, Question::ReceiveShared);
        self.may(question, topic, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Document;

    fn fact(name: &str) -> PolicyFact {
        let document = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}}"#;
        PolicyFact {
            name: name.to_owned(),
            version: 1,
            document: Arc::new(Document::parse(document).unwrap()),
        }
    }

    #[test]
    fn clients_with_the_same_policies_share_them_while_somebody_has_them() {
        let (mut compiled, scope) = (Compiled::default(), Scope::default());
        let facts = [fact("a"), fact("b")];
        let one = compiled.of(&facts, &scope);
        assert!(Arc::ptr_eq(&one, &compiled.of(&facts, &scope)));
        assert!(!Arc::ptr_eq(&one, &compiled.of(&facts[..1], &scope)));
        for _ in 0..1000 {
            compiled.of(&[fact("passing")], &scope);
        }
        assert!(
            compiled.known.len() < 4 * TIDIED_AT,
            "{}",
            compiled.known.len()
        );
        assert!(Arc::ptr_eq(&one, &compiled.of(&facts, &scope)));
    }
}
