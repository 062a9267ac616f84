//! Packet rules: which packets they are for, and what is done with those.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::codec::{Frame, PacketFields, PacketType, PropertyName, PropertyValue, QoS, Version};
use crate::topic::{HashParent, matches};

/// Which way a packet goes, as the broker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// From the client to the broker.
    In,
    /// From the broker to the client.
    Out,
}

impl Direction {
    /// `in` or `out`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
        }
    }
}

/// Which packets a rule is for. What is `None` is not asked for; all that is has to be so.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Match {
    /// The type of the packet.
    pub packet_type: Option<PacketType>,
    /// Which way it goes.
    pub direction: Option<Direction>,
    /// The Client Identifier; `*` stands for any characters and `?` for one. A CONNECT has the identifier
    /// that is in it.
    pub client: Option<String>,
    /// A Topic Filter: a PUBLISH to such a topic, or an acknowledgement of one. Where [`packet_type`](Self::packet_type) is
    /// SUBSCRIBE or UNSUBSCRIBE: one with a filter that this one covers, `a/#` or `a/b` if this is `a/#`. Only then may it
    /// be shared.
    pub topic: Option<String>,
    /// QoS of a PUBLISH.
    pub qos: Option<u8>,
    /// DUP of a PUBLISH.
    pub dup: Option<bool>,
    /// RETAIN of a PUBLISH.
    pub retain: Option<bool>,
    /// The Packet Identifier.
    pub packet_id: Option<u16>,
    /// The Reason Code, 0 where it was left out.
    pub reason: Option<u8>,
    /// The listener that the client came by: `mqtt`, `mqtts`, `ws`, `wss`, `alpn`, `unix`, `memory`.
    pub listener: Option<String>,
    /// Only the packet of this number among those for which all of the above is so, from 1 on.
    pub nth: Option<u64>,
    /// Only every so-manieth of them.
    pub every: Option<u64>,
    /// Only so many of them, from 0 to 1, as the rule's seed will have it.
    pub probability: Option<f64>,
}

impl Match {
    /// Every packet of this type.
    #[must_use]
    pub fn of(packet_type: PacketType) -> Self {
        Self {
            packet_type: Some(packet_type),
            ..Self::default()
        }
    }

    /// Those from clients.
    #[must_use]
    pub fn from_clients(self) -> Self {
        let direction = Some(Direction::In);
        Self { direction, ..self }
    }

    /// Those to clients.
    #[must_use]
    pub fn to_clients(self) -> Self {
        let direction = Some(Direction::Out);
        Self { direction, ..self }
    }

    /// Those of clients whose identifiers are like this.
    #[must_use]
    pub fn client(self, client: impl Into<String>) -> Self {
        let client = Some(client.into());
        Self { client, ..self }
    }

    /// Those of topics that a filter matches.
    #[must_use]
    pub fn topic(self, topic: impl Into<String>) -> Self {
        let topic = Some(topic.into());
        Self { topic, ..self }
    }

    /// PUBLISH packets of this QoS.
    #[must_use]
    pub fn qos(self, qos: QoS) -> Self {
        let qos = Some(qos.bits());
        Self { qos, ..self }
    }

    /// PUBLISH packets with this DUP.
    #[must_use]
    pub fn dup(self, dup: bool) -> Self {
        let dup = Some(dup);
        Self { dup, ..self }
    }

    /// PUBLISH packets with this RETAIN.
    #[must_use]
    pub fn retain(self, retain: bool) -> Self {
        let retain = Some(retain);
        Self { retain, ..self }
    }

    /// Those with this Packet Identifier.
    #[must_use]
    pub fn packet_id(self, packet_id: u16) -> Self {
        let packet_id = Some(packet_id);
        Self { packet_id, ..self }
    }

    /// Those with this Reason Code.
    #[must_use]
    pub fn reason(self, reason: u8) -> Self {
        let reason = Some(reason);
        Self { reason, ..self }
    }

    /// Those of clients that came by this listener.
    #[must_use]
    pub fn listener(self, listener: impl Into<String>) -> Self {
        let listener = Some(listener.into());
        Self { listener, ..self }
    }

    /// The one of this number, from 1 on.
    #[must_use]
    pub fn nth(self, nth: u64) -> Self {
        let nth = Some(nth);
        Self { nth, ..self }
    }

    /// Every so-manieth, from 1 on.
    #[must_use]
    pub fn every(self, every: u64) -> Self {
        let every = Some(every);
        Self { every, ..self }
    }

    /// So many of them, from 0 to 1, drawn from the rule's seed.
    #[must_use]
    pub fn probability(self, probability: f64) -> Self {
        let probability = Some(probability);
        Self {
            probability,
            ..self
        }
    }
}

/// In words: `PUBLISH, topic cars/+, qos 1`.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.packet_type {
            Some(packet_type) => write!(f, "{packet_type}")?,
            None => f.write_str("a packet")?,
        }
        let mut field = |name: &str, value: Option<&dyn fmt::Display>| match value {
            Some(value) => write!(f, ", {name} {value}"),
            None => Ok(()),
        };
        fn shown(value: &Option<impl fmt::Display>) -> Option<&dyn fmt::Display> {
            value.as_ref().map(|value| value as &dyn fmt::Display)
        }
        field("topic", shown(&self.topic))?;
        field("qos", shown(&self.qos))?;
        field("dup", shown(&self.dup))?;
        field("retain", shown(&self.retain))?;
        field("id", shown(&self.packet_id))?;
        let reason = self.reason.map(|reason| format!("{reason:#04x}"));
        field("reason", shown(&reason))?;
        field("listener", shown(&self.listener))?;
        field("nth", shown(&self.nth))?;
        field("every", shown(&self.every))?;
        field("probability", shown(&self.probability))
    }
}

/// What is done with a packet. Unless it says otherwise, the state that the broker is left in is the one that
/// a network leaves it in that does the same: what does not arrive was not sent or is not acknowledged.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Kept until it is released or discarded, or its connection ends.
    Hold,
    /// It does not arrive. QoS 1 and 2 are sent again as after any loss: by a client when it connects again.
    Drop,
    /// It arrives so much later, by the broker's clock: a day at most.
    Delay(Duration),
    /// It arrives once more, at once.
    Duplicate,
    /// It arrives behind the next packet of the connection in its direction.
    Reorder,
    /// One byte of it arrives as another.
    Corrupt {
        /// Which byte, from the first of the packet; the last one where it has fewer.
        offset: usize,
        /// The bits that are turned, at least one.
        bits: u8,
    },
    /// Only so many of its bytes arrive, and what follows comes right behind them.
    Truncate(usize),
    /// Other fields arrive than were sent.
    Replace(Box<Changes>),
    /// Another packet arrives besides, in the same direction.
    Inject {
        /// Which one.
        packet: Injected,
        /// Before this one, and not after it.
        before: bool,
    },
    /// It does not arrive, and this goes to its sender instead. Only for packets from clients. A Packet
    /// Identifier that is left out is that of the packet, and one Reason Code of SUBACK or UNSUBACK is given for each
    /// filter.
    Answer(Injected),
    /// The connection is closed, as a network does that breaks down: the client gets no DISCONNECT, and its
    /// will is published.
    Close(When),
    /// The same by a TCP reset.
    Reset(When),
    /// The broker ends the connection, and says why in MQTT 5. Its will is published, its session stays.
    Disconnect(Box<ServerDisconnect>),
    /// The broker's side of the connection is closed: the client reads to the end and may go on sending.
    HalfClose(When),
    /// Nothing more is read from the connection for as long as there is the rule.
    StopReading,
}

impl Action {
    /// How it is written: `hold`, `half_close`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Drop => "drop",
            Self::Delay(_) => "delay",
            Self::Duplicate => "duplicate",
            Self::Reorder => "reorder",
            Self::Corrupt { .. } => "corrupt",
            Self::Truncate(_) => "truncate",
            Self::Replace(_) => "replace",
            Self::Inject { .. } => "inject",
            Self::Answer(_) => "answer",
            Self::Close(_) => "close",
            Self::Reset(_) => "reset",
            Self::Disconnect(_) => "disconnect",
            Self::HalfClose(_) => "half_close",
            Self::StopReading => "stop_reading",
        }
    }
}

impl Action {
    /// Whether the packet itself arrives, as it is.
    pub(super) fn lets_pass(&self) -> bool {
        match self {
            Self::Duplicate | Self::Inject { .. } | Self::StopReading => true,
            Self::Close(when) | Self::Reset(when) | Self::HalfClose(when) => *when == When::After,
            Self::Disconnect(own) => own.when == When::After,
            Self::Hold
            | Self::Drop
            | Self::Delay(_)
            | Self::Reorder
            | Self::Corrupt { .. }
            | Self::Truncate(_)
            | Self::Replace(_)
            | Self::Answer(_) => false,
        }
    }
}

/// What becomes of the packet, in words: `arrives 5s later`, `the connection is reset in its place`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hold => f.write_str("is held until it is released"),
            Self::Drop => f.write_str("is lost"),
            Self::Delay(time) => write!(f, "arrives {time:?} later"),
            Self::Duplicate => f.write_str("arrives twice"),
            Self::Reorder => f.write_str("arrives behind the next one"),
            Self::Corrupt { offset, bits } => {
                write!(f, "arrives with bits {bits:#04x} of byte {offset} turned")
            }
            Self::Truncate(length) => write!(f, "arrives as its first {length} bytes"),
            Self::Replace(changes) => write!(f, "arrives with {changes}"),
            Self::Inject { packet, before } => {
                let when = if *before { "behind" } else { "before" };
                write!(f, "arrives {when} {packet} that nobody sent")
            }
            Self::Answer(packet) => write!(f, "is lost, and its sender gets {packet}"),
            Self::Close(when) => write!(f, "the connection is closed {when}"),
            Self::Reset(when) => write!(f, "the connection is reset {when}"),
            Self::Disconnect(own) => {
                write!(
                    f,
                    "DISCONNECT with {:#04x} is sent {}",
                    own.reason, own.when
                )
            }
            Self::HalfClose(when) => write!(f, "the broker's side is closed {when}"),
            Self::StopReading => f.write_str("arrives, and nothing more is read"),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "in its place",
            Self::After => "behind it",
        })
    }
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields(packet) => write!(f, "a {}", packet.packet_type),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

/// What is changed: the values that fit a line.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flag = |name: &str, value: Option<bool>| value.map(|value| format!("{name} {value}"));
        let mut all: Vec<String> = [
            self.reason.map(|reason| format!("reason {reason:#04x}")),
            flag("session_present", self.session_present),
            self.packet_id.map(|id| format!("packet_id {id}")),
            self.qos.map(|qos| format!("qos {qos}")),
            flag("dup", self.dup),
            flag("retain", self.retain),
            self.topic.as_ref().map(|_| "another topic".to_owned()),
            self.payload.as_ref().map(|_| "another payload".to_owned()),
        ]
        .into_iter()
        .flatten()
        .collect();
        all.extend(self.properties.iter().map(|(name, value)| match value {
            Some(PropertyValue::Number(number)) => format!("{} {number}", name.name()),
            Some(_) => format!("another {}", name.name()),
            None => format!("no {}", name.name()),
        }));
        match all.is_empty() {
            true => f.write_str("nothing changed"),
            false => f.write_str(&all.join(", ")),
        }
    }
}

/// When a connection ends: instead of the packet, or once it has arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum When {
    /// The packet is lost with the connection.
    #[default]
    Before,
    /// The packet arrives, and nothing behind it.
    After,
}

/// The DISCONNECT of a broker that ends a connection. MQTT 3.1.1 has none: the connection just ends there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerDisconnect {
    /// The Reason Code, whether or not a server may send it.
    pub reason: u8,
    /// Properties, such as a Reason String, a Server Reference and User Properties.
    pub properties: Vec<(PropertyName, PropertyValue)>,
    /// Instead of the packet, or once it has arrived.
    pub when: When,
}

impl ServerDisconnect {
    /// One with this Reason Code, instead of the packet.
    #[must_use]
    pub fn new(reason: u8) -> Self {
        Self {
            reason,
            properties: Vec::new(),
            when: When::Before,
        }
    }

    /// Once the packet has arrived.
    #[must_use]
    pub fn after(self) -> Self {
        let when = When::After;
        Self { when, ..self }
    }

    /// With a property besides.
    #[must_use]
    pub fn property(mut self, name: PropertyName, value: impl Into<PropertyValue>) -> Self {
        self.properties.push((name, value.into()));
        self
    }

    /// Its bytes; `None` where the version has none.
    pub(super) fn bytes(&self, version: Version) -> Option<Vec<u8>> {
        if version == Version::V311 {
            return None;
        }
        let mut packet = PacketFields::new(PacketType::Disconnect);
        packet.reason = Some(self.reason);
        for (name, value) in &self.properties {
            packet.set_property(*name, value.clone());
        }
        packet.write(version)
    }
}

/// A packet that nobody sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injected {
    /// From fields; what the version of the connection does not have is left out.
    Fields(Box<PacketFields>),
    /// These bytes, whatever they are.
    Bytes(Bytes),
}

/// Fields that take the place of a packet's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// The Reason Code; of SUBACK and UNSUBACK all of them.
    pub reason: Option<u8>,
    /// Session Present of CONNACK.
    pub session_present: Option<bool>,
    /// The Packet Identifier.
    pub packet_id: Option<u16>,
    /// QoS of a PUBLISH.
    pub qos: Option<u8>,
    /// DUP of a PUBLISH.
    pub dup: Option<bool>,
    /// RETAIN of a PUBLISH.
    pub retain: Option<bool>,
    /// Topic of a PUBLISH.
    pub topic: Option<String>,
    /// Payload of a PUBLISH.
    pub payload: Option<Bytes>,
    /// Properties with their new values; `None` takes one out. MQTT 3.1.1 has none.
    pub properties: Vec<(PropertyName, Option<PropertyValue>)>,
}

impl Changes {
    /// Makes the changes.
    pub(super) fn apply(&self, packet: &mut PacketFields) {
        if let Some(reason) = self.reason {
            match packet.packet_type {
                PacketType::Suback | PacketType::Unsuback => packet.reasons.fill(reason),
                _ => packet.reason = Some(reason),
            }
        }
        packet.session_present = self.session_present.unwrap_or(packet.session_present);
        packet.dup = self.dup.unwrap_or(packet.dup);
        packet.retain = self.retain.unwrap_or(packet.retain);
        packet.packet_id = self.packet_id.or(packet.packet_id);
        if let Some(qos) = self.qos {
            packet.qos = qos;
        }
        if let Some(topic) = &self.topic {
            packet.topic = Some(topic.clone());
        }
        if let Some(payload) = &self.payload {
            packet.payload = payload.clone();
        }
        for (name, value) in &self.properties {
            match value {
                Some(value) => packet.set_property(*name, value.clone()),
                None => packet.remove_property(*name),
            }
        }
    }
}

/// How much later a packet may arrive.
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(24 * 3600);

/// What is to happen to some packets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Rule {
    /// What it is called; a rule without a name gets one. A new rule takes the place of one of its name.
    pub name: Option<String>,
    /// Which packets it is for.
    pub matches: Match,
    /// What is done with them.
    pub action: Action,
    /// How often it acts; without end if that is `None`.
    pub times: Option<u64>,
    /// How long it is there, by the broker's clock.
    pub expires_after: Option<Duration>,
    /// What decides with [`Match::probability`].
    pub seed: u64,
}

impl Rule {
    /// A rule that does this with every packet of which `matches` is so.
    #[must_use]
    pub fn new(matches: Match, action: impl Into<Action>) -> Self {
        Self {
            name: None,
            matches,
            action: action.into(),
            times: None,
            expires_after: None,
            seed: 0,
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn size(&self) -> usize {
        let len = |bytes: Option<Vec<u8>>| bytes.map_or(0, |bytes| bytes.len());
        let action = match &self.action {
            Action::Inject { packet, .. } | Action::Answer(packet) => match packet {
                Injected::Fields(packet) => len(packet.write(Version::V5)),
                Injected::Bytes(bytes) => bytes.len(),
            },
            Action::Replace(changes) => {
                let mut packet = PacketFields::new(PacketType::Publish);
                changes.apply(&mut packet);
                len(packet.write(Version::V5))
            }
            Action::Disconnect(own) => len(own.bytes(Version::V5)),
            Action::Hold
            | Action::Drop
            | Action::Delay(_)
            | Action::Duplicate
            | Action::Reorder
            | Action::Corrupt { .. }
            | Action::Truncate(_)
            | Action::Close(_)
            | Action::Reset(_)
            | Action::HalfClose(_)
            | Action::StopReading => 0,
        };
        let own = &self.matches;
        let texts = [&self.name, &own.client, &own.topic, &own.listener];
        let texts = texts.iter().map(|text| text.as_deref().map_or(0, str::len));
        size_of::<Self>() + texts.sum::<usize>() + action
    }

    /// Names it.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Has it act so often.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Has it go after so long, by the broker's clock.
    #[must_use]
    pub fn expires_after(mut self, time: Duration) -> Self {
        self.expires_after = Some(time);
        self
    }

    /// Sets what decides with [`Match::probability`]: the same seed decides alike.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
}

impl Changes {
    /// Another Reason Code; in SUBACK and UNSUBACK, all of them.
    #[must_use]
    pub fn reason(mut self, reason: u8) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Another Session Present.
    #[must_use]
    pub fn session_present(mut self, is_present: bool) -> Self {
        self.session_present = Some(is_present);
        self
    }

    /// Another Packet Identifier.
    #[must_use]
    pub fn packet_id(mut self, packet_id: u16) -> Self {
        self.packet_id = Some(packet_id);
        self
    }

    /// Another payload of a PUBLISH.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// Another topic of a PUBLISH.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Another DUP of a PUBLISH.
    #[must_use]
    pub fn dup(mut self, dup: bool) -> Self {
        self.dup = Some(dup);
        self
    }

    /// A property with this value.
    #[must_use]
    pub fn property(mut self, name: PropertyName, value: impl Into<PropertyValue>) -> Self {
        self.properties.push((name, Some(value.into())));
        self
    }

    /// Without this property.
    #[must_use]
    pub fn without_property(mut self, name: PropertyName) -> Self {
        self.properties.push((name, None));
        self
    }
}

impl From<Changes> for Action {
    fn from(changes: Changes) -> Self {
        Self::Replace(Box::new(changes))
    }
}

impl From<ServerDisconnect> for Action {
    fn from(disconnect: ServerDisconnect) -> Self {
        Self::Disconnect(Box::new(disconnect))
    }
}

impl From<PacketFields> for Injected {
    fn from(packet: PacketFields) -> Self {
        Self::Fields(Box::new(packet))
    }
}

/// A packet as rules see it.
pub(super) struct Seen<'a> {
    pub(super) packet_type: PacketType,
    pub(super) direction: Direction,
    pub(super) client: Option<&'a str>,
    pub(super) topic: Option<&'a str>,
    /// The first byte.
    pub(super) first: u8,
    pub(super) packet_id: Option<u16>,
    pub(super) reason: Option<u8>,
    pub(super) listener: &'a str,
    /// The packet itself, and how it is read.
    pub(super) packet: Option<(&'a Frame<'a>, Version)>,
}

impl Seen<'_> {
    /// Whether it is a SUBSCRIBE or UNSUBSCRIBE with a filter that `own` covers.
    fn has_filter(&self, own: &str) -> bool {
        let packet = self.packet;
        let fields = packet.and_then(|(frame, version)| PacketFields::read(frame, version).ok());
        let filters = fields.iter().flat_map(|fields| &fields.filters);
        filters
            .into_iter()
            .any(|field| matches(own, &field.filter, HashParent::Matches))
    }
}

impl Match {
    /// Whether its filter is held against topics, and not against the filters of a packet.
    pub(super) fn is_of_topics(&self) -> bool {
        let has_filters = [PacketType::Subscribe, PacketType::Unsubscribe];
        !self
            .packet_type
            .is_some_and(|own| has_filters.contains(&own))
    }

    /// Whether all that can be told from the packet alone is so.
    pub(super) fn is_met(&self, seen: &Seen<'_>) -> bool {
        let is_publish = seen.packet_type == PacketType::Publish;
        let flag = |mask: u8| seen.first & mask > 0;
        self.packet_type.is_none_or(|own| own == seen.packet_type)
            && self.direction.is_none_or(|own| own == seen.direction)
            && self.packet_id.is_none_or(|own| seen.packet_id == Some(own))
            && self.reason.is_none_or(|own| seen.reason == Some(own))
            && self
                .qos
                .is_none_or(|own| is_publish && seen.first >> 1 & 3 == own)
            && self.dup.is_none_or(|own| is_publish && flag(8) == own)
            && self.retain.is_none_or(|own| is_publish && flag(1) == own)
            && self
                .listener
                .as_deref()
                .is_none_or(|own| own == seen.listener)
            && self.client.as_deref().is_none_or(|own| {
                let client = seen.client;
                client.is_some_and(|client| is_like(own.as_bytes(), client.as_bytes()))
            })
            && self
                .topic
                .as_deref()
                .is_none_or(|own| match self.is_of_topics() {
                    false => seen.has_filter(own),
                    true => {
                        let matches = |topic| matches(own, topic, HashParent::Matches);
                        seen.topic.is_some_and(matches)
                    }
                })
    }
}

/// Whether `text` is like the pattern, in which `*` stands for any characters and `?` for one.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where to go back to: behind the last star, and one further in the text.
    let mut retry = None;
    while place < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                retry = Some((at, place));
            }
            Some(b'?') => {
                at += 1;
                place += char_len(text, place);
            }
            Some(own) if Some(own) == text.get(place) => {
                at += 1;
                place += 1;
            }
            _ => match retry {
                Some((star, from)) => {
                    at = star;
                    place = from + 1;
                    retry = Some((star, place));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(at..)
        .is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

/// Bytes of the character that begins there.
fn char_len(text: &[u8], place: usize) -> usize {
    let rest = text.get(place + 1..).unwrap_or_default();
    1 + rest.iter().take_while(|&&byte| byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn star_is_any_characters_and_question_mark_is_one() {
        for (pattern, text, is_so) in [
            ("dev-*", "dev-1", true),
            ("dev-*", "dev-", true),
            ("dev-*", "dev", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("a?c", "abc", true),
            ("a?c", "a€c", true),
            ("a?c", "ac", false),
            ("*ab*ab", "abxabab", true),
            ("*ab*ab", "abxaba", false),
            ("a*b*c", "a__b__b__c", true),
        ] {
            let found = is_like(pattern.as_bytes(), text.as_bytes());
            assert_eq!(found, is_so, "{pattern:?} {text:?}");
        }
    }
}
