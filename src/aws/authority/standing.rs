//! What a client may do as the registry stands, with the verdicts that were worked out.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

use crate::budget::Charge;

use super::grants::{Grants, Question};

/// Verdicts that a connection keeps; beyond them it begins anew.
const KEPT: usize = 512;

/// What a verdict takes besides its topic, and a group besides its name.
const VERDICT: usize = 64;
const GROUP: usize = 128;

/// What it may do as the registry stands, and what was worked out of that.
pub(super) struct Standing {
    pub(super) version: u64,
    pub(super) grants: Grants,
    publish: Verdicts,
    /// Both Publish and RetainPublish.
    retain: Verdicts,
    receive: Verdicts,
    /// Receive through groups, by ShareName.
    shared: Vec<(Box<str>, Verdicts)>,
    /// Verdicts of all kinds.
    kept: usize,
    /// Accounts for them.
    charge: Charge,
}

/// By topic.
#[derive(Default)]
struct Verdicts {
    all: Vec<(Box<str>, bool)>,
    /// The places in it.
    places: HashTable<usize>,
    /// The place that was looked at last: mostly the next message has the same topic.
    last: usize,
    hashing: RandomState,
}

impl Standing {
    pub(super) fn new(version: u64, grants: Grants, mut charge: Charge) -> Self {
        charge.set(grants.size());
        Self {
            version,
            grants,
            publish: Verdicts::default(),
            retain: Verdicts::default(),
            receive: Verdicts::default(),
            shared: Vec::new(),
            kept: 0,
            charge,
        }
    }

    /// The verdict that was kept.
    #[inline]
    pub(super) fn find(&mut self, question: Question<'_>, topic: &str) -> Option<bool> {
        self.verdicts(question)?.find(topic)
    }

    #[inline]
    fn verdicts(&mut self, question: Question<'_>) -> Option<&mut Verdicts> {
        match question {
            Question::Publish => Some(&mut self.publish),
            Question::Retain => Some(&mut self.retain),
            Question::Receive => Some(&mut self.receive),
            Question::ReceiveShared(share) => {
                let mut groups = self.shared.iter_mut();
                let group = groups.find(|(name, _)| **name == *share);
                group.map(|(_, verdicts)| verdicts)
            }
        }
    }

    /// Keeps a verdict, if there is memory for it.
    pub(super) fn keep(&mut self, question: Question<'_>, topic: &str, is_allowed: bool) {
        if self.kept >= KEPT {
            self.forget();
        }
        let share = match question {
            Question::ReceiveShared(share) if self.verdicts(question).is_none() => Some(share),
            _ => None,
        };
        let bytes = VERDICT + topic.len() + share.map_or(0, |share| GROUP + share.len());
        if self.charge.grow(bytes).is_err() {
            return;
        }
        if let Some(share) = share {
            self.shared.push((share.into(), Verdicts::default()));
        }
        self.kept += 1;
        if let Some(verdicts) = self.verdicts(question) {
            verdicts.insert(topic, is_allowed);
        }
    }

    /// Goes by what has been granted now. Verdicts stay if that is the same: the change was about others.
    pub(super) fn renew(&mut self, grants: Grants) {
        if !grants.is_same(&self.grants) {
            self.grants = grants;
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.publish = Verdicts::default();
        self.retain = Verdicts::default();
        self.receive = Verdicts::default();
        self.shared = Vec::new();
        self.kept = 0;
        self.charge.set(self.grants.size());
    }
}

impl Verdicts {
    #[inline]
    fn find(&mut self, topic: &str) -> Option<bool> {
        match self.all.get(self.last) {
            Some((last, is_allowed)) if **last == *topic => Some(*is_allowed),
            _ => self.look_up(topic),
        }
    }

    fn look_up(&mut self, topic: &str) -> Option<bool> {
        let hash = self.hashing.hash_one(topic);
        let all = &self.all;
        let is_same = |place: &usize| all.get(*place).is_some_and(|(own, _)| **own == *topic);
        self.last = *self.places.find(hash, is_same)?;
        self.all.get(self.last).map(|(_, is_allowed)| *is_allowed)
    }

    /// Adds one that is not there.
    fn insert(&mut self, topic: &str, is_allowed: bool) {
        let place = self.all.len();
        self.all.push((topic.into(), is_allowed));
        let (hashing, all) = (&self.hashing, &self.all);
        let hash = |place: &usize| {
            let topic = all.get(*place).map_or("", |(topic, _)| topic);
            hashing.hash_one(topic)
        };
        self.places.insert_unique(hash(&place), place, hash);
        self.last = place;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Kind, Owned};

    fn standing() -> Standing {
        let budget = Owned::new(1 << 20);
        let charge = Charge::none(*budget, Kind::Sessions);
        Standing::new(0, Grants::Nothing("of a test"), charge)
    }

    /// Topics that come in turn, and one again and again.
    #[test]
    fn each_topic_of_each_question_has_its_verdict() {
        let mut standing = standing();
        let questions = [
            Question::Publish,
            Question::Retain,
            Question::Receive,
            Question::ReceiveShared("g"),
            Question::ReceiveShared("h"),
        ];
        let verdict = |question: usize, topic: usize| (question + topic).is_multiple_of(2);
        for (number, question) in questions.into_iter().enumerate() {
            for topic in 0..50 {
                assert_eq!(standing.find(question, &format!("t/{topic}")), None);
                standing.keep(question, &format!("t/{topic}"), verdict(number, topic));
            }
        }
        for _ in 0..2 {
            for (number, question) in questions.into_iter().enumerate() {
                for topic in (0..50).chain([7; 3]) {
                    let found = standing.find(question, &format!("t/{topic}"));
                    assert_eq!(found, Some(verdict(number, topic)));
                }
                assert_eq!(standing.find(question, "t/50"), None);
            }
        }
        assert_eq!(standing.find(Question::ReceiveShared("i"), "t/1"), None);
    }

    #[test]
    fn no_more_are_kept_than_may_be() {
        let mut standing = standing();
        for topic in 0..3 * KEPT {
            standing.keep(Question::Publish, &format!("t/{topic}"), true);
            assert!(standing.kept <= KEPT);
        }
        let last = format!("t/{}", 3 * KEPT - 1);
        assert_eq!(standing.find(Question::Publish, &last), Some(true));
        assert_eq!(standing.find(Question::Publish, "t/0"), None);
    }

    #[test]
    fn verdicts_stay_for_as_long_as_the_grants_do() {
        let mut standing = standing();
        standing.keep(Question::Publish, "t", false);
        standing.renew(Grants::Nothing("of a test"));
        assert_eq!(standing.find(Question::Publish, "t"), Some(false));
        standing.renew(Grants::Nothing("else"));
        assert_eq!(standing.find(Question::Publish, "t"), None);
        standing.keep(Question::Publish, "t", false);
        standing.renew(Grants::Everything);
        assert_eq!(standing.find(Question::Publish, "t"), None);
    }
}
