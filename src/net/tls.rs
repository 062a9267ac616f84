//! TLS of the listeners: a server configuration for each, and the facts about a peer after its handshake.
//!
//! The cryptographic provider is chosen per configuration and never installed for the process, so
//! that an embedding program may use another. TLS types do not leave this module and the
//! transports.

mod bad;
mod key_log;
mod named;
pub(crate) mod refusal;
#[cfg(feature = "aws")]
mod registered;
pub(crate) mod watched;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::ProtocolVersion;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CipherSuite, KeyLog, NoKeyLog, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion, version,
};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::ca::{CertError, Ephemeral, Files, pem};
use crate::auth::hex;
#[cfg(feature = "aws")]
use crate::aws::registry::Registry;
use crate::broker::access::Access;
use crate::broker::{TlsDetails, TlsFacts};
use crate::config::{AwsRules, BadTls, ClientCert};

use self::key_log::KeyLogFile;
use self::named::Named;
use self::refusal::certificate_words;
#[cfg(feature = "aws")]
use self::registered::Registered;
use self::watched::Noting;

/// Why the TLS listeners cannot be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file that holds no certificate or key that can be read.
    #[error("cannot read a {what} from `{}`", path.display())]
    Read {
        /// Certificate or private key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A certificate or key that cannot be used, or the two do not belong together.
    #[error("cannot use `{}`", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The file for the secrets of connections cannot be made or appended to.
    #[error("cannot write the key log `{}`", path.display())]
    KeyLog {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The TLS library refused the versions or algorithms.
    #[error("cannot set up TLS")]
    Setup {
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The server's certificate, and the authorities that clients' ones come from: what the listeners have
/// in common.
pub(crate) struct Certificates {
    own: Named,
    /// None: clients are not asked for a certificate, whatever the terms of their listener.
    authorities: Arc<RootCertStore>,
    /// These, and what a registry knows besides.
    #[cfg(feature = "aws")]
    registered: Option<Arc<Registered>>,
    /// The server's certificates of listeners where they have a fault.
    faulty: BTreeMap<BadTls, Named>,
    /// What gets the secrets of all connections.
    key_log: Arc<dyn KeyLog>,
}

/// The TLS of a listener as it is now: handshakes that begin have it, and connections keep what they began with.
pub(crate) struct Current(RwLock<Arc<ServerConfig>>);

impl Current {
    pub(crate) fn new(config: Arc<ServerConfig>) -> Arc<Self> {
        Arc::new(Self(RwLock::new(config)))
    }

    pub(crate) fn get(&self) -> Arc<ServerConfig> {
        self.0.read().clone()
    }

    /// Takes over what another has.
    pub(crate) fn take_over(&self, other: &Self) {
        *self.0.write() = other.get();
    }
}

/// What a listener asks of its clients.
#[derive(Clone, Copy)]
pub(crate) struct Terms<'a> {
    pub(crate) client_cert: ClientCert,
    /// The application protocols that it speaks, the best first. With none, a client may offer what it
    /// likes, and nothing is agreed on.
    pub(crate) alpn: &'a [&'a str],
}

impl Certificates {
    /// Reads them from their files.
    pub(crate) fn read(files: &Files) -> Result<Self, TlsError> {
        let authorities = match files.client_ca.as_deref() {
            Some(path) => read("certificate", path, pem::certificates)?,
            None => Vec::new(),
        };
        let authorities = roots(authorities).map_err(|error| TlsError::Invalid {
            path: files.client_ca.clone().unwrap_or_default(),
            source: error.into(),
        })?;
        let chain = read("certificate", &files.certificate, pem::certificates)?;
        let key = read("private key", &files.key, pem::private_key)?;
        Self::new(authorities, chain, key).map_err(|error| unusable(error, files))
    }

    /// Those that are in no file.
    pub(crate) fn in_memory(own: &Ephemeral) -> Result<Self, TlsError> {
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes());
        let authority = certificate(&own.ca_pem).map_err(cannot_set_up)?;
        let authorities = roots(vec![authority]).map_err(cannot_set_up)?;
        let chain = vec![certificate(&own.certificate).map_err(cannot_set_up)?];
        let key =
            PrivateKeyDer::from_pem_slice(own.private_key.as_bytes()).map_err(cannot_set_up)?;
        Self::new(authorities, chain, key).map_err(cannot_set_up)
    }

    fn new(
        authorities: RootCertStore,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let own = CertifiedKey::from_der(chain, key, &provider())?;
        Ok(Self {
            own: Named::new(own),
            authorities: Arc::new(authorities),
            #[cfg(feature = "aws")]
            registered: None,
            faulty: BTreeMap::new(),
            key_log: Arc::new(NoKeyLog),
        })
    }

    /// Has clients name the server, as far as the rules ask for it.
    pub(crate) fn under(mut self, rules: &AwsRules) -> Self {
        self.own = self.own.under(rules);
        self
    }

    /// Has clients trusted whom a registry knows, too, or whose authority it knows.
    #[cfg(feature = "aws")]
    pub(crate) fn with_registry(mut self, registry: &Arc<Registry>) -> Result<Self, TlsError> {
        let registered = Registered::follow(self.authorities.clone(), registry);
        self.registered = Some(registered.map_err(cannot_set_up)?);
        Ok(self)
    }

    /// Has the secrets of all connections appended to a file.
    pub(crate) fn with_key_log(mut self, path: &Path) -> Result<Self, TlsError> {
        let file = KeyLogFile::open(path).map_err(|source| TlsError::KeyLog {
            path: path.to_owned(),
            source,
        })?;
        self.key_log = Arc::new(file);
        Ok(self)
    }

    /// Sets up TLS 1.2 and 1.3 for one listener.
    ///
    /// No session is resumed: each connection makes a full handshake (AWS-TLS-04), and nothing is kept
    /// for one that has ended.
    pub(crate) fn config(&self, terms: Terms<'_>) -> Result<Arc<ServerConfig>, TlsError> {
        let verifier = self.verifier(terms.client_cert).map_err(cannot_set_up)?;
        let mut config = self.assemble(
            &[&version::TLS13, &version::TLS12],
            verifier,
            self.own.clone(),
        )?;
        config.alpn_protocols = terms.alpn.iter().map(|name| (*name).into()).collect();
        Ok(Arc::new(config))
    }

    /// What the configurations of all listeners are made of.
    fn assemble(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        verifier: Option<Arc<dyn ClientCertVerifier>>,
        own: Named,
    ) -> Result<ServerConfig, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(versions)
            .map_err(cannot_set_up)?;
        let builder = match verifier {
            Some(verifier) => builder.with_client_cert_verifier(Arc::new(Noting(verifier))),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(own));
        config.key_log = self.key_log.clone();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.ignore_client_order = true;
        // Certificates are small and connections live long: no cache for compressed ones.
        config.cert_compressors = Vec::new();
        config.cert_compression_cache = Arc::new(rustls::compress::CompressionCache::Disabled);
        Ok(config)
    }

    /// What checks a client's certificate; `None` where none is asked for.
    fn verifier(
        &self,
        client_cert: ClientCert,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, VerifierBuilderError> {
        if self.authorities.is_empty() {
            return Ok(None);
        }
        #[cfg(feature = "aws")]
        if let Some(registered) = &self.registered {
            return Ok(registered.verifier(client_cert));
        }
        let (roots, provider) = (self.authorities.clone(), Arc::new(provider()));
        let builder = WebPkiClientVerifier::builder_with_provider(roots, provider);
        match client_cert {
            ClientCert::None => Ok(None),
            ClientCert::Optional => builder.allow_unauthenticated().build().map(Some),
            ClientCert::Required => builder.build().map(Some),
        }
    }
}

fn roots(authorities: Vec<CertificateDer<'static>>) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority)?;
    }
    Ok(roots)
}

fn cannot_set_up(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TlsError {
    let source = source.into();
    TlsError::Setup { source }
}

/// The cryptography, with AES-128-GCM before the other suites, as the service prefers it: it is as good
/// and cheaper, and so is its SHA-256 during the handshake.
fn provider() -> rustls::crypto::CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        let name = suite.suite().as_str().unwrap_or_default();
        !name.contains("AES_128_GCM")
    });
    provider
}

/// What the handshake settled. `access` says whether the certificate itself is to be kept.
#[cfg_attr(
    not(feature = "aws"),
    expect(unused_variables, reason = "nobody registers certificates without")
)]
pub(super) fn facts(connection: &ServerConnection, access: Option<&dyn Access>) -> TlsFacts {
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    // One that the verifier passed and this parser does not understand is as good as none.
    let certificate = shown.and_then(|der| Some((der, X509Certificate::from_der(der).ok()?.1)));
    TlsFacts {
        certificate_id: certificate.as_ref().map(|(der, _)| fingerprint(der).into()),
        #[cfg(feature = "aws")]
        certificate: certificate
            .as_ref()
            .filter(|(der, _)| access.is_some_and(|access| access.may_enrol(der)))
            .map(|(der, _)| der.to_vec().into()),
        sni: connection.server_name().map(Box::from),
        details: details(connection, certificate.as_ref().map(|found| &found.1)),
    }
}

fn details(connection: &ServerConnection, certificate: Option<&X509Certificate<'_>>) -> TlsDetails {
    TlsDetails {
        alpn: connection
            .alpn_protocol()
            .map(|name| String::from_utf8_lossy(name).into()),
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .map_or("", |suite| agreed_cipher_name(suite.suite())),
        common_name: certificate.and_then(common_name).map(Into::into),
    }
}

/// The name of a cipher suite in IANA's spelling.
fn cipher_name(suite: CipherSuite) -> String {
    // rustls marks the suites of TLS 1.3, IANA does not.
    let name = suite.as_str().unwrap_or("unknown");
    name.replacen("TLS13_", "TLS_", 1)
}

/// The same of a suite that was agreed on, which is one of few.
fn agreed_cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or("unknown"),
    }
}

/// The first Common Name of a certificate's subject.
fn common_name(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    names.find_map(|name| name.as_str().ok()).map(str::to_owned)
}

/// SHA-256 of a certificate in lower-case hexadecimal.
pub(crate) fn fingerprint(der: &CertificateDer<'_>) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    hex(digest.as_ref())
}

/// The signatures that certificates may have.
pub(crate) fn signature_algorithms() -> rustls::crypto::WebPkiSupportedAlgorithms {
    provider().signature_verification_algorithms
}

fn read<T>(
    what: &'static str,
    path: &Path,
    read: impl FnOnce(&Path) -> Result<T, CertError>,
) -> Result<T, TlsError> {
    read(path).map_err(|error| TlsError::Read {
        what,
        path: path.to_owned(),
        source: error.into_cause(),
    })
}

/// Why the TLS library does not take the server's certificate with its key.
fn unusable(error: rustls::Error, files: &Files) -> TlsError {
    match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Invalid {
            path: files.key.clone(),
            source: format!(
                "it is not the private key of `{}`",
                files.certificate.display()
            )
            .into(),
        },
        rustls::Error::InvalidCertificate(error) => TlsError::Invalid {
            path: files.certificate.clone(),
            source: certificate_words(&error).into(),
        },
        error => TlsError::Invalid {
            path: files.key.clone(),
            source: error.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, ClientConnection, HandshakeKind};
    use tempfile::TempDir;

    use super::watched::Came;
    use super::*;
    use crate::config::{self, Config};
    use crate::net::ca::{self, Authority, IssuedPem, KeyKind};

    fn authority(folder: &TempDir) -> (config::Tls, Authority, Files) {
        let tls = config::Tls {
            certs: folder.path().into(),
            ..Config::standard().tls
        };
        let files = ca::ensure(&tls).unwrap();
        let authority = Authority::open(&tls.certs).unwrap();
        (tls, authority, files)
    }

    /// The configuration of a listener that speaks no protocol in particular.
    fn server_config(tls: &config::Tls, files: &Files) -> Result<Arc<ServerConfig>, TlsError> {
        Certificates::read(files)?.config(Terms {
            client_cert: tls.client_cert,
            alpn: &[],
        })
    }

    fn client_config(
        authority: &Authority,
        version: &'static SupportedProtocolVersion,
        identity: Option<&IssuedPem>,
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(authority.ca_file()).unwrap())
            .unwrap();
        let provider = Arc::new(provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots);
        match identity {
            None => builder.with_no_client_auth(),
            // What is wrong with the certificate is the server's to find.
            Some(pem) => {
                let chain =
                    vec![CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(pem.private_key.as_bytes()).unwrap();
                let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
                let identity = CertifiedKey::new(chain, key);
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
                    identity,
                )))
            }
        }
    }

    /// Of a client that asked for `localhost` and showed the certificate of `thing-1`.
    fn check_details(details: &TlsDetails, version: ProtocolVersion) {
        let expected = match version {
            ProtocolVersion::TLSv1_2 => "TLSv1.2",
            _ => "TLSv1.3",
        };
        assert_eq!(details.version, expected);
        assert!(details.cipher.starts_with("TLS_"), "{}", details.cipher);
        assert_eq!(details.alpn, None);
        assert_eq!(details.common_name.as_deref(), Some("thing-1"));
    }

    /// Passes bytes between the two until neither has any left.
    fn handshake(
        server: &Arc<ServerConfig>,
        client: &Arc<ClientConfig>,
        name: &'static str,
    ) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
        let mut client =
            ClientConnection::new(Arc::clone(client), name.try_into().unwrap()).unwrap();
        let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
        while client.wants_write() || server.wants_write() {
            let mut bytes = Vec::new();
            while client.wants_write() {
                client.write_tls(&mut bytes).unwrap();
            }
            server.read_tls(&mut bytes.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut bytes = Vec::new();
            while server.wants_write() {
                server.write_tls(&mut bytes).unwrap();
            }
            client.read_tls(&mut bytes.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok((client, server))
    }

    /// AWS-TLS-01, -08.
    #[test]
    fn both_versions_and_both_kinds_of_key_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, authority, files) = authority(&folder);
        let server = server_config(&tls, &files).unwrap();
        for version in [&version::TLS12, &version::TLS13] {
            for kind in [KeyKind::Ecdsa, KeyKind::Rsa] {
                let pem = authority.issue_pem("thing-1", kind).unwrap();
                let client = Arc::new(client_config(&authority, version, Some(&pem)));
                let (_, server) = handshake(&server, &client, "localhost").unwrap();
                assert_eq!(server.protocol_version(), Some(version.version));
                let facts = facts(&server, None);
                assert_eq!(facts.certificate_id, Some(pem.certificate_id.into()));
                check_details(&facts.details, version.version);
                assert_eq!(facts.sni.as_deref(), Some("localhost"));
            }
        }
    }

    #[test]
    fn the_server_certificate_is_valid_for_loopback_addresses() {
        let folder = tempfile::tempdir().unwrap();
        let (mut tls, authority, files) = authority(&folder);
        tls.client_cert = ClientCert::None;
        let server = server_config(&tls, &files).unwrap();
        let client = Arc::new(client_config(&authority, &version::TLS13, None));
        for name in ["localhost", "127.0.0.1", "::1"] {
            handshake(&server, &client, name).unwrap();
        }
        handshake(&server, &client, "elsewhere.test").unwrap_err();
    }

    #[test]
    fn a_required_certificate_cannot_be_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, authority, files) = authority(&folder);
        let server = server_config(&tls, &files).unwrap();
        let client = Arc::new(client_config(&authority, &version::TLS13, None));
        handshake(&server, &client, "localhost").unwrap_err();
    }

    #[test]
    fn an_optional_certificate_may_be_left_out_but_not_be_foreign() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mut tls, authority, files) = authority(&folder);
        tls.client_cert = ClientCert::Optional;
        let server = server_config(&tls, &files).unwrap();

        let anonymous = Arc::new(client_config(&authority, &version::TLS13, None));
        let (_, connection) = handshake(&server, &anonymous, "localhost").unwrap();
        assert_eq!(facts(&connection, None).certificate_id, None);

        let stranger = Authority::open(elsewhere.path()).unwrap();
        let pem = stranger.issue_pem("stranger", KeyKind::Ecdsa).unwrap();
        let client = Arc::new(client_config(&authority, &version::TLS13, Some(&pem)));
        handshake(&server, &client, "localhost").unwrap_err();
    }

    /// The server's certificate is of our authority, but not for clients.
    #[test]
    fn a_server_certificate_does_not_pass_for_a_clients() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, authority, files) = authority(&folder);
        let server = server_config(&tls, &files).unwrap();
        let read = |path| std::fs::read_to_string(path).unwrap();
        let pem = IssuedPem {
            certificate: read(&files.certificate),
            private_key: read(&files.key),
            certificate_id: String::new(),
        };
        let client = Arc::new(client_config(&authority, &version::TLS13, Some(&pem)));
        handshake(&server, &client, "localhost").unwrap_err();
    }

    /// AWS-TLS-04.
    #[test]
    fn no_session_is_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let (mut tls, authority, files) = authority(&folder);
        tls.client_cert = ClientCert::None;
        let server = server_config(&tls, &files).unwrap();
        for version in [&version::TLS12, &version::TLS13] {
            let client = Arc::new(client_config(&authority, version, None));
            for _ in 0..2 {
                let (client, _) = handshake(&server, &client, "localhost").unwrap();
                assert_eq!(client.handshake_kind(), Some(HandshakeKind::Full));
                assert_eq!(client.tls13_tickets_received(), 0);
            }
        }
    }

    #[test]
    fn an_offered_alpn_is_no_reason_to_refuse() {
        let folder = tempfile::tempdir().unwrap();
        let (mut tls, authority, files) = authority(&folder);
        tls.client_cert = ClientCert::None;
        let server = server_config(&tls, &files).unwrap();
        let mut client = client_config(&authority, &version::TLS13, None);
        client.alpn_protocols = vec![b"mqtt".to_vec()];
        handshake(&server, &Arc::new(client), "localhost").unwrap();
    }

    #[test]
    fn listeners_with_the_same_certificates_differ_in_what_they_ask_for() {
        let folder = tempfile::tempdir().unwrap();
        let (_, authority, files) = authority(&folder);
        let certificates = Certificates::read(&files).unwrap();
        let listener =
            |client_cert, alpn| certificates.config(Terms { client_cert, alpn }).unwrap();
        let open = listener(ClientCert::None, &["x-amzn-mqtt-ca", "mqtt", "http/1.1"]);
        let closed = listener(ClientCert::Required, &[]);
        for version in [&version::TLS12, &version::TLS13] {
            let agreed = |server, offered: &[&str]| {
                let mut client = client_config(&authority, version, None);
                client.alpn_protocols = offered.iter().map(|name| (*name).into()).collect();
                handshake(server, &Arc::new(client), "localhost").map(|(_, server)| {
                    server
                        .alpn_protocol()
                        .map(String::from_utf8_lossy)
                        .map(String::from)
                })
            };
            let best = agreed(&open, &["http/1.1", "mqtt"]).unwrap();
            assert_eq!(best.as_deref(), Some("mqtt"), "the listener's order");
            assert_eq!(agreed(&open, &[]).unwrap(), None);
            assert_eq!(
                agreed(&open, &["h2"]).unwrap_err(),
                rustls::Error::NoApplicationProtocol
            );
            assert_eq!(
                agreed(&closed, &["h2"]).unwrap_err(),
                rustls::Error::NoCertificatesPresented
            );
        }
    }

    /// AWS-TLS-05, AWS-TLS-06
    #[test]
    fn name_of_another_server_or_none_is_refused_where_that_is_switched_on() {
        let folder = tempfile::tempdir().unwrap();
        let (_, authority, files) = authority(&folder);
        let terms = Terms {
            client_cert: ClientCert::None,
            alpn: &[],
        };
        let mut rules = Config::aws().aws;
        // A client that connects to an address names none; nobody checks the names here but the server.
        let mut refused = |missing, foreign| {
            (rules.refuse_missing_sni, rules.refuse_foreign_sni) = (missing, foreign);
            let certificates = Certificates::read(&files).unwrap().under(&rules);
            let server = certificates.config(terms).unwrap();
            let names = ["localhost", "127.0.0.1", "elsewhere.example.com"];
            names.map(|name| {
                let client = client_config(&authority, &version::TLS13, None);
                match handshake(&server, &Arc::new(client), name) {
                    Ok(_) => false,
                    Err(error) => words(io::Error::other(error)).contains("(SNI)"),
                }
            })
        };
        assert_eq!(refused(false, false), [false; 3]);
        assert_eq!(refused(true, false), [false, true, false]);
        assert_eq!(refused(false, true), [false, false, true]);
    }

    fn words(error: io::Error) -> String {
        refusal::why_none(&error, Came::Answered, "mqtts", &Config::aws())
    }

    /// What a server says of a client with this certificate.
    fn refusal(client: ClientConfig, server: &Arc<ServerConfig>) -> String {
        let error = handshake(server, &Arc::new(client), "localhost").unwrap_err();
        words(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// `rcgen` makes version 3 only, so openssl made this one: `openssl x509 -req` without `-extfile`.
    #[test]
    fn a_client_certificate_of_version_1_is_refused_in_plain_words() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, authority, mut files) = authority(&folder);
        let ca = folder.path().join("clients.pem");
        let old = include_str!("tls/version1.pem");
        std::fs::write(&ca, old).unwrap();
        files.client_ca = Some(ca);
        let server = server_config(&tls, &files).unwrap();
        let identity = IssuedPem {
            certificate: old.to_owned(),
            private_key: include_str!("tls/version1.key").to_owned(),
            certificate_id: String::new(),
        };
        for version in [&version::TLS12, &version::TLS13] {
            let client = client_config(&authority, version, Some(&identity));
            let words = refusal(client, &server);
            assert!(words.contains("X.509 version 1"), "{words}");
        }
    }

    #[test]
    fn a_refused_certificate_is_explained() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (tls, authority, files) = authority(&folder);
        let server = server_config(&tls, &files).unwrap();
        let stranger = Authority::open(elsewhere.path()).unwrap();
        let foreign = stranger.issue_pem("stranger", KeyKind::Ecdsa).unwrap();
        let read = |path| std::fs::read_to_string(path).unwrap();
        let of_server = IssuedPem {
            certificate: read(&files.certificate),
            private_key: read(&files.key),
            certificate_id: String::new(),
        };
        for (identity, words) in [
            (None, "shows no certificate"),
            (Some(&foreign), "perhaps one of another folder did"),
            (Some(&of_server), "clientAuth"),
        ] {
            let said = refusal(
                client_config(&authority, &version::TLS13, identity),
                &server,
            );
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (tls, authority, files) = authority(&folder);
        std::fs::write(&files.key, "no key").unwrap();
        let message = server_config(&tls, &files).unwrap_err().to_string();
        assert!(message.contains("server.key"), "{message}");

        let other = authority.issue_pem("other", KeyKind::Ecdsa).unwrap();
        std::fs::write(&files.key, other.private_key).unwrap();
        let message = server_config(&tls, &files).unwrap_err().to_string();
        assert!(message.contains("server.key"), "{message}");
    }
}
