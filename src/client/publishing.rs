//! PUBLISH from a client: decoded, checked, gathered into runs, published, acknowledged.

use smallvec::SmallVec;

use crate::broker::{
    Broker, Context, Dirty, FanOut, Opened, Origin, Outgoing, Published, ReceivedIds, RouteCache,
    Run, Sent,
};
use crate::budget::{Charge, Kind};
use crate::codec::{
    self, AckKind, BarePublish, Following, Frame, PacketId, Publish, QoS, ReasonCode, Split,
    Version,
};
use crate::message::publication::{AtOnce, Message, Publication, RunAsRead, expiry_deadline};
use crate::protocol::alias::InboundAliases;
use crate::protocol::handshake::clamp_message_expiry;
use crate::protocol::rules;
use crate::protocol::violation::Violation;

use super::frames;
use super::machine::{Active, Stop};
use super::tapping::Rows;

/// Messages that are published under one set of locks.
const RUN: usize = 32;

/// Identifiers of the messages of a run.
type Ids = SmallVec<[PacketId; RUN]>;

/// Messages that some receivers have not got yet.
pub(super) struct Unfinished {
    pub(super) rest: Box<FanOut>,
    qos: QoS,
    /// What is to be acknowledged then.
    ids: Ids,
}

impl Active {
    /// Handles the PUBLISH in `first` and those after it in `buf` that go the same way. Returns the
    /// bytes they took.
    pub(super) fn receive_publishes(
        &mut self,
        broker: &Broker,
        buf: &[u8],
        first: &Frame<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<usize, Stop> {
        // Whatever becomes of it, its row is no other packet's.
        Rows::begin(&mut self.rows, first.len);
        let publish = self.decode_publish(first)?;
        let at_once = match self.check_publish(broker, &publish, publish.payload.len(), context) {
            Ok(at_once) => at_once,
            Err(violation) => {
                self.refuse_publish(broker, &publish, violation)?;
                self.bind_alias(broker, &publish)?;
                return Ok(first.len);
            }
        };
        if !self.within_rate(context) {
            self.bind_alias(broker, &publish)?;
            return Ok(first.len);
        }
        let expiry = clamp_message_expiry(publish.properties.message_expiry, broker.config());
        if publish.properties.topic_alias.is_none()
            && expiry.is_none()
            && !(publish.retain && context.limits.retained_rate.is_some())
        {
            return self.publish_run(broker, buf, first, &publish, at_once, context, dirty);
        }
        self.publish_single(broker, &publish, None, expiry, at_once, context, dirty)?;
        Ok(first.len)
    }

    fn decode_publish<'a>(&mut self, frame: &Frame<'a>) -> Result<Publish<'a>, Stop> {
        self.batch.packets += 1;
        self.batch.messages += 1;
        Ok(codec::decode_publish(frame, self.version)?)
    }

    /// A PUBLISH that goes no further has bound its alias all the same (MQTT-3.3.2-7): the client will
    /// use it.
    fn bind_alias(&mut self, broker: &Broker, publish: &Publish<'_>) -> Result<(), Violation> {
        if let Some(alias) = publish.properties.topic_alias {
            let maximum = broker.config().limits.topic_alias_maximum;
            let aliases = self.aliases.get_or_insert_with(|| {
                Box::new(InboundAliases::new(broker.charge(Kind::Sessions)))
            });
            aliases.bind(publish.topic, alias, maximum)?;
        }
        Ok(())
    }

    /// Whether a PUBLISH is acceptable, and whether its message may wait for its receivers. A topic that an
    /// alias stands for is checked when it is known.
    fn check_publish(
        &self,
        broker: &Broker,
        publish: &Publish<'_>,
        payload: usize,
        context: &Context<'_>,
    ) -> Result<AtOnce, Violation> {
        rules::check_message(publish, broker.config())?;
        if !publish.topic.is_empty() {
            rules::check_topic(publish.topic, broker.config())?;
            rules::check_retain(publish.topic, publish.retain, broker.config())?;
        }
        if publish.qos > QoS::AtMostOnce
            && !context.budget.admits_message(payload)
            && !self.was_received(publish)
        {
            let size = publish.topic.len() + publish.properties.raw.len() + payload;
            return rules::check_at_once(size, context.budget);
        }
        Ok(AtOnce::default())
    }

    /// Whether a PUBLISH of QoS 2 came before and its exchange is open: it takes no more room.
    fn was_received(&self, publish: &Publish<'_>) -> bool {
        publish.qos == QoS::ExactlyOnce
            && publish
                .packet_id
                .is_some_and(|id| self.session.received().contains(id))
    }

    /// What a PUBLISH that is not acceptable comes to: an error in its acknowledgement where the
    /// version and the QoS have one and the packet was sound, else the end of the connection. One to a
    /// topic of the broker's own goes nowhere, and that is all: where no error can say so, the client is
    /// answered as usual. Bridges and dashboards must not be cut off for it.
    fn refuse_publish(
        &mut self,
        broker: &Broker,
        publish: &Publish<'_>,
        violation: Violation,
    ) -> Result<(), Stop> {
        self.refuse(broker, publish.qos, publish.packet_id, violation)
    }

    fn refuse(
        &mut self,
        broker: &Broker,
        qos: QoS,
        packet_id: Option<PacketId>,
        violation: Violation,
    ) -> Result<(), Stop> {
        let is_answerable = matches!(
            violation.reason,
            ReasonCode::TopicNameInvalid | ReasonCode::QuotaExceeded | ReasonCode::NotAuthorized
        ) && !violation.rule.starts_with("MQTT-");
        let is_dropped = violation.rule == rules::OWN_TOPIC;
        let has_answer = self.version == Version::V5 && packet_id.is_some();
        let goes_on = is_dropped || (is_answerable && has_answer);
        if !goes_on {
            return Err(violation.into());
        }
        tracing::info!(
            client_id = self.session.client_id(),
            rule = violation.rule,
            "PUBLISH refused: {}",
            violation.text
        );
        let Some(id) = packet_id else {
            return Ok(());
        };
        let kind = ack_kind(qos);
        let name = match kind {
            AckKind::Pubrec => "PUBREC",
            _ => "PUBACK",
        };
        let text = broker.reason_string(name, &violation.text);
        let reason = violation.reason;
        self.answer(Some(&text), |text| Outgoing::Ack {
            kind,
            id,
            reason,
            text,
        })?;
        Ok(())
    }

    /// AWS-LIM-10: what exceeds the rate is discarded.
    fn within_rate(&mut self, context: &Context<'_>) -> bool {
        match &mut self.publish_rate {
            Some(rate) => rate.allows(1.0, context.live),
            None => true,
        }
    }

    /// A PUBLISH that was read in pieces: its payload goes on in them.
    pub(super) fn receive_large_publish(
        &mut self,
        broker: &Broker,
        mut pieces: Vec<Vec<u8>>,
        charge: Charge,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<(), Stop> {
        let total: usize = pieces.iter().map(Vec::len).sum();
        let start = codec::gather_publish_head(&mut pieces, self.version)?;
        let head = pieces.first().and_then(|first| first.get(..start));
        let head = head.unwrap_or_default().to_vec();
        Rows::begin(&mut self.rows, total);
        let frame = codec::frame_of_head(&head, total)?;
        let publish = self.decode_publish(&frame)?;
        let payload = total - start;
        let checked = rules::check_payload(payload, &broker.config().limits)
            .and_then(|()| self.check_publish(broker, &publish, payload, context));
        let at_once = match checked {
            Ok(at_once) => at_once,
            Err(violation) => {
                self.refuse_publish(broker, &publish, violation)?;
                return Ok(self.bind_alias(broker, &publish)?);
            }
        };
        if !self.within_rate(context) {
            return Ok(self.bind_alias(broker, &publish)?);
        }
        let expiry = clamp_message_expiry(publish.properties.message_expiry, broker.config());
        let body = Body {
            pieces,
            start,
            charge,
        };
        self.publish_single(
            broker,
            &publish,
            Some(body),
            expiry,
            at_once,
            context,
            dirty,
        )
    }

    /// One message whose properties have to be rewritten or whose exchange has more steps.
    #[expect(clippy::too_many_arguments, reason = "a message in its parts")]
    fn publish_single(
        &mut self,
        broker: &Broker,
        publish: &Publish<'_>,
        body: Option<Body>,
        expiry: Option<u32>,
        at_once: AtOnce,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<(), Stop> {
        self.bind_alias(broker, publish)?;
        if publish.topic.is_empty() {
            let (topic, config) = (topic_of(self.aliases.as_deref(), publish), broker.config());
            let checked = rules::check_topic(topic, config)
                .and_then(|()| rules::check_retain(topic, publish.retain, config));
            if let Err(violation) = checked {
                return self.refuse_publish(broker, publish, violation);
            }
        }
        if !self.opens_exchange(broker, publish)? {
            return Ok(());
        }
        let topic = topic_of(self.aliases.as_deref(), publish);
        if let Err(violation) = broker.check_retained_rate(topic, publish, context) {
            if let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) {
                self.session.received().remove(id);
            }
            return self.throttle(broker, publish, violation);
        }
        let mut scratch = Vec::new();
        let mut publication = Publication::new(topic, publish.payload, publish.qos);
        publication.properties = publish.properties.forward(&mut scratch);
        publication.retain = publish.retain;
        publication.expires_at = expiry.and_then(|secs| expiry_deadline(secs, context.now));
        publication.row = Rows::current(&self.rows);
        let assembled = body.map(|body| body.into_message(&publication, context));
        let mut publication = assembled.as_ref().map_or(publication, Message::publication);
        publication.at_once = at_once;
        let run = Run::one(&publication);
        let origin = Origin::Client {
            session: &self.session,
            routes: routes(&mut self.routes, broker),
            permissions: self.permissions.as_deref(),
        };
        let sent = broker.deliver(origin, run, context, dirty);
        self.asks |= sent.is_request;
        let ids = publish.packet_id.into_iter().collect();
        if sent.is_denied {
            let topic = topic_of(self.aliases.as_deref(), publish).to_owned();
            return self.deny(broker, publish, &topic, ids, context);
        }
        self.conclude_all(broker, publish.qos, ids, sent)
    }

    /// Refuses messages that the client may not publish (AWS-FAIL-02, -03).
    #[cold]
    fn deny(
        &mut self,
        broker: &Broker,
        publish: &Publish<'_>,
        topic: &str,
        ids: Ids,
        context: &Context<'_>,
    ) -> Result<(), Stop> {
        let Some(permissions) = self.permissions.clone() else {
            return Ok(());
        };
        let violation = permissions.refuse_publish(topic, publish.retain, context.now);
        if ids.is_empty() {
            return self.refuse(broker, publish.qos, None, violation);
        }
        for id in ids {
            if publish.qos == QoS::ExactlyOnce {
                self.session.received().remove(id);
            }
            self.refuse(broker, publish.qos, Some(id), violation.clone())?;
        }
        Ok(())
    }

    /// AWS-LIM-19, -32: a retained message beyond its topic's rate is refused where there is a code for
    /// it, else discarded without an acknowledgement.
    fn throttle(
        &mut self,
        broker: &Broker,
        publish: &Publish<'_>,
        violation: Violation,
    ) -> Result<(), Stop> {
        if self.version == Version::V311 || publish.packet_id.is_none() {
            return Ok(());
        }
        self.refuse_publish(broker, publish, violation)
    }

    /// The usual case: a message, and those after it with the same topic and QoS.
    #[expect(clippy::too_many_arguments, reason = "a message in its parts")]
    fn publish_run(
        &mut self,
        broker: &Broker,
        buf: &[u8],
        first: &Frame<'_>,
        publish: &Publish<'_>,
        at_once: AtOnce,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<usize, Stop> {
        let limit = broker.config().limits.packet_size;
        let properties = broker.config().limits.properties;
        let run_as_read = RunAsRead::new(self.version, buf);
        let mut run: SmallVec<[Publication<'_>; RUN]> = SmallVec::new();
        let mut ids = Ids::new();
        if !self.opens_exchange(broker, publish)? {
            return Ok(first.len);
        }
        let mut exchanges = (publish.qos == QoS::ExactlyOnce).then(|| self.session.received());
        // A retained message stands alone: each replaces the one before. So does one that may not wait: each
        // is taken or refused for itself.
        let is_alone = publish.retain || self.publish_rate.is_some() || at_once.is_required();
        let mut publication = Publication::new(publish.topic, publish.payload, publish.qos);
        publication.properties = publish.properties.raw;
        publication.retain = publish.retain;
        publication.as_read = run_as_read.packet(publish.qos, *first, first.len);
        publication.at_once = at_once;
        publication.row = Rows::current(&self.rows);
        run.push(publication);
        // As an iterator of one or none it is a call for each message.
        if let Some(id) = publish.packet_id {
            ids.push(id);
        }
        let mut at = first.len;
        while run.len() < RUN && !is_alone {
            let Ok(Split::Frame(frame)) = frames::split(buf.get(at..).unwrap_or_default(), limit)
            else {
                break;
            };
            // One that is long enough to have too many properties is looked at by the caller first.
            if frame.first != first.first || frame.len > properties {
                break;
            }
            // What cannot be decoded ends the run; it is met again as the first of the next. So is one
            // that was sent again.
            let following =
                codec::decode_following(&frame, publish.topic, publish.qos, self.version);
            let next = match following {
                Following::Bare(next) => Some((next, &[][..])),
                Following::OtherTopic => None,
                Following::NotBare => decode_next(frame, publish.topic, self.version, broker),
            };
            let Some((next, forwarded)) = next else {
                break;
            };
            if rules::check_payload(next.payload.len(), &broker.config().limits).is_err() {
                break;
            }
            if let (Some(exchanges), Some(id)) = (&mut exchanges, next.packet_id)
                && open_exchange(exchanges, id, self.epoch, broker) != Opened::New
            {
                break;
            }
            self.batch.packets += 1;
            self.batch.messages += 1;
            at += frame.len;
            let row = match self.rows.is_some() {
                true => Rows::take(&mut self.rows, frame.len),
                false => 0,
            };
            let as_read = run_as_read.packet(publish.qos, frame, at);
            run.push(Publication::following(
                publish.topic,
                next.payload,
                publish.qos,
                forwarded,
                as_read,
                row,
            ));
            if let Some(id) = next.packet_id {
                ids.push(id);
            }
        }
        drop(exchanges);
        // Those that have rows in the journal, and one that is kept, are messages for themselves.
        if !is_alone && self.rows.is_none() {
            run_as_read.end_at(at);
        }
        dirty.charge(run.len());
        let packets = buf.get(..at).unwrap_or_default();
        let run = Run::new(&run).read_as(self.version, packets);
        let origin = Origin::Client {
            session: &self.session,
            routes: routes(&mut self.routes, broker),
            permissions: self.permissions.as_deref(),
        };
        let sent = broker.deliver(origin, run, context, dirty);
        self.asks |= sent.is_request;
        match sent.is_denied {
            true => self.deny(broker, publish, publish.topic, ids, context)?,
            false => self.conclude_all(broker, publish.qos, ids, sent)?,
        }
        Ok(at)
    }

    /// Notes a QoS 2 message. Returns whether a PUBLISH is to be published: one that was sent again is
    /// answered only (MQTT-4.3.3-10).
    fn opens_exchange(&mut self, broker: &Broker, publish: &Publish<'_>) -> Result<bool, Stop> {
        let (QoS::ExactlyOnce, Some(id)) = (publish.qos, publish.packet_id) else {
            return Ok(true);
        };
        let opened = open_exchange(&mut self.session.received(), id, self.epoch, broker);
        match opened {
            Opened::New => Ok(true),
            Opened::Known => {
                self.acknowledge(AckKind::Pubrec, id, ReasonCode::Success)?;
                Ok(false)
            }
            Opened::TooMany => Err(exceeded_receive_maximum()),
            Opened::NoMemory => Err(Violation::no_memory().into()),
        }
    }

    /// Acknowledges messages that were published, once all their receivers were served.
    #[inline]
    fn conclude_all(
        &mut self,
        broker: &Broker,
        qos: QoS,
        ids: Ids,
        sent: Sent,
    ) -> Result<(), Stop> {
        if let Some(rest) = sent.rest {
            self.unfinished = Some(Box::new(Unfinished { rest, qos, ids }));
            return Ok(());
        }
        self.conclude_each(broker, qos, ids, sent.published)
    }

    /// Acknowledges messages of which the same came.
    #[inline]
    fn conclude_each(
        &mut self,
        broker: &Broker,
        qos: QoS,
        ids: Ids,
        published: Published,
    ) -> Result<(), Stop> {
        if ids.is_empty() {
            return Ok(());
        }
        let reason = ack_reason(broker, published);
        if reason.is_error() {
            for id in ids {
                self.conclude_in_vain(broker, qos, id, published, reason)?;
            }
            return Ok(());
        }
        let allowed = match qos {
            QoS::AtLeastOnce => self.allow_unanswered(ids.len(), broker),
            QoS::AtMostOnce | QoS::ExactlyOnce => ids.len(),
        };
        let answered = ids.get(..allowed).unwrap_or_default();
        self.answer_all(ack_kind(qos), answered, reason)?;
        match allowed < ids.len() {
            true => Err(exceeded_receive_maximum()),
            false => Ok(()),
        }
    }

    /// Goes on with messages that some receivers have not got yet. Nothing else is handled before that
    /// is done: what comes next is not to overtake them (MQTT-4.6.0-6). Returns whether it is.
    #[cold]
    pub(super) fn finish_publishes(
        &mut self,
        broker: &Broker,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Result<bool, Stop> {
        let Some(mut unfinished) = self.unfinished.take() else {
            return Ok(true);
        };
        if !unfinished.rest.go_on(broker, context, dirty) {
            self.unfinished = Some(unfinished);
            return Ok(false);
        }
        let published = unfinished.rest.published();
        self.conclude_each(broker, unfinished.qos, unfinished.ids, published)?;
        Ok(true)
    }

    /// Acknowledges a message that was not published, or not as it was to be.
    #[cold]
    fn conclude_in_vain(
        &mut self,
        broker: &Broker,
        qos: QoS,
        id: PacketId,
        published: Published,
        reason: ReasonCode,
    ) -> Result<(), Stop> {
        if qos == QoS::ExactlyOnce {
            // PUBREC with an error ends the exchange: its identifier is free (MQTT-4.3.3-9).
            self.session.received().remove(id);
        }
        if published == Published::Refused {
            return self.refuse(broker, qos, Some(id), Violation::no_memory());
        }
        if qos == QoS::AtLeastOnce && self.allow_unanswered(1, broker) == 0 {
            return Err(exceeded_receive_maximum());
        }
        Ok(self.acknowledge(ack_kind(qos), id, reason)?)
    }

    #[inline]
    fn acknowledge(
        &mut self,
        kind: AckKind,
        id: PacketId,
        reason: ReasonCode,
    ) -> Result<(), Violation> {
        self.answer(None, |text| Outgoing::Ack {
            kind,
            id,
            reason,
            text,
        })
    }

    /// How many of so many messages of QoS 1 a client may have open besides those that it has: with more than
    /// Receive Maximum it is cut off (MQTT-3.3.4-7, AWS-M5-22). None of this batch can have been acknowledged to
    /// its eyes, because the answers leave after it.
    #[inline]
    fn allow_unanswered(&mut self, messages: usize, broker: &Broker) -> usize {
        let maximum = match self.version {
            Version::V5 => usize::from(broker.config().limits.receive_maximum),
            Version::V311 => usize::MAX,
        };
        let allowed = messages.min(maximum.saturating_sub(self.unanswered));
        self.unanswered += allowed;
        allowed
    }
}

/// The payload of a message that was read in pieces.
struct Body {
    pieces: Vec<Vec<u8>>,
    /// Where the payload begins in the first.
    start: usize,
    charge: Charge,
}

impl Body {
    fn into_message(self, publication: &Publication<'_>, context: &Context<'_>) -> Message {
        Message::assembled(
            publication,
            self.pieces,
            self.start,
            self.charge,
            context.budget,
        )
    }
}

/// The topic that a PUBLISH means, once its alias is bound.
fn topic_of<'a>(aliases: Option<&'a InboundAliases>, publish: &Publish<'a>) -> &'a str {
    let alias = publish.properties.topic_alias;
    alias
        .and_then(|alias| aliases?.topic(alias))
        .unwrap_or(publish.topic)
}

/// Looks an identifier up and notes it, under one lock: a connection that was just taken over may be
/// at the same message.
fn open_exchange(received: &mut ReceivedIds, id: PacketId, epoch: u64, broker: &Broker) -> Opened {
    let maximum = usize::from(broker.config().limits.receive_maximum);
    received.open(id, epoch, maximum, broker.budget())
}

/// What a client keeps of where it publishes to.
#[inline]
fn routes<'a>(kept: &'a mut Option<Box<RouteCache>>, broker: &Broker) -> &'a mut RouteCache {
    kept.get_or_insert_with(|| {
        let charge = broker.charge(Kind::Sessions);
        Box::new(RouteCache::new(charge, broker.hashing()))
    })
}

fn exceeded_receive_maximum() -> Stop {
    Violation::new(
        ReasonCode::ReceiveMaximumExceeded,
        "MQTT-3.3.4-7",
        "more open messages than receive maximum",
    )
    .into()
}

/// Decodes a PUBLISH behind another to the same topic. Returns its properties as they are forwarded, too;
/// `None` if it cannot go on as it is.
#[inline(never)]
fn decode_next<'a>(
    frame: Frame<'a>,
    topic: &'a str,
    version: Version,
    broker: &Broker,
) -> Option<(BarePublish<'a>, &'a [u8])> {
    let next = codec::decode_publish_to(&frame, topic, version).ok()??;
    let may_follow =
        goes_on_as_it_is(&next) && rules::check_message(&next, broker.config()).is_ok();
    let (packet_id, payload) = (next.packet_id, next.payload);
    may_follow.then_some((BarePublish { packet_id, payload }, next.properties.raw))
}

/// Whether no property of a message concerns this connection only or counts down.
fn goes_on_as_it_is(publish: &Publish<'_>) -> bool {
    publish.properties.topic_alias.is_none() && publish.properties.message_expiry.is_none()
}

/// What acknowledges a message: the first step of QoS 2, the only one of QoS 1.
#[inline]
fn ack_kind(qos: QoS) -> AckKind {
    match qos {
        QoS::ExactlyOnce => AckKind::Pubrec,
        QoS::AtMostOnce | QoS::AtLeastOnce => AckKind::Puback,
    }
}

fn ack_reason(broker: &Broker, published: Published) -> ReasonCode {
    match published {
        Published::Matched => ReasonCode::Success,
        Published::Unmatched if broker.config().aws.plain_acks => ReasonCode::Success,
        Published::Unmatched => ReasonCode::NoMatchingSubscribers,
        Published::NotRetained | Published::Refused => ReasonCode::QuotaExceeded,
    }
}
