//! The HTTP control API: what the broker looks like from inside, and the few things that an operator
//! or a test does to it. It holds no state of its own; every answer is read from the broker.
//!
//! A listener on the loopback interface is in reach of every web page that a browser on this machine
//! shows. [`guard`] stands in front of every handler and lets none of them in.
//!
//! Behind the service's own ports ([`arrival`]) is what the service has, and nothing of the broker's own: other
//! machines may reach them, and their calls have to show who makes them (`aws::permission`).
//!
//! What a caller can make the broker hold, bodies and answers, is charged to the broker's budget before
//! it is held. Not charged, and bounded by a constant per connection, are the buffers of [`mod@serve`] and
//! answers that are short whatever is asked: an error, health, counters. What takes long runs as one of
//! few [`jobs`](jobs::Jobs), or is shared by all who ask for it; and a connection that does nothing is
//! closed ([`activity`]).

mod activity;
mod answer;
mod arrival;
#[cfg(feature = "aws")]
mod aws;
mod body;
#[cfg(feature = "console")]
mod console;
#[cfg(feature = "doors")]
mod doors;
mod error;
mod guard;
mod health;
mod jobs;
mod listener;
mod metrics;
mod query;
mod sampler;
mod serve;
mod streams;
mod subscribers;
mod turns;
mod v1;
mod waits;

use std::sync::Arc;

use axum::Router;
#[cfg(feature = "console")]
use axum::middleware::from_fn;
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::IntoResponse;
use axum::routing::{any, get};

#[cfg(feature = "aws")]
use crate::aws::{authority::Authority, connectivity::Connectivity};
use crate::broker::Overview;
use crate::config::Limits;
use crate::engine::{Engine, Turns};
#[cfg(feature = "aws")]
use crate::net::Functions;
use crate::net::{Seldom, Tasks};
use crate::time::Calendar;

use arrival::Entrance;
use error::{ApiError, unknown_path, wrong_method};
use jobs::{Jobs, SharedJob};
use streams::Streams;
use subscribers::Subscribers;
use waits::Waits;

pub(crate) use listener::listen;
pub(crate) use serve::{Server, Servers};

/// What a request body may have beyond the largest payload, in bytes: names, quotes, properties.
const BODY_ALLOWANCE: usize = 1 << 20;

/// What a server hands to its API.
pub(crate) struct Parts {
    pub(crate) engine: Arc<Engine>,
    /// Connections are spawned on them.
    pub(crate) tasks: Tasks,
    /// Shown as a metric.
    pub(crate) turns: Arc<Turns>,
    /// The log line on listeners that cannot accept.
    pub(crate) cannot_accept: Arc<Seldom>,
    /// Where the broker is.
    pub(crate) place: Arc<Place>,
    /// What the service's own operations are about, if there is one.
    #[cfg(feature = "aws")]
    pub(crate) authority: Option<Arc<Authority>>,
    /// What this broker is known by where the file of its registry is, if it has one.
    #[cfg(feature = "aws")]
    pub(crate) registry_token: Option<Arc<str>>,
    /// How clients' connections ended.
    #[cfg(feature = "aws")]
    pub(crate) connectivity: Arc<Connectivity>,
    /// What answers in the place of functions of AWS Lambda.
    #[cfg(feature = "aws")]
    pub(crate) functions: Arc<Functions>,
    /// What issues certificates of clients, if anything does.
    #[cfg(all(feature = "aws", feature = "tls"))]
    pub(crate) signer: Option<Arc<crate::net::ca::Signer>>,
}

/// Where clients find the broker.
#[derive(Default)]
pub(crate) struct Place {
    pub(crate) addrs: crate::server::Addrs,
    /// What they trust.
    pub(crate) ca_file: Option<std::path::PathBuf>,
}

/// What every handler works with.
#[derive(Clone)]
struct Api {
    engine: Arc<Engine>,
    tasks: Tasks,
    turns: Arc<Turns>,
    jobs: Jobs,
    waits: Waits,
    overview: Arc<SharedJob<Overview>>,
    streams: Arc<Streams>,
    subscribers: Arc<Subscribers>,
    place: Arc<Place>,
    /// Another one for each start of a broker, so that those who come back see that it is another.
    instance: Arc<str>,
    /// For the dates of the journal.
    calendar: Calendar,
    #[cfg(feature = "aws")]
    host: Arc<aws::Host>,
}

impl Api {
    fn new(parts: &Parts) -> Self {
        Self {
            engine: parts.engine.clone(),
            tasks: parts.tasks.clone(),
            turns: parts.turns.clone(),
            jobs: Jobs::new(),
            waits: Waits::new(),
            overview: Arc::new(SharedJob::new()),
            streams: Arc::default(),
            subscribers: Arc::default(),
            place: parts.place.clone(),
            instance: uuid::Uuid::new_v4().simple().to_string().into(),
            calendar: parts.engine.clock.calendar(),
            #[cfg(feature = "aws")]
            host: Arc::new(aws::Host::new(parts)),
        }
    }

    /// The broker's counters at this moment. All sessions are summed up for them.
    async fn overview(&self) -> Result<Overview, ApiError> {
        let engine = self.engine.clone();
        let job = move || engine.broker.overview(engine.clock.now().now);
        self.overview.run(job).await
    }
}

/// Every path that there is behind an entrance, and the guard before them: the broker's own, which
/// `openapi.json` describes, and beside them those of the service. Each family has its own form of errors.
/// The doors of the service have no others than the service has.
fn router(api: Api, entrance: Entrance) -> Router {
    let guard = |refuse: guard::Refuse| {
        let guard = guard::Guard {
            engine: api.engine.clone(),
            entrance,
            refuse,
        };
        from_fn_with_state(guard, guard::admit)
    };
    let plain: guard::Refuse = |error, _| error.into_response();
    #[cfg(feature = "aws")]
    let others = Router::new().fallback(aws::serve);
    #[cfg(not(feature = "aws"))]
    let others = Router::new().fallback(unknown_path);
    #[cfg(feature = "aws")]
    let refuse: guard::Refuse = aws::refuse;
    #[cfg(not(feature = "aws"))]
    let refuse = plain;
    match entrance {
        Entrance::Own => {
            let own = routes();
            #[cfg(feature = "console")]
            let (own, others) = match api.engine.broker.config().console {
                true => (
                    own.merge(console::router()),
                    others.layer(from_fn(console::welcome)),
                ),
                false => (own, others),
            };
            let all = own.layer(guard(plain)).merge(others.layer(guard(refuse)));
            all.layer(map_response(guard::keep_kind))
        }
        #[cfg(feature = "doors")]
        Entrance::Door | Entrance::DeviceDoor => others.layer(guard(refuse)),
    }
    .with_state(api)
}

/// What whoever started the broker asks it, and the control API below its own prefix. What other paths
/// get is left open.
fn routes() -> Router<Api> {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(metrics::scrape))
        .method_not_allowed_fallback(wrong_method)
        .nest("/v1", v1::router())
        // The one path with the prefix that the fallback of a nested router misses.
        .route("/v1/", any(unknown_path))
}

/// The largest request body, in bytes.
fn body_limit(limits: &Limits) -> usize {
    let payload = limits.payload_size.unwrap_or(limits.packet_size);
    payload as usize + BODY_ALLOWANCE
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::{Request, StatusCode};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;
    use crate::config::Config;

    /// The parts of a broker that has not begun.
    pub(super) fn parts() -> Parts {
        let shared = crate::server::share(
            Config::standard(),
            Default::default(),
            #[cfg(feature = "aws")]
            None,
        );
        Parts {
            engine: shared.engine.clone(),
            tasks: shared.tasks.clone(),
            turns: shared.turns.clone(),
            cannot_accept: shared.notices.cannot_accept.clone(),
            place: Arc::default(),
            #[cfg(feature = "aws")]
            authority: None,
            #[cfg(feature = "aws")]
            registry_token: None,
            connectivity: shared.connectivity.clone(),
            #[cfg(feature = "aws")]
            functions: shared.functions.clone(),
            #[cfg(all(feature = "aws", feature = "tls"))]
            signer: None,
        }
    }

    async fn ask(router: &Router, method: &str, path: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path);
        let request = request.body(Body::empty()).expect("a request");
        let router = TowerToHyperService::new(router.clone());
        let answer = router.call(request).await.expect("an answer");
        let status = answer.status();
        let body = to_bytes(answer.into_body(), 1 << 20).await.expect("a body");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn router_beside_the_api_answers_in_its_own_way_and_the_api_in_its() {
        let theirs = || async { (StatusCode::NOT_FOUND, "theirs") };
        let other = Router::new()
            .route("/things/{name}", get(theirs).fallback(theirs))
            .fallback(theirs);
        let both = routes().merge(other).with_state(Api::new(&parts()));
        let alone = router(Api::new(&parts()), Entrance::Own);
        for (method, path, error) in [
            (
                "GET",
                "/v1",
                "no path '/v1': /v1/openapi.json has those that there are",
            ),
            (
                "GET",
                "/v1/",
                "no path '/v1/': /v1/openapi.json has those that there are",
            ),
            (
                "GET",
                "/v1//stats",
                "no path '/v1//stats': /v1/openapi.json has those that there are",
            ),
            (
                "GET",
                "/v1/things/a",
                "no path '/v1/things/a': /v1/openapi.json has those that there are",
            ),
            (
                "GET",
                "/v1/clients/a/b",
                "no path '/v1/clients/a/b': /v1/openapi.json has those that there are",
            ),
            ("PUT", "/v1/stats", "PUT is not for '/v1/stats'"),
            ("PUT", "/healthz", "PUT is not for '/healthz'"),
        ] {
            let status = match method {
                "PUT" => StatusCode::METHOD_NOT_ALLOWED,
                _ => StatusCode::NOT_FOUND,
            };
            let expected = (status, format!(r#"{{"error":"{error}"}}"#));
            assert_eq!(ask(&both, method, path).await, expected);
        }
        for (method, path) in [
            ("GET", "/"),
            ("GET", "/v1x"),
            ("PUT", "/things/a"),
            ("GET", "/v2/clients"),
        ] {
            let expected = (StatusCode::NOT_FOUND, "theirs".to_owned());
            assert_eq!(ask(&both, method, path).await, expected, "{path}");
            // Without a Host.
            let (status, _) = ask(&alone, method, path).await;
            assert_eq!(
                status,
                StatusCode::FORBIDDEN,
                "the guard is in front of {path}"
            );
        }
        assert_eq!(ask(&both, "GET", "/healthz").await.0, StatusCode::OK);
    }
}
