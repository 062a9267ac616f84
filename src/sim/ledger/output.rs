//! What the broker composed: every packet held against what is due.

use crate::codec::{
    Frame, Packet, PacketId, Publish, QoS, ReasonCode, Sender, Version, decode_from,
};
use crate::message::publication::remaining_expiry;

use super::input::number_of;
use super::{Answer, Ledger, Open, Source};

/// A PUBLISH that was found in order as far as it alone can show.
struct Sent<'a> {
    at: usize,
    session: usize,
    number: u64,
    order: u64,
    publish: &'a Publish<'a>,
    ids: Vec<u32>,
}

impl Ledger {
    /// The broker composed a packet for a connection.
    pub(crate) fn output(&mut self, at: usize, frame: &Frame<'_>) {
        let connection = &self.connections[at];
        let version = connection.version;
        let packet = decode_from(Sender::Server, frame, version)
            .unwrap_or_else(|error| panic!("undecodable packet {:02x?}: {error}", frame.bytes));
        assert!(
            frame.len <= connection.packet_size,
            "a packet of {} bytes exceeds maximum packet size {} (MQTT-3.1.2-24): {packet:?}",
            frame.len,
            connection.packet_size
        );
        match &packet {
            Packet::Publish(publish) => self.publish_out(at, publish),
            Packet::Pubrel(ack) if self.resends_pubrel(at, ack.packet_id) => {}
            packet => self.answer_out(at, packet),
        }
    }

    fn answer_out(&mut self, at: usize, packet: &Packet<'_>) {
        let answer = match packet {
            Packet::Connack(connack) => Answer::Connack {
                session_present: connack.session_present,
            },
            Packet::Puback(ack) => Answer::Puback(ack.packet_id, ack.reason),
            Packet::Pubrec(ack) => Answer::Pubrec(ack.packet_id, ack.reason),
            Packet::Pubrel(ack) => Answer::Pubrel(ack.packet_id, ack.reason),
            Packet::Pubcomp(ack) => Answer::Pubcomp(ack.packet_id, ack.reason),
            Packet::Suback(suback) => Answer::Suback(suback.packet_id, suback.reasons.clone()),
            Packet::Unsuback(unsuback) => {
                Answer::Unsuback(unsuback.packet_id, unsuback.reasons.clone())
            }
            Packet::Pingresp => Answer::Pingresp,
            other => panic!("the broker does not send {other:?} here"),
        };
        let version = self.connections[at].version;
        let is_refusal = answer.is_refusal() && self.refuse_at_once(at);
        let expected = self.connections[at].answers.pop_front();
        let expected = expected.map(|expected| match is_refusal {
            true => expected.with(ReasonCode::QuotaExceeded),
            false => expected.seen_in(version),
        });
        assert_eq!(Some(answer), expected);
    }

    /// PUBREL of an exchange that an earlier connection left open (MQTT-4.4.0-1).
    fn resends_pubrel(&mut self, at: usize, id: PacketId) -> bool {
        let Some(session) = self.session_of(at) else {
            return false;
        };
        let open = self.sessions[session].window.get_mut(&id);
        match open.filter(|open| open.is_released && !open.is_on_wire) {
            Some(open) => {
                open.is_on_wire = true;
                true
            }
            None => false,
        }
    }

    fn publish_out(&mut self, at: usize, publish: &Publish<'_>) {
        let number = number_of(publish.payload);
        let topic = self.resolve_alias(at, publish);
        let session = self
            .session_of(at)
            .expect("messages go to connections that have their session");
        let message = self.message(number);
        let order = message.order.expect("a message that was published");
        assert_eq!(topic, message.topic);
        assert_eq!(publish.payload.len(), message.length);
        if self.connections[at].version == Version::V5 {
            let expiry = remaining_expiry(message.expires_at, self.now);
            assert_eq!(publish.properties.message_expiry, expiry);
        }
        let mut ids: Vec<u32> = publish.properties.subscription_ids().collect();
        ids.sort_unstable();
        let sent = Sent {
            at,
            session,
            number,
            order,
            publish,
            ids,
        };
        if publish.dup {
            self.sent_again(&sent);
        } else {
            self.sent_first(&sent);
        }
        self.check_window(at, session);
    }

    fn resolve_alias(&mut self, at: usize, publish: &Publish<'_>) -> String {
        let connection = &mut self.connections[at];
        let Some(alias) = publish.properties.topic_alias else {
            return publish.topic.to_owned();
        };
        assert!(alias <= connection.alias_maximum, "MQTT-3.1.2-26");
        if !publish.topic.is_empty() {
            connection.aliases.insert(alias, publish.topic.to_owned());
        }
        connection.aliases[&alias].clone()
    }

    /// MQTT-3.3.4-9.
    fn check_window(&self, at: usize, session: usize) {
        let taken = self.sessions[session].places_taken();
        let limit = self.connections[at].receive_maximum;
        assert!(
            taken <= limit,
            "{taken} open exchanges, receive maximum {limit}"
        );
    }

    /// DUP 1: an exchange that an earlier connection left open, one that came back from its group,
    /// or one that waits for too long.
    fn sent_again(&mut self, sent: &Sent<'_>) {
        let id = sent.publish.packet_id.expect("only qos 1 and 2 go again");
        let resends = self.rules.resends;
        let session = &mut self.sessions[sent.session];
        let Some(open) = session.window.get_mut(&id) else {
            self.given_back(sent, id);
            return;
        };
        assert_eq!((open.number, open.qos), (sent.number, sent.publish.qos));
        assert!(!open.is_released, "PUBLISH after PUBREC (MQTT-4.3.3-4)");
        assert!(resends || !open.is_on_wire, "sent again without need");
        if !open.is_on_wire {
            (open.is_on_wire, open.takes_place) = (true, true);
            let resent = &mut self.connections[sent.at].resent;
            let is_in_order = open.stamp == 0 || open.stamp > *resent;
            assert!(is_in_order, "sent again out of order (MQTT-4.6.0-1)");
            *resent = open.stamp.max(*resent);
        }
    }

    /// Rule 4: a returned message that still waits is resent to the session that had it.
    fn given_back(&mut self, sent: &Sent<'_>, id: PacketId) {
        let had = Some((sent.session, id));
        let group = self
            .groups
            .iter_mut()
            .enumerate()
            .find_map(|(index, group)| {
                let waiting = group.waiting.get(&sent.order)?;
                (waiting.returned == had).then_some((index, group))
            });
        let Some((index, group)) = group else {
            panic!("message {} is sent again and was not open", sent.number);
        };
        let waiting = group.waiting.remove(&sent.order).expect("it waits");
        // That of a session which has unsubscribed is its own (rule 8).
        let source = match waiting.goes_home {
            true => Source::Own,
            false => Source::Group(index),
        };
        assert!(waiting.goes_home || group.members.contains(&sent.session));
        let handed = waiting.handed;
        assert_eq!(sent.publish.qos, QoS::AtLeastOnce);
        self.open(sent, id, source, handed + 1);
    }

    fn sent_first(&mut self, sent: &Sent<'_>) {
        let expires_at = self.message(sent.number).expires_at;
        assert!(
            expires_at.is_none_or(|at| at > self.now),
            "message {} has expired (MQTT-3.3.2-5)",
            sent.number
        );
        let group = match sent.ids.first() {
            Some(id) => self.subscription_ids[id],
            None => self.find_group(sent),
        };
        match group {
            Some(group) => self.handed_over(sent, group),
            None => self.delivered(sent),
        }
    }

    /// Clients whose subscriptions have no identifiers have plain ones only, or one shared one.
    fn find_group(&self, sent: &Sent<'_>) -> Option<usize> {
        self.groups.iter().position(|group| {
            group.members.contains(&sent.session)
                && (group.waiting.contains_key(&sent.order) || group.at_once.contains(&sent.number))
        })
    }

    fn handed_over(&mut self, sent: &Sent<'_>, index: usize) {
        let (publish, number) = (sent.publish, sent.number);
        let message = self.message(number);
        let (published_qos, published_retain) = (message.qos, message.retain);
        let is_single = self.is_single();
        let is_v311 = self.version(sent.at) == Version::V311;
        let group = &mut self.groups[index];
        assert!(group.members.contains(&sent.session), "not a member");
        let subscription = &self.sessions[sent.session].subscriptions[&group.full_filter()];
        if is_single {
            assert_eq!(publish.qos, published_qos.min(subscription.qos));
            // MQTT 3.1.1 knows no Retain As Published (MQTT-3.3.1-9 there).
            let retain = published_retain && subscription.retain_as_published && !is_v311;
            assert_eq!(publish.retain, retain);
            let ids: Vec<u32> = subscription.id.into_iter().collect();
            assert!(
                is_v311 || sent.ids == ids,
                "identifiers {:?}, not {ids:?}",
                sent.ids
            );
        }
        if published_qos == QoS::AtMostOnce {
            let place = group.at_once.iter().position(|waiting| *waiting == number);
            let place = place.unwrap_or_else(|| panic!("message {number} is not due"));
            group.at_once.remove(place);
            return;
        }
        let Some(waiting) = group.waiting.remove(&sent.order) else {
            panic!("message {number} is acknowledged, dropped, or somebody else's");
        };
        if waiting.handed == 0 && !waiting.is_large {
            self.call.firsts.entry(index).or_default().push(sent.order);
        }
        if self.call.ending != Some(sent.at) {
            self.call.handed.entry(index).or_default().push(sent.order);
        }
        if let Some(id) = publish.packet_id {
            self.open(sent, id, Source::Group(index), waiting.handed + 1);
        }
    }

    /// A message of plain subscriptions, or a retained one.
    fn delivered(&mut self, sent: &Sent<'_>) {
        let is_v311 = self.version(sent.at) == Version::V311;
        let session = &mut self.sessions[sent.session];
        let publish = sent.publish;
        let is_it = |due: &super::Due| {
            due.number == sent.number
                && (due.qos, due.retain && !is_v311) == (publish.qos, publish.retain)
                && (is_v311 || due.ids == sent.ids)
        };
        let Some(id) = publish.packet_id else {
            match session.at_once.iter().position(is_it) {
                Some(place) => {
                    let older = &session.at_once[..place];
                    let overtaken = older.iter().any(|due| due.order < sent.order);
                    assert!(!overtaken || !self.rules.is_exact, "qos 0 out of order");
                    session.at_once.remove(place);
                }
                None => self.replayed(sent),
            }
            return;
        };
        match session.due.iter().position(is_it) {
            Some(place) => {
                session.due.remove(place);
                // Those before it can only have been dropped: they are not sent after it.
                let passed = session.due.iter().take_while(|due| due.order < sent.order);
                let passed = passed.count();
                assert!(
                    passed == 0 || !self.rules.is_lossless,
                    "messages went missing"
                );
                session.due.drain(..passed);
                self.lost += passed as u64;
            }
            None => self.replayed(sent),
        }
        self.open(sent, id, Source::Own, 1);
    }

    fn replayed(&mut self, sent: &Sent<'_>) {
        let session = &mut self.sessions[sent.session];
        let published = self.messages.get(&sent.number).map(|message| message.qos);
        let place = session.replays.iter().position(|replay| {
            let qos = published.map(|qos| qos.min(replay.granted));
            replay.number == sent.number && qos == Some(sent.publish.qos)
        });
        let Some(place) = place else {
            panic!("message {} is not due to '{}'", sent.number, session.client);
        };
        assert!(sent.publish.retain, "MQTT-3.3.1-8");
        session.replays.remove(place);
    }

    /// A new exchange, under an identifier that no other has (MQTT-2.2.1-4).
    fn open(&mut self, sent: &Sent<'_>, id: PacketId, source: Source, handed: u32) {
        let session = &mut self.sessions[sent.session];
        if self.rules.is_lossless && !sent.publish.dup {
            assert!(!session.is_resending(), "new before old (MQTT-4.6.0-1)");
        }
        session.stamps += 1;
        let open = Open {
            number: sent.number,
            qos: sent.publish.qos,
            source,
            is_released: false,
            is_on_wire: true,
            takes_place: true,
            handed,
            stamp: if sent.publish.dup { 0 } else { session.stamps },
        };
        let former = session.window.insert(id, open);
        assert!(former.is_none(), "identifier {id} is in use: {former:?}");
    }
}

impl Answer {
    fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Puback(_, ReasonCode::QuotaExceeded) | Self::Pubrec(_, ReasonCode::QuotaExceeded)
        )
    }

    /// The same answer to a PUBLISH with another reason.
    fn with(self, reason: ReasonCode) -> Self {
        match self {
            Self::Puback(id, _) => Self::Puback(id, reason),
            Self::Pubrec(id, _) => Self::Pubrec(id, reason),
            other => other,
        }
    }

    /// MQTT 3.1.1 has no reasons.
    fn seen_in(self, version: Version) -> Self {
        use crate::codec::ReasonCode::Success;
        match (version, self) {
            (Version::V311, Self::Puback(id, _)) => Self::Puback(id, Success),
            (Version::V311, Self::Pubrec(id, _)) => Self::Pubrec(id, Success),
            (Version::V311, Self::Pubrel(id, _)) => Self::Pubrel(id, Success),
            (Version::V311, Self::Pubcomp(id, _)) => Self::Pubcomp(id, Success),
            (_, answer) => answer,
        }
    }
}
