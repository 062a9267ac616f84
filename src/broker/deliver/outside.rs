//! Messages that no client published: those of the HTTP API.

use crate::broker::Broker;
use crate::broker::facts::{CONSOLE, LOCAL, PeerAddr};
use crate::broker::routing::Reach;
use crate::broker::session::Session;
use crate::broker::turn::{Context, Dirty};
use crate::codec::{
    MessageProperties, OutgoingPublish, Publish, PublishProperties, QoS, ReasonCode, Version,
};
use crate::config::Limits;
use crate::message::publication::{AtOnce, Publication, expiry_deadline};
use crate::protocol::handshake::clamp_message_expiry;
use crate::protocol::rules;
use crate::protocol::violation::Violation;
use crate::tap::Tap;

use super::fan_out::FanOut;
use super::{Origin, Published, Run};

/// A message to publish on behalf of nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutsideMessage<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) properties: MessageProperties<'a>,
}

/// A message that is published: whom it reached so far, or would have with room left.
pub(crate) struct Publishing {
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "only the API tells of it")
    )]
    row: u64,
    reach: Reach,
    published: Published,
    rest: Option<Box<FanOut>>,
}

impl Broker {
    /// Publishes a message under the rules that hold for clients, as far as the turn goes: the caller
    /// goes on with [`go_on_publishing`](Self::go_on_publishing).
    ///
    /// # Errors
    ///
    /// What a client would be told. Nothing was delivered then.
    pub(crate) fn publish_message(
        &self,
        message: &OutsideMessage<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<Publishing, Violation> {
        self.publish_message_by(None, message, context, dirty)
    }

    /// The same on behalf of a session, whose subscriptions with No Local do not get it.
    ///
    /// # Errors
    ///
    /// As [`publish_message`](Self::publish_message).
    pub(crate) fn publish_message_by(
        &self,
        publisher: Option<&Session>,
        message: &OutsideMessage<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<Publishing, Violation> {
        let section = message.section()?;
        let publish = self.check_outside(message, &section)?;
        let at_once = self.check_room(&publish, context)?;
        self.check_retained_rate(publish.topic, &publish, context)?;

        let expiry = clamp_message_expiry(publish.properties.message_expiry, &self.config);
        let mut scratch = Vec::new();
        let mut publication = Publication::new(publish.topic, publish.payload, publish.qos);
        publication.properties = publish.properties.forward(&mut scratch);
        publication.retain = publish.retain;
        publication.expires_at = expiry.and_then(|secs| expiry_deadline(secs, context.now));
        publication.at_once = at_once;
        let source = match publisher {
            Some(session) => Source::Console(session.client_id()),
            None => Source::Local,
        };
        source.note(&mut publication, context);
        let row = publication.row;
        let run = Run::one(&publication);
        let origin = match publisher {
            Some(session) => Origin::Program { session },
            None => Origin::Outside,
        };
        let sent = self.deliver(origin, run, context, dirty);
        Ok(Publishing {
            row,
            reach: sent.reach,
            published: sent.published,
            rest: sent.rest,
        })
    }

    /// Goes on for a turn. Returns whether all is done.
    pub(crate) fn go_on_publishing(
        &self,
        publishing: &mut Publishing,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> bool {
        let Some(rest) = &mut publishing.rest else {
            return true;
        };
        let is_done = rest.go_on(self, context, dirty);
        if is_done {
            (publishing.reach, publishing.published) = (rest.reach(), rest.published());
            publishing.rest = None;
        }
        is_done
    }

    /// Holds a message, with its property section, against the rules for those of clients.
    pub(super) fn check_outside<'a>(
        &self,
        message: &OutsideMessage<'a>,
        section: &'a [u8],
    ) -> Result<Publish<'a>, Violation> {
        rules::check_topic(message.topic, &self.config)?;
        rules::check_retain(message.topic, message.retain, &self.config)?;
        let publish = message.publish(PublishProperties::parse(section)?);
        rules::check_message(&publish, &self.config)?;
        let (size, limit) = (packet_size(&publish), self.config.limits.packet_size);
        if size > limit as usize {
            return Err(Violation::new(
                ReasonCode::PacketTooLarge,
                "MQTT-3.1.2-24",
                format!("the packet would have {size} bytes, the limit is {limit}"),
            ));
        }
        Ok(publish)
    }

    /// What the broker's memory bound means for a client as well.
    fn check_room(
        &self,
        publish: &Publish<'_>,
        context: &Context<'_>,
    ) -> Result<AtOnce, Violation> {
        let size = packet_size(publish);
        match publish.qos == QoS::AtMostOnce || context.budget.admits_message(size) {
            true => Ok(AtOnce::default()),
            false => rules::check_at_once(size, context.budget),
        }
    }
}

/// Bytes of the packet of a message.
fn packet_size(publish: &Publish<'_>) -> usize {
    let packet = OutgoingPublish {
        dup: false,
        qos: QoS::AtMostOnce,
        retain: publish.retain,
        topic: publish.topic.as_bytes(),
        packet_id: None,
        topic_alias: None,
        message_expiry: None,
        subscription_ids: &[],
        properties: publish.properties.raw,
        payload: publish.payload.into(),
    };
    packet.encoded_len(Version::V5)
}

/// Where a message comes from that no connection brought.
pub(in crate::broker) enum Source<'a> {
    /// The program that the broker runs in, the HTTP API, or the broker itself.
    Local,
    /// A client of the HTTP API, of this Client Identifier.
    Console(&'a str),
    /// The will of a client of this Client Identifier.
    Will(&'a str),
}

impl Source<'_> {
    /// Writes it to the journal, if there is one.
    #[inline]
    pub(in crate::broker) fn note(self, publication: &mut Publication<'_>, context: &Context<'_>) {
        if let Some(tap) = context.tap {
            publication.row = self.row(tap, publication, context);
        }
    }

    /// The number of the row, 0 without a journal.
    #[cold]
    fn row(self, tap: &Tap, publication: &Publication<'_>, context: &Context<'_>) -> u64 {
        let (listener, client, what) = match self {
            Self::Local => (LOCAL, None, ""),
            Self::Console(client) => (CONSOLE, Some(client), ""),
            Self::Will(client) => (LOCAL, Some(client), "will, "),
        };
        let (topic, qos) = (publication.topic, publication.qos.bits());
        let retained = if publication.retain { ", retained" } else { "" };
        let bytes = publication.payload.len();
        let text = || format!("{what}{topic}, QoS {qos}{retained}, {bytes} bytes");
        let peer = &PeerAddr::Memory;
        tap.note_published(listener, peer, client, topic, text, context.now)
    }
}

impl Publishing {
    /// The row of the journal that says that it was published, if there is one.
    #[cfg(feature = "http")]
    pub(crate) fn row(&self) -> Option<u64> {
        Some(self.row).filter(|row| *row > 0)
    }

    /// Whom it reached, once all is done.
    ///
    /// # Errors
    ///
    /// It reached its subscribers, but could not be retained for want of room (`limits.retained`); or none
    /// of them, for want of memory (`limits.memory`).
    pub(crate) fn reach(&self, limits: &Limits) -> Result<Reach, Violation> {
        match self.published {
            Published::Matched | Published::Unmatched => Ok(self.reach),
            Published::Refused => Err(Violation::no_memory()),
            Published::NotRetained => Err(Violation::new(
                ReasonCode::QuotaExceeded,
                "limits.retained",
                format!(
                    "delivered but not retained, the limit is {}",
                    limits.retained
                ),
            )),
        }
    }
}

impl<'a> OutsideMessage<'a> {
    /// Its property section.
    pub(super) fn section(&self) -> Result<Vec<u8>, Violation> {
        let section = self.properties.encode();
        section.map_err(|error| Violation::protocol("MQTT-1.5.4-1", error.to_string()))
    }

    /// The message as the rules look at one.
    fn publish(&self, properties: PublishProperties<'a>) -> Publish<'a> {
        Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: self.topic,
            packet_id: None,
            properties,
            payload: self.payload,
        }
    }
}
