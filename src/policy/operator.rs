//! Operators of conditions, and what the values of a policy mean to them.

use std::net::IpAddr;

use super::date;
use super::key::{Facts, Key, Value};
use super::scope::Scope;
use super::template::{Template, Wildcards};

/// An operator (AWS-ID-85), as `ForAllValues:StringNotEqualsIfExists` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    pub(super) quantifier: Option<Quantifier>,
    pub(super) relation: Relation,
    /// Whether no value of the policy may be in the relation, instead of one.
    pub(super) is_negated: bool,
    /// Whether a key that is missing will do.
    pub(super) if_exists: bool,
}

/// How many of the values of a request have to do (AWS-ID-82).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Any,
}

/// What a value of the request and one of the policy have to be to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    EqualIgnoringCase,
    Like,
    Arn,
    Flag,
    Address,
    Number(Comparison),
    Date(Comparison),
    /// Whether the key is missing.
    Null,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equals,
    LessThan,
    LessThanEquals,
    GreaterThan,
    GreaterThanEquals,
}

impl Comparison {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "Equals" => Some(Self::Equals),
            "LessThan" => Some(Self::LessThan),
            "LessThanEquals" => Some(Self::LessThanEquals),
            "GreaterThan" => Some(Self::GreaterThan),
            "GreaterThanEquals" => Some(Self::GreaterThanEquals),
            _ => None,
        }
    }

    fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Equals => left == right,
            Self::LessThan => left < right,
            Self::LessThanEquals => left <= right,
            Self::GreaterThan => left > right,
            Self::GreaterThanEquals => left >= right,
        }
    }
}

impl Operator {
    /// Reads the name of an operator; `None` when there is none of this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (quantifier, name) = match name.split_once(':') {
            Some(("ForAllValues", name)) => (Some(Quantifier::All), name),
            Some(("ForAnyValue", name)) => (Some(Quantifier::Any), name),
            Some(_) => return None,
            None => (None, name),
        };
        let (name, if_exists) = match name.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (relation, is_negated) = relation(name)?;
        // That would be a question which answers itself.
        let is_known = !(if_exists && relation == Relation::Null);
        is_known.then_some(Self {
            quantifier,
            relation,
            is_negated,
            if_exists,
        })
    }
}

/// The relation that a name stands for, and whether it is the negation of it.
fn relation(name: &str) -> Option<(Relation, bool)> {
    let relation = match name {
        "StringEquals" => (Relation::Equal, false),
        "StringNotEquals" => (Relation::Equal, true),
        "StringEqualsIgnoreCase" => (Relation::EqualIgnoringCase, false),
        "StringNotEqualsIgnoreCase" => (Relation::EqualIgnoringCase, true),
        "StringLike" => (Relation::Like, false),
        "StringNotLike" => (Relation::Like, true),
        "ArnEquals" | "ArnLike" => (Relation::Arn, false),
        "ArnNotEquals" | "ArnNotLike" => (Relation::Arn, true),
        "Bool" => (Relation::Flag, false),
        "IpAddress" => (Relation::Address, false),
        "NotIpAddress" => (Relation::Address, true),
        "Null" => (Relation::Null, false),
        "NumericNotEquals" => (Relation::Number(Comparison::Equals), true),
        "DateNotEquals" => (Relation::Date(Comparison::Equals), true),
        other => match (other.strip_prefix("Numeric"), other.strip_prefix("Date")) {
            (Some(rest), _) => (Relation::Number(Comparison::parse(rest)?), false),
            (None, Some(rest)) => (Relation::Date(Comparison::parse(rest)?), false),
            (None, None) => return None,
        },
    };
    Some(relation)
}

/// A value of the policy, as its operator takes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expected {
    Text(Template),
    /// The six parts of an ARN.
    Arn(Vec<Template>),
    Flag(bool),
    Network(Network),
    Number(f64),
    Date(i64),
    /// What is known only once its variables have values.
    Later(Template),
}

impl Relation {
    /// Reads a value of the policy.
    ///
    /// # Errors
    ///
    /// When it could not mean anything to this relation.
    pub(super) fn expect(self, text: &str) -> Result<Expected, String> {
        let wildcards = match self {
            Self::Like | Self::Arn => Wildcards::Special,
            _ => Wildcards::Literal,
        };
        let template = Template::parse(text, wildcards)?;
        match self {
            Self::Equal | Self::EqualIgnoringCase | Self::Like => Ok(Expected::Text(template)),
            Self::Arn if template.is_everything() => Ok(Expected::Arn(vec![template; 6])),
            Self::Arn => {
                let pieces = template.split(6);
                let wanted =
                    || format!("`{text}` is no ARN: arn:aws:iot:REGION:ACCOUNT:topic/NAME is one");
                (pieces.len() == 6)
                    .then_some(Expected::Arn(pieces))
                    .ok_or_else(wanted)
            }
            _ if template.variables().next().is_some() => Ok(Expected::Later(template)),
            _ => self
                .read(text)
                .ok_or_else(|| format!("`{text}` is no {}", self.noun())),
        }
    }

    /// A text without variables, for a relation that is none of texts.
    fn read(self, text: &str) -> Option<Expected> {
        match self {
            Self::Flag | Self::Null => flag(text).map(Expected::Flag),
            Self::Address => Network::parse(text).map(Expected::Network),
            Self::Number(_) => number(text).map(Expected::Number),
            Self::Date(_) => date::parse(text).map(Expected::Date),
            Self::Equal | Self::EqualIgnoringCase | Self::Like | Self::Arn => None,
        }
    }

    /// What its values are.
    fn noun(self) -> &'static str {
        match self {
            Self::Flag | Self::Null => "`true` or `false`",
            Self::Address => "address, nor a range as 10.0.0.0/8",
            Self::Number(_) => "number",
            Self::Date(_) => "time as 2026-11-28T17:38:11Z",
            Self::Equal | Self::EqualIgnoringCase | Self::Like => "text",
            Self::Arn => "ARN",
        }
    }
}

impl Expected {
    /// Whether a value of the request is in the relation to this one.
    pub(super) fn accepts(&self, relation: Relation, value: &Value<'_>, facts: &Facts<'_>) -> bool {
        let substitute = |key: &Key| key.substitute(facts);
        match (self, relation) {
            (Self::Text(template), Relation::EqualIgnoringCase) => {
                let expected = template.expand(substitute);
                expected.is_some_and(|text| text.to_lowercase() == value.text().to_lowercase())
            }
            (Self::Text(template), _) => template.fits(&value.text(), substitute),
            (Self::Arn(pieces), _) => {
                let text = value.text();
                let mut parts = text.splitn(pieces.len(), ':');
                let is_part = |piece: &Template| {
                    parts
                        .next()
                        .is_some_and(|part| piece.fits(part, substitute))
                };
                pieces.iter().all(is_part)
            }
            (Self::Flag(expected), _) => flag(&value.text()) == Some(*expected),
            (Self::Network(network), _) => match value {
                Value::Address(address) => network.contains(*address),
                other => other
                    .text()
                    .parse()
                    .is_ok_and(|address| network.contains(address)),
            },
            (Self::Number(expected), Relation::Number(comparison)) => {
                number(&value.text()).is_some_and(|number| comparison.holds(number, *expected))
            }
            (Self::Date(expected), Relation::Date(comparison)) => {
                let time = match value {
                    Value::Date(time) | Value::Epoch(time) => Some(*time),
                    other => date::parse(&other.text()),
                };
                time.is_some_and(|time| comparison.holds(time, *expected))
            }
            (Self::Later(template), _) => {
                let read = template
                    .expand(substitute)
                    .and_then(|text| relation.read(&text));
                read.is_some_and(|expected| expected.accepts(relation, value, facts))
            }
            (Self::Number(_) | Self::Date(_), _) => false, // made for another relation
        }
    }

    /// The templates that it consists of.
    pub(super) fn templates(&self) -> &[Template] {
        match self {
            Self::Text(template) | Self::Later(template) => std::slice::from_ref(template),
            Self::Arn(pieces) => pieces,
            Self::Flag(_) | Self::Network(_) | Self::Number(_) | Self::Date(_) => &[],
        }
    }

    /// The same for this account and Region, where a policy may name any.
    pub(super) fn localized(&self, scope: &Scope) -> Self {
        match self {
            Self::Arn(pieces) => {
                let whole = scope.localized(&Template::join(pieces.clone()));
                Self::Arn(whole.split(6))
            }
            other => other.clone(),
        }
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn number(text: &str) -> Option<f64> {
    let is_number = text.bytes().any(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| text.parse().ok()).flatten();
    number.filter(|number: &f64| number.is_finite())
}

/// Addresses that begin with the same bits (AWS-ID-73).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `10.0.0.0/8`, `2001:db8::/32`, or one address.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| {
            let is_number = bits.bytes().all(|byte| byte.is_ascii_digit());
            is_number.then(|| bits.parse().ok()).flatten()
        })?;
        (bits <= most).then_some(Self { address, bits })
    }

    fn contains(self, address: IpAddr) -> bool {
        // All but the first bits go; a shift by all of them leaves none.
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differing = own.to_bits() ^ other.to_bits();
                differing.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AWS-ID-85.
    #[test]
    fn every_operator_is_known_with_what_may_stand_around_it() {
        let mut names: Vec<String> = [
            "StringEquals",
            "StringNotEquals",
            "StringEqualsIgnoreCase",
            "StringNotEqualsIgnoreCase",
            "StringLike",
            "StringNotLike",
            "Bool",
            "IpAddress",
            "NotIpAddress",
            "ArnEquals",
            "ArnNotEquals",
            "ArnLike",
            "ArnNotLike",
        ]
        .map(str::to_owned)
        .into();
        for start in ["Numeric", "Date"] {
            for end in [
                "Equals",
                "NotEquals",
                "LessThan",
                "LessThanEquals",
                "GreaterThan",
                "GreaterThanEquals",
            ] {
                names.push(format!("{start}{end}"));
            }
        }
        for name in &names {
            let operator = Operator::parse(name).unwrap();
            assert_eq!(operator.is_negated, name.contains("Not"), "{name}");
            for prefix in ["", "ForAllValues:", "ForAnyValue:"] {
                for suffix in ["", "IfExists"] {
                    let name = format!("{prefix}{name}{suffix}");
                    let found = Operator::parse(&name).unwrap();
                    assert_eq!(found.relation, operator.relation, "{name}");
                    assert_eq!(found.quantifier.is_some(), !prefix.is_empty(), "{name}");
                    assert_eq!(found.if_exists, !suffix.is_empty(), "{name}");
                }
            }
        }
        assert!(Operator::parse("Null").is_some());
        assert!(Operator::parse("ForAllValues:Null").is_some());
    }

    /// AWS-ID-86.
    #[test]
    fn other_operators_are_unknown() {
        for name in [
            "",
            "stringEquals",
            "StringIs",
            "NullIfExists",
            "ForAllValues:",
            "ForSomeValues:StringEquals",
            "Numeric",
            "DateBefore",
            "NumericNotLessThan",
            "BinaryEquals",
        ] {
            assert_eq!(Operator::parse(name), None, "{name}");
        }
    }

    #[test]
    fn values_that_mean_nothing_are_refused() {
        let number = Relation::Number(Comparison::Equals);
        let date = Relation::Date(Comparison::LessThan);
        for (relation, text) in [
            (Relation::Flag, "yes"),
            (Relation::Null, "1"),
            (Relation::Address, "10.0.0.0/33"),
            (Relation::Address, "10.0.0/8"),
            (Relation::Address, "::/129"),
            (Relation::Address, "::/+1"),
            (number, "inf"),
            (number, "1e999"),
            (number, ""),
            (date, "tomorrow"),
            (Relation::Arn, "topic/x"),
            (Relation::Equal, "${"),
        ] {
            assert!(relation.expect(text).is_err(), "{relation:?} {text}");
        }
        assert!(matches!(
            number.expect("${iot:ClientId}"),
            Ok(Expected::Later(_))
        ));
    }

    /// AWS-ID-73.
    #[test]
    fn networks_have_the_addresses_that_begin_like_them() {
        for (network, address, is_in) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.7", "10.0.0.7", true),
            ("10.0.0.7", "10.0.0.6", false),
            ("0.0.0.0/0", "255.1.1.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "fe80::1", true),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::1", "::1", true),
            ("127.0.0.0/8", "::ffff:127.0.0.1", true),
        ] {
            let network = Network::parse(network).unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                is_in,
                "{network:?} {address}"
            );
        }
    }
}
