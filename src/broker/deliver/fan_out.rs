//! Messages that some of their receivers have not got yet, because there are more of them than one turn
//! can serve.
//!
//! A list of receivers is gone through by index. Where there are too many for a list, they are gathered
//! from the tables in slices. A session that is due one copy for several subscriptions can be served
//! only when all of them are known, so then everything is gathered first, and charged: without memory
//! for it the session gets copies for each part, which MQTT allows (MQTT-3.3.4-2).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::broker::Broker;
use crate::broker::routing::leaf::Target;
use crate::broker::routing::{Gathered, Gathering, Listed, PlainReceiver, Reach};
use crate::broker::share::Group;
use crate::broker::turn::{Context, Dirty, GoesOn};
use crate::budget::{Charge, Kind};
use crate::config::Overlapping;
use crate::message::publication::AtOnce;
use crate::topic::Walk;

use super::{OwnedRun, Place, Published, Run, serve, serve_receiver};

/// Receivers that are gathered before they are served, where each copy stands for itself.
const GATHERED: usize = 4096;

/// Bytes that a gathered receiver takes.
const RECEIVER: usize = 128;

/// What is left to do of a publish.
pub(crate) struct FanOut {
    run: OwnedRun,
    publisher: u64,
    /// A message could not be retained.
    lacks_room: bool,
    reach: Reach,
    source: Source,
    /// Of the packets and the list.
    _charge: Charge,
}

/// Where the receivers come from.
enum Source {
    Listed(Arc<Listed>, Place),
    Crowd(Box<Crowd>),
}

/// Receivers that are gathered in slices.
struct Crowd {
    /// Messages that all of them have got.
    done: usize,
    gathering: Gathering,
    is_gathered: bool,
    /// What is gathered is served now.
    is_served: bool,
    found: Found,
    charge: Charge,
}

/// What is gathered and not served.
#[derive(Default)]
struct Found {
    /// By session; what is more than one copy takes has a number.
    receivers: BTreeMap<(u64, u32), PlainReceiver>,
    groups: VecDeque<Arc<Group>>,
    /// What was found in all.
    reach: Reach,
}

impl FanOut {
    /// The receivers in `listed` from `place` on are still to be served.
    pub(in crate::broker) fn listed(
        run: Run<'_>,
        listed: Arc<Listed>,
        place: Place,
        publisher: u64,
        context: &Context<'_>,
    ) -> Self {
        let (size, reach) = (listed.size(), listed.reach());
        let source = Source::Listed(listed, place);
        Self::new(run, publisher, source, size, reach, context)
    }

    /// Nobody has been served.
    pub(in crate::broker) fn crowd(run: Run<'_>, publisher: u64, context: &Context<'_>) -> Self {
        let charge = Charge::none(context.budget, Kind::Queues);
        let source = Source::Crowd(Box::new(Crowd::new(0, charge)));
        Self::new(run, publisher, source, 0, Reach::default(), context)
    }

    fn new(
        run: Run<'_>,
        publisher: u64,
        source: Source,
        size: usize,
        reach: Reach,
        context: &Context<'_>,
    ) -> Self {
        let run = run.keep(context);
        let size = size + run.size();
        Self {
            run,
            publisher,
            lacks_room: false,
            reach,
            source,
            _charge: Charge::forced(context.budget, Kind::Queues, size),
        }
    }

    pub(in crate::broker) fn lacks_room(&mut self, lacks_room: bool) {
        self.lacks_room = lacks_room;
    }

    /// Whom it reaches; known at the end.
    pub(in crate::broker) fn reach(&self) -> Reach {
        self.reach
    }

    /// What became of the publish; known at the end.
    pub(crate) fn published(&self) -> Published {
        let is_refused = self.run.at_once().is_some_and(AtOnce::is_refused);
        Published::new(self.reach, self.lacks_room, is_refused)
    }

    /// Serves receivers until the turn is over, one or a slice at least. Returns whether all have got
    /// all.
    pub(crate) fn go_on(
        &mut self,
        broker: &Broker,
        context: &Context<'_>,
        dirty: &mut Dirty,
    ) -> bool {
        let publications = self.run.publications();
        let run = self.run.run(&publications);
        let overlapping = broker.config.overlapping;
        let is_done = match &mut self.source {
            Source::Listed(listed, place) => {
                let limit = dirty.end_of_turn();
                serve(
                    listed,
                    run,
                    overlapping,
                    place,
                    self.publisher,
                    limit,
                    context,
                    dirty,
                )
            }
            Source::Crowd(crowd) => {
                let mut work = Work {
                    run,
                    publisher: self.publisher,
                    broker,
                    context,
                    dirty,
                };
                let is_done = crowd.go_on(overlapping, &mut work);
                self.reach = crowd.found.reach;
                is_done
            }
        };
        let at_once = run.at_once().cloned();
        drop(publications);
        if is_done {
            broker.count_losses(at_once.as_ref());
        }
        self.run.note(at_once);
        is_done
    }
}

/// What a crowd is served with.
struct Work<'a, 'b> {
    run: Run<'a>,
    publisher: u64,
    broker: &'a Broker,
    context: &'a Context<'b>,
    dirty: &'a mut Dirty,
}

impl GoesOn for FanOut {
    fn go_on(&mut self, broker: &Broker, context: &Context<'_>, dirty: &mut Dirty) -> bool {
        Self::go_on(self, broker, context, dirty)
    }
}

impl Crowd {
    fn new(done: usize, charge: Charge) -> Self {
        Self {
            done,
            gathering: Gathering::default(),
            is_gathered: false,
            is_served: false,
            found: Found::default(),
            charge,
        }
    }

    fn go_on(&mut self, overlapping: Overlapping, work: &mut Work<'_, '_>) -> bool {
        while self.done < work.run.len() {
            let part = work.run.part(overlapping, self.done);
            if !self.is_served {
                self.gather(part.topic(), overlapping, work);
            } else if self.serve(part, work) {
                self.is_served = false;
                if self.is_gathered {
                    // The next message is a copy for itself, to the same receivers.
                    let reach = self.found.reach;
                    *self = Self::new(self.done + part.len(), self.charge.take());
                    self.found.reach = reach;
                }
            }
            if work.dirty.is_spent() {
                break;
            }
        }
        self.done == work.run.len()
    }

    /// Gathers a slice.
    fn gather(&mut self, topic: &str, overlapping: Overlapping, work: &mut Work<'_, '_>) {
        let before = self.found.reach;
        let found = &mut self.found;
        let mut count = 0;
        let routing = &work.broker.routing;
        let (steps, walk) = routing.gather(topic, &mut self.gathering, |one| {
            count += 1;
            match one {
                Gathered::Group(group) => found.add_group(group),
                Gathered::Plain(target) => found.add(target, overlapping),
            }
        });
        if self.done > 0 {
            self.found.reach = before;
        }
        work.dirty.charge(steps);
        self.is_gathered = walk == Walk::Done;
        let has_memory = self.charge.has_room(count * RECEIVER);
        self.settle();
        let is_enough =
            overlapping == Overlapping::CopyEach && self.found.receivers.len() >= GATHERED;
        self.is_served = self.is_gathered || is_enough || !has_memory;
    }

    fn settle(&mut self) {
        let receivers = self.found.receivers.len() + self.found.groups.len();
        self.charge
            .set(receivers * RECEIVER + self.gathering.bytes());
    }

    /// Serves what is gathered. Returns whether that is all.
    fn serve(&mut self, part: Run<'_>, work: &mut Work<'_, '_>) -> bool {
        let is_all = self.serve_some(part, work);
        self.settle();
        is_all
    }

    fn serve_some(&mut self, part: Run<'_>, work: &mut Work<'_, '_>) -> bool {
        let room = part.room();
        loop {
            if let Some((_, receiver)) = self.found.receivers.pop_first() {
                let receiver = receiver.as_receiver();
                serve_receiver(
                    receiver,
                    part,
                    room,
                    work.publisher,
                    work.context,
                    work.dirty,
                );
            } else if let Some(group) = self.found.groups.pop_front() {
                part.publish_to(&group, work.context, work.dirty);
            } else {
                return true;
            }
            if work.dirty.is_spent() {
                return false;
            }
        }
    }
}

impl Found {
    fn add_group(&mut self, group: &Arc<Group>) {
        self.reach.groups += 1;
        self.groups.push_back(group.clone());
    }

    fn add(&mut self, target: &Target, overlapping: Overlapping) {
        let id = target.session.id;
        let mut receiver = PlainReceiver::new(target);
        let mut known = self.receivers.range_mut((id, 0)..=(id, u32::MAX));
        let number = match known.next_back() {
            None => 0,
            Some((_, known)) if overlapping == Overlapping::OneCopy && known.can_merge() => {
                return known.merge(&mut receiver);
            }
            Some((&(_, number), _)) => number + 1,
        };
        self.receivers.insert((id, number), receiver);
        if number == 0 || overlapping == Overlapping::CopyEach {
            self.reach.subscribers += 1;
        }
    }
}
