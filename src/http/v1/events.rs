//! `GET /v1/events`: server-sent events that say what has changed.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::super::Api;
use super::super::error::{ApiError, excerpt};
use super::super::query::Parameters;
use super::super::sampler;
use super::super::streams::{NoStream, Topic, Wanted, frame};
use super::super::waits::Patience;
use super::groups::check_names;

/// A stream has no end of its own.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// What a stream begins with.
#[derive(Serialize)]
struct Hello<'a> {
    instance: &'a str,
    version: &'static str,
}

/// A stream until the client or the broker ends it.
pub(super) async fn stream(
    State(api): State<Api>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let wanted = wanted(&Parameters::parse(&uri, &["topics", "share", "filter"])?)?;
    let hello = Hello {
        instance: &api.instance,
        version: env!("CARGO_PKG_VERSION"),
    };
    let hello = frame(Topic::Hello, &hello);
    let opened = api.streams.open(wanted, hello, &api.engine.broker);
    let (events, sampling) = match opened {
        Ok(opened) => opened,
        Err(refused) => return Ok(refuse(&refused)),
    };
    patience.grant(LONGEST);
    if let Some(sampling) = sampling {
        api.tasks.spawn(sampler::sample(api.clone(), sampling));
    }
    Ok(answer(Body::new(events)))
}

/// An answer that is a stream.
pub(super) fn answer(body: Body) -> Response {
    let kind = HeaderValue::from_static("text/event-stream");
    let fresh = HeaderValue::from_static("no-store");
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, fresh)], body).into_response()
}

pub(super) fn refuse(refused: &NoStream) -> Response {
    let error = match refused {
        NoStream::TooMany => "there are 16 streams already; try again",
        NoStream::NoMemory => "there is no memory for a stream; try again",
    };
    let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error);
    let soon = [(RETRY_AFTER, HeaderValue::from_static("5"))];
    (soon, error).into_response()
}

fn wanted(parameters: &Parameters) -> Result<Wanted, ApiError> {
    let topics = parameters
        .text("topics")
        .ok_or_else(|| ApiError::invalid("topics", "missing parameter 'topics'"))?;
    let mut wanted = Wanted::default();
    let mut wants_turns = false;
    for topic in topics.split(',') {
        match topic {
            "stats" => wanted.stats = true,
            "clients" => wanted.clients = true,
            "groups" => wanted.groups = true,
            "topics" => wanted.topics = true,
            "journal" => wanted.journal = true,
            "turns" => wants_turns = true,
            _ => {
                let error = format!(
                    "'{}' is none of stats, clients, groups, topics, journal and turns",
                    excerpt(topic)
                );
                return Err(ApiError::invalid("topics", error));
            }
        }
    }
    let name = |name: &'static str| match (parameters.owned(name), wants_turns) {
        (None, true) => {
            let error = format!("the turns of a group are asked for, and there is no '{name}'");
            Err(ApiError::invalid(name, error))
        }
        (Some(_), false) => {
            let error = format!("'{name}' says whose turns, and 'topics' does not have them");
            Err(ApiError::invalid(name, error))
        }
        (found, _) => Ok(found),
    };
    wanted.turns = name("share")?.zip(name("filter")?);
    if let Some((share, filter)) = &wanted.turns {
        check_names(Some(share), Some(filter))?;
    }
    Ok(wanted)
}
