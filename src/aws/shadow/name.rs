//! Whose shadow, and the topics of its service (AWS-SHADOW-01 to -03, -45).

use crate::protocol::reserved::{is_shadow_name, is_thing_name};

/// A shadow of a thing: the classic one, or one with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ShadowName {
    /// `thing`, or `thing/name`; neither has a slash.
    id: Box<str>,
}

/// What is asked of a shadow over MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Get,
    Update,
    Delete,
}

impl Deed {
    /// The level of its topics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl ShadowName {
    /// None for a name that no thing or no shadow can have.
    pub(crate) fn new(thing: &str, name: Option<&str>) -> Option<Self> {
        let id = match name {
            None => thing.into(),
            Some(name) if is_shadow_name(name) => format!("{thing}/{name}").into(),
            Some(_) => return None,
        };
        is_thing_name(thing).then_some(Self { id })
    }

    /// As it is kept.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The request that a message of this topic is, if it is one.
    pub(crate) fn of_request(topic: &str) -> Option<(Self, Deed)> {
        let (thing, rest) = topic.strip_prefix("$aws/things/")?.split_once('/')?;
        let rest = rest.strip_prefix("shadow/")?;
        let (name, deed) = match rest.strip_prefix("name/") {
            Some(rest) => {
                let (name, deed) = rest.split_once('/')?;
                (Some(name), deed)
            }
            None => (None, rest),
        };
        let deeds = [Deed::Get, Deed::Update, Deed::Delete];
        let deed = deeds.into_iter().find(|one| one.name() == deed)?;
        Some((Self::new(thing, name)?, deed))
    }

    /// A topic of the shadow: `update/accepted`.
    pub(crate) fn topic(&self, rest: &str) -> String {
        match self.id.split_once('/') {
            Some((thing, name)) => format!("$aws/things/{thing}/shadow/name/{name}/{rest}"),
            None => format!("$aws/things/{}/shadow/{rest}", self.id),
        }
    }
}
