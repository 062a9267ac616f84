//! Requests that are made of the broker by publishing to a topic of its own. Somebody above it serves them
//! (device shadows): he takes them as they come, and answers with messages, later and on a thread of his.
//! A client that has many unanswered is not read from.

use std::sync::Arc;

use crate::message::publication::Publication;

use super::session::Session;
use super::turn::Context;

/// Serves requests.
pub(crate) trait Service: Send + Sync {
    /// Takes a message, if it is a request. Whoever sent it may have a session locked: nothing may be asked
    /// of sessions here, nor may this take long. Returns whether it is one.
    fn take(
        &self,
        message: &Publication<'_>,
        author: Option<&Arc<Session>>,
        context: &Context<'_>,
    ) -> bool;
}

/// An unanswered request of a client, or of nobody in particular.
#[must_use]
pub(crate) struct Unanswered(Option<Arc<Session>>);

impl Unanswered {
    #[cfg_attr(
        not(any(feature = "aws", test)),
        expect(dead_code, reason = "nobody serves anything without")
    )]
    pub(crate) fn new(author: Option<&Arc<Session>>) -> Self {
        if let Some(session) = author {
            session.count_request();
        }
        Self(author.cloned())
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(session) = &self.0 {
            session.answer_request();
        }
    }
}
