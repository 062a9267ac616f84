//! Server certificates with something wrong about them, for clients that are to notice. They are in no file.

use rcgen::{CertificateParams, CustomExtension, DnType, Issuer, KeyPair, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::Duration;

use super::certificate::{SERVER_VALIDITY, as_leaf, authority_named, key_pair, now, server_params};
use super::limits::Limits;
use super::{CertError, KeyKind};
use crate::config::BadTls;

/// The only name of a certificate that is for another host. An authority with limits may sign for it, too.
const WRONG_HOST: &str = "wrong-host.localhost";

/// The extension of a free text, which no verifier looks at: Netscape's comment.
const COMMENT: &[u64] = &[2, 16, 840, 1, 113_730, 1, 13];

/// Bytes of that text in a large certificate.
const COMMENT_SIZE: usize = 40 * 1024;

/// A server's certificate, those behind it, and its private key.
pub(crate) struct Faulty {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

/// Makes the certificate that has this fault; `None` where the fault is not in the certificate.
///
/// # Errors
///
/// A fault of a certificate that the broker's authority has to issue, without one; and those of any server's
/// certificate.
pub(super) fn server(
    kind: BadTls,
    san: &[String],
    authority: Option<(&Issuer<'_, KeyPair>, Option<&Limits>)>,
) -> Result<Option<Faulty>, CertError> {
    let limits = authority.and_then(|(_, limits)| limits);
    let mut params = server_params(san, limits)?;
    as_leaf(&mut params, false);
    let unknown;
    let issuer = match kind {
        BadTls::UnknownCa => {
            unknown = authority_named("Unknown CA", None)?.1;
            &unknown
        }
        BadTls::SelfSigned => return self_signed(&mut params).map(Some),
        BadTls::Expired => {
            params.not_before = now() - SERVER_VALIDITY;
            params.not_after = now() - Duration::DAY;
            issuer(authority)?
        }
        BadTls::NotYetValid => {
            params.not_before = now() + Duration::days(365);
            params.not_after = params.not_before + SERVER_VALIDITY;
            issuer(authority)?
        }
        BadTls::WrongHost => {
            params
                .distinguished_name
                .push(DnType::CommonName, WRONG_HOST);
            params.subject_alt_names = vec![SanType::DnsName(WRONG_HOST.try_into()?)];
            issuer(authority)?
        }
        BadTls::LargeChain => {
            params.custom_extensions.push(comment());
            issuer(authority)?
        }
        BadTls::Tls12Only | BadTls::Tls13Only | BadTls::RejectClient | BadTls::NoCloseNotify => {
            return Ok(None);
        }
    };
    let key = key_pair(KeyKind::Ecdsa)?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(Some(faulty(&certificate, &key)))
}

fn issuer<'a, 'i>(
    authority: Option<(&'a Issuer<'i, KeyPair>, Option<&Limits>)>,
) -> Result<&'a Issuer<'i, KeyPair>, CertError> {
    let (issuer, _) = authority.ok_or(CertError::NoAuthority)?;
    Ok(issuer)
}

fn self_signed(params: &mut CertificateParams) -> Result<Faulty, CertError> {
    // It is its own authority, whose key identifier says nothing more.
    params.use_authority_key_identifier_extension = false;
    let key = key_pair(KeyKind::Ecdsa)?;
    Ok(faulty(&params.self_signed(&key)?, &key))
}

fn faulty(certificate: &rcgen::Certificate, key: &KeyPair) -> Faulty {
    Faulty {
        chain: vec![certificate.der().clone()],
        key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
    }
}

/// A free text of [`COMMENT_SIZE`] bytes, as an IA5String.
fn comment() -> CustomExtension {
    const IA5_STRING: u8 = 0x16;
    /// Two bytes of length follow.
    const LONG_FORM: u8 = 0x82;
    let size = u16::try_from(COMMENT_SIZE).unwrap_or(u16::MAX);
    let mut content = vec![IA5_STRING, LONG_FORM];
    content.extend(size.to_be_bytes());
    content.resize(content.len() + usize::from(size), b'.');
    CustomExtension::from_oid_content(COMMENT, content)
}
