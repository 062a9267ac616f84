//! What the broker was told: packets that it handled, and connections that ended.

use std::time::Duration;

use crate::codec::{
    Ack, Connect, Packet, PacketId, Publish, QoS, ReasonCode, RetainHandling, Subscribe,
    Unsubscribe, Version,
};
use crate::topic::{Filter, HashParent, matches};

use super::{Answer, AtOnce, Departure, Due, Ledger, Replay, Source, Subscription, Will};

/// A Session Expiry Interval that never runs out.
pub(super) const NEVER: u32 = u32::MAX;

impl Ledger {
    /// A CONNECT was handled; the connection that it took over has been reported as ended.
    pub(crate) fn connect(&mut self, at: usize, connect: &Connect<'_>) {
        self.call.events += 1;
        let known = self.by_client.get(connect.client_id).copied();
        let mut wills = std::mem::take(&mut self.call.wills);
        if let Some(session) = known {
            assert!(
                self.sessions[session].connection.is_none(),
                "'{}' was not taken over",
                connect.client_id
            );
            if connect.clean_start {
                wills.extend(self.end_session(session));
            }
        }
        let session_present = self.by_client.contains_key(connect.client_id);
        let session = match self.by_client.get(connect.client_id) {
            Some(session) => *session,
            None => self.make_session(connect.client_id),
        };
        self.attach(at, session, connect);
        self.connections[at]
            .answers
            .push_back(Answer::Connack { session_present });
        for (publisher, number) in wills {
            self.publish(Some(publisher), number);
        }
    }

    fn attach(&mut self, at: usize, session: usize, connect: &Connect<'_>) {
        let properties = &connect.properties;
        let connection = &mut self.connections[at];
        connection.session = Some(session);
        connection.receive_maximum = usize::from(properties.receive_maximum.unwrap_or(u16::MAX));
        connection.packet_size = properties
            .maximum_packet_size
            .map_or(usize::MAX, |size| size as usize);
        connection.alias_maximum = properties.topic_alias_maximum.unwrap_or(0);
        self.cancel_timers(session);
        self.call_home(session);
        let session = &mut self.sessions[session];
        session.connection = Some(at);
        session.expiry = match connect.version {
            Version::V5 => properties.session_expiry.unwrap_or(0),
            Version::V311 if connect.clean_start => 0,
            Version::V311 => NEVER,
        };
        session.will = connect.will.as_ref().map(|will| Will {
            number: number_of(will.payload),
            delay: Duration::from_secs(u64::from(will.delay_secs)),
        });
    }

    /// A message of nobody was published.
    pub(crate) fn publish_outside(&mut self, number: u64) {
        self.call.events += 1;
        self.publish(None, number);
    }

    /// A packet of an established connection was handled.
    pub(crate) fn packet(&mut self, at: usize, packet: &Packet<'_>) {
        self.call.events += 1;
        let session = self
            .session_of(at)
            .expect("packets are handled while the connection has its session");
        match packet {
            Packet::Publish(publish) => self.publish_in(at, session, publish),
            Packet::Puback(ack) => self.acknowledge(session, ack.packet_id, QoS::AtLeastOnce),
            Packet::Pubrec(ack) => self.pubrec(at, session, ack),
            Packet::Pubrel(ack) => {
                let is_known = self.sessions[session].received.remove(&ack.packet_id);
                self.answer(at, Answer::Pubcomp(ack.packet_id, known(is_known)));
            }
            Packet::Pubcomp(ack) => self.pubcomp(session, ack.packet_id),
            Packet::Subscribe(subscribe) => self.subscribe(at, session, subscribe),
            Packet::Unsubscribe(unsubscribe) => self.unsubscribe(at, session, unsubscribe),
            Packet::Pingreq => self.answer(at, Answer::Pingresp),
            Packet::Disconnect(disconnect) => {
                self.connections[at].departure = Some(Departure {
                    discard_will: disconnect.reason == ReasonCode::Success,
                    expiry: disconnect.session_expiry,
                });
            }
            other => panic!("a client does not send {other:?}"),
        }
    }

    fn answer(&mut self, at: usize, answer: Answer) {
        self.connections[at].answers.push_back(answer);
    }

    fn publish_in(&mut self, at: usize, session: usize, publish: &Publish<'_>) {
        let number = number_of(publish.payload);
        let Some(id) = publish.packet_id else {
            self.publish(Some(session), number);
            return;
        };
        // One that came before takes no more room.
        let is_known =
            publish.qos == QoS::ExactlyOnce && self.sessions[session].received.contains(&id);
        if publish.qos == QoS::ExactlyOnce && !self.sessions[session].received.insert(id) {
            self.answer_publish(at, id, publish.qos, ReasonCode::Success);
            return;
        }
        let reason = match self.publish(Some(session), number) {
            true => ReasonCode::Success,
            false => ReasonCode::NoMatchingSubscribers,
        };
        // In MQTT 3.1.1 a packet that is refused ends the connection, and was not handled.
        if self.call.is_exhausted && !is_known {
            self.call.at_once = Some(AtOnce {
                at,
                number,
                order: self.published,
                is_refused: false,
            });
        }
        self.answer_publish(at, id, publish.qos, reason);
    }

    /// The message that may not wait was refused. Returns whether there is such a message.
    pub(super) fn refuse_at_once(&mut self, at: usize) -> bool {
        let at_once = self.call.at_once.as_mut().filter(|one| one.at == at);
        let Some(at_once) = at_once else { return false };
        at_once.is_refused = true;
        // PUBREC with an error ends the exchange.
        if let Some(Answer::Pubrec(id, _)) = self.connections[at].answers.front()
            && let Some(session) = self.connections[at].session
        {
            self.sessions[session].received.remove(id);
        }
        true
    }

    fn answer_publish(&mut self, at: usize, id: PacketId, qos: QoS, reason: ReasonCode) {
        let answer = match qos {
            QoS::ExactlyOnce => Answer::Pubrec(id, reason),
            QoS::AtMostOnce | QoS::AtLeastOnce => Answer::Puback(id, reason),
        };
        self.answer(at, answer);
    }

    /// A message is published: it is due to all that subscribe to its topic. Returns whether
    /// anybody does.
    pub(super) fn publish(&mut self, publisher: Option<usize>, number: u64) -> bool {
        self.published += 1;
        let (order, now) = (self.published, self.now);
        let message = self
            .messages
            .get_mut(&number)
            .expect("a message that was made");
        assert_eq!(message.order, None, "message {number} is published twice");
        message.order = Some(order);
        message.expires_at = message
            .expiry
            .map(|secs| now + Duration::from_secs(u64::from(secs)));
        let message = message.clone();
        if message.retain {
            let former = self.retained.insert(message.topic.clone(), number);
            for session in &mut self.sessions {
                session
                    .replays
                    .retain(|replay| Some(replay.number) != former);
            }
        }
        let mut is_matched = false;
        for index in 0..self.sessions.len() {
            let is_own = publisher == Some(index);
            let session = &mut self.sessions[index];
            let matching: Vec<Subscription> = session
                .subscriptions
                .iter()
                .filter(|(filter, subscription)| {
                    subscription.group.is_none() && covers(filter, &message.topic)
                })
                .map(|(_, subscription)| subscription.clone())
                .collect();
            is_matched |= !matching.is_empty();
            let wanted = matching
                .into_iter()
                .filter(|subscription| !(is_own && subscription.no_local));
            let copies: Vec<Vec<Subscription>> = match self.rules.copy_each {
                true => wanted.map(|subscription| vec![subscription]).collect(),
                false => Some(wanted.collect()).into_iter().collect(),
            };
            for copy in copies.iter().filter(|copy| !copy.is_empty()) {
                session.expect(due(copy, order, number, message.qos, message.retain));
            }
        }
        for group in &mut self.groups {
            if !group.members.is_empty() && covers(&group.filter, &message.topic) {
                is_matched = true;
                let is_large = self.rules.is_large(&message);
                group.expect(order, number, message.qos, is_large);
            }
        }
        is_matched
    }

    /// PUBACK, or a PUBREC with an error: the exchange is over.
    fn acknowledge(&mut self, session: usize, id: PacketId, qos: QoS) {
        let window = &mut self.sessions[session].window;
        if window
            .get(&id)
            .is_some_and(|open| open.qos == qos && !open.is_released)
        {
            window.remove(&id);
        }
    }

    fn pubrec(&mut self, at: usize, session: usize, ack: &Ack<'_>) {
        if ack.reason.is_error() {
            self.acknowledge(session, ack.packet_id, QoS::ExactlyOnce);
            return;
        }
        let open = self.sessions[session].window.get_mut(&ack.packet_id);
        let open = open.filter(|open| open.qos == QoS::ExactlyOnce);
        let is_known = open.is_some();
        if let Some(open) = open {
            open.is_released = true;
            open.source = Source::Own;
            // PUBREL answers it, so it need not be sent again.
            open.is_on_wire = true;
        }
        self.answer(at, Answer::Pubrel(ack.packet_id, known(is_known)));
    }

    fn pubcomp(&mut self, session: usize, id: PacketId) {
        let window = &mut self.sessions[session].window;
        if window.get(&id).is_some_and(|open| open.is_released) {
            window.remove(&id);
        }
    }

    fn subscribe(&mut self, at: usize, session: usize, subscribe: &Subscribe<'_>) {
        let mut reasons = Vec::new();
        for (full, options) in subscribe.filters() {
            let filter = Filter::parse(full).expect("clients use valid filters");
            let former = self.sessions[session].subscriptions.get(full);
            let is_new = former.is_none();
            let group = match (former, filter.share) {
                (Some(former), _) => former.group,
                (None, Some(share)) => Some(self.join(session, share, filter.filter)),
                (None, None) => None,
            };
            let subscription = Subscription {
                qos: options.qos,
                no_local: options.no_local,
                retain_as_published: options.retain_as_published,
                id: subscribe.subscription_id,
                group,
            };
            if let Some(id) = subscription.id {
                self.subscription_ids.insert(id, group);
            }
            self.sessions[session]
                .subscriptions
                .insert(full.to_owned(), subscription);
            let replays = match options.retain_handling {
                RetainHandling::Send => true,
                RetainHandling::SendIfNew => is_new,
                RetainHandling::DoNotSend => false,
            };
            if replays && group.is_none() {
                self.replay(session, full, options.qos);
            }
            reasons.push(ReasonCode::granted(options.qos));
        }
        self.answer(at, Answer::Suback(subscribe.packet_id, reasons));
    }

    fn replay(&mut self, session: usize, filter: &str, granted: QoS) {
        for (topic, number) in &self.retained {
            if covers(filter, topic) {
                self.sessions[session].replays.push(Replay {
                    number: *number,
                    filter: filter.to_owned(),
                    granted,
                });
            }
        }
    }

    fn unsubscribe(&mut self, at: usize, session: usize, unsubscribe: &Unsubscribe<'_>) {
        let mut reasons = Vec::new();
        for full in unsubscribe.filters() {
            match self.sessions[session].subscriptions.remove(full) {
                Some(subscription) => {
                    self.sessions[session]
                        .replays
                        .retain(|replay| replay.filter != full);
                    if let Some(group) = subscription.group {
                        self.leave(group, session);
                    }
                    reasons.push(ReasonCode::Success);
                }
                None => reasons.push(ReasonCode::NoSubscriptionExisted),
            }
        }
        if self.connections[at].version == Version::V311 {
            reasons.clear();
        }
        self.answer(at, Answer::Unsuback(unsubscribe.packet_id, reasons));
    }
}

/// What one copy is made of: the highest QoS and all identifiers of its subscriptions
/// (MQTT-3.3.4-2, -4).
fn due(copy: &[Subscription], order: u64, number: u64, qos: QoS, retain: bool) -> Due {
    let granted = copy.iter().map(|subscription| subscription.qos).max();
    let mut ids: Vec<u32> = copy
        .iter()
        .filter_map(|subscription| subscription.id)
        .collect();
    ids.sort_unstable();
    Due {
        order,
        number,
        qos: qos.min(granted.unwrap_or(QoS::AtMostOnce)),
        retain: retain
            && copy
                .iter()
                .any(|subscription| subscription.retain_as_published),
        ids,
    }
}

fn covers(filter: &str, topic: &str) -> bool {
    matches(filter, topic, HashParent::Matches)
}

fn known(is_known: bool) -> ReasonCode {
    match is_known {
        true => ReasonCode::Success,
        false => ReasonCode::PacketIdentifierNotFound,
    }
}

/// The number of a message, which is in the first eight bytes of its payload.
pub(crate) fn number_of(payload: &[u8]) -> u64 {
    let number = payload.get(..8).and_then(|bytes| bytes.try_into().ok());
    u64::from_be_bytes(number.expect("a payload that starts with a number"))
}
