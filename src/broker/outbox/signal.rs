//! How a task is told that its connection needs it.

use std::task::Waker;

use super::sync::Mutex;

/// A flag that wakes the task that waits for it. Flag and waker lie under one lock, so that no
/// signal is lost between looking and going to sleep.
#[derive(Default)]
pub(crate) struct Signal(Mutex<State>);

#[derive(Default)]
struct State {
    is_set: bool,
    waker: Option<Waker>,
}

impl Signal {
    /// Sets the flag. Wakes the task, if it waits and the flag was not set.
    pub(crate) fn set(&self) {
        let waker = {
            let mut state = self.0.lock();
            if std::mem::replace(&mut state.is_set, true) {
                return;
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Clears the flag and returns whether it was set; a later one wakes `waker`.
    pub(crate) fn take(&self, waker: &Waker) -> bool {
        let mut state = self.0.lock();
        if !state.waker.as_ref().is_some_and(|old| old.will_wake(waker)) {
            state.waker = Some(waker.clone());
        }
        std::mem::take(&mut state.is_set)
    }
}
