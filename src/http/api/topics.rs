//! `GET /v1/topics`: the filters that somebody subscribes to.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use crate::broker::TopicSnapshot;
use crate::net::Shared;

#[derive(Serialize)]
pub(in crate::http) struct Topics {
    topics: Vec<Topic>,
}

#[derive(Serialize)]
struct Topic {
    filter: String,
    /// Clients with a plain subscription.
    subscribers: usize,
    /// Shared groups.
    groups: usize,
}

/// All filters, by name.
pub(in crate::http) async fn list(State(shared): State<Arc<Shared>>) -> Json<Topics> {
    Json(Topics {
        topics: shared
            .broker
            .filters()
            .into_iter()
            .map(Topic::from)
            .collect(),
    })
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
