//! Topic aliases that the client set (MQTT-3.3.2-7 to -12).

use crate::budget::{Charge, Full};
use crate::codec::ReasonCode;

use super::violation::Violation;

/// Topics by alias, for the life of one connection.
pub(crate) struct InboundAliases {
    topics: Vec<Option<Box<str>>>,
    charge: Charge,
}

/// What an alias takes besides its topic.
const ALIAS: usize = 32;

impl InboundAliases {
    /// No aliases yet.
    pub(crate) fn new(charge: Charge) -> Self {
        Self {
            topics: Vec::new(),
            charge,
        }
    }

    /// Takes note of the alias of a PUBLISH: it stands for the topic that the packet carries or, if
    /// that is empty, for the one that was bound before.
    pub(crate) fn bind(&mut self, topic: &str, alias: u16, maximum: u16) -> Result<(), Violation> {
        if alias > maximum {
            return Err(Violation::new(
                ReasonCode::TopicAliasInvalid,
                "MQTT-3.3.2-9",
                format!("topic alias {alias} is above the maximum of {maximum}"),
            ));
        }
        let place = usize::from(alias);
        if topic.is_empty() {
            return match self.topic(alias) {
                Some(_) => Ok(()),
                None => Err(Violation::protocol(
                    "MQTT-3.3.2-12",
                    format!("topic alias {alias} is not bound"),
                )),
            };
        }
        if self.topic(alias) == Some(topic) {
            return Ok(());
        }
        let places = (place + 1).saturating_sub(self.topics.len());
        let replaced = self.topic(alias).map_or(0, str::len);
        self.charge
            .grow(places * ALIAS + topic.len())
            .map_err(|Full| Violation::no_memory())?;
        self.charge.shrink(replaced);
        if places > 0 {
            self.topics.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.topics.get_mut(place) {
            *slot = Some(topic.into());
        }
        Ok(())
    }

    /// The topic that an alias stands for.
    pub(crate) fn topic(&self, alias: u16) -> Option<&str> {
        self.topics.get(usize::from(alias))?.as_deref()
    }

    /// Forgets up to `count` aliases, whichever they are. Returns whether none is left.
    pub(crate) fn discard(&mut self, count: usize) -> bool {
        self.topics
            .truncate(self.topics.len().saturating_sub(count));
        self.topics.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Kind, Owned};

    #[test]
    fn topics_are_charged_until_the_connection_ends() {
        let budget = Owned::new(1 << 20);
        let mut aliases = InboundAliases::new(Charge::none(*budget, Kind::Sessions));
        let long = "a".repeat(60_000);
        let bound = (1..=100).take_while(|alias| aliases.bind(&long, *alias, 100).is_ok());
        assert!((5..10).contains(&bound.count()), "half of the budget");
        aliases.bind("short", 1, 100).unwrap();
        assert_eq!(aliases.topic(1), Some("short"));
        assert!(!aliases.discard(1));
        assert_eq!(aliases.topic(1), Some("short"));
        assert!(aliases.discard(100));
        drop(aliases);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn an_alias_keeps_its_topic_until_it_is_bound_anew() {
        let budget = Owned::new(1 << 20);
        let mut aliases = InboundAliases::new(Charge::none(*budget, Kind::Sessions));
        for (topic, means) in [("a/b", "a/b"), ("", "a/b"), ("c", "c"), ("", "c")] {
            aliases.bind(topic, 2, 8).unwrap();
            assert_eq!(aliases.topic(2), Some(means));
        }
    }

    /// AWS-M5-19, MQTT-3.3.2-9.
    #[test]
    fn unknown_and_too_high_aliases_are_refused() {
        let budget = Owned::new(1 << 20);
        let mut aliases = InboundAliases::new(Charge::none(*budget, Kind::Sessions));
        let reason = |bound: Result<(), Violation>| bound.unwrap_err().reason;
        assert_eq!(reason(aliases.bind("", 1, 8)), ReasonCode::ProtocolError);
        assert_eq!(
            reason(aliases.bind("a", 9, 8)),
            ReasonCode::TopicAliasInvalid
        );
    }
}
