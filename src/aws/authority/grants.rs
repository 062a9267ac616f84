//! What a client has been granted, and what follows from that for a request.

use std::sync::Arc;

use crate::auth::Principal;
use crate::broker::access::{Claim, NotAdmitted};
use crate::codec::ReasonCode;
use crate::policy::{Action, Certificate, Context, Decision, Details, Policies, Request, Verdict};
use crate::protocol::violation::Violation;

/// The rule of a CONNECT that policies refuse.
pub(super) const CONNECT_REFUSED: &str = "AWS-FAIL-01";

/// Who has connected: what does not change while the connection lasts.
pub(super) struct Who {
    pub(super) principal: Principal,
    /// Without what the registry knows.
    pub(super) source: Context,
}

/// What a client may do.
pub(super) enum Grants {
    /// No policies hold.
    Everything,
    /// It should have no connection.
    Nothing(&'static str),
    Policies(Box<Bound>),
}

/// Policies that bind a client.
pub(super) struct Bound {
    pub(super) policies: Arc<Policies>,
    /// What it takes, in bytes.
    pub(super) size: usize,
    /// In the order of their documents.
    pub(super) names: Vec<String>,
    pub(super) context: Context,
}

impl Bound {
    /// Evaluates, and says why if the answer is no.
    pub(super) fn check(&self, request: &Request<'_>) -> Result<(), String> {
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

    pub(super) fn request<'a>(
        &'a self,
        action: Action,
        resource: &'a str,
        time: i64,
    ) -> Request<'a> {
        Request {
            time: Some(time),
            ..Request::new(action, resource, &self.context)
        }
    }
}

impl Grants {
    /// What they take, in bytes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Everything | Self::Nothing(_) => 0,
            Self::Policies(bound) => bound.size,
        }
    }

    /// The certificate, as policies see it.
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Everything | Self::Nothing(_) => None,
            Self::Policies(bound) => bound.context.certificate.as_ref(),
        }
    }

    /// Whether every request gets the verdict that it gets with `other`.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Everything, Self::Everything) => true,
            (Self::Nothing(why), Self::Nothing(other)) => why == other,
            (Self::Policies(bound), Self::Policies(other)) => {
                Arc::ptr_eq(&bound.policies, &other.policies)
                    && bound.names == other.names
                    && bound.context == other.context
            }
            _ => false,
        }
    }

    /// CONNECT as a whole: the client identifier, then the will (AWS-ID-30, -31).
    pub(super) fn check_connect(&self, claim: &Claim<'_>, time: i64) -> Result<(), NotAdmitted> {
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
        violation: Violation::new(ReasonCode::NotAuthorized, CONNECT_REFUSED, text),
        is_told,
    }
}

/// Publish, and RetainPublish for a message that is to be kept (AWS-ID-32, -33).
pub(super) fn check_publish(
    bound: &Bound,
    topic: &str,
    retain: bool,
    time: i64,
) -> Result<(), String> {
    let resource = format!("topic/{topic}");
    bound.check(&bound.request(Action::Publish, &resource, time))?;
    match retain {
        true => bound.check(&bound.request(Action::RetainPublish, &resource, time)),
        false => Ok(()),
    }
}

/// What is asked about a topic.
#[derive(Clone, Copy)]
pub(super) enum Question<'a> {
    Publish,
    /// A message that is to be kept.
    Retain,
    Receive,
    /// Through the group of this ShareName.
    ReceiveShared(&'a str),
}

/// A verdict, and whether it stands at any time.
#[derive(Clone, Copy)]
pub(super) struct Ruling {
    pub(super) is_allowed: bool,
    pub(super) is_lasting: bool,
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
    pub(super) fn rule(&self, question: Question<'_>, topic: &str, time: i64) -> Ruling {
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
