//! Waiting for something that happens in the broker, at most so long.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use crate::broker::{Broker, Subject};

use super::Engine;

/// Why a wait ended without what it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSeen {
    /// The time is up.
    TimedOut,
    /// The broker is stopping.
    Stopped,
}

/// Waits until `look` finds something, which it is asked for now and whenever one of `subjects` has changed.
/// The time is that of the machine, whatever the broker's clock says.
pub(crate) async fn until<T>(
    engine: &Engine,
    subjects: &[Subject],
    within: Duration,
    mut look: impl FnMut(&Broker) -> Option<T>,
) -> Result<T, NotSeen> {
    let broker = &engine.broker;
    let watchers = subjects.iter().map(|subject| broker.watcher(*subject));
    let mut watchers: Vec<_> = watchers.collect();
    let seen = async {
        loop {
            if let Some(found) = look(broker) {
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
