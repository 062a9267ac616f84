//! The HTTP listener and its connections, each bounded so that slow clients cannot pile up.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::net::Shared;

/// Connections at one time; more wait in the kernel until one ends.
const CONNECTIONS: usize = 256;

/// For the head of a request, and between two requests on a connection.
const HEAD_LIMIT: Duration = Duration::from_secs(30);

/// Pause after an accept that failed for want of a resource, such as file descriptors.
const BACK_OFF: Duration = Duration::from_millis(50);

/// Serves the API on `listener` until the server stops. Requests that are being answered then are
/// answered to the end.
pub(crate) async fn serve(shared: Arc<Shared>, listener: TcpListener) {
    let router = super::router(&shared);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = shared.stopping.cancelled() => return,
        };
        let Some((stream, place)) = accepted else {
            continue;
        };
        let (owned, router) = (shared.clone(), router.clone());
        shared.tasks.spawn(async move {
            serve_connection(&owned, stream, router).await;
            drop(place);
        });
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::error!(listener = "http", "cannot accept: {error}");
            tokio::time::sleep(BACK_OFF).await;
            None
        }
    }
}

async fn serve_connection(shared: &Shared, stream: TcpStream, router: Router) {
    // A socket that fails here fails at its first read as well.
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shared.stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(listener = "http", "connection ended: {error}");
    }
}
