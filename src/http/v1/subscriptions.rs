//! `GET /v1/subscriptions`: who subscribes to a filter, or to what a client subscribes.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use serde::Serialize;
use std::fmt::Display;

use crate::broker::{Broker, Glimpse, Subject, SubscriptionOf, SubscriptionsOf};
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
            let awaited = Awaited {
                client: client.clone(),
                filter: filter.clone(),
                captures,
                wanted,
            };
            let look = |broker: &Broker| awaited.is_so(broker).then_some(());
            let shown = awaited.clone();
            let catch = move |glimpse: &Glimpse<'_>| shown.is_shown(glimpse).then_some(());
            let time = (within, what);
            let waited = waits::until(&api, &patience, time, &subjects, look, catch);
            Some(waited.await?.0)
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

/// What is waited for: so many captures of a filter, or that a client subscribes, or somebody; or does not.
#[derive(Clone)]
struct Awaited {
    client: Option<String>,
    filter: Option<String>,
    captures: Option<usize>,
    wanted: bool,
}

impl Awaited {
    fn is_so(&self, broker: &Broker) -> bool {
        let (client, filter) = (self.client.as_deref(), self.filter.as_deref());
        match (self.captures, client, filter) {
            (Some(wanted), _, Some(filter)) => broker.captures_on(filter) >= wanted,
            (_, Some(client), filter) => broker.subscribes(client, filter) == self.wanted,
            (_, None, Some(filter)) => broker.is_subscribed(filter) == self.wanted,
            (_, None, None) => false,
        }
    }

    /// Whether it is so for a moment.
    fn is_shown(&self, glimpse: &Glimpse<'_>) -> bool {
        let is_own = |client_id: &str| self.client.as_deref() == Some(client_id);
        let is_it = |filter: &str| self.filter.as_deref().is_none_or(|own| own == filter);
        match *glimpse {
            Glimpse::Captures { filter, count } => {
                is_it(filter) && self.captures.is_some_and(|wanted| count >= wanted)
            }
            _ if self.captures.is_some() => false,
            Glimpse::Subscribed { client_id, filter } => {
                self.wanted
                    && is_it(filter)
                    && self.client.as_deref().is_none_or(|own| own == client_id)
            }
            Glimpse::Unsubscribed {
                client_id,
                filter,
                left,
            } => {
                let is_gone = left == 0 || self.filter.as_deref() == Some(filter);
                !self.wanted && is_own(client_id) && is_gone
            }
            Glimpse::SessionEnded { client_id } => !self.wanted && is_own(client_id),
            Glimpse::Deserted { share, filter } => {
                let own = self.filter.as_deref().map(Filter::parse);
                let is_it = |own: Filter<'_>| (own.share, own.filter) == (share, filter);
                !self.wanted && self.client.is_none() && own.is_some_and(|own| own.is_ok_and(is_it))
            }
            _ => false,
        }
    }
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
