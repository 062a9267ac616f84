//! What a client may do as the registry stands, with the verdicts that were worked out.

use std::collections::HashMap;

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
pub(super) type Verdicts = HashMap<Box<str>, bool>;

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

    pub(super) fn verdicts(&mut self, question: Question<'_>) -> Option<&mut Verdicts> {
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
            verdicts.insert(topic.into(), is_allowed);
        }
    }

    pub(super) fn forget(&mut self) {
        self.publish = Verdicts::default();
        self.retain = Verdicts::default();
        self.receive = Verdicts::default();
        self.shared = Vec::new();
        self.kept = 0;
        self.charge.set(self.grants.size());
    }
}
