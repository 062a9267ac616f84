//! The HTTP listener and its connections, each bounded so that slow clients cannot pile up.
//!
//! A connection that neither sends nor reads is closed (`http_idle_timeout`), wherever in its life;
//! one that does a little now and then is closed when its request takes several times as long. When
//! all places are taken, the connection that has kept its place longest gives way.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use crate::budget::{Charge, Kind};
use crate::engine::Engine;
use crate::net::listener::back_off;

use super::Parts;
use super::activity::{Activity, Place, Places, Tracked, Watched};

/// Connections at one time.
const CONNECTIONS: usize = 256;

/// What is buffered of one connection's requests, and of its answers: the largest head, and some
/// pieces of an answer.
const BUFFER: usize = 128 * 1024;

/// Bytes that an idle connection holds. They are accounted for, and never refused: there are few
/// connections, and whoever looks for what takes the memory needs one.
const IDLE: usize = 10 * 1024;

/// What the system keeps of answers on their way, as far as it follows the wish. A client counts as
/// reading when a good part of this has left.
const SEND_BUFFER: usize = 64 * 1024;

/// Serves the API on `listener` until the server stops. Requests that are being answered then are
/// answered to the end.
pub(crate) async fn serve(parts: Parts, listener: TcpListener) {
    let router = super::router(&parts);
    let engine = &parts.engine;
    let places = Places::new(CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&parts, &listener, &places) => accepted,
            () = engine.stopping.cancelled() => return,
        };
        let Some((stream, activity, place)) = accepted else {
            continue;
        };
        let (owned, router) = (engine.clone(), router.clone());
        let charge = Charge::forced(engine.broker.budget(), Kind::Http, IDLE);
        parts.tasks.spawn(async move {
            serve_connection(&owned, stream, &activity, router).await;
            drop((place, charge));
        });
    }
}

/// The next connection, once there is a place for it.
async fn accept(
    parts: &Parts,
    listener: &TcpListener,
    places: &Arc<Places>,
) -> Option<(TcpStream, Arc<Activity>, Place)> {
    match listener.accept().await {
        Ok((stream, _)) => {
            let activity = Activity::new(parts.engine.broker.config().http_idle_timeout);
            let place = places.take(&activity).await;
            Some((stream, activity, place))
        }
        Err(error) => {
            let now = parts.engine.clock.now().live;
            back_off(&parts.cannot_accept, now, "http", &error).await;
            None
        }
    }
}

async fn serve_connection(
    engine: &Engine,
    stream: TcpStream,
    activity: &Arc<Activity>,
    router: Router,
) {
    // A socket that fails here fails at its first read as well.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER);
    let router = TowerToHyperService::new(router);
    let service = service_fn(|request| answer(&router, activity, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(engine.broker.config().http_idle_timeout)
        .max_buf_size(BUFFER)
        .serve_connection(
            TokioIo::new(Watched::new(stream, activity.clone())),
            service,
        );
    let mut connection = pin!(connection);
    let mut expired = pin!(activity.expired());
    let mut stopping = pin!(engine.stopping.cancelled());
    let mut is_stopping = false;
    let ended = loop {
        tokio::select! {
            ended = connection.as_mut() => break ended,
            expired = expired.as_mut() => {
                tracing::debug!(listener = "http", "connection closed: {}", expired.reason());
                activity.abandon(expired);
                return;
            }
            () = stopping.as_mut(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(listener = "http", "connection ended: {error}");
    }
}

/// Passes a request on, and tells the connection's activity of it.
async fn answer(
    router: &TowerToHyperService<Router>,
    activity: &Arc<Activity>,
    request: Request<Incoming>,
) -> Result<Response<Tracked<Body>>, Infallible> {
    activity.begin();
    let request = request.map(|body| Body::new(Tracked::request(body, activity.clone())));
    let response = router.call(request).await?;
    Ok(response.map(|body| Tracked::answer(body, activity.clone())))
}
