//! What the connections of a server share.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

#[cfg(all(feature = "aws", feature = "http"))]
use crate::aws::connectivity::Connectivity;
use crate::engine::{Engine, Turns};

use super::passwords::Passwords;
use super::seldom::Seldom;
use super::tasks::Tasks;

/// What they work on, what bounds them, and what is said about all of them.
pub(crate) struct Shared {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tasks: Tasks,
    pub(crate) turns: Arc<Turns>,
    /// Network connections, before and after CONNECT.
    pub(crate) connections: AtomicUsize,
    pub(crate) passwords: Passwords,
    /// Steps of handshakes that compute at the same time.
    #[cfg(feature = "tls")]
    pub(crate) handshakes: super::Gate,
    /// Certificates that are registered at the same time.
    #[cfg(feature = "aws")]
    pub(crate) enrolments: super::Gate,
    /// What says who clients without certificates are.
    #[cfg(feature = "aws")]
    pub(crate) authorizers: super::Authorizers,
    /// What answers in the place of functions of AWS Lambda.
    #[cfg(feature = "aws")]
    pub(crate) functions: Arc<super::Functions>,
    /// How clients' connections ended, for the HTTP API.
    #[cfg(all(feature = "aws", feature = "http"))]
    pub(crate) connectivity: Arc<Connectivity>,
    pub(crate) notices: Notices,
}

/// Log lines on matters of all connections.
#[derive(Default)]
pub(crate) struct Notices {
    /// Connections cannot be accepted, by a listener of whatever kind.
    pub(crate) cannot_accept: Arc<Seldom>,
    /// Connections are refused for want of a place or of memory.
    pub(crate) no_place: Seldom,
    /// Too many TLS handshakes wait.
    #[cfg(feature = "tls")]
    pub(crate) crowded: Seldom,
}
