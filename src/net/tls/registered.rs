//! Client certificates that a registry knows, or whose authority it knows, beside those of the broker's own
//! authorities; as they change.

use std::sync::{Arc, Weak};

use parking_lot::RwLock;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};

use crate::aws::registry::{Changed, Following, Registry};
use crate::config::ClientCert;

use super::{fingerprint, provider};

/// Who is trusted.
pub(super) struct Registered {
    own: Arc<RootCertStore>,
    registry: Arc<Registry>,
    /// Checks what is signed by an authority of the broker, or by one that is registered and active.
    signed: RwLock<Arc<dyn ClientCertVerifier>>,
    /// Ends with it: certificates that are read again take the place of these.
    _following: Following,
}

impl Registered {
    /// Those of `own` and of a registry, which is followed from now on.
    pub(super) fn follow(
        own: Arc<RootCertStore>,
        registry: &Arc<Registry>,
    ) -> Result<Arc<Self>, VerifierBuilderError> {
        let signed = verifier(&own, registry)?;
        let registered = Arc::new_cyclic(|follower: &Weak<Self>| {
            // It has the registry, so the registry may not have it.
            let follower = follower.clone();
            let following = registry.follow(move |changed| {
                if changed.contains(&Changed::Authorities)
                    && let Some(registered) = Weak::upgrade(&follower)
                {
                    registered.look_again();
                }
            });
            Self {
                own,
                registry: registry.clone(),
                signed: RwLock::new(signed),
                _following: following,
            }
        });
        // What changed before is seen, too.
        registered.look_again();
        Ok(registered)
    }

    fn look_again(&self) {
        match verifier(&self.own, &self.registry) {
            Ok(signed) => *self.signed.write() = signed,
            Err(error) => tracing::warn!("the registered authorities are not trusted: {error}"),
        }
    }

    /// What a listener checks certificates with, if it asks for one.
    pub(super) fn verifier(
        self: &Arc<Self>,
        client_cert: ClientCert,
    ) -> Option<Arc<dyn ClientCertVerifier>> {
        let is_mandatory = match client_cert {
            ClientCert::None => return None,
            ClientCert::Optional => false,
            ClientCert::Required => true,
        };
        Some(Arc::new(Door {
            registered: self.clone(),
            is_mandatory,
        }))
    }
}

fn verifier(
    own: &RootCertStore,
    registry: &Registry,
) -> Result<Arc<dyn ClientCertVerifier>, VerifierBuilderError> {
    let mut roots = own.clone();
    for (id, pem) in registry.state().active_authorities() {
        let der = CertificateDer::from_pem_slice(pem.as_bytes());
        let added = der.map_err(|error| error.to_string());
        let added = added.and_then(|der| roots.add(der).map_err(|error| error.to_string()));
        if let Err(error) = added {
            tracing::warn!(
                ca_certificate_id = id,
                "this authority cannot be trusted: {error}"
            );
        }
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(provider())).build()
}

/// What one listener checks certificates with.
struct Door {
    registered: Arc<Registered>,
    is_mandatory: bool,
}

impl Door {
    fn signed(&self) -> Arc<dyn ClientCertVerifier> {
        self.registered.signed.read().clone()
    }
}

impl ClientCertVerifier for Door {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    /// None: a client that has a certificate of another authority is to show it.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    /// Who signed a certificate that is registered does not matter (AWS-ID-01). Whether it may connect is
    /// for CONNECT to say (AWS-ID-03).
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let state = self.registered.registry.state();
        match state.knows_certificate(&fingerprint(end_entity)) {
            true => Ok(ClientCertVerified::assertion()),
            false => self
                .signed()
                .verify_client_cert(end_entity, intermediates, now),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed().verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signed().verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed().supported_verify_schemes()
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door")
            .field("is_mandatory", &self.is_mandatory)
            .finish_non_exhaustive()
    }
}
