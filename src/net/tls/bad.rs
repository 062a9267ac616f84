//! Listeners with something wrong about them, on purpose.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme,
};

use crate::config::{BadTls, ClientCert};
use crate::net::ca::Faulty;

use super::named::Named;
use super::{Certificates, TlsError, cannot_set_up, provider, signature_algorithms};

impl Certificates {
    /// Has a listener with this fault show that certificate.
    pub(crate) fn add_faulty(&mut self, kind: BadTls, made: Faulty) -> Result<(), TlsError> {
        let own = CertifiedKey::from_der(made.chain, made.key, &provider());
        let own = own.map_err(cannot_set_up)?;
        self.faulty.insert(kind, Named::new(own));
        Ok(())
    }

    /// Sets up TLS for a listener with a fault, which is in its certificate, in what it asks of clients, or in
    /// the versions that it speaks.
    pub(crate) fn bad_config(
        &self,
        kind: BadTls,
        client_cert: ClientCert,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let versions = match kind {
            BadTls::Tls12Only => &[&TLS12][..],
            BadTls::Tls13Only => &[&TLS13],
            _ => &[&TLS13, &TLS12],
        };
        let verifier: Option<Arc<dyn ClientCertVerifier>> = match kind {
            BadTls::RejectClient => Some(Arc::new(Nobody(signature_algorithms()))),
            _ => self.verifier(client_cert).map_err(cannot_set_up)?,
        };
        let own = self.faulty.get(&kind).unwrap_or(&self.own);
        self.assemble(versions, verifier, own.clone()).map(Arc::new)
    }
}

/// Finds every client's certificate revoked.
#[derive(Debug)]
struct Nobody(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Nobody {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// None, so that a client shows what it has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Err(CertificateError::Revoked.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
