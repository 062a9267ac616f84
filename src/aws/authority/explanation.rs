//! What a client would be told, and why: the same questions as the broker's, with every step shown.

use std::time::Instant;

use crate::auth::Principal;
use crate::policy::{Action, Attachment, Context, Details, Place, Verdict};

use super::Authority;
use super::grants::{Bound, Grants, Who};

/// Who does something.
pub(crate) struct Client {
    pub(crate) principal: Principal,
    /// Its client identifier, and where it comes from.
    pub(crate) source: Context,
}

/// What a client does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed<'a> {
    /// A CONNECT, with the topic of its will and whether that is to be kept.
    Connect {
        client_id: &'a str,
        persistent: bool,
        will: Option<(&'a str, bool)>,
    },
    /// A PUBLISH.
    Publish { topic: &'a str, retain: bool },
    /// A filter of a SUBSCRIBE, as it is written there.
    Subscribe { filter: &'a str },
    /// A delivery, maybe through the group of a ShareName.
    Receive {
        topic: &'a str,
        share: Option<&'a str>,
    },
    /// A call of the data plane, about what follows the account in an ARN.
    Call { action: Action, resource: &'a str },
}

/// What becomes of a deed.
pub(crate) struct Explanation {
    pub(crate) is_allowed: bool,
    /// Why, where no policy was asked.
    pub(crate) reason: Option<&'static str>,
    /// The names of those that bind the client.
    pub(crate) policies: Vec<String>,
    /// What the policies were asked.
    pub(crate) checks: Vec<Check>,
}

/// One question to the policies, and its answer.
pub(crate) struct Check {
    pub(crate) action: Action,
    /// `topic/a/b`
    pub(crate) resource: String,
    pub(crate) verdict: Verdict,
    /// The statement that decided; none for an implicit deny.
    pub(crate) decided_by: Option<Decider>,
    /// Whether there is the same verdict at any other time.
    pub(crate) is_lasting: bool,
    /// Variables and keys in statements about the action, with what they stand for.
    pub(crate) variables: Vec<(String, Option<String>)>,
    /// For an implicit deny the statements that almost allow it, with what keeps them from that.
    pub(crate) near_misses: Vec<(Decider, String)>,
    /// The smallest statement that would allow it, for an implicit deny: JSON.
    pub(crate) smallest_grant: Option<String>,
}

/// A statement of a policy.
pub(crate) struct Decider {
    pub(crate) policy: String,
    /// Counted from 0.
    pub(crate) statement: usize,
    pub(crate) sid: Option<String>,
}

impl Authority {
    /// Says what would become of a deed now.
    pub(crate) fn explain(&self, client: Client, deed: Deed<'_>, now: Instant) -> Explanation {
        let who = Who {
            principal: client.principal,
            source: client.source,
        };
        let mut bound = match self.inner.grants(&who, None, now) {
            Grants::Everything => return Explanation::settled(true, "no policies hold for it"),
            Grants::Nothing(why) => return Explanation::settled(false, why),
            Grants::Policies(bound) => bound,
        };
        if let Deed::Call { .. } = deed {
            // AWS-ID-42
            bound.context.thing = Attachment::Unknown;
        }
        let time = self.inner.seconds(now);
        let questions = deed.questions().into_iter();
        let checks: Vec<_> = questions
            .map(|(action, resource, details)| bound.look_into(action, resource, details, time))
            .collect();
        Explanation {
            is_allowed: deed.is_allowed(&checks),
            reason: None,
            policies: bound.names,
            checks,
        }
    }
}

impl Explanation {
    /// What needs no question to policies.
    pub(crate) fn settled(is_allowed: bool, reason: &'static str) -> Self {
        Self {
            is_allowed,
            reason: Some(reason),
            policies: Vec::new(),
            checks: Vec::new(),
        }
    }
}

impl<'a> Deed<'a> {
    /// What the policies are asked about it.
    fn questions(self) -> Vec<(Action, String, Details<'a>)> {
        let publish = |topic, retain| {
            let actions = [(Action::Publish, true), (Action::RetainPublish, retain)];
            let actions = actions.into_iter().filter(|(_, is_asked)| *is_asked);
            actions.map(move |(action, _)| (action, format!("topic/{topic}"), Details::default()))
        };
        match self {
            Self::Connect {
                client_id,
                persistent,
                will,
            } => {
                let details = Details {
                    persistent,
                    will_topic: will.map(|(topic, _)| topic),
                    ..Details::default()
                };
                let connect = (Action::Connect, format!("client/{client_id}"), details);
                let will = will.into_iter();
                let will = will.flat_map(|(topic, retain)| publish(topic, retain));
                std::iter::once(connect).chain(will).collect()
            }
            Self::Publish { topic, retain } => publish(topic, retain).collect(),
            Self::Subscribe { filter } => {
                let resource = format!("topicfilter/{filter}");
                vec![(Action::Subscribe, resource, Details::default())]
            }
            Self::Call { action, resource } => {
                vec![(action, resource.to_owned(), Details::default())]
            }
            Self::Receive { topic, share } => {
                let plain = Some(format!("topic/{topic}"));
                let shared = share.map(|share| format!("topic/$share/{share}/{topic}"));
                let resources = plain.into_iter().chain(shared);
                resources
                    .map(|resource| (Action::Receive, resource, Details::default()))
                    .collect()
            }
        }
    }

    fn is_allowed(self, checks: &[Check]) -> bool {
        let mut verdicts = checks.iter().map(|check| check.verdict);
        match self {
            // Either resource may be allowed, and neither denied (AWS-OPEN-08).
            Self::Receive { .. } => {
                verdicts
                    .clone()
                    .all(|verdict| verdict != Verdict::ExplicitDeny)
                    && verdicts.any(|verdict| verdict == Verdict::Allowed)
            }
            _ => verdicts.all(|verdict| verdict == Verdict::Allowed),
        }
    }
}

impl Bound {
    fn look_into(
        &self,
        action: Action,
        resource: String,
        details: Details<'_>,
        time: i64,
    ) -> Check {
        let mut request = self.request(action, &resource, time);
        request.details = details;
        let decision = self.policies.evaluate(&request);
        let decided_by = decision.decided_by.map(|place| self.decider(place));
        let is_grant_missing = decision.verdict == Verdict::ImplicitDeny;
        let near_misses = match is_grant_missing {
            true => self.policies.near_misses(&request),
            false => Vec::new(),
        };
        let near_misses = near_misses.into_iter();
        let near_misses = near_misses.map(|miss| (self.decider(miss.place), miss.why));
        Check {
            action,
            verdict: decision.verdict,
            decided_by,
            is_lasting: decision.is_lasting,
            variables: self.policies.variables(&request),
            near_misses: near_misses.collect(),
            smallest_grant: is_grant_missing.then(|| self.policies.smallest_grant(&request)),
            resource,
        }
    }
    fn decider(&self, place: Place) -> Decider {
        let statement = self.policies.statement(place);
        Decider {
            policy: self.names.get(place.document).cloned().unwrap_or_default(),
            statement: place.statement,
            sid: statement.and_then(|found| found.sid().map(str::to_owned)),
        }
    }
}
