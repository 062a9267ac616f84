//! Work that is too long for a worker thread: walks over all sessions, large JSON. It runs on threads
//! of its own, a few at once; the rest waits its turn, and more than that is refused.

use std::sync::Arc;

use axum::http::StatusCode;
use tokio::sync::Semaphore;

use super::error::ApiError;

/// Jobs that run at the same time: the other threads of the process keep most of their cores.
const AT_ONCE: usize = 2;

/// Jobs that run or wait. Those who wait keep the place of their connection, so that more of them
/// would keep others out.
const ACCEPTED: usize = 64;

/// The threads for long work, shared by all connections.
#[derive(Clone)]
pub(super) struct Jobs {
    accepted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Jobs {
    pub(super) fn new() -> Self {
        Self {
            accepted: Arc::new(Semaphore::new(ACCEPTED)),
            running: Arc::new(Semaphore::new(AT_ONCE)),
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
        let turn = self.running.clone().acquire_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let result = job();
            drop((turn, accepted));
            result
        });
        done.await.map_err(|error| {
            tracing::error!(listener = "http", "a request ended in the middle: {error}");
            let error = "the broker failed on this request";
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error)
        })
    }
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
}
