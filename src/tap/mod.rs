//! What looks at packets on their way, and changes it: rules and the journal.
//!
//! Every packet that a client sends passes here between the bytes and `client::frames`, every packet towards
//! a client where it enters the outbox, once it is composed. So what a rule does is done to the network: the
//! broker's own state is that of a broker whose packet was sent, or did not come.
//!
//! While there is neither rule nor journal, [`Tap::active`] says so once in a turn, and a packet costs the
//! branch that looks at that.

pub(crate) mod journal;
pub(crate) mod line;
pub(crate) mod messages;
pub(crate) mod pcapng;
mod room;
pub(crate) mod rule;
pub(crate) mod rules;
mod shown;
pub(crate) mod tls;
mod wait;
pub(crate) mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::codec::Version;
use crate::message::publication::Publication;
use crate::time::Calendar;

#[cfg(feature = "http")]
use journal::{Consequences, Newest};
use journal::{Entry, Happened, Journal, JournalBounds, JournalQuery, JournalRow};
use line::{Line, Wake};
use messages::{MessageReader, Reading};
#[cfg(feature = "tls")]
pub(crate) use room::Room;
use room::{Kept, Store};
use rule::{Direction, Rule, Seen};
use rules::{HeldPart, HeldThen, RuleError, RuleInfo, Rules, Verdict};
use wait::Wait;
use watch::{Unseen, Waiting};

/// The rules and the journal of one broker.
#[derive(Default)]
pub(crate) struct Tap {
    /// There is something to look at packets for.
    is_active: AtomicBool,
    rules: Mutex<Rules>,
    /// Packets that are held or under way, and what is remembered of exchanges.
    store: Store,
    journal: Journal,
    /// Each packet has a line in the log.
    prints: AtomicBool,
    lines: Mutex<HashMap<u64, Weak<Line>>>,
    last_line: AtomicU64,
}

impl Tap {
    /// Without rules; the journal is written, and each packet logged, if that is said.
    pub(crate) fn new(has_journal: bool, prints: bool) -> Self {
        let tap = Self::default();
        tap.switch_journal(has_journal);
        if prints {
            tap.print_packets();
        }
        tap
    }

    /// Itself, if packets are to be looked at.
    #[inline]
    pub(crate) fn active(&self) -> Option<&Self> {
        self.is_active.load(Ordering::Relaxed).then_some(self)
    }

    /// Looks whether there is anything to look at packets for, and unlocks the rules.
    fn settle(&self, rules: MutexGuard<'_, Rules>) {
        let is_active = !rules.is_empty()
            || rules.has_held()
            || self.journal.is_on()
            || self.prints.load(Ordering::Relaxed);
        self.is_active.store(is_active, Ordering::Relaxed);
        Self::unlock(rules);
    }

    /// Ends a change of the rules: those are woken whose waits it has ended.
    fn unlock(mut rules: MutexGuard<'_, Rules>) {
        let woken = rules.take_woken();
        drop(rules);
        woken.into_iter().for_each(Waker::wake);
    }

    /// A new connection.
    pub(crate) fn open(
        &self,
        listener: &'static str,
        peer: String,
        now: Instant,
        wake: Wake,
    ) -> Arc<Line> {
        let number = self.next_number();
        let line = Arc::new(Line::new(number, listener, peer, now, wake));
        let mut lines = self.lines.lock();
        if lines.len().is_power_of_two() {
            lines.retain(|_, line| line.strong_count() > 0);
        }
        lines.insert(number, Arc::downgrade(&line));
        line
    }

    /// What tells a connection from all others.
    fn next_number(&self) -> u64 {
        self.last_line.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A connection has ended. The packets that are held for it are lost.
    pub(crate) fn end(&self, line: &Line) {
        // A packet is held while its line is locked: behind this there is none more.
        line.end();
        let mut rules = self.rules.lock();
        if rules.has_held() {
            rules.forget_held_of(line.number);
            self.settle(rules);
        }
    }

    fn lines(&self) -> Vec<Arc<Line>> {
        let lines = self.lines.lock();
        lines.values().filter_map(Weak::upgrade).collect()
    }

    /// What is to be done with a packet, if a rule says so.
    fn judge(&self, seen: &Seen<'_>, now: Instant) -> Option<Verdict> {
        let mut rules = self.rules.lock();
        let verdict = rules.judge(seen, now)?;
        Self::unlock(rules);
        Some(verdict)
    }

    fn hold(
        &self,
        line: &Arc<Line>,
        direction: Direction,
        bytes: &[u8],
        whose: (Option<Arc<str>>, Version),
        verdict: &Verdict,
    ) {
        if let Some(kept) = self.store.keep(bytes) {
            let mut rules = self.rules.lock();
            rules.hold(line, direction, kept, whose, verdict);
            Self::unlock(rules);
        }
    }

    /// Sets a rule. Returns its number.
    pub(crate) fn add_rule(&self, rule: Rule, now: Instant) -> Result<u64, RuleError> {
        let size = rule.size();
        let mut rules = self.rules.lock();
        rules.expire(now);
        let added = rules.add(rule, self.store.room(size), now);
        self.settle(rules);
        let (id, replaced) = added?;
        if let Some(replaced) = replaced {
            self.end_rule(replaced);
        }
        Ok(id)
    }

    /// A rule is gone. One whose time is over needs no such word: its lines know of that.
    fn end_rule(&self, id: u64) {
        for line in self.lines() {
            line.hear_again(Some(id));
        }
    }

    /// Removes a rule, by its number or its name. What it holds stays held. Whether there was one.
    pub(crate) fn remove_rule(&self, key: &str, now: Instant) -> bool {
        let mut rules = self.rules.lock();
        rules.expire(now);
        let removed = rules.remove(key);
        self.settle(rules);
        if let Some(id) = removed {
            self.end_rule(id);
        }
        removed.is_some()
    }

    /// Removes all rules. What they hold stays held. Returns how many there were.
    pub(crate) fn clear_rules(&self) -> usize {
        let mut rules = self.rules.lock();
        let removed = rules.clear();
        self.settle(rules);
        for line in self.lines() {
            line.hear_again(None);
        }
        removed
    }

    /// The rules, in their order.
    pub(crate) fn rules(&self, now: Instant) -> Vec<RuleInfo> {
        self.standing_rules(now).infos()
    }

    /// How many rules may still act, and how many packets are held.
    #[cfg(feature = "http")]
    pub(crate) fn counts(&self, now: Instant) -> (usize, usize) {
        let rules = self.standing_rules(now);
        (rules.armed_len(), rules.held_len())
    }

    /// A rule, by its number or its name.
    pub(crate) fn rule(&self, key: &str, now: Instant) -> Option<RuleInfo> {
        self.standing_rules(now).info(key)
    }

    /// The rules without those whose time is over.
    fn standing_rules(&self, now: Instant) -> MutexGuard<'_, Rules> {
        let mut rules = self.rules.lock();
        rules.expire(now);
        self.settle(rules);
        // Those who wait for one that is over are woken in between.
        self.rules.lock()
    }

    /// Ends rules whose time is over. Returns when the next one ends, which has to be told by this again.
    pub(crate) fn expire_rules(&self, now: Instant) -> Option<Instant> {
        self.standing_rules(now).ends().min()
    }

    /// When each rule that has an end is over.
    pub(crate) fn rule_ends(&self, now: Instant) -> Vec<Instant> {
        self.standing_rules(now).ends().collect()
    }

    /// Begins to wait until a rule has acted so often, and says how it stood then; `None` once it is gone without that.
    /// By its name, one that takes its place is as good.
    pub(crate) fn wait_for_hits(
        &self,
        key: &str,
        hits: u64,
        now: Instant,
    ) -> Wait<Option<RuleInfo>> {
        self.standing_rules(now).wait_for_hits(key, hits)
    }

    /// The packets that are held, oldest first.
    pub(crate) fn held(&self, part: HeldPart) -> HeldThen {
        self.rules.lock().held(part)
    }

    /// When each packet goes on that a rule delays, and at whose connection, as far as that is known.
    pub(crate) fn delayed(&self) -> Vec<(Instant, Option<Arc<str>>)> {
        let lines = self.lines();
        let all = lines.iter().flat_map(|line| {
            let (client, times) = line.delayed();
            times.into_iter().map(move |at| (at, client.clone()))
        });
        all.collect()
    }

    /// Begins to wait until so many packets are held at a time, and shows a part of those that were then.
    pub(crate) fn wait_for_held(&self, count: usize, part: HeldPart) -> Wait<HeldThen> {
        self.rules.lock().wait_for_held(count, part)
    }

    /// Lets the oldest `count` packets go on that are held, of those that are meant by the name of the rule and
    /// the client. Returns how many went.
    pub(crate) fn release(
        &self,
        count: usize,
        is_meant: impl Fn(&str, Option<&str>) -> bool,
    ) -> usize {
        let taken = self.take_held(count, is_meant);
        // A connection may have ended meanwhile.
        let taken = taken
            .into_iter()
            .filter_map(|(line, direction, kept)| Some((line.upgrade()?, direction, kept)));
        taken.fold(0, |released, (line, direction, kept)| {
            line.release(direction, kept);
            released + 1
        })
    }

    /// Forgets the oldest `count` packets that are held, of those that are meant.
    pub(crate) fn discard(
        &self,
        count: usize,
        is_meant: impl Fn(&str, Option<&str>) -> bool,
    ) -> usize {
        self.take_held(count, is_meant).len()
    }

    fn take_held(
        &self,
        count: usize,
        is_meant: impl Fn(&str, Option<&str>) -> bool,
    ) -> Vec<(Weak<Line>, Direction, Kept)> {
        let mut rules = self.rules.lock();
        let taken = rules.take_held(count, is_meant);
        self.settle(rules);
        taken
    }

    /// Rules, what they hold and the rows of the journal are gone.
    pub(crate) fn reset(&self) {
        self.clear_rules();
        self.discard(usize::MAX, |_, _| true);
        for line in self.lines() {
            line.forget();
        }
        self.journal.clear();
    }

    /// Whether the journal is written.
    pub(crate) fn has_journal(&self) -> bool {
        self.journal.is_on()
    }

    /// Has the journal written from now on, or no more. What is in it stays. Whether it was otherwise before.
    pub(crate) fn switch_journal(&self, is_on: bool) -> bool {
        let rules = self.rules.lock();
        let is_changed = self.journal.switch(is_on);
        self.settle(rules);
        is_changed
    }

    /// Has each packet logged.
    fn print_packets(&self) {
        let rules = self.rules.lock();
        self.prints.store(true, Ordering::Relaxed);
        self.settle(rules);
    }

    pub(crate) fn bound_journal(&self, bounds: JournalBounds) {
        self.journal.set_bounds(bounds);
    }

    pub(crate) fn journal_bounds(&self) -> JournalBounds {
        self.journal.bounds()
    }

    /// Forgets the rows; how many there were.
    pub(crate) fn clear_journal(&self) -> usize {
        self.journal.clear()
    }

    /// The number of the row that was written last.
    pub(crate) fn last_row(&self) -> u64 {
        self.journal.last()
    }

    pub(crate) fn rows(
        &self,
        query: &JournalQuery,
        since: u64,
        limit: usize,
        calendar: &Calendar,
    ) -> Vec<JournalRow> {
        self.journal.rows(query, since, limit, calendar)
    }

    /// Writes to their rows that messages are published. Whether a reader wants no more.
    pub(crate) fn note_messages(&self, run: &[Publication<'_>]) -> bool {
        self.journal.note_messages(run)
    }

    /// Has `reader` read the messages that were published behind the one of number `after` and whose rows are behind
    /// `since`, and those that come, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// There may be others that are not kept, or the journal was off for a part of the time.
    pub(crate) fn read_messages(
        &self,
        since: u64,
        after: u64,
        reader: Arc<dyn MessageReader>,
    ) -> Result<Reading<'_>, Unseen> {
        self.journal.read_messages(since, after, reader)
    }

    /// Begins to wait for `count` such rows behind `since`, or from now on.
    pub(crate) fn watch_rows(
        &self,
        query: &JournalQuery,
        since: Option<u64>,
        count: usize,
        calendar: &Calendar,
    ) -> Waiting<'_> {
        self.journal.watch(query, since, (count, false), calendar)
    }

    /// Begins to wait for one where there is to be none. The wait ends too when not every row can be seen.
    pub(crate) fn watch_absence(
        &self,
        query: &JournalQuery,
        since: Option<u64>,
        calendar: &Calendar,
    ) -> Waiting<'_> {
        self.journal.watch(query, since, (1, true), calendar)
    }

    /// Writes what happened to a connection.
    pub(crate) fn note_event(
        &self,
        line: &Line,
        client: &str,
        version: Version,
        what: impl FnOnce() -> Happened,
        now: Instant,
    ) {
        self.journal.note(now, || {
            let client = (!client.is_empty()).then(|| client.into());
            Entry::event(line, client, version, what())
        });
    }

    /// Writes what happened to a connection before there could be packets.
    pub(crate) fn note_early_end(
        &self,
        listener: &'static str,
        peer: &dyn std::fmt::Display,
        what: impl FnOnce() -> Happened,
        now: Instant,
    ) {
        self.journal.note(now, || {
            let connection = self.next_number();
            Entry::without_packets(connection, listener, peer.to_string(), now, what())
        });
    }

    /// Writes that a message came from no connection, if there is a journal. Returns the number of the row, else 0.
    pub(crate) fn note_published(
        &self,
        listener: &'static str,
        peer: &dyn std::fmt::Display,
        client: Option<&str>,
        topic: &str,
        text: impl FnOnce() -> String,
        now: Instant,
    ) -> u64 {
        self.journal.note(now, || {
            let what = Happened {
                name: "published",
                text: text(),
                ..Happened::default()
            };
            let mut entry = Entry::without_packets(0, listener, peer.to_string(), now, what);
            entry.set_publisher(client, topic);
            entry
        })
    }

    /// The last `limit` rows behind `since` that are as the query says.
    #[cfg(feature = "http")]
    pub(crate) fn newest(
        &self,
        query: &JournalQuery,
        since: u64,
        limit: usize,
        calendar: &Calendar,
    ) -> Newest {
        self.journal.newest(query, since, limit, calendar)
    }

    /// The row of this number and what came of it, up to `limit` rows of each kind; `None` where it is not kept.
    #[cfg(feature = "http")]
    pub(crate) fn row(
        &self,
        number: u64,
        limit: usize,
        calendar: &Calendar,
    ) -> Option<(JournalRow, Consequences)> {
        let row = self.journal.row(number, calendar)?;
        Some((row, self.journal.consequences(number, limit, calendar)))
    }

    /// The row of this number alone.
    #[cfg(feature = "http")]
    pub(crate) fn row_alone(&self, number: u64, calendar: &Calendar) -> Option<JournalRow> {
        self.journal.row(number, calendar)
    }

    /// Room for what is looked at of a handshake; `None` where the journal is off, or too much is kept already.
    #[cfg(feature = "tls")]
    pub(crate) fn room_for_handshake(&self, bytes: usize) -> Option<Room> {
        self.has_journal().then(|| self.store.room(bytes)).flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::codec::PacketType;

    use super::rule::{Action, Match};
    use super::*;

    const LIFE: Duration = Duration::from_secs(60);

    fn rule() -> Rule {
        let pings = Match::of(PacketType::Pingreq);
        let rule = Rule::new(pings, Action::Hold).named("r");
        rule.expires_after(LIFE)
    }

    /// One thread has a rule hold packets and takes all of it away at once, in each way there is, while those who
    /// wait fall asleep, or look for the first time, or have given up: nobody misses it, and nobody sleeps for good.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_hit_is_missed_however_it_falls() {
        const ROUNDS: usize = 2_000;
        let tap = Tap::default();
        let mut now = Instant::now();
        let line = tap.open("test", "peer".to_owned(), now, Box::new(|| ()));
        for round in 0..ROUNDS {
            let id = tap.add_rule(rule(), now).expect("a rule").to_string();
            let is_enough = |hits| (hits, tap.wait_for_hits(&id, hits, now));
            let for_hits = [1, 2, 3].map(is_enough);
            let by_name = tap.wait_for_hits("r", 2, now);
            let for_held = [1, 2].map(|count| (count, tap.wait_for_held(count, HeldPart::ALL)));
            drop(tap.wait_for_hits(&id, 1, now));
            drop(tap.wait_for_held(1, HeldPart::ALL));
            let waiting = tokio::spawn(async move {
                for (hits, wait) in for_hits {
                    let rule = wait.await;
                    let expected = (hits < 3).then_some(hits);
                    assert_eq!(rule.map(|rule| rule.hits), expected, "of {hits}");
                }
                assert_eq!(by_name.await.map(|rule| rule.hits), Some(2));
                for (count, wait) in for_held {
                    let held = wait.await;
                    assert_eq!((held.total, held.infos().count()), (count, count));
                }
            });
            for _ in 0..2 {
                let seen = Seen {
                    packet_type: PacketType::Pingreq,
                    direction: Direction::In,
                    client: None,
                    topic: None,
                    first: 0xc0,
                    packet_id: None,
                    reason: None,
                    listener: "test",
                    packet: None,
                };
                let verdict = tap.judge(&seen, now).expect("the rule acts");
                let whose = (None, Version::V5);
                tap.hold(&line, Direction::In, &[0xc0, 0], whose, &verdict);
            }
            match round % 6 {
                0 => assert!(tap.remove_rule("r", now)),
                1 => assert!(tap.remove_rule(&id, now)),
                2 => assert_eq!(tap.clear_rules(), 1),
                3 => drop(tap.add_rule(rule(), now)),
                4 => {
                    now += LIFE;
                    assert_eq!(tap.expire_rules(now), None);
                }
                _ => tap.reset(),
            }
            match round % 3 {
                0 => assert!(tap.discard(2, |_, _| true) <= 2),
                1 => assert!(tap.release(2, |_, _| true) <= 2),
                _ => tap.rules.lock().forget_held_of(line.number),
            }
            waiting.await.expect("no panic");
        }
    }
}
