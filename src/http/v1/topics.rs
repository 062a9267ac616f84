//! `GET /v1/topics`: the filters that somebody subscribes to.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;

use crate::broker::TopicSnapshot;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::{LIST, OwnedPageOf, Parameters};

#[derive(Serialize)]
struct Topic {
    filter: String,
    /// Clients with a plain subscription.
    subscribers: usize,
    /// Shared groups.
    groups: usize,
}

/// A page of the filters, by name.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let page = Parameters::parse(&uri, &LIST)?.page()?;
    let engine = api.engine;
    let job = move || {
        let next_page = |page: &OwnedPageOf| engine.broker.filter_page(&page.as_page());
        let found = next_page(&page);
        let topics = super::shown(
            found.entries,
            &page,
            next_page,
            |filter| filter,
            |filter| engine.broker.filter(filter).map(Topic::from),
        );
        Answer::list("topics", topics, found.total, engine.broker.budget())
    };
    api.jobs.run(job).await?
}

impl From<TopicSnapshot> for Topic {
    fn from(topic: TopicSnapshot) -> Self {
        Self {
            filter: topic.filter,
            subscribers: topic.subscribers,
            groups: topic.groups,
        }
    }
}
