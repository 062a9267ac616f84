//! Who gets a message: the first from the cursor on that can take it, or it waits by rule 7.

use std::time::Instant;

use crate::codec::QoS;
use crate::config::ShareStrategy;
use crate::message::publication::Publication;

use super::super::outbox::{HandOver, Suits};
use super::super::turn::{Context, Dirty};
use super::State;
use super::backlog::Returned;
use super::ring::Kind;

/// Members that are asked in vain for a message while there is no memory for it: it would have to find
/// one that takes it at once.
const ASKED_IN_NEED: usize = 64;

/// Members that are passed over in a step, because a packet is too large for them.
const PASSED_IN_STEP: usize = 32;

/// How a pick ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pick {
    Taken,
    /// A member could take it if it had room, and its mark is set; or if there were memory, or if it might.
    NoRoom,
    /// No member is connected.
    Nobody,
    /// It exceeds the Maximum Packet Size of every member; there is none who may come back for it.
    TooLarge,
}

impl State {
    #[inline(always)]
    pub(super) fn publish(
        &mut self,
        publication: &Publication<'_>,
        strategy: ShareStrategy,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        self.sequence += 1;
        let sequence = self.sequence;
        let lasts = publication.qos > QoS::AtMostOnce;
        let pick = match lasts && self.has_queue() {
            true => self.get_in_line(publication, context, dirty),
            false => self.pick(publication, sequence, None, strategy, context, dirty),
        };
        match pick {
            Pick::Taken => publication.at_once.note_taken(),
            Pick::NoRoom | Pick::Nobody if lasts => self.keep(publication, sequence, context),
            Pick::NoRoom | Pick::Nobody | Pick::TooLarge => self.drop_new(publication),
        }
        pick
    }

    /// Offers a message around the ring, from the cursor on, until somebody takes it. Only ready
    /// members are asked; if none of them takes it, those that are left ready cannot.
    #[inline(always)]
    pub(super) fn pick(
        &mut self,
        publication: &Publication<'_>,
        sequence: u64,
        returned: Option<Returned>,
        strategy: ShareStrategy,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        let start = match strategy {
            ShareStrategy::RoundRobin => self.ring.cursor(),
            ShareStrategy::Random => self.ring.any_slot(|bound| self.random.below(bound)),
        };
        // Nearly always it is the next.
        let first = self.ring.next_ready(Kind::of(publication.qos), start);
        let refused = match first {
            None => None,
            Some(slot) => match self.offer(slot, publication, sequence, returned, context, dirty) {
                HandOver::Taken(_) => return Pick::Taken,
                refused => Some((slot, refused)),
            },
        };
        self.pick_another(
            publication,
            sequence,
            returned,
            start,
            refused,
            context,
            dirty,
        )
    }

    /// Offers a message on around the ring, after the first that was ready has refused it.
    #[cold]
    #[expect(clippy::too_many_arguments, reason = "the second half of `pick`")]
    fn pick_another(
        &mut self,
        publication: &Publication<'_>,
        sequence: u64,
        returned: Option<Returned>,
        start: usize,
        mut refused: Option<(usize, HandOver)>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        let kind = Kind::of(publication.qos);
        let (mut pick, mut refusals) = (Pick::Nobody, 0);
        let (mut at, mut end) = (start, usize::MAX);
        // Known once a member was found to be too small for it: that is rare.
        let (mut size, mut passed) = (0, 0);
        loop {
            let (slot, result) = match refused.take() {
                Some(first) => first,
                None => {
                    let next = match size {
                        0 => self.ring.next_ready(kind, at),
                        _ => self.ring.next_ready_for(kind, size, at, &mut passed),
                    };
                    let slot = match next {
                        Some(slot) if slot < end => slot,
                        _ if end == usize::MAX => {
                            (at, end) = (0, start);
                            continue;
                        }
                        _ => break,
                    };
                    let result = self.offer(slot, publication, sequence, returned, context, dirty);
                    (slot, result)
                }
            };
            at = slot + 1;
            match result {
                HandOver::Taken(_) => {
                    dirty.charge(passed / PASSED_IN_STEP);
                    return Pick::Taken;
                }
                HandOver::NoRoom | HandOver::Denied => pick = Pick::NoRoom,
                HandOver::NoMemory => {
                    pick = Pick::NoRoom;
                    refusals += 1;
                    if refusals == ASKED_IN_NEED {
                        return Pick::NoRoom;
                    }
                }
                HandOver::TooLarge { .. } => {
                    size = publication.least_size();
                    if pick == Pick::Nobody {
                        pick = Pick::TooLarge;
                    }
                }
                HandOver::Absent => {}
            }
        }
        dirty.charge(passed / PASSED_IN_STEP);
        if kind == Kind::AtMostOnce || pick == Pick::NoRoom {
            return pick;
        }
        match self.find_full(publication, context, dirty) {
            Pick::Nobody => self.unless_awaited(pick),
            found => found,
        }
    }

    /// A message that is too large for all who are connected waits for those who come back: they may take
    /// larger ones.
    fn unless_awaited(&self, pick: Pick) -> Pick {
        match pick {
            Pick::TooLarge if self.ring.awaits_one() => Pick::NoRoom,
            other => other,
        }
    }

    /// The Maximum Packet Size of the member in `slot`, if it has a connection.
    pub(super) fn reachable_size(&self, slot: usize) -> Option<u32> {
        let member = self.ring.get(slot)?;
        member.session.outbox().packet_size(member.membership)
    }

    /// Offers a message to the member in `slot`.
    pub(super) fn offer(
        &mut self,
        slot: usize,
        publication: &Publication<'_>,
        sequence: u64,
        returned: Option<Returned>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> HandOver {
        let Some(member) = self.ring.get_mut(slot) else {
            return HandOver::Absent;
        };
        let result = member.offer(publication, sequence, returned, context, dirty);
        if let HandOver::Taken(_) = result {
            member.delivered += 1;
            member.redelivered += u64::from(returned.is_some());
            self.ring.advance_behind(slot);
            return result;
        }
        self.note_refusal(slot, publication.qos, result, context.now);
        dirty.charge(1);
        result
    }

    #[cold]
    pub(super) fn note_refusal(&mut self, slot: usize, qos: QoS, result: HandOver, now: Instant) {
        match result {
            HandOver::NoRoom | HandOver::TooLarge { has_room: false } => {
                self.ring.refuse(slot, Kind::of(qos));
            }
            HandOver::Absent => self.lose(slot, now),
            HandOver::Taken(_)
            | HandOver::NoMemory
            | HandOver::Denied
            | HandOver::TooLarge { has_room: true } => {}
        }
    }

    /// Whether a full member could take a message if it had room, or one that is away might; it is too large for
    /// all of them; or there is none.
    pub(super) fn find_full(
        &mut self,
        publication: &Publication<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        let (mut found, mut at, mut passed) = (Pick::Nobody, 0, 0);
        let size = publication.least_size();
        while let Some(slot) = self.ring.next_full(size, at, &mut passed) {
            at = slot + 1;
            dirty.charge(1);
            let suits = self.ring.get(slot).map(|m| m.suits(publication, context));
            match suits {
                Some(Suits::Yes) => {
                    found = Pick::NoRoom;
                    break;
                }
                Some(Suits::TooLarge) => found = Pick::TooLarge,
                Some(Suits::Absent) | None => self.lose(slot, context.now),
            }
        }
        dirty.charge(passed / PASSED_IN_STEP);
        self.unless_awaited(match found {
            Pick::Nobody if passed > 0 => Pick::TooLarge,
            found => found,
        })
    }

    /// What becomes of a new message while others wait in front of it.
    fn get_in_line(
        &mut self,
        publication: &Publication<'_>,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> Pick {
        match self.ring.has_ready() || self.held > 0 {
            true if publication.least_size() > self.ring.largest() => Pick::TooLarge,
            // It is being drained, or will be.
            true => Pick::NoRoom,
            false => self.find_full(publication, context, dirty),
        }
    }

    /// Nobody gets a new message.
    pub(super) fn drop_new(&mut self, publication: &Publication<'_>) {
        match publication.at_once.is_required() {
            // It is counted by its publisher's side, unless it is refused there.
            true => publication.at_once.note_loss(),
            false => self.dropped += 1,
        }
    }
}
