//! The last values of topics, for whoever looks at them. Nothing is kept until somebody does; what is kept then is
//! bounded, charged before it is held, and gone as a whole once nobody looks any more.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::budget::{Budget, Charge, Kind};
use crate::codec::QoS;
use crate::message::publication::Publication;

use super::bounds::Bounds;
use super::gate::Gate;
use super::session::Session;

/// Topics that are kept.
const TOPICS: usize = 10_000;

/// Bytes that all of them take together.
const BYTES: usize = 16 << 20;

/// Bytes of one payload that are kept.
const PAYLOAD: usize = 256 * 1024;

/// Bytes of properties: longer ones are left out.
const PROPERTIES: usize = 16 * 1024;

/// What a topic takes besides its texts, and what a value does.
const PLACE: usize = 256;
const VALUE: usize = 128;

/// The last part of the budget is for what is small, and this is not: it asks for so much at least.
const NOT_SMALL: usize = 16 * 1024 + 1;

/// Topics that are looked at while the table is locked: publishers wait.
const SLICE: usize = 256;

/// Bytes of the beginning of a value.
const BEGINNING: usize = 160;

/// A message that was published, as much of it as is kept.
#[derive(Debug)]
pub(crate) struct Value {
    /// Its first bytes.
    pub(crate) payload: Box<[u8]>,
    /// All of its bytes.
    pub(crate) payload_size: usize,
    /// As they are forwarded; `None`: too long to be kept.
    pub(crate) properties: Option<Box<[u8]>>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// Whose it is; `None`: no client's, or nobody knows any more.
    pub(crate) client_id: Option<Box<str>>,
    pub(crate) at: Instant,
}

/// A topic, and the values that it had last.
#[derive(Clone)]
pub(crate) struct Valued {
    pub(crate) last: Arc<Value>,
    /// The one before, if it has been seen.
    pub(crate) previous: Option<Arc<Value>>,
    /// Messages that were seen; 0 for one that was retained before.
    pub(crate) count: u64,
    /// The number of its last use.
    used: u64,
}

/// A part of what is known of a topic, for lists.
#[derive(Clone)]
pub(crate) struct Glimpse {
    pub(crate) topic: Arc<str>,
    pub(crate) count: u64,
    pub(crate) at: Instant,
    pub(crate) qos: QoS,
    pub(crate) payload_size: usize,
    /// The beginning of the payload if that is UTF-8.
    pub(crate) beginning: Option<String>,
}

/// What there is of the table as a whole.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    /// Since when messages are counted.
    pub(crate) since: Instant,
    pub(crate) topics: usize,
    /// Topics that made room for others, or found none.
    pub(crate) dropped: u64,
}

/// The table, while there is one.
#[derive(Default)]
pub(super) struct LastValues {
    state: Mutex<State>,
    /// Held by who fills it at the beginning, so that others who look wait for that.
    beginning: Mutex<()>,
}

#[derive(Default)]
struct State {
    table: Option<Table>,
    /// Counts what changes, over all tables.
    generation: u64,
}

struct Table {
    topics: BTreeMap<Arc<str>, Valued>,
    /// By the number of the last use.
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
    /// In step with what is held; given back when the table is dropped.
    charge: Charge,
    since: Instant,
    dropped: u64,
}

impl Value {
    fn new(publication: &Publication<'_>, client_id: Option<&str>, at: Instant) -> Self {
        let payload_size = publication.payload.len();
        let mut payload = Vec::with_capacity(payload_size.min(PAYLOAD));
        for piece in publication.payload.pieces() {
            let room = PAYLOAD - payload.len();
            payload.extend_from_slice(piece.get(..room).unwrap_or(piece));
        }
        let properties = publication.properties;
        Self {
            payload: payload.into(),
            payload_size,
            properties: (properties.len() <= PROPERTIES).then(|| properties.into()),
            qos: publication.qos,
            retain: publication.retain,
            client_id: client_id.map(Into::into),
            at,
        }
    }

    fn bytes(&self) -> usize {
        let properties = self.properties.as_ref().map_or(0, |kept| kept.len());
        let client_id = self.client_id.as_ref().map_or(0, |kept| kept.len());
        VALUE + self.payload.len() + properties + client_id
    }

    /// The payload as text, as far as it is kept; `None` if it is not UTF-8.
    pub(crate) fn text(&self) -> Option<&str> {
        text(&self.payload, self.payload.len() < self.payload_size)
    }
}

/// Bytes as text; where more follows them they may end within a character, which is left out.
fn text(bytes: &[u8], is_cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if is_cut && error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to())?;
            std::str::from_utf8(whole).ok()
        }
        Err(_) => None,
    }
}

impl Valued {
    fn bytes(&self) -> usize {
        self.last.bytes() + self.previous.as_ref().map_or(0, |value| value.bytes())
    }

    fn glimpse(&self, topic: &Arc<str>) -> Glimpse {
        let Value { payload, .. } = &*self.last;
        let payload_size = self.last.payload_size;
        let beginning = payload.get(..BEGINNING).unwrap_or(payload);
        Glimpse {
            topic: topic.clone(),
            count: self.count,
            at: self.last.at,
            qos: self.last.qos,
            payload_size,
            beginning: text(beginning, beginning.len() < payload_size).map(str::to_owned),
        }
    }
}

impl LastValues {
    /// Begins to keep values unless that has begun: `fill` is to [offer](Self::offer) what there was before. Whoever
    /// calls this meanwhile waits until it has.
    pub(super) fn begin(&self, gate: &Gate, budget: Budget, now: Instant, fill: impl FnOnce()) {
        let _filling = self.beginning.lock();
        let mut state = self.state.lock();
        if state.table.is_some() {
            return;
        }
        state.generation += 1;
        state.table = Some(Table {
            topics: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            charge: Charge::none(budget, Kind::Http),
            since: now,
            dropped: 0,
        });
        gate.enter();
        drop(state);
        fill();
    }

    /// Drops the table, if there is one.
    pub(super) fn end(&self, gate: &Gate) {
        let mut state = self.state.lock();
        let ended = state.table.take();
        if ended.is_some() {
            gate.leave();
        }
        drop(state);
        drop(ended);
    }

    /// Sees messages to one topic.
    pub(super) fn see(&self, run: &[Publication<'_>], from: Option<&Session>, bounds: &Bounds<'_>) {
        // Others may look, and not at values.
        if self.state.lock().table.is_none() {
            return;
        }
        let client_id = from.map(Session::client_id);
        // None but the last two are kept.
        let new = |publication| Arc::new(Value::new(publication, client_id, bounds.now));
        let (last, previous) = match run {
            [] => return,
            [only] => (only, None),
            [.., previous, last] => (last, Some(new(previous))),
        };
        let (topic, last) = (last.topic, new(last));
        let mut state = self.state.lock();
        let State { table, generation } = &mut *state;
        if let Some(table) = table {
            *generation += 1;
            table.see(topic, last, previous, run.len() as u64);
        }
    }

    /// Takes a message that was retained before, if its topic has no value and there is room for one.
    pub(super) fn offer(&self, publication: &Publication<'_>, at: Instant) {
        let value = Value::new(publication, None, at);
        let mut state = self.state.lock();
        if let Some(table) = &mut state.table {
            table.offer(publication.topic, value);
        }
    }

    /// A number that is another one once something has changed.
    pub(super) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    /// What there is of the table; `None` while there is none.
    pub(super) fn kept(&self) -> Option<Kept> {
        let state = self.state.lock();
        state.table.as_ref().map(|table| Kept {
            since: table.since,
            topics: table.topics.len(),
            dropped: table.dropped,
        })
    }

    pub(super) fn get(&self, topic: &str) -> Option<Valued> {
        let state = self.state.lock();
        state.table.as_ref()?.topics.get(topic).cloned()
    }

    pub(super) fn glimpse(&self, topic: &str) -> Option<Glimpse> {
        let state = self.state.lock();
        let (topic, valued) = state.table.as_ref()?.topics.get_key_value(topic)?;
        Some(valued.glimpse(topic))
    }

    /// Calls `visit` with all topics that begin with `start`, in order, and how many messages each had. The table
    /// is locked for a slice at a time.
    pub(super) fn visit(&self, start: &str, mut visit: impl FnMut(&Arc<str>, u64)) {
        let mut last: Option<Arc<str>> = None;
        loop {
            let state = self.state.lock();
            let Some(table) = &state.table else { return };
            let from = match &last {
                Some(last) => Bound::Excluded((**last).borrow()),
                None => Bound::Included(start),
            };
            let rest = table.topics.range::<str, _>((from, Bound::Unbounded));
            let rest = rest.take_while(|(topic, _)| topic.starts_with(start));
            let mut seen = 0;
            for (topic, valued) in rest.take(SLICE) {
                visit(topic, valued.count);
                last = Some(topic.clone());
                seen += 1;
            }
            if seen < SLICE {
                return;
            }
        }
    }
}

impl Table {
    fn see(&mut self, topic: &str, last: Arc<Value>, previous: Option<Arc<Value>>, count: u64) {
        let (topic, before) = match self.take(topic) {
            Some((topic, before)) => (topic, Some(before)),
            None => (topic.into(), None),
        };
        let (mut seen, mut before_last) = (count, previous);
        if let Some(before) = before {
            seen += before.count;
            before_last = before_last.or(Some(before.last));
        }
        let valued = Valued {
            last,
            previous: before_last,
            count: seen,
            used: 0,
        };
        self.put(topic, valued, true);
    }

    fn offer(&mut self, topic: &str, value: Value) {
        if self.topics.contains_key(topic) {
            return;
        }
        let valued = Valued {
            last: Arc::new(value),
            previous: None,
            count: 0,
            used: 0,
        };
        self.put(topic.into(), valued, false);
    }

    /// Takes a topic out.
    fn take(&mut self, topic: &str) -> Option<(Arc<str>, Valued)> {
        let (topic, valued) = self.topics.remove_entry(topic)?;
        self.by_use.remove(&valued.used);
        self.charge.shrink(PLACE + topic.len() + valued.bytes());
        Some((topic, valued))
    }

    /// Puts in a topic that is not there. Those that were not used for longest make room for it where they
    /// `may`; where there is none it is dropped.
    fn put(&mut self, topic: Arc<str>, mut valued: Valued, may: bool) {
        let bytes = PLACE + topic.len() + valued.bytes();
        while !self.has_room(bytes) {
            let longest = self.by_use.first_key_value();
            let longest = longest.filter(|_| may).map(|(_, topic)| topic.clone());
            self.dropped += 1;
            let Some(longest) = longest else { return };
            self.take(&longest);
        }
        if self.charge.grow(bytes).is_err() {
            self.dropped += 1;
            return;
        }
        self.uses += 1;
        valued.used = self.uses;
        self.by_use.insert(self.uses, topic.clone());
        self.topics.insert(topic, valued);
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.topics.len() < TOPICS
            && self.charge.bytes() + bytes <= BYTES
            && self.charge.has_room(bytes.max(NOT_SMALL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Owned;

    fn table(budget: Budget) -> Table {
        Table {
            topics: BTreeMap::new(),
            by_use: BTreeMap::new(),
            uses: 0,
            charge: Charge::none(budget, Kind::Http),
            since: Instant::now(),
            dropped: 0,
        }
    }

    fn value(payload: &[u8]) -> Arc<Value> {
        let publication = Publication::new("t", payload, QoS::AtMostOnce);
        Arc::new(Value::new(&publication, Some("a"), Instant::now()))
    }

    #[test]
    fn topic_that_was_not_used_for_longest_makes_room() {
        let budget = Owned::new(1 << 30);
        let mut table = table(*budget);
        for number in 0..TOPICS {
            table.see(&format!("t/{number}"), value(b"x"), None, 1);
        }
        table.see("t/0", value(b"y"), None, 1);
        table.see("new", value(b"z"), None, 1);
        assert_eq!((table.topics.len(), table.dropped), (TOPICS, 1));
        assert!(!table.topics.contains_key("t/1") && table.topics.contains_key("t/0"));
        assert_eq!(table.topics.len(), table.by_use.len());
        // What was there before takes nobody's place.
        table.offer(
            "old",
            Value::new(
                &Publication::new("old", b"", QoS::AtMostOnce),
                None,
                Instant::now(),
            ),
        );
        assert_eq!(
            (table.topics.contains_key("old"), table.dropped),
            (false, 2)
        );
    }

    #[test]
    fn bytes_are_bounded_charged_as_they_are_held_and_given_back() {
        let budget = Owned::new(1 << 30);
        let mut table = table(*budget);
        let large = vec![7; PAYLOAD + 5];
        for round in 0..2 {
            for number in 0..100 {
                table.see(&format!("t/{number}"), value(&large), None, 1);
                let held: usize = (table.topics.iter())
                    .map(|(topic, valued)| PLACE + topic.len() + valued.bytes())
                    .sum();
                assert_eq!(
                    (table.charge.bytes(), budget.used_by(Kind::Http)),
                    (held, held)
                );
                assert!(held <= BYTES);
            }
            assert!(
                (60..64).contains(&table.topics.len()),
                "{round}: {}",
                table.topics.len()
            );
        }
        let (_, kept) = table.topics.first_key_value().expect("one");
        assert_eq!(
            (kept.last.payload.len(), kept.last.payload_size),
            (PAYLOAD, PAYLOAD + 5)
        );
        drop(table);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn table_gives_way_where_memory_is_short_and_leaves_the_last_part_to_what_is_small() {
        let budget = Owned::new(4 << 20);
        let mut table = table(*budget);
        for number in 0..100 {
            table.see(&format!("t/{number}"), value(&[0; 4096]), None, 1);
        }
        assert_eq!(table.dropped, 0);
        let rest = (4 << 20) - (4 << 20) / 16 - budget.used();
        budget.charge(Kind::Queues, rest);
        // Those that were not used for longest go, as many as it takes.
        table.see("t/100", value(b"x"), None, 1);
        let gone = usize::try_from(table.dropped).expect("few");
        assert!((1..10).contains(&gone), "{gone}");
        assert_eq!(table.topics.len(), 101 - gone);
        assert!(!table.topics.contains_key("t/0") && table.topics.contains_key("t/100"));
        // Where that is not enough, all of it goes, and the new one is not kept.
        let more = table.charge.bytes() + NOT_SMALL;
        budget.charge(Kind::Queues, more);
        table.see("t/101", value(b"x"), None, 1);
        assert_eq!(table.topics.len(), 0);
        budget.discharge(Kind::Queues, rest + more);
        table.see("t/101", value(b"x"), None, 1);
        assert_eq!(table.topics.len(), 1);
    }

    #[test]
    fn last_two_values_are_kept_and_all_are_counted() {
        let budget = Owned::new(1 << 30);
        let mut table = table(*budget);
        table.offer(
            "t",
            Value::new(
                &Publication::new("t", b"0", QoS::AtMostOnce),
                None,
                Instant::now(),
            ),
        );
        let seen = |table: &Table| {
            let kept = &table.topics["t"];
            let previous = kept
                .previous
                .as_ref()
                .and_then(|value| value.text().map(str::to_owned));
            (kept.last.text().map(str::to_owned), previous, kept.count)
        };
        assert_eq!(seen(&table), (Some("0".into()), None, 0));
        table.see("t", value(b"1"), None, 1);
        assert_eq!(seen(&table), (Some("1".into()), Some("0".into()), 1));
        table.see("t", value(b"5"), Some(value(b"4")), 4);
        assert_eq!(seen(&table), (Some("5".into()), Some("4".into()), 5));
    }

    #[test]
    fn text_that_is_cut_ends_with_a_whole_character() {
        assert_eq!(text("grüß".as_bytes(), false), Some("grüß"));
        assert_eq!(text(&"grüß".as_bytes()[..5], true), Some("grü"));
        assert_eq!(text(&"grüß".as_bytes()[..5], false), None);
        assert_eq!(text(&[b'a', 0xff, b'b'], true), None);
    }
}
