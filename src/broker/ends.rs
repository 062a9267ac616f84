//! How the connections of clients ended whose sessions are no more: whoever waits for a client to leave may
//! come a moment after it, and wants to know why all the same.

use std::collections::VecDeque;

use parking_lot::Mutex;

use super::session::LastEnd;

/// Ends that are kept, the last ones.
const MOST: usize = 256;

/// The end of a client with a longer name is not kept, in bytes: what is kept is not charged.
const CLIENT_ID: usize = 256;

/// The last ends, the oldest first.
#[derive(Default)]
pub(super) struct Ends(Mutex<VecDeque<(Box<str>, LastEnd)>>);

impl Ends {
    pub(super) fn keep(&self, client_id: &str, end: LastEnd) {
        if client_id.len() > CLIENT_ID {
            return;
        }
        let mut ends = self.0.lock();
        if ends.len() >= MOST {
            ends.pop_front();
        }
        ends.push_back((client_id.into(), end));
    }

    /// The last one of a client.
    pub(super) fn last(&self, client_id: &str) -> Option<LastEnd> {
        let ends = self.0.lock();
        let found = ends.iter().rev().find(|(kept, _)| **kept == *client_id);
        found.map(|(_, end)| end.clone())
    }

    pub(super) fn clear(&self) {
        self.0.lock().clear();
    }
}
