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
#[cfg(feature = "aws")]
use std::time::Duration;
use std::time::Instant;

use crate::auth::Principal;
use crate::budget::Charge;
use crate::message::will::Will;
#[cfg(feature = "aws")]
use crate::policy::Document;
use crate::protocol::violation::Violation;

use super::facts::ConnectionFacts;
#[cfg(all(feature = "aws", feature = "websocket"))]
use super::facts::Upgrade;

/// Knows what clients may do.
pub(crate) trait Access: Send + Sync {
    /// Lets a client in, or says why not.
    fn admit(&self, claim: Claim<'_>) -> Result<Arc<dyn Permissions>, NotAdmitted>;

    /// Whether a certificate (DER) may have to be registered at the CONNECT of the client that shows it.
    #[cfg(all(feature = "aws", feature = "tls"))]
    fn may_enrol(&self, certificate: &[u8]) -> bool;

    /// Whether an authorizer says who a client is that has no principal.
    #[cfg(feature = "aws")]
    fn is_authorized_by_others(&self, username: Option<&str>, facts: &ConnectionFacts) -> bool;

    /// Whether an authorizer may want to see what a client sent with its upgrade to WebSocket.
    #[cfg(all(feature = "aws", feature = "websocket"))]
    fn looks_at(&self, upgrade: &Upgrade) -> bool;

    /// Registers the certificate of a client; topic and payload of what is to be told of it, again as
    /// long as it waits to be accepted. Takes as long as a disk.
    #[cfg(feature = "aws")]
    fn enrol(&self, facts: &ConnectionFacts, now: Instant) -> Option<(String, Vec<u8>)>;
}

/// Why a client does not get in.
pub(crate) enum NotAdmitted {
    #[cfg_attr(
        not(feature = "aws"),
        expect(dead_code, reason = "nobody refuses without")
    )]
    Refused {
        violation: Violation,
        /// Whether the client is told, as far as its version has words for it; otherwise the connection
        /// is just closed.
        is_told: bool,
    },
    /// [`Access::enrol`] comes first; then it is asked again.
    #[cfg(feature = "aws")]
    Unregistered,
}

/// What an authorizer says of a client (AWS-AUTH-03 to -06).
#[cfg(feature = "aws")]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Authorization {
    /// Who it is.
    pub(crate) principal: Arc<str>,
    /// What that may do.
    pub(crate) documents: Vec<Arc<Document>>,
    /// Their length, in bytes.
    pub(crate) size: usize,
    /// The connection ends so long after it began.
    pub(crate) disconnect_after: Duration,
    /// The authorizer is to be asked again after so long.
    pub(crate) refresh_after: Option<Duration>,
}

/// What a CONNECT asks for.
#[cfg_attr(
    not(feature = "aws"),
    expect(dead_code, reason = "nobody looks at it without")
)]
pub(crate) struct Claim<'a> {
    pub(crate) client_id: &'a str,
    pub(crate) principal: &'a Principal,
    pub(crate) facts: &'a ConnectionFacts,
    pub(crate) will: Option<&'a Will>,
    /// The session may outlive the connection, or be one that did (AWS-ID-83).
    pub(crate) is_persistent: bool,
    /// It has been to [`Access::enrol`], or cannot go there.
    pub(crate) has_enrolled: bool,
    /// What an authorizer says of the client, if one was asked.
    #[cfg(feature = "aws")]
    pub(crate) authorization: Option<&'a Authorization>,
    pub(crate) now: Instant,
    /// For what is kept about the connection.
    pub(crate) charge: Charge,
}

/// What one connection may do. It is asked each time, because that may change while the connection
/// lasts (AWS-ID-15); the answers to what is asked per message have to be at hand.
pub(crate) trait Permissions: Send + Sync {
    /// Whether the client may publish to `topic`, and keep a message there.
    fn may_publish(&self, topic: &str, retain: bool, now: Instant) -> bool;

    /// Why it may not.
    fn refuse_publish(&self, topic: &str, retain: bool, now: Instant) -> Violation;

    /// Whether the client may subscribe to `filter`, with its `$share/` and all; if not, why.
    fn check_subscribe(&self, filter: &str, now: Instant) -> Result<(), Violation>;

    /// Whether the client may get a message of `topic`; through the group of that ShareName, if one is
    /// given.
    fn may_receive(&self, topic: &str, share: Option<&str>, now: Instant) -> bool;

    /// Goes by what the authorizer of the client says now. Who has none is asked nothing of the kind.
    #[cfg(feature = "aws")]
    fn renew(&self, _: &Authorization) {}
}

#[cfg(test)]
mod tests {
    use parking_lot::RwLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::broker::doubles::{NoAlarm, Sink, connect_request};
    use crate::broker::{
        Attached, Broker, ConnectRequest, Dirty, Due, Link, Origin, Randomness, Request, Run,
        Takeover,
    };
    use crate::codec::client::decode_all;
    use crate::codec::{Packet, QoS, ReasonCode, RetainHandling, SubscribeOptions, Version};
    use crate::config::Config;
    use crate::message::publication::Publication;
    use crate::topic::Filter;

    /// Lets a client receive what does not begin with this.
    #[derive(Default)]
    struct Without {
        prefix: RwLock<Option<&'static str>>,
        asked: AtomicU64,
    }

    impl Permissions for Without {
        fn may_publish(&self, _: &str, _: bool, _: Instant) -> bool {
            true
        }

        fn refuse_publish(&self, topic: &str, _: bool, _: Instant) -> Violation {
            Violation::new(ReasonCode::NotAuthorized, "test", topic.to_owned())
        }

        fn check_subscribe(&self, _: &str, _: Instant) -> Result<(), Violation> {
            Ok(())
        }

        fn may_receive(&self, topic: &str, _: Option<&str>, _: Instant) -> bool {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let prefix = self.prefix.read();
            prefix.is_none_or(|prefix| !topic.starts_with(prefix))
        }
    }

    struct Stand {
        broker: Broker,
        now: Instant,
    }

    struct Client {
        link: Arc<Sink>,
        attached: Attached,
        permissions: Arc<Without>,
    }

    impl Stand {
        fn new() -> Self {
            let now = Instant::now();
            let random = Randomness::from_seed(1);
            let broker = Broker::new(Config::standard(), random, now, Arc::new(NoAlarm));
            Self { broker, now }
        }

        /// Connects a client whose session stays, and who may not receive what begins with `without`.
        fn connect(&self, client_id: &str, without: Option<&'static str>) -> Client {
            let permissions = Arc::new(Without {
                prefix: RwLock::new(without),
                ..Without::default()
            });
            let sink = Arc::new(Sink::default());
            let link: Arc<dyn Link> = sink.clone();
            let mut will = None;
            let request = ConnectRequest {
                clean_start: false,
                expiry: 3600,
                permissions: Some(permissions.clone()),
                takeover: Takeover::AtOnce,
                ..connect_request(client_id, &mut will)
            };
            let attached = self.call(|context, dirty| {
                self.broker
                    .connect(request, &link, |_| Vec::new(), context, dirty)
            });
            Client {
                link: sink,
                attached: attached.expect("a session"),
                permissions,
            }
        }

        fn call<R>(&self, f: impl FnOnce(&super::super::Context<'_>, &mut Dirty) -> R) -> R {
            let context = self.broker.context(self.now);
            let mut dirty = Dirty::default();
            let result = f(&context, &mut dirty);
            self.broker.flush_all(&context, dirty);
            result
        }

        fn subscribe(&self, client: &Client, filter: &str) {
            let request = Request {
                filter: Filter::parse(filter).expect("a filter"),
                options: SubscribeOptions {
                    qos: QoS::AtLeastOnce,
                    no_local: false,
                    retain_as_published: false,
                    retain_handling: RetainHandling::Send,
                },
                id: None,
            };
            self.call(|context, dirty| {
                let Attached { session, epoch, .. } = &client.attached;
                let mut due = Due::default();
                let reason = self
                    .broker
                    .subscribe(session, *epoch, &request, &mut due, context, dirty);
                assert_eq!(reason, ReasonCode::GrantedQoS1);
                self.broker.hand_out(session, due, context, dirty);
            });
        }

        fn leave(&self, client: Client) {
            self.call(|context, dirty| {
                let Attached { session, epoch, .. } = &client.attached;
                let cause = crate::message::cause::Cause::Lost("test".into());
                self.broker.detach(session, *epoch, cause, context, dirty);
            });
        }

        fn publish(&self, topic: &str, qos: QoS) {
            self.keep(topic, qos, false);
        }

        fn keep(&self, topic: &str, qos: QoS, retain: bool) {
            let mut publication = Publication::new(topic, b"x", qos);
            publication.retain = retain;
            self.call(|context, dirty| {
                let run = Run::one(&publication);
                self.broker
                    .deliver_and_forget(Origin::Outside, run, context, dirty);
            });
        }
    }

    impl Client {
        /// Topics of the messages that came, those that were sent again with a `+`.
        fn got(&self) -> Vec<String> {
            let bytes = self.link.take(<[u8]>::to_vec);
            let packets = decode_all(&bytes, Version::V5);
            let topic = |packet: &Packet<'_>| match packet {
                Packet::Publish(publish) if publish.dup => Some(format!("{}+", publish.topic)),
                Packet::Publish(publish) => Some(publish.topic.to_owned()),
                _ => None,
            };
            packets.iter().filter_map(topic).collect()
        }
    }

    /// AWS-ID-37
    #[test]
    fn live_and_retained_messages_are_kept_from_who_may_not_have_them() {
        let stand = Stand::new();
        stand.keep("a/kept", QoS::AtLeastOnce, true);
        stand.keep("b/kept", QoS::AtLeastOnce, true);
        let client = stand.connect("client", Some("a/"));
        stand.subscribe(&client, "#");
        assert_eq!(client.got(), ["b/kept"]);
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            stand.publish("a/x", qos);
            stand.publish("b/x", qos);
        }
        assert_eq!(client.got(), ["b/x"; 3]);
        assert_eq!(client.permissions.asked.load(Ordering::Relaxed), 8);
        *client.permissions.prefix.write() = None;
        stand.publish("a/x", QoS::AtLeastOnce);
        assert_eq!(client.got(), ["a/x"]);
    }

    /// AWS-ID-20: what waited for a session is looked at with the eyes of whom resumes it.
    #[test]
    fn a_session_gets_what_its_new_connection_may_have() {
        let stand = Stand::new();
        let client = stand.connect("client", None);
        stand.subscribe(&client, "#");
        stand.publish("a/open", QoS::AtLeastOnce);
        stand.publish("b/open", QoS::AtLeastOnce);
        assert_eq!(client.got(), ["a/open", "b/open"]);
        stand.leave(client);
        stand.publish("a/queued", QoS::AtLeastOnce);
        stand.publish("b/queued", QoS::AtLeastOnce);
        let client = stand.connect("client", Some("a/"));
        assert_eq!(client.got(), ["b/open+", "b/queued"]);
        let stats = stand.broker.stats(stand.now);
        assert_eq!((stats.queued, stats.dropped), (0, 2));
    }

    /// AWS-ID-39
    #[test]
    fn a_group_passes_over_members_that_may_not_have_a_message() {
        let stand = Stand::new();
        let [one, other] = ["one", "other"].map(|id| stand.connect(id, Some("a/")));
        stand.subscribe(&one, "$share/g/#");
        stand.subscribe(&other, "$share/g/#");
        stand.publish("a/1", QoS::AtMostOnce);
        stand.publish("a/2", QoS::AtLeastOnce);
        stand.publish("b/1", QoS::AtLeastOnce);
        stand.publish("b/2", QoS::AtLeastOnce);
        assert_eq!(
            (one.got(), other.got()),
            (vec!["b/1".to_owned()], vec!["b/2".to_owned()])
        );
        let third = stand.connect("third", None);
        stand.subscribe(&third, "$share/g/#");
        assert_eq!(
            third.got(),
            ["a/2"],
            "it has waited for somebody who may have it"
        );
        stand.publish("a/3", QoS::AtLeastOnce);
        assert_eq!(third.got(), ["a/3"]);
        stand.leave(third);
        let third = stand.connect("third", Some("a/"));
        assert_eq!(third.got(), [""; 0], "nor may its own come back");
        let fourth = stand.connect("fourth", None);
        stand.subscribe(&fourth, "$share/g/#");
        assert_eq!(fourth.got(), ["a/2", "a/3"]);
    }
}
