//! The properties of a message that no packet brought, written as a PUBLISH carries them.

use super::property::Property;
use super::write;

/// The longest string or binary value of a property, in bytes (sections 1.5.4 and 1.5.6).
const MAX_VALUE_LEN: usize = u16::MAX as usize;

/// What a publisher can say about a message besides topic and payload.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MessageProperties<'a> {
    pub(crate) payload_format_is_utf8: Option<bool>,
    /// Message Expiry Interval in seconds.
    pub(crate) message_expiry: Option<u32>,
    pub(crate) content_type: Option<&'a str>,
    pub(crate) response_topic: Option<&'a str>,
    pub(crate) correlation_data: Option<&'a [u8]>,
    /// Names and values, in the order to send them in (MQTT-3.3.2-18).
    pub(crate) user_properties: &'a [(String, String)],
}

/// A value is longer than its length field can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{property} has {bytes} bytes, the limit is {MAX_VALUE_LEN}")]
pub(crate) struct ValueTooLong {
    property: Property,
    bytes: usize,
}

impl MessageProperties<'_> {
    /// The property section without its length. Whether its strings are legal is seen by whoever
    /// reads it: [`PublishProperties::parse`](super::PublishProperties::parse).
    ///
    /// # Errors
    ///
    /// A value of more than 65,535 bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ValueTooLong> {
        self.check_lengths()?;
        let mut out = Vec::new();
        let indicator = self.payload_format_is_utf8;
        write::flag_property(&mut out, Property::PayloadFormatIndicator, indicator);
        write::u32_property(
            &mut out,
            Property::MessageExpiryInterval,
            self.message_expiry,
        );
        write::utf8_property(&mut out, Property::ContentType, self.content_type);
        write::utf8_property(&mut out, Property::ResponseTopic, self.response_topic);
        write::binary_property(&mut out, Property::CorrelationData, self.correlation_data);
        for (name, value) in self.user_properties {
            write::user_property(&mut out, name, value);
        }
        Ok(out)
    }

    fn check_lengths(&self) -> Result<(), ValueTooLong> {
        let single = [
            (Property::ContentType, self.content_type.map_or(0, str::len)),
            (
                Property::ResponseTopic,
                self.response_topic.map_or(0, str::len),
            ),
            (
                Property::CorrelationData,
                self.correlation_data.map_or(0, <[u8]>::len),
            ),
        ];
        let pairs = self
            .user_properties
            .iter()
            .map(|(name, value)| name.len().max(value.len()));
        let repeated = pairs.map(|bytes| (Property::UserProperty, bytes));
        match single
            .into_iter()
            .chain(repeated)
            .find(|(_, bytes)| *bytes > MAX_VALUE_LEN)
        {
            Some((property, bytes)) => Err(ValueTooLong { property, bytes }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::PublishProperties;
    use super::*;

    #[test]
    fn properties_that_were_written_are_read_back() {
        let pairs = [
            ("a".to_owned(), "1".to_owned()),
            ("a".to_owned(), "2".to_owned()),
        ];
        let properties = MessageProperties {
            payload_format_is_utf8: Some(true),
            message_expiry: Some(7),
            content_type: Some("text/plain"),
            response_topic: Some("re/ply"),
            correlation_data: Some(&[0, 255]),
            user_properties: &pairs,
        };
        let raw = properties.encode().expect("all values are short");
        let read = PublishProperties::parse(&raw).expect("a legal section");
        assert!(read.payload_format_is_utf8);
        assert_eq!(read.message_expiry, Some(7));
        assert_eq!(read.content_type, Some("text/plain"));
        assert_eq!(read.response_topic, Some("re/ply"));
        assert_eq!(read.correlation_data, Some(&[0, 255][..]));
        assert_eq!(
            read.user_properties().iter().collect::<Vec<_>>(),
            [("a", "1"), ("a", "2")]
        );
    }

    #[test]
    fn no_properties_are_no_bytes() {
        let raw = MessageProperties::default()
            .encode()
            .expect("nothing is too long");
        assert!(raw.is_empty());
        assert_eq!(PublishProperties::parse(&raw), Ok(PublishProperties::EMPTY));
    }

    #[test]
    fn value_that_its_length_field_cannot_hold_is_refused_rather_than_cut() {
        let long = "x".repeat(65_536);
        let content_type = MessageProperties {
            content_type: Some(&long),
            ..MessageProperties::default()
        };
        let error = content_type.encode().expect_err("one byte too many");
        assert_eq!(
            error.to_string(),
            "content type has 65536 bytes, the limit is 65535"
        );
        let pairs = [(String::new(), long)];
        let user = MessageProperties {
            user_properties: &pairs,
            ..MessageProperties::default()
        };
        assert!(user.encode().is_err());
    }
}
