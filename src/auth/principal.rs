//! Who a client has shown itself to be.

use std::sync::Arc;

/// Whom a connection acts for. A session that is resumed is its new connection's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Principal {
    /// Nobody in particular.
    #[default]
    Anonymous,
    /// The holder of a client certificate, by its id: SHA-256 of its DER in hexadecimal (AWS-ID-03).
    Certificate(Arc<str>),
    /// The holder of an access key with which a request was signed, by its id (AWS-ID-10).
    #[cfg(feature = "aws")]
    AccessKey(Arc<str>),
    /// Whoever an authorizer says that a client is (AWS-ID-11).
    #[cfg(feature = "aws")]
    Authorized(Arc<str>),
    /// A user whose password was checked, by name.
    User(Arc<str>),
    /// The program that the broker runs in.
    Program,
}

impl Principal {
    /// As the API and the log name it; `None` for nobody.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Certificate(id) => Some(id),
            #[cfg(feature = "aws")]
            Self::AccessKey(id) => Some(id),
            #[cfg(feature = "aws")]
            Self::Authorized(id) => Some(id),
            Self::User(name) => Some(name),
            Self::Program => Some("program"),
        }
    }
}
