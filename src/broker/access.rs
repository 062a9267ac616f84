//! What clients may do. Somebody above the broker may know (the policies of the AWS profile): it is
//! asked at CONNECT, and what it answers is asked from then on, at the door for each topic, for each
//! filter of a SUBSCRIBE, and for each delivery. A broker without asks nobody.
//!
//! | question | who asks |
//! | --- | --- |
//! | CONNECT | `client::connecting` |
//! | PUBLISH | [`deliver`](super::deliver) |
//! | SUBSCRIBE, each filter | `client::subscribing` |
//! | delivery, at every hand-over to a connection | [`outbox`](super::outbox) |
//!
//! The program that the broker runs in and the HTTP API are not asked about.

use std::sync::Arc;

use crate::auth::Principal;
use crate::message::will::Will;
use crate::protocol::violation::Violation;

use super::ConnectionFacts;

/// Knows what clients may do.
pub(crate) trait Access: Send + Sync {
    /// Lets a client in, or says why not.
    fn admit(&self, claim: &Claim<'_>) -> Result<Arc<dyn Permissions>, Violation>;
}

/// What a CONNECT asks for.
pub(crate) struct Claim<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) principal: &'a Principal,
    pub(crate) facts: &'a ConnectionFacts,
    pub(crate) will: Option<&'a Will>,
    /// The session may outlive the connection, or be one that did (AWS-ID-83).
    pub(crate) is_persistent: bool,
}

/// What one connection may do. It is asked each time, because that may change while the connection
/// lasts (AWS-ID-15); the answers to what is asked per message have to be at hand.
pub(crate) trait Permissions: Send + Sync {
    /// Whether the client may publish to `topic`, and keep a message there.
    fn may_publish(&self, topic: &str, retain: bool) -> bool;

    /// Why it may not.
    fn refuse_publish(&self, topic: &str, retain: bool) -> Violation;

    /// Whether the client may subscribe to `filter`, with its `$share/` and all; if not, why.
    fn check_subscribe(&self, filter: &str) -> Result<(), Violation>;

    /// Whether the client may get a message of `topic`; through the group of that ShareName, if one is
    /// given.
    fn may_receive(&self, topic: &str, share: Option<&str>) -> bool;
}
