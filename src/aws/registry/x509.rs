//! What the registry has to know of a certificate.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use x509_parser::der_parser::asn1_rs::Oid;
use x509_parser::der_parser::oid;
use x509_parser::oid_registry::OID_KEY_TYPE_EC_PUBLIC_KEY;
use x509_parser::prelude::{FromDer as _, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::PublicKey;

use crate::auth::hex;

use super::Error;

/// Largest PEM, in characters (section 3 of the operations).
const PEM_MAX: usize = 65_536;

const RSA_BITS_MIN: usize = 2048;

/// P-256, P-384 and P-521 (AWS-TLS-08).
const CURVES: [Oid<'static>; 3] = [
    oid!(1.2.840.10045.3.1.7),
    oid!(1.3.132.0.34),
    oid!(1.3.132.0.35),
];

/// A certificate that was read.
pub(super) struct Read {
    der: Vec<u8>,
    /// SHA-256 of the DER, in lower-case hexadecimal digits (AWS-ID-01).
    pub(super) id: String,
    /// In lines of 64 characters, however it came.
    pub(super) pem: String,
    pub(super) not_before: i64,
    pub(super) not_after: i64,
    pub(super) subject: String,
    pub(super) issuer: String,
    pub(super) common_name: Option<String>,
    pub(super) is_authority: bool,
}

impl Read {
    /// Reads the first certificate of a PEM.
    ///
    /// # Errors
    ///
    /// CertificateValidation that says what is wrong.
    pub(super) fn pem(pem: &str) -> Result<Self, Error> {
        if pem.len() > PEM_MAX {
            return Err(refused(format!("it is longer than {PEM_MAX} characters")));
        }
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
            .map_err(|_| refused("it is not in PEM"))?;
        if block.label != "CERTIFICATE" && block.label != "X509 CERTIFICATE" {
            return Err(refused(format!("it is a {}", block.label)));
        }
        Self::der(block.contents)
    }

    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// CertificateValidation that says what is wrong.
    pub(super) fn der(der: Vec<u8>) -> Result<Self, Error> {
        let (rest, certificate) =
            X509Certificate::from_der(&der).map_err(|error| refused(error.to_string()))?;
        if !rest.is_empty() {
            return Err(refused("bytes follow it"));
        }
        check_key(&certificate)?;
        let constraints = certificate.basic_constraints();
        let is_authority = matches!(constraints, Ok(Some(constraints)) if constraints.value.ca);
        let common_name = certificate.subject().iter_common_name().next();
        let common_name = common_name.and_then(|name| name.as_str().ok());
        Ok(Self {
            id: hex(digest(&SHA256, &der).as_ref()),
            pem: to_pem(&der),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            common_name: common_name.map(str::to_owned),
            is_authority,
            der,
        })
    }

    /// Whether this certificate's issuer is that one, and signed it.
    pub(super) fn is_signed_by(&self, issuer: &Self) -> bool {
        let parsed = |der| X509Certificate::from_der(der).map(|(_, certificate)| certificate);
        let (Ok(own), Ok(issuer)) = (parsed(&self.der), parsed(&issuer.der)) else {
            return false; // both were parsed before
        };
        own.issuer().as_raw() == issuer.subject().as_raw()
            && own.verify_signature(Some(issuer.public_key())).is_ok()
    }
}

fn refused(why: impl std::fmt::Display) -> Error {
    Error::CertificateValidation(format!("The certificate cannot be taken: {why}."))
}

fn check_key(certificate: &X509Certificate<'_>) -> Result<(), Error> {
    let key = certificate.public_key();
    let algorithm = &key.algorithm;
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() >= RSA_BITS_MIN => Ok(()),
        Ok(PublicKey::EC(_)) if algorithm.algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY => {
            let curve = algorithm.parameters.as_ref();
            let curve = curve.and_then(|parameters| parameters.as_oid().ok());
            match curve.is_some_and(|curve| CURVES.contains(&curve)) {
                true => Ok(()),
                false => Err(refused("its key is on none of P-256, P-384 and P-521")),
            }
        }
        Ok(PublicKey::RSA(rsa)) => Err(refused(format!(
            "its RSA key has {} bits, fewer than {RSA_BITS_MIN}",
            rsa.key_size()
        ))),
        _ => Err(refused("its key is neither RSA nor ECDSA")),
    }
}

/// The RSA key in a PEM, in DER.
///
/// # Errors
///
/// What is wrong with it.
pub(crate) fn rsa_public_key(pem: &str) -> Result<Vec<u8>, String> {
    let read = x509_parser::pem::parse_x509_pem(pem.as_bytes());
    let (_, block) = read.map_err(|_| "it is not in PEM")?;
    if block.label != "PUBLIC KEY" {
        return Err(format!("it is a {}", block.label));
    }
    let key = SubjectPublicKeyInfo::from_der(&block.contents);
    let (_, key) = key.map_err(|error| error.to_string())?;
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() >= RSA_BITS_MIN => Ok(block.contents),
        Ok(PublicKey::RSA(rsa)) => Err(format!(
            "it has {} bits, fewer than {RSA_BITS_MIN}",
            rsa.key_size()
        )),
        _ => Err("it is no RSA key".to_owned()),
    }
}

fn to_pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, behind) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = behind;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
