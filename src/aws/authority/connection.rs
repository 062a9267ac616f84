//! What one client may do, on one connection.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::auth::Principal;
#[cfg(feature = "http")]
use crate::aws::refusals::Deed;
use crate::broker::access::{Authorization, Permissions};
use crate::budget::Charge;
use crate::codec::ReasonCode;
use crate::policy::Action;
use crate::protocol::violation::Violation;

use super::Inner;
use super::grants::{Bound, Grants, Question, Who, check_publish};
use super::standing::Standing;

/// What one client may do, on one connection.
pub(super) struct Connection {
    inner: Arc<Inner>,
    who: Who,
    view: Mutex<Standing>,
}

impl Connection {
    /// One for which the registry stood at `version`.
    pub(super) fn new(
        inner: Arc<Inner>,
        who: Who,
        version: u64,
        grants: Grants,
        charge: Charge,
    ) -> Self {
        Self {
            inner,
            who,
            view: Mutex::new(Standing::new(version, grants, charge)),
        }
    }

    /// What it may do as things stand now.
    fn view(&self, now: Instant) -> MutexGuard<'_, Standing> {
        let mut view = self.view.lock();
        let version = self.inner.registry.version();
        if view.version != version {
            view.version = version;
            // What an authorizer said does not depend on the registry.
            if let Principal::Authorized(_) = self.who.principal {
                return view;
            }
            let grants = self.inner.grants(&self.who, Some(&view.grants), now);
            view.renew(grants);
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
        if let Some(is_allowed) = view.find(question, topic) {
            return is_allowed;
        }
        let Grants::Policies(bound) = &view.grants else {
            return false;
        };
        let ruling = bound.rule(question, topic, self.inner.seconds(now));
        #[cfg(feature = "http")]
        if !ruling.is_allowed {
            self.note_not_received(bound, question, topic, now);
        }
        if ruling.is_lasting {
            view.keep(question, topic, ruling.is_allowed);
        }
        ruling.is_allowed
    }

    /// Keeps the refusal of a delivery. One of a topic that was refused before is not asked about again, as long
    /// as its verdict stands.
    #[cfg(feature = "http")]
    #[cold]
    fn note_not_received(&self, bound: &Bound, question: Question<'_>, topic: &str, now: Instant) {
        let time = self.inner.seconds(now);
        let check = |resource: &str| bound.check(&bound.request(Action::Receive, resource, time));
        let plain = check(&format!("topic/{topic}"));
        let (resource, checked) = match question {
            Question::Receive => (topic.to_owned(), plain),
            Question::ReceiveShared(share) => {
                let resource = format!("$share/{share}/{topic}");
                let shared = check(&format!("topic/{resource}"));
                (resource, plain.and(shared))
            }
            // Whoever publishes is told, and that is kept.
            Question::Publish | Question::Retain => return,
        };
        let deed = Deed {
            action: "receive",
            resource: &resource,
            ..Deed::of_policy()
        };
        let why = checked.err();
        let why = why.as_deref().unwrap_or("not authorized");
        self.inner.note(&self.who, deed, why, now);
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
        let refusal = refusal
            .unwrap_or_else(|| Violation::new(ReasonCode::NotAuthorized, RULE, "not authorized"));
        #[cfg(feature = "http")]
        {
            let deed = Deed {
                action: "publish",
                resource: topic,
                retain,
                ..Deed::of_policy()
            };
            self.inner.note(&self.who, deed, &refusal.text, now);
        }
        refusal
    }

    fn check_subscribe(&self, filter: &str, now: Instant) -> Result<(), Violation> {
        let checked = self.check("AWS-FAIL-04", now, |bound, time| {
            let resource = format!("topicfilter/{filter}");
            bound.check(&bound.request(Action::Subscribe, &resource, time))
        });
        #[cfg(feature = "http")]
        if let Err(refusal) = &checked {
            let deed = Deed {
                action: "subscribe",
                resource: filter,
                ..Deed::of_policy()
            };
            self.inner.note(&self.who, deed, &refusal.text, now);
        }
        checked
    }

    fn may_receive(&self, topic: &str, share: Option<&str>, now: Instant) -> bool {
        let question = share.map_or(Question::Receive, Question::ReceiveShared);
        self.may(question, topic, now)
    }

    fn renew(&self, authorization: &Authorization) {
        let grants = self.inner.authorized(&self.who, authorization);
        self.view.lock().renew(grants);
    }
}
