//! What clients and callers were refused lately, for whoever asks over HTTP. Refusals are rare, so they are
//! always kept: the last ones, each in a space that does not grow with what it is about.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::auth::Principal;
use crate::excerpt::within;
use crate::policy::Context;

/// Refusals that are kept.
const MOST: usize = 256;

/// Bytes of a text that are kept: a resource of the service is never longer.
const TEXT: usize = 512;

/// What is refused.
#[derive(Clone, Copy, Default)]
pub(crate) struct Deed<'a> {
    /// `connect`, `publish`, `subscribe`, `receive`, or an action of the data plane, as `iot:GetThingShadow`.
    pub(crate) action: &'a str,
    /// A topic, a filter, a client identifier; for calls what follows the account in an ARN.
    pub(crate) resource: &'a str,
    pub(crate) retain: bool,
    pub(crate) persistent: bool,
    pub(crate) will_topic: Option<&'a str>,
    /// Whether policies refuse it, and so explain it.
    pub(crate) is_by_policy: bool,
}

impl Deed<'_> {
    /// One that policies refuse.
    pub(crate) fn of_policy() -> Self {
        Self {
            is_by_policy: true,
            ..Self::default()
        }
    }
}

/// A refusal, with those after it that were the same.
#[derive(Clone)]
pub(crate) struct Refusal {
    /// Counted from 1 since the broker began.
    pub(crate) number: u64,
    /// When it happened first and last, in milliseconds since 1970.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// How often.
    pub(crate) count: u64,
    pub(crate) principal: Principal,
    /// Its client identifier, and where it came from.
    pub(crate) source: Context,
    pub(crate) action: Box<str>,
    pub(crate) resource: Box<str>,
    pub(crate) retain: bool,
    pub(crate) persistent: bool,
    pub(crate) will_topic: Option<Box<str>>,
    pub(crate) why: Box<str>,
    pub(crate) is_by_policy: bool,
    /// Whether everything but `why` is there in full.
    pub(crate) is_whole: bool,
}

/// The last ones, the oldest first.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    all: VecDeque<Refusal>,
    /// Those that there ever were.
    count: u64,
}

impl Refusals {
    /// Keeps one that happened at `now`, in milliseconds since 1970.
    pub(crate) fn keep(
        &self,
        principal: &Principal,
        source: &Context,
        deed: Deed<'_>,
        why: &str,
        now: u64,
    ) {
        let new = Refusal::new(principal, source, deed, why, now);
        let mut kept = self.0.lock();
        let before = kept.all.iter().rposition(|one| one.is_same(&new));
        if let Some(mut again) = before.and_then(|place| kept.all.remove(place)) {
            again.last = now;
            again.count += 1;
            again.why = new.why;
            again.is_by_policy = new.is_by_policy;
            kept.all.push_back(again);
            return;
        }
        if kept.all.len() >= MOST {
            kept.all.pop_front();
        }
        kept.count += 1;
        let number = kept.count;
        kept.all.push_back(Refusal { number, ..new });
    }

    /// Those of a client, or all, whose client identifier or resource contains `q`: the last one first, so many at
    /// most; and how many there are.
    pub(crate) fn list(
        &self,
        client_id: Option<&str>,
        q: Option<&str>,
        limit: usize,
    ) -> (Vec<Refusal>, usize) {
        let kept = self.0.lock();
        let is_wanted = |one: &&Refusal| {
            let id = one.source.client_id.as_deref().unwrap_or_default();
            client_id.is_none_or(|id| one.is_of(id))
                && q.is_none_or(|q| id.contains(q) || one.resource.contains(q))
        };
        let found = kept.all.iter().rev().filter(is_wanted);
        (found.clone().take(limit).cloned().collect(), found.count())
    }

    /// Who a client showed itself to be that was refused, and where it came from, the last time.
    pub(crate) fn last_of(&self, client_id: &str) -> Option<(Principal, Context)> {
        let kept = self.0.lock();
        let last = kept.all.iter().rev().find(|one| one.is_of(client_id))?;
        Some((last.principal.clone(), last.source.clone()))
    }

    pub(crate) fn clear(&self) {
        self.0.lock().all.clear();
    }
}

impl Refusal {
    fn new(principal: &Principal, source: &Context, deed: Deed<'_>, why: &str, now: u64) -> Self {
        let client_id = source.client_id.as_deref();
        let domain_name = source.domain_name.as_deref();
        let all = [
            Some(deed.action),
            Some(deed.resource),
            deed.will_topic,
            client_id,
            domain_name,
            principal.name(),
        ];
        let is_long = |text: Option<&str>| text.is_some_and(|text| text.len() > TEXT);
        Self {
            number: 0,
            first: now,
            last: now,
            count: 1,
            // The name of one is a whole or nothing.
            principal: match is_long(principal.name()) {
                true => Principal::Anonymous,
                false => principal.clone(),
            },
            source: Context {
                client_id: client_id.map(|id| cut(id).into()),
                source_ip: source.source_ip,
                domain_name: domain_name.map(|name| cut(name).into()),
                ..Context::default()
            },
            action: cut(deed.action),
            resource: cut(deed.resource),
            retain: deed.retain,
            persistent: deed.persistent,
            will_topic: deed.will_topic.map(cut),
            why: cut(why),
            is_by_policy: deed.is_by_policy,
            is_whole: !all.into_iter().any(is_long),
        }
    }

    fn is_of(&self, client_id: &str) -> bool {
        self.source.client_id.as_deref() == Some(client_id)
    }

    /// Whether the same was refused to the same one.
    fn is_same(&self, other: &Self) -> bool {
        self.resource == other.resource
            && self.source.client_id == other.source.client_id
            && self.action == other.action
            && self.principal == other.principal
            && self.source.source_ip == other.source.source_ip
            && self.source.domain_name == other.source.domain_name
            && self.will_topic == other.will_topic
            && (self.retain, self.persistent) == (other.retain, other.persistent)
    }
}

/// As much of a text as is kept.
fn cut(text: &str) -> Box<str> {
    within(text, TEXT).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(refusals: &Refusals, client_id: &str, resource: &str, now: u64) {
        let source = Context {
            client_id: Some(client_id.to_owned()),
            ..Context::default()
        };
        let deed = Deed {
            action: "publish",
            resource,
            ..Deed::default()
        };
        refusals.keep(&Principal::Anonymous, &source, deed, "because", now);
    }

    #[test]
    fn last_ones_are_kept_and_the_same_again_is_counted() {
        let refusals = Refusals::default();
        for number in 0..2 * MOST as u64 {
            keep(&refusals, "a", &format!("t/{number}"), number);
            keep(&refusals, "b", "same", number);
        }
        let (all, total) = refusals.list(None, None, 2);
        assert_eq!((all.len(), total), (2, MOST));
        let first = &all[0];
        assert_eq!(
            (&*first.resource, first.count, first.first, first.last),
            ("same", 512, 0, 511)
        );
        assert_eq!((&*all[1].resource, all[1].count), ("t/511", 1));
        assert_eq!(refusals.list(Some("b"), None, 10).1, 1);
        assert_eq!(refusals.list(Some("c"), None, 10).1, 0);
        assert!(refusals.last_of("b").is_some() && refusals.last_of("c").is_none());
        refusals.clear();
        assert_eq!(refusals.list(None, None, 10).1, 0);
    }

    #[test]
    fn one_takes_no_more_space_the_more_it_is_about() {
        let refusals = Refusals::default();
        let long = "é".repeat(60_000);
        keep(&refusals, &long, &long, 0);
        keep(&refusals, "a", "t", 0);
        let (all, _) = refusals.list(None, None, 10);
        assert!(all[0].is_whole && !all[1].is_whole);
        assert!(all[1].resource.len() <= TEXT && all[1].resource.ends_with('…'));
        assert!(
            all[1]
                .source
                .client_id
                .as_ref()
                .is_some_and(|id| id.len() <= TEXT)
        );
    }
}
