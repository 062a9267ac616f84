//! The API on a connection, whatever carries it, bounded so that slow clients cannot pile up.
//!
//! A connection that neither sends nor reads is closed (`http_idle_timeout`), wherever in its life;
//! one that does a little now and then is closed when its request takes several times as long. When
//! all places are taken, the connection that has kept its place longest gives way.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::broker::ConnectionFacts;
use crate::budget::{Charge, Kind};
use crate::engine::Engine;
use crate::net::http1::{self, Bounds};
use crate::protocol::wrong_door::Spoken;

use super::activity::{Activity, Place, Places, Tracked, Watched};
#[cfg(feature = "aws")]
use super::arrival::Arrival;
use super::arrival::Entrance;
use super::waits::Patience;
use super::{Api, Parts};

/// Connections at one time.
const CONNECTIONS: usize = 256;

/// What is buffered of one connection's requests, and of its answers: the largest head, and some
/// pieces of an answer.
const BUFFER: usize = 128 * 1024;

/// Bytes that an idle connection holds. They are accounted for, and never refused: there are few
/// connections, and whoever looks for what takes the memory needs one.
const IDLE: usize = 10 * 1024;

/// The API at one entrance, and what the connections there share. Each entrance has places of its own, so
/// that strangers at a door do not keep whoever runs the broker waiting.
pub(crate) struct Server {
    pub(super) parts: Arc<Parts>,
    entrance: Entrance,
    router: TowerToHyperService<Router>,
    places: Arc<Places>,
}

/// The API, for the entrances that there are.
pub(crate) struct Servers {
    api: Api,
    parts: Arc<Parts>,
}

impl Servers {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            api: Api::new(&parts),
            parts: Arc::new(parts),
        }
    }

    /// The server at the port of the API.
    pub(crate) fn own(&self) -> Arc<Server> {
        self.at(Entrance::Own)
    }

    /// The one at the door for everything.
    #[cfg(feature = "doors")]
    pub(crate) fn door(&self) -> Arc<Server> {
        self.at(Entrance::Door)
    }

    /// The one at the door for devices.
    #[cfg(feature = "doors")]
    pub(crate) fn device_door(&self) -> Arc<Server> {
        self.at(Entrance::DeviceDoor)
    }

    /// Made for an entrance that there is: all their paths take a good part of a start.
    fn at(&self, entrance: Entrance) -> Arc<Server> {
        let router = super::router(self.api.clone(), entrance);
        Arc::new(Server::new(self.parts.clone(), entrance, router))
    }
}

impl Server {
    fn new(parts: Arc<Parts>, entrance: Entrance, router: Router) -> Self {
        Self {
            parts,
            entrance,
            router: TowerToHyperService::new(router),
            places: Places::new(CONNECTIONS),
        }
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.parts.engine
    }

    /// Waits for a connection's place. Its idle time runs from now.
    pub(crate) async fn admit(&self) -> Connection {
        let broker = &self.engine().broker;
        let activity = Activity::new(broker.config().http_idle_timeout);
        let place = self.places.take(&activity).await;
        Connection {
            engine: self.engine().clone(),
            entrance: self.entrance,
            router: self.router.clone(),
            activity,
            _place: place,
            _charge: Charge::forced(broker.budget(), Kind::Http, IDLE),
        }
    }
}

/// A connection that has its place, and is accounted for, until this is dropped.
pub(crate) struct Connection {
    engine: Arc<Engine>,
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "there is one then"))]
    entrance: Entrance,
    router: TowerToHyperService<Router>,
    activity: Arc<Activity>,
    _place: Place,
    _charge: Charge,
}

/// How a connection ended.
pub(crate) enum Ended<S> {
    /// There is nothing left to do with its stream.
    Closed,
    /// Its client may never read what it was sent: it is time to close the stream whatever it holds.
    Unread(S),
    /// An answer switched protocols (101). What follows the bytes on the stream is the other one.
    Switched(S, Bytes),
}

impl Connection {
    /// Answers the requests on `stream`, of which `front` was read already, until either side ends it.
    /// Once the server stops, those that have begun are answered, and no others.
    pub(crate) async fn serve<S>(
        &self,
        front: Bytes,
        stream: S,
        facts: &ConnectionFacts,
    ) -> Ended<S>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (listener, peer) = (facts.listener(), facts.peer());
        #[cfg(feature = "aws")]
        let arrival = Arrival::new(self.entrance, facts);
        let bounds = Bounds {
            buffer: BUFFER,
            head_timeout: Some(self.engine.broker.config().http_idle_timeout),
        };
        let served = http1::serve(
            front,
            Watched::new(stream, self.activity.clone()),
            &bounds,
            |request| {
                #[cfg(feature = "aws")]
                let request = arrival.mark(request);
                // At once: what the stream says next is already said while a request is answered.
                self.activity.begin();
                self.answer(request, facts)
            },
            self.engine.stopping.cancelled(),
            self.activity.expired(),
        );
        let served = served.await;
        let misled = self.misled(facts);
        if let Some(words) = &misled {
            tracing::info!(%peer, listener, "refused: {words}");
        }
        match served {
            Ok(http1::Ended::Closed) => Ended::Closed,
            Ok(http1::Ended::Switched { stream, read }) => {
                Ended::Switched(stream.into_inner(), read)
            }
            Ok(http1::Ended::GivenUp { stream, why }) => {
                tracing::debug!(listener, %peer, "connection closed: {}", why.reason());
                match self.activity.is_unread(why) {
                    true => Ended::Unread(stream.into_inner()),
                    false => Ended::Closed,
                }
            }
            Err(error) => {
                if misled.is_none() {
                    tracing::debug!(listener, %peer, "connection ended: {error}");
                }
                Ended::Closed
            }
        }
    }

    /// What to say of a client that spoke something else than the API.
    fn misled(&self, facts: &ConnectionFacts) -> Option<String> {
        let spoken = self.activity.spoken()?;
        // At the doors a path may be one of WebSocket.
        let may_be_right = spoken == Spoken::WebSocket && facts.listener() != super::listener::NAME;
        let listeners = &self.engine.broker.config().listeners;
        spoken.at_http(listeners).filter(|_| !may_be_right)
    }

    /// Passes a request on, and tells the connection's activity of it.
    async fn answer(
        &self,
        request: Request<Incoming>,
        facts: &ConnectionFacts,
    ) -> Response<Tracked<Body>> {
        let activity = &self.activity;
        if let Some(response) = self.upgrade(&request, facts) {
            return response.map(|body| Tracked::answer(Body::from(body), activity.clone()));
        }
        let mut request = request.map(|body| Body::new(Tracked::request(body, activity.clone())));
        request
            .extensions_mut()
            .insert(Patience::of(activity.clone()));
        let response = match self.router.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        response.map(|body| Tracked::answer(body, activity.clone()))
    }

    /// The answer to a request for MQTT over WebSocket, which is at a path of the door for everything.
    #[cfg(feature = "doors")]
    fn upgrade(
        &self,
        request: &Request<Incoming>,
        facts: &ConnectionFacts,
    ) -> Option<Response<String>> {
        use crate::net::ws;

        let is_one = self.entrance == Entrance::Door && request.uri().path() == ws::PATH;
        is_one.then(|| ws::answer(&self.engine, request, facts))
    }

    #[cfg(not(feature = "doors"))]
    fn upgrade(&self, _: &Request<Incoming>, _: &ConnectionFacts) -> Option<Response<String>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;
    use axum::http::header::UPGRADE;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::super::tests::parts;
    use super::*;
    use crate::broker::PeerAddr;

    /// What either side may have sent that the other has not read.
    const PIPE: usize = 64;

    fn server() -> Server {
        let parts = parts();
        let router = super::super::router(Api::new(&parts), Entrance::Own);
        Server::new(Arc::new(parts), Entrance::Own, router)
    }

    async fn serve(server: &Server, front: &[u8], stream: DuplexStream) -> Ended<DuplexStream> {
        let facts = ConnectionFacts::new("test", PeerAddr::Memory, None);
        let front = Bytes::copy_from_slice(front);
        server.admit().await.serve(front, stream, &facts).await
    }

    #[tokio::test]
    async fn requests_are_answered_however_they_are_cut_and_what_was_read_before() {
        let server = server();
        let body = r#"{"topic":"a/b","payload":"hello"}"#;
        let length = body.len();
        let requests = format!(
            "POST /v1/publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}\
             GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n\
             GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        );
        for front in [0, 1, 60, requests.len()] {
            for size in [1, 7, 1000] {
                let (front, rest) = requests.as_bytes().split_at(front);
                let (client, stream) = duplex(PIPE);
                let (mut reader, mut writer) = tokio::io::split(client);
                let mut answers = String::new();
                let (ended, ..) = tokio::join!(
                    serve(&server, front, stream),
                    async {
                        for piece in rest.chunks(size) {
                            writer.write_all(piece).await.unwrap();
                            tokio::task::yield_now().await;
                        }
                    },
                    reader.read_to_string(&mut answers),
                );
                assert!(matches!(ended, Ended::Closed));
                let statuses: Vec<_> = answers
                    .match_indices("HTTP/1.1 ")
                    .map(|(at, found)| &answers[at + found.len()..][..3])
                    .collect();
                assert_eq!(statuses, ["200", "200", "404"], "{answers}");
                assert!(answers.contains(r#"{"error":"no path '/nothing': "#));
            }
        }
    }

    #[tokio::test]
    async fn stream_is_given_back_when_an_answer_switches_protocols() {
        let switch = || async { (StatusCode::SWITCHING_PROTOCOLS, [(UPGRADE, "other")]) };
        let router = Router::new().route("/", get(switch));
        let server = Server::new(Arc::new(parts()), Entrance::Own, router);
        let request =
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
        // More of it than is read at once.
        let behind = "behind".repeat(5000);
        let all = format!("{request}{behind}");
        for front in [0, request.len(), all.len()] {
            let (front, rest) = all.as_bytes().split_at(front);
            let (mut client, stream) = duplex(1 << 16);
            client.write_all(rest).await.unwrap();
            let Ended::Switched(mut stream, read) = serve(&server, front, stream).await else {
                panic!("it did not switch");
            };
            client.write_all(b" it").await.unwrap();
            stream.write_all(b"answer").await.unwrap();
            client.shutdown().await.unwrap();
            let mut read = read.to_vec();
            stream.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, format!("{behind} it").as_bytes());
            drop(stream);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
            assert!(answer.ends_with("\r\n\r\nanswer"), "{answer}");
        }
        // Nobody asked for it.
        let (mut client, stream) = duplex(1024);
        let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        client.write_all(request).await.unwrap();
        assert!(matches!(serve(&server, b"", stream).await, Ended::Closed));
    }

    /// Sends it all, then says that no more comes, and reads to the end.
    async fn ask_and_half_close(server: &Server, requests: &str) -> String {
        let (mut client, stream) = duplex(1 << 16);
        client.write_all(requests.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut answers = String::new();
        let (_, read) = tokio::join!(
            serve(server, b"", stream),
            client.read_to_string(&mut answers)
        );
        read.unwrap();
        answers
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_that_no_more_comes_is_answered_first() {
        let slow = || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            "done"
        };
        let router = Router::new().route("/", get(slow));
        let server = Server::new(Arc::new(parts()), Entrance::Own, router);
        let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answers = ask_and_half_close(&server, &request.repeat(3)).await;
        assert_eq!(answers.matches("\r\n\r\ndone").count(), 3, "{answers}");
        // A body that does not come whole is nothing to wait for.
        let cut = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ncut";
        let begun = tokio::time::Instant::now();
        ask_and_half_close(&server, cut).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_ends_with_the_stream_of_who_asked() {
        let request = "GET /v1/clients/nobody?wait=60s HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let begun = tokio::time::Instant::now();
        assert_eq!(ask_and_half_close(&server(), request).await, "");
        assert!(
            begun.elapsed() < Duration::from_secs(1),
            "{:?}",
            begun.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn stream_whose_client_does_not_read_is_given_back_and_one_that_is_idle_is_not() {
        let server = server();
        let (mut client, stream) = duplex(PIPE);
        let request = b"GET /v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let (ended, written) = tokio::join!(serve(&server, b"", stream), client.write_all(request));
        written.unwrap();
        assert!(matches!(ended, Ended::Unread(_)));
        let (_client, stream) = duplex(PIPE);
        assert!(matches!(serve(&server, b"", stream).await, Ended::Closed));
    }

    #[tokio::test(start_paused = true)]
    async fn stop_ends_a_connection_between_requests() {
        let server = server();
        let (mut client, stream) = duplex(1024);
        let stopping = server.engine().stopping.clone();
        let asking = async {
            let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
            client.write_all(request).await.unwrap();
            client.read_u8().await.unwrap();
            stopping.cancel();
        };
        let start = tokio::time::Instant::now();
        let (ended, ()) = tokio::join!(serve(&server, b"", stream), asking);
        assert!(matches!(ended, Ended::Closed));
        assert!(start.elapsed().is_zero(), "it was not waited for");
    }

    #[tokio::test(start_paused = true)]
    async fn connection_keeps_its_place_and_its_charge_until_it_is_dropped() {
        let server = Server {
            places: Places::new(1),
            ..server()
        };
        let used = || server.engine().broker.budget().used_by(Kind::Http);
        let first = server.admit().await;
        let minute = Duration::from_secs(60);
        assert!(timeout(minute, server.admit()).await.is_err());
        assert_eq!(used(), IDLE);
        drop(first);
        assert_eq!(used(), 0);
        drop(server.admit().await);
    }
}
