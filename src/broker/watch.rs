//! Waiting until something is so: whoever changes what somebody may wait for notes it here, and those who
//! wait look again. Nobody looks before something has changed, and nobody looks on a timer.
//!
//! No change is missed. Whoever waits enters itself first, looks then, and sleeps last. What it looks at lies
//! behind a lock, which whoever changes it takes before it [notes](Watch::note) the change: so either the look
//! comes after the change and sees it, or the lock orders the entry before the note, and the note finds it.
//! That holds for a note under the lock and for one behind it, and is why one relaxed load is enough where
//! nobody waits.
//!
//! What is so for a moment only is [shown](Watch::show) besides, under that lock: a client that subscribes and
//! unsubscribes in one packet each is gone before anybody can look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::last_end::LastEnd;

/// What somebody may wait for. Changes of one do not wake those who wait for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Clients connect, and their connections end.
    Clients,
    /// Clients subscribe and unsubscribe, groups get and lose members, captures begin and end.
    Subscriptions,
    /// Messages come to wait in a group, and wait no more.
    GroupQueues,
    /// A capture has got messages.
    Captures,
}

/// What somebody may wait for, at the moment at which it is so: it may be over before anybody can look.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Glimpse<'a> {
    Connected {
        client_id: &'a str,
    },
    Disconnected {
        client_id: &'a str,
        end: Option<&'a LastEnd>,
    },
    /// To a filter as it was sent.
    Subscribed {
        client_id: &'a str,
        filter: &'a str,
    },
    /// From a filter as it was sent, with so many subscriptions left.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "the HTTP API waits for it")
    )]
    Unsubscribed {
        client_id: &'a str,
        filter: &'a str,
        left: usize,
    },
    /// With all its subscriptions.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "the HTTP API waits for it")
    )]
    SessionEnded {
        client_id: &'a str,
    },
    /// Nobody subscribes to a filter any more, or not in this share.
    #[cfg_attr(
        not(feature = "http"),
        expect(dead_code, reason = "the HTTP API waits for it")
    )]
    Deserted {
        share: Option<&'a str>,
        filter: &'a str,
    },
    /// A group has got or lost a member, or a message that waits.
    Group {
        share: &'a str,
        filter: &'a str,
        members: usize,
        queued: usize,
    },
    /// There are so many captures of a filter.
    #[cfg(feature = "http")]
    Captures {
        filter: &'a str,
        count: usize,
    },
}

/// Looks at what is so, and keeps what is waited for. It is called under locks, and takes none of the broker.
pub(crate) type Catch = Arc<dyn Fn(&Glimpse<'_>) + Send + Sync>;

/// Who waits for what.
#[derive(Default)]
pub(crate) struct Watch {
    clients: Board,
    subscriptions: Board,
    group_queues: Board,
    captures: Board,
}

#[derive(Default)]
struct Board {
    /// Watchers that there are: all that is looked at where there are none.
    count: AtomicUsize,
    watchers: Mutex<Watchers>,
}

#[derive(Default)]
struct Watchers {
    /// Counts changes, as far as somebody was there.
    generation: u64,
    all: BTreeMap<u64, Own>,
    /// The watcher that came last.
    last: u64,
}

/// One of those who wait.
struct Own {
    catch: Option<Catch>,
    /// While it sleeps.
    waker: Option<Waker>,
}

impl Watch {
    fn board(&self, subject: Subject) -> &Board {
        match subject {
            Subject::Clients => &self.clients,
            Subject::Subscriptions => &self.subscriptions,
            Subject::GroupQueues => &self.group_queues,
            Subject::Captures => &self.captures,
        }
    }

    /// Something has changed, or is about to under a lock that the caller has. Whoever calls it has taken the
    /// lock behind which others look at it.
    #[inline]
    pub(crate) fn note(&self, subject: Subject) {
        let board = self.board(subject);
        if board.count.load(Ordering::Relaxed) > 0 {
            board.wake(None);
        }
    }

    /// The same of what may be otherwise soon, under the lock while it is so.
    #[inline]
    pub(crate) fn show<'a>(&self, subject: Subject, glimpse: impl FnOnce() -> Glimpse<'a>) {
        let board = self.board(subject);
        if board.count.load(Ordering::Relaxed) > 0 {
            board.wake(Some(glimpse()));
        }
    }

    /// Begins to watch: what changes from now on is not missed, and `catch` sees what is shown. To be called before
    /// the first look.
    pub(crate) fn watcher(&self, subject: Subject, catch: Option<Catch>) -> Watcher<'_> {
        let board = self.board(subject);
        board.count.fetch_add(1, Ordering::Relaxed);
        let mut watchers = board.watchers.lock();
        watchers.last += 1;
        let number = watchers.last;
        watchers.all.insert(number, Own { catch, waker: None });
        Watcher {
            board,
            number,
            seen: watchers.generation,
        }
    }
}

impl Board {
    #[cold]
    fn wake(&self, glimpse: Option<Glimpse<'_>>) {
        let asleep: Vec<_> = {
            let mut watchers = self.watchers.lock();
            watchers.generation += 1;
            if let Some(glimpse) = &glimpse {
                let catches = watchers.all.values().filter_map(|own| own.catch.as_ref());
                catches.for_each(|catch| catch(glimpse));
            }
            let all = watchers.all.values_mut();
            all.filter_map(|own| own.waker.take()).collect()
        };
        asleep.into_iter().for_each(Waker::wake);
    }
}

/// Somebody who waits for changes, until this is dropped.
pub(crate) struct Watcher<'a> {
    board: &'a Board,
    number: u64,
    /// The generation that it has heard of.
    seen: u64,
}

impl Watcher<'_> {
    /// Ready where something has changed since it began or was ready last; else it wakes the task once
    /// something does.
    pub(crate) fn poll_changed(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut watchers = self.board.watchers.lock();
        if watchers.generation != self.seen {
            self.seen = watchers.generation;
            return Poll::Ready(());
        }
        if let Some(own) = watchers.all.get_mut(&self.number) {
            own.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        let own = self.board.watchers.lock().all.remove(&self.number);
        self.board.count.fetch_sub(1, Ordering::Relaxed);
        // What it has caught is dropped outside of the lock.
        drop(own);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    fn poll(watcher: &mut Watcher<'_>) -> Poll<()> {
        watcher.poll_changed(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn watcher_hears_of_changes_of_its_subject_since_it_began_and_of_each_once() {
        let watch = Watch::default();
        watch.note(Subject::Clients);
        let mut watcher = watch.watcher(Subject::Clients, None);
        assert_eq!(poll(&mut watcher), Poll::Pending, "that was before");
        watch.note(Subject::Subscriptions);
        assert_eq!(poll(&mut watcher), Poll::Pending, "that is none of its");
        watch.note(Subject::Clients);
        watch.note(Subject::Clients);
        assert_eq!(poll(&mut watcher), Poll::Ready(()));
        assert_eq!(poll(&mut watcher), Poll::Pending);
    }

    #[test]
    fn what_is_so_for_a_moment_is_seen_by_whoever_began_before() {
        let watch = Watch::default();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let connects = |client_id| {
            watch.show(Subject::Clients, || Glimpse::Connected { client_id });
        };
        connects("early");
        let catch: Catch = {
            let seen = seen.clone();
            Arc::new(move |glimpse| seen.lock().push(format!("{glimpse:?}")))
        };
        let mut watcher = watch.watcher(Subject::Clients, Some(catch));
        let mut other = watch.watcher(Subject::Subscriptions, None);
        connects("a");
        connects("b");
        let expected =
            ["a", "b"].map(|client_id| format!("{:?}", Glimpse::Connected { client_id }));
        assert_eq!(*seen.lock(), expected);
        assert_eq!(poll(&mut watcher), Poll::Ready(()));
        assert_eq!(poll(&mut other), Poll::Pending);
        drop(watcher);
        assert_eq!(Arc::strong_count(&seen), 1);
    }

    #[test]
    fn nothing_is_left_of_a_watcher_that_is_gone() {
        let watch = Watch::default();
        let mut watcher = watch.watcher(Subject::GroupQueues, None);
        assert_eq!(poll(&mut watcher), Poll::Pending);
        drop(watcher);
        let board = watch.board(Subject::GroupQueues);
        assert!(board.watchers.lock().all.is_empty());
        assert_eq!(board.count.load(Ordering::Relaxed), 0);
    }

    /// One thread counts under a lock, others wait for each number: a wake-up that were lost would leave
    /// one of them asleep for good.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_change_is_missed_however_it_falls() {
        const CHANGES: u32 = 5_000;
        let watch = Arc::new(Watch::default());
        let number = Arc::new(Mutex::new(0));
        let heard = Arc::new(AtomicUsize::new(0));
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let (watch, number, heard) = (watch.clone(), number.clone(), heard.clone());
                tokio::spawn(async move {
                    for wanted in 1..=CHANGES {
                        let mut watcher = watch.watcher(Subject::Clients, None);
                        while *number.lock() < wanted {
                            poll_fn(|cx| watcher.poll_changed(cx)).await;
                        }
                        heard.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for change in 1..=CHANGES {
            // Each is heard of before the next one comes, so that nobody can catch up by a later one.
            *number.lock() = change;
            watch.note(Subject::Clients);
            while heard.load(Ordering::Relaxed) < 3 * change as usize {
                tokio::task::yield_now().await;
            }
        }
        for one in waiting {
            one.await.expect("no panic");
        }
    }
}
