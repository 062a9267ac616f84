//! `GET /v1/subscriptions`: who subscribes to a filter, or to what a client subscribes.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;
use std::fmt::Display;

use crate::broker::{Broker, Subject, SubscriptionOf, SubscriptionsOf};
use crate::topic::Filter;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::Parameters;
use super::super::waits::{self, Missed, Patience};

/// The parameters.
const KNOWN: [&str; 8] = [
    "filter",
    "client",
    "subscribed",
    "captures",
    "wait",
    "after",
    "limit",
    "q",
];

/// Captures that may be waited for.
const CAPTURES: usize = 128;

#[derive(Serialize)]
struct Subscription {
    client_id: String,
    connected: bool,
    /// As it was sent, `$share/NAME/` and all.
    filter: String,
    qos: u8,
}

/// A page of the subscriptions of a client, by filter, or of those to a filter, by client.
pub(super) async fn list(
    State(api): State<Api>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &KNOWN)?;
    let filter = parameters.owned("filter");
    let client = parameters.owned("client");
    let page = parameters.page()?;
    if filter.is_none() && client.is_none() {
        let error = "neither 'filter' nor 'client' says whose subscriptions";
        return Err(ApiError::invalid("filter", error));
    }
    if let Some(Err(error)) = filter.as_deref().map(Filter::parse) {
        return Err(ApiError::invalid("filter", error.to_string()));
    }
    let captures = parameters.number("captures", CAPTURES)?;
    if captures.is_some() && filter.is_none() {
        let error = "'captures' are of a filter, and there is no 'filter'";
        return Err(ApiError::invalid("captures", error));
    }
    let wanted = parameters.flag("subscribed")?;
    let waited = match waits::asked(&parameters)? {
        None => {
            waits::refuse_conditions(&parameters, &["captures", "subscribed"])?;
            None
        }
        Some(within) => {
            let wanted = wanted.unwrap_or(true);
            let what = match (captures, wanted) {
                (Some(_), _) => "fewer captures of this filter",
                (None, true) => "no such subscription",
                (None, false) => "still such a subscription",
            };
            let subjects = [Subject::Subscriptions];
            let is_so = |broker: &Broker| match (captures, client.as_deref(), filter.as_deref()) {
                (Some(wanted), _, Some(filter)) => broker.captures_on(filter) >= wanted,
                (_, Some(client), filter) => broker.subscribes(client, filter) == wanted,
                (_, None, Some(filter)) => broker.is_subscribed(filter) == wanted,
                (_, None, None) => false,
            };
            Some(waits::until(&api, &patience, within, what, &subjects, is_so).await?)
        }
    };
    let engine = api.engine.clone();
    let answer = move |missed: Option<&Missed>| {
        let found = engine.broker.subscription_page(
            &SubscriptionsOf {
                filter: filter.as_deref(),
                client_id: client.as_deref(),
            },
            &page.as_page(),
        );
        let entries = found.entries.into_iter().map(Subscription::from);
        let captures = filter.map_or(0, |filter| engine.broker.captures_on(&filter));
        let numbers: [(_, &dyn Display); 2] = [("total", &found.total), ("captures", &captures)];
        let budget = engine.broker.budget();
        Answer::list_of_wait(missed, "subscriptions", entries, &numbers, budget)
    };
    waits::answer(&api, waited, answer).await
}

impl From<SubscriptionOf> for Subscription {
    fn from(found: SubscriptionOf) -> Self {
        Self {
            client_id: found.session.client_id().to_owned(),
            connected: found.is_connected,
            filter: found.subscription.filter,
            qos: found.subscription.qos.bits(),
        }
    }
}
