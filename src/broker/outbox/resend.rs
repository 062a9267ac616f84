//! Exchanges of an earlier connection that the new one has not sent again yet.

use crate::codec::PacketId;

use super::window::{Entry, Walk, Window};

/// A walk through the window in the order in which they were sent first (MQTT-4.6.0-1).
///
/// Whether an exchange is due it says itself: the connection that sent it last is another one. So a
/// client that resumes costs nothing for what it has open, and one that ends tens of thousands of
/// exchanges before their turn costs nothing more for each.
pub(in crate::broker) struct Resend {
    walk: Walk,
    /// Exchanges in the window that this connection has not sent.
    due: usize,
}

impl Resend {
    /// Everything in the window is due.
    pub(in crate::broker) fn new(window: &Window) -> Self {
        Self {
            walk: Walk::default(),
            due: window.len(),
        }
    }

    /// The next that is due on the connection of this number, which counts as sent from now on.
    pub(in crate::broker) fn next<'a>(
        &mut self,
        window: &'a mut Window,
        connection: u32,
    ) -> Option<(PacketId, &'a mut Entry)> {
        // What the walk has passed and did not send has ended since.
        while self.due > 0 {
            let (id, _) = window.walk(&mut self.walk)?;
            if window
                .get(id)
                .is_some_and(|entry| entry.sent_on != connection)
            {
                self.due -= 1;
                let entry = window.get(id)?;
                entry.sent_on = connection;
                return Some((id, entry));
            }
        }
        None
    }

    /// One of those that are due is over, or went on.
    pub(in crate::broker) fn forget(&mut self) {
        self.due = self.due.saturating_sub(1);
    }

    /// One more is due.
    pub(in crate::broker) fn remember(&mut self) {
        self.due += 1;
    }

    pub(in crate::broker) fn len(&self) -> usize {
        self.due
    }

    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.due == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::outbox::window::Phase;

    #[test]
    fn what_has_ended_loses_its_turn_and_the_others_keep_theirs() {
        let mut window = Window::default();
        let entry = || Entry {
            phase: Phase::Released,
            origin: None,
            opened_at: 0,
            sent_on: 1,
        };
        let ids: Vec<_> = (0..5)
            .filter_map(|_| Some(window.open(entry())?.0))
            .collect();
        let mut resend = Resend::new(&window);
        let mut next = |window: &mut Window| resend.next(window, 2).map(|(id, _)| id);
        assert_eq!(next(&mut window), Some(ids[0]));
        window.close(ids[0]);
        window.close(ids[1]);
        window.close(ids[3]);
        resend.forget();
        resend.forget();
        assert_eq!(resend.len(), 2);
        let mut next = |window: &mut Window| resend.next(window, 2).map(|(id, _)| id);
        assert_eq!(next(&mut window), Some(ids[2]));
        assert_eq!(next(&mut window), Some(ids[4]));
        assert_eq!(next(&mut window), None);
        assert!(resend.is_empty());
    }
}
