//! Functions of AWS Lambda, as far as the configuration says what answers in their place (`[[lambda]]`): whoever
//! has one asked names it by its ARN, hands over an event in JSON, and gets the result in JSON.
//!
//! A call is one future. Dropping it ends it, with its connection.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::time::Duration;

use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::budget::{Charge, Full, Kind};
use crate::config::Lambda;
use crate::engine::Engine;

/// For a call, from beginning to end.
const LIMIT: Duration = Duration::from_secs(5);

/// Bytes of a result.
const RESULT_MAX: usize = 256 * 1024;

/// Where to knock if a URL does not say.
const PORT: u16 = 80;

/// What answers, by ARN.
pub(crate) struct Functions(HashMap<String, Answers>);

enum Answers {
    /// Whoever listens there.
    Url(String),
    /// These, in JSON.
    Fixed {
        by_key: BTreeMap<String, String>,
        otherwise: Option<String>,
    },
}

/// A result.
pub(crate) struct Outcome {
    /// It should be JSON.
    pub(crate) body: Vec<u8>,
    /// Accounts for it.
    _charge: Charge,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoOutcome {
    #[error("nothing answers for function {0} ([[lambda]] in the configuration says what does)")]
    Unknown(String),
    #[error("there is no result for this in the configuration")]
    NoResult,
    #[error("`{0}` is no URL of the form http://host:port/path")]
    BadUrl(String),
    #[error("cannot reach {url}: {source}")]
    Unreachable { url: String, source: io::Error },
    #[error("{url} gave no answer: {source}")]
    Broken { url: String, source: hyper::Error },
    #[error("{url} answered with status {status}")]
    Status { url: String, status: StatusCode },
    #[error("{url} did not answer within {LIMIT:?}")]
    Slow { url: String },
    #[error("{url} answered with more than {RESULT_MAX} bytes")]
    TooLarge { url: String },
    #[error("there is no memory for a call")]
    NoMemory,
}

impl From<Full> for NoOutcome {
    fn from(_: Full) -> Self {
        Self::NoMemory
    }
}

impl Functions {
    pub(crate) fn new(lambda: &[Lambda]) -> Self {
        let known = lambda.iter().map(|lambda| {
            let answers = match &lambda.url {
                Some(url) => Answers::Url(url.clone()),
                None => Answers::Fixed {
                    by_key: lambda.results.clone(),
                    otherwise: lambda.result.clone(),
                },
            };
            (lambda.arn.clone(), answers)
        });
        Self(known.collect())
    }

    /// Calls a function with an event. Results that the configuration has are found by the first of the `keys`
    /// that has one.
    pub(crate) async fn call(
        &self,
        engine: &Engine,
        arn: &str,
        event: String,
        keys: &[String],
    ) -> Result<Outcome, NoOutcome> {
        let mut charge = engine.broker.charge(Kind::Packets);
        let answers = self.0.get(arn);
        match answers.ok_or_else(|| NoOutcome::Unknown(arn.to_owned()))? {
            Answers::Fixed { by_key, otherwise } => {
                let found = keys.iter().find_map(|key| by_key.get(key));
                let result = found.or(otherwise.as_ref()).ok_or(NoOutcome::NoResult)?;
                charge.grow(result.len())?;
                Ok(Outcome {
                    body: result.clone().into_bytes(),
                    _charge: charge,
                })
            }
            Answers::Url(url) => {
                charge.grow(event.len())?;
                let posted = Box::pin(post(url, event, charge));
                let posted = engine.clock.timeout(LIMIT, posted).await;
                posted.unwrap_or_else(|_| Err(NoOutcome::Slow { url: url.clone() }))
            }
        }
    }
}

/// Sends an event and reads what comes back.
async fn post(url: &str, event: String, charge: Charge) -> Result<Outcome, NoOutcome> {
    let (host, request) = request(url, event).ok_or_else(|| NoOutcome::BadUrl(url.to_owned()))?;
    let stream = TcpStream::connect(host).await;
    let stream = stream.map_err(|source| NoOutcome::Unreachable {
        url: url.to_owned(),
        source,
    })?;
    let broken = |source| NoOutcome::Broken {
        url: url.to_owned(),
        source,
    };
    let begun = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = begun.map_err(broken)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(broken)?;
        read(url, response, charge).await
    };
    // Whoever waits for the answer is told what becomes of the connection.
    let moved = async {
        let _ = connection.await;
        pending::<Infallible>().await
    };
    tokio::select! {
        answer = exchange => answer,
        never = moved => match never {},
    }
}

/// Where to connect to, and what to send there.
fn request(url: &str, event: String) -> Option<((String, u16), Request<String>)> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?;
    if uri.scheme_str() != Some("http") || authority.as_str().contains('@') {
        return None;
    }
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::post(target)
        .header(header::HOST, authority.as_str())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ACCEPT, "application/json")
        .header(header::CONNECTION, "close")
        .body(event);
    Some(((host, authority.port_u16().unwrap_or(PORT)), request.ok()?))
}

async fn read(
    url: &str,
    response: Response<Incoming>,
    mut charge: Charge,
) -> Result<Outcome, NoOutcome> {
    let (parts, mut incoming) = response.into_parts();
    if parts.status != StatusCode::OK {
        return Err(NoOutcome::Status {
            url: url.to_owned(),
            status: parts.status,
        });
    }
    let mut body = Vec::new();
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
        let frame = frame.map_err(|source| NoOutcome::Broken {
            url: url.to_owned(),
            source,
        })?;
        // Trailers are nothing to anybody here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if body.len() + data.len() > RESULT_MAX {
            return Err(NoOutcome::TooLarge {
                url: url.to_owned(),
            });
        }
        charge.grow(data.len())?;
        body.extend_from_slice(&data);
    }
    Ok(Outcome {
        body,
        _charge: charge,
    })
}
