//! One receiver's outbound half: window, queue and encoded bytes under one short lock.
//!
//! The session half (window, queue, memberships) survives the connection; the connection half
//! ([`Connected`]) does not. Callers hold the lock for as long as it takes to append a packet and tell
//! the writer afterwards: methods that make the connection need one return [`Wake::Writer`].

mod aliases;
pub(super) mod chunks;
pub(super) mod compose;
mod connected;
#[cfg_attr(
    not(all(feature = "http", feature = "aws")),
    expect(dead_code, reason = "only the service's API sends such messages")
)]
pub(super) mod direct;
mod exchanges;
pub(super) mod line;
pub(super) mod link;
pub(super) mod memberships;
mod offering;
pub(crate) mod pool;
pub(super) mod replay;
mod resend;
mod row;
mod sharing;
pub(super) mod signal;
mod sync;
pub(super) mod window;
pub(super) mod writer;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::budget::{Charge, Kind};
use crate::codec::QoS;
use crate::message::cause::Cause;
use crate::message::delivery::{Delivery, Retain, SubscriptionIds};
use crate::message::publication::{Message, Publication};
use crate::message::subscription::Options;

use self::aliases::OutboundAliases;
use self::chunks::Chunks;
pub(super) use self::connected::Carrier;
use self::connected::{Connected, Seldom};
use self::line::{Numbered, Waits};
use self::link::{Link, Words};
use self::memberships::Memberships;
use self::replay::Replay;
use self::resend::Resend;
use self::window::{Phase, Window};
use self::writer::{Outcome, Reported, Write, Writer};
use super::access::Permissions;
use super::bounds::Bounds;

pub(crate) use self::connected::Peer;
pub(crate) use self::exchanges::Acknowledged;
pub(super) use self::offering::Offered;
pub(super) use self::sharing::{HandOver, Suits, Surrendered, TakenBack};

/// Queued messages are encoded only while fewer bytes than this wait for the socket.
const PUMP_MARK: usize = 256 * 1024;

/// What a place in the window takes besides its message.
const ENTRY: usize = 64;

/// Whether an append made the connection need a writer.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The caller puts the session into its dirty set.
    Writer,
    Nobody,
}

/// What the receiver's subscriptions make of a message.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) qos: QoS,
    pub(super) retain: Retain,
    pub(super) subscription_ids: SubscriptionIds,
}

impl Grant {
    /// What a subscription with `options` makes of a live message: the lower QoS (MQTT-3.8.4-8), and
    /// RETAIN as published only where it asks for that (MQTT-3.3.1-12, -13).
    #[inline]
    pub(super) fn new(options: Options, qos: QoS, retain: bool) -> Self {
        Self {
            qos: qos.min(options.qos),
            retain: Retain::live(retain, options.retain_as_published),
            subscription_ids: options.subscription_ids(),
        }
    }

    /// A message with it.
    #[inline]
    fn delivery(self, publication: &Publication<'_>, bounds: &Bounds<'_>) -> Delivery {
        Delivery {
            message: publication.message(bounds.budget),
            qos: self.qos,
            retain: self.retain,
            subscription_ids: self.subscription_ids,
        }
    }
}

/// How the outbound side of a connection stands.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct OutputState {
    /// The socket takes no more.
    pub(crate) full: bool,
    /// A write failed.
    pub(crate) broken: bool,
    /// Bytes wait.
    pub(crate) waiting: bool,
    /// Bytes of answers to the client's own packets that have not left.
    pub(crate) unsent_answers: usize,
    /// Another connection waits for the session.
    pub(crate) is_wanted: bool,
}

/// What a receiver got and did not get, for statistics.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Messages dropped for want of room, because they were too large, or on overflow.
    pub(crate) dropped: u64,
    /// Messages whose expiry ran out in the queue.
    pub(crate) expired: u64,
}

/// Replays in their order, one at least.
#[derive(Default)]
struct Replays(VecDeque<Replay>);

#[derive(Default)]
pub(crate) struct Outbox {
    pub(super) window: Window,
    queue: Numbered<Delivery>,
    charge: Option<Charge>,
    /// Boxed, because most sessions have none.
    memberships: Option<Box<Memberships>>,
    /// The session stays when the connection ends, so that messages are kept for it.
    pub(super) persistent: bool,
    /// Whose turn it is when own messages and a group wait for the same single place.
    group_turn: bool,
    /// Retained messages on their way to new subscriptions. Boxed, because they are soon there.
    replays: Option<Box<Replays>>,
    pub(super) connected: Option<Connected>,
    pub(super) sent: Sent,
}

impl Outbox {
    /// Makes room for a run of messages of about `bytes`.
    #[inline]
    pub(super) fn reserve(&mut self, bytes: usize) {
        if let Some(connected) = &mut self.connected {
            connected.out.bytes().reserve(bytes);
        }
    }

    /// Messages that wait in the session's own queue.
    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Whether anything waits for this session to make room.
    pub(super) fn is_waiting(&self) -> bool {
        self.memberships
            .as_ref()
            .is_some_and(|memberships| memberships.has_wants())
            || !self.queue.is_empty()
            || self.has_replays()
            || self
                .connected
                .as_ref()
                .is_some_and(|connected| connected.resend().is_some())
    }

    pub(super) fn enqueue_replays(&mut self, replays: Vec<Replay>) {
        self.replays.get_or_insert_default().0.extend(replays);
    }

    pub(super) fn has_replays(&self) -> bool {
        self.replays.is_some()
    }

    /// The replay that is next, if there is a connection for it. What is left of it is put back.
    pub(super) fn take_replay(&mut self) -> Option<Replay> {
        self.connected.as_ref()?;
        let replays = &mut self.replays.as_mut()?.0;
        let next = replays.pop_front();
        if replays.is_empty() {
            self.replays = None;
        }
        next
    }

    pub(super) fn put_back_replay(&mut self, replay: Replay) {
        self.replays.get_or_insert_default().0.push_front(replay);
    }

    /// Installs a new connection: CONNACK first, then what an earlier connection left open, PUBRELs before
    /// PUBLISHes and both in the order the messages were sent first (MQTT-4.4.0-1, MQTT-4.6.0-1).
    pub(super) fn attach(
        &mut self,
        epoch: u64,
        carrier: Carrier,
        peer: Peer,
        permissions: Option<Arc<dyn Permissions>>,
        connack: &[u8],
        bounds: &Bounds<'_>,
    ) -> Wake {
        let aliases = OutboundAliases::new(
            peer.topic_aliases,
            Charge::none(bounds.budget, Kind::Sessions),
        );
        let seldom = Seldom {
            aliases,
            resend: Resend::new(&self.window),
            ..Seldom::default()
        };
        let connected = self.connected.insert(Connected {
            epoch,
            link: carrier.link,
            facts: carrier.facts,
            peer,
            permissions,
            out: Writer::default(),
            seldom: seldom.boxed(),
            // Two connections with the same number are four thousand million apart.
            number: epoch as u32,
            earlier: counted(self.window.len()),
            places: 0,
            most: bounds.limits.in_flight,
            is_wanted: false,
            is_leaving: false,
        });
        connected.append_answers(connack, bounds);
        self.open_places();
        // CONNACK needs a writer even if nothing follows it; only the first to ask gets to know.
        match self.pump_resend(bounds) {
            Wake::Writer => Wake::Writer,
            Wake::Nobody => self.wake(),
        }
    }

    /// Appends answers to the peer's own packets, if it is still the same connection.
    pub(crate) fn answer(&mut self, epoch: u64, bytes: &[u8], bounds: &Bounds<'_>) -> Wake {
        match &mut self.connected {
            Some(connected) if connected.epoch == epoch => {
                connected.append_answers(bytes, bounds);
                self.wake()
            }
            _ => Wake::Nobody,
        }
    }

    /// Appends packets that are past all rules, if it is still the same connection.
    pub(crate) fn append_released(&mut self, epoch: u64, packets: &[u8]) -> Wake {
        match &mut self.connected {
            Some(connected) if connected.epoch == epoch => {
                connected.out.bytes().buffer().extend_from_slice(packets);
                self.wake()
            }
            _ => Wake::Nobody,
        }
    }

    /// Answers to the peer's own packets that have not left yet, in bytes.
    pub(crate) fn unsent_answers(&self) -> usize {
        self.connected
            .as_ref()
            .map_or(0, |connected| connected.out.unsent_answers())
    }

    /// How the outbound side stands, for the connection's owner.
    pub(super) fn state(&self) -> OutputState {
        self.connected
            .as_ref()
            .map_or_else(OutputState::default, |connected| OutputState {
                full: connected.out.is_full(),
                broken: connected.out.is_broken(),
                waiting: connected.out.len() > 0,
                unsent_answers: connected.out.unsent_answers(),
                is_wanted: connected.is_wanted,
            })
    }

    /// Notes that another connection waits for the session. Returns the link of the one that has it.
    pub(super) fn want_handover(&mut self) -> Option<Arc<dyn Link>> {
        let connected = self.connected.as_mut()?;
        connected.is_wanted = true;
        Some(connected.link.clone())
    }

    /// The link of the connection that has the session.
    pub(super) fn link(&self) -> Option<Arc<dyn Link>> {
        self.connected
            .as_ref()
            .map(|connected| connected.link.clone())
    }

    /// The epoch of the connection that has the session.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.connected.as_ref().map(|connected| connected.epoch)
    }

    /// Whether the connection of `epoch` still has the session.
    pub(crate) fn is_connected_as(&self, epoch: u64) -> bool {
        self.connected
            .as_ref()
            .is_some_and(|connected| connected.epoch == epoch)
    }

    /// Marks the outbox dirty, if nobody is about to write it.
    pub(super) fn wake(&mut self) -> Wake {
        let connected = self.connected.as_mut();
        match connected.is_some_and(|connected| connected.out.undertake()) {
            true => Wake::Writer,
            false => Wake::Nobody,
        }
    }

    /// The connection half leaves; what it had not written goes to the link's owner.
    pub(super) fn detach(
        &mut self,
        cause: Cause,
        reason_string: Option<String>,
        bounds: &Bounds<'_>,
    ) {
        if let Some(connected) = self.connected.take() {
            let Connected {
                link,
                peer,
                out,
                seldom,
                ..
            } = connected;
            if let Some(Seldom {
                aliases, direct, ..
            }) = seldom.map(|seldom| *seldom)
            {
                if let Some(direct) = direct {
                    self.forget_direct(direct);
                }
                if let Some(aliases) = aliases {
                    bounds.discard(aliases);
                }
            }
            let words = Words {
                version: peer.version,
                held: Charge::forced(bounds.budget, Kind::Queues, out.held()),
                cause: Some(cause),
                reason_string: reason_string.filter(|_| peer.problem_information),
                packet_size: peer.packet_size(),
            };
            link.mailbox().retire(out, words);
            link.wake();
        }
    }

    /// Whether a connection has the session, and is not about to end.
    pub(super) fn is_reachable(&self) -> bool {
        self.connected
            .as_ref()
            .is_some_and(|connected| !connected.is_leaving)
    }

    /// Forgets everything; returns how many QoS 1 and 2 messages were lost with it. What is still to go
    /// back to groups is left to their errand, which ends with [`end_window`](Self::end_window).
    pub(super) fn end(&mut self, bounds: &Bounds<'_>) -> usize {
        let lost = self.queue.len();
        if let Some(line) = self.queue.take() {
            bounds.discard(line);
        }
        if let Some(replays) = self.replays.take() {
            bounds.discard(replays.0);
        }
        self.persistent = false;
        self.charge = None;
        match &mut self.memberships {
            Some(memberships) if memberships.is_busy() => {
                memberships.end_with_errand();
                lost
            }
            _ => lost + self.end_window(bounds),
        }
    }

    /// Forgets what is in the window, and the groups; returns how many messages were lost. One that waits
    /// for PUBCOMP has arrived.
    pub(super) fn end_window(&mut self, bounds: &Bounds<'_>) -> usize {
        let mut lost = 0;
        self.window.visit(|_, entry| {
            lost += usize::from(matches!(entry.phase, Phase::Published(_)));
        });
        bounds.discard(std::mem::take(&mut self.window));
        if let Some(memberships) = self.memberships.take() {
            bounds.discard(memberships);
        }
        lost
    }

    /// Bytes that this receiver makes the broker hold besides messages, which are charged in their own
    /// allocation.
    fn footprint(&self) -> usize {
        let connected = self.connected.as_ref();
        self.queue.places()
            + self.window.len() * ENTRY
            + connected.map_or(0, |connected| connected.out.held())
    }

    /// Brings the account with the budget up to date.
    #[inline]
    pub(crate) fn settle(&mut self, bounds: &Bounds<'_>) {
        let held = self.footprint();
        self.charge
            .get_or_insert_with(|| Charge::none(bounds.budget, Kind::Queues))
            .settle(held);
    }

    /// Puts the write off to the next turn of the caller, who holds this outbox as dirty, if it is
    /// hardly worth its system call yet. Returns whether it did.
    pub(super) fn put_off(&mut self) -> bool {
        let connected = self.connected.as_mut();
        connected.is_some_and(|connected| connected.out.put_off())
    }

    /// Takes the bytes for a write, with the link to write them to.
    pub(super) fn take_output(&mut self) -> Option<Write<Arc<dyn Link>, Chunks>> {
        let connected = self.connected.as_mut()?;
        Some(Write {
            bytes: connected.out.take()?,
            link: connected.link.clone(),
            epoch: connected.epoch,
        })
    }

    /// Reports a write; bytes of a connection that is gone are returned to its owner.
    pub(super) fn report_write(
        &mut self,
        write: Write<Arc<dyn Link>, Chunks>,
        outcome: Outcome,
    ) -> Reported {
        let Write { link, epoch, bytes } = write;
        match &mut self.connected {
            Some(connected) if connected.epoch == epoch => {
                connected.out.report(bytes, outcome);
                Reported::Here
            }
            _ => {
                link.mailbox().report(bytes, outcome);
                Reported::Retired
            }
        }
    }
}

/// So many exchanges: there are no more than identifiers.
fn counted(exchanges: usize) -> u16 {
    u16::try_from(exchanges).unwrap_or(u16::MAX)
}

impl Waits for Delivery {
    fn message(&self) -> &Message {
        &self.message
    }
}
