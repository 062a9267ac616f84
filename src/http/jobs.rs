//! Work that is too long for a worker thread: walks over all sessions, large JSON. It runs on threads
//! of its own, a few at once; the rest waits its turn, and more than that is refused. A request that has
//! [waited](super::waits) is not: its place among those who wait bounds it.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::error::ApiError;

/// Jobs of the general kind that run at the same time: the other threads of the process keep most of
/// their cores.
const AT_ONCE: usize = 2;

/// Jobs of that kind that run or wait, besides those of requests that have waited. Those who wait keep the
/// place of their connection, so that more of them would keep others out.
const ACCEPTED: usize = 64;

/// The threads for long work, shared by all connections.
#[derive(Clone)]
pub(super) struct Jobs {
    accepted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Jobs {
    pub(super) fn new() -> Self {
        Self::bounded(AT_ONCE, ACCEPTED)
    }

    /// For jobs of another kind: so many run at the same time, so many run or wait.
    pub(super) fn bounded(at_once: usize, accepted: usize) -> Self {
        Self {
            accepted: Arc::new(Semaphore::new(accepted)),
            running: Arc::new(Semaphore::new(at_once)),
        }
    }

    /// Runs `job` when its turn comes. Given up meanwhile, a job that runs goes on to its end, and
    /// keeps its turn until then.
    ///
    /// # Errors
    ///
    /// 503 if too many wait already.
    pub(super) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, ApiError> {
        let Ok(accepted) = self.accepted.clone().try_acquire_owned() else {
            let error = "too many requests that take long wait already; try again";
            return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error));
        };
        self.run_in(accepted, job).await
    }

    /// The same for a request that has a place already, among so many of another kind: it is not refused,
    /// and keeps that place until the job ends.
    ///
    /// # Errors
    ///
    /// 500 if the job fails.
    pub(super) async fn run_in<R: Send + 'static>(
        &self,
        place: OwnedSemaphorePermit,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, ApiError> {
        let turn = self.running.clone().acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let result = job();
            drop((turn, place));
            result
        });
        done.await.map_err(failed)
    }
}

/// A job that all who ask for it share: one run answers everybody who asked before it began, so that
/// no number of them keeps one from its answer.
pub(super) struct SharedJob<R> {
    /// What the last run made, and when that began.
    last: Mutex<Option<(Instant, R)>>,
    running: Arc<Semaphore>,
}

impl<R: Clone + Send + 'static> SharedJob<R> {
    pub(super) fn new() -> Self {
        Self {
            last: Mutex::new(None),
            running: Arc::new(Semaphore::new(1)),
        }
    }

    /// What a run of `job` makes that begins after this call.
    ///
    /// # Errors
    ///
    /// 500 if it fails.
    pub(super) async fn run(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, ApiError> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((began, result)) = &*last
            && *began >= asked
        {
            return Ok(result.clone());
        }
        // A run that was given up goes on, and another one does not begin beside it.
        let turn = self.running.clone().acquire_owned().await;
        let began = Instant::now();
        let done = tokio::task::spawn_blocking(move || {
            let result = job();
            drop(turn);
            result
        });
        let result = done.await.map_err(failed)?;
        *last = Some((began, result.clone()));
        Ok(result)
    }
}

fn failed(error: tokio::task::JoinError) -> ApiError {
    tracing::error!(listener = "http", "a request ended in the middle: {error}");
    let error = "the broker failed on this request";
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn few_jobs_run_at_once_and_few_wait() {
        let jobs = Jobs::new();
        let (started, starts) = mpsc::channel();
        let mut ends = Vec::new();
        let waiting: Vec<_> = (0..ACCEPTED)
            .map(|number| {
                let (end, ended) = mpsc::channel::<()>();
                ends.push(end);
                let (jobs, started) = (jobs.clone(), started.clone());
                tokio::spawn(async move {
                    jobs.run(move || {
                        started.send(number).expect("the test listens");
                        // Ends when the test drops its half.
                        let _ = ended.recv();
                    })
                    .await
                })
            })
            .collect();
        while jobs.accepted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = jobs.run(|| ()).await.expect_err("a refusal");
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        for _ in 0..AT_ONCE {
            starts.recv().expect("a start");
        }
        assert!(starts.try_recv().is_err(), "no more than {AT_ONCE} at once");
        drop(ends);
        for job in waiting {
            job.await.expect("no panic").expect("it was accepted");
        }
        jobs.run(|| ()).await.expect("there is room again");
    }

    #[tokio::test]
    async fn one_run_answers_all_who_asked_before_it_began() {
        let job = Arc::new(SharedJob::new());
        let runs = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(parking_lot::Mutex::new(ended));
        let asking: Vec<_> = (0..100)
            .map(|_| {
                let (job, runs, ended) = (job.clone(), runs.clone(), ended.clone());
                tokio::spawn(async move {
                    job.run(move || {
                        let _ = ended.lock().recv();
                        runs.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1
                    })
                    .await
                })
            })
            .collect();
        // Let all of them ask while the first run waits.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        drop(end);
        let mut results = Vec::new();
        for asked in asking {
            results.push(asked.await.expect("no panic").expect("a result"));
        }
        assert_eq!(results.iter().filter(|run| **run == 1).count(), 1);
        assert_eq!(results.iter().filter(|run| **run == 2).count(), 99);
        let later = job.run(|| 3).await;
        assert_eq!(later.ok(), Some(3), "an old result is not shown");
    }
}
