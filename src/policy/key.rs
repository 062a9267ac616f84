//! Names of what a request may know: variables in a policy's texts, and keys of its conditions.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use smallvec::{SmallVec, smallvec};

use super::action::Action;
use super::certificate::Field;
use super::context::{Attachment, Request, Thing};
use super::date;

/// A name in a policy, as far as it is known (AWS-POL-18 to -26).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    ClientId,
    SourceIp,
    DomainName,
    ThingName,
    ThingTypeName,
    ThingAttribute(Box<str>),
    IsAttached,
    CertificateId,
    /// The value of a field at a place, from 0.
    Certificate(Field, usize),
    /// All values of a field.
    CertificateList(Field),
    AvailableKeys,
    ConnectAttributes,
    LastWillTopic,
    Topic,
    IncludeSocketInformation,
    CurrentTime,
    EpochTime,
    /// It never has a value (AWS-ID-87).
    Unknown(Box<str>),
}

/// A request, and what its ARNs begin with.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) prefix: &'a str,
}

/// A value that a key has in a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Flag(bool),
    Address(IpAddr),
    /// Seconds since 1970, written as a date.
    Date(i64),
    /// The same, written as a number.
    Epoch(i64),
}

impl<'a> Value<'a> {
    fn borrowed(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    pub(super) fn text(&self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => text.clone(),
            Self::Flag(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
            Self::Address(address) => Cow::Owned(address.to_string()),
            Self::Date(time) => Cow::Owned(date::format(*time)),
            Self::Epoch(time) => Cow::Owned(time.to_string()),
        }
    }
}

impl Key {
    /// Reads a name, in any case (AWS-ID-60); the name of an attribute is as it is.
    pub(super) fn parse(name: &str) -> Self {
        let lower = name.to_ascii_lowercase();
        let known = match lower.as_str() {
            "iot:clientid" => Some(Self::ClientId),
            "aws:sourceip" => Some(Self::SourceIp),
            "iot:domainname" => Some(Self::DomainName),
            "iot:certificateid" => Some(Self::CertificateId),
            "iot:certificate.availablekeys" => Some(Self::AvailableKeys),
            "iot:connectattributes" => Some(Self::ConnectAttributes),
            "iot:lastwilltopic" => Some(Self::LastWillTopic),
            "iot:topic" => Some(Self::Topic),
            "iot:includesocketinformation" => Some(Self::IncludeSocketInformation),
            "aws:currenttime" => Some(Self::CurrentTime),
            "aws:epochtime" => Some(Self::EpochTime),
            other => {
                // The short form is in examples of the guide (AWS-ID-65).
                let of_thing = ["iot:connection.thing.", "iot:thing."];
                let thing = of_thing
                    .iter()
                    .find_map(|prefix| other.strip_prefix(prefix));
                match (thing, other.strip_prefix("iot:certificate.")) {
                    (Some(thing), _) => Self::parse_thing(thing, &name[name.len() - thing.len()..]),
                    (None, Some(field)) => Self::parse_certificate(field),
                    (None, None) => None,
                }
            }
        };
        known.unwrap_or_else(|| Self::Unknown(name.into()))
    }

    /// What follows `iot:Connection.Thing.`, in small letters and as it is.
    fn parse_thing(lower: &str, name: &str) -> Option<Self> {
        match lower {
            "thingname" => Some(Self::ThingName),
            "thingtypename" => Some(Self::ThingTypeName),
            "isattached" => Some(Self::IsAttached),
            _ => {
                let start = "attributes[".len();
                let is_attribute = lower.starts_with("attributes[") && name.len() > start + 1;
                let attribute = is_attribute.then(|| name[start..].strip_suffix(']'))??;
                Some(Self::ThingAttribute(attribute.into()))
            }
        }
    }

    /// What follows `iot:Certificate.`: a field, its `.1` for the second value, its `.List` for all (AWS-ID-70).
    fn parse_certificate(name: &str) -> Option<Self> {
        if let Some(field) = Field::parse(name) {
            return Some(Self::Certificate(field, 0));
        }
        let (name, which) = name.rsplit_once('.')?;
        let field = Field::parse(name)?;
        if which == "list" {
            return Some(Self::CertificateList(field));
        }
        let is_number = which.bytes().all(|byte| byte.is_ascii_digit()) && !which.starts_with('0');
        let place = is_number.then(|| which.parse().ok())??;
        Some(Self::Certificate(field, place))
    }

    /// Whether a value may be another one at the next packet of the same connection.
    pub(super) fn is_time(&self) -> bool {
        matches!(self, Self::CurrentTime | Self::EpochTime)
    }

    /// Whether it may have several values at once.
    fn is_list(&self) -> bool {
        matches!(
            self,
            Self::CertificateList(_) | Self::AvailableKeys | Self::ConnectAttributes
        )
    }

    /// Whether it has its values only for operators on sets (AWS-ID-70).
    pub(super) fn is_for_sets(&self) -> bool {
        matches!(self, Self::CertificateList(_))
    }

    /// What takes the place of a variable of this name.
    pub(super) fn substitute<'a>(&self, facts: &Facts<'a>) -> Option<Cow<'a, str>> {
        match self {
            // These two are in nearly every resource.
            Self::ClientId => facts
                .request
                .context
                .client_id
                .as_deref()
                .map(Cow::Borrowed),
            Self::ThingName => thing(facts).map(|thing| Cow::Borrowed(&*thing.name)),
            key if key.is_list() => None,
            key => key.single(facts).map(|value| value.text()),
        }
    }

    /// What a condition on this key looks at; nothing where the request does not have it (AWS-ID-81).
    pub(super) fn values<'a>(&self, facts: &Facts<'a>) -> SmallVec<[Value<'a>; 2]> {
        let certificate = facts.request.context.certificate.as_ref();
        match self {
            Self::CertificateList(field) => {
                let values = certificate.into_iter().flat_map(|c| c.values(*field));
                values.map(Value::borrowed).collect()
            }
            Self::AvailableKeys => {
                let names = certificate.into_iter().flat_map(|c| c.available());
                names.map(|name| Value::Text(Cow::Owned(name))).collect()
            }
            Self::ConnectAttributes => connect_attributes(facts.request),
            key => key.single(facts).into_iter().collect(),
        }
    }

    /// The value of a key that has one at most.
    fn single<'a>(&self, facts: &Facts<'a>) -> Option<Value<'a>> {
        let (request, context) = (facts.request, facts.request.context);
        let text = match self {
            Self::ClientId => context.client_id.as_deref(),
            Self::DomainName => context.domain_name.as_deref(),
            Self::ThingName => thing(facts).map(|thing| thing.name.as_str()),
            Self::ThingTypeName => thing(facts).and_then(|thing| thing.type_name.as_deref()),
            Self::ThingAttribute(name) => {
                thing(facts).and_then(|thing| thing.attributes.get(&**name).map(String::as_str))
            }
            Self::CertificateId => context.certificate.as_ref().map(|c| c.id()),
            Self::Certificate(field, place) => context
                .certificate
                .as_ref()
                .and_then(|c| c.value(*field, *place)),
            Self::SourceIp => return context.source_ip.map(Value::Address),
            Self::IsAttached => {
                return match context.thing {
                    Attachment::Unknown => None,
                    Attachment::Detached => Some(Value::Flag(false)),
                    Attachment::Attached(_) => Some(Value::Flag(true)),
                };
            }
            Self::LastWillTopic => return topic_arn(facts, request.details.will_topic),
            Self::Topic => return topic_arn(facts, request.details.topic),
            Self::IncludeSocketInformation => {
                return request.details.socket_information.map(Value::Flag);
            }
            Self::CurrentTime => return request.time.map(Value::Date),
            Self::EpochTime => return request.time.map(Value::Epoch),
            Self::CertificateList(_)
            | Self::AvailableKeys
            | Self::ConnectAttributes
            | Self::Unknown(_) => None,
        };
        text.map(Value::borrowed)
    }
}

fn thing<'a>(facts: &Facts<'a>) -> Option<&'a Thing> {
    match &facts.request.context.thing {
        Attachment::Attached(thing) => Some(thing),
        Attachment::Unknown | Attachment::Detached => None,
    }
}

fn topic_arn<'a>(facts: &Facts<'a>, topic: Option<&str>) -> Option<Value<'a>> {
    topic.map(|topic| Value::Text(Cow::Owned(format!("{}topic/{topic}", facts.prefix))))
}

/// What a CONNECT asks for beyond a connection (AWS-ID-83).
fn connect_attributes<'a>(request: &Request<'_>) -> SmallVec<[Value<'a>; 2]> {
    let mut values = smallvec![];
    if request.action == Action::Connect {
        if request.details.persistent {
            values.push(Value::borrowed("PersistentConnect"));
        }
        if request.details.will_topic.is_some() {
            values.push(Value::borrowed("LastWill"));
        }
    }
    values
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::ClientId => "iot:ClientId",
            Self::SourceIp => "aws:SourceIp",
            Self::DomainName => "iot:DomainName",
            Self::ThingName => "iot:Connection.Thing.ThingName",
            Self::ThingTypeName => "iot:Connection.Thing.ThingTypeName",
            Self::ThingAttribute(name) => {
                return write!(formatter, "iot:Connection.Thing.Attributes[{name}]");
            }
            Self::IsAttached => "iot:Connection.Thing.IsAttached",
            Self::CertificateId => "iot:CertificateId",
            Self::Certificate(field, 0) => {
                return write!(formatter, "iot:Certificate.{}", field.name());
            }
            Self::Certificate(field, place) => {
                return write!(formatter, "iot:Certificate.{}.{place}", field.name());
            }
            Self::CertificateList(field) => {
                return write!(formatter, "iot:Certificate.{}.List", field.name());
            }
            Self::AvailableKeys => "iot:Certificate.AvailableKeys",
            Self::ConnectAttributes => "iot:ConnectAttributes",
            Self::LastWillTopic => "iot:LastWillTopic",
            Self::Topic => "iot:Topic",
            Self::IncludeSocketInformation => "iot:IncludeSocketInformation",
            Self::CurrentTime => "aws:CurrentTime",
            Self::EpochTime => "aws:EpochTime",
            Self::Unknown(name) => name,
        };
        formatter.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS-ID-60.
    #[test]
    fn names_are_read_in_any_case_and_written_as_the_service_does() {
        for name in [
            "iot:ClientId",
            "aws:SourceIp",
            "iot:DomainName",
            "iot:Connection.Thing.ThingName",
            "iot:Connection.Thing.ThingTypeName",
            "iot:Connection.Thing.Attributes[Site]",
            "iot:Connection.Thing.IsAttached",
            "iot:CertificateId",
            "iot:Certificate.SerialNumber",
            "iot:Certificate.Subject.CommonName",
            "iot:Certificate.Issuer.AlternativeName.IPAddress.4",
            "iot:Certificate.Subject.Organization.List",
            "iot:Certificate.AvailableKeys",
            "iot:ConnectAttributes",
            "iot:LastWillTopic",
            "iot:Topic",
            "iot:IncludeSocketInformation",
            "aws:CurrentTime",
            "aws:EpochTime",
        ] {
            let key = Key::parse(name);
            assert!(!matches!(key, Key::Unknown(_)), "{name}");
            assert_eq!(key.to_string(), name);
            if !name.contains('[') {
                assert_eq!(Key::parse(&name.to_ascii_uppercase()), key);
            }
        }
        let site = Key::ThingAttribute("Site".into());
        assert_eq!(Key::parse("IOT:CONNECTION.THING.ATTRIBUTES[Site]"), site);
    }

    /// AWS-ID-65.
    #[test]
    fn a_thing_has_a_short_name() {
        assert_eq!(Key::parse("iot:Thing.ThingName"), Key::ThingName);
    }

    #[test]
    fn other_names_are_unknown() {
        for name in [
            "",
            "iot:",
            "iot:Client",
            "iot:Connection.Thing.Attributes[]",
            "iot:Connection.Thing.Attributes[a",
            "iot:Connection.Thing.Attributes",
            "iot:Certificate.Subject.CommonName.0",
            "iot:Certificate.Subject.CommonName.",
            "iot:Certificate.Subject.CommonName.01",
            "iot:Certificate.Subject.Age",
            "cognito-identity.amazonaws.com:sub",
        ] {
            assert_eq!(Key::parse(name), Key::Unknown(name.into()));
            assert_eq!(Key::parse(name).to_string(), name);
        }
    }
}
