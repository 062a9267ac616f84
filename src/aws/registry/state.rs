//! Everything that the registry knows at one moment, and the indexes over it.
//!
//! The maps share what they have in common with their copies, so a copy costs nothing: a change begins with
//! one, and readers keep theirs for as long as they like.

use std::ops::Bound;
use std::sync::Arc;

use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::policy::{Document, Scope};

use super::names::Resource;
use super::record::{
    Account, Authorizer, CaCertificate, Certificate, Policy, PrincipalType, Thing, ThingGroup,
    ThingType, Timestamp,
};
use super::shadows::Shadow;
use super::{Changed, Draft, Error, events};

pub(super) type Map<R> = RedBlackTreeMapSync<String, Arc<R>>;
pub(super) type Pairs = RedBlackTreeSetSync<(String, String)>;
/// Identifiers in the order of creation.
pub(super) type Dates = RedBlackTreeSetSync<(Timestamp, String)>;

/// The registry at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    pub(super) scope: Arc<Scope>,
    pub(super) things: Map<Thing>,
    pub(super) types: Map<ThingType>,
    pub(super) groups: Map<ThingGroup>,
    pub(super) certificates: Map<Certificate>,
    pub(super) authorities: Map<CaCertificate>,
    pub(super) policies: Map<Policy>,
    pub(super) authorizers: Map<Authorizer>,
    pub(super) accounts: Map<Account>,
    /// Those that were deleted not long ago too.
    pub(super) shadows: Map<Shadow>,
    /// Bytes that they take.
    pub(super) shadow_bytes: usize,
    /// Deleted shadows by when that was.
    pub(super) deleted_shadows: Dates,
    /// Type, thing.
    pub(super) of_type: Pairs,
    /// Name of an attribute, its value, thing.
    pub(super) of_attribute: RedBlackTreeSetSync<(String, String, String)>,
    /// Group, thing.
    pub(super) members: Pairs,
    /// Group, group in it.
    pub(super) children: Pairs,
    /// Certificate, thing.
    pub(super) attached: Pairs,
    /// Policy, what it is attached to.
    pub(super) targets: RedBlackTreeSetSync<(String, Resource)>,
    pub(super) certificate_dates: Dates,
    /// Authority, date, certificate.
    pub(super) signed: RedBlackTreeSetSync<(String, Timestamp, String)>,
    pub(super) authority_dates: Dates,
    pub(super) policy_dates: Dates,
    pub(super) authorizer_dates: Dates,
    /// The default versions of policies.
    pub(super) documents: Map<Document>,
}

impl State {
    pub(super) fn new(scope: Scope) -> Self {
        Self {
            scope: Arc::new(scope),
            things: Map::new_sync(),
            types: Map::new_sync(),
            groups: Map::new_sync(),
            certificates: Map::new_sync(),
            authorities: Map::new_sync(),
            policies: Map::new_sync(),
            authorizers: Map::new_sync(),
            accounts: Map::new_sync(),
            shadows: Map::new_sync(),
            shadow_bytes: 0,
            deleted_shadows: Dates::new_sync(),
            of_type: Pairs::new_sync(),
            of_attribute: RedBlackTreeSetSync::new_sync(),
            members: Pairs::new_sync(),
            children: Pairs::new_sync(),
            attached: Pairs::new_sync(),
            targets: RedBlackTreeSetSync::new_sync(),
            certificate_dates: Dates::new_sync(),
            signed: RedBlackTreeSetSync::new_sync(),
            authority_dates: Dates::new_sync(),
            policy_dates: Dates::new_sync(),
            authorizer_dates: Dates::new_sync(),
            documents: Map::new_sync(),
        }
    }

    /// Whose resources they are.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The ARN of a resource.
    pub fn arn(&self, resource: &Resource) -> String {
        resource.arn(&self.scope)
    }

    pub(super) fn resource(&self, arn: &str) -> Result<Resource, Error> {
        Resource::parse(arn, &self.scope)
    }

    /// Puts a record in the place of the one of its key, or none; the one that was there.
    pub(super) fn set<R: Record>(&mut self, key: &str, new: Option<Arc<R>>) -> Option<Arc<R>> {
        let old = R::map(self).get(key).cloned();
        if let Some(old) = &old {
            old.index(self, false);
        }
        match new {
            Some(new) => {
                R::map_mut(self).insert_mut(key.to_owned(), new.clone());
                new.index(self, true);
            }
            None => {
                R::map_mut(self).remove_mut(key);
            }
        }
        old
    }
}

/// What stands behind `first` in a set of pairs, beyond `after` if that is given.
pub(super) fn behind<'a>(
    pairs: &'a Pairs,
    first: &'a str,
    after: Option<&str>,
) -> impl Iterator<Item = &'a String> {
    let start = match after {
        Some(after) => Bound::Excluded((first.to_owned(), after.to_owned())),
        None => Bound::Included((first.to_owned(), String::new())),
    };
    pairs
        .range((start, Bound::Unbounded))
        .take_while(move |(owner, _)| owner == first)
        .map(|(_, other)| other)
}

/// Resources of one kind: how they are found, and what finding them by something else needs.
pub(super) trait Record: Clone + PartialEq + Serialize + DeserializeOwned + 'static {
    /// The table of the file.
    const TABLE: &'static str;

    fn key(&self) -> &str;
    fn map(state: &State) -> &Map<Self>;
    fn map_mut(state: &mut State) -> &mut Map<Self>;

    /// Adds it to the indexes, or takes it out of them.
    fn index(&self, state: &mut State, is_there: bool);

    /// What of it cannot be as it is, if anything.
    fn fault(&self) -> Option<String> {
        None
    }

    /// Notes what a change of it means for those who keep views.
    fn changed(old: Option<&Self>, new: Option<&Self>, told: &mut Vec<Changed>);

    /// Notes what is to be told of a change of it.
    fn tell(_: Option<&Self>, _: Option<&Self>, _: &mut Draft<'_>) {}
}

pub(super) fn toggle<T: Ord>(set: &mut RedBlackTreeSetSync<T>, entry: T, is_there: bool) {
    if is_there {
        set.insert_mut(entry);
    } else {
        set.remove_mut(&entry);
    }
}

/// Notes that views may be others, if it is so.
fn views(is_so: bool, told: &mut Vec<Changed>) {
    told.extend(is_so.then_some(Changed::Views));
}

impl Record for Thing {
    const TABLE: &'static str = "things";

    fn key(&self) -> &str {
        &self.name
    }

    fn map(state: &State) -> &Map<Self> {
        &state.things
    }

    fn map_mut(state: &mut State) -> &mut Map<Self> {
        &mut state.things
    }

    fn index(&self, state: &mut State, is_there: bool) {
        let name = || self.name.clone();
        if let Some(kind) = &self.thing_type {
            toggle(&mut state.of_type, (kind.clone(), name()), is_there);
        }
        for (attribute, value) in &self.attributes {
            let entry = (attribute.clone(), value.clone(), name());
            toggle(&mut state.of_attribute, entry, is_there);
        }
        for group in &self.groups {
            toggle(&mut state.members, (group.clone(), name()), is_there);
        }
        for certificate in self.principals.keys() {
            toggle(&mut state.attached, (certificate.clone(), name()), is_there);
        }
    }

    fn changed(old: Option<&Self>, new: Option<&Self>, told: &mut Vec<Changed>) {
        let is_attached = |thing: Option<&Self>| thing.is_some_and(|t| !t.principals.is_empty());
        views(is_attached(old) || is_attached(new), told);
    }

    fn tell(old: Option<&Self>, new: Option<&Self>, draft: &mut Draft<'_>) {
        events::thing(old, new, draft);
    }
}

impl Record for ThingType {
    const TABLE: &'static str = "thing_types";

    fn key(&self) -> &str {
        &self.name
    }

    fn map(state: &State) -> &Map<Self> {
        &state.types
    }

    fn map_mut(state: &mut State) -> &mut Map<Self> {
        &mut state.types
    }

    fn index(&self, _: &mut State, _: bool) {}

    fn changed(_: Option<&Self>, _: Option<&Self>, _: &mut Vec<Changed>) {}

    fn tell(old: Option<&Self>, new: Option<&Self>, draft: &mut Draft<'_>) {
        events::thing_type(old, new, draft);
    }
}

impl Record for ThingGroup {
    const TABLE: &'static str = "thing_groups";

    fn key(&self) -> &str {
        &self.name
    }

    fn map(state: &State) -> &Map<Self> {
        &state.groups
    }

    fn map_mut(state: &mut State) -> &mut Map<Self> {
        &mut state.groups
    }

    fn index(&self, state: &mut State, is_there: bool) {
        if let Some(parent) = &self.parent {
            let entry = (parent.clone(), self.name.clone());
            toggle(&mut state.children, entry, is_there);
        }
        for policy in &self.policies {
            let target = Resource::ThingGroup(self.name.clone());
            toggle(&mut state.targets, (policy.clone(), target), is_there);
        }
    }

    fn changed(old: Option<&Self>, new: Option<&Self>, told: &mut Vec<Changed>) {
        let policies = |group: Option<&Self>| group.map(|g| g.policies.clone()).unwrap_or_default();
        views(policies(old) != policies(new), told);
    }

    fn tell(old: Option<&Self>, new: Option<&Self>, draft: &mut Draft<'_>) {
        events::thing_group(old, new, draft);
    }
}

impl Record for Certificate {
    const TABLE: &'static str = "certificates";

    fn key(&self) -> &str {
        &self.id
    }

    fn map(state: &State) -> &Map<Self> {
        &state.certificates
    }

    fn map_mut(state: &mut State) -> &mut Map<Self> {
        &mut state.certificates
    }

    fn index(&self, state: &mut State, is_there: bool) {
        let id = || self.id.clone();
        toggle(&mut state.certificate_dates, (self.created, id()), is_there);
        if let Some(ca) = &self.ca {
            let entry = (ca.clone(), self.created, id());
            toggle(&mut state.signed, entry, is_there);
        }
        for policy in &self.policies {
            let target = Resource::Certificate(id());
            toggle(&mut state.targets, (policy.clone(), target), is_there);
        }
    }

    fn changed(old: Option<&Self>, new: Option<&Self>, told: &mut Vec<Changed>) {
        let status = |certificate: Option<&Self>| certificate.map(|c| c.status);
        if status(old) != status(new) {
            told.extend(old.or(new).map(|certificate| Changed::Certificate {
                id: certificate.id.clone(),
                status: status(new),
            }));
            return;
        }
        views(old.map(|c| &c.policies) != new.map(|c| &c.policies), told);
    }
}

impl Record for CaCertificate {
    const TABLE: &'static str = "ca_certificates";

    fn key(&self) -> &str {
        &self.id
    }

    fn map(state: &State) -> &Map<Self> {
        &state.authorities
    }

    fn map_mut(state: &mut State) -> &mut Map<Self> {
        &mut state.authorities
    }

    fn index(&self, state: &mut State, is_there: bool) {
        let entry = (self.created, self.id.clone());
        toggle(&mut state.authority_dates, entry, is_there);
    }

    fn changed(old: Option<&Self>, new: Option<&Self>, told: &mut Vec<Changed>) {
        let is_active = |ca: Option<&Self>| ca.is_some_and(|ca| ca.is_active);
        told.extend((is_active(old) != is_active(new)).then_some(Changed::Authorities));
    }
}

impl Policy {
    fn document(&self) -> Option<&Arc<str>> {
        let version = self.versions.get(&self.default_version)?;
        Some(&version.document)
    }
}

impl Record for Policy {
    const TABLE: &'static str = "policies";

    fn key(&self) -> &str {
        &self.name
    }

    fn map(state: &State) -> &Map<Self> {
        &state.policies
    }

    fn map_mut(state: &mut State) -> &mut Map<Self> {
        &mut state.policies
    }

    fn index(&self, state: &mut State, is_there: bool) {
        let entry = (self.created, self.name.clone());
        toggle(&mut state.policy_dates, entry, is_there);
        match self.document().map(|document| Document::parse(document)) {
            Some(Ok(document)) if is_there => {
                let document = Arc::new(document);
                state.documents.insert_mut(self.name.clone(), document);
            }
            _ => {
                state.documents.remove_mut(&self.name);
            }
        }
    }

    fn fault(&self) -> Option<String> {
        match self.document().map(|document| Document::parse(document)) {
            None => Some("it has no default version".to_owned()),
            Some(document) => document.err().map(|error| error.to_string()),
        }
    }

    fn changed(old: Option<&Self>, new: Option<&Self>, told: &mut Vec<Changed>) {
        let document = |policy: Option<&Self>| policy.and_then(Self::document).cloned();
        let now = document(new);
        if document(old) == now {
            return;
        }
        // The first policy of all may decide whether policies hold.
        told.push(Changed::Views);
        if let (Some(Self { name, .. }), Some(document)) = (new, now) {
            let name = name.clone();
            told.push(Changed::Policy { name, document });
        }
    }
}

impl Record for Authorizer {
    const TABLE: &'static str = "authorizers";

    fn key(&self) -> &str {
        &self.name
    }

    fn map(state: &State) -> &Map<Self> {
        &state.authorizers
    }

    fn map_mut(state: &mut State) -> &mut Map<Self> {
        &mut state.authorizers
    }

    fn index(&self, state: &mut State, is_there: bool) {
        let entry = (self.created, self.name.clone());
        toggle(&mut state.authorizer_dates, entry, is_there);
    }

    /// Whom it has let in stays.
    fn changed(_: Option<&Self>, _: Option<&Self>, _: &mut Vec<Changed>) {}
}

impl Record for Account {
    const TABLE: &'static str = "account";

    fn key(&self) -> &str {
        Self::KEY
    }

    fn map(state: &State) -> &Map<Self> {
        &state.accounts
    }

    fn map_mut(state: &mut State) -> &mut Map<Self> {
        &mut state.accounts
    }

    fn index(&self, _: &mut State, _: bool) {}

    fn changed(_: Option<&Self>, _: Option<&Self>, _: &mut Vec<Changed>) {}
}

impl Account {
    /// There is only one.
    pub(super) const KEY: &str = "account";
}

impl State {
    /// The things that a certificate is attached to, and how.
    pub(super) fn things_of(
        &self,
        certificate: &str,
    ) -> impl Iterator<Item = (&Arc<Thing>, PrincipalType)> {
        // The certificate's key is borrowed by nothing that is given out.
        let names: Vec<_> = behind(&self.attached, certificate, None).cloned().collect();
        let certificate = certificate.to_owned();
        names.into_iter().filter_map(move |name| {
            let thing = self.things.get(&name)?;
            Some((thing, *thing.principals.get(&certificate)?))
        })
    }
}
