//! What is asked of the policies, and who asks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::action::Action;
use super::certificate::Certificate;

/// Who asks: what stays as it is while a connection lives and nobody changes the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The client identifier; HTTPS has none.
    pub client_id: Option<String>,
    /// What the registry says of the client.
    pub thing: Attachment,
    /// The certificate that it has shown.
    pub certificate: Option<Certificate>,
    /// Where its connection comes from.
    pub source_ip: Option<IpAddr>,
    /// The server's name that it asked for.
    pub domain_name: Option<String>,
}

/// Whether a certificate is attached to the thing of a client (AWS-ID-07, AWS-ID-66).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Attachment {
    /// There is no telling, as over HTTPS: no variable about a thing has a value.
    #[default]
    Unknown,
    /// It is not.
    Detached,
    /// It is, to this one.
    Attached(Thing),
}

/// A thing of the registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Thing {
    /// Its name.
    pub name: String,
    /// Its type, if it has one.
    pub type_name: Option<String>,
    /// Its attributes by name.
    pub attributes: BTreeMap<String, String>,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is to be done.
    pub action: Action,
    /// To what: that which follows the account in an ARN, as `topic/a/b` or `client/car1`, or `*` where the
    /// action is about no one thing.
    pub resource: &'a str,
    /// Who asks.
    pub context: &'a Context,
    /// What some actions have beside that.
    pub details: Details<'a>,
    /// When, in seconds since 1970 in UTC. Without it, conditions on the time have nothing to go by.
    pub time: Option<i64>,
}

/// What some actions have beside their resource.
#[derive(Clone, Copy, Debug, Default)]
pub struct Details<'a> {
    /// CONNECT asks for a session that outlives its connection (AWS-ID-83).
    pub persistent: bool,
    /// The topic of the will in CONNECT (AWS-ID-84).
    pub will_topic: Option<&'a str>,
    /// The topic of a direct message.
    pub topic: Option<&'a str>,
    /// GetConnection asks for addresses and ports.
    pub socket_information: Option<bool>,
}

impl<'a> Request<'a> {
    /// One without details and without a time.
    pub fn new(action: Action, resource: &'a str, context: &'a Context) -> Self {
        Self {
            action,
            resource,
            context,
            details: Details::default(),
            time: None,
        }
    }
}
