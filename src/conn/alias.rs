//! Topic aliases that the client set (MQTT-3.3.2-7 to -12).

use crate::codec::ReasonCode;

use super::violation::Violation;

/// Topics by alias, for the life of one connection.
#[derive(Default)]
pub(crate) struct InboundAliases {
    topics: Vec<Option<Box<str>>>,
}

impl InboundAliases {
    /// The topic that a PUBLISH means: the one it carries, which is bound to the alias, or the one
    /// that was bound before.
    pub(crate) fn resolve<'a>(
        &'a mut self,
        topic: &'a str,
        alias: u16,
        maximum: u16,
    ) -> Result<&'a str, Violation> {
        if alias > maximum {
            return Err(Violation::new(
                ReasonCode::TopicAliasInvalid,
                "MQTT-3.3.2-9",
                format!("topic alias {alias} is above the maximum of {maximum}"),
            ));
        }
        let place = usize::from(alias);
        if topic.is_empty() {
            return self
                .topics
                .get(place)
                .and_then(Option::as_deref)
                .ok_or_else(|| {
                    Violation::protocol(
                        "MQTT-3.3.2-12",
                        format!("topic alias {alias} is not bound"),
                    )
                });
        }
        if self.topics.len() <= place {
            self.topics.resize_with(place + 1, || None);
        }
        if let Some(slot) = self.topics.get_mut(place)
            && slot.as_deref() != Some(topic)
        {
            *slot = Some(topic.into());
        }
        Ok(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_keeps_its_topic_until_it_is_bound_anew() {
        let mut aliases = InboundAliases::default();
        assert_eq!(aliases.resolve("a/b", 2, 8).unwrap(), "a/b");
        assert_eq!(aliases.resolve("", 2, 8).unwrap(), "a/b");
        assert_eq!(aliases.resolve("c", 2, 8).unwrap(), "c");
        assert_eq!(aliases.resolve("", 2, 8).unwrap(), "c");
    }

    /// AWS-M5-19, MQTT-3.3.2-9.
    #[test]
    fn unknown_and_too_high_aliases_are_refused() {
        let mut aliases = InboundAliases::default();
        assert_eq!(
            aliases.resolve("", 1, 8).unwrap_err().reason,
            ReasonCode::ProtocolError
        );
        assert_eq!(
            aliases.resolve("a", 9, 8).unwrap_err().reason,
            ReasonCode::TopicAliasInvalid
        );
    }
}
