//! The tasks of a server: waited for when it stops, dropped when they take too long.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

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

#[derive(Default)]
struct Running {
    /// Each task that has not ended, at its number; none at a number that is free, and while a task is being
    /// started.
    handles: Vec<Option<AbortHandle>>,
    /// Numbers of tasks that are being started and have not ended.
    starting: Vec<u32>,
    /// Numbers below that of the last handle which are free.
    free: Vec<u32>,
    /// Tasks that have not ended.
    count: usize,
    /// Whoever comes now comes too late.
    killed: bool,
}

impl Running {
    /// A number for a task that is being started.
    fn begin(&mut self) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.handles.push(None);
            u32::try_from(self.handles.len() - 1).unwrap_or(u32::MAX)
        });
        self.starting.push(number);
        self.count += 1;
        number
    }

    /// A task was started, and may have ended meanwhile.
    fn started(&mut self, number: u32, handle: AbortHandle) {
        let place = self.starting.iter().position(|other| *other == number);
        match place {
            Some(place) => {
                self.starting.swap_remove(place);
                if let Some(handle_of) = self.handles.get_mut(number as usize) {
                    *handle_of = Some(handle);
                }
            }
            None => self.free.push(number),
        }
    }

    /// A task has ended. Its number is free, unless whoever started it is still to say so.
    fn end(&mut self, number: u32) {
        self.count -= 1;
        let place = self.starting.iter().position(|other| *other == number);
        if let Some(place) = place {
            self.starting.swap_remove(place);
            return;
        }
        if let Some(handle) = self.handles.get_mut(number as usize) {
            *handle = None;
        }
        self.free.push(number);
    }
}

impl Tasks {
    /// Runs a task until it ends or [`kill`](Self::kill) drops it.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let number = {
            let mut running = self.0.running.lock();
            if running.killed {
                return;
            }
            running.begin()
        };
        let entered = Entered {
            task,
            _place: Box::new(Place {
                shared: self.0.clone(),
                number,
            }),
        };
        // Without the lock: a runtime that shuts down drops the task here, and its place with it.
        let handle = tokio::spawn(entered).abort_handle();
        let mut running = self.0.running.lock();
        if running.killed {
            handle.abort();
        }
        running.started(number, handle);
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
            running.handles.iter().flatten().cloned().collect()
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
        // Boxed, because with what the runtime adds the task of a connection has 128 bytes, and with a word more it
        // would have 256.
        _place: Box<Place>,
    }
}

impl<F: Future<Output = ()>> Future for Entered<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.project().task.poll(cx)
    }
}

struct Place {
    shared: Arc<Shared>,
    number: u32,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut running = self.shared.running.lock();
        running.end(self.number);
        let is_last = running.count == 0;
        drop(running);
        if is_last {
            self.shared.all_ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether all numbers are free.
    fn is_empty(tasks: &Tasks) -> bool {
        let running = tasks.0.running.lock();
        let is_free = running.free.len() == running.handles.len() && running.starting.is_empty();
        is_free && running.count == 0 && running.handles.iter().flatten().next().is_none()
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
