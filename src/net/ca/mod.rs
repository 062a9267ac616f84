//! The development certificate authority: one folder, two pairs of files, and what they sign.
//!
//! A folder holds the authority (`ca.pem`, `ca.key`) and the server's own certificate
//! (`server.pem`, `server.key`). What is missing is made, what is there is never touched. A lock
//! on the folder makes that safe for several processes that start in it at once.
//!
//! This module makes and signs; how a TLS listener uses the files is [`super::tls`]'s business.

mod certificate;
mod error;
mod files;

use std::path::{Path, PathBuf};

use rcgen::{Issuer, KeyPair, PublicKeyData as _};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub use self::error::CertError;

use self::files::Access;
use crate::config;

const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const SERVER_CERTIFICATE: &str = "server.pem";
const SERVER_KEY: &str = "server.key";

/// Opens the authority of a broker and sees to its server certificate.
///
/// What `certs` lacks of the two pairs is made. A new server certificate is valid for `localhost`,
/// `127.0.0.1`, `::1`, the name of this host and every name in `san`; one that is there already
/// must have those of `san`.
///
/// # Errors
///
/// A folder or file that cannot be read, written or understood, half a pair, and a server
/// certificate without one of the names asked for.
pub(crate) fn ensure(tls: &config::Tls) -> Result<Authority, CertError> {
    let folder = tls.certs.as_path();
    let _lock = files::lock(folder)?;
    let authority = Authority::load_or_make(folder)?;
    let (certificate, key) = (authority.server_certificate(), authority.server_key());
    if files::is_pair(&certificate, &key)? {
        certificate::check_server(&certificate, &tls.san)?;
    } else {
        let pem = certificate::server(&tls.san, &authority.issuer)?;
        files::write_new(&key, &pem.private_key, Access::Owner)?;
        files::write_new(&certificate, &pem.certificate, Access::Everyone)?;
    }
    Ok(authority)
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
    /// `NAME.private.key`, PKCS#8, readable by its owner only.
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
    /// A folder or file that cannot be read, written or understood, and half a pair.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, CertError> {
        let folder = folder.as_ref();
        let _lock = files::lock(folder)?;
        Self::load_or_make(folder)
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
        certificate::check_name(name)?;
        let certificate = out_dir.as_ref().join(format!("{name}.certificate.pem"));
        let private_key = out_dir.as_ref().join(format!("{name}.private.key"));
        files::create_folder(out_dir.as_ref())?;
        for path in [&certificate, &private_key] {
            if files::exists(path)? {
                return Err(CertError::Exists { path: path.clone() });
            }
        }
        let pem = self.issue_pem(name, kind)?;
        files::write_new(&private_key, &pem.private_key, Access::Owner)?;
        files::write_new(&certificate, &pem.certificate, Access::Everyone)
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
        certificate::check_name(name)?;
        certificate::client(name, kind, &self.issuer)
    }

    /// The certificate that clients trust, `ca.pem`, as an absolute path.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.folder.join(CA_CERTIFICATE)
    }

    pub(crate) fn server_certificate(&self) -> PathBuf {
        self.folder.join(SERVER_CERTIFICATE)
    }

    pub(crate) fn server_key(&self) -> PathBuf {
        self.folder.join(SERVER_KEY)
    }

    /// Reads or makes the authority; the caller holds the lock of the folder.
    fn load_or_make(folder: &Path) -> Result<Self, CertError> {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let (certificate, key) = (folder.join(CA_CERTIFICATE), folder.join(CA_KEY));
        if files::is_pair(&certificate, &key)? {
            let issuer = load_issuer(&certificate, &key)?;
            return Ok(Self { folder, issuer });
        }
        refuse_orphaned_server(&folder, &certificate)?;
        let (pem, issuer) = certificate::authority()?;
        files::write_new(&key, &pem.private_key, Access::Owner)?;
        files::write_new(&certificate, &pem.certificate, Access::Everyone)?;
        Ok(Self { folder, issuer })
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

fn load_issuer(certificate: &Path, key: &Path) -> Result<Issuer<'static, KeyPair>, CertError> {
    let der = CertificateDer::from_pem_slice(&files::read(certificate)?)
        .map_err(|error| CertError::invalid(certificate, error))?;
    let private = PrivateKeyDer::from_pem_slice(&files::read(key)?)
        .map_err(|error| CertError::invalid(key, error))?;
    let pair = KeyPair::try_from(&private).map_err(|error| CertError::invalid(key, error))?;
    let public =
        certificate::public_key(&der).map_err(|error| CertError::invalid(certificate, error))?;
    if public != pair.der_bytes() {
        return Err(CertError::Mismatch {
            certificate: certificate.into(),
            key: key.into(),
        });
    }
    Issuer::from_ca_cert_der(&der, pair).map_err(|error| CertError::invalid(certificate, error))
}

#[cfg(test)]
mod tests {
    use std::fs;

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

    #[cfg(unix)]
    #[test]
    fn private_keys_are_their_owners_only() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        let tls = tls_in(&folder, &[]);
        let authority = ensure(&tls).unwrap();
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
            (CA_KEY, CA_CERTIFICATE),
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
        assert!(matches!(ensure(&tls), Err(CertError::Mismatch { .. })));
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
        assert!(message.contains("`other.test` (--san)"), "{message}");
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
            let keys: Vec<_> = starts
                .into_iter()
                .map(|s| s.join().unwrap().issuer.key().serialize_pem())
                .collect();
            assert!(keys.windows(2).all(|pair| pair[0] == pair[1]));
        });
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
        let authority = ensure(&tls_in(&folder, &[])).unwrap();
        let der = CertificateDer::from_pem_file(authority.server_certificate()).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let validity = certificate.validity();
        let days = (validity.not_after.timestamp() - validity.not_before.timestamp()) / 86_400;
        assert!((800..825).contains(&days), "{days}");
    }
}
