//! The tasks of a server: waited for when it stops, dropped when they take too long.

use std::hash::BuildHasher;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use foldhash::fast::FixedState;
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, Id};

use crate::table::Table;

/// Every task that was started and has not ended.
///
/// A task costs one entry here and takes the lock twice in its life. Nothing shared is touched when
/// it is polled, and its future is stored once, as it came.
#[derive(Clone, Default)]
pub(crate) struct Tasks(Arc<Shared>);

#[derive(Default)]
struct Shared {
    running: Mutex<Running>,
    /// The last one has ended.
    all_ended: Notify,
}

struct Running {
    /// Each task that has not ended, once it was started, by its id.
    handles: Table<AbortHandle>,
    /// Tasks that ended before whoever starts them could say that they were started.
    early: Vec<Id>,
    /// Tasks that have not ended.
    count: usize,
    /// Whoever comes now comes too late.
    killed: bool,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            handles: Table::new(),
            early: Vec::new(),
            count: 0,
            killed: false,
        }
    }
}

fn hash(id: Id) -> u64 {
    FixedState::default().hash_one(id)
}

impl Running {
    /// A task was started, and may have ended meanwhile.
    fn started(&mut self, handle: AbortHandle) {
        let id = handle.id();
        match self.early.iter().position(|early| *early == id) {
            Some(place) => {
                self.early.swap_remove(place);
            }
            None => self
                .handles
                .insert_unique(hash(id), handle, |handle| hash(handle.id())),
        }
    }

    /// A task has ended.
    fn end(&mut self, id: Id) {
        let rehash = |handle: &AbortHandle| hash(handle.id());
        let is_it = |handle: &AbortHandle| handle.id() == id;
        if self.handles.remove(hash(id), is_it, rehash).is_none() {
            self.early.push(id);
        }
    }
}

impl Tasks {
    /// Runs a task until it ends or [`kill`](Self::kill) drops it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        {
            let mut running = self.0.running.lock();
            if running.killed {
                return;
            }
            running.count += 1;
        }
        let place = Place(self.0.clone());
        // Without the lock: a runtime that shuts down drops the task here, and its place with it.
        let handle = tokio::spawn(Entered {
            task,
            _place: place,
        });
        let handle = handle.abort_handle();
        let mut running = self.0.running.lock();
        if running.killed {
            handle.abort();
        }
        running.started(handle);
    }

    /// Waits until every task has ended.
    pub(crate) async fn wait(&self) {
        loop {
            let mut ended = pin!(self.0.all_ended.notified());
            // From here on it is told.
            ended.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// How many have not ended.
    pub(crate) fn len(&self) -> usize {
        self.0.running.lock().count
    }

    /// Drops whatever still runs, and whatever is started later.
    pub(crate) fn kill(&self) {
        let handles: Vec<_> = {
            let mut running = self.0.running.lock();
            running.killed = true;
            running.handles.iter().cloned().collect()
        };
        for handle in handles {
            handle.abort();
        }
    }
}

pin_project! {
    /// A task that leaves the list when it ends, however it ends.
    struct Entered<F> {
        #[pin]
        task: F,
        // One word: with what the runtime adds the task of a connection has 128 bytes, and with a word more it would
        // have 256.
        _place: Place,
    }
}

impl<F: Future<Output = ()>> Future for Entered<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

/// The place of a task in the list, which is dropped by the task itself.
struct Place(Arc<Shared>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.0.running.lock();
        running.count -= 1;
        // There is none if it never became a task.
        if let Some(id) = tokio::task::try_id() {
            running.end(id);
        }
        let is_last = running.count == 0;
        drop(running);
        if is_last {
            self.0.all_ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether nothing is left of any task.
    fn is_empty(tasks: &Tasks) -> bool {
        let running = tasks.0.running.lock();
        running.count == 0 && running.handles.len() == 0 && running.early.is_empty()
    }

    #[tokio::test]
    async fn a_task_that_ended_leaves_nothing_behind() {
        let tasks = Tasks::default();
        for _ in 0..10 {
            tasks.spawn(tokio::task::yield_now());
        }
        tasks.wait().await;
        assert!(is_empty(&tasks));
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
        assert!(is_empty(&tasks));
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
