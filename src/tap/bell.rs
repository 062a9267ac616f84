//! Who waits for something to happen here.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;

/// Wakes all who wait. It costs one load where nobody does.
#[derive(Default)]
pub(super) struct Bell {
    is_awaited: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
}

impl Bell {
    /// Something happened, and whoever waits looks whether it is what he waits for.
    pub(super) fn ring(&self) {
        // Whoever waits sets it before he looks, so that he sees what happened or is seen here.
        if self.is_awaited.load(Ordering::SeqCst) {
            let waiting = {
                let mut waiting = self.waiting.lock();
                self.is_awaited.store(false, Ordering::SeqCst);
                std::mem::take(&mut *waiting)
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }

    /// Waits until `look` finds something.
    pub(super) fn wait_for<T>(
        &self,
        mut look: impl FnMut() -> Option<T>,
    ) -> impl Future<Output = T> {
        poll_fn(move |cx| {
            if let Some(found) = look() {
                return Poll::Ready(found);
            }
            {
                let mut waiting = self.waiting.lock();
                waiting.retain(|waker| !waker.will_wake(cx.waker()));
                waiting.push(cx.waker().clone());
                self.is_awaited.store(true, Ordering::SeqCst);
            }
            // It may have happened meanwhile.
            look().map_or(Poll::Pending, Poll::Ready)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn whoever_waits_misses_nothing() {
        const TIMES: usize = 2_000;
        let (bell, count) = (Arc::new(Bell::default()), Arc::new(AtomicUsize::new(0)));
        let waiting = tokio::spawn({
            let (bell, count) = (bell.clone(), count.clone());
            async move {
                for wanted in 1..=TIMES {
                    let reached = || (count.load(Ordering::SeqCst) >= wanted).then_some(());
                    bell.wait_for(reached).await;
                }
            }
        });
        for _ in 0..TIMES {
            count.fetch_add(1, Ordering::SeqCst);
            bell.ring();
            tokio::task::yield_now().await;
        }
        waiting.await.expect("it ends");
    }
}
