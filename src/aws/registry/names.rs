//! What names and values may consist of, and ARNs (`AWS-API-45`, `AWS-POL-14`).

use std::fmt;

use crate::policy::Scope;

use super::Error;

/// Members of a kind: the characters and the lengths that they may have.
pub(super) struct Pattern {
    /// As the service writes it.
    text: &'static str,
    allows: fn(char) -> bool,
    shortest: usize,
    longest: usize,
}

/// Names of things, types and groups.
pub(super) const NAME: Pattern = Pattern {
    text: "[a-zA-Z0-9:_-]+",
    allows: |c| c.is_ascii_alphanumeric() || ":_-".contains(c),
    shortest: 1,
    longest: 128,
};

/// Names of shadows (AWS-SHADOW-45).
#[cfg(feature = "http")]
pub(super) const SHADOW_NAME: Pattern = Pattern {
    text: "[$a-zA-Z0-9:_-]+",
    allows: |c| c.is_ascii_alphanumeric() || "$:_-".contains(c),
    shortest: 1,
    longest: 64,
};

pub(super) const ATTRIBUTE_NAME: Pattern = Pattern {
    text: "[a-zA-Z0-9_.,@/:#-]+",
    allows: |c| c.is_ascii_alphanumeric() || "_.,@/:#-".contains(c),
    shortest: 1,
    longest: 128,
};

pub(super) const ATTRIBUTE_VALUE: Pattern = Pattern {
    text: r"[a-zA-Z0-9_.,@/:#=\[\]-]*",
    allows: |c| c.is_ascii_alphanumeric() || "_.,@/:#=[]-".contains(c),
    shortest: 0,
    longest: 800,
};

pub(super) const POLICY_NAME: Pattern = Pattern {
    text: r"[\w+=,.@-]+",
    allows: |c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c),
    shortest: 1,
    longest: 128,
};

pub(super) const AUTHORIZER_NAME: Pattern = Pattern {
    text: r"[\w=,@-]+",
    allows: |c| c.is_ascii_alphanumeric() || "_=,@-".contains(c),
    shortest: 1,
    longest: 128,
};

/// Names under which clients send their tokens.
pub(super) const TOKEN_KEY_NAME: Pattern = Pattern {
    text: "[a-zA-Z0-9_-]+",
    allows: |c| c.is_ascii_alphanumeric() || "_-".contains(c),
    shortest: 1,
    longest: 128,
};

/// Public keys of signatures.
pub(super) const PUBLIC_KEY: Pattern = Pattern {
    text: r"[\s\S]*",
    allows: |_| true,
    shortest: 0,
    longest: 5120,
};

/// Identifiers of certificates: SHA-256 in hexadecimal digits.
pub(super) const CERTIFICATE_ID: Pattern = Pattern {
    text: "(0x)?[a-fA-F0-9]+",
    allows: |c| c.is_ascii_hexdigit(),
    shortest: 64,
    longest: 64,
};

pub(super) const DESCRIPTION: Pattern = Pattern {
    text: r"[\p{Graph}\x20]*",
    allows: |c| !c.is_control(),
    shortest: 0,
    longest: 2028,
};

pub(super) const TAG_KEY: Pattern = Pattern {
    text: r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)",
    allows: is_in_tag,
    shortest: 1,
    longest: 128,
};

pub(super) const TAG_VALUE: Pattern = Pattern {
    text: r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)",
    allows: is_in_tag,
    shortest: 0,
    longest: 256,
};

fn is_in_tag(c: char) -> bool {
    c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c)
}

/// Checks a member against its pattern.
///
/// # Errors
///
/// InvalidRequest with all that is wrong, as the service lists it (AWS-OPS-15).
pub(super) fn check(member: &str, value: &str, pattern: &Pattern) -> Result<(), Error> {
    let length = value.chars().count();
    let mut wrong = Vec::new();
    if !value.chars().all(pattern.allows) {
        wrong.push(format!(
            "satisfy regular expression pattern: {}",
            pattern.text
        ));
    }
    if length > pattern.longest {
        wrong.push(format!(
            "have length less than or equal to {}",
            pattern.longest
        ));
    }
    if length < pattern.shortest {
        wrong.push(format!(
            "have length greater than or equal to {}",
            pattern.shortest
        ));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let parts = wrong.iter().map(|constraint| {
        format!("Value at '{member}' failed to satisfy constraint: Member must {constraint}")
    });
    let parts: Vec<_> = parts.collect();
    let errors = if parts.len() == 1 { "error" } else { "errors" };
    Err(Error::InvalidRequest(format!(
        "{} validation {errors} detected: {}",
        parts.len(),
        parts.join("; ")
    )))
}

/// What an ARN names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Resource {
    /// `thing/NAME`
    Thing(String),
    /// `thingtype/NAME`
    ThingType(String),
    /// `thinggroup/NAME`
    ThingGroup(String),
    /// `cert/ID`
    Certificate(String),
    /// `cacert/ID`
    CaCertificate(String),
    /// `policy/NAME`
    Policy(String),
    /// `authorizer/NAME`
    Authorizer(String),
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = match self {
            Self::Thing(name) => ("thing", name),
            Self::ThingType(name) => ("thingtype", name),
            Self::ThingGroup(name) => ("thinggroup", name),
            Self::Certificate(id) => ("cert", id),
            Self::CaCertificate(id) => ("cacert", id),
            Self::Policy(name) => ("policy", name),
            Self::Authorizer(name) => ("authorizer", name),
        };
        write!(f, "{kind}/{name}")
    }
}

impl Resource {
    /// Its ARN.
    pub fn arn(&self, scope: &Scope) -> String {
        format!("{}{self}", scope.prefix())
    }

    /// What an ARN names, in this account and Region.
    ///
    /// # Errors
    ///
    /// InvalidRequest if it is none, or of another account or Region.
    pub fn parse(arn: &str, scope: &Scope) -> Result<Self, Error> {
        let malformed = || Error::InvalidRequest(format!("Invalid ARN: {arn}"));
        let own = scope.prefix();
        let Some(rest) = arn.strip_prefix(&own) else {
            if arn.starts_with("arn:") {
                return Err(Error::InvalidRequest(format!(
                    "Invalid ARN: {arn}: this account's begin with {own}"
                )));
            }
            return Err(malformed());
        };
        let (kind, name) = rest.split_once('/').ok_or_else(malformed)?;
        let name = name.to_owned();
        Ok(match kind {
            "thing" => Self::Thing(name),
            "thingtype" => Self::ThingType(name),
            "thinggroup" => Self::ThingGroup(name),
            "cert" => Self::Certificate(name),
            "cacert" => Self::CaCertificate(name),
            "policy" => Self::Policy(name),
            "authorizer" => Self::Authorizer(name),
            _ => return Err(malformed()),
        })
    }
}
