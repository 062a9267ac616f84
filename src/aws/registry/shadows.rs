//! Shadows of things, which need not be registered: what is kept of them, and what is told of their changes
//! (AWS-SHADOW-16, -17, -40 to -48).

use std::ops::Bound;
use std::sync::Arc;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::aws::shadow::document::Document;
use crate::aws::shadow::name::{Deed, ShadowName};
use crate::aws::shadow::request::parse_token;
use crate::aws::shadow::{self, Refused, Update, answer};

#[cfg(feature = "http")]
use super::names::{NAME, SHADOW_NAME, check};
use super::record::Timestamp;
use super::state::{Map, Record, toggle};
use super::{Changed, Draft, State};
#[cfg(feature = "http")]
use super::{Error, Listed, Page};

/// How long the version of a deleted shadow is remembered, in milliseconds (AWS-SHADOW-42).
const TOMBSTONE: Timestamp = 48 * 60 * 60 * 1000;

/// Deleted shadows that are forgotten with each change of one, if their time is over.
const FORGOTTEN_AT_ONCE: usize = 4;

/// Bytes of a shadow besides its values: the record, its key, its place in the tree.
const SHADOW: usize = 512;

/// Most names of a page (AWS-DATA-06).
#[cfg(feature = "http")]
const NAMES_MAX: usize = 100;

/// A shadow, or what is left of one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Stored")]
pub(crate) struct Shadow {
    /// `thing` or `thing/name`.
    id: String,
    document: Document,
    /// When it was deleted, if it was; it has its version then and nothing else.
    deleted: Option<Timestamp>,
}

/// The record.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    id: String,
    version: u64,
    #[serde(default)]
    state: serde_json::Map<String, Value>,
    #[serde(default)]
    metadata: serde_json::Map<String, Value>,
    #[serde(default)]
    deleted: Option<Timestamp>,
}

impl TryFrom<Stored> for Shadow {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, &'static str> {
        let document = Document::restored(&stored.state, &stored.metadata, stored.version);
        Ok(Self {
            id: stored.id,
            document: document.ok_or("state and metadata differ")?,
            deleted: stored.deleted,
        })
    }
}

impl Serialize for Shadow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &self.id)?;
        map.serialize_entry("version", &self.document.version)?;
        match self.deleted {
            Some(deleted) => map.serialize_entry("deleted", &deleted)?,
            None => {
                map.serialize_entry("state", &self.document.sections.state())?;
                map.serialize_entry("metadata", &self.document.sections.metadata())?;
            }
        }
        map.end()
    }
}

/// A shadow in a list.
#[cfg(feature = "http")]
#[derive(Serialize)]
pub(crate) struct ShadowRow {
    thing: String,
    /// None for the classic one.
    name: Option<String>,
    version: u64,
    /// Whether anything is desired that is not so reported.
    has_delta: bool,
    /// What it takes, in bytes.
    size: usize,
}

#[cfg(feature = "http")]
impl From<&Shadow> for ShadowRow {
    fn from(shadow: &Shadow) -> Self {
        let parts = shadow.id.split_once('/');
        let (thing, name) = parts.map_or((&*shadow.id, None), |(thing, name)| (thing, Some(name)));
        Self {
            thing: thing.to_owned(),
            name: name.map(str::to_owned),
            version: shadow.document.version,
            has_delta: shadow.document.has_delta(),
            size: shadow.document.size(),
        }
    }
}

impl State {
    /// Bytes that all shadows take.
    pub(crate) fn shadow_bytes(&self) -> usize {
        self.shadow_bytes
    }
}

impl Record for Shadow {
    const TABLE: &'static str = "shadows";

    fn key(&self) -> &str {
        &self.id
    }

    fn map(state: &State) -> &Map<Self> {
        &state.shadows
    }

    fn map_mut(state: &mut State) -> &mut Map<Self> {
        &mut state.shadows
    }

    fn index(&self, state: &mut State, is_there: bool) {
        let size = SHADOW + 2 * self.id.len() + self.document.size();
        state.shadow_bytes = match is_there {
            true => state.shadow_bytes + size,
            false => state.shadow_bytes - size,
        };
        if let Some(deleted) = self.deleted {
            let entry = (deleted, self.id.clone());
            toggle(&mut state.deleted_shadows, entry, is_there);
        }
    }

    fn changed(_: Option<&Self>, _: Option<&Self>, _: &mut Vec<Changed>) {}
}

/// A request to a shadow over MQTT.
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a ShadowName,
    pub(crate) deed: Deed,
    pub(crate) payload: &'a [u8],
}

impl State {
    /// The name of a shadow.
    ///
    /// # Errors
    ///
    /// InvalidRequest for a name that no thing or no shadow can have.
    #[cfg(feature = "http")]
    pub(crate) fn shadow_name(thing: &str, name: Option<&str>) -> Result<ShadowName, Error> {
        check("thingName", thing, &NAME)?;
        if let Some(name) = name {
            check("shadowName", name, &SHADOW_NAME)?;
        }
        ShadowName::new(thing, name).ok_or_else(|| Error::invalid("There is no such shadow."))
    }

    /// A shadow that was not deleted.
    fn shadow(&self, name: &ShadowName) -> Result<&Document, shadow::Error> {
        let shadow = self.shadows.get(name.id());
        let shadow = shadow.filter(|shadow| shadow.deleted.is_none());
        shadow
            .map(|shadow| &shadow.document)
            .ok_or_else(|| shadow::Error::NoShadow(name.id().to_owned()))
    }

    /// A shadow with what differs in it (AWS-SHADOW-39).
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn get_shadow(
        &self,
        name: &ShadowName,
        token: Option<String>,
        now: Timestamp,
    ) -> Result<Vec<u8>, shadow::Error> {
        let document = self.shadow(name)?;
        Ok(answer::got(document, token, now / 1000))
    }

    /// Shadows by thing and name: those behind `after` whose thing or name contains `q`, so many at most; with how
    /// many there are before and behind that.
    #[cfg(feature = "http")]
    pub(crate) fn browse_shadows(
        &self,
        after: Option<&str>,
        q: Option<&str>,
        limit: usize,
    ) -> (Vec<ShadowRow>, usize) {
        let (mut rows, mut total) = (Vec::new(), 0);
        for (id, shadow) in &self.shadows {
            if shadow.deleted.is_some() || q.is_some_and(|q| !id.contains(q)) {
                continue;
            }
            total += 1;
            if rows.len() < limit && after.is_none_or(|after| **id > *after) {
                rows.push(ShadowRow::from(&**shadow));
            }
        }
        (rows, total)
    }

    /// The names of the shadows of a thing, the classic one as an empty name.
    #[cfg(feature = "http")]
    pub(super) fn shadows_of(&self, thing: &str) -> impl Iterator<Item = String> {
        let classic = self.shadows.get(thing).into_iter();
        let all = classic.chain(self.named_shadows(thing, None));
        let all = all.filter(|shadow| shadow.deleted.is_none());
        all.map(|shadow| match shadow.id.split_once('/') {
            Some((_, name)) => name.to_owned(),
            None => String::new(),
        })
    }

    /// The records of the shadows of a thing that have names, behind one of them if that is given.
    fn named_shadows(
        &self,
        thing: &str,
        after: Option<&str>,
    ) -> impl Iterator<Item = &Arc<Shadow>> {
        // No name has a slash, and this is what comes behind one.
        let end = format!("{thing}0");
        let start = format!("{thing}/{}", after.unwrap_or_default());
        let behind = (Bound::Excluded(start), Bound::Unbounded);
        let shadows = self.shadows.range::<String, _>(behind);
        shadows
            .map(|(_, shadow)| shadow)
            .take_while(move |shadow| *shadow.id < *end)
    }

    /// The names of the shadows of a thing but the classic one (AWS-SHADOW-47).
    ///
    /// # Errors
    ///
    /// InvalidRequest for a token of another list, and for a page of more than 100.
    #[cfg(feature = "http")]
    pub(crate) fn list_named_shadows(
        &self,
        thing: &str,
        page: Page<'_>,
    ) -> Result<Listed<String>, Error> {
        check("thingName", thing, &NAME)?;
        if page.limit.is_some_and(|limit| limit > NAMES_MAX) {
            return Err(Error::invalid(format!(
                "1 validation error detected: Value at 'pageSize' failed to satisfy constraint: \
                 Member must be between 1 and {NAMES_MAX}"
            )));
        }
        let list = format!("shadows of {thing}");
        let after = page.after(&list)?;
        let shadows = self.named_shadows(thing, after.as_deref());
        let names = shadows.filter_map(|shadow| {
            let (_, name) = shadow.id.split_once('/')?;
            shadow.deleted.is_none().then(|| name.to_owned())
        });
        let page = Page {
            limit: page.limit.or(Some(NAMES_MAX)),
            ..page
        };
        Ok(page.gather(&list, names, String::clone))
    }
}

impl Draft<'_> {
    /// Has the broker publish something about a shadow once it is in the file.
    fn announce(&mut self, name: &ShadowName, topic: &str, payload: Vec<u8>) {
        let topic = name.topic(topic);
        self.batch.changed.push(Changed::Event { topic, payload });
    }

    /// Answers a request that came over MQTT, refusals too. All shadows may take so many bytes.
    pub(crate) fn answer_shadow(&mut self, asked: &Asked<'_>, room: usize) {
        let answered = match asked.deed {
            Deed::Update => self
                .update_shadow(asked.name, asked.payload, room)
                .map(drop),
            Deed::Delete => self.delete_shadow(asked.name, asked.payload).map(drop),
            Deed::Get => self.tell_of_shadow(asked.name, asked.payload),
        };
        if let Err(refused) = answered {
            self.reject_shadow(asked.name, asked.deed, &refused);
        }
    }

    /// Publishes a refusal.
    pub(crate) fn reject_shadow(&mut self, name: &ShadowName, deed: Deed, refused: &Refused) {
        // Over MQTT it has other words (AWS-SHADOW-35).
        let error = match &refused.error {
            shadow::Error::InvalidJson => &shadow::Error::InvalidPayload,
            error => error,
        };
        let payload = answer::rejected(error, refused.token.as_deref(), self.now() / 1000);
        self.announce(name, &format!("{}/rejected", deed.name()), payload);
    }

    fn tell_of_shadow(&mut self, name: &ShadowName, payload: &[u8]) -> Result<(), Refused> {
        let token = parse_token(payload)?;
        let got = self.get_shadow(name, token.clone(), self.now());
        let payload = got.map_err(|error| Refused { error, token })?;
        self.announce(name, "get/accepted", payload);
        Ok(())
    }

    /// Updates a shadow, or creates it; what is answered. All shadows may take so many bytes.
    ///
    /// # Errors
    ///
    /// Those of the request, and of the shadow that it meets.
    pub(crate) fn update_shadow(
        &mut self,
        name: &ShadowName,
        payload: &[u8],
        room: usize,
    ) -> Result<Vec<u8>, Refused> {
        let update = Update::parse(payload)?;
        let updated = self.update_shadow_to(name, &update, room);
        updated.map_err(|error| Refused {
            error,
            token: update.token,
        })
    }

    fn update_shadow_to(
        &mut self,
        name: &ShadowName,
        update: &Update,
        room: usize,
    ) -> Result<Vec<u8>, shadow::Error> {
        let now = self.now() / 1000;
        let old = self.shadows.get(name.id()).cloned();
        let old = old.filter(|old| !old.is_forgotten(self.now()));
        let previous = old.as_ref().filter(|old| old.deleted.is_none());
        let previous = previous.map(|old| &old.document);
        if !update.is_for(previous.map_or(0, |previous| previous.version)) {
            return Err(shadow::Error::Conflict);
        }
        let version = old.as_ref().map_or(0, |old| old.document.version);
        let (document, is_other) = Document::updated(previous, version, update, now)?;
        let added = document
            .size()
            .saturating_sub(previous.map_or(0, Document::size));
        if self.shadow_bytes + added + SHADOW > room && (added > 0 || old.is_none()) {
            return Err(shadow::Error::TooMany);
        }
        let accepted = answer::accepted(update, document.version, now);
        self.announce(name, "update/accepted", accepted.clone());
        let delta = answer::delta(&document, update.token.clone(), now);
        if let Some(delta) = delta.filter(|_| is_other) {
            self.announce(name, "update/delta", delta);
        }
        let documents = answer::documents(previous, &document, update.token.clone(), now);
        self.announce(name, "update/documents", documents);
        self.put_shadow(name.id(), document, None);
        Ok(accepted)
    }

    /// Deletes a shadow; what is answered.
    ///
    /// # Errors
    ///
    /// There is none, or the payload is no request.
    pub(crate) fn delete_shadow(
        &mut self,
        name: &ShadowName,
        payload: &[u8],
    ) -> Result<Vec<u8>, Refused> {
        let token = parse_token(payload)?;
        let version = self.shadow(name).map(|document| document.version);
        let version = version.map_err(|error| Refused {
            error,
            token: token.clone(),
        })?;
        let deleted = answer::deleted(version, token.as_deref(), self.now() / 1000);
        self.announce(name, "delete/accepted", deleted.clone());
        self.bury_shadow(name.id(), version);
        Ok(deleted)
    }

    /// Leaves the version of a shadow and nothing else.
    fn bury_shadow(&mut self, id: &str, version: u64) {
        let document = Document {
            version,
            ..Document::default()
        };
        let now = self.now();
        self.put_shadow(id, document, Some(now));
    }

    fn put_shadow(&mut self, id: &str, document: Document, deleted: Option<Timestamp>) {
        let forgotten = self.deleted_shadows.iter();
        let forgotten = forgotten.take_while(|(at, _)| at + TOMBSTONE < self.now());
        let forgotten: Vec<_> = forgotten.take(FORGOTTEN_AT_ONCE).cloned().collect();
        for (_, id) in forgotten {
            self.remove::<Shadow>(&id);
        }
        self.put(Shadow {
            id: id.to_owned(),
            document,
            deleted,
        });
    }

    /// Deletes all shadows of a thing, which nobody is told of.
    pub(super) fn delete_shadows_of(&mut self, thing: &str) {
        let classic = self.shadows.get(thing);
        let all = classic.into_iter().chain(self.named_shadows(thing, None));
        let all = all.filter(|shadow| shadow.deleted.is_none());
        let all: Vec<_> = all
            .map(|one| (one.id.clone(), one.document.version))
            .collect();
        for (id, version) in all {
            self.bury_shadow(&id, version);
        }
    }
}

impl Shadow {
    /// Whether it was deleted too long ago for its version to go on.
    fn is_forgotten(&self, now: Timestamp) -> bool {
        self.deleted
            .is_some_and(|deleted| deleted + TOMBSTONE < now)
    }
}
