//! The rules that are set, in their order, and what they hold.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Instant;

use crate::chance::SplitMix;
use crate::codec::Version;

use super::line::Line;
use super::room::{Kept, Room};
use super::rule::{Action, Direction, LONGEST_DELAY, Match, Rule, Seen};
use super::wait::{Wait, Waits};

/// Rules that there may be at a time.
pub(crate) const MOST_RULES: usize = 1000;

/// What a rule says of a packet.
pub(super) struct Verdict {
    pub(super) rule: u64,
    pub(super) name: Arc<str>,
    pub(super) action: Arc<Action>,
    /// When the rule's time is over.
    pub(super) until: Option<Instant>,
}

/// A rule that is set.
struct Armed {
    id: u64,
    name: Arc<str>,
    matches: Match,
    action: Arc<Action>,
    times: Option<u64>,
    until: Option<Instant>,
    random: SplitMix,
    /// Packets for which all but their number is so.
    seen: u64,
    hits: u64,
    #[expect(dead_code, reason = "it counts for as long as it is there")]
    room: Room,
}

/// How a rule that is set stands.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RuleInfo {
    /// Its number, from 1 on, by which it can be removed.
    pub id: u64,
    /// What it is called.
    pub name: String,
    /// Which packets it is for.
    pub matches: Match,
    /// What it does with them.
    pub action: Action,
    /// How often it acts at most.
    pub times: Option<u64>,
    /// How often it has acted.
    pub hits: u64,
    /// How many packets were as it says, whatever their number.
    pub seen: u64,
    /// It has acted as often as it may.
    pub is_spent: bool,
    /// When its time is over, by the broker's clock.
    pub(crate) until: Option<Instant>,
}

/// Why a rule cannot be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {text}")]
pub struct RuleError {
    /// The field that is wrong.
    pub field: &'static str,
    /// What is wrong with it.
    pub text: String,
}

impl RuleError {
    pub(crate) fn new(field: &'static str, text: impl Into<String>) -> Self {
        Self {
            field,
            text: text.into(),
        }
    }
}

/// A packet that a rule holds.
#[derive(Clone)]
struct Held {
    id: u64,
    rule: Arc<str>,
    line: Weak<Line>,
    number: u64,
    client: Option<Arc<str>>,
    version: Version,
    direction: Direction,
    kept: Kept,
}

/// A packet that a rule holds, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HeldInfo {
    /// Its number, from 1 on.
    pub id: u64,
    /// The rule that holds it.
    pub rule: String,
    /// The Client Identifier, as far as it is known.
    pub client: Option<String>,
    /// The number of its connection.
    pub connection: u64,
    /// The version in which the packet is.
    pub version: Version,
    /// Which way it goes.
    pub direction: Direction,
    /// The whole packet.
    pub bytes: Vec<u8>,
}

/// Which of the packets that are held are shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldPart {
    /// Those behind this number.
    pub(crate) after: u64,
    /// So many at most.
    pub(crate) limit: usize,
}

/// Packets that are held at one moment, whatever becomes of them.
pub(crate) struct HeldThen {
    /// A part of them, oldest first.
    part: Vec<Held>,
    /// How many there are in all.
    pub(crate) total: usize,
}

/// Rules in their order, the packets that they hold, and who waits for them.
#[derive(Default)]
pub(super) struct Rules {
    rules: Vec<Armed>,
    last_id: u64,
    held: VecDeque<Held>,
    last_held: u64,
    /// They are told how the rule stands then, or that it is gone.
    hit_waits: Waits<HitsWanted, Option<RuleInfo>>,
    held_waits: Waits<HeldWanted, HeldThen>,
    /// Of waits that have ended.
    woken: Vec<Waker>,
}

/// A rule is to act so often.
struct HitsWanted {
    rule: u64,
    /// A rule of the same name is as good.
    is_by_name: bool,
    hits: u64,
}

/// So many packets are to be held.
struct HeldWanted {
    count: usize,
    part: HeldPart,
}

impl Rules {
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// How many rules may still act.
    #[cfg(feature = "http")]
    pub(super) fn armed_len(&self) -> usize {
        self.rules.iter().filter(|rule| !rule.is_spent()).count()
    }

    pub(super) fn held_len(&self) -> usize {
        self.held.len()
    }

    /// Sets a rule behind the others, or in the place of the one of its name. Returns its number, and that of the one
    /// whose place it takes.
    pub(super) fn add(
        &mut self,
        rule: Rule,
        room: Option<Room>,
        now: Instant,
    ) -> Result<(u64, Option<u64>), RuleError> {
        check(&rule)?;
        let Some(room) = room else {
            let text = "there is no room: rules and what they hold have 64 MiB in all";
            return Err(RuleError::new("name", text));
        };
        self.last_id += 1;
        let id = self.last_id;
        let name: Arc<str> = rule
            .name
            .map_or_else(|| format!("rule-{id}").into(), Into::into);
        let armed = Armed {
            id,
            name: name.clone(),
            matches: rule.matches,
            action: Arc::new(rule.action),
            times: rule.times,
            // A time that no clock reaches never comes.
            until: rule.expires_after.and_then(|time| now.checked_add(time)),
            random: SplitMix::new(rule.seed),
            seen: 0,
            hits: 0,
            room,
        };
        if let Some(own) = self.rules.iter_mut().find(|own| own.name == name) {
            let replaced = std::mem::replace(own, armed).id;
            self.hit_waits.tell(&mut self.woken, |wanted| {
                if wanted.rule == replaced && wanted.is_by_name {
                    wanted.rule = id;
                }
                (wanted.rule == replaced).then_some(None)
            });
            return Ok((id, Some(replaced)));
        } else if self.rules.len() < MOST_RULES {
            self.rules.push(armed);
        } else {
            let text = format!("there are {MOST_RULES} rules already");
            return Err(RuleError::new("name", text));
        }
        Ok((id, None))
    }

    /// Removes a rule, by its number or its name.
    pub(super) fn remove(&mut self, key: &str) -> Option<u64> {
        let place = self.place(key)?;
        let id = self.rules.remove(place).id;
        self.tell_of_ends();
        Some(id)
    }

    fn place(&self, key: &str) -> Option<usize> {
        let id = key.parse::<u64>().ok();
        let is_it = |rule: &Armed| &*rule.name == key || Some(rule.id) == id;
        self.rules.iter().position(is_it)
    }

    /// Removes all rules. Returns how many there were.
    pub(super) fn clear(&mut self) -> usize {
        let removed = std::mem::take(&mut self.rules).len();
        self.tell_of_ends();
        removed
    }

    /// Removes rules whose time is over.
    pub(super) fn expire(&mut self, now: Instant) {
        self.rules
            .retain(|rule| rule.until.is_none_or(|until| until > now));
        self.tell_of_ends();
    }

    /// Tells those who wait for a rule that is gone.
    fn tell_of_ends(&mut self) {
        let rules = &self.rules;
        let is_gone = |id| rules.iter().all(|rule| rule.id != id);
        self.hit_waits.tell(&mut self.woken, |wanted| {
            is_gone(wanted.rule).then_some(None)
        });
    }

    /// Those whose waits have ended. They are to be woken once the rules are unlocked.
    pub(super) fn take_woken(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.woken)
    }

    /// Begins to wait until a rule has acted so often, or is gone.
    pub(super) fn wait_for_hits(&mut self, key: &str, hits: u64) -> Wait<Option<RuleInfo>> {
        let rule = self.place(key).and_then(|place| self.rules.get(place));
        match rule {
            Some(rule) if rule.hits < hits => self.hit_waits.enter(HitsWanted {
                rule: rule.id,
                is_by_name: &*rule.name == key,
                hits,
            }),
            found => Wait::over(found.map(Armed::info)),
        }
    }

    /// Begins to wait until so many packets are held at a time.
    pub(super) fn wait_for_held(&mut self, count: usize, part: HeldPart) -> Wait<HeldThen> {
        match self.held_len() < count {
            true => self.held_waits.enter(HeldWanted { count, part }),
            false => Wait::over(self.held(part)),
        }
    }

    /// When each of those that have an end is over.
    pub(super) fn ends(&self) -> impl Iterator<Item = Instant> {
        self.rules.iter().filter_map(|rule| rule.until)
    }

    pub(super) fn infos(&self) -> Vec<RuleInfo> {
        self.rules.iter().map(Armed::info).collect()
    }

    pub(super) fn info(&self, key: &str) -> Option<RuleInfo> {
        self.rules.get(self.place(key)?).map(Armed::info)
    }

    /// The first rule that acts on a packet. Those before it that only count have counted it.
    pub(super) fn judge(&mut self, seen: &Seen<'_>, now: Instant) -> Option<Verdict> {
        let mut rules = self.rules.iter_mut();
        let (rule, verdict) = rules.find_map(|rule| {
            let verdict = rule.judge(seen, now)?;
            Some((rule, verdict))
        })?;
        self.hit_waits.tell(&mut self.woken, |wanted| {
            let is_so = wanted.rule == rule.id && wanted.hits <= rule.hits;
            is_so.then(|| Some(rule.info()))
        });
        Some(verdict)
    }

    pub(super) fn hold(
        &mut self,
        line: &Arc<Line>,
        direction: Direction,
        kept: Kept,
        (client, version): (Option<Arc<str>>, Version),
        verdict: &Verdict,
    ) {
        self.last_held += 1;
        self.held.push_back(Held {
            id: self.last_held,
            rule: verdict.name.clone(),
            line: Arc::downgrade(line),
            number: line.number,
            client,
            version,
            direction,
            kept,
        });
        let held = &self.held;
        self.held_waits.tell(&mut self.woken, |wanted| {
            let is_so = held.len() >= wanted.count;
            is_so.then(|| HeldThen::of(held, wanted.part))
        });
    }

    /// Takes up to `count` of the packets that are held, oldest first.
    pub(super) fn take_held(
        &mut self,
        count: usize,
        is_meant: impl Fn(&str, Option<&str>) -> bool,
    ) -> Vec<(Weak<Line>, Direction, Kept)> {
        let mut taken = Vec::new();
        let mut kept = VecDeque::new();
        for held in self.held.drain(..) {
            let is_his = taken.len() < count && is_meant(&held.rule, held.client.as_deref());
            match is_his {
                true => taken.push((held.line, held.direction, held.kept)),
                false => kept.push_back(held),
            }
        }
        self.held = kept;
        taken
    }

    /// Forgets the packets of a connection that has ended: there is nobody to get them.
    pub(super) fn forget_held_of(&mut self, connection: u64) {
        self.held.retain(|held| held.number != connection);
    }

    pub(super) fn held(&self, part: HeldPart) -> HeldThen {
        HeldThen::of(&self.held, part)
    }
}

impl HeldPart {
    pub(crate) const ALL: Self = Self {
        after: 0,
        limit: usize::MAX,
    };

    /// Only how many there are.
    pub(crate) const NONE: Self = Self { after: 0, limit: 0 };
}

impl HeldThen {
    fn of(held: &VecDeque<Held>, part: HeldPart) -> Self {
        // Their numbers grow.
        let first = held.partition_point(|held| held.id <= part.after);
        Self {
            part: held.range(first..).take(part.limit).cloned().collect(),
            total: held.len(),
        }
    }

    pub(crate) fn infos(&self) -> impl Iterator<Item = HeldInfo> {
        self.part.iter().map(|held| HeldInfo {
            id: held.id,
            rule: held.rule.to_string(),
            client: held.client.as_deref().map(str::to_owned),
            connection: held.number,
            version: held.version,
            direction: held.direction,
            bytes: held.kept.bytes.to_vec(),
        })
    }
}

impl Armed {
    fn judge(&mut self, seen: &Seen<'_>, now: Instant) -> Option<Verdict> {
        if self.is_spent() || self.until.is_some_and(|until| until <= now) {
            return None;
        }
        if !self.matches.is_met(seen) {
            return None;
        }
        self.seen += 1;
        let own = &self.matches;
        let is_turn = own.nth.is_none_or(|nth| nth == self.seen)
            && own
                .every
                .is_none_or(|every| self.seen.is_multiple_of(every));
        if !is_turn
            || !own
                .probability
                .is_none_or(|chance| self.random.is_so(chance))
        {
            return None;
        }
        self.hits += 1;
        Some(Verdict {
            rule: self.id,
            name: self.name.clone(),
            action: self.action.clone(),
            until: self.until,
        })
    }

    fn is_spent(&self) -> bool {
        self.times.is_some_and(|times| self.hits >= times)
    }

    fn info(&self) -> RuleInfo {
        RuleInfo {
            id: self.id,
            name: self.name.to_string(),
            matches: self.matches.clone(),
            action: (*self.action).clone(),
            times: self.times,
            hits: self.hits,
            seen: self.seen,
            is_spent: self.is_spent(),
            until: self.until,
        }
    }
}

/// Whether a rule can do what it says.
fn check(rule: &Rule) -> Result<(), RuleError> {
    let own = &rule.matches;
    if own.nth == Some(0) {
        return Err(RuleError::new("match.nth", "counts from 1 on"));
    }
    if own.every == Some(0) {
        return Err(RuleError::new("match.every", "is at least 1"));
    }
    if own
        .probability
        .is_some_and(|chance| !(0.0..=1.0).contains(&chance))
    {
        return Err(RuleError::new("match.probability", "is between 0 and 1"));
    }
    if own.qos.is_some_and(|qos| qos > 2) {
        return Err(RuleError::new("match.qos", "is 0, 1 or 2"));
    }
    match own.topic.as_deref().map(crate::topic::Filter::parse) {
        Some(Err(error)) => return Err(RuleError::new("match.topic", error.to_string())),
        // Topics are no members of a group; a SUBSCRIBE may name one.
        Some(Ok(filter)) if filter.share.is_some() && own.is_of_topics() => {
            let text = "is shared: only SUBSCRIBE and UNSUBSCRIBE have such filters";
            return Err(RuleError::new("match.topic", text));
        }
        Some(Ok(_)) | None => {}
    }
    match &rule.action {
        Action::Answer(_) if own.direction != Some(Direction::In) => Err(RuleError::new(
            "match.direction",
            "only packets from clients are answered: it has to be in",
        )),
        Action::Delay(time) if *time > LONGEST_DELAY => Err(RuleError::new(
            "delay_seconds",
            format!("is more than a day, {}", LONGEST_DELAY.as_secs()),
        )),
        Action::Corrupt { bits: 0, .. } => {
            Err(RuleError::new("bits", "at least one bit is turned"))
        }
        _ => Ok(()),
    }
}
