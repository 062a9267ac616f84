//! What stands in the certificates of the development authority.
//!
//! Every certificate carries the extensions that strict verifiers insist on (RFC 5280: subject and
//! authority key identifiers, basic constraints, key usage), as OpenSSL with
//! `X509_V_FLAG_X509_STRICT` does, and Python from 3.13 on.

use std::net::IpAddr;
use std::path::Path;
use std::time::SystemTime;

#[cfg(all(feature = "aws", feature = "http"))]
use ::pem::{EncodeConfig, LineEnding, Pem, encode_config};
use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SanType,
};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};
use time::{Duration, OffsetDateTime};
#[cfg(all(feature = "aws", feature = "http"))]
use x509_parser::der_parser::parse_der;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Error, X509Version};

#[cfg(all(feature = "aws", feature = "http"))]
use super::RsaKeys;
use super::limits::Limits;
#[cfg(all(feature = "aws", feature = "http"))]
use super::request::RequestedKey;
use super::{CertError, IssuedPem, KeyKind, pem};

/// A certificate is valid from a day before it is made: clocks of containers and devices differ.
const BACKDATED: Duration = Duration::DAY;

/// 2049-12-31T23:59:59Z, when certificates issued by AWS IoT Core expire (AWS-TLS-10).
const FAR_END: i64 = 2_524_607_999;

/// Apple's verifiers refuse server certificates valid for more than 825 days, also from an
/// authority that the user installed. Go on macOS asks the same verifier. One day is kept back for
/// the rounding of part days.
pub(super) const SERVER_VALIDITY: Duration = Duration::days(824);

/// Largest Common Name (RFC 5280, `ub-common-name`).
const COMMON_NAME_MAX: usize = 64;

/// A new authority, which may sign leaf certificates only, and within limits if it has some. Its name is its own: a
/// client that trusts another authority of this kind says that it does not know this one, and not that the signature
/// is wrong.
pub(super) fn authority(
    limits: Option<&Limits>,
) -> Result<(IssuedPem, Issuer<'static, KeyPair>), CertError> {
    let key = key_pair(KeyKind::Ecdsa)?;
    let digest = digest(&SHA256, key.public_key_raw());
    let start = digest.as_ref().iter().take(4);
    let own: String = start.map(|byte| format!("{byte:02x}")).collect();
    authority_with(key, &format!("Roundel development CA {own}"), limits)
}

/// The same with another Common Name.
pub(super) fn authority_named(
    name: &str,
    limits: Option<&Limits>,
) -> Result<(IssuedPem, Issuer<'static, KeyPair>), CertError> {
    authority_with(key_pair(KeyKind::Ecdsa)?, name, limits)
}

fn authority_with(
    key: KeyPair,
    name: &str,
    limits: Option<&Limits>,
) -> Result<(IssuedPem, Issuer<'static, KeyPair>), CertError> {
    let mut params = params(name, far_end());
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.name_constraints = limits.map(Limits::extension);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let pem = in_pem(&params.self_signed(&key)?, &key);
    Ok((pem, Issuer::new(params, key)))
}

/// A certificate for this machine's listeners. An authority with limits must permit every name of `san`;
/// the name of the host is left out if it does not permit that.
pub(super) fn server(
    san: &[String],
    issuer: &Issuer<'_, KeyPair>,
    limits: Option<&Limits>,
) -> Result<IssuedPem, CertError> {
    leaf(server_params(san, limits)?, KeyKind::Ecdsa, issuer)
}

/// What such a certificate says.
pub(super) fn server_params(
    san: &[String],
    limits: Option<&Limits>,
) -> Result<CertificateParams, CertError> {
    let mut params = params("localhost", now() - BACKDATED + SERVER_VALIDITY);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.subject_alt_names = server_names(san, limits)?;
    Ok(params)
}

/// A client's certificate, with a Common Name that [`check_name`] lets pass.
pub(super) fn client(
    name: &str,
    kind: KeyKind,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<IssuedPem, CertError> {
    check_name(name)?;
    let mut params = params(name, far_end());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    leaf(params, kind, issuer)
}

/// A client's certificate for the key of a signing request, PEM.
#[cfg(all(feature = "aws", feature = "http"))]
pub(super) fn sign(
    name: &str,
    request: &str,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<String, CertError> {
    check_name(name)?;
    let key = RequestedKey::of(request).map_err(|reason| CertError::Request { reason })?;
    let mut params = params(name, far_end());
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    as_leaf(&mut params, key.is_rsa());
    Ok(params.signed_by(&key, issuer)?.pem())
}

/// The key pair of a private key in PKCS#8, in the forms that the service has.
#[cfg(all(feature = "aws", feature = "http"))]
pub(super) fn rsa_keys(private: &str) -> Result<RsaKeys, CertError> {
    let pair = KeyPair::from_pem(private)?;
    // PKCS#8 wraps the key in a sequence: version, algorithm, and the key in an octet string.
    let (_, wrapped) = parse_der(pair.serialized_der()).map_err(|error| CertError::Crypto {
        source: error.to_string().into(),
    })?;
    let parts = wrapped.as_sequence();
    let key = parts.ok().and_then(|parts| parts.get(2)?.as_slice().ok());
    let key = key.ok_or_else(|| CertError::Crypto {
        source: "the private key is not in PKCS#8".into(),
    })?;
    let unix = EncodeConfig::new().set_line_ending(LineEnding::LF);
    Ok(RsaKeys {
        public: pair.public_key_pem(),
        private: encode_config(&Pem::new("RSA PRIVATE KEY", key), unix),
    })
}

/// Checks that a name can be a Common Name and the start of a file name.
pub(super) fn check_name(name: &str) -> Result<(), CertError> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > COMMON_NAME_MAX {
        "it is longer than 64 bytes"
    } else if name.starts_with('.') {
        "it starts with a dot"
    } else if name.contains(['/', '\\']) {
        "it contains a path separator"
    } else if name.contains(char::is_control) {
        "it contains a control character"
    } else if cfg!(windows)
        && let Some(reason) = windows_fault(name)
    {
        reason
    } else {
        return Ok(());
    };
    Err(CertError::Name {
        name: name.to_owned(),
        reason,
    })
}

/// Why the name of a file cannot begin like this on Windows, where a name with a colon is a stream of another file, and
/// some names are devices, whatever follows behind a dot. Names of things may have colons, so elsewhere all is well.
fn windows_fault(name: &str) -> Option<&'static str> {
    const DEVICES: [&str; 4] = ["con", "prn", "aux", "nul"];
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    let stem = stem.to_ascii_lowercase();
    let is_numbered = ["com", "lpt"].iter().any(|port| {
        let mut number = stem.strip_prefix(port).unwrap_or_default().chars();
        let is_digit = |c| matches!(c, '0'..='9' | '¹' | '²' | '³');
        number.next().is_some_and(is_digit) && number.next().is_none()
    });
    if name.contains(['<', '>', ':', '"', '|', '?', '*']) {
        Some("it contains one of <>:\"|?*, which no name of a file has on Windows")
    } else if is_numbered || DEVICES.contains(&&*stem) {
        Some("it is the name of a device on Windows")
    } else {
        None
    }
}

/// Checks that a server certificate has every name of `san`.
pub(super) fn check_names(path: &Path, san: &[String]) -> Result<(), CertError> {
    let der = first(path)?;
    let certificate = parse(path, &der)?;
    for name in san {
        if !is_valid_for(&certificate, &der, name)? {
            return Err(CertError::NotCovered {
                name: name.clone(),
                path: path.to_owned(),
            });
        }
    }
    Ok(())
}

/// Warns of a server certificate that clients will not take: TLS works for those that do not look.
pub(super) fn check_server(path: &Path) -> Result<(), CertError> {
    let der = first(path)?;
    let certificate = parse(path, &der)?;
    check_validity(
        path,
        &certificate,
        "clients refuse the server's certificate",
    );
    if let Ok(Some(purposes)) = certificate.extended_key_usage()
        && !(purposes.value.server_auth || purposes.value.any)
    {
        tracing::warn!(
            path = %path.display(),
            "clients refuse the server's certificate: it is not for servers (Extended Key Usage lacks \
             serverAuth)"
        );
    }
    Ok(())
}

/// Warns of authorities for clients' certificates that are none, or whose time is over.
pub(super) fn check_authorities(path: &Path) -> Result<(), CertError> {
    for der in pem::certificates(path)? {
        let certificate = parse(path, &der)?;
        let what = "an authority for clients' certificates is accepted although its time is wrong";
        check_validity(path, &certificate, what);
        // Version 1 knows no such thing, and serves as an authority.
        if certificate.version() == X509Version::V3 && !certificate.is_ca() {
            tracing::warn!(
                path = %path.display(),
                subject = %certificate.subject(),
                "a certificate for clients' authorities is no authority's (Basic Constraints)"
            );
        }
    }
    Ok(())
}

/// Warns of a server certificate that the authority beside it did not issue.
pub(super) fn check_issuer(path: &Path, ca: &Path) -> Result<(), CertError> {
    if !is_issued_by(path, ca)? {
        tracing::warn!(
            path = %path.display(),
            ca_file = %ca.display(),
            "clients that trust this authority refuse the server's certificate: it is another's"
        );
    }
    Ok(())
}

/// Whether a certificate leads to an authority of the other file, with the certificates behind it in
/// its own file between them.
pub(super) fn is_issued_by(path: &Path, ca: &Path) -> Result<bool, CertError> {
    let chain = pem::certificates(path)?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(pem::certificates(ca)?);
    let Some((leaf, between)) = chain.split_first() else {
        return Ok(false);
    };
    let Ok(leaf) = ParsedCertificate::try_from(leaf) else {
        return Ok(false);
    };
    let algorithms = crate::net::tls::signature_algorithms().all;
    let verified = verify_server_cert_signed_by_trust_anchor(
        &leaf,
        &roots,
        between,
        UnixTime::now(),
        algorithms,
    );
    // Its time or its purpose may be wrong: that is another question.
    Ok(!matches!(
        verified,
        Err(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature
        ))
    ))
}

/// The limits of an authority's certificate, if it has some.
pub(super) fn limits(path: &Path, der: &CertificateDer<'_>) -> Result<Option<Limits>, CertError> {
    Ok(Limits::of(&parse(path, der)?))
}

/// The certificate of an authority, the only one in its file.
pub(super) fn sole_authority(path: &Path) -> Result<CertificateDer<'static>, CertError> {
    let mut found = pem::certificates(path)?;
    let der = match (found.pop(), found.len()) {
        (Some(der), 0) => der,
        (_, others) => {
            let reason = format!("it holds {} certificates, and not one", others + 1);
            return Err(CertError::invalid(path, reason));
        }
    };
    if !parse(path, &der)?.is_ca() {
        let reason = "its certificate is no authority's (Basic Constraints)";
        return Err(CertError::invalid(path, reason));
    }
    Ok(der)
}

/// The id of the first certificate in a file.
pub(super) fn fingerprint_of(path: &Path) -> Result<String, CertError> {
    Ok(crate::net::tls::fingerprint(&first(path)?))
}

fn first(path: &Path) -> Result<CertificateDer<'static>, CertError> {
    let mut chain = pem::certificates(path)?.into_iter();
    chain
        .next()
        .ok_or_else(|| CertError::invalid(path, "it holds no certificate"))
}

fn parse<'a>(path: &Path, der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, CertError> {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Ok(certificate),
        Err(error) => Err(CertError::invalid(path, error)),
    }
}

fn check_validity(path: &Path, certificate: &X509Certificate<'_>, what: &str) {
    let (validity, now) = (certificate.validity(), now().unix_timestamp());
    let reason = if validity.not_after.timestamp() < now {
        "it has expired"
    } else if validity.not_before.timestamp() > now {
        "it is not valid yet"
    } else {
        return;
    };
    tracing::warn!(
        path = %path.display(),
        not_before = %validity.not_before,
        not_after = %validity.not_after,
        "{what}: {reason}"
    );
}

/// The public key in a certificate, as [`rcgen::PublicKeyData::der_bytes`] gives it.
pub(super) fn public_key(
    der: &CertificateDer<'_>,
) -> Result<Vec<u8>, x509_parser::nom::Err<X509Error>> {
    let (_, certificate) = X509Certificate::from_der(der)?;
    Ok(certificate.public_key().subject_public_key.data.to_vec())
}

fn params(common_name: &str, not_after: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = now() - BACKDATED;
    params.not_after = not_after;
    params
}

fn leaf(
    mut params: CertificateParams,
    kind: KeyKind,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<IssuedPem, CertError> {
    as_leaf(&mut params, kind == KeyKind::Rsa);
    let key = key_pair(kind)?;
    Ok(in_pem(&params.signed_by(&key, issuer)?, &key))
}

pub(super) fn as_leaf(params: &mut CertificateParams, is_rsa: bool) {
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    if is_rsa {
        params.key_usages.push(KeyUsagePurpose::KeyEncipherment);
    }
}

pub(super) fn key_pair(kind: KeyKind) -> Result<KeyPair, CertError> {
    Ok(match kind {
        KeyKind::Ecdsa => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?,
        KeyKind::Rsa => KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?,
    })
}

fn in_pem(certificate: &rcgen::Certificate, key: &KeyPair) -> IssuedPem {
    IssuedPem {
        certificate: certificate.pem(),
        private_key: key.serialize_pem(),
        certificate_id: crate::net::tls::fingerprint(certificate.der()),
    }
}

/// The name of this host, if it has one that can be in a certificate.
pub(super) fn host_name() -> Option<String> {
    let name = gethostname::gethostname().into_string().ok();
    name.filter(|name| is_name(name))
}

/// The names that every server certificate has, and those asked for.
fn server_names(san: &[String], limits: Option<&Limits>) -> Result<Vec<SanType>, CertError> {
    let permitted = |name: &str| limits.is_none_or(|limits| limits.permit(name));
    let host = host_name().filter(|name| permitted(name));
    let always = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names = Vec::new();
    for name in always.into_iter().chain(host).chain(san.iter().cloned()) {
        let name = match san_type(&name) {
            Some(_) if !permitted(&name) => return Err(CertError::NotPermitted { name }),
            Some(kind) => kind,
            None => return Err(CertError::San { name }),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn san_type(name: &str) -> Option<SanType> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(SanType::IpAddress(address));
    }
    if !is_name(name) {
        return None;
    }
    name.try_into().ok().map(SanType::DnsName)
}

/// A host name, also one whose first label is a wildcard.
pub(super) fn is_name(name: &str) -> bool {
    ServerName::try_from(name.strip_prefix("*.").unwrap_or(name)).is_ok()
}

fn is_valid_for(
    certificate: &X509Certificate<'_>,
    der: &CertificateDer<'_>,
    name: &str,
) -> Result<bool, CertError> {
    if san_type(name).is_none() {
        return Err(CertError::San {
            name: name.to_owned(),
        });
    }
    let Ok(server_name) = ServerName::try_from(name) else {
        return Ok(has_literally(certificate, name));
    };
    let parsed = ParsedCertificate::try_from(der);
    Ok(parsed.is_ok_and(|parsed| verify_server_name(&parsed, &server_name).is_ok()))
}

/// A name with a wildcard is not one that a client could ask for, so it is compared as text.
fn has_literally(certificate: &X509Certificate<'_>, name: &str) -> bool {
    let Ok(Some(san)) = certificate.subject_alternative_name() else {
        return false;
    };
    san.value.general_names.iter().any(|general| match general {
        GeneralName::DNSName(dns) => dns.eq_ignore_ascii_case(name),
        _ => false,
    })
}

pub(super) fn now() -> OffsetDateTime {
    // The machine's own time: it is what the clients' verifiers compare with, whatever a test
    // makes of the broker's clock.
    OffsetDateTime::from(SystemTime::now())
}

fn far_end() -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(FAR_END)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_windows_takes_for_something_else_is_known() {
        for name in [
            "CON", "nul", "aux.old", "com1", "LPT9.x", "COM¹", "con ", "a:b", "a?",
        ] {
            assert!(windows_fault(name).is_some(), "{name}");
        }
        for name in ["car1", "console", "com", "com10", "lptx", "my.con", "a b"] {
            assert_eq!(windows_fault(name), None, "{name}");
        }
    }
}
