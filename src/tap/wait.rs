//! Waits that are told: whoever makes so what somebody waits for says it, with what there is at that moment, under the
//! lock that makes it so. So it counts although it is over before anybody could look.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Those who wait, and for what each does.
pub(super) struct Waits<W, T>(Vec<(W, Weak<Mutex<Told<T>>>)>);

/// One who waits. It is told once how that ends.
pub(crate) struct Wait<T>(Arc<Mutex<Told<T>>>);

struct Told<T> {
    end: Option<T>,
    waker: Option<Waker>,
}

impl<W, T> Default for Waits<W, T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<W, T> Waits<W, T> {
    /// Begins to wait.
    pub(super) fn enter(&mut self, wanted: W) -> Wait<T> {
        // Those who have given up since.
        self.0.retain(|(_, told)| told.strong_count() > 0);
        let wait = Wait::new(None);
        self.0.push((wanted, Arc::downgrade(&wait.0)));
        wait
    }

    /// Tells those for whom `look` finds an end. Who is to be woken is added to `woken`: a waker may drop a task that
    /// waits, and anything else with it, so none is called or dropped under a lock.
    #[inline]
    pub(super) fn tell(&mut self, woken: &mut Vec<Waker>, look: impl FnMut(&mut W) -> Option<T>) {
        if !self.0.is_empty() {
            self.tell_each(woken, look);
        }
    }

    #[cold]
    fn tell_each(&mut self, woken: &mut Vec<Waker>, mut look: impl FnMut(&mut W) -> Option<T>) {
        self.0.retain_mut(|(wanted, told)| {
            if told.strong_count() == 0 {
                return false;
            }
            let Some(end) = look(wanted) else {
                return true;
            };
            if let Some(told) = told.upgrade() {
                let mut told = told.lock();
                told.end = Some(end);
                woken.extend(told.waker.take());
            }
            false
        });
    }
}

impl<T> Wait<T> {
    fn new(end: Option<T>) -> Self {
        Self(Arc::new(Mutex::new(Told { end, waker: None })))
    }

    /// One that is over: it is so already.
    pub(super) fn over(end: T) -> Self {
        Self::new(Some(end))
    }
}

impl<T> Future for Wait<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut told = self.0.lock();
        match told.end.take() {
            Some(end) => Poll::Ready(end),
            None => {
                let before = told.waker.replace(cx.waker().clone());
                drop(told);
                drop(before);
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn poll<T>(wait: &mut Wait<T>) -> Poll<T> {
        pin!(wait).poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Tells all who wait for this number or less.
    fn reach(waits: &mut Waits<u32, u32>, number: u32) -> usize {
        let mut woken = Vec::new();
        waits.tell(&mut woken, |wanted| (*wanted <= number).then_some(number));
        woken.len()
    }

    #[test]
    fn wait_is_told_what_there_was_whatever_comes_behind_it() {
        let mut waits = Waits::default();
        let (mut two, mut four) = (waits.enter(2), waits.enter(4));
        assert_eq!(
            (poll(&mut two), poll(&mut four)),
            (Poll::Pending, Poll::Pending)
        );
        assert_eq!(reach(&mut waits, 1), 0);
        assert_eq!(reach(&mut waits, 3), 1);
        assert_eq!(reach(&mut waits, 5), 1);
        assert_eq!(
            (poll(&mut two), poll(&mut four)),
            (Poll::Ready(3), Poll::Ready(5))
        );
        assert!(waits.0.is_empty());
        assert_eq!(poll(&mut Wait::over(7)), Poll::Ready(7));
    }

    #[test]
    fn nothing_is_left_of_waits_that_are_gone() {
        let mut waits = Waits::default();
        let mut gone = waits.enter(2);
        assert_eq!(poll(&mut gone), Poll::Pending);
        drop(gone);
        let _there = waits.enter(2);
        assert_eq!(waits.0.len(), 1);
        drop(waits.enter(2));
        assert_eq!(reach(&mut waits, 1), 0);
        assert_eq!(waits.0.len(), 1, "one is there");
    }

    /// One waits again and again, and another tells it as soon as it has begun: before, while or after it falls asleep.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_sleeps_for_good_however_it_falls() {
        const TIMES: usize = 20_000;
        let waits = Arc::new(Mutex::new(Waits::default()));
        let begun = Arc::new(AtomicUsize::new(0));
        let waiting = tokio::spawn({
            let (waits, begun) = (waits.clone(), begun.clone());
            async move {
                for number in 1..=TIMES {
                    let wait = waits.lock().enter(());
                    begun.store(number, Ordering::SeqCst);
                    // Each time a little later, so that they meet.
                    (0..number % 50).for_each(|_| std::hint::spin_loop());
                    assert_eq!(wait.await, number);
                }
            }
        });
        for number in 1..=TIMES {
            for turn in 1_usize.. {
                if begun.load(Ordering::SeqCst) == number {
                    break;
                }
                match turn % 1_000 {
                    0 => tokio::task::yield_now().await,
                    _ => std::hint::spin_loop(),
                }
            }
            let mut woken = Vec::new();
            waits.lock().tell(&mut woken, |()| Some(number));
            woken.into_iter().for_each(Waker::wake);
        }
        waiting.await.expect("no panic");
    }
}
