//! `/v1/journal`: what went over the connections lately.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::broker::{Broker, PartBounds};
use crate::codec::Part;
use crate::engine::Engine;
use crate::tap::journal::{JournalBounds, JournalQuery, JournalRow, RowKind};
use crate::tap::pcapng::{self, Capture};
use crate::tap::tls::{HandshakeFailure, TlsAlert, TlsInfo};
use crate::tap::watch::Unseen;
use crate::time::Calendar;
use crate::topic::{Filter, HashParent, matches};

use super::super::Api;
use super::super::answer::Answer;
use super::super::body::JsonBody;
use super::super::error::{ApiError, excerpt};
use super::super::query::{NoParameters, Parameters};
use super::super::waits::{self, Missed, Patience};
use super::matching::{self, MATCH};
use super::packets::{self, Code, DirectionName, TypeName, show};
use super::retained::check_filter_at;

/// Rows that a request waits for at most, and how long it waits unless it says otherwise.
const MOST: usize = 1000;
const WITHIN: Duration = Duration::from_secs(5);

/// What a query may ask for.
const QUERY: [&str; 14] = [
    "client",
    "type",
    "direction",
    "topic",
    "qos",
    "dup",
    "packet_id",
    "reason",
    "listener",
    "event",
    "connection",
    "raw",
    "brief",
    MATCH,
];

/// Shared subscriptions of a client that are looked at.
const SHARED: PartBounds = PartBounds {
    count: 1000,
    bytes: 64 * 1024,
};

/// Rows of each kind that are shown of what came of one.
const LINKS: usize = 100;

/// A query, and how its rows are shown.
struct Asked {
    query: JournalQuery,
    since: Option<u64>,
    shown: Shown,
}

/// What is shown of rows.
#[derive(Clone, Copy, PartialEq)]
enum Shown {
    /// A few words.
    Brief,
    /// The fields of packets.
    Fields,
    /// Those, and all that was kept of their bytes.
    Bytes,
}

impl Asked {
    fn of(parameters: &Parameters) -> Result<Self, ApiError> {
        let mut query = JournalQuery::default();
        let own = &mut query.matches;
        own.client = parameters.owned("client");
        if let Some(topic) = parameters.text("topic") {
            check_filter_at("topic", topic)?;
            own.topic = Some(topic.to_owned());
        }
        own.listener = parameters.owned("listener");
        own.packet_type = read(parameters, "type", |text| {
            TypeName::parse(text).map(|own| own.0)
        })?;
        own.direction = read(parameters, "direction", |text| {
            DirectionName::parse(text).map(|own| own.0)
        })?;
        own.reason = read(parameters, "reason", |text| {
            Code::parse(text).map(|own| own.0)
        })?;
        own.qos = small(parameters, "qos", 2)?;
        own.dup = parameters.flag("dup")?;
        own.packet_id = small(parameters, "packet_id", u16::MAX)?;
        query.event = read(parameters, "event", |text| {
            matching::is_event(text).then(|| text.to_owned())
        })?;
        if let Some(text) = parameters.text(MATCH) {
            matching::read(text, &mut query)?;
        }
        let number = |name| parameters.number(name, usize::MAX);
        query.connection = number("connection")?.map(|number| number as u64);
        Ok(Self {
            query,
            since: number("since")?.map(|number| number as u64),
            shown: match (parameters.flag("brief")?, parameters.flag("raw")?) {
                (Some(true), Some(true)) => {
                    let error = "rows in few words have no bytes";
                    return Err(ApiError::invalid("raw", error));
                }
                (Some(true), _) => Shown::Brief,
                (_, Some(true)) => Shown::Bytes,
                _ => Shown::Fields,
            },
        })
    }

    fn show(&self, row: &JournalRow) -> Value {
        row_of(row, self.shown).into()
    }
}

fn read<T>(
    parameters: &Parameters,
    name: &'static str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<Option<T>, ApiError> {
    let Some(text) = parameters.text(name) else {
        return Ok(None);
    };
    match read(text) {
        Some(value) => Ok(Some(value)),
        None => {
            let error = format!("'{}' is no {name}", excerpt(text));
            Err(ApiError::invalid(name, error))
        }
    }
}

/// A number of few bits.
fn small<T: TryFrom<usize> + Into<usize>>(
    parameters: &Parameters,
    name: &'static str,
    most: T,
) -> Result<Option<T>, ApiError> {
    let number = parameters.number(name, most.into())?;
    Ok(number.and_then(|number| T::try_from(number).ok()))
}

fn row_of(row: &JournalRow, how: Shown) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        shown.insert(name.to_owned(), value);
    };
    put("number", row.number.into());
    // It fails only for years beyond 9999.
    let at = OffsetDateTime::from(row.at).format(&Rfc3339);
    put("at", at.unwrap_or_default().into());
    put("connection", row.connection.into());
    put("listener", row.listener.into());
    put("peer", row.peer.as_str().into());
    put("client", row.client.as_deref().into());
    if let Some(topic) = &row.topic {
        put("topic", topic.as_str().into());
    }
    if how != Shown::Fields {
        for (name, value) in in_words(row) {
            put(name, value);
        }
    }
    match &row.what {
        RowKind::Event { name, .. } if how == Shown::Brief => put("event", (*name).into()),
        RowKind::Event {
            name,
            text,
            end,
            tls,
            failure,
        } => {
            put("event", (*name).into());
            put("text", text.as_str().into());
            if let Some(end) = end {
                put("by", end.by.into());
                put("cause", end.cause.into());
                put("code", end.code.into());
            }
            if let Some(failure) = failure {
                put("cause", failure.cause.name().into());
                put("alert", failure.alert.map(alert_of).into());
            }
            if let Some(tls) = tls {
                put("tls", tls_of(tls, failure.as_deref()).into());
            }
        }
        RowKind::Packet(packet) => {
            put("direction", packet.direction.name().into());
            put("bytes", packet.len.into());
            put("on_wire", packet.is_on_wire.into());
            if let Some(answers) = packet.answers {
                put("answers", answers.into());
            }
            if let Some(cause) = packet.caused_by {
                put("caused_by", cause.into());
            }
            if let Some(rule) = &packet.rule {
                put("rule", rule.as_str().into());
            }
            if let Some(deed) = packet.deed {
                put("did", deed.into());
            }
            let fields = packet.packet().filter(|_| how != Shown::Brief);
            match fields {
                None if how == Shown::Brief => {}
                Some(fields) => put("packet", show(&fields).into()),
                None => put(
                    "packet",
                    json!({ "type": packet.packet_type.map(|own| own.name()) }),
                ),
            }
            if how == Shown::Bytes {
                put("raw_base64", STANDARD.encode(&packet.bytes).into());
            }
        }
    }
    shown
}

/// A row in few words: what it is, what it is about, and its Packet Identifier.
fn in_words(row: &JournalRow) -> [(&'static str, Value); 3] {
    let topic = row.topic.clone().unwrap_or_default();
    let (what, about, id) = match &row.what {
        RowKind::Event { name, text, .. } => (name.replace('_', " "), text.clone(), None),
        RowKind::Packet(packet) => match packet.packet() {
            Some(fields) => {
                let (what, about) = packets::in_words(&fields);
                (what, about, fields.packet_id)
            }
            None => {
                let name = packet.packet_type.map_or("no packet", |own| own.name());
                (name.to_owned(), String::new(), None)
            }
        },
    };
    let about = if about.is_empty() { topic } else { about };
    [
        ("what", what.into()),
        ("about", excerpt(&about).into()),
        ("packet_id", id.into()),
    ]
}

fn alert_of(alert: TlsAlert) -> Value {
    json!({ "direction": alert.direction.name(), "name": alert.name(), "code": alert.code })
}

/// What is known of TLS, as `/v1/clients` has it, and what was offered where nothing was agreed on.
fn tls_of(tls: &TlsInfo, failure: Option<&HandshakeFailure>) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| {
        shown.insert(name.to_owned(), value);
    };
    put("version", tls.version.into());
    put("cipher", tls.cipher.as_deref().into());
    put("sni", tls.sni.as_deref().into());
    put("alpn", tls.alpn.as_deref().into());
    put("certificate_id", tls.certificate_id.as_deref().into());
    put("common_name", tls.common_name.as_deref().into());
    if let Some(failure) = failure {
        put("alpn_offered", failure.alpn_offered.as_slice().into());
        put(
            "versions_offered",
            failure.versions_offered.as_slice().into(),
        );
    }
    shown
}

/// Rows that are there: a page of them, or as a file all that there are when it is asked for.
pub(super) async fn list(State(api): State<Api>, uri: Uri) -> Result<Response, ApiError> {
    let known = [&QUERY[..], &["since", "limit", "newest", "format"]].concat();
    let parameters = Parameters::parse(&uri, &known)?;
    let asked = Asked::of(&parameters)?;
    let whole = || parameters.number("limit", JournalBounds::MOST.rows);
    let (engine, calendar) = (api.engine.clone(), api.calendar);
    let since = asked.since.unwrap_or(0);
    let newest = parameters.number("newest", MOST)?;
    if newest.is_some() && (parameters.text("format"), parameters.text("limit")) != (None, None) {
        let error = "the last rows are asked for: that goes neither with 'limit' nor with 'format'";
        return Err(ApiError::invalid("newest", error));
    }
    if let Some(newest) = newest {
        let job = move || {
            let tap = engine.broker.tap();
            let found = tap.newest(&asked.query, since, newest, &calendar);
            let shown = found.rows.iter().map(|row| asked.show(row));
            let more: [(_, &dyn Display); 5] = [
                ("on", &tap.has_journal()),
                ("last", &tap.last_row()),
                ("until", &found.until),
                ("matched", &found.matched),
                ("missed", &found.missed),
            ];
            Answer::list_of_wait(None, "rows", shown, &more, engine.broker.budget())
        };
        return api.jobs.run(job).await?;
    }
    match parameters.text("format").unwrap_or("json") {
        "json" => {
            let limit = parameters.limit()?;
            let job = move || {
                let tap = engine.broker.tap();
                let rows = tap.rows(&asked.query, since, limit, &calendar);
                let shown = rows.iter().map(|row| asked.show(row));
                let more: [(_, &dyn Display); 2] =
                    [("on", &tap.has_journal()), ("last", &tap.last_row())];
                Answer::list_of_wait(None, "rows", shown, &more, engine.broker.budget())
            };
            api.jobs.run(job).await?
        }
        "jsonl" => {
            let limit = whole()?.unwrap_or(usize::MAX);
            let job = move || {
                Answer::filled("application/jsonl", engine.broker.budget(), |out| {
                    each_page(&engine, &asked.query, since, limit, &calendar, |rows| {
                        let mut rows = rows.iter();
                        rows.try_for_each(|row| writeln!(out, "{}", asked.show(row)))
                    })
                })
            };
            api.jobs.run(job).await?
        }
        "pcapng" => {
            let limit = whole()?.unwrap_or(usize::MAX);
            let job = move || {
                let kind = "application/x-pcapng";
                Answer::filled(kind, engine.broker.budget(), |out| {
                    let (mut capture, mut part) = (Capture::default(), Vec::new());
                    pcapng::begin(&mut part);
                    out.write_all(&part)?;
                    each_page(&engine, &asked.query, since, limit, &calendar, |rows| {
                        part.clear();
                        capture.go_on(&mut part, rows);
                        out.write_all(&part)
                    })
                })
            };
            api.jobs.run(job).await?
        }
        _ => {
            let error = "is none of json, jsonl, pcapng";
            Err(ApiError::invalid("format", error))
        }
    }
}

/// Has `take` see up to `limit` rows behind `since`, a page at a time, of those that there are now.
fn each_page(
    engine: &Engine,
    query: &JournalQuery,
    since: u64,
    limit: usize,
    calendar: &Calendar,
    mut take: impl FnMut(&[JournalRow]) -> io::Result<()>,
) -> io::Result<()> {
    let tap = engine.broker.tap();
    let (mut since, mut left, until) = (since, limit, tap.last_row());
    loop {
        let mut rows = tap.rows(query, since, left.min(MOST), calendar);
        rows.truncate(rows.partition_point(|row| row.number <= until));
        let Some(last) = rows.last() else {
            return Ok(());
        };
        since = last.number;
        left -= rows.len();
        take(&rows)?;
    }
}

/// The first `count` rows behind `since`, or from now on, as soon as they are there. With `count=0` there
/// is to be none within the time: 409 with the first one, as soon as it is there, and 410 where rows have made room
/// that nobody has looked at.
pub(super) async fn wait(
    State(api): State<Api>,
    patience: Patience,
    uri: Uri,
) -> Result<Response, ApiError> {
    let known = [&QUERY[..], &["since", "count", "timeout"]].concat();
    let parameters = Parameters::parse(&uri, &known)?;
    let asked = Asked::of(&parameters)?;
    let count = parameters.number("count", MOST)?.unwrap_or(1);
    let within = waits::time(&parameters, "timeout")?.unwrap_or(WITHIN);
    check_journal(&api.engine.broker)?;
    let tap = api.engine.broker.tap();
    let (query, since) = (&asked.query, asked.since);
    let waiting = match count {
        0 => tap.watch_absence(query, since, &api.calendar),
        count => tap.watch_rows(query, since, count, &api.calendar),
    };
    let unseen = waiting.unseen().map(|unseen| format!(" ({unseen})"));
    let what = format!(
        "there are not {count} such rows{}",
        unseen.unwrap_or_default()
    );
    let came = waits::for_future(&api, &patience, within, &what, waiting.end()).await?;
    let answer = |missed: Option<&Missed>, rows: &[JournalRow]| {
        let shown = rows.iter().map(|row| asked.show(row));
        let more: [(_, &dyn Display); 1] = [("last", &tap.last_row())];
        Answer::list_of_wait(missed, "rows", shown, &more, api.engine.broker.budget())
    };
    match (came, count) {
        (Ok(Ok(rows)), 0) => {
            let mut found = answer(None, &rows)?;
            *found.status_mut() = StatusCode::CONFLICT;
            Ok(found)
        }
        (Ok(Ok(rows)), _) => answer(None, &rows),
        (Ok(Err(why)), 0) => Err(unsaid("that there is none", why)),
        (Ok(Err(why)), _) => Err(unsaid("that there will be so many", why)),
        (Err(_), 0) => answer(None, &[]),
        (Err(missed), _) => answer(Some(&missed), &waiting.rows()),
    }
}

/// What needs the journal has it.
pub(super) fn check_journal(broker: &Broker) -> Result<(), ApiError> {
    if broker.tap().has_journal() {
        return Ok(());
    }
    let error = "the journal is off: PUT {\"on\":true} to /v1/journal, or start with `journal`";
    Err(ApiError::new(StatusCode::CONFLICT, error))
}

/// What cannot be said for want of rows.
pub(super) fn unsaid(what: &str, why: Unseen) -> ApiError {
    let status = match why {
        Unseen::Lost(_) => StatusCode::GONE,
        Unseen::Off => StatusCode::CONFLICT,
    };
    ApiError::new(status, format!("nobody can say {what}: {why}"))
}

/// One row with its bytes, where its fields are in them, and the rows that it is linked with.
pub(super) async fn show_one(
    State(api): State<Api>,
    number: Result<Path<String>, PathRejection>,
    _: NoParameters,
) -> Result<Response, ApiError> {
    let Path(number) = number?;
    let wrong = || {
        let error = format!("'{}' is no number of a row", excerpt(&number));
        ApiError::invalid("number", error)
    };
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = match number.parse() {
        Ok(number) if is_number => number,
        _ => return Err(wrong()),
    };
    let (engine, calendar) = (api.engine.clone(), api.calendar);
    let job = move || {
        let tap = engine.broker.tap();
        let Some((row, found)) = tap.row(number, LINKS, &calendar) else {
            let error = match number > tap.last_row() {
                true => format!("there is no row {number} yet"),
                false => format!("row {number} is not kept any more"),
            };
            return Err(ApiError::not_found(error).at("number"));
        };
        let brief = |row: &JournalRow| Value::from(row_of(row, Shown::Brief));
        let all = |rows: &[JournalRow]| rows.iter().map(brief).collect::<Value>();
        let other = |number: Option<u64>| {
            let row = number.and_then(|number| tap.row_alone(number, &calendar));
            row.as_ref().map(brief)
        };
        let mut shown = row_of(&row, Shown::Bytes);
        let (mut layout, mut cause, mut answered) = (Value::from(Vec::<Value>::new()), None, None);
        if let RowKind::Packet(packet) = &row.what {
            layout = packet.layout().iter().map(part_of).collect();
            cause = other(packet.caused_by);
            answered = other(packet.answers);
        }
        shown.insert("layout".to_owned(), layout);
        let links = json!({
            "cause": cause,
            "answers": answered,
            "answered_by": all(&found.answers),
            "deliveries": all(&found.deliveries),
            "deliveries_total": found.delivered,
            "groups": groups_of(&engine, &row),
        });
        shown.insert("links".to_owned(), links);
        Answer::of(&shown, engine.broker.budget())
    };
    api.jobs.run(job).await?
}

/// The groups by which a message may have come to a client, or be acknowledged by it: those with its topic that the
/// client is a member of now.
fn groups_of(engine: &Engine, row: &JournalRow) -> Value {
    let topic = || row.topic.clone().or_else(|| row.packet()?.topic);
    let of_group = |filter: &str, topic: &str| {
        let filter = Filter::parse(filter).ok()?;
        let is_it = matches(filter.filter, topic, HashParent::Matches);
        let share = filter.share.filter(|_| is_it)?;
        Some(json!({ "share": share, "filter": filter.filter }))
    };
    let groups = || {
        let session = engine.broker.find(row.client.as_deref()?)?;
        let topic = topic()?;
        let shared = session.subscriptions_after(Some("$share/"), SHARED);
        Some(
            shared
                .iter()
                .filter_map(|own| of_group(&own.filter, &topic))
                .collect(),
        )
    };
    groups().unwrap_or_else(|| json!([]))
}

/// A field and the bytes that it takes.
fn part_of(part: &Part) -> Value {
    let (from, to) = part.bytes;
    let mut shown = json!({
        "name": part.name,
        "value": part.value,
        "from": from,
        "to": to,
        "depth": part.depth,
    });
    if let Some(shown) = shown.as_object_mut().filter(|_| part.is_secret) {
        shown.insert("secret".to_owned(), true.into());
    }
    shown
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    on: bool,
    rows: Option<usize>,
    bytes: Option<usize>,
}

/// Switches it on or off, and sets its bounds.
pub(super) async fn switch(
    State(api): State<Api>,
    _: NoParameters,
    body: JsonBody,
) -> Result<Json<Value>, ApiError> {
    let Switch { on, rows, bytes } = body.parse()?;
    let tap = api.engine.broker.tap();
    let mut bounds = tap.journal_bounds();
    for (field, given, own, most) in [
        ("rows", rows, &mut bounds.rows, JournalBounds::MOST.rows),
        ("bytes", bytes, &mut bounds.bytes, JournalBounds::MOST.bytes),
    ] {
        match given {
            Some(given) if given == 0 || given > most => {
                return Err(ApiError::invalid(field, format!("is not from 1 to {most}")));
            }
            Some(given) => *own = given,
            None => {}
        }
    }
    tap.bound_journal(bounds);
    api.engine.broker.switch_journal(on);
    Ok(Json(
        json!({ "on": on, "last": tap.last_row(), "bounds": { "rows": bounds.rows, "bytes": bounds.bytes } }),
    ))
}

/// Forgets its rows.
pub(super) async fn clear(State(api): State<Api>, _: NoParameters) -> Json<Value> {
    let cleared = api.engine.broker.tap().clear_journal();
    Json(json!({ "cleared": cleared }))
}
