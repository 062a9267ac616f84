//! `/v1/topics/values`, `/v1/topics/value`, `/v1/topics/{topic}/last`, `/v1/topics/levels`: the last values of topics.
//! Each look keeps them for some time more.

use std::fmt::Display;
use std::time::Instant;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::broker::{self, Broker, ReceiverOf};
use crate::time::{Calendar, milliseconds};
use crate::topic::check_topic_name;

use super::super::Api;
use super::super::answer::Answer;
use super::super::error::ApiError;
use super::super::query::{LIST, NoParameters, Parameters};
use super::message::Properties;

/// Subscriptions and groups of one topic that are shown.
const RECEIVERS: usize = 100;

/// A topic with the beginning of its last value.
#[derive(Serialize)]
struct Glimpse {
    topic: String,
    /// Messages that were seen.
    count: u64,
    /// When it was published, by the broker's clock, in milliseconds since 1970.
    at_ms: u64,
    qos: u8,
    /// There is a retained message of the topic now.
    retained: bool,
    payload_size: usize,
    /// `None` if it is not UTF-8.
    beginning: Option<String>,
}

/// A level of the tree.
#[derive(Serialize)]
struct Level {
    level: String,
    /// With this in `under`, the request is for what is below it.
    under: String,
    /// That have a value: the one that ends here, and those below.
    topics: usize,
    /// That these had.
    messages: u64,
    /// Of the topic that ends here.
    value: Option<Glimpse>,
}

#[derive(Serialize)]
struct Topic<'a> {
    topic: &'a str,
    since_ms: u64,
    count: u64,
    retained: bool,
    last: Option<Value<'a>>,
    previous: Option<Value<'a>>,
    subscriptions: Vec<Subscription>,
    subscriptions_total: usize,
    groups: Vec<Group>,
    groups_total: usize,
}

#[derive(Serialize)]
struct Value<'a> {
    at_ms: u64,
    qos: u8,
    retain: bool,
    client_id: Option<&'a str>,
    payload_size: usize,
    /// There, and true, if only the beginning is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_is_cut: Option<bool>,
    payload: Option<&'a str>,
    payload_base64: String,
    /// `None`: they were too long to be kept.
    properties: Option<Properties<'a>>,
}

#[derive(Serialize)]
struct Subscription {
    client_id: String,
    filter: String,
    qos: u8,
}

#[derive(Serialize)]
struct Group {
    share: String,
    filter: String,
}

/// A page of the topics that have a value, by topic.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let page = Parameters::parse(&uri, &LIST)?.page()?;
    let (engine, calendar) = (api.engine, api.calendar);
    let job = move || {
        let (broker, now) = (&engine.broker, engine.clock.now().now);
        broker.look_at_values(now);
        let found = broker.value_page(&page.as_page());
        let topics = found.entries.iter();
        let values = topics.filter_map(|topic| Glimpse::of(broker, topic, &calendar, now));
        answer_with(broker, "values", values, found.total, &calendar)
    };
    api.jobs.run(job).await?
}

/// A page of the levels that follow one in the tree of topics that have a value.
pub(super) async fn levels(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &["under", "after", "limit"])?;
    let under = parameters.owned("under").unwrap_or_default();
    if !under.is_empty() && !under.ends_with('/') {
        let error = "'under' does not end with a slash";
        return Err(ApiError::invalid("under", error));
    }
    let after = match parameters.text("after") {
        None => None,
        Some(after) => match name_below(&under, after) {
            Some(name) => Some(name.to_owned()),
            None => {
                let error =
                    "'after' is none of the levels that follow 'under', with a slash behind it";
                return Err(ApiError::invalid("after", error));
            }
        },
    };
    let limit = parameters.limit()?;
    let (engine, calendar) = (api.engine, api.calendar);
    let job = move || {
        let (broker, now) = (&engine.broker, engine.clock.now().now);
        broker.look_at_values(now);
        let found = broker.levels(&under, after.as_deref(), limit);
        let levels = found.entries.into_iter().map(|level| {
            let topic = format!("{under}{}", level.name);
            Level {
                value: Glimpse::of(broker, &topic, &calendar, now),
                under: topic + "/",
                level: level.name.into(),
                topics: level.topics,
                messages: level.messages,
            }
        });
        answer_with(broker, "levels", levels, found.total, &calendar)
    };
    api.jobs.run(job).await?
}

/// The level that `full` names, which is `under` and it and a slash.
fn name_below<'a>(under: &str, full: &'a str) -> Option<&'a str> {
    let name = full.strip_prefix(under)?.strip_suffix('/')?;
    (!name.contains('/')).then_some(name)
}

/// A list with what there is of the table as a whole.
fn answer_with<T: Serialize>(
    broker: &Broker,
    name: &'static str,
    entries: impl Iterator<Item = T>,
    total: usize,
    calendar: &Calendar,
) -> Result<Response, ApiError> {
    let kept = broker.values_kept();
    let topics = kept.map_or(0, |kept| kept.topics);
    let dropped = kept.map_or(0, |kept| kept.dropped);
    let since = kept.map_or(0, |kept| at_ms(calendar, kept.since));
    let numbers: [(_, &dyn Display); 4] = [
        ("total", &total),
        ("topics", &topics),
        ("dropped", &dropped),
        ("since_ms", &since),
    ];
    Answer::list_of_wait(None, name, entries, &numbers, broker.budget())
}

/// One topic: its last two values, and who gets what is published to it.
pub(super) async fn show(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &["topic"])?;
    let topic = parameters
        .owned("topic")
        .ok_or_else(|| ApiError::invalid("topic", "missing parameter 'topic'"))?;
    detail(api, topic).await
}

/// The same with the topic in the path.
pub(super) async fn show_last(
    State(api): State<Api>,
    _: NoParameters,
    topic: Result<Path<String>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(topic) = topic?;
    detail(api, topic).await
}

async fn detail(api: Api, topic: String) -> Result<Response, ApiError> {
    check_topic_name(&topic).map_err(|error| ApiError::invalid("topic", error.to_string()))?;
    let (engine, calendar) = (api.engine, api.calendar);
    let job = move || {
        let (broker, now) = (&engine.broker, engine.clock.now().now);
        broker.look_at_values(now);
        let kept = broker.value_of(&topic);
        let receivers = broker.receivers(&topic, RECEIVERS);
        let value = |value| Value::new(value, &calendar, now);
        let groups = receivers.groups.into_iter();
        let shown = Topic {
            topic: &topic,
            since_ms: (broker.values_kept()).map_or(0, |kept| at_ms(&calendar, kept.since)),
            count: kept.as_ref().map_or(0, |kept| kept.count),
            retained: broker.is_retained(&topic, now),
            last: kept.as_ref().map(|kept| value(&kept.last)),
            previous: kept
                .as_ref()
                .and_then(|kept| kept.previous.as_deref().map(value)),
            subscriptions: (receivers.subscriptions.into_iter())
                .map(Subscription::from)
                .collect(),
            subscriptions_total: receivers.subscriptions_total,
            groups: groups
                .map(|(share, filter)| Group { share, filter })
                .collect(),
            groups_total: receivers.groups_total,
        };
        Answer::of(&shown, broker.budget())
    };
    api.jobs.run(job).await?
}

fn at_ms(calendar: &Calendar, at: Instant) -> u64 {
    milliseconds(calendar.date(at))
}

impl Glimpse {
    fn of(broker: &Broker, topic: &str, calendar: &Calendar, now: Instant) -> Option<Self> {
        let seen = broker.glimpse_of(topic)?;
        Some(Self {
            topic: seen.topic.to_string(),
            count: seen.count,
            at_ms: at_ms(calendar, seen.at),
            qos: seen.qos.bits(),
            retained: broker.is_retained(topic, now),
            payload_size: seen.payload_size,
            beginning: seen.beginning,
        })
    }
}

impl<'a> Value<'a> {
    fn new(value: &'a broker::Value, calendar: &Calendar, now: Instant) -> Self {
        let section = value.properties.as_ref();
        Self {
            at_ms: at_ms(calendar, value.at),
            qos: value.qos.bits(),
            retain: value.retain,
            client_id: value.client_id.as_deref(),
            payload_size: value.payload_size,
            payload_is_cut: (value.payload.len() < value.payload_size).then_some(true),
            payload: value.text(),
            payload_base64: STANDARD.encode(&value.payload),
            properties: section.map(|section| Properties::of(section, None, now)),
        }
    }
}

impl From<ReceiverOf> for Subscription {
    fn from(of: ReceiverOf) -> Self {
        Self {
            client_id: of.session.client_id().to_owned(),
            filter: of.filter,
            qos: of.qos.bits(),
        }
    }
}
