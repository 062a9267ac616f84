//! Why a TLS handshake failed, in words that say what the client did and what to change. The log and the journal
//! have the same.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::config::Config;

use super::watched::Came;

/// Why there was no handshake at the listener of this name, whose client sent what `came`.
pub(crate) fn why_none(error: &io::Error, came: Came, listener: &str, config: &Config) -> String {
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<Error>());
    // At these nobody is to get in.
    let has_fault = listener.starts_with("bad-tls:");
    let advised = |words: String, advice: String| match has_fault {
        true => words,
        false => format!("{words}: {advice}"),
    };
    let Some(cause) = cause else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe => {
                let words = "the client closed the connection in the middle of it".to_owned();
                match came {
                    Came::Nothing => format!("{words}, having sent nothing"),
                    Came::Answered => {
                        advised(words, format!("perhaps it {}", not_trusting(config)))
                    }
                    _ => words,
                }
            }
            _ => error.to_string(),
        };
    };
    match (cause, came) {
        (Error::InvalidMessage(_), Came::Other(Some(spoken))) => {
            spoken.at_tls(listener, &config.listeners)
        }
        (Error::InvalidMessage(_), Came::Other(None))
        | (Error::InvalidMessage(InvalidMessage::InvalidContentType), _) => {
            "what the client sends is no TLS".to_owned()
        }
        (Error::PeerIncompatible(_), Came::Old(version)) => {
            format!(
                "the client offers {version} at best, and here {} spoken",
                spoken_versions(listener)
            )
        }
        // The only sign of it that the library gives: it was not to have the certificate.
        (Error::General(text), _) if text == "no server certificate chain resolved" => {
            "the client names no server (SNI), or one that is not in the server's certificate"
                .to_owned()
        }
        (Error::PeerIncompatible(cause), _) => incompatible(cause, listener),
        (Error::NoApplicationProtocol, _) => no_protocol(),
        (Error::NoCertificatesPresented, _) => format!(
            "the client shows no certificate, and has to here: give it one that is trusted here with its private \
             key{}",
            match listener {
                // What the service asks for there cannot be changed.
                "https" => "",
                _ => ", or do not ask for one (`client_cert`)",
            }
        ),
        (Error::InvalidCertificate(error), _) => {
            format!("the client's certificate: {}", certificate_words(error))
        }
        (Error::AlertReceived(alert), _) => {
            let (words, advice) = alert_words(*alert, config);
            match advice {
                Some(advice) => advised(words, advice),
                None => words,
            }
        }
        _ => cause.to_string(),
    }
}

/// What a client with other protocols is told. Only the door for everything looks at them.
fn no_protocol() -> String {
    let words = "no protocol that the client offers (ALPN) is spoken here".to_owned();
    #[cfg(feature = "doors")]
    let words = words + &format!(": offer {}, or none", crate::net::doors::ALPN.join(", "));
    words
}

/// What would be taken.
fn spoken_versions(listener: &str) -> &'static str {
    match listener {
        "bad-tls:tls1.2-only" => "TLS 1.2 is",
        "bad-tls:tls1.3-only" => "TLS 1.3 is",
        _ => "TLS 1.2 and 1.3 are",
    }
}

/// What of TLS client and server do not have in common.
fn incompatible(cause: &PeerIncompatible, listener: &str) -> String {
    match cause {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::SupportedVersionsExtensionRequired => {
            format!("no version of TLS that the client offers is spoken here: {}", spoken_versions(listener))
        }
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::KeyShareExtensionRequired => {
            "no cipher suite that the client offers is spoken here: TLS 1.2 takes ECDHE with AES-GCM or \
             ChaCha20-Poly1305 and a signature by the kind of key that the server has (ECDSA or RSA), TLS 1.3 its \
             own"
            .to_owned()
        }
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => {
            "no signature that the client offers goes with the server's key, which is ECDSA or RSA with SHA-256 or \
             longer"
                .to_owned()
        }
        other => format!("the client's TLS lacks what is needed here ({other:?})"),
    }
}

/// What a client said with an alert, and what to do about it.
fn alert_words(alert: AlertDescription, config: &Config) -> (String, Option<String>) {
    let refuses = |name: &str| format!("the client refuses the server's certificate ({name})");
    match alert {
        AlertDescription::UnknownCA => (
            "the client does not trust the authority of the server's certificate".to_owned(),
            Some(trusting(config)),
        ),
        AlertDescription::BadCertificate => (
            refuses("bad_certificate"),
            Some(format!("it {}", not_trusting(config))),
        ),
        AlertDescription::CertificateUnknown => (
            refuses("certificate_unknown"),
            Some(format!("it {}", not_trusting(config))),
        ),
        AlertDescription::CertificateExpired => (refuses("certificate_expired"), None),
        AlertDescription::UnsupportedCertificate => (refuses("unsupported_certificate"), None),
        AlertDescription::ProtocolVersion => (
            "the client takes none of the versions of TLS that are spoken here".to_owned(),
            None,
        ),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => (
            format!("the client takes none of the algorithms that are spoken here ({alert:?})"),
            None,
        ),
        AlertDescription::CloseNotify | AlertDescription::UserCanceled => (
            "the client broke off the handshake".to_owned(),
            Some(format!("perhaps it {}", not_trusting(config))),
        ),
        _ => (
            format!("the client ended it with the alert {alert:?}"),
            None,
        ),
    }
}

/// What is the matter with a client that refuses a certificate and does not say why.
fn not_trusting(config: &Config) -> String {
    format!(
        "does not trust the authority of the server's certificate ({}), or connects by a name that is not in it \
         (`san` adds one)",
        trusting(config)
    )
}

/// What a client is given so that it trusts the server.
fn trusting(config: &Config) -> String {
    let tls = &config.tls;
    match (&tls.server_cert, tls.in_memory) {
        (Some(certificate), _) => format!(
            "give it the certificate of the authority that issued `{}`",
            certificate.display()
        ),
        (None, true) => "give it the broker's `ca_pem`".to_owned(),
        (None, false) => format!("give it `{}`", tls.certs.join("ca.pem").display()),
    }
}

/// What is wrong with a certificate.
pub(super) fn certificate_words(error: &CertificateError) -> String {
    match error {
        // The only sign of it that the library gives.
        CertificateError::Other(other) if other.0.to_string() == "UnsupportedCertVersion" => {
            "it is of X.509 version 1, and TLS takes version 3 only: issue it with an extension, as \
             `openssl x509 -req -extfile FILE` does"
                .to_owned()
        }
        CertificateError::UnknownIssuer => {
            "no authority that is trusted here issued it: perhaps one of another folder did, or one \
             from before its folder was made anew"
                .to_owned()
        }
        CertificateError::BadSignature => {
            "no authority that is trusted here issued it, but another of the same name".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for this purpose (Extended Key Usage): a client's needs clientAuth, a server's \
             serverAuth"
                .to_owned()
        }
        error => error.to_string(),
    }
}
