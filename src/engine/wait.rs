//! Waiting for something that happens in the broker, at most so long.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use parking_lot::Mutex;

use crate::broker::{Broker, Catch, Glimpse, Subject};

use super::Engine;

/// Why a wait ended without what it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSeen {
    /// The time is up.
    TimedOut,
    /// The broker is stopping.
    Stopped,
}

/// Waits until `look` finds something, which it is asked for now and whenever one of `subjects` has changed, or until
/// `catch` does in what is shown of them meanwhile: that may be over before anybody can look. The time is that of the
/// machine, whatever the broker's clock says.
pub(crate) async fn until<T: Send + 'static>(
    engine: &Engine,
    subjects: &[Subject],
    within: Duration,
    mut look: impl FnMut(&Broker) -> Option<T>,
    catch: impl Fn(&Glimpse<'_>) -> Option<T> + Send + Sync + 'static,
) -> Result<T, NotSeen> {
    let broker = &engine.broker;
    let caught = Arc::new(Mutex::new(None));
    let keep: Catch = {
        let caught = caught.clone();
        Arc::new(move |glimpse| {
            let mut caught = caught.lock();
            if caught.is_none() {
                *caught = catch(glimpse);
            }
        })
    };
    let watchers = subjects.iter();
    let watchers = watchers.map(|subject| broker.watcher(*subject, Some(keep.clone())));
    let mut watchers: Vec<_> = watchers.collect();
    let seen = async {
        loop {
            let before = caught.lock().take();
            if let Some(found) = before.or_else(|| look(broker)) {
                return found;
            }
            poll_fn(|cx| {
                // Each is asked: one that was not would not wake this task.
                let changed = watchers.iter_mut().fold(false, |changed, watcher| {
                    watcher.poll_changed(cx).is_ready() | changed
                });
                match changed {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
        }
    };
    for_future(engine, within, seen).await
}

/// Waits for `future`, which is woken by what it waits for, by the time of the machine.
pub(crate) async fn for_future<T>(
    engine: &Engine,
    within: Duration,
    future: impl Future<Output = T>,
) -> Result<T, NotSeen> {
    tokio::select! {
        biased;
        found = future => Ok(found),
        () = engine.stopping.cancelled() => Err(NotSeen::Stopped),
        () = tokio::time::sleep(within) => Err(NotSeen::TimedOut),
    }
}
