//! Where a request comes in, and what its connection knows of the other end.

#[cfg(feature = "aws")]
use std::sync::Arc;

#[cfg(feature = "aws")]
use axum::http::Request;
#[cfg(feature = "aws")]
use parking_lot::Mutex;

#[cfg(feature = "aws")]
use crate::broker::{ConnectionFacts, PeerAddr};

#[cfg(feature = "aws")]
use super::aws::Kept;

/// What a server stands behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entrance {
    /// The API's own port, which knows no passwords.
    Own,
    /// The service's door for everything.
    #[cfg(feature = "doors")]
    Door,
    /// Its door for devices.
    #[cfg(feature = "doors")]
    DeviceDoor,
}

impl Entrance {
    /// The name of its listener.
    pub(super) fn listener(self) -> &'static str {
        match self {
            Self::Own => "http",
            #[cfg(feature = "doors")]
            Self::Door => "alpn",
            #[cfg(feature = "doors")]
            Self::DeviceDoor => "https",
        }
    }
}

/// A connection, as each of its requests sees it.
#[cfg(feature = "aws")]
pub(super) struct Arrival {
    pub(super) entrance: Entrance,
    pub(super) peer: PeerAddr,
    /// The id of the certificate that the client has shown.
    pub(super) certificate: Option<Arc<str>>,
    /// The server name that it asked for.
    pub(super) sni: Option<Box<str>>,
    /// What an authorizer said of a request on it.
    pub(super) kept: Mutex<Option<Kept>>,
    /// It has agreed on the protocol that is for certificates (AWS-ENDP-09).
    #[cfg(feature = "doors")]
    is_certified: bool,
}

#[cfg(feature = "aws")]
impl Arrival {
    pub(super) fn new(entrance: Entrance, facts: &ConnectionFacts) -> Arc<Self> {
        let tls = facts.tls();
        Arc::new(Self {
            entrance,
            peer: facts.peer(),
            certificate: tls.and_then(|tls| Some(tls.certificate_id.as_deref()?.into())),
            sni: tls.and_then(|tls| Some(tls.sni.as_deref()?.into())),
            kept: Mutex::default(),
            #[cfg(feature = "doors")]
            is_certified: tls.is_some_and(|tls| {
                tls.details.alpn.as_deref() == Some(crate::net::doors::HTTP_CERTIFIED)
            }),
        })
    }

    /// Has a request carry it along.
    pub(super) fn mark<B>(self: &Arc<Self>, mut request: Request<B>) -> Request<B> {
        request.extensions_mut().insert(self.clone());
        request
    }

    /// Whether its certificate is all that counts, whatever is signed.
    pub(super) fn takes_certificates_only(&self) -> bool {
        #[cfg(feature = "doors")]
        return self.entrance == Entrance::DeviceDoor || self.is_certified;
        #[cfg(not(feature = "doors"))]
        false
    }

    /// Whether it is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        self.entrance != Entrance::Own
    }

    pub(super) fn is_from_this_machine(&self) -> bool {
        let address = self.peer.socket_addr();
        address.is_none_or(|address| address.ip().to_canonical().is_loopback())
    }
}
