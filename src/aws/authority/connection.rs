//! What one client may do, on one connection.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::auth::Principal;
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

    fn renew(&self, authorization: &Authorization) {
        let grants = self.inner.authorized(&self.who, authorization);
        self.view.lock().renew(grants);
    }
}
