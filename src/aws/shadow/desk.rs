//! Requests to shadows over MQTT: taken as they are published, carried out in that order, and answered by
//! messages once the changes are in the file.
//!
//! A file takes as long as a disk does, so whoever publishes only leaves his request here. All that wait are
//! one change of the registry, and so one commit, whosever they are.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;

use crate::broker::Context;
use crate::broker::Session;
use crate::broker::requests::{Service, Unanswered};
use crate::budget::{Charge, Kind};
use crate::message::publication::Publication;
use crate::time::{Calendar, milliseconds};

use super::super::registry::{self, Asked, Draft, Means, Registry};
use super::name::{Deed, ShadowName};
use super::request::parse_token;
use super::room::Room;
use super::{Error, Refused};

/// Requests of one change: while it is made, nobody else changes the registry, and what is told of it waits for
/// the commit, with up to 170 KiB for each.
const AT_ONCE: usize = 64;

/// Bytes of a payload that is looked at, be it for its token only.
const PAYLOAD_MAX: usize = 128 * 1024;

/// Bytes of a request besides its payload.
const REQUEST: usize = 320;

/// Takes requests and carries them out.
pub(crate) struct Desk {
    registry: Arc<Registry>,
    calendar: Calendar,
    /// Gives random numbers.
    random: fn() -> u128,
    room: Room,
    queue: Mutex<Queue>,
    /// Has [`serve`](Desk::serve) called on a thread that may wait for a disk.
    caller: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Request>,
    /// Somebody carries them out, or is about to.
    is_served: bool,
}

/// A request that waits.
struct Request {
    name: ShadowName,
    deed: Deed,
    /// Or why it was not kept.
    payload: Result<Box<[u8]>, Error>,
    at: Instant,
    _charge: Charge,
    _unanswered: Unanswered,
}

impl Desk {
    pub(crate) fn new(
        registry: Arc<Registry>,
        calendar: Calendar,
        random: fn() -> u128,
        room: Room,
    ) -> Self {
        Self {
            registry,
            calendar,
            random,
            room,
            queue: Mutex::default(),
            caller: OnceLock::new(),
        }
    }

    /// Has `caller` see to it that [`serve`](Self::serve) is called, soon and on a thread that may wait.
    pub(crate) fn call_with(&self, caller: impl Fn() + Send + Sync + 'static) {
        let _ = self.caller.set(Box::new(caller)); // once
    }

    /// Carries out what waits, until nothing does.
    pub(crate) fn serve(&self) {
        loop {
            let batch: Vec<_> = {
                let mut queue = self.queue.lock();
                let count = queue.waiting.len().min(AT_ONCE);
                if count == 0 {
                    // Without the room that many had.
                    *queue = Queue::default();
                    return;
                }
                queue.waiting.drain(..count).collect()
            };
            self.carry_out(&batch);
        }
    }

    fn carry_out(&self, batch: &[Request]) {
        let Some(last) = batch.last() else {
            return;
        };
        let now = milliseconds(self.calendar.date(last.at));
        let change = |make: &dyn Fn(&mut Draft<'_>)| {
            let means = Means {
                now,
                random: &mut || (self.random)(),
            };
            self.registry.change(means, |draft| {
                make(draft);
                Ok::<_, registry::Error>(())
            })
        };
        let room = self.room.bytes();
        let answered = change(&|draft| {
            for request in batch {
                request.answer(draft, room);
            }
        });
        // Nothing of it has happened, and nobody was told. This changes nothing, so no file refuses it.
        if let Err(error) = answered.map_err(Error::from) {
            let _ = change(&|draft| {
                for request in batch {
                    request.reject(draft, &error);
                }
            });
        }
    }
}

impl Request {
    fn answer(&self, draft: &mut Draft<'_>, room: usize) {
        match &self.payload {
            Ok(payload) => {
                let (name, deed) = (&self.name, self.deed);
                let asked = Asked {
                    name,
                    deed,
                    payload,
                };
                draft.answer_shadow(&asked, room);
            }
            Err(error) => self.reject(draft, error),
        }
    }

    fn reject(&self, draft: &mut Draft<'_>, error: &Error) {
        let payload = self.payload.as_deref().ok();
        let refused = Refused {
            error: error.clone(),
            token: payload.and_then(|payload| parse_token(payload).ok()?),
        };
        draft.reject_shadow(&self.name, self.deed, &refused);
    }
}

impl Service for Desk {
    fn take(
        &self,
        message: &Publication<'_>,
        author: Option<&Arc<Session>>,
        context: &Context<'_>,
    ) -> bool {
        let Some((name, deed)) = ShadowName::of_request(message.topic) else {
            return false;
        };
        let length = message.payload.len();
        let charge = Charge::new(context.budget, Kind::Packets, length + REQUEST);
        let (payload, charge) = match charge {
            _ if length > PAYLOAD_MAX => (Err(Error::TooLarge), None),
            Ok(charge) => (Ok(message.payload.to_vec().into()), Some(charge)),
            Err(_) => (Err(Error::TooMany), None),
        };
        // A refusal is small, and there are only so many of a client.
        let forced = || Charge::forced(context.budget, Kind::Packets, REQUEST);
        let request = Request {
            name,
            deed,
            payload,
            at: context.now,
            _charge: charge.unwrap_or_else(forced),
            _unanswered: Unanswered::new(author),
        };
        let mut queue = self.queue.lock();
        queue.waiting.push_back(request);
        let is_served = std::mem::replace(&mut queue.is_served, true);
        drop(queue);
        if let Some(caller) = self.caller.get().filter(|_| !is_served) {
            caller();
        }
        true
    }
}
