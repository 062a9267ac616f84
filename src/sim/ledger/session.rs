//! Sessions: what they are owed, and how they come to an end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::codec::QoS;

use super::input::NEVER;
use super::{Due, Ledger, Session, Source, Timer, Waiting};

/// A will that is due: the session whose it is, and its number.
type DueWill = (usize, u64);

impl Session {
    /// A message is due for plain subscriptions.
    pub(super) fn expect(&mut self, due: Due) {
        if due.qos > QoS::AtMostOnce {
            self.due.push_back(due);
        } else if self.connection.is_some() {
            self.at_once.push(due);
        }
    }

    /// Open exchanges whose PUBLISH came on this connection.
    pub(super) fn places_taken(&self) -> usize {
        self.window.values().filter(|open| open.takes_place).count()
    }

    /// Whether a PUBREL of an earlier connection was not sent again.
    pub(super) fn owes_pubrel(&self) -> bool {
        let mut open = self.window.values();
        open.any(|open| open.is_released && !open.is_on_wire)
    }

    pub(super) fn is_resending(&self) -> bool {
        self.window.values().any(|open| !open.is_on_wire)
    }
}

impl Ledger {
    pub(super) fn make_session(&mut self, client: &str) -> usize {
        self.sessions.push(Session {
            client: client.to_owned(),
            connection: None,
            has_ended: false,
            expiry: 0,
            subscriptions: BTreeMap::new(),
            due: VecDeque::new(),
            at_once: Vec::new(),
            replays: Vec::new(),
            window: BTreeMap::new(),
            received: BTreeSet::new(),
            will: None,
            timers: Vec::new(),
            stamps: 0,
        });
        let index = self.sessions.len() - 1;
        self.by_client.insert(client.to_owned(), index);
        index
    }

    /// A connection has lost its session, for whatever reason. What its outbox held at the end has
    /// been reported.
    pub(crate) fn detach(&mut self, at: usize) {
        self.call.events += 1;
        self.call.ending = None;
        let Some(index) = self.session_of(at) else {
            return;
        };
        let departure = self.connections[at].departure.take().unwrap_or_default();
        let session = &mut self.sessions[index];
        session.expiry = departure.expiry.unwrap_or(session.expiry);
        session.connection = None;
        if departure.discard_will {
            session.will = None;
        }
        self.return_messages(index);
        self.give_up_hopeless();
        self.drop_replays(index);
        let will = match self.sessions[index].expiry {
            0 => self.end_session(index),
            expiry => self.leave_for_now(index, expiry),
        };
        if self.call.is_connect {
            self.call.wills.extend(will);
        } else if let Some((publisher, number)) = will {
            self.publish(Some(publisher), number);
        }
    }

    /// Rule 4: what the client did not acknowledge goes back to its group, as long as that has
    /// members.
    fn return_messages(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        let is_resumable = session.expiry > 0;
        for open in session.window.values_mut() {
            (open.is_on_wire, open.takes_place) = (false, false);
        }
        for (id, mut open) in std::mem::take(&mut session.window) {
            let group = match open.source {
                Source::Group(group) if open.qos == QoS::AtLeastOnce => Some(group),
                _ => None,
            };
            if let Some(group) = group {
                let message = &self.messages[&open.number];
                let order = message.order.unwrap_or_default();
                let waiting = Waiting {
                    number: open.number,
                    handed: open.handed,
                    is_large: self.rules.is_large(message),
                    returned: is_resumable.then_some((index, id)),
                    goes_home: false,
                };
                self.groups[group].waiting.insert(order, waiting);
            } else {
                open.source = Source::Own;
                self.sessions[index].window.insert(id, open);
            }
        }
    }

    /// Retained messages of QoS 0 are not kept for a session without a connection.
    fn drop_replays(&mut self, index: usize) {
        let session = &mut self.sessions[index];
        session.replays.retain(|replay| {
            self.messages[&replay.number].qos.min(replay.granted) > QoS::AtMostOnce
        });
    }

    /// The session outlives its connection.
    fn leave_for_now(&mut self, index: usize, expiry: u32) -> Option<DueWill> {
        if expiry != NEVER {
            self.arm(index, expiry, Timer::SessionExpiry(index));
        }
        let will = self.sessions[index].will.take()?;
        if will.delay.is_zero() {
            return Some((index, will.number));
        }
        let delay = u32::try_from(will.delay.as_secs()).unwrap_or(NEVER);
        self.sessions[index].will = Some(will);
        self.arm(index, delay, Timer::Will(index));
        None
    }

    fn arm(&mut self, index: usize, secs: u32, timer: Timer) {
        self.timer_count += 1;
        let at = self.now + Duration::from_secs(u64::from(secs));
        let key = (at, self.timer_count);
        self.timers.insert(key, timer);
        self.sessions[index].timers.push(key);
    }

    pub(super) fn cancel_timers(&mut self, index: usize) {
        for key in std::mem::take(&mut self.sessions[index].timers) {
            self.timers.remove(&key);
        }
    }

    /// The session is over, and its will due at the latest.
    pub(super) fn end_session(&mut self, index: usize) -> Option<DueWill> {
        self.cancel_timers(index);
        self.sessions[index].has_ended = true;
        let subscriptions = std::mem::take(&mut self.sessions[index].subscriptions);
        for group in subscriptions
            .values()
            .filter_map(|subscription| subscription.group)
        {
            self.leave(group, index);
        }
        let session = &mut self.sessions[index];
        session.replays.clear();
        session.received.clear();
        let unreceived = session
            .window
            .values()
            .filter(|open| !open.is_released)
            .count();
        self.lost += (session.due.len() + unreceived) as u64;
        session.due.clear();
        session.window.clear();
        self.by_client.remove(&session.client);
        session.will.take().map(|will| (index, will.number))
    }

    /// The broker was told what time it is.
    pub(crate) fn fire_timers(&mut self) {
        while let Some(entry) = self.timers.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let (key, timer) = entry.remove_entry();
            self.call.events += 1;
            let will = match timer {
                Timer::SessionExpiry(index) => {
                    self.sessions[index].timers.retain(|other| *other != key);
                    self.end_session(index)
                }
                Timer::Will(index) => {
                    let will = self.sessions[index].will.take();
                    will.map(|will| (index, will.number))
                }
            };
            if let Some((publisher, number)) = will {
                self.publish(Some(publisher), number);
            }
        }
    }
}
