//! Exchanges of an earlier connection that the new one has not sent again yet.

use crate::codec::PacketId;

use super::window::{Entry, Walk, Window};

/// Walks through the window in the order in which they were sent first (MQTT-4.6.0-1): one for PUBRELs, which
/// wait for no place of the window and go first, and one for PUBLISHes.
///
/// Whether an exchange is due it says itself: the connection that sent it last is another one. So a
/// client that resumes costs nothing for what it has open, and one that ends tens of thousands of
/// exchanges before their turn costs nothing more for each.
///
/// Boxed, because most clients resume without any, and the others have them for a moment.
#[derive(Default)]
pub(in crate::broker) struct Resend(Option<Box<Left>>);

/// What is left to be sent again.
#[derive(Default)]
struct Left {
    releases: Due,
    publishes: Due,
}

/// Exchanges at one step that this connection has not sent.
#[derive(Default)]
struct Due {
    walk: Walk,
    count: usize,
}

/// What a step of a walk came to.
pub(in crate::broker) enum Next<'a> {
    /// An exchange that is due, which counts as sent from now on.
    Due(PacketId, &'a mut Entry),
    /// One that is not.
    Passed,
    /// Nothing is due.
    None,
}

impl Resend {
    /// Everything in the window is due.
    pub(in crate::broker) fn new(window: &Window) -> Self {
        let releases = window.released();
        let left = Left {
            releases: Due::new(releases),
            publishes: Due::new(window.len() - releases),
        };
        Self((!left.is_empty()).then(|| Box::new(left)))
    }

    /// Takes a step towards the next that is due on the connection of this number.
    pub(in crate::broker) fn next<'a>(
        &mut self,
        window: &'a mut Window,
        connection: u32,
    ) -> Next<'a> {
        let Some(left) = &mut self.0 else {
            return Next::None;
        };
        let is_release = left.releases.count > 0;
        let due = left.at_step(is_release);
        let Some((id, entry)) = window.walk(&mut due.walk) else {
            return Next::None;
        };
        if entry.is_released() != is_release || *entry.last_sent_on() == connection {
            return Next::Passed;
        }
        due.count -= 1;
        *entry.last_sent_on() = connection;
        self.0.take_if(|left| left.is_empty());
        Next::Due(id, entry)
    }

    /// One of those that are due is over, or goes on.
    pub(in crate::broker) fn forget(&mut self, entry: &Entry) {
        if let Some(left) = &mut self.0 {
            let due = left.at_step(entry.is_released());
            due.count = due.count.saturating_sub(1);
            self.0.take_if(|left| left.is_empty());
        }
    }

    /// One more PUBLISH is due, wherever in the window.
    pub(in crate::broker) fn remember(&mut self) {
        let publishes = &mut self.0.get_or_insert_default().publishes;
        publishes.count += 1;
        publishes.walk = Walk::default();
    }

    /// Whether a PUBREL is due.
    pub(in crate::broker) fn has_releases(&self) -> bool {
        self.0.as_ref().is_some_and(|left| left.releases.count > 0)
    }

    pub(in crate::broker) fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Left {
    /// Those that wait for PUBCOMP, or the others.
    fn at_step(&mut self, is_release: bool) -> &mut Due {
        match is_release {
            true => &mut self.releases,
            false => &mut self.publishes,
        }
    }

    fn is_empty(&self) -> bool {
        self.releases.count == 0 && self.publishes.count == 0
    }
}

impl Due {
    fn new(count: usize) -> Self {
        Self {
            walk: Walk::default(),
            count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::outbox::window::Phase;
    use crate::budget::Owned;
    use crate::codec::QoS;
    use crate::message::delivery::{Delivery, Retain, SubscriptionIds};
    use crate::message::publication::Publication;

    fn entry(phase: Phase) -> Entry {
        Entry {
            phase,
            origin: None,
            opened_at: 0,
            sent_on: 1,
        }
    }

    fn released() -> Entry {
        entry(Phase::Released { sent_on: 1 })
    }

    /// Everything that is due on connection 2, in its order.
    fn rest(resend: &mut Resend, window: &mut Window) -> Vec<PacketId> {
        let mut ids = Vec::new();
        loop {
            match resend.next(window, 2) {
                Next::Due(id, _) => ids.push(id),
                Next::Passed => {}
                Next::None => return ids,
            }
        }
    }

    #[test]
    fn what_has_ended_loses_its_turn_and_the_others_keep_theirs() {
        let mut window = Window::default();
        let ids: Vec<_> = (0..5)
            .filter_map(|_| Some(window.open(released())?.0))
            .collect();
        let mut resend = Resend::new(&window);
        assert!(matches!(resend.next(&mut window, 2), Next::Due(id, _) if id == ids[0]));
        for at in [0, 1, 3] {
            let mut ended = window.close(ids[at]).unwrap();
            if *ended.last_sent_on() != 2 {
                resend.forget(&ended);
            }
        }
        assert_eq!(rest(&mut resend, &mut window), [ids[2], ids[4]]);
        assert!(resend.is_empty());
    }

    /// MQTT-4.9.0-3: PUBRELs do not wait behind a PUBLISH that waits for its place.
    #[test]
    fn releases_go_first_and_both_kinds_in_their_order() {
        let budget = Owned::new(1 << 20);
        let publication = Publication::new("a", b"x".as_slice(), QoS::ExactlyOnce);
        let published = || {
            entry(Phase::Published(Delivery {
                message: publication.message(*budget),
                qos: QoS::ExactlyOnce,
                retain: Retain::No,
                subscription_ids: SubscriptionIds::None,
            }))
        };
        let mut window = Window::default();
        let entries = [published(), released(), published(), released()];
        let ids: Vec<_> = (entries.into_iter())
            .filter_map(|entry| Some(window.open(entry)?.0))
            .collect();
        let mut resend = Resend::new(&window);
        let order = [ids[1], ids[3], ids[0], ids[2]];
        assert_eq!(rest(&mut resend, &mut window), order);
        assert!(resend.is_empty());
    }
}
