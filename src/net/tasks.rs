//! The tasks of a server: waited for when it stops, dropped when they take too long.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

/// Every task that was started and has not ended.
///
/// A task costs one entry here and takes the lock twice in its life. Nothing shared is touched when
/// it is polled, and its future is stored once, as it came.
#[derive(Clone, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    running: Arc<Mutex<Running>>,
}

#[derive(Default)]
struct Running {
    /// Each task that has not ended; without a handle while it is being started.
    handles: HashMap<u64, Option<AbortHandle>>,
    /// Tasks started so far, by which they are numbered.
    started: u64,
    /// Whoever comes now comes too late.
    killed: bool,
}

impl Tasks {
    /// Runs a task until it ends or [`kill`](Self::kill) drops it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let number = {
            let mut running = self.running.lock();
            if running.killed {
                return;
            }
            running.started += 1;
            let number = running.started;
            running.handles.insert(number, None);
            number
        };
        let entered = Entered {
            task,
            place: Place {
                running: self.running.clone(),
                number,
            },
        };
        // Without the lock: a runtime that shuts down drops the task here, and its place with it.
        let handle = self.tracker.spawn(entered).abort_handle();
        let mut running = self.running.lock();
        if running.killed {
            handle.abort();
        } else if let Some(place) = running.handles.get_mut(&number) {
            *place = Some(handle);
        }
    }

    /// Waits until every task has ended.
    pub(crate) async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// How many have not ended.
    pub(crate) fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Drops whatever still runs, and whatever is started later.
    pub(crate) fn kill(&self) {
        let handles = {
            let mut running = self.running.lock();
            running.killed = true;
            std::mem::take(&mut running.handles)
        };
        for handle in handles.into_values().flatten() {
            handle.abort();
        }
    }
}

pin_project! {
    /// A task that leaves the list when it ends, however it ends.
    struct Entered<F> {
        #[pin]
        task: F,
        place: Place,
    }
}

impl<F: Future<Output = ()>> Future for Entered<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

struct Place {
    running: Arc<Mutex<Running>>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.lock().handles.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_ended_leaves_nothing_behind() {
        let tasks = Tasks::default();
        for _ in 0..10 {
            tasks.spawn(tokio::task::yield_now());
        }
        tasks.wait().await;
        assert!(tasks.running.lock().handles.is_empty());
    }

    #[test]
    fn a_task_that_a_runtime_refuses_holds_nobody_up() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        drop(runtime);
        let tasks = Tasks::default();
        let _context = handle.enter();
        tasks.spawn(std::future::pending());
        assert!(tasks.running.lock().handles.is_empty());
    }

    #[tokio::test]
    async fn killing_drops_what_runs_and_what_comes_later() {
        let tasks = Tasks::default();
        tasks.spawn(std::future::pending());
        tasks.kill();
        tasks.spawn(std::future::pending());
        tasks.wait().await;
    }
}
