//! A group against a model of its rules: random members, messages, acknowledgements and losses,
//! compared step by step with what the rules say, down to packet identifier and cursor.

pub(super) mod costs;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::codec::{
    Packet, PacketId, QoS, ReasonCode, RetainHandling, SubscribeOptions, Version, client,
};
use crate::config::Config;
use crate::message::cause::Cause;
use crate::message::publication::Publication;
use crate::topic::Filter;

use super::super::doubles::{NoAlarm, Sink, connect_request};
use super::super::lifecycle::{Attached, ConnectRequest, Removal, Takeover};
use super::super::outbox::{Acknowledged, Peer};
use super::super::subscribe::{Due, Request};
use super::super::{Broker, Dirty, Link, Randomness, Session};
use crate::broker::deliver::{Origin, Run};

const CLIENTS: usize = 5;
const FILTER: &str = "$share/g/t";
/// A batch that finishes what a departure begins here.
const LARGE_BATCH: usize = 100_000;
/// Subscriptions of a session that end in turns when it ends.
const MANY: usize = 65;
/// Message Expiry Interval of messages that have one, in seconds.
const EXPIRY: u32 = 10;
/// Maximum Packet Size of clients that take small messages only, those and medium ones, and all.
const PACKETS: [usize; 3] = [64, 160, usize::MAX];
/// Payload of small, medium and large messages.
const PAYLOADS: [usize; 3] = [8, 100, 200];

#[derive(Clone, Debug)]
enum Step {
    Connect {
        client: usize,
        clean_start: bool,
        persistent: bool,
        window: usize,
        /// Index of its [`PACKETS`].
        size: usize,
    },
    /// A session of the only member takes the place of its last one, and joins before that one has left: it had many
    /// subscriptions.
    Succeed {
        persistent: bool,
        window: usize,
        /// Index of its [`PACKETS`].
        size: usize,
        qos: QoS,
    },
    /// The connection is lost.
    Disconnect {
        client: usize,
    },
    /// Joins, or changes the options of a member.
    Subscribe {
        client: usize,
        qos: QoS,
    },
    Unsubscribe {
        client: usize,
    },
    /// So many messages in a row.
    Publish {
        qos: QoS,
        /// Index of their [`PAYLOADS`].
        size: usize,
        expires: bool,
        count: usize,
    },
    /// Time passes.
    Wait {
        seconds: u64,
    },
    /// The next packet that completes one of the client's open exchanges; `refused`: with an error.
    Acknowledge {
        client: usize,
        which: prop::sample::Index,
        refused: bool,
    },
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![
        1 => Just(QoS::AtMostOnce),
        4 => Just(QoS::AtLeastOnce),
        1 => Just(QoS::ExactlyOnce),
    ]
}

fn size_of_message() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(0), 1 => Just(1), 1 => Just(2)]
}

/// Mostly one, now and then more than any batch takes.
fn count() -> impl Strategy<Value = usize> {
    prop_oneof![6 => Just(1), 2 => 2..6usize, 1 => 6..30usize]
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..CLIENTS;
    prop_oneof![
        2 => (client.clone(), prop::bool::weighted(0.2), any::<bool>(), 1..5usize, 0..3usize)
            .prop_map(|(client, clean_start, persistent, window, size)| Step::Connect {
                client, clean_start, persistent, window, size,
            }),
        1 => (any::<bool>(), 1..5usize, 0..3usize, qos())
            .prop_map(|(persistent, window, size, qos)| Step::Succeed {
                persistent, window, size, qos,
            }),
        1 => client.clone().prop_map(|client| Step::Disconnect { client }),
        2 => (client.clone(), qos()).prop_map(|(client, qos)| Step::Subscribe { client, qos }),
        1 => client.clone().prop_map(|client| Step::Unsubscribe { client }),
        8 => (qos(), size_of_message(), prop::bool::weighted(0.2), count())
            .prop_map(|(qos, size, expires, count)| Step::Publish { qos, size, expires, count }),
        1 => (1..8u64).prop_map(|seconds| Step::Wait { seconds }),
        6 => (client, any::<prop::sample::Index>(), prop::bool::weighted(0.1))
            .prop_map(|(client, which, refused)| Step::Acknowledge { client, which, refused }),
    ]
}

/// Clients of all sizes, two of them with a window of one place.
fn crowd() -> Vec<Step> {
    let connects = (0..CLIENTS).map(|client| Step::Connect {
        client,
        clean_start: true,
        persistent: client % 2 == 0,
        window: 1 + client / 2,
        size: [2, 2, 1, 1, 0][client],
    });
    let subscribes = (0..CLIENTS).map(|client| Step::Subscribe {
        client,
        qos: QoS::AtLeastOnce,
    });
    connects.chain(subscribes).collect()
}

/// Steps in which large messages wait for the few who take them, who come and go.
fn step_of_a_crowd() -> impl Strategy<Value = Step> {
    let large = 0..3usize;
    let qos = QoS::AtLeastOnce;
    prop_oneof![
        1 => (large.clone(), any::<bool>(), 1..3usize, 1..3usize).prop_map(|(client, persistent, window, size)| {
            Step::Connect { client, clean_start: false, persistent, window, size }
        }),
        1 => large.clone().prop_map(|client| Step::Disconnect { client }),
        1 => large.clone().prop_map(|client| Step::Unsubscribe { client }),
        2 => large.clone().prop_map(move |client| Step::Subscribe { client, qos }),
        6 => (0..3usize, 1..8usize).prop_map(move |(size, count)| {
            Step::Publish { qos, size, expires: false, count }
        }),
        2 => (large, any::<prop::sample::Index>()).prop_map(|(client, which)| {
            Step::Acknowledge { client, which, refused: false }
        }),
        6 => (2..CLIENTS, any::<prop::sample::Index>()).prop_map(|(client, which)| {
            Step::Acknowledge { client, which, refused: false }
        }),
        2 => step(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Design rules 1 to 8; MQTT-4.8.2-3 to -6, MQTT-4.4.0-1.
    #[test]
    fn group_follows_its_rules(
        steps in proptest::collection::vec(step(), 1..120),
        batch in prop::sample::select(vec![1, 2, 3, LARGE_BATCH]),
        bound in prop::sample::select(vec![6, 100]),
    ) {
        live_through(steps, batch, bound)?;
    }

    /// Rule 7: a message that only full members could take.
    #[test]
    fn blocked_messages_hold_up_nobody_and_find_their_takers(
        steps in proptest::collection::vec(step_of_a_crowd(), 1..100),
        batch in prop::sample::select(vec![1, 2, 3, LARGE_BATCH]),
        bound in prop::sample::select(vec![20, 1000]),
    ) {
        live_through(crowd().into_iter().chain(steps), batch, bound)?;
    }
}

/// Takes the steps in a broker and in the model, and compares the two after each.
fn live_through(
    steps: impl IntoIterator<Item = Step>,
    batch: usize,
    bound: usize,
) -> Result<(), TestCaseError> {
    let mut harness = Harness::new(batch, bound);
    let mut model = Model {
        bound,
        ..Model::default()
    };
    for step in steps {
        model.sent.clear();
        harness.carry_out(&step, &mut model);
        harness.check_deliveries(&mut model)?;
        harness.check_state(&model)?;
    }
    Ok(())
}

/// A message, by the order it was published in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Note {
    number: u64,
    qos: QoS,
    size: usize,
    /// In seconds since the beginning.
    expires_at: Option<u64>,
}

/// What the rules say.
#[derive(Default)]
struct Model {
    clients: [Client; CLIENTS],
    /// The ring in join order: client and granted QoS.
    members: Vec<(usize, QoS)>,
    cursor: usize,
    queue: Vec<Waiting>,
    /// How many may wait.
    bound: usize,
    published: u64,
    dropped: u64,
    expired: u64,
    /// Seconds since the beginning.
    clock: u64,
    /// What this step sends: to whom, and what.
    sent: Vec<(usize, Sent)>,
}

#[derive(Default)]
struct Client {
    connected: bool,
    persistent: bool,
    window: usize,
    size: usize,
    /// In the order they were sent.
    open: Vec<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    note: Note,
    qos: QoS,
    /// Known once it has been seen.
    id: Option<PacketId>,
    released: bool,
    /// It goes back to the group if the connection ends.
    of_group: bool,
    /// It was sent on the present connection.
    on_wire: bool,
    /// Its PUBLISH was: it counts for the Receive Maximum, which is of the connection.
    takes_place: bool,
    /// It came back under an identifier older than those in use.
    aside: bool,
}

struct Waiting {
    note: Note,
    returned: Option<Returned>,
}

/// Who had it, and under which identifier.
#[derive(Clone, Copy)]
struct Returned {
    client: usize,
    id: PacketId,
    /// It gets it before others when it resumes.
    comes_first: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    New { number: u64, qos: QoS },
    Again { number: u64, qos: QoS, id: PacketId },
    Pubrel(PacketId),
}

#[derive(PartialEq, Eq)]
enum Pick {
    Taken,
    NoRoom,
    TooLarge,
    Nobody,
}

impl Client {
    fn has_room(&self) -> bool {
        self.open.iter().filter(|open| open.takes_place).count() < self.window
    }

    fn fits(&self, note: Note) -> bool {
        note.size <= self.size
    }

    /// Takes a message back under the identifier it had; identifiers tell the order of sending.
    fn take_back(&mut self, mut open: Open) {
        open.aside = !self
            .open
            .iter()
            .any(|other| !other.aside && other.id < open.id);
        let is_after = |other: &Open| !other.aside && (open.aside || other.id > open.id);
        let place = self
            .open
            .iter()
            .position(is_after)
            .unwrap_or(self.open.len());
        self.open.insert(place, open);
    }
}

impl Model {
    fn is_member(&self, client: usize) -> bool {
        self.members.iter().any(|(member, _)| *member == client)
    }

    /// Rule 1.
    fn pick(&mut self, note: Note, returned: Option<Returned>) -> Pick {
        let (mut verdict, count) = (Pick::Nobody, self.members.len());
        for place in (0..count).map(|step| (self.cursor + step) % count) {
            let (member, granted) = self.members[place];
            let client = &mut self.clients[member];
            let qos = note.qos.min(granted);
            if !client.connected {
                continue;
            } else if !client.fits(note) {
                if verdict == Pick::Nobody {
                    verdict = Pick::TooLarge;
                }
                continue;
            } else if qos > QoS::AtMostOnce && !client.has_room() {
                verdict = Pick::NoRoom;
                continue;
            }
            let number = note.number;
            let own = returned.filter(|own| own.client == member && qos == QoS::AtLeastOnce);
            let open = Open {
                note,
                qos,
                id: own.map(|own| own.id),
                released: false,
                of_group: true,
                on_wire: true,
                takes_place: true,
                aside: false,
            };
            let sent = match open.id {
                Some(id) => {
                    client.take_back(open);
                    Sent::Again { number, qos, id }
                }
                None => {
                    if qos > QoS::AtMostOnce {
                        client.open.push(open);
                    }
                    Sent::New { number, qos }
                }
            };
            self.sent.push((member, sent));
            self.cursor = (place + 1) % count;
            return Pick::Taken;
        }
        match verdict {
            Pick::TooLarge if self.awaits_one() => Pick::NoRoom,
            verdict => verdict,
        }
    }

    /// Whether one is away that may take larger messages than those who are there when it comes back.
    fn awaits_one(&self) -> bool {
        self.members
            .iter()
            .any(|(member, granted)| !self.clients[*member].connected && *granted > QoS::AtMostOnce)
    }

    /// Whether somebody can take some message of QoS 1 now.
    fn somebody_is_ready(&self) -> bool {
        self.members.iter().any(|(member, granted)| {
            let client = &self.clients[*member];
            client.connected && (*granted == QoS::AtMostOnce || client.has_room())
        })
    }

    fn fits_somebody(&self, note: Note) -> bool {
        self.members.iter().any(|(member, _)| {
            let client = &self.clients[*member];
            client.connected && client.fits(note)
        })
    }

    /// Rule 7. What waits was offered to all before, so a new message takes nothing from it.
    fn publish(&mut self, qos: QoS, size: usize, expires: bool) -> Note {
        self.published += 1;
        let note = Note {
            number: self.published,
            qos,
            size,
            expires_at: expires.then_some(self.clock + u64::from(EXPIRY)),
        };
        if self.members.is_empty() {
            return note;
        }
        match self.pick(note, None) {
            Pick::Taken => {}
            Pick::NoRoom | Pick::Nobody
                if qos > QoS::AtMostOnce && self.may_wait() && self.queue.len() < self.bound =>
            {
                self.queue.push(Waiting {
                    note,
                    returned: None,
                });
            }
            _ => self.dropped += 1,
        }
        note
    }

    fn may_wait(&self) -> bool {
        self.members
            .iter()
            .any(|(member, qos)| self.clients[*member].connected || *qos > QoS::AtMostOnce)
    }

    /// Rule 7: in order, and past those that only full members could take.
    fn drain(&mut self) {
        let (before, clock) = (self.queue.len(), self.clock);
        self.queue
            .retain(|waiting| waiting.note.expires_at.is_none_or(|at| at > clock));
        self.expired += (before - self.queue.len()) as u64;
        let mut place = 0;
        while self.somebody_is_ready()
            && let Some(waiting) = self.queue.get(place)
        {
            match self.pick(waiting.note, waiting.returned) {
                Pick::Taken => {
                    self.queue.remove(place);
                }
                Pick::NoRoom | Pick::TooLarge | Pick::Nobody => place += 1,
            }
        }
        self.drop_too_large();
        if !self.may_wait() {
            let mut queue = std::mem::take(&mut self.queue);
            queue.sort_by_key(|waiting| waiting.returned.map(|own| own.client));
            queue
                .into_iter()
                .for_each(|waiting| self.send_home(waiting));
        }
    }

    /// Rules 4 and 8: what a session had and may have again is its own if the group does not keep it.
    fn send_home(&mut self, waiting: Waiting) {
        let Some(own) = waiting.returned.filter(|own| own.comes_first) else {
            self.dropped += 1;
            return;
        };
        let client = &mut self.clients[own.client];
        client.take_back(Open {
            note: waiting.note,
            qos: QoS::AtLeastOnce,
            id: Some(own.id),
            released: false,
            of_group: false,
            on_wire: false,
            takes_place: false,
            aside: false,
        });
        if client.connected {
            self.resend(own.client);
        }
    }

    /// Rule 7: what is too large for all does not wait.
    fn drop_too_large(&mut self) {
        for waiting in std::mem::take(&mut self.queue) {
            match self.fits_somebody(waiting.note) || self.awaits_one() {
                true => self.queue.push(waiting),
                false => self.send_home(waiting),
            }
        }
    }

    /// Rule 4.
    fn disconnect(&mut self, client: usize) {
        if !self.clients[client].connected {
            return;
        }
        self.clients[client].connected = false;
        let persistent = self.clients[client].persistent;
        let open = std::mem::take(&mut self.clients[client].open);
        for mut open in open {
            if open.of_group && open.qos == QoS::AtLeastOnce {
                let returned = open.id.filter(|_| persistent).map(|id| Returned {
                    client,
                    id,
                    comes_first: true,
                });
                self.queue.push(Waiting {
                    note: open.note,
                    returned,
                });
            } else {
                open.of_group = false;
                self.clients[client].open.push(open);
            }
        }
        self.queue.sort_by_key(|waiting| waiting.note.number);
        if !persistent {
            self.forget_returned(client);
        }
        self.drain();
        if !persistent {
            self.end_session(client);
        }
    }

    fn end_session(&mut self, client: usize) {
        self.forget_returned(client);
        self.leave(client);
        self.clients[client] = Client::default();
    }

    /// The session of a client ends: another one did not have what it had.
    fn forget_returned(&mut self, client: usize) {
        let had = |waiting: &&mut Waiting| waiting.returned.is_some_and(|own| own.client == client);
        for waiting in self.queue.iter_mut().filter(had) {
            waiting.returned = None;
        }
    }

    /// Rule 8.
    fn leave(&mut self, client: usize) {
        let Some(place) = self
            .members
            .iter()
            .position(|(member, _)| *member == client)
        else {
            return;
        };
        self.members.remove(place);
        self.cursor -= usize::from(place < self.cursor);
        if self.cursor >= self.members.len() {
            self.cursor = 0;
        }
        self.drain();
        if self.members.is_empty() {
            (self.dropped, self.expired) = (0, 0);
            for open in self.clients.iter_mut().flat_map(|client| &mut client.open) {
                open.of_group = false;
            }
        }
    }

    /// MQTT-4.4.0-1, and the resumption of rule 4.
    fn connect(&mut self, client: usize, persistent: bool, window: usize, size: usize) {
        let open = std::mem::take(&mut self.clients[client].open);
        let open = open
            .into_iter()
            .map(|open| Open {
                on_wire: false,
                takes_place: false,
                ..open
            })
            .collect();
        self.clients[client] = Client {
            connected: true,
            persistent,
            window,
            size,
            open,
        };
        self.resend(client);
        let is_member = self.is_member(client);
        let mut homing = Vec::new();
        for waiting in &mut self.queue {
            let note = waiting.note;
            let Some(own) = &mut waiting.returned else {
                continue;
            };
            if own.client != client || !own.comes_first {
                continue;
            }
            if !is_member {
                homing.push(note.number);
                continue;
            }
            let (id, to) = (own.id, &mut self.clients[client]);
            if !to.has_room() {
                break;
            }
            own.comes_first = false;
            if to.fits(note) {
                let qos = QoS::AtLeastOnce;
                to.take_back(Open {
                    note,
                    qos,
                    id: Some(id),
                    released: false,
                    of_group: true,
                    on_wire: true,
                    takes_place: true,
                    aside: false,
                });
                self.sent.push((
                    client,
                    Sent::Again {
                        number: note.number,
                        qos,
                        id,
                    },
                ));
            }
        }
        let taken: HashSet<u64> = self.clients[client]
            .open
            .iter()
            .map(|open| open.note.number)
            .collect();
        self.queue
            .retain(|waiting| !taken.contains(&waiting.note.number));
        for number in homing {
            let at = self
                .queue
                .iter()
                .position(|waiting| waiting.note.number == number);
            let waiting = self.queue.remove(at.expect("it waits"));
            self.send_home(waiting);
        }
        self.drain();
    }

    /// PUBRELs wait for no place and go first.
    fn resend(&mut self, client: usize) {
        let to = &mut self.clients[client];
        for open in &mut to.open {
            if open.released
                && !open.on_wire
                && let Some(id) = open.id
            {
                open.on_wire = true;
                self.sent.push((client, Sent::Pubrel(id)));
            }
        }
        let size = to.size;
        while to.has_room() {
            let Some(place) = to.open.iter().position(|open| !open.on_wire) else {
                break;
            };
            let open = &mut to.open[place];
            if open.note.size > size {
                to.open.remove(place);
                continue;
            }
            (open.on_wire, open.takes_place) = (true, true);
            let (number, qos) = (open.note.number, open.qos);
            let Some(id) = open.id else { continue };
            self.sent.push((client, Sent::Again { number, qos, id }));
        }
    }

    /// Returns what the client sends: the exchange, as it was before.
    fn acknowledge(
        &mut self,
        client: usize,
        which: prop::sample::Index,
        refused: bool,
    ) -> Option<Open> {
        let on_wire: Vec<usize> = (0..self.clients[client].open.len())
            .filter(|place| self.clients[client].open[*place].on_wire)
            .collect();
        if !self.clients[client].connected || on_wire.is_empty() {
            return None;
        }
        let place = on_wire[which.index(on_wire.len())];
        let open = self.clients[client].open[place];
        if open.qos == QoS::ExactlyOnce && !open.released && !refused {
            let open = &mut self.clients[client].open[place];
            (open.released, open.of_group) = (true, false);
        } else {
            self.clients[client].open.remove(place);
            self.resend(client);
            self.drain();
        }
        Some(open)
    }
}

/// The broker, and what its clients' sockets got.
pub(super) struct Harness {
    pub(super) broker: Broker,
    pub(super) start: Instant,
    pub(super) now: Instant,
    pub(super) links: Vec<Arc<Sink>>,
    attached: Vec<Option<Attached>>,
}

/// A group as it stands.
pub(super) struct Standing {
    cursor: usize,
    pub(super) queued: usize,
    pub(super) dropped: u64,
    /// In join order: who it is, whether connected, and how many messages are in flight.
    pub(super) members: Vec<(String, bool, u32)>,
}

impl Harness {
    /// Every group, by filter and share name.
    pub(super) fn groups(&self) -> Vec<Standing> {
        let mut groups = Vec::new();
        self.broker.group_names.visit(None, |group| {
            let state = group.state.lock();
            let members = state.ring.iter().map(|member| {
                let outbox = member.session.outbox();
                let place = outbox.membership(member.membership);
                let in_flight = place.map_or(0, |place| place.in_flight);
                let id = member.session.client_id().to_owned();
                (id, outbox.is_reachable(), in_flight)
            });
            groups.push(Standing {
                cursor: state.ring.turn(),
                queued: state.backlog.len(),
                dropped: state.dropped,
                members: members.collect(),
            });
            true
        });
        groups
    }

    fn new(batch: usize, bound: usize) -> Self {
        Self::with_clients(CLIENTS, batch, bound)
    }

    /// Queues of sessions and groups are bounded.
    pub(super) fn with_queues(clients: usize, bound: usize) -> Self {
        let mut harness = Self::with_clients(clients, LARGE_BATCH, bound);
        let mut config = harness.broker.config().clone();
        config.limits.session_queue = bound;
        let random = Randomness::from_seed(1);
        harness.broker = Broker::new(config, random, harness.now, Arc::new(NoAlarm));
        harness
    }

    pub(super) fn with_clients(clients: usize, batch: usize, bound: usize) -> Self {
        let now = Instant::now();
        let mut config = Config::standard();
        config.limits.group_queue = bound;
        let mut broker = Broker::new(config, Randomness::from_seed(1), now, Arc::new(NoAlarm));
        broker.set_batch(batch);
        Self {
            broker,
            start: now,
            now,
            links: (0..clients).map(|_| Arc::default()).collect(),
            attached: (0..clients).map(|_| None).collect(),
        }
    }

    /// Takes one step, in the broker and in the model.
    fn carry_out(&mut self, step: &Step, model: &mut Model) {
        let mut dirty = Dirty::default();
        match *step {
            Step::Connect {
                client,
                clean_start,
                persistent,
                window,
                size,
            } => {
                model.disconnect(client);
                if self.broker.batch < LARGE_BATCH {
                    // A session that is taken over may come back before its messages have gone on.
                    self.disconnect(client, &mut dirty);
                    self.come_to_rest(std::mem::take(&mut dirty));
                }
                if clean_start {
                    model.end_session(client);
                }
                model.connect(client, persistent, window, size);
                self.connect(client, clean_start, persistent, window, size, &mut dirty);
            }
            Step::Succeed {
                persistent,
                window,
                size,
                qos,
            } => {
                if let [(client, _)] = model.members[..] {
                    if model.clients[client].connected {
                        self.subscribe_to_many(client, &mut dirty);
                    }
                    model.disconnect(client);
                    model.end_session(client);
                    model.connect(client, persistent, window, size);
                    self.connect(client, true, persistent, window, size, &mut dirty);
                    model.members.push((client, qos));
                    model.drain();
                    self.subscribe(client, qos, &mut dirty);
                }
            }
            Step::Disconnect { client } => {
                model.disconnect(client);
                self.disconnect(client, &mut dirty);
            }
            Step::Subscribe { client, qos } if model.clients[client].connected => {
                match model
                    .members
                    .iter_mut()
                    .find(|(member, _)| *member == client)
                {
                    Some((_, granted)) => *granted = qos,
                    None => model.members.push((client, qos)),
                }
                model.drain();
                self.subscribe(client, qos, &mut dirty);
            }
            Step::Unsubscribe { client } if model.clients[client].connected => {
                model.leave(client);
                self.unsubscribe(client, &mut dirty);
            }
            Step::Publish {
                qos,
                size,
                expires,
                count,
            } => {
                for _ in 0..count {
                    let note = model.publish(qos, size, expires);
                    self.publish(note, &mut dirty);
                }
            }
            Step::Wait { seconds } => {
                model.clock += seconds;
                model.drain();
                self.now += Duration::from_secs(seconds);
                // Nobody looks for what has expired unless there is something to do.
                self.broker.group_names.visit(None, |group| {
                    group.drain(&self.broker.context(self.now), &mut dirty);
                    true
                });
            }
            Step::Acknowledge {
                client,
                which,
                refused,
            } => {
                if let Some(open) = model.acknowledge(client, which, refused) {
                    self.acknowledge(client, &open, refused, &mut dirty);
                }
            }
            Step::Subscribe { .. } | Step::Unsubscribe { .. } => {}
        }
        self.come_to_rest(dirty);
    }

    /// Lets everything be done that can be done now.
    pub(super) fn come_to_rest(&self, dirty: Dirty) {
        self.broker.flush_all(&self.broker.context(self.now), dirty);
        while self.broker.has_work() {
            let mut dirty = Dirty::default();
            self.broker.work(self.now, &mut dirty);
            self.broker.flush_all(&self.broker.context(self.now), dirty);
        }
    }

    pub(super) fn connect(
        &mut self,
        client: usize,
        clean_start: bool,
        persistent: bool,
        window: usize,
        size: usize,
        dirty: &mut Dirty,
    ) {
        self.links[client] = Arc::default();
        let link: Arc<dyn Link> = self.links[client].clone();
        let (client_id, mut will) = (client.to_string(), None);
        let request = connect_request(&client_id, &mut will);
        let request = ConnectRequest {
            clean_start,
            expiry: if persistent { 3600 } else { 0 },
            takeover: Takeover::AtOnce,
            peer: Peer {
                window: u16::try_from(window).unwrap(),
                packet_size: PACKETS[size] as u32,
                ..request.peer
            },
            ..request
        };
        let context = self.broker.context(self.now);
        let attached = self
            .broker
            .connect(request, &link, |_| Vec::new(), &context, dirty);
        self.attached[client] = attached.ok();
    }

    pub(super) fn disconnect(&mut self, client: usize, dirty: &mut Dirty) {
        if let Some(Attached { session, epoch, .. }) = self.attached[client].take() {
            let context = self.broker.context(self.now);
            self.broker
                .detach(&session, epoch, Cause::Dropped, &context, dirty);
        }
    }

    pub(super) fn attached(&self, client: usize) -> (&Arc<Session>, u64) {
        let attached = self.attached[client]
            .as_ref()
            .expect("a client with a connection");
        (&attached.session, attached.epoch)
    }

    pub(super) fn subscribe(&self, client: usize, qos: QoS, dirty: &mut Dirty) {
        self.subscribe_to(FILTER, client, qos, dirty);
    }

    /// More subscriptions than end in one piece.
    fn subscribe_to_many(&self, client: usize, dirty: &mut Dirty) {
        for number in 0..MANY {
            self.subscribe_to(&format!("other/{number}"), client, QoS::AtMostOnce, dirty);
        }
    }

    pub(super) fn subscribe_to(&self, filter: &str, client: usize, qos: QoS, dirty: &mut Dirty) {
        let (session, epoch) = self.attached(client);
        let options = SubscribeOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::DoNotSend,
        };
        let request = Request {
            filter: Filter::parse(filter).unwrap(),
            options,
            id: None,
        };
        let context = self.broker.context(self.now);
        let mut due = Due::default();
        let reason = self
            .broker
            .subscribe(session, epoch, &request, &mut due, &context, dirty);
        assert_eq!(reason, ReasonCode::granted(qos));
        self.broker.hand_out(session, due, &context, dirty);
    }

    fn unsubscribe(&self, client: usize, dirty: &mut Dirty) {
        let (session, epoch) = self.attached(client);
        let filter = Filter::parse(FILTER).unwrap();
        let context = self.broker.context(self.now);
        self.broker
            .unsubscribe(session, epoch, &filter, &context, dirty);
    }

    fn publish(&self, note: Note, dirty: &mut Dirty) {
        let mut payload = note.number.to_be_bytes().to_vec();
        payload.resize(PAYLOADS[note.size], 0);
        let mut publication = Publication::new("t", &payload, note.qos);
        publication.expires_at = note
            .expires_at
            .map(|at| self.start + Duration::from_secs(at));
        let context = self.broker.context(self.now);
        let run = Run::one(&publication);
        self.broker
            .deliver_and_forget(Origin::Outside, run, &context, dirty);
    }

    fn acknowledge(&self, client: usize, open: &Open, refused: bool, dirty: &mut Dirty) {
        let (session, _) = self.attached(client);
        let id = open.id.expect("an identifier that was seen");
        let mut outbox = session.outbox();
        let acknowledged = match (open.qos, open.released) {
            (QoS::ExactlyOnce, true) => outbox.receive_pubcomp(id),
            (QoS::ExactlyOnce, false) if !refused => outbox.receive_pubrec(id),
            (qos, _) => outbox.acknowledge(id, qos),
        };
        assert_eq!(acknowledged, Acknowledged::Done, "identifier {id}");
        drop(outbox);
        self.broker
            .make_room(session, &self.broker.context(self.now), dirty);
    }

    /// Compares what each client got in this step, and notes the identifiers.
    fn check_deliveries(&mut self, model: &mut Model) -> Result<(), TestCaseError> {
        for client in 0..CLIENTS {
            let expected: Vec<Sent> = model
                .sent
                .iter()
                .filter(|(to, _)| *to == client)
                .map(|(_, sent)| *sent)
                .collect();
            let bytes = self.links[client].take(<[u8]>::to_vec);
            let mut got = Vec::new();
            for packet in client::decode_all(&bytes, Version::V5) {
                got.push(note_packet(&packet, &mut model.clients[client])?);
            }
            prop_assert_eq!(got, expected, "client {}", client);
        }
        Ok(())
    }

    fn check_state(&self, model: &Model) -> Result<(), TestCaseError> {
        let groups = self.groups();
        let Some(group) = groups.first() else {
            prop_assert!(model.members.is_empty());
            return Ok(());
        };
        prop_assert_eq!(groups.len(), 1);
        prop_assert_eq!(group.cursor, model.cursor);
        prop_assert_eq!(group.queued, model.queue.len());
        prop_assert_eq!(group.dropped, model.dropped);
        let expected: Vec<_> = model
            .members
            .iter()
            .map(|(member, _)| {
                let client = &model.clients[*member];
                let in_flight = client.open.iter().filter(|open| open.of_group).count();
                (member.to_string(), client.connected, in_flight as u32)
            })
            .collect();
        prop_assert_eq!(&group.members, &expected);
        Ok(())
    }
}

/// Reads a packet that a client got. A new PUBLISH has an identifier that no open one has.
fn note_packet(packet: &Packet<'_>, client: &mut Client) -> Result<Sent, TestCaseError> {
    let publish = match packet {
        Packet::Publish(publish) => publish,
        Packet::Pubrel(ack) => return Ok(Sent::Pubrel(ack.packet_id)),
        other => return Err(TestCaseError::fail(format!("unexpected {other:?}"))),
    };
    let number = publish
        .payload
        .get(..8)
        .and_then(|bytes| bytes.try_into().ok());
    let number = number.map(u64::from_be_bytes).unwrap_or_default();
    let qos = publish.qos;
    let id = match publish.packet_id {
        Some(id) if publish.dup => return Ok(Sent::Again { number, qos, id }),
        id => id,
    };
    if id.is_some() {
        let in_use = client.open.iter().any(|open| open.id == id);
        prop_assert!(!in_use, "identifier {:?} is in use", id);
        let open = client
            .open
            .iter_mut()
            .find(|open| open.note.number == number);
        if let Some(open) = open {
            open.id = id;
        }
    }
    Ok(Sent::New { number, qos })
}

/// Rule 7: a member that was too small when it left is not taken for one that is there, though nobody asks it.
#[test]
fn what_is_too_large_for_those_who_are_there_waits_for_a_small_one_that_left() {
    let steps = vec![
        Step::Connect {
            client: 0,
            clean_start: false,
            persistent: false,
            window: 1,
            size: 1,
        },
        Step::Connect {
            client: 1,
            clean_start: false,
            persistent: true,
            window: 1,
            size: 0,
        },
        Step::Subscribe {
            client: 1,
            qos: QoS::AtLeastOnce,
        },
        Step::Disconnect { client: 1 },
        Step::Publish {
            qos: QoS::AtLeastOnce,
            size: 2,
            expires: false,
            count: 1,
        },
    ];
    live_through(crowd().into_iter().chain(steps), 1, 20).unwrap();
}

/// MQTT-3.1.2-4: many subscriptions of a session that has ended leave one after the other. Whoever joins meanwhile gets
/// nothing of what waited for it, nor of what it had in flight, and may become a member where groups are bounded
/// (AWS-LIM-22).
#[test]
fn nobody_inherits_what_was_for_a_session_that_has_ended() {
    /// How the session ends.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum End {
        CleanStart,
        CleanStartWhileConnected,
        Disconnect,
        Expiry,
        Removal,
    }
    const GROUPS: u64 = 200;
    for end in [
        End::CleanStart,
        End::CleanStartWhileConnected,
        End::Disconnect,
        End::Expiry,
        End::Removal,
    ] {
        let mut harness = Harness::with_clients(2, LARGE_BATCH, 100);
        let mut config = harness.broker.config().clone();
        config.limits.group_members = Some(1);
        let random = Randomness::from_seed(1);
        harness.broker = Broker::new(config, random, harness.now, Arc::new(NoAlarm));
        let mut dirty = Dirty::default();
        let persistent = end != End::Disconnect;
        harness.connect(0, true, persistent, 10, 2, &mut dirty);
        let filter = |number| format!("$share/g/t/{number}");
        for number in 0..GROUPS {
            harness.subscribe_to(&filter(number), 0, QoS::AtLeastOnce, &mut dirty);
        }
        let publish = |harness: &Harness| {
            let mut dirty = Dirty::default();
            for number in 0..GROUPS {
                let topic = format!("t/{number}");
                let publication = Publication::new(&topic, b"", QoS::AtLeastOnce);
                let run = Run::one(&publication);
                let context = harness.broker.context(harness.now);
                let broker = &harness.broker;
                broker.deliver_and_forget(Origin::Outside, run, &context, &mut dirty);
            }
            harness.come_to_rest(dirty);
        };
        harness.come_to_rest(dirty);
        // Ten of them are in flight, the others wait.
        publish(&harness);
        let (session, _) = harness.attached(0);
        let session = session.clone();
        let mut dirty = Dirty::default();
        if !matches!(end, End::CleanStartWhileConnected | End::Disconnect) {
            harness.disconnect(0, &mut dirty);
            harness.come_to_rest(std::mem::take(&mut dirty));
        }
        let heir = match end {
            End::CleanStart | End::CleanStartWhileConnected => 0,
            End::Disconnect => {
                harness.disconnect(0, &mut dirty);
                1
            }
            End::Expiry => {
                harness.now += Duration::from_secs(3601);
                harness.broker.handle_deadline(harness.now, &mut dirty);
                1
            }
            End::Removal => {
                let removal = Removal {
                    with_session: true,
                    without_will: false,
                };
                let context = harness.broker.context(harness.now);
                let cause = Cause::Dropped;
                let broker = &harness.broker;
                let removed = broker.remove(&session, cause, removal, &context, &mut dirty);
                assert_eq!(removed, Some(false));
                1
            }
        };
        harness.connect(heir, true, false, 1000, 2, &mut dirty);
        for number in 0..GROUPS {
            harness.subscribe_to(&filter(number), heir, QoS::AtLeastOnce, &mut dirty);
        }
        assert!(
            harness.broker.has_work(),
            "{end:?}: some are still to leave"
        );
        let got = |harness: &Harness| {
            let bytes = harness.links[heir].take(<[u8]>::to_vec);
            client::decode_all(&bytes, Version::V5).len() as u64
        };
        harness.come_to_rest(dirty);
        assert_eq!(got(&harness), 0, "{end:?}");
        let groups = harness.groups();
        assert_eq!(groups.len() as u64, GROUPS);
        let heir_id = heir.to_string();
        for group in groups {
            assert_eq!(group.members, [(heir_id.clone(), true, 0)], "{end:?}");
            assert_eq!((group.queued, group.dropped), (0, 0), "{end:?}");
        }
        let dropped = harness.broker.stats(harness.now).dropped;
        assert_eq!(dropped, GROUPS, "{end:?}: all are counted");
        publish(&harness);
        assert_eq!(got(&harness), GROUPS, "{end:?}");
        // Nothing is left of the session.
        assert_eq!(Arc::strong_count(&session), 1, "{end:?}");
    }
}

/// MQTT-3.10.4-3: more messages than a turn sends home come again to a session that had them and has unsubscribed, each
/// once, in their order and under their identifiers: if it resumes before its group ends, while that is under way, and after
/// that.
#[test]
fn much_that_a_session_had_goes_home_in_turns() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Resumes {
        BeforeTheEnd,
        MeanWhile,
        Afterwards,
    }
    const MESSAGES: u64 = 3_000;
    for resumes in [
        Resumes::BeforeTheEnd,
        Resumes::MeanWhile,
        Resumes::Afterwards,
    ] {
        let mut harness = Harness::with_clients(2, 512, 10_000);
        let mut dirty = Dirty::default();
        harness.connect(0, true, true, 5_000, 2, &mut dirty);
        harness.subscribe(0, QoS::AtLeastOnce, &mut dirty);
        let note = |number| Note {
            number,
            qos: QoS::AtLeastOnce,
            size: 0,
            expires_at: None,
        };
        (0..MESSAGES).for_each(|number| harness.publish(note(number), &mut dirty));
        harness.come_to_rest(std::mem::take(&mut dirty));
        let take = |harness: &Harness| {
            let bytes = harness.links[0].take(<[u8]>::to_vec);
            let packets = client::decode_all(&bytes, Version::V5);
            let ids = packets.iter().filter_map(|packet| match packet {
                Packet::Publish(publish) => Some((publish.packet_id, publish.dup)),
                _ => None,
            });
            ids.collect::<Vec<_>>()
        };
        let first = take(&harness);
        assert_eq!(first.len() as u64, MESSAGES);
        // The other one takes a single message and is full.
        harness.connect(1, true, false, 1, 2, &mut dirty);
        harness.subscribe(1, QoS::AtLeastOnce, &mut dirty);
        harness.publish(note(MESSAGES), &mut dirty);
        harness.publish(note(MESSAGES + 1), &mut dirty);
        harness.come_to_rest(std::mem::take(&mut dirty));
        let first_and_last = take(&harness).len();
        assert_eq!(first_and_last, 1, "each had its turn");
        harness.unsubscribe(0, &mut dirty);
        harness.disconnect(0, &mut dirty);
        harness.come_to_rest(std::mem::take(&mut dirty));
        assert_eq!(harness.groups()[0].queued as u64, MESSAGES + 1);
        if resumes != Resumes::BeforeTheEnd {
            harness.unsubscribe(1, &mut dirty);
        }
        if resumes == Resumes::Afterwards {
            harness.come_to_rest(std::mem::take(&mut dirty));
        }
        harness.connect(0, false, true, 5_000, 2, &mut dirty);
        harness.come_to_rest(dirty);
        let again = take(&harness);
        let expected = first.iter().map(|(id, _)| (*id, true));
        let again_first = again.iter().copied().take(first.len());
        assert!(again_first.eq(expected), "{resumes:?}");
        assert_eq!(again.len() as u64, MESSAGES + 1, "{resumes:?}");
        assert_eq!(harness.broker.stats(harness.now).dropped, 0, "{resumes:?}");
        // The next connection gets them as well: they are the session's own.
        let mut dirty = Dirty::default();
        harness.connect(0, false, true, 5_000, 2, &mut dirty);
        harness.come_to_rest(dirty);
        assert_eq!(take(&harness).len() as u64, MESSAGES + 1, "{resumes:?}");
    }
}
