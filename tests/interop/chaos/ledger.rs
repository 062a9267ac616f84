//! What the broker has promised, by its own acknowledgements in the journal, and whether it kept that.
//!
//! The journal has every packet as it came to the rules and as it went on. So the ledger knows what the broker
//! and its clients saw of each other, and in which places a rule has had one of them believe something else:
//! an acknowledgement that nobody sent, a packet of which bytes were changed. A message that such a
//! thing may have touched is *excused* for the client concerned; every other one has to arrive.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::fleet::{GROUPS, Known, NAMES, library};

/// A message: its topic and its text, which no other message has.
type Key = (String, String);

#[derive(Default)]
pub(super) struct Ledger {
    sessions: BTreeMap<String, Session>,
    connections: HashMap<u64, Connection>,
    /// Messages of this round.
    messages: BTreeMap<Key, Message>,
    turns: Vec<Turns>,
    pub(super) wrong: Vec<String>,
    suspects: Vec<Suspect>,
    /// Messages of groups that went with the session of a member.
    given_up: HashSet<Key>,
    pub(super) figures: Figures,
}

/// What a run came to.
#[derive(Default)]
pub(super) struct Figures {
    pub(super) rows: u64,
    /// Messages that the broker has acknowledged, and how many arrivals of them it owed.
    pub(super) promised: u64,
    pub(super) owed: u64,
    /// Arrivals that a client did not report, and a rule may be the reason.
    pub(super) excused: BTreeMap<String, u64>,
    /// Arrivals that a client did not report although it has acknowledged the message as it was sent.
    pub(super) kept_quiet: BTreeMap<String, u64>,
    /// Hand-overs in groups, and those of which the turn was checked.
    pub(super) handed: u64,
    pub(super) turns: u64,
    /// How often rules acted, by action.
    pub(super) hits: BTreeMap<String, u64>,
}

/// A hand-over that is wrong unless one of these connections ended at this moment: the row of that is written
/// behind the hand-overs that come of it.
struct Suspect {
    at: String,
    connections: Vec<u64>,
    what: String,
}

#[derive(Default)]
struct Session {
    /// Granted QoS and the row of the SUBACK, by filter.
    granted: BTreeMap<String, (u64, u64)>,
    /// It has subscribed to what a rule has made of its SUBSCRIBE.
    is_unclear: bool,
    /// Exchanges that are open towards the client.
    open: HashMap<u64, Key>,
    /// Those of them that were sent at QoS 2.
    exact: HashSet<Key>,
    /// Messages that the client has acknowledged by itself.
    acknowledged: HashSet<Key>,
    /// Identifiers that a rule has used: client and broker may understand them differently.
    spoiled: HashSet<u64>,
    /// Identifiers under which the broker may have a message of QoS 2 that is not the client's: it takes the
    /// client's for the same one.
    foreign: HashSet<u64>,
    /// Messages of QoS 2 that the broker has and the client has not released. Where a rule keeps PUBREL from it,
    /// the next message under the identifier is taken for the same one.
    unreleased: HashMap<u64, Key>,
    /// Why a message may not have reached the program behind the client.
    excuses: BTreeMap<Key, &'static str>,
    /// Why that is so for all of this round.
    doubt: Option<&'static str>,
    /// A CONNACK said something else about the session than the broker.
    pub(super) is_misled: bool,
}

#[derive(Default)]
struct Connection {
    client: String,
    /// The broker may read, or the client may have read, what nobody sent.
    is_garbled_in: bool,
    is_garbled_out: bool,
    /// It got something that its client did not send, which may have ended it: what follows may not be looked at.
    is_doubtful: bool,
    /// A rule is ending it: what goes on has no rows.
    is_cut: bool,
    has_ended: bool,
    receive_maximum: u64,
    /// Its CONNECT came as it was sent.
    is_plain: bool,
    /// Session Present as the broker said it.
    is_resumed: bool,
    arrivals: HashMap<u64, Key>,
    subscribes: HashMap<u64, Option<Vec<String>>>,
    aliases: HashMap<u64, String>,
}

#[derive(Default)]
struct Message {
    first: u64,
    is_promised: bool,
    /// Clients that the broker has sent it to.
    sent: BTreeSet<String>,
}

/// The turns of one group.
struct Turns {
    share: &'static str,
    filter: &'static str,
    number: &'static str,
    /// Members that are connected, with their connections.
    present: BTreeMap<String, u64>,
    /// Who was handed a message since something happened to the group.
    order: Vec<String>,
    /// The last hand-over of each message, by the row of its PUBLISH.
    holders: HashMap<u64, Holder>,
}

struct Holder {
    client: String,
    connection: u64,
    id: Option<u64>,
    is_acknowledged: bool,
}

/// A row that is about a packet.
struct Row<'a> {
    number: u64,
    at: &'a str,
    connection: u64,
    client: &'a str,
    is_in: bool,
    /// What a rule did, and the action of the rule.
    did: &'a str,
    action: &'a str,
    packet: &'a Value,
    caused_by: Option<u64>,
}

impl Row<'_> {
    /// Made by a rule, or let go by one.
    fn is_artificial(&self) -> bool {
        matches!(self.did, "made" | "released")
    }

    /// Whether the packet itself goes on at once.
    fn passes(&self) -> bool {
        match self.did {
            "" | "duplicate" | "inject" | "stop_reading" | "made" | "released" => true,
            "close" | "reset" | "half_close" => self.action.ends_with("after"),
            _ => false,
        }
    }

    fn kind(&self) -> &str {
        self.packet["type"].as_str().unwrap_or("")
    }

    fn id(&self) -> Option<u64> {
        self.packet["packet_id"].as_u64()
    }

    /// It is no packet, or only a part of one.
    fn is_garbled(&self) -> bool {
        let fields = self.packet.as_object().map_or(0, serde_json::Map::len);
        let is_bare = matches!(self.kind(), "PINGREQ" | "PINGRESP" | "DISCONNECT" | "AUTH");
        (fields < 2 && !is_bare) || self.action.starts_with("truncate")
    }
}

impl Ledger {
    pub(super) fn new() -> Self {
        let turns = GROUPS.map(|(share, filter, number)| Turns {
            share,
            filter,
            number,
            present: BTreeMap::new(),
            order: Vec::new(),
            holders: HashMap::new(),
        });
        Self {
            turns: turns.into(),
            ..Self::default()
        }
    }

    /// All sessions are gone.
    pub(super) fn forget(&mut self) {
        self.sessions.clear();
        self.connections.clear();
        self.messages.clear();
        for turns in &mut self.turns {
            turns.present.clear();
            turns.order.clear();
            turns.holders.clear();
        }
    }

    /// A client's program was replaced: what it had and had not told is gone.
    pub(super) fn doubt(&mut self, client: &str, why: &'static str) {
        self.session(client).doubt = Some(why);
    }

    /// Clients that a CONNACK misled about their sessions.
    pub(super) fn misled(&self) -> Vec<&'static str> {
        let is_misled = |name: &&&str| {
            let session = self.sessions.get(**name);
            session.is_some_and(|session| session.is_misled)
        };
        NAMES.iter().filter(is_misled).copied().collect()
    }

    fn session(&mut self, client: &str) -> &mut Session {
        self.sessions.entry(client.to_owned()).or_default()
    }

    /// Reads a row of the journal.
    pub(super) fn read(&mut self, row: &Value) {
        let number = row["number"].as_u64().expect("a row has a number");
        self.figures.rows += 1;
        let connection = row["connection"].as_u64().expect("a row has a connection");
        let client = row["client"].as_str().unwrap_or("");
        if let Some(event) = row["event"].as_str() {
            let at = row["at"].as_str().unwrap_or("");
            return self.event(event, at, connection, client);
        }
        let rule = row["rule"].as_str().unwrap_or("");
        let row = Row {
            number,
            at: row["at"].as_str().unwrap_or(""),
            connection,
            client,
            is_in: row["direction"] == "in",
            did: row["did"].as_str().unwrap_or(""),
            action: rule.split_once('.').map_or("", |(_, action)| action),
            packet: &row["packet"],
            caused_by: row["caused_by"].as_u64(),
        };
        if !row.is_artificial() && !row.did.is_empty() {
            let action = row.action.split('.').next().unwrap_or("");
            *self.figures.hits.entry(action.to_owned()).or_default() += 1;
        }
        let known = self.connections.entry(connection).or_default();
        if !client.is_empty() {
            client.clone_into(&mut known.client);
        }
        match row.is_in {
            true => self.read_from_client(&row),
            false => self.read_to_client(&row),
        }
        if matches!(row.did, "close" | "reset" | "half_close") {
            if let Some(known) = self.connections.get_mut(&connection) {
                known.is_cut = true;
            }
            self.break_turns(client);
        }
    }

    fn event(&mut self, event: &str, at: &str, connection: u64, client: &str) {
        match event {
            "connected" => {
                for turns in &mut self.turns {
                    let is_member = self
                        .sessions
                        .get(client)
                        .is_some_and(|session| session.granted.contains_key(&turns.full_filter()));
                    if is_member {
                        turns.present.insert(client.to_owned(), connection);
                    }
                }
            }
            "disconnected" => {
                if let Some(known) = self.connections.get_mut(&connection) {
                    known.has_ended = true;
                }
                self.suspects
                    .retain(|own| own.at != at || !own.connections.contains(&connection));
                if library(client) == "mosquitto" {
                    // Its program may be another one next, without a memory.
                    self.doubt_open(client, "the program ended in the middle of an exchange");
                }
                for turns in &mut self.turns {
                    if turns.present.get(client) == Some(&connection) {
                        turns.present.remove(client);
                    }
                }
            }
            _ => {}
        }
        self.break_turns(client);
    }

    /// Something happened to a member: who is next is not known from what was before.
    fn break_turns(&mut self, client: &str) {
        for turns in &mut self.turns {
            if client.ends_with(turns.number) {
                turns.order.clear();
            }
        }
    }

    fn read_from_client(&mut self, row: &Row<'_>) {
        if row.packet["qos"] == 2
            && let Some(id) = row.id()
        {
            let is_garbled = self.connection(row).is_garbled_in;
            let is_changed = matches!(row.did, "corrupt" | "truncate" | "replace");
            if is_garbled || is_changed || row.is_artificial() {
                self.session(row.client).foreign.insert(id);
            }
        }
        // Nothing is done with what is read behind the end.
        if !row.passes() || self.connection(row).has_ended {
            return;
        }
        if row.is_garbled() {
            self.connection(row).is_garbled_in = true;
            return self.doubt_open(row.client, "the broker read garbled bytes");
        }
        self.connection(row).is_doubtful |= row.is_artificial();
        match row.kind() {
            "CONNECT" => {
                let maximum = row.packet["properties"]["receive_maximum"].as_u64();
                let known = self.connection(row);
                known.receive_maximum = maximum.unwrap_or(65_535);
                known.is_plain = !row.is_artificial();
            }
            "PUBLISH" => {
                let key = self.key(row);
                let message = self.messages.entry(key.clone()).or_default();
                if message.first == 0 {
                    message.first = row.number;
                }
                if let Some(id) = row.id() {
                    if row.packet["qos"] == 2 {
                        let unreleased = &mut self.session(row.client).unreleased;
                        unreleased.entry(id).or_insert_with(|| key.clone());
                    }
                    self.connection(row).arrivals.insert(id, key);
                }
            }
            "SUBSCRIBE" => {
                let filters = row.packet["filters"].as_array().into_iter().flatten();
                let filters = filters.filter_map(|own| own["filter"].as_str());
                let filters = filters.map(str::to_owned).collect();
                let is_own = !row.is_artificial();
                if let Some(id) = row.id() {
                    let known = self.connection(row);
                    known.subscribes.insert(id, is_own.then_some(filters));
                }
            }
            "PUBREL" => {
                if let Some(id) = row.id() {
                    self.session(row.client).unreleased.remove(&id);
                }
            }
            // What a client sends behind it is not for anybody.
            "DISCONNECT" => self.connection(row).has_ended = true,
            kind @ ("PUBACK" | "PUBREC" | "PUBCOMP") => {
                let Some(id) = row.id() else { return };
                if row.is_artificial() {
                    self.spoil(row.client, id);
                }
                let reason = row.packet["reason"].as_u64().unwrap_or(0);
                if !row.is_artificial() && reason < 0x80 {
                    let session = self.session(row.client);
                    session.acknowledged.extend(session.open.get(&id).cloned());
                }
                if kind != "PUBREC" || reason >= 0x80 {
                    self.session(row.client).open.remove(&id);
                }
                let is_spoiled = self.session(row.client).spoiled.contains(&id);
                let known = self.connection(row);
                let is_clear = !(known.is_doubtful || known.is_garbled_in || known.is_garbled_out);
                if kind != "PUBCOMP" && is_clear && !is_spoiled {
                    self.acknowledge(row, id);
                }
            }
            _ => {}
        }
    }

    fn acknowledge(&mut self, row: &Row<'_>, id: u64) {
        for turns in &mut self.turns {
            for holder in turns.holders.values_mut() {
                let is_it = holder.connection == row.connection && holder.id == Some(id);
                holder.is_acknowledged |= is_it;
            }
        }
    }

    fn connection(&mut self, row: &Row<'_>) -> &mut Connection {
        self.connections.entry(row.connection).or_default()
    }

    fn key(&mut self, row: &Row<'_>) -> Key {
        let mut topic = row.packet["topic"].as_str().unwrap_or("").to_owned();
        if let Some(alias) = row.packet["properties"]["topic_alias"].as_u64() {
            let aliases = &mut self.connection(row).aliases;
            match topic.is_empty() {
                true => topic = aliases.get(&alias).cloned().unwrap_or_default(),
                false => drop(aliases.insert(alias, topic.clone())),
            }
        }
        let text = row.packet["payload"].as_str().unwrap_or("").to_owned();
        (
            topic.replace([' ', '\n'], "_"),
            text.replace([' ', '\n'], "_"),
        )
    }

    /// An identifier was in a packet that was not the other side's: what is under it is not certain.
    fn spoil(&mut self, client: &str, id: u64) {
        let session = self.session(client);
        session.spoiled.insert(id);
        if let Some(key) = session.open.get(&id) {
            let why = "a rule used its identifier";
            session.excuses.entry(key.clone()).or_insert(why);
        }
    }

    /// Whatever is open towards the client may have been acknowledged by accident.
    fn doubt_open(&mut self, client: &str, why: &'static str) {
        let session = self.session(client);
        for key in session.open.values() {
            session.excuses.entry(key.clone()).or_insert(why);
        }
    }

    fn read_to_client(&mut self, row: &Row<'_>) {
        if row.is_artificial() {
            return self.made_for_client(row);
        }
        match row.kind() {
            "CONNACK" if row.packet["reason"] == 0 => {
                let is_new = row.packet["session_present"] == false;
                self.connection(row).is_resumed = !is_new;
                let session = self.session(row.client);
                if is_new {
                    // MQTT-4.8.2-5: what a member had at QoS 2 ends with its session.
                    let open: HashSet<_> = session.open.values().cloned().collect();
                    let mut given_up: Vec<_> = open.intersection(&session.exact).cloned().collect();
                    // So does what is known of the others.
                    given_up.extend(session.excuses.keys().cloned());
                    given_up.extend(session.acknowledged.iter().cloned());
                    self.given_up.extend(given_up);
                    let session = self.session(row.client);
                    *session = Session {
                        doubt: session.doubt,
                        ..Session::default()
                    };
                }
                for turns in &mut self.turns {
                    if is_new && row.client.ends_with(turns.number) {
                        turns.present.remove(row.client);
                        turns.order.clear();
                    }
                }
            }
            "SUBACK" => self.granted(row),
            "PUBACK" | "PUBREC" => {
                let is_refused = row.packet["reason"].as_u64().unwrap_or(0) >= 0x80;
                let known = self.connection(row);
                let key = row.id().and_then(|id| known.arrivals.get(&id).cloned());
                let Some(key) = key.filter(|_| !known.is_garbled_in && !is_refused) else {
                    return;
                };
                let session = self.session(row.client);
                let is_another = |id: u64| {
                    session.foreign.contains(&id) || session.unreleased.get(&id) != Some(&key)
                };
                if row.kind() == "PUBREC" && row.id().is_some_and(is_another) {
                    return;
                }
                // One whose bytes were changed to no text is not told as it is.
                let is_text = !key.1.is_empty();
                let message = self.messages.entry(key).or_default();
                if !message.is_promised && message.first > 0 && is_text {
                    message.is_promised = true;
                    self.figures.promised += 1;
                }
            }
            "PUBCOMP" => {
                if let Some(id) = row.id() {
                    self.session(row.client).foreign.remove(&id);
                }
            }
            "PUBLISH" => self.published(row),
            _ => {}
        }
    }

    fn granted(&mut self, row: &Row<'_>) {
        let known = self.connection(row);
        let (is_garbled, connection) = (known.is_garbled_in, row.connection);
        let filters = row.id().and_then(|id| known.subscribes.remove(&id));
        let Some(Some(filters)) = filters.filter(|_| !is_garbled) else {
            // What of it holds is not known.
            let session = self.session(row.client);
            session.is_unclear = true;
            return session.granted.clear();
        };
        let reasons = row.packet["reasons"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        for (filter, reason) in filters.into_iter().zip(reasons) {
            let qos = reason.as_u64().unwrap_or(0x80);
            let session = self.session(row.client);
            if qos > 2 {
                session.granted.remove(&filter);
                continue;
            }
            let since = session.granted.get(&filter).map_or(row.number, |own| own.1);
            session.granted.insert(filter.clone(), (qos, since));
            for turns in &mut self.turns {
                if turns.full_filter() == filter {
                    turns.present.insert(row.client.to_owned(), connection);
                    turns.order.clear();
                }
            }
        }
    }

    /// The broker has sent a message.
    fn published(&mut self, row: &Row<'_>) {
        let key = self.key(row);
        let known = self.connection(row);
        let is_garbled = known.is_garbled_out || known.is_garbled_in;
        let is_changed = matches!(row.did, "corrupt" | "truncate" | "replace");
        let session = self.session(row.client);
        if let Some(id) = row.id() {
            let why = match () {
                () if is_changed => Some("it was changed"),
                () if is_garbled => Some("the connection was garbled"),
                () if session.spoiled.contains(&id) => Some("a rule had used its identifier"),
                () => None,
            };
            if let Some(why) = why {
                session.excuses.entry(key.clone()).or_insert(why);
            }
            session.open.insert(id, key.clone());
            if row.packet["qos"] == 2 {
                session.exact.insert(key.clone());
            }
        }
        let message = self.messages.entry(key.clone()).or_default();
        message.sent.insert(row.client.to_owned());
        let name = key.0.split('/').next().unwrap_or("");
        for at in 0..self.turns.len() {
            let turns = &self.turns[at];
            if turns.filter.starts_with(name) && row.client.ends_with(turns.number) {
                self.handed(at, row, &key);
            }
        }
    }

    /// A group has handed a message over.
    fn handed(&mut self, at: usize, row: &Row<'_>, key: &Key) {
        self.figures.handed += 1;
        let is_again = row.packet["dup"] == true;
        let turns = &mut self.turns[at];
        if let Some(instance) = row.caused_by {
            let holder = Holder {
                client: row.client.to_owned(),
                connection: row.connection,
                id: row.id(),
                is_acknowledged: false,
            };
            if let Some(former) = turns.holders.insert(instance, holder) {
                let known = self.connections.get(&former.connection);
                let is_gone = known.is_none_or(|known| known.has_ended || known.is_cut);
                let what = format!(
                    "row {}: group {} hands {key:?} to {} although {} has it",
                    row.number, turns.share, row.client, former.client,
                );
                if former.is_acknowledged {
                    self.wrong.push(format!("{what}, and has acknowledged it"));
                } else if !is_gone {
                    self.suspects.push(Suspect {
                        at: row.at.to_owned(),
                        connections: vec![former.connection],
                        what,
                    });
                }
            }
        }
        if is_again {
            return turns.order.clear();
        }
        turns.order.push(row.client.to_owned());
        // A member that may be full, or of which the journal does not know everything, may be passed by.
        let is_uncertain = |(name, connection): (&String, &u64)| {
            let known = self.connections.get(connection);
            let open = self
                .sessions
                .get(name)
                .map_or(0, |own| own.open.len() as u64);
            known.is_none_or(|own| {
                own.is_cut || own.is_garbled_in || !own.is_plain || open >= own.receive_maximum / 2
            })
        };
        let is_unclear =
            |(name, own): (&String, &Session)| own.is_unclear && name.ends_with(turns.number);
        let is_known = turns.present.contains_key(row.client);
        if !is_known
            || turns.present.iter().any(is_uncertain)
            || self.sessions.iter().any(is_unclear)
        {
            return turns.order.clear();
        }
        let members = turns.present.len();
        let last = turns.order.len().saturating_sub(members);
        let round: BTreeSet<_> = turns.order[last..].iter().collect();
        if turns.order.len() < members {
            return;
        }
        self.figures.turns += 1;
        let is_exact =
            round.len() == members && round.iter().all(|name| turns.present.contains_key(*name));
        if !is_exact {
            let passed = turns
                .present
                .iter()
                .filter(|(name, _)| !round.contains(name));
            let suspect = Suspect {
                at: row.at.to_owned(),
                connections: passed.map(|(_, connection)| *connection).collect(),
                what: format!(
                    "row {}: turns of group {}: {:?} of {:?}",
                    row.number,
                    turns.share,
                    turns.order,
                    turns.present.keys()
                ),
            };
            turns.order.clear();
            self.suspects.push(suspect);
        }
    }

    /// A client gets what the broker did not send. What it answers may end the connection.
    fn made_for_client(&mut self, row: &Row<'_>) {
        self.connection(row).is_doubtful = true;
        if row.is_garbled() {
            self.connection(row).is_garbled_out = true;
            return self.doubt_open(row.client, "the client read garbled bytes");
        }
        match (row.kind(), row.id()) {
            ("PUBLISH" | "PUBREL", Some(id)) => self.spoil(row.client, id),
            ("CONNACK", _) => {
                let is_resumed = self.connection(row).is_resumed;
                self.session(row.client).is_misled |= row.packet["session_present"] != is_resumed;
            }
            _ => {}
        }
    }

    /// Holds what has arrived against what was promised, now that nothing is under way.
    pub(super) fn settle(&mut self, known: &BTreeMap<&'static str, Known>) {
        for (key, message) in std::mem::take(&mut self.messages) {
            if !message.is_promised {
                continue;
            }
            let name = key.0.split('/').next().unwrap_or("").to_owned();
            for client in NAMES {
                let session = self.sessions.get(client);
                let granted = session.and_then(|own| own.granted.get(&format!("{name}/#")));
                let is_owed =
                    granted.is_some_and(|(qos, since)| *qos > 0 && *since < message.first);
                if is_owed {
                    self.figures.owed += 1;
                    self.look(&key, &message, &[client], known);
                }
            }
            for (share, filter, number) in GROUPS {
                let full = format!("$share/{share}/{filter}");
                let is_member = |client: &&&str| {
                    let session = self.sessions.get(**client);
                    let granted = session.and_then(|own| own.granted.get(&full));
                    granted.is_some_and(|(qos, since)| *qos > 0 && *since < message.first)
                };
                let is_for_group = filter.starts_with(&name) && !name.is_empty();
                if is_for_group && NAMES.iter().any(|client| is_member(&client)) {
                    self.figures.owed += 1;
                    let all: Vec<_> = NAMES
                        .iter()
                        .filter(|own| own.ends_with(number))
                        .copied()
                        .collect();
                    self.look(&key, &message, &all, known);
                }
            }
        }
        let suspects = std::mem::take(&mut self.suspects);
        self.wrong.extend(suspects.into_iter().map(|own| own.what));
        for session in self.sessions.values_mut() {
            session.excuses.clear();
            session.acknowledged.clear();
            session.exact.clear();
            session.doubt = None;
        }
        self.connections.retain(|_, own| !own.has_ended);
        for turns in &mut self.turns {
            turns.holders.clear();
        }
        self.given_up.clear();
    }

    /// One of the clients has to have it.
    fn look(
        &mut self,
        key: &Key,
        message: &Message,
        clients: &[&'static str],
        known: &BTreeMap<&'static str, Known>,
    ) {
        if clients.iter().any(|client| known[client].got.contains(key)) {
            return;
        }
        let excuses = clients.iter().filter_map(|client| {
            let session = self.sessions.get(*client)?;
            session.excuses.get(key).copied().or(session.doubt)
        });
        let is_given_up = clients.len() > 1 && self.given_up.contains(key);
        let end = is_given_up.then_some("its member's session ended");
        if let Some(why) = excuses.chain(end).next() {
            *self.figures.excused.entry(why.to_owned()).or_default() += 1;
            return;
        }
        let quiet = clients.iter().find(|client| {
            let session = self.sessions.get(**client);
            session.is_some_and(|own| own.acknowledged.contains(key))
        });
        if let Some(client) = quiet {
            *self
                .figures
                .kept_quiet
                .entry(library(client).to_owned())
                .or_default() += 1;
            return;
        }
        let sent: Vec<_> = message.sent.iter().map(String::as_str).collect();
        self.wrong.push(format!(
            "{key:?} was acknowledged and has not reached {clients:?}; it was sent to {sent:?}"
        ));
    }
}

impl Turns {
    fn full_filter(&self) -> String {
        format!("$share/{}/{}", self.share, self.filter)
    }
}
