//! The decoder against one that other people wrote: `mqtt-proto`.
//!
//! Both get the same packets, valid and damaged. They have to agree on what is a packet and on what it
//! means: each understands what the other made of it. Where they disagree, [`known_difference`] names
//! the statement that this decoder follows; a disagreement that it does not list fails.

use std::collections::BTreeMap;

use mqtt_proto::{Error, v3, v5};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::codec::property::Property;
use crate::codec::tests::summary::summary;
use crate::codec::tests::wire_cases::wire_cases;
use crate::codec::{
    DecodeError, MAX_PACKET_SIZE, Packet, PacketType, ReasonCode, Sender, Split, Version,
    decode_from, split,
};

use super::corpus::{PROPERTIES, kept};
use super::packet::encode;
use super::properties::book::Place;
use super::properties::packet_with;

/// What the other decoder makes of a packet.
#[derive(Debug)]
enum Other {
    V3(Box<v3::Packet>),
    V5(Box<v5::Packet>),
}

/// Why the other decoder refuses a packet.
#[derive(Debug)]
enum Refusal {
    /// The packet ends before its last field does.
    Short,
    Common(Error),
    V5(v5::ErrorV5),
}

impl Other {
    fn decode(bytes: &[u8], version: Version) -> Result<Self, Refusal> {
        match version {
            Version::V311 => match v3::Packet::decode(bytes) {
                Ok(packet) => packet
                    .map(|it| Self::V3(Box::new(it)))
                    .ok_or(Refusal::Short),
                Err(error) => Err(Refusal::Common(error)),
            },
            Version::V5 => match v5::Packet::decode(bytes) {
                Ok(packet) => packet
                    .map(|it| Self::V5(Box::new(it)))
                    .ok_or(Refusal::Short),
                Err(v5::ErrorV5::Common(error)) => Err(Refusal::Common(error)),
                Err(error) => Err(Refusal::V5(error)),
            },
        }
    }

    /// Whether it is a SUBACK or UNSUBACK without a Reason Code.
    fn answers_nothing(&self) -> bool {
        match self {
            Self::V3(packet) => {
                matches!(&**packet, v3::Packet::Suback(suback) if suback.topics.is_empty())
            }
            Self::V5(packet) => match &**packet {
                v5::Packet::Suback(suback) => suback.topics.is_empty(),
                v5::Packet::Unsuback(unsuback) => unsuback.topics.is_empty(),
                _ => false,
            },
        }
    }

    fn encode(&self) -> Vec<u8> {
        let encoded = match self {
            Self::V3(packet) => packet.encode(),
            Self::V5(packet) => packet.encode(),
        };
        encoded
            .expect("what was decoded can be encoded")
            .as_ref()
            .to_vec()
    }
}

/// A packet, whole by its Remaining Length.
#[derive(Clone, Copy)]
struct Case<'a> {
    bytes: &'a [u8],
    sender: Sender,
    version: Version,
}

impl<'a> Case<'a> {
    /// The first packet in `bytes`, if there is a whole one.
    fn of(bytes: &'a [u8], sender: Sender, version: Version) -> Option<Self> {
        let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) else {
            return None;
        };
        let version = match frame.packet_type {
            PacketType::Connect => connect_version(frame.body)?,
            _ => version,
        };
        Some(Self {
            bytes: frame.bytes,
            sender,
            version,
        })
    }

    fn decode(&self) -> Result<Packet<'a>, DecodeError> {
        decode_bytes(self.bytes, self.sender, self.version)
    }

    /// How the two disagree, unless that is known.
    fn disagreement(&self) -> Option<String> {
        let (ours, theirs) = (self.decode(), Other::decode(self.bytes, self.version));
        let problem = match (&ours, &theirs) {
            (Err(_), Err(_)) => return None,
            (Ok(ours), Ok(theirs)) => self.difference(ours, theirs)?,
            _ => "one of the two refuses it".to_owned(),
        };
        if known_difference(self, &ours, &theirs).is_some() {
            return None;
        }
        let Self {
            bytes,
            sender,
            version,
        } = self;
        Some(format!(
            "{bytes:02x?} from {sender:?} in {version:?}: {problem}\n  \
             ours   {ours:?}\n  theirs {theirs:?}\n"
        ))
    }

    /// How a packet that both accept differs in meaning.
    fn difference(&self, ours: &Packet<'_>, theirs: &Other) -> Option<String> {
        let from_theirs = theirs.encode();
        let meaning = summary(ours);
        match decode_bytes(&from_theirs, self.sender, self.version) {
            Ok(again) if summary(&again) == meaning => {}
            again => return Some(format!("what it encodes to is {again:?} here")),
        }
        let from_ours = encode(ours, self.sender, self.version)?;
        // Not every encoder writes all that a packet can hold.
        let again = decode_bytes(&from_ours, self.sender, self.version).ok()?;
        if summary(&again) != meaning {
            return None;
        }
        let there = match Other::decode(&from_ours, self.version) {
            Ok(there) => there.encode(),
            refused => return Some(format!("what this encodes to is {refused:?} there")),
        };
        match decode_bytes(&there, self.sender, self.version) {
            Ok(again) if summary(&again) == meaning => None,
            again => Some(format!("it comes back from there as {again:?}")),
        }
    }
}

/// The version that a CONNECT names; `None` if it is not one of ours, on which both may differ.
fn connect_version(body: &[u8]) -> Option<Version> {
    match body.strip_prefix(b"\0\x04MQTT")?.first()? {
        4 => Some(Version::V311),
        5 => Some(Version::V5),
        _ => None,
    }
}

fn decode_bytes(bytes: &[u8], sender: Sender, version: Version) -> Result<Packet<'_>, DecodeError> {
    match split(bytes, MAX_PACKET_SIZE)? {
        Split::Frame(frame) => decode_from(sender, &frame, version),
        Split::Partial { needed } => panic!("{needed} bytes needed: {bytes:02x?}"),
    }
}

/// The statement by which this decoder is right where the two differ.
fn known_difference(
    case: &Case<'_>,
    ours: &Result<Packet<'_>, DecodeError>,
    theirs: &Result<Other, Refusal>,
) -> Option<&'static str> {
    match (ours, theirs) {
        (Err(error), Ok(theirs)) => refused_here(error, theirs, case),
        (Ok(packet), Err(refusal)) => refused_there(packet, refusal, case),
        (Ok(Packet::Suback(suback)), Ok(Other::V3(_)))
            if suback.reasons.contains(&ReasonCode::UnspecifiedError) =>
        {
            Some("MQTT-3.9.3-2 of 3.1.1: a failure is 0x80; the other reads that, but writes 0x03")
        }
        _ => None,
    }
}

/// What this decoder refuses and the other lets through.
fn refused_here(error: &DecodeError, theirs: &Other, case: &Case<'_>) -> Option<&'static str> {
    use Property::{MaximumPacketSize, ReceiveMaximum, SubscriptionIdentifier};
    // The other one, writing it, needs fewer bytes than it was given.
    let is_longer = case.bytes.len() > theirs.encode().len();
    match error {
        DecodeError::NulCharacter { .. } if format!("{theirs:?}").contains("\\0") => {
            Some("MQTT-1.5.4-2: strings have no U+0000")
        }
        DecodeError::VariableByteInteger { .. } if is_longer => {
            Some("MQTT-1.5.5-1: a Variable Byte Integer takes no more bytes than it needs")
        }
        DecodeError::EmptyTopicName => Some("MQTT-4.7.3-1: a Topic Name has a character"),
        DecodeError::TopicAliasInvalid => Some("MQTT-3.3.2-8: a Topic Alias is not 0"),
        DecodeError::SubscriptionIdentifierFromClient => {
            Some("MQTT-3.3.4-6: no Subscription Identifier from a client")
        }
        DecodeError::PropertyValue {
            property: ReceiveMaximum | MaximumPacketSize | SubscriptionIdentifier,
            value: 0,
        } => Some("MQTT 5, sections 3.1.2.11.3, 3.1.2.11.4 and 3.8.2.1.2: not 0"),
        DecodeError::AuthenticationDataWithoutMethod | DecodeError::AuthenticationMethodMissing => {
            Some("MQTT 5, sections 3.1.2.11.10 and 3.15.2.2.2: a method has to be named")
        }
        DecodeError::Truncated {
            field: "reason code",
        } if theirs.answers_nothing() => {
            Some("MQTT-3.8.4-6, MQTT-3.11.3-1: a code for each filter, and there is one")
        }
        DecodeError::SurplusBytes { .. } if is_longer => Some(
            "section 2.1.4 (2.2.3 of 3.1.1): the Remaining Length is that of the packet's fields",
        ),
        DecodeError::ConnectFlags {
            rule: "password flag without user name flag",
        } if case.version == Version::V311 => Some("MQTT-3.1.2-22 of 3.1.1: no password alone"),
        DecodeError::ConnectFlags {
            rule: "will retain without will flag",
        } => Some("MQTT-3.1.2-13 (-15 of 3.1.1): no Will Retain without a will"),
        _ => None,
    }
}

/// What the other decoder refuses and this one lets through.
fn refused_there(packet: &Packet<'_>, refusal: &Refusal, case: &Case<'_>) -> Option<&'static str> {
    use v5::{ErrorV5, PropertyId};
    match (packet, refusal) {
        (
            Packet::Publish(_) | Packet::Connect(_) | Packet::Subscribe(_) | Packet::Unsubscribe(_),
            Refusal::Common(Error::InvalidTopicName(_) | Error::InvalidTopicFilter(_))
            | Refusal::V5(ErrorV5::InvalidResponseTopic),
        ) => {
            Some("MQTT-3.3.2-2, MQTT-4.7.1-1: looked at above the codec, where UNSUBACK can say so")
        }
        (Packet::Publish(_) | Packet::Connect(_), Refusal::V5(ErrorV5::InvalidPayloadFormat)) => {
            Some("MQTT 5, section 3.3.2.3.2: who forwards a payload need not look at it")
        }
        (
            Packet::Publish(_),
            Refusal::V5(ErrorV5::DuplicatedProperty(PropertyId::SubscriptionIdentifier)),
        ) if case.sender == Sender::Server => {
            Some("MQTT-3.3.4-4: an identifier for each subscription that matched")
        }
        _ => None,
    }
}

/// The packets of wire cases and those that fuzzing kept.
fn written_and_kept() -> Vec<(Vec<u8>, Sender, Version)> {
    let mut packets: Vec<_> = wire_cases()
        .iter()
        .map(|case| (case.bytes.clone(), case.sender, case.version))
        .collect();
    for input in kept("packet") {
        let Some((&choice, mut rest)) = input.split_first() else {
            continue;
        };
        let sender = [Sender::Client, Sender::Server][usize::from(choice >> 1 & 1)];
        let version = [Version::V311, Version::V5][usize::from(choice & 1)];
        while let Ok(Split::Frame(frame)) = split(rest, MAX_PACKET_SIZE) {
            packets.push((frame.bytes.to_vec(), sender, version));
            rest = &rest[frame.len..];
        }
    }
    packets
}

/// MQTT-4.13.1-1.
#[test]
fn two_decoders_agree_on_wire_cases_and_on_what_fuzzing_kept() {
    let packets = written_and_kept();
    let cases = packets
        .iter()
        .filter_map(|(bytes, sender, version)| Case::of(bytes, *sender, *version));
    let mut disagreements = BTreeMap::new();
    let mut count = 0;
    for case in cases {
        count += 1;
        if let Some(text) = case.disagreement() {
            disagreements.insert(case.bytes.len(), text);
        }
    }
    assert!(count > 200, "{count} cases");
    let texts: String = disagreements.into_values().take(20).collect();
    assert!(texts.is_empty(), "{texts}");
}

/// A change to the body of a packet.
#[derive(Clone, Debug)]
enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = prop_oneof![any::<u8>(), select(vec![0, 1, 2, 3, 4, 0x7f, 0x80, 0xff])];
    (any::<prop::sample::Index>(), byte, 0..4).prop_map(|(at, byte, kind)| match kind {
        0 => Edit::Insert(at, byte),
        1 => Edit::Remove(at),
        _ => Edit::Set(at, byte),
    })
}

/// The packet with another body, and a fixed header that fits it.
fn edited(bytes: &[u8], edits: &[Edit]) -> Vec<u8> {
    let Ok(Split::Frame(frame)) = split(bytes, MAX_PACKET_SIZE) else {
        return bytes.to_vec();
    };
    let mut body = frame.body.to_vec();
    for edit in edits {
        match edit {
            Edit::Set(at, byte) if !body.is_empty() => *at.get_mut(&mut body) = *byte,
            Edit::Insert(at, byte) => body.insert(at.index(body.len() + 1), *byte),
            Edit::Remove(at) if !body.is_empty() => {
                body.remove(at.index(body.len()));
            }
            Edit::Set(..) | Edit::Remove(_) => {}
        }
    }
    whole(frame.first, &body)
}

fn whole(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut len = body.len();
    while len >= 0x80 {
        bytes.push(len as u8 | 0x80);
        len >>= 7;
    }
    bytes.push(len as u8);
    bytes.extend_from_slice(body);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// MQTT-4.13.1-1.
    #[test]
    fn two_decoders_agree_on_damaged_packets(
        at in any::<prop::sample::Index>(),
        edits in vec(edit(), 1..4),
    ) {
        let case = at.get(wire_cases());
        let bytes = edited(&case.bytes, &edits);
        let case = Case::of(&bytes, case.sender, case.version);
        prop_assert_eq!(case.and_then(|case| case.disagreement()), None);
    }

    /// MQTT-2.2.2-1.
    #[test]
    fn two_decoders_agree_on_properties(
        place in select(&Place::ALL[..]),
        sections in vec(select(&PROPERTIES[..]), 0..5),
    ) {
        let (packet_type, body) = packet_with(place, &sections.concat());
        let bytes = whole(packet_type.first_byte(), &body);
        let sender = match place {
            Place::PublishFromServer => Sender::Server,
            _ => Sender::Client,
        };
        let case = Case::of(&bytes, sender, Version::V5);
        prop_assert_eq!(case.and_then(|case| case.disagreement()), None);
    }
}
