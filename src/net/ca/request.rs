//! Certificate signing requests (PKCS#10): the key that a certificate is wanted for.

use aws_lc_rs::signature::{
    ECDSA_P521_SHA256_ASN1, ECDSA_P521_SHA384_ASN1, ECDSA_P521_SHA512_ASN1, UnparsedPublicKey,
    VerificationAlgorithm,
};
use rcgen::{
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512, PKCS_RSA_SHA256,
    PublicKeyData, SignatureAlgorithm,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_EC_P256, OID_NIST_EC_P384, OID_NIST_EC_P521, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

/// Bits of the shortest key of RSA (AWS-OPS-29).
const RSA_BITS: usize = 2048;

/// Characters of a request (section 3 of the service's limits).
const LENGTH_MAX: usize = 4096;

/// The public key of a request whose signature shows that whoever asks has the private one.
pub(super) struct RequestedKey {
    bits: Vec<u8>,
    /// One of the family and the curve of the key, from which rcgen makes its SubjectPublicKeyInfo.
    algorithm: &'static SignatureAlgorithm,
}

impl RequestedKey {
    /// The key of a request in PEM; otherwise what is wrong with that.
    pub(super) fn of(request: &str) -> Result<Self, String> {
        if request.len() > LENGTH_MAX {
            return Err(format!("it is longer than {LENGTH_MAX} characters"));
        }
        let (_, block) =
            parse_x509_pem(request.as_bytes()).map_err(|_| "it is not in PEM".to_owned())?;
        if !block.label.ends_with("CERTIFICATE REQUEST") {
            return Err(format!("it is a {}", block.label));
        }
        let (_, request) = X509CertificationRequest::from_der(&block.contents)
            .map_err(|_| "it is no PKCS#10".to_owned())?;
        let key = &request.certification_request_info.subject_pki;
        let algorithm = algorithm(&request)?;
        verify(&request)?;
        Ok(Self {
            bits: key.subject_public_key.data.to_vec(),
            algorithm,
        })
    }

    pub(super) fn is_rsa(&self) -> bool {
        self.algorithm == &PKCS_RSA_SHA256
    }
}

/// What the key is for: RSA, or ECDSA on one of three curves, and nothing else.
fn algorithm(
    request: &X509CertificationRequest<'_>,
) -> Result<&'static SignatureAlgorithm, String> {
    let key = &request.certification_request_info.subject_pki;
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) if rsa.key_size() < RSA_BITS => Err(format!(
            "its key of RSA has {} bits, and {RSA_BITS} are the fewest",
            rsa.key_size()
        )),
        Ok(PublicKey::RSA(_)) => Ok(&PKCS_RSA_SHA256),
        Ok(PublicKey::EC(_)) => {
            let curve = key.algorithm.parameters.as_ref();
            let curve = curve.and_then(|curve| curve.as_oid().ok());
            match curve {
                Some(curve) if curve == OID_EC_P256 => Ok(&PKCS_ECDSA_P256_SHA256),
                Some(curve) if curve == OID_NIST_EC_P384 => Ok(&PKCS_ECDSA_P384_SHA384),
                Some(curve) if curve == OID_NIST_EC_P521 => Ok(&PKCS_ECDSA_P521_SHA512),
                _ => Err("its key is on none of P-256, P-384 and P-521".to_owned()),
            }
        }
        _ => Err("its key is neither one of RSA nor of ECDSA".to_owned()),
    }
}

fn verify(request: &X509CertificationRequest<'_>) -> Result<(), String> {
    let wrong = || "its signature is wrong, or of a kind that is not known".to_owned();
    let key = &request.certification_request_info.subject_pki;
    let curve = key.algorithm.parameters.as_ref();
    let curve = curve.and_then(|curve| curve.as_oid().ok());
    if curve != Some(OID_NIST_EC_P521) {
        return request.verify_signature().map_err(|_| wrong());
    }
    // The parser leaves this curve out.
    let algorithm = &request.signature_algorithm.algorithm;
    let verifier: &dyn VerificationAlgorithm = if *algorithm == OID_SIG_ECDSA_WITH_SHA256 {
        &ECDSA_P521_SHA256_ASN1
    } else if *algorithm == OID_SIG_ECDSA_WITH_SHA384 {
        &ECDSA_P521_SHA384_ASN1
    } else if *algorithm == OID_SIG_ECDSA_WITH_SHA512 {
        &ECDSA_P521_SHA512_ASN1
    } else {
        return Err(wrong());
    };
    let public = UnparsedPublicKey::new(verifier, &key.subject_public_key.data);
    let signed = request.certification_request_info.raw;
    let verified = public.verify(signed, &request.signature_value.data);
    verified.map_err(|_| wrong())
}

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}
