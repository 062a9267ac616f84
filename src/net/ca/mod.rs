//! The development certificate authority: one folder, two pairs of files, and what they sign.
//!
//! A folder holds the authority (`ca.pem`, `ca.key`) and the server's own certificate
//! (`server.pem`, `server.key`). What is missing is made, what is there is never touched. A lock
//! on the folder makes that safe for several processes that start in it at once.
//!
//! This module makes and signs; how a TLS listener uses the files is [`super::tls`]'s business.

mod certificate;
mod error;
mod faulty;
mod files;
mod key_access;
mod limits;
pub(super) mod pem;
#[cfg(all(feature = "aws", feature = "http"))]
mod request;

use std::path::{Path, PathBuf};

use ::pem::{EncodeConfig, LineEnding, Pem, encode_config};
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rcgen::{Issuer, KeyPair, PublicKeyData as _};

pub use self::error::CertError;
pub(crate) use self::faulty::Faulty;
pub(crate) use self::files::create_folder;
pub use self::key_access::KeyAccess;

use self::files::Access;
use self::limits::Limits;
use crate::auth::hex;
use crate::config::{self, BadTls, ClientCert};

const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const SERVER_CERTIFICATE: &str = "server.pem";
const SERVER_KEY: &str = "server.key";

/// The files that the TLS listeners of a broker work with; absolute paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// The server's certificate, with those between it and its authority.
    pub(crate) certificate: PathBuf,
    /// The server's private key.
    pub(crate) key: PathBuf,
    /// The authorities whose client certificates are accepted; `None` where none are asked for.
    pub(crate) client_ca: Option<PathBuf>,
    /// What clients trust to find the server's certificate good, as far as it is known.
    pub(crate) ca_file: Option<PathBuf>,
}

/// Sees to the certificates of a broker: those of a PKI of one's own, or those in `certs`.
///
/// What `certs` lacks of its two pairs is made. A new server certificate is valid for `localhost`,
/// `127.0.0.1`, `::1`, the name of this host and every name in `san`; one that is there already
/// must have those of `san`. Where nothing has to be made, the authority's key is not needed.
///
/// # Errors
///
/// A folder or file that cannot be read, written or understood, half a pair, and a server
/// certificate without one of the names asked for.
pub(crate) fn ensure(tls: &config::Tls) -> Result<Files, CertError> {
    let not_named = |named, missing| Err(CertError::NotNamed { named, missing });
    let files = match (&tls.server_cert, &tls.server_key, &tls.client_ca) {
        (None, None, None) => ensure_folder(tls)?,
        (Some(_), None, _) => return not_named("server_cert", "server_key"),
        (None, Some(_), _) => return not_named("server_key", "server_cert"),
        (None, None, Some(_)) => return not_named("client_ca", "server_cert"),
        (Some(_), Some(_), None) if tls.client_cert != ClientCert::None => {
            return not_named("server_cert", "client_ca");
        }
        (Some(certificate), Some(key), ca) => own_files(certificate, key, ca.as_deref())?,
    };
    files::check_private(&files.key);
    certificate::check_server(&files.certificate)?;
    if let Some(client_ca) = &files.client_ca {
        certificate::check_authorities(client_ca)?;
    }
    Ok(files)
}

fn ensure_folder(tls: &config::Tls) -> Result<Files, CertError> {
    let folder = absolute(&tls.certs);
    let files = Files {
        certificate: folder.join(SERVER_CERTIFICATE),
        key: folder.join(SERVER_KEY),
        client_ca: Some(folder.join(CA_CERTIFICATE)),
        ca_file: Some(folder.join(CA_CERTIFICATE)),
    };
    let ca = folder.join(CA_CERTIFICATE);
    let _lock = files::lock(&folder)?;
    let has_server = files::is_pair(&files.certificate, &files.key)?;
    if has_server && files::exists(&ca)? {
        certificate::check_names(&files.certificate, &tls.san)?;
        certificate::check_issuer(&files.certificate, &ca)?;
    } else {
        let authority = Authority::load_or_make(&folder, None)?;
        let limits = authority.limits.as_ref();
        let pem = certificate::server(&tls.san, &authority.issuer, limits)?;
        files::write_new(&files.key, &pem.private_key, Access::Owner)?;
        files::write_new(&files.certificate, &pem.certificate, Access::Everyone)?;
    }
    let key = folder.join(CA_KEY);
    if files::exists(&key)? {
        files::check_private(&key);
    }
    Ok(files)
}

/// A PKI of one's own: nothing is made, and no folder is touched.
fn own_files(certificate: &Path, key: &Path, client_ca: Option<&Path>) -> Result<Files, CertError> {
    let (certificate, client_ca) = (absolute(certificate), client_ca.map(absolute));
    // Often one authority issues both kinds. Where another issues the server's, its file is not known.
    let ca_file = match &client_ca {
        Some(ca) if certificate::is_issued_by(&certificate, ca)? => Some(ca.clone()),
        _ => None,
    };
    Ok(Files {
        certificate,
        key: absolute(key),
        client_ca,
        ca_file,
    })
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Signs client certificates that the brokers of one folder accept.
///
/// ```
/// use roundel::{Authority, KeyKind};
///
/// let folder = tempfile::tempdir()?;
/// let authority = Authority::open(folder.path())?;
/// let client = authority.issue_pem("thermostat", KeyKind::Ecdsa)?;
/// assert!(client.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
    limits: Option<Limits>,
    /// Of clients' keys, where it is said.
    key_access: Option<KeyAccess>,
}

/// The certificate of a development authority, which others are told to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaCertificate {
    /// `ca.pem` of a folder, as an absolute path.
    pub file: PathBuf,
    /// Its private key, `ca.key`, which may be kept elsewhere.
    pub key: PathBuf,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Its SHA-256 in lower-case hexadecimal.
    pub fingerprint: String,
    /// The names and addresses that it may sign for, in words; none where these are all there are.
    pub limits: Option<String>,
}

impl CaCertificate {
    /// Reads the certificate of the authority in a folder; nothing is made, and no key is needed.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, and one that holds anything else than one authority's certificate.
    pub fn read(folder: impl AsRef<Path>) -> Result<Self, CertError> {
        let folder = absolute(folder.as_ref());
        let file = folder.join(CA_CERTIFICATE);
        let der = certificate::sole_authority(&file)?;
        let limits = certificate::limits(&file, &der)?;
        let key = folder.join(CA_KEY);
        files::check_private(&key);
        Ok(Self {
            key,
            fingerprint: crate::net::tls::fingerprint(&der),
            limits: limits.map(|limits| limits.to_string()),
            der: der.to_vec(),
            file,
        })
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn pem(&self) -> String {
        let unix = EncodeConfig::new().set_line_ending(LineEnding::LF);
        encode_config(&Pem::new("CERTIFICATE", &*self.der), unix)
    }

    /// Its SHA-1 in upper-case hexadecimal, by which macOS and Windows know a certificate.
    #[must_use]
    pub fn sha1(&self) -> String {
        let digest = digest(&SHA1_FOR_LEGACY_USE_ONLY, &self.der);
        hex(digest.as_ref()).to_ascii_uppercase()
    }
}

/// An authority and a server certificate that are in no file and end with the broker.
pub(crate) struct Ephemeral {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's certificate, PEM.
    pub(crate) ca_pem: String,
    /// The server's certificate, PEM.
    pub(crate) certificate: String,
    /// Its private key, PEM.
    pub(crate) private_key: String,
}

impl Ephemeral {
    /// A new authority, and a server certificate valid for the names that every one is valid for and
    /// those of `san`.
    pub(crate) fn new(san: &[String]) -> Result<Self, CertError> {
        let (ca, issuer) = certificate::authority(None)?;
        let server = certificate::server(san, &issuer, None)?;
        Ok(Self {
            issuer,
            ca_pem: ca.certificate,
            certificate: server.certificate,
            private_key: server.private_key,
        })
    }

    /// Issues a client certificate with `CN=name`.
    pub(crate) fn issue_pem(&self, name: &str, kind: KeyKind) -> Result<IssuedPem, CertError> {
        certificate::client(name, kind, &self.issuer)
    }
}

/// What issues certificates of clients while a broker runs.
pub(crate) enum Signer {
    /// An authority in memory.
    Memory(Box<Ephemeral>),
    /// The development authority of this folder, opened anew each time.
    Folder(PathBuf),
}

impl Signer {
    /// Issues a client certificate with `CN=name`.
    pub(crate) fn issue_pem(&self, name: &str, kind: KeyKind) -> Result<IssuedPem, CertError> {
        match self {
            Self::Memory(own) => own.issue_pem(name, kind),
            Self::Folder(folder) => Authority::open(folder)?.issue_pem(name, kind),
        }
    }

    /// Makes a server's certificate with a fault, valid for the names that every one is valid for and those of
    /// `san`; `None` for a fault that is not in the certificate.
    pub(crate) fn faulty(&self, kind: BadTls, san: &[String]) -> Result<Option<Faulty>, CertError> {
        match self {
            Self::Memory(own) => faulty::server(kind, san, Some((&own.issuer, None))),
            Self::Folder(folder) => {
                let authority = Authority::open(folder)?;
                let limits = authority.limits.as_ref();
                faulty::server(kind, san, Some((&authority.issuer, limits)))
            }
        }
    }

    /// Issues a client certificate with `CN=name` for the key of a signing request in PEM; what else is
    /// asked for in it is not looked at (AWS-OPS-29). The certificate, PEM.
    #[cfg(all(feature = "aws", feature = "http"))]
    pub(crate) fn sign(&self, name: &str, request: &str) -> Result<String, CertError> {
        match self {
            Self::Memory(own) => certificate::sign(name, request, &own.issuer),
            Self::Folder(folder) => {
                certificate::sign(name, request, &Authority::open(folder)?.issuer)
            }
        }
    }
}

/// Makes a server's certificate with a fault for a broker whose PKI is its own; `None` for a fault that is not in
/// the certificate.
pub(crate) fn faulty_without_authority(
    kind: BadTls,
    san: &[String],
) -> Result<Option<Faulty>, CertError> {
    faulty::server(kind, san, None)
}

/// The kind of key pair that a certificate is issued for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA on P-256: made in no time, small on the wire.
    Ecdsa,
    /// RSA with 2048 bits, as AWS IoT Core issues them (AWS-TLS-10).
    Rsa,
}

/// A client certificate that was written to files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// `NAME.certificate.pem`.
    pub certificate: PathBuf,
    /// `NAME.private.key`, PKCS#8, readable by its owner only unless [`Authority::with_key_access`] says otherwise.
    pub private_key: PathBuf,
    /// SHA-256 of the certificate in lower-case hexadecimal: what AWS calls the certificate id.
    pub certificate_id: String,
}

/// A client certificate in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedPem {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PKCS#8 PEM.
    pub private_key: String,
    /// SHA-256 of the certificate in lower-case hexadecimal: what AWS calls the certificate id.
    pub certificate_id: String,
}

impl Authority {
    /// Opens the authority in a folder; makes folder and authority when there is none.
    ///
    /// # Errors
    ///
    /// A folder or file that cannot be read, written or understood, half a pair, and an authority
    /// whose private key is kept elsewhere.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, CertError> {
        let folder = folder.as_ref();
        let _lock = files::lock(folder)?;
        Self::load_or_make(folder, None)
    }

    /// The same for an authority whose certificate says that it may sign for this machine only: for
    /// `localhost` and names below it, the name of the host, `127.0.0.0/8`, `::1`, and the names and
    /// addresses of `san`. What trusts it need not fear its key, if it looks at these limits.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), an authority that is there without limits or with others, and a
    /// name that is none.
    pub fn open_limited(folder: impl AsRef<Path>, san: &[String]) -> Result<Self, CertError> {
        let folder = folder.as_ref();
        let wanted = Limits::local(san)?;
        let _lock = files::lock(folder)?;
        let authority = Self::load_or_make(folder, Some(&wanted))?;
        let Some(limits) = &authority.limits else {
            let path = authority.ca_file();
            return Err(CertError::NotLimited { path });
        };
        match san.iter().find(|name| !limits.permit(name)) {
            Some(name) => Err(CertError::NotPermitted { name: name.clone() }),
            None => Ok(authority),
        }
    }

    /// Has others read the private keys of clients that [`issue`](Self::issue) writes, and those that
    /// [`issue_if_missing`](Self::issue_if_missing) finds. Without, a new key is its owner's only, and one that is there
    /// keeps its mode. Windows has no modes.
    #[must_use]
    pub fn with_key_access(self, access: KeyAccess) -> Self {
        let key_access = Some(access);
        Self { key_access, ..self }
    }

    /// Checks that a client certificate can have this name, before any is issued.
    ///
    /// # Errors
    ///
    /// A name that is empty, too long for a Common Name, or no file name.
    pub fn check_name(name: &str) -> Result<(), CertError> {
        certificate::check_name(name)
    }

    /// Issues a client certificate with `CN=name` to `NAME.certificate.pem` and `NAME.private.key`.
    ///
    /// The folder is made when it is missing.
    ///
    /// # Errors
    ///
    /// A name that is no file name, a file that is there already (nothing is overwritten), and
    /// files that cannot be written.
    pub fn issue(
        &self,
        name: &str,
        kind: KeyKind,
        out_dir: impl AsRef<Path>,
    ) -> Result<Issued, CertError> {
        let (certificate, private_key) = client_files(name, out_dir.as_ref())?;
        for path in [&certificate, &private_key] {
            if files::exists(path)? {
                return Err(CertError::Exists { path: path.clone() });
            }
        }
        self.write(name, kind, certificate, private_key)
    }

    /// The same where the two files are not there; where they are, they stay as they are, whoever issued
    /// them. Who asks for the same name at the same time gets the same files.
    ///
    /// # Errors
    ///
    /// Those of [`issue`](Self::issue), one file without the other, a certificate that cannot be read, and a key whose
    /// access cannot be changed.
    pub fn issue_if_missing(
        &self,
        name: &str,
        kind: KeyKind,
        out_dir: impl AsRef<Path>,
    ) -> Result<Issued, CertError> {
        let (certificate, private_key) = client_files(name, out_dir.as_ref())?;
        let _lock = files::lock(&self.folder)?;
        if !files::is_pair(&certificate, &private_key)? {
            return self.write(name, kind, certificate, private_key);
        }
        if let Some(access) = self.key_access {
            files::give(&private_key, access)?;
        }
        let certificate_id = certificate::fingerprint_of(&certificate)?;
        Ok(Issued {
            certificate,
            private_key,
            certificate_id,
        })
    }

    /// Issues a certificate to two files that are not there.
    fn write(
        &self,
        name: &str,
        kind: KeyKind,
        certificate: PathBuf,
        private_key: PathBuf,
    ) -> Result<Issued, CertError> {
        let pem = self.issue_pem(name, kind)?;
        let (of_key, of_certificate) = match self.key_access {
            None => (Access::Owner, Access::Everyone),
            // Who is to read the key reads the certificate.
            Some(access) => (
                Access::Exactly(access),
                Access::Exactly(KeyAccess::EVERYONE),
            ),
        };
        files::write_new(&private_key, &pem.private_key, of_key)?;
        files::write_new(&certificate, &pem.certificate, of_certificate)
            .inspect_err(|_| files::discard(&private_key))?;
        Ok(Issued {
            certificate,
            private_key,
            certificate_id: pem.certificate_id,
        })
    }

    /// Issues a client certificate with `CN=name`, in memory.
    ///
    /// # Errors
    ///
    /// A name that is empty, too long for a Common Name, or no file name.
    pub fn issue_pem(&self, name: &str, kind: KeyKind) -> Result<IssuedPem, CertError> {
        certificate::client(name, kind, &self.issuer)
    }

    /// The certificate that clients trust, `ca.pem`, as an absolute path.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join(CA_CERTIFICATE)
    }

    /// Reads the authority, or makes one with these limits; the caller holds the lock of the folder.
    fn load_or_make(folder: &Path, limits: Option<&Limits>) -> Result<Self, CertError> {
        let folder = absolute(folder);
        let (certificate, key) = (folder.join(CA_CERTIFICATE), folder.join(CA_KEY));
        if files::exists(&certificate)? && !files::exists(&key)? {
            return Err(CertError::NoKey { certificate, key });
        }
        if files::is_pair(&certificate, &key)? {
            files::check_private(&key);
            let (issuer, limits) = load_issuer(&certificate, &key)?;
            return Ok(Self {
                folder,
                issuer,
                limits,
                key_access: None,
            });
        }
        refuse_orphaned_server(&folder, &certificate)?;
        let (pem, issuer) = certificate::authority(limits)?;
        files::write_new(&key, &pem.private_key, Access::Owner)?;
        files::write_new(&certificate, &pem.certificate, Access::Everyone)?;
        Ok(Self {
            folder,
            issuer,
            limits: limits.cloned(),
            key_access: None,
        })
    }
}

/// An RSA key pair as AWS IoT Core hands it out, PEM.
#[cfg(all(feature = "aws", feature = "http"))]
pub(crate) struct RsaKeys {
    /// `PUBLIC KEY`
    pub(crate) public: String,
    /// `RSA PRIVATE KEY`
    pub(crate) private: String,
}

impl IssuedPem {
    /// Its key pair, which is one of RSA.
    #[cfg(all(feature = "aws", feature = "http"))]
    pub(crate) fn rsa_keys(&self) -> Result<RsaKeys, CertError> {
        certificate::rsa_keys(&self.private_key)
    }
}

impl std::fmt::Debug for IssuedPem {
    /// Leaves the private key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedPem")
            .field("certificate_id", &self.certificate_id)
            .finish_non_exhaustive()
    }
}

/// The files of a client certificate: its own and its key's. Their folder is made when it is missing.
fn client_files(name: &str, folder: &Path) -> Result<(PathBuf, PathBuf), CertError> {
    certificate::check_name(name)?;
    create_folder(folder)?;
    let certificate = folder.join(format!("{name}.certificate.pem"));
    Ok((certificate, folder.join(format!("{name}.private.key"))))
}

/// A server certificate outlived its authority: clients that trust a new one would refuse it.
fn refuse_orphaned_server(folder: &Path, ca: &Path) -> Result<(), CertError> {
    for name in [SERVER_CERTIFICATE, SERVER_KEY] {
        let path = folder.join(name);
        if files::exists(&path)? {
            return Err(CertError::Incomplete {
                present: path,
                missing: ca.to_owned(),
            });
        }
    }
    Ok(())
}

fn load_issuer(
    certificate: &Path,
    key: &Path,
) -> Result<(Issuer<'static, KeyPair>, Option<Limits>), CertError> {
    let chain = pem::certificates(certificate)?;
    let der = chain.first().ok_or_else(|| {
        CertError::invalid(certificate, "invariant: a file of certificates has one")
    })?;
    let private = pem::private_key(key)?;
    let pair = KeyPair::try_from(&private).map_err(|error| CertError::invalid(key, error))?;
    let public =
        certificate::public_key(der).map_err(|error| CertError::invalid(certificate, error))?;
    if public != pair.der_bytes() {
        return Err(CertError::Mismatch {
            certificate: certificate.into(),
            key: key.into(),
        });
    }
    let limits = certificate::limits(certificate, der)?;
    let issuer = Issuer::from_ca_cert_der(der, pair);
    let issuer = issuer.map_err(|error| CertError::invalid(certificate, error))?;
    Ok((issuer, limits))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use tempfile::TempDir;

    use super::*;
    use crate::Config;

    fn tls_in(folder: &TempDir, san: &[&str]) -> config::Tls {
        config::Tls {
            certs: folder.path().join("certs"),
            san: san.iter().map(|&name| name.to_owned()).collect(),
            ..Config::standard().tls
        }
    }

    fn snapshot(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_second_start_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &["broker.test"]);
        ensure(&tls).unwrap();
        let before = snapshot(&tls.certs);
        ensure(&tls).unwrap();
        assert_eq!(snapshot(&tls.certs), before);
    }

    fn names(san: &[&str]) -> Vec<String> {
        san.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn a_limited_authority_says_what_it_may_sign_for() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &["a.broker.test"]);
        Authority::open_limited(&tls.certs, &names(&["broker.test"])).unwrap();
        let limits = CaCertificate::read(&tls.certs).unwrap().limits.unwrap();
        for part in ["localhost", "127.0.0.0/8", "::1/128", "broker.test"] {
            assert!(limits.contains(part), "{limits}");
        }

        let plain = tempfile::tempdir().unwrap();
        Authority::open(plain.path()).unwrap();
        assert_eq!(CaCertificate::read(plain.path()).unwrap().limits, None);
    }

    /// What a client says of a server's certificate, its name aside.
    fn verify(ca: &Path, server: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(ca).unwrap())
            .unwrap();
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &rustls::server::ParsedCertificate::try_from(server).unwrap(),
            &roots,
            &[],
            rustls::pki_types::UnixTime::now(),
            crate::net::tls::signature_algorithms().all,
        )
    }

    #[test]
    fn clients_take_what_a_limited_authority_may_sign_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &["a.broker.test"]);
        let authority = Authority::open_limited(&tls.certs, &names(&["broker.test"])).unwrap();
        let files = ensure(&tls).unwrap();
        let server = CertificateDer::from_pem_file(&files.certificate).unwrap();
        verify(&authority.ca_file(), &server).unwrap();
        // Whoever has the key does not ask first.
        for stranger in ["broker.example", "192.0.2.1"] {
            let pem = certificate::server(&names(&[stranger]), &authority.issuer, None).unwrap();
            let server = CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap();
            verify(&authority.ca_file(), &server).unwrap_err();
        }
    }

    #[test]
    fn an_authority_that_is_there_is_never_limited_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        Authority::open(folder.path()).unwrap();
        let before = snapshot(folder.path());
        let error = Authority::open_limited(folder.path(), &[]).unwrap_err();
        assert!(matches!(error, CertError::NotLimited { .. }), "{error}");
        assert_eq!(snapshot(folder.path()), before);
    }

    #[test]
    fn limits_stay_as_they_were_made() {
        let folder = tempfile::tempdir().unwrap();
        Authority::open_limited(folder.path(), &names(&["a.test"])).unwrap();
        let before = snapshot(folder.path());
        Authority::open_limited(folder.path(), &names(&["a.test", "127.1.1.1"])).unwrap();
        let error = Authority::open_limited(folder.path(), &names(&["b.test"])).unwrap_err();
        assert!(
            matches!(&error, CertError::NotPermitted { name } if name == "b.test"),
            "{error}"
        );
        let tls = config::Tls {
            certs: folder.path().to_owned(),
            ..tls_in(&folder, &["b.test"])
        };
        let error = ensure(&tls).unwrap_err();
        assert!(matches!(error, CertError::NotPermitted { .. }), "{error}");
        assert_eq!(snapshot(folder.path()), before);
    }

    #[test]
    fn what_is_not_one_authority_is_none_to_trust() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &[]);
        let files = ensure(&tls).unwrap();
        let ca = tls.certs.join(CA_CERTIFICATE);
        let (own, server) = (
            fs::read(&ca).unwrap(),
            fs::read(&files.certificate).unwrap(),
        );
        for (content, word) in [
            ([&*own, &*server].concat(), "2 certificates"),
            (server, "no authority's"),
        ] {
            fs::write(&ca, content).unwrap();
            let error = CaCertificate::read(&tls.certs).unwrap_err();
            let cause = error.into_cause().to_string();
            assert!(cause.contains(word), "{cause}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn private_keys_are_their_owners_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &[]);
        ensure(&tls).unwrap();
        let authority = Authority::open(&tls.certs).unwrap();
        let issued = authority.issue("demo", KeyKind::Ecdsa, &tls.certs).unwrap();
        for key in [
            tls.certs.join(CA_KEY),
            tls.certs.join(SERVER_KEY),
            issued.private_key,
        ] {
            assert_eq!(
                fs::metadata(&key).unwrap().permissions().mode() & 0o777,
                0o600,
                "{key:?}"
            );
        }
    }

    #[test]
    fn half_a_pair_is_an_error_that_names_both_files() {
        for (gone, left) in [
            (CA_CERTIFICATE, CA_KEY),
            (SERVER_KEY, SERVER_CERTIFICATE),
            (SERVER_CERTIFICATE, SERVER_KEY),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let tls = tls_in(&folder, &[]);
            ensure(&tls).unwrap();
            fs::remove_file(tls.certs.join(gone)).unwrap();
            let message = ensure(&tls).unwrap_err().to_string();
            assert!(
                message.contains(gone) && message.contains(left),
                "{message}"
            );
        }
    }

    #[test]
    fn the_authoritys_key_is_needed_only_to_issue() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &[]);
        let files = ensure(&tls).unwrap();
        fs::remove_file(tls.certs.join(CA_KEY)).unwrap();
        assert_eq!(ensure(&tls).unwrap(), files);
        let of_client = Authority::open(&tls.certs).unwrap_err();
        fs::remove_file(&files.certificate).unwrap();
        fs::remove_file(&files.key).unwrap();
        let of_server = ensure(&tls).unwrap_err();
        for error in [of_client, of_server] {
            assert!(matches!(error, CertError::NoKey { .. }), "{error}");
            let message = error.to_string();
            assert!(
                message.contains("ca.key") && message.contains("ca.pem"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_folder_that_is_made_is_kept_out_of_repositories() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &[]);
        ensure(&tls).unwrap();
        let rules = fs::read_to_string(tls.certs.join(".gitignore")).unwrap();
        assert_eq!(rules, "*\n");
        // A folder that is somebody's already stays as it is.
        Authority::open(folder.path()).unwrap();
        assert!(!folder.path().join(".gitignore").exists());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_named_and_not_waited_for() {
        use std::process::Command;

        for name in [
            ".lock",
            CA_CERTIFICATE,
            CA_KEY,
            SERVER_CERTIFICATE,
            SERVER_KEY,
        ] {
            let folder = tempfile::tempdir().unwrap();
            let tls = tls_in(&folder, &[]);
            ensure(&tls).unwrap();
            let path = tls.certs.join(name);
            fs::remove_file(&path).unwrap();
            let made = Command::new("mkfifo").arg(&path).status().unwrap();
            assert!(made.success());
            let tried = ensure(&tls).and_then(|files| {
                pem::private_key(&files.key)?;
                // Its key is asked for when something is issued.
                Authority::open(&tls.certs)
            });
            let Err(CertError::Read { path, source }) = tried else {
                panic!("{name}: {tried:?}");
            };
            assert_eq!(path.file_name().unwrap(), name);
            assert!(source.to_string().contains("FIFO"), "{source}");
        }
    }

    #[test]
    fn a_new_authority_does_not_adopt_an_old_server_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &[]);
        ensure(&tls).unwrap();
        fs::remove_file(tls.certs.join(CA_KEY)).unwrap();
        fs::remove_file(tls.certs.join(CA_CERTIFICATE)).unwrap();
        assert!(matches!(ensure(&tls), Err(CertError::Incomplete { .. })));
        assert!(!tls.certs.join(CA_CERTIFICATE).exists());
    }

    #[test]
    fn another_authoritys_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &[]);
        ensure(&tls).unwrap();
        fs::copy(tls.certs.join(SERVER_KEY), tls.certs.join(CA_KEY)).unwrap();
        let error = Authority::open(&tls.certs).unwrap_err();
        assert!(matches!(error, CertError::Mismatch { .. }));
    }

    #[test]
    fn an_existing_server_certificate_must_have_every_san() {
        let folder = tempfile::tempdir().unwrap();
        ensure(&tls_in(
            &folder,
            &["Broker.test", "*.local.test", "10.0.0.7"],
        ))
        .unwrap();
        for covered in [
            "broker.test",
            "*.local.test",
            "a.local.test",
            "10.0.0.7",
            "localhost",
        ] {
            ensure(&tls_in(&folder, &[covered])).unwrap();
        }
        let message = ensure(&tls_in(&folder, &["other.test"]))
            .unwrap_err()
            .to_string();
        assert!(message.contains("`other.test` (`san`)"), "{message}");
        assert!(message.contains(SERVER_CERTIFICATE), "{message}");
    }

    #[test]
    fn a_san_that_is_no_name_makes_no_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &["not a name"]);
        assert!(matches!(ensure(&tls), Err(CertError::San { .. })));
        assert!(!tls.certs.join(SERVER_CERTIFICATE).exists());
    }

    #[test]
    fn a_client_certificate_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let issued = authority
            .issue("demo", KeyKind::Ecdsa, folder.path())
            .unwrap();
        let key = fs::read(&issued.private_key).unwrap();
        fs::remove_file(&issued.certificate).unwrap();
        let error = authority
            .issue("demo", KeyKind::Rsa, folder.path())
            .unwrap_err();
        assert!(matches!(error, CertError::Exists { path } if path == issued.private_key));
        assert_eq!(fs::read(&issued.private_key).unwrap(), key);
        assert!(!issued.certificate.exists());
    }

    #[test]
    fn who_asks_at_once_for_what_is_missing_gets_the_same_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let issue = || authority.issue_if_missing("demo", KeyKind::Ecdsa, folder.path());
        let issued: Vec<_> = std::thread::scope(|scope| {
            let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| issue().unwrap())).collect();
            let answers = asking.into_iter().map(|asking| asking.join().unwrap());
            answers.collect()
        });
        assert!(issued.iter().all(|own| *own == issued[0]));
        let kept = fs::read(&issued[0].private_key).unwrap();
        assert_eq!(issue().unwrap(), issued[0]);
        assert_eq!(fs::read(&issued[0].private_key).unwrap(), kept);
        fs::remove_file(&issued[0].certificate).unwrap();
        assert!(matches!(issue(), Err(CertError::Incomplete { .. })));
    }

    #[test]
    fn a_name_that_leaves_the_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::open(folder.path()).unwrap();
        let long = "x".repeat(65);
        for name in [
            "",
            "../demo",
            "a/b",
            r"a\b",
            ".hidden",
            "a\nb",
            long.as_str(),
        ] {
            let error = authority
                .issue(name, KeyKind::Ecdsa, folder.path())
                .unwrap_err();
            assert!(matches!(error, CertError::Name { .. }), "{name:?}");
        }
    }

    #[test]
    fn starts_at_the_same_time_agree_on_one_authority() {
        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &[]);
        std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| ensure(&tls).unwrap()))
                .collect();
            for start in starts {
                start.join().unwrap();
            }
        });
        // The pairs fit, whoever made them.
        Authority::open(&tls.certs).unwrap();
        ensure(&tls).unwrap();
    }

    /// AWS-TLS-10.
    #[test]
    fn client_certificates_expire_with_2049() {
        let folder = tempfile::tempdir().unwrap();
        let pem = Authority::open(folder.path())
            .unwrap()
            .issue_pem("x", KeyKind::Rsa)
            .unwrap();
        let der = CertificateDer::from_pem_slice(pem.certificate.as_bytes()).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let end = certificate.validity().not_after.to_datetime();
        assert_eq!(end.to_string(), "2049-12-31 23:59:59.0 +00:00:00");
        assert_eq!(pem.certificate_id, crate::net::tls::fingerprint(&der));
    }

    #[test]
    fn server_certificates_live_at_most_825_days() {
        let folder = tempfile::tempdir().unwrap();
        let files = ensure(&tls_in(&folder, &[])).unwrap();
        let der = CertificateDer::from_pem_file(files.certificate).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let validity = certificate.validity();
        let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
        assert!((800..825).contains(&days), "{days}");
    }
}
