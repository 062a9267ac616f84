//! `/v1/rules`, `/v1/held`, `/v1/inject`: what packet rules do, and what they hold.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::codec::{
    MAX_PACKET_SIZE, PacketFields, PacketType, ReasonCode, Split, Version, fits, split,
};
use crate::tap::rule::{Action, Changes, Direction, Match, Rule, ServerDisconnect, When};
use crate::tap::rules::{HeldInfo, HeldPart, RuleError, RuleInfo};

use super::super::Api;
use super::super::answer::Answer;
use super::super::body::{self, JsonBody};
use super::super::error::ApiError;
use super::super::query::{NoParameters, Parameters};
use super::super::waits::{self, Patience};
use super::packets::{
    Code, DirectionName, PacketBody, TOO_LONG, TypeName, injected, payload, read_properties,
    read_values, show,
};

/// A rule as it is given.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleBody {
    name: Option<String>,
    #[serde(rename = "match", default)]
    matches: MatchBody,
    #[serde(rename = "do")]
    action: String,
    times: Option<u64>,
    expires_after_seconds: Option<f64>,
    #[serde(default)]
    seed: u64,
    /// For `delay`.
    delay_seconds: Option<f64>,
    /// For `corrupt`.
    offset: Option<usize>,
    bits: Option<u8>,
    /// For `truncate`.
    length: Option<usize>,
    /// For `replace`.
    set: Option<ChangesBody>,
    /// For `inject` and `answer`.
    packet: Option<PacketBody>,
    packet_base64: Option<String>,
    /// For `inject`, `close`, `reset`, `disconnect` and `half_close`: `before` or `after`.
    when: Option<String>,
    /// For `disconnect`.
    reason: Option<Code>,
    properties: Option<Map<String, Value>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MatchBody {
    #[serde(rename = "type")]
    packet_type: Option<TypeName>,
    direction: Option<DirectionName>,
    client: Option<String>,
    topic: Option<String>,
    qos: Option<u8>,
    dup: Option<bool>,
    retain: Option<bool>,
    packet_id: Option<u16>,
    reason: Option<Code>,
    listener: Option<String>,
    nth: Option<u64>,
    every: Option<u64>,
    probability: Option<f64>,
}

impl MatchBody {
    fn matches(self) -> Match {
        Match {
            packet_type: self.packet_type.map(|TypeName(own)| own),
            direction: self.direction.map(|DirectionName(own)| own),
            client: self.client,
            topic: self.topic,
            qos: self.qos,
            dup: self.dup,
            retain: self.retain,
            packet_id: self.packet_id,
            reason: self.reason.map(|Code(code)| code),
            listener: self.listener,
            nth: self.nth,
            every: self.every,
            probability: self.probability,
        }
    }
}

/// Fields that take the place of a packet's.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ChangesBody {
    reason: Option<Code>,
    session_present: Option<bool>,
    packet_id: Option<u16>,
    qos: Option<u8>,
    dup: Option<bool>,
    retain: Option<bool>,
    topic: Option<String>,
    payload: Option<String>,
    payload_base64: Option<String>,
    /// null takes one out.
    properties: Map<String, Value>,
}

impl ChangesBody {
    fn changes(self) -> Result<Changes, ApiError> {
        if self.qos.is_some_and(|qos| qos > 3) {
            return Err(ApiError::invalid("set.qos", "is not 0 to 3"));
        }
        if self.topic.as_ref().is_some_and(|topic| !fits(topic)) {
            return Err(ApiError::invalid("set.topic", TOO_LONG));
        }
        Ok(Changes {
            reason: self.reason.map(|Code(code)| code),
            session_present: self.session_present,
            packet_id: self.packet_id,
            qos: self.qos,
            dup: self.dup,
            retain: self.retain,
            topic: self.topic,
            payload: payload(
                self.payload.as_deref(),
                self.payload_base64.as_deref(),
                "set",
            )?,
            properties: read_properties(&self.properties, "set.properties")?,
        })
    }
}

impl Rule {
    /// Reads a rule in JSON, as `POST /v1/rules` takes it. Needs the feature `http`.
    ///
    /// ```
    /// use roundel::rules::{Action, Rule};
    ///
    /// let rule = Rule::from_json(r#"{"match": {"type": "PUBACK", "direction": "out"}, "do": "drop"}"#).unwrap();
    /// assert_eq!(rule.action, Action::Drop);
    /// let error = Rule::from_json(r#"{"match": {"type": "PUBAC"}, "do": "drop"}"#).unwrap_err();
    /// assert!(error.starts_with("match.type: "), "{error}");
    /// ```
    ///
    /// # Errors
    ///
    /// In words, the field that is wrong before them.
    pub fn from_json(text: &str) -> Result<Self, String> {
        let rule = body::parse::<RuleBody>(text.as_bytes()).and_then(RuleBody::rule);
        rule.map_err(|error| match error.field() {
            Some(field) => format!("{field}: {}", error.text()),
            None => error.text().to_owned(),
        })
    }
}

impl RuleBody {
    fn rule(mut self) -> Result<Rule, ApiError> {
        if self.name.as_deref().is_some_and(str::is_empty) {
            return Err(ApiError::invalid("name", "is empty"));
        }
        let mutes = self.action == "mute_pings";
        if mutes {
            let own = &self.matches;
            if own.packet_type.is_some() || own.direction.is_some() {
                let error = "mute_pings is about PINGRESP: leave type and direction out";
                return Err(ApiError::invalid("match.type", error));
            }
            self.matches.packet_type = Some(TypeName(PacketType::Pingresp));
            self.matches.direction = Some(DirectionName(Direction::Out));
        }
        let expires_after = self.expires_after_seconds;
        let expires_after = expires_after
            .map(|seconds| seconds_of("expires_after_seconds", seconds))
            .transpose()?;
        let action = match mutes {
            true => Action::Drop,
            false => self.take_action()?,
        };
        if matches!(action, Action::Answer(_)) {
            // There is nobody else who could be answered.
            self.matches
                .direction
                .get_or_insert(DirectionName(Direction::In));
        }
        self.refuse_what_is_left()?;
        let mut rule = Rule::new(self.matches.matches(), action);
        rule.name = self.name;
        rule.times = self.times;
        rule.seed = self.seed;
        rule.expires_after = expires_after;
        Ok(rule)
    }

    /// What is done, and the fields that belong to it.
    fn take_action(&mut self) -> Result<Action, ApiError> {
        Ok(match self.action.as_str() {
            "hold" => Action::Hold,
            "drop" => Action::Drop,
            "delay" => {
                let seconds = needed("delay_seconds", self.delay_seconds.take())?;
                Action::Delay(seconds_of("delay_seconds", seconds)?)
            }
            "duplicate" => Action::Duplicate,
            "reorder" => Action::Reorder,
            "corrupt" => Action::Corrupt {
                offset: self.offset.take().unwrap_or(0),
                bits: self.bits.take().unwrap_or(0xff),
            },
            "truncate" => Action::Truncate(needed("length", self.length.take())?),
            "replace" => {
                let set = needed("set", self.set.take())?;
                Action::Replace(Box::new(set.changes()?))
            }
            "inject" => Action::Inject {
                packet: self.take_packet()?,
                before: self.take_when()? == Some(When::Before),
            },
            "answer" => Action::Answer(self.take_packet()?),
            "close" => Action::Close(self.take_when()?.unwrap_or_default()),
            "reset" => Action::Reset(self.take_when()?.unwrap_or_default()),
            "disconnect" => Action::Disconnect(Box::new(self.take_disconnect()?)),
            "half_close" => Action::HalfClose(self.take_when()?.unwrap_or_default()),
            "stop_reading" => Action::StopReading,
            other => {
                let error = format!(
                    "'{}' is none of hold, drop, delay, duplicate, reorder, corrupt, truncate, replace, inject, \
                     answer, close, reset, disconnect, half_close, stop_reading, mute_pings",
                    super::super::error::excerpt(other)
                );
                return Err(ApiError::invalid("do", error));
            }
        })
    }

    fn take_packet(&mut self) -> Result<crate::tap::rule::Injected, ApiError> {
        let (packet, base64) = (self.packet.take(), self.packet_base64.take());
        injected(packet.as_ref(), base64.as_deref(), "packet")
    }

    fn take_disconnect(&mut self) -> Result<ServerDisconnect, ApiError> {
        let reason = self.reason.take().map(|Code(code)| code);
        let reason = reason.unwrap_or(ReasonCode::AdministrativeAction as u8);
        let mut own = ServerDisconnect::new(reason);
        own.when = self.take_when()?.unwrap_or_default();
        if let Some(properties) = self.properties.take() {
            own.properties = read_values(&properties, "properties")?;
        }
        Ok(own)
    }

    fn take_when(&mut self) -> Result<Option<When>, ApiError> {
        match self.when.take().as_deref() {
            None => Ok(None),
            Some("before") => Ok(Some(When::Before)),
            Some("after") => Ok(Some(When::After)),
            Some(_) => Err(ApiError::invalid("when", "is before or after")),
        }
    }

    /// A field that belongs to another action was meant for something.
    fn refuse_what_is_left(&self) -> Result<(), ApiError> {
        let left = [
            ("delay_seconds", self.delay_seconds.is_some()),
            ("offset", self.offset.is_some()),
            ("bits", self.bits.is_some()),
            ("length", self.length.is_some()),
            ("set", self.set.is_some()),
            ("packet", self.packet.is_some()),
            ("packet_base64", self.packet_base64.is_some()),
            ("when", self.when.is_some()),
            ("reason", self.reason.is_some()),
            ("properties", self.properties.is_some()),
        ];
        match left.into_iter().find(|(_, is_there)| *is_there) {
            Some((field, _)) => {
                let error = format!("does not go with \"do\": \"{}\"", self.action);
                Err(ApiError::invalid(field, error))
            }
            None => Ok(()),
        }
    }
}

fn needed<T>(field: &'static str, value: Option<T>) -> Result<T, ApiError> {
    value.ok_or_else(|| ApiError::invalid(field, "is needed for this"))
}

fn seconds_of(field: &'static str, seconds: f64) -> Result<Duration, ApiError> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| ApiError::invalid(field, format!("{seconds} is no time")))
}

impl From<RuleError> for ApiError {
    fn from(error: RuleError) -> Self {
        Self::invalid(error.field, error.text)
    }
}

/// Which packets a rule is for, and what becomes of them.
fn in_words(rule: &RuleInfo) -> String {
    let own = &rule.matches;
    let way = match own.direction {
        None => "",
        Some(Direction::In) => " from clients",
        Some(Direction::Out) => " to clients",
    };
    let packets = match own.packet_type {
        None => format!("{own}{way}"),
        Some(packet_type) => {
            own.to_string()
                .replacen(packet_type.name(), &format!("{packet_type}{way}"), 1)
        }
    };
    let client = own
        .client
        .as_ref()
        .map(|client| format!(", client {client}"));
    format!("{packets}{}: {}", client.unwrap_or_default(), rule.action)
}

fn info(rule: &RuleInfo, now: Instant) -> Value {
    let left = rule.until.map(|until| until.saturating_duration_since(now));
    let own = &rule.matches;
    let mut matches = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            matches.insert(name.to_owned(), value);
        }
    };
    put("type", own.packet_type.map(|own| own.name().into()));
    put("direction", own.direction.map(|own| own.name().into()));
    put("client", own.client.as_deref().map(Value::from));
    put("topic", own.topic.as_deref().map(Value::from));
    put("qos", own.qos.map(Value::from));
    put("dup", own.dup.map(Value::from));
    put("retain", own.retain.map(Value::from));
    put("packet_id", own.packet_id.map(Value::from));
    put("reason", own.reason.map(Value::from));
    put("listener", own.listener.as_deref().map(Value::from));
    put("nth", own.nth.map(Value::from));
    put("every", own.every.map(Value::from));
    put("probability", own.probability.map(Value::from));
    json!({
        "id": rule.id,
        "name": rule.name,
        "match": matches,
        "do": rule.action.name(),
        "text": in_words(rule),
        "times": rule.times,
        "hits": rule.hits,
        "seen": rule.seen,
        "spent": rule.is_spent,
        "expires_in_s": left.map(|left| left.as_secs_f64()),
    })
}

pub(super) async fn add(
    State(api): State<Api>,
    _: NoParameters,
    body: JsonBody,
) -> Result<Response, ApiError> {
    let rule = body.parse::<RuleBody>()?.rule()?;
    let engine = &api.engine;
    let now = engine.clock.now().now;
    let id = engine.broker.add_rule(rule, now)?;
    let added = engine.broker.tap().rule(&id.to_string(), now);
    let Some(added) = added else {
        let error = "somebody has removed the rule already";
        return Err(ApiError::new(StatusCode::CONFLICT, error));
    };
    tracing::info!(
        rule = added.name,
        action = added.action.name(),
        "packet rule set"
    );
    Ok((StatusCode::CREATED, Json(info(&added, now))).into_response())
}

pub(super) async fn list(State(api): State<Api>, _: NoParameters) -> Json<Value> {
    let engine = &api.engine;
    let now = engine.clock.now().now;
    let rules = engine.broker.tap().rules(now);
    let rules: Vec<_> = rules.iter().map(|rule| info(rule, now)).collect();
    Json(json!({ "rules": rules }))
}

fn no_rule(key: &str) -> ApiError {
    let key = super::super::error::excerpt(key);
    ApiError::not_found(format!("no rule has the number or the name '{key}'")).at("id")
}

/// With `hits`, once the rule has acted so often.
pub(super) async fn show_one(
    State(api): State<Api>,
    key: Result<Path<String>, PathRejection>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let Path(key) = key?;
    let parameters = Parameters::parse(&uri, &["hits", "wait"])?;
    let tap = api.engine.broker.tap();
    let wait = waits::asked(&parameters)?;
    let hits = parameters.number("hits", usize::MAX)?.unwrap_or(1) as u64;
    let now = || api.engine.clock.now().now;
    let (found, missed) = match wait {
        None => (tap.rule(&key, now()), None),
        Some(within) => {
            let what = format!("the rule has not acted {hits} times");
            let hit = tap.wait_for_hits(&key, hits, now());
            match waits::for_future(&api, &patience, within, &what, hit).await? {
                Ok(found) => (found, None),
                Err(missed) => (tap.rule(&key, now()), Some(missed)),
            }
        }
    };
    let found = found.ok_or_else(|| no_rule(&key))?;
    let shown = info(&found, now());
    Answer::of_wait(missed.as_ref(), &shown, api.engine.broker.budget())
}

pub(super) async fn remove(
    State(api): State<Api>,
    key: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> Result<Json<Value>, ApiError> {
    let Path(key) = key?;
    let now = api.engine.clock.now().now;
    match api.engine.broker.remove_rule(&key, now) {
        true => Ok(Json(json!({ "removed": 1 }))),
        false => Err(no_rule(&key)),
    }
}

pub(super) async fn clear(State(api): State<Api>, _: NoParameters) -> Json<Value> {
    let now = api.engine.clock.now().now;
    let removed = api.engine.broker.clear_rules(now);
    Json(json!({ "removed": removed }))
}

/// With `count`, once so many are held.
pub(super) async fn held(
    State(api): State<Api>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let parameters = Parameters::parse(&uri, &["after", "count", "limit", "wait"])?;
    let tap = api.engine.broker.tap();
    let wait = waits::asked(&parameters)?;
    let limit = parameters.number("limit", usize::MAX)?;
    let after = parameters.number("after", usize::MAX)?.unwrap_or(0);
    let count = parameters.number("count", usize::MAX)?.unwrap_or(1);
    let part = HeldPart {
        after: after as u64,
        limit: limit.unwrap_or(usize::MAX),
    };
    let (held, missed) = match wait {
        None => (tap.held(part), None),
        Some(within) => {
            let what = format!("there are not {count} packets held");
            let held = tap.wait_for_held(count, part);
            match waits::for_future(&api, &patience, within, &what, held).await? {
                Ok(held) => (held, None),
                Err(missed) => (tap.held(part), Some(missed)),
            }
        }
    };
    let entries = held.infos().map(|held| held_info(&held));
    let budget = api.engine.broker.budget();
    Answer::list_of_wait(
        missed.as_ref(),
        "held",
        entries,
        &[("total", &held.total)],
        budget,
    )
}

fn fields(bytes: &[u8], version: Version) -> Option<PacketFields> {
    match split(bytes, MAX_PACKET_SIZE) {
        Ok(Split::Frame(frame)) => PacketFields::read(&frame, version).ok(),
        _ => None,
    }
}

fn held_info(held: &HeldInfo) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("id".into(), held.id.into());
    shown.insert("rule".into(), held.rule.as_str().into());
    shown.insert("client".into(), held.client.as_deref().into());
    shown.insert("connection".into(), held.connection.into());
    shown.insert("direction".into(), held.direction.name().into());
    if let Some(packet) = fields(&held.bytes, held.version) {
        shown.insert("packet".into(), show(&packet).into());
    }
    shown
}

/// Which of the packets that are held.
struct Meant {
    count: usize,
    client: Option<String>,
    rule: Option<String>,
}

impl Meant {
    fn parse(uri: &Uri) -> Result<Self, ApiError> {
        let parameters = Parameters::parse(uri, &["n", "client", "rule"])?;
        Ok(Self {
            count: parameters.number("n", usize::MAX)?.unwrap_or(usize::MAX),
            client: parameters.owned("client"),
            rule: parameters.owned("rule"),
        })
    }

    fn is_meant(&self, rule: &str, client: Option<&str>) -> bool {
        self.rule.as_deref().is_none_or(|own| own == rule)
            && self.client.as_deref().is_none_or(|own| Some(own) == client)
    }
}

/// Lets the oldest `n` go on, or all of them.
pub(super) async fn release(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let meant = Meant::parse(&uri)?;
    let tap = api.engine.broker.tap();
    let count = tap.release(meant.count, |rule, client| meant.is_meant(rule, client));
    Ok(Json(json!({ "released": count })))
}

/// Forgets the oldest `n`, or all of them.
pub(super) async fn discard(State(api): State<Api>, uri: Uri) -> Result<Json<Value>, ApiError> {
    let meant = Meant::parse(&uri)?;
    let tap = api.engine.broker.tap();
    let count = tap.discard(meant.count, |rule, client| meant.is_meant(rule, client));
    Ok(Json(json!({ "discarded": count })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InjectBody {
    client: String,
    /// To the client, unless it says otherwise.
    direction: Option<DirectionName>,
    packet: Option<PacketBody>,
    packet_base64: Option<String>,
}

/// A packet that nobody sent, at once.
pub(super) async fn inject(
    State(api): State<Api>,
    _: NoParameters,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let body: InjectBody = body.parse()?;
    let packet = injected(
        body.packet.as_ref(),
        body.packet_base64.as_deref(),
        "packet",
    )?;
    let direction = body
        .direction
        .map_or(Direction::Out, |DirectionName(own)| own);
    let engine = &api.engine;
    match engine
        .broker
        .inject(&body.client, direction, &packet, engine.clock.now().now)
    {
        true => Ok(Json(json!({ "injected": true }))),
        false => {
            let client = super::super::error::excerpt(&body.client);
            Err(ApiError::not_found(format!("no client '{client}' is connected")).at("client"))
        }
    }
}
