//! Builders for everything a client can send, legal or not: what a builder cannot express is
//! written with [`frame`] and the field encoders.

use super::{Prop, Props};

/// The protocol version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1.
    V3,
    /// MQTT 5.0.
    V5,
}

impl Version {
    /// The Protocol Level of CONNECT.
    pub(crate) fn level(self) -> u8 {
        match self {
            Self::V3 => 4,
            Self::V5 => 5,
        }
    }

    /// `props` with their length in MQTT 5, nothing in 3.1.1.
    pub(crate) fn properties(self, props: &Props) -> Vec<u8> {
        match self {
            Self::V3 => Vec::new(),
            Self::V5 => props.encode(),
        }
    }
}

/// A packet as bytes of the given version. Properties vanish in 3.1.1.
pub(crate) trait Encode {
    fn encode(&self, version: Version) -> Vec<u8>;
}

impl<T: Encode> Encode for &T {
    fn encode(&self, version: Version) -> Vec<u8> {
        (*self).encode(version)
    }
}

/// Bytes are sent as they are.
impl<const LENGTH: usize> Encode for [u8; LENGTH] {
    fn encode(&self, _version: Version) -> Vec<u8> {
        self.to_vec()
    }
}

/// Bytes are sent as they are.
impl Encode for Vec<u8> {
    fn encode(&self, _version: Version) -> Vec<u8> {
        self.clone()
    }
}

/// A Variable Byte Integer.
pub(crate) fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(value % 128).expect("below 128");
        value /= 128;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Binary data: a length of two bytes and the content.
pub(crate) fn binary(content: impl AsRef<[u8]>) -> Vec<u8> {
    let content = content.as_ref();
    let length = u16::try_from(content.len()).expect("at most 65535 bytes");
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(content);
    bytes
}

/// A string as it stands on the wire; the content is not checked.
pub(crate) fn utf8(content: impl AsRef<[u8]>) -> Vec<u8> {
    binary(content)
}

/// A packet with the given first byte and a Remaining Length that fits the body.
pub(crate) fn frame(first: u8, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = vec![first];
    bytes.extend(varint(body.len()));
    bytes.extend(body);
    bytes
}

/// PINGREQ.
pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0x00];

/// CONNECT; by default with Clean Start (Clean Session), no keep-alive and no will.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    client_id: Vec<u8>,
    clean: bool,
    keep_alive: u16,
    pub(crate) props: Props,
    will: Option<Will>,
    user: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
}

impl Connect {
    pub(crate) fn new(client_id: impl AsRef<[u8]>) -> Self {
        Self {
            client_id: client_id.as_ref().to_vec(),
            clean: true,
            keep_alive: 0,
            props: Props::default(),
            will: None,
            user: None,
            password: None,
        }
    }

    /// Resumes a session or makes one that outlives the connection: CleanSession 0, in MQTT 5 Clean
    /// Start 0 with a Session Expiry Interval of five minutes.
    pub(crate) fn durable(self) -> Self {
        self.resume().with(super::session_expiry(300))
    }

    /// Clears Clean Start (Clean Session).
    pub(crate) fn resume(mut self) -> Self {
        self.clean = false;
        self
    }

    pub(crate) fn keep_alive(mut self, seconds: u16) -> Self {
        self.keep_alive = seconds;
        self
    }

    /// Adds a property.
    pub(crate) fn with(mut self, prop: Prop) -> Self {
        self.props.0.push(prop);
        self
    }

    pub(crate) fn will(mut self, will: Will) -> Self {
        self.will = Some(will);
        self
    }

    pub(crate) fn user(mut self, name: impl AsRef<[u8]>) -> Self {
        self.user = Some(name.as_ref().to_vec());
        self
    }

    pub(crate) fn password(mut self, password: impl AsRef<[u8]>) -> Self {
        self.password = Some(password.as_ref().to_vec());
        self
    }

    fn flags(&self) -> u8 {
        let will = self.will.as_ref().map_or(0, |will| {
            0x04 | (will.qos << 3) | if will.retain { 0x20 } else { 0 }
        });
        will | if self.clean { 0x02 } else { 0 }
            | if self.user.is_some() { 0x80 } else { 0 }
            | if self.password.is_some() { 0x40 } else { 0 }
    }
}

impl Encode for Connect {
    fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = utf8("MQTT");
        body.extend([version.level(), self.flags()]);
        body.extend(self.keep_alive.to_be_bytes());
        body.extend(version.properties(&self.props));
        body.extend(utf8(&self.client_id));
        if let Some(will) = &self.will {
            body.extend(version.properties(&will.props));
            body.extend(utf8(&will.topic));
            body.extend(binary(&will.payload));
        }
        for field in [&self.user, &self.password].into_iter().flatten() {
            body.extend(binary(field));
        }
        frame(0x10, body)
    }
}

/// The will of a CONNECT; by default QoS 0 and not retained.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    retain: bool,
    props: Props,
}

impl Will {
    pub(crate) fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.as_ref().to_vec(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            retain: false,
            props: Props::default(),
        }
    }

    pub(crate) fn qos(mut self, qos: u8) -> Self {
        self.qos = qos;
        self
    }

    pub(crate) fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Adds a will property.
    pub(crate) fn with(mut self, prop: Prop) -> Self {
        self.props.0.push(prop);
        self
    }
}

/// PUBLISH; by default QoS 0, or QoS 1 once it has a packet identifier.
#[derive(Clone, Debug)]
pub(crate) struct Publish {
    topic: Vec<u8>,
    payload: Vec<u8>,
    qos: u8,
    id: Option<u16>,
    dup: bool,
    retain: bool,
    props: Props,
}

impl Publish {
    pub(crate) fn new(topic: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> Self {
        Self {
            topic: topic.as_ref().to_vec(),
            payload: payload.as_ref().to_vec(),
            qos: 0,
            id: None,
            dup: false,
            retain: false,
            props: Props::default(),
        }
    }

    /// Sets a QoS above 0 with the packet identifier.
    pub(crate) fn qos(mut self, qos: u8, id: u16) -> Self {
        self.qos = qos;
        self.id = Some(id);
        self
    }

    pub(crate) fn dup(mut self) -> Self {
        self.dup = true;
        self
    }

    pub(crate) fn retain(mut self) -> Self {
        self.retain = true;
        self
    }

    /// Adds a property.
    pub(crate) fn with(mut self, prop: Prop) -> Self {
        self.props.0.push(prop);
        self
    }
}

impl Encode for Publish {
    fn encode(&self, version: Version) -> Vec<u8> {
        let first = 0x30 | (u8::from(self.dup) << 3) | (self.qos << 1) | u8::from(self.retain);
        let mut body = utf8(&self.topic);
        body.extend(self.id.into_iter().flat_map(u16::to_be_bytes));
        body.extend(version.properties(&self.props));
        body.extend(&self.payload);
        frame(first, body)
    }
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP. The reason is left out when it is 0x00 and there are no
/// properties, and always in 3.1.1.
#[derive(Clone, Debug)]
pub(crate) struct Ack {
    first: u8,
    id: u16,
    reason: u8,
    props: Props,
}

impl Ack {
    fn new(first: u8, id: u16) -> Self {
        Self {
            first,
            id,
            reason: 0,
            props: Props::default(),
        }
    }

    pub(crate) fn reason(mut self, reason: u8) -> Self {
        self.reason = reason;
        self
    }

    /// Adds a property.
    pub(crate) fn with(mut self, prop: Prop) -> Self {
        self.props.0.push(prop);
        self
    }
}

impl Encode for Ack {
    fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = self.id.to_be_bytes().to_vec();
        if version == Version::V5 && (self.reason != 0 || !self.props.0.is_empty()) {
            body.push(self.reason);
            if !self.props.0.is_empty() {
                body.extend(self.props.encode());
            }
        }
        frame(self.first, body)
    }
}

pub(crate) fn puback(id: u16) -> Ack {
    Ack::new(0x40, id)
}

pub(crate) fn pubrec(id: u16) -> Ack {
    Ack::new(0x50, id)
}

pub(crate) fn pubrel(id: u16) -> Ack {
    Ack::new(0x62, id)
}

pub(crate) fn pubcomp(id: u16) -> Ack {
    Ack::new(0x70, id)
}

/// SUBSCRIBE with any number of filters.
#[derive(Clone, Debug)]
pub(crate) struct Subscribe {
    id: u16,
    filters: Vec<(Vec<u8>, u8)>,
    props: Props,
}

impl Subscribe {
    pub(crate) fn new(id: u16) -> Self {
        Self {
            id,
            filters: Vec::new(),
            props: Props::default(),
        }
    }

    /// Adds a filter with its options byte: QoS in bits 0 and 1, in MQTT 5 also [`NO_LOCAL`] and so on.
    ///
    /// [`NO_LOCAL`]: Self::NO_LOCAL
    pub(crate) fn filter(mut self, filter: impl AsRef<[u8]>, options: u8) -> Self {
        self.filters.push((filter.as_ref().to_vec(), options));
        self
    }

    /// Adds a property.
    pub(crate) fn with(mut self, prop: Prop) -> Self {
        self.props.0.push(prop);
        self
    }

    /// Option: not the messages this client publishes itself.
    pub(crate) const NO_LOCAL: u8 = 0x04;
    /// Option: keep the RETAIN flag of the publisher.
    pub(crate) const RETAIN_AS_PUBLISHED: u8 = 0x08;
    /// Option: retained messages only for a subscription that did not exist.
    pub(crate) const RETAIN_IF_NEW: u8 = 0x10;
    /// Option: no retained messages on subscribing.
    pub(crate) const RETAIN_NEVER: u8 = 0x20;
}

impl Encode for Subscribe {
    fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = self.id.to_be_bytes().to_vec();
        body.extend(version.properties(&self.props));
        for (filter, options) in &self.filters {
            body.extend(utf8(filter));
            body.push(*options);
        }
        frame(0x82, body)
    }
}

/// UNSUBSCRIBE with any number of filters.
#[derive(Clone, Debug)]
pub(crate) struct Unsubscribe {
    id: u16,
    filters: Vec<Vec<u8>>,
    props: Props,
}

impl Unsubscribe {
    pub(crate) fn new(id: u16) -> Self {
        Self {
            id,
            filters: Vec::new(),
            props: Props::default(),
        }
    }

    pub(crate) fn filter(mut self, filter: impl AsRef<[u8]>) -> Self {
        self.filters.push(filter.as_ref().to_vec());
        self
    }

    /// Adds a property.
    pub(crate) fn with(mut self, prop: Prop) -> Self {
        self.props.0.push(prop);
        self
    }
}

impl Encode for Unsubscribe {
    fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = self.id.to_be_bytes().to_vec();
        body.extend(version.properties(&self.props));
        body.extend(self.filters.iter().flat_map(utf8));
        frame(0xA2, body)
    }
}

/// DISCONNECT; a reason of 0x00 without properties takes the two-byte form.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disconnect {
    reason: u8,
    props: Props,
}

impl Disconnect {
    pub(crate) fn reason(reason: u8) -> Self {
        Self {
            reason,
            props: Props::default(),
        }
    }

    /// Adds a property.
    pub(crate) fn with(mut self, prop: Prop) -> Self {
        self.props.0.push(prop);
        self
    }
}

impl Encode for Disconnect {
    fn encode(&self, version: Version) -> Vec<u8> {
        let mut body = Vec::new();
        if version == Version::V5 && (self.reason != 0 || !self.props.0.is_empty()) {
            body.push(self.reason);
            body.extend(self.props.encode());
        }
        frame(0xE0, body)
    }
}

/// AUTH, which only MQTT 5 has.
#[derive(Clone, Debug)]
pub(crate) struct Auth {
    reason: u8,
    props: Props,
}

impl Auth {
    pub(crate) fn reason(reason: u8) -> Self {
        Self {
            reason,
            props: Props::default(),
        }
    }

    /// Adds a property.
    pub(crate) fn with(mut self, prop: Prop) -> Self {
        self.props.0.push(prop);
        self
    }
}

impl Encode for Auth {
    fn encode(&self, _version: Version) -> Vec<u8> {
        let mut body = vec![self.reason];
        body.extend(self.props.encode());
        frame(0xF0, body)
    }
}
