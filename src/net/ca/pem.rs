//! Reading PEM, and saying in plain words why a file is none that could be used.

use std::path::Path;

use rustls::pki_types::pem::{Error as PemItemError, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{CertError, files};

/// Why a file holds no certificate or key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum PemError {
    #[error("the file is empty")]
    Empty,
    #[error("it is binary and not PEM; if it is DER, `openssl {command} -inform der` converts it")]
    Binary { command: &'static str },
    #[error("it is no PEM: there is no line `-----BEGIN {wanted}-----`")]
    NoBlock { wanted: &'static str },
    #[error("it holds {found}, and no {wanted}")]
    WrongBlock { found: String, wanted: &'static str },
    #[error(
        "the private key is encrypted, and there is nobody to ask for its password: \
         `openssl pkey -in FILE -out NEW` writes it without one"
    )]
    Encrypted,
    #[error("its PEM is broken: {reason}")]
    Broken { reason: String },
    #[error("number {number} of its certificates cannot be understood: {reason}")]
    NoCertificate { number: usize, reason: String },
}

/// What is looked for in a file.
struct Wanted {
    name: &'static str,
    label: &'static str,
    /// The command of openssl that converts one.
    command: &'static str,
}

const CERTIFICATE: Wanted = Wanted {
    name: "certificate",
    label: "CERTIFICATE",
    command: "x509",
};

const PRIVATE_KEY: Wanted = Wanted {
    name: "private key",
    label: "PRIVATE KEY",
    command: "pkey",
};

/// The certificates in a file, at least one, each of which can be parsed.
pub(in crate::net) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CertError> {
    let bytes = files::read(path)?;
    parse_certificates(&bytes).map_err(|error| CertError::invalid(path, error))
}

/// The private key in a file.
pub(in crate::net) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, CertError> {
    let bytes = files::read(path)?;
    parse_private_key(&bytes).map_err(|error| CertError::invalid(path, error))
}

fn parse_certificates(bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(broken)?;
    if found.is_empty() {
        return Err(diagnose(bytes, &CERTIFICATE));
    }
    for (index, der) in found.iter().enumerate() {
        X509Certificate::from_der(der).map_err(|error| PemError::NoCertificate {
            number: index + 1,
            reason: error.to_string(),
        })?;
    }
    Ok(found)
}

fn parse_private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, PemError> {
    // How OpenSSL's older format marks it, in lines that are not base64.
    if contains(bytes, b"Proc-Type: 4,ENCRYPTED") {
        return Err(PemError::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        PemItemError::NoItemsFound => diagnose(bytes, &PRIVATE_KEY),
        error => broken(error),
    })
}

/// Why nothing of the kind was found.
fn diagnose(bytes: &[u8], wanted: &Wanted) -> PemError {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return PemError::Empty;
    }
    let labels = labels(bytes);
    if wanted.label == PRIVATE_KEY.label && labels.iter().any(|label| label.contains("ENCRYPTED")) {
        return PemError::Encrypted;
    }
    if let Some(label) = labels.first() {
        return PemError::WrongBlock {
            found: kind(label),
            wanted: wanted.name,
        };
    }
    if std::str::from_utf8(bytes).is_err() {
        return PemError::Binary {
            command: wanted.command,
        };
    }
    PemError::NoBlock {
        wanted: wanted.label,
    }
}

/// The labels of the blocks in a file, each as far as it can be the label of anything.
fn labels(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let starts = text.lines().filter_map(|line| {
        let label = line.trim().strip_prefix("-----BEGIN ")?;
        Some(label.trim_end_matches('-').trim())
    });
    starts
        .map(|label| label.chars().take(40).collect())
        .collect()
}

/// What a block holds, in words.
fn kind(label: &str) -> String {
    let words = match label {
        "CERTIFICATE" => "a certificate",
        "TRUSTED CERTIFICATE" => "a certificate in a format of OpenSSL's own",
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => "a request for a certificate",
        "X509 CRL" => "a list of revoked certificates",
        "PUBLIC KEY" | "RSA PUBLIC KEY" => "a public key",
        "EC PARAMETERS" | "DH PARAMETERS" => "parameters of a key",
        "OPENSSH PRIVATE KEY" => "a key in the format of OpenSSH",
        "PKCS7" | "CMS" => "a PKCS #7 container",
        label if label.ends_with("PRIVATE KEY") => "a private key",
        _ => "something else",
    };
    format!("{words} (`{label}`)")
}

fn broken(error: PemItemError) -> PemError {
    let reason = match error {
        PemItemError::MissingSectionEnd { end_marker } => {
            let marker = String::from_utf8_lossy(&end_marker);
            format!("there is no line `-----END {}-----`", marker.trim())
        }
        PemItemError::IllegalSectionStart { .. } => {
            "a line that begins a block is not complete".to_owned()
        }
        PemItemError::Base64Decode(_) => "what is between BEGIN and END is not base64".to_owned(),
        error => error.to_string(),
    };
    PemError::Broken { reason }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(label: &str) -> String {
        format!("-----BEGIN {label}-----\nMAAwAA==\n-----END {label}-----\n")
    }

    #[test]
    fn what_is_no_key_is_named_as_what_it_is() {
        let cut = "-----BEGIN PRIVATE KEY-----\nMAAwAA==\n";
        let garbage = "-----BEGIN PRIVATE KEY-----\n%%%%\n-----END PRIVATE KEY-----\n";
        let old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
            DEK-Info: AES-128-CBC,00\n\nMAAwAA==\n-----END RSA PRIVATE KEY-----\n";
        for (text, words) in [
            ("", "empty"),
            (" \n", "empty"),
            ("secret", "`-----BEGIN PRIVATE KEY-----`"),
            (&block("CERTIFICATE"), "a certificate (`CERTIFICATE`)"),
            (&block("PUBLIC KEY"), "a public key"),
            (&block("OPENSSH PRIVATE KEY"), "OpenSSH"),
            (&block("EC PARAMETERS"), "parameters"),
            (&block("ENCRYPTED PRIVATE KEY"), "encrypted"),
            (old, "encrypted"),
            (cut, "`-----END PRIVATE KEY-----`"),
            (garbage, "not base64"),
        ] {
            let message = parse_private_key(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
            assert!(!message.contains("MAAw") && !message.contains("secret"));
        }
        let message = parse_private_key(b"\x30\x82\xff").unwrap_err().to_string();
        assert!(message.contains("openssl pkey -inform der"), "{message}");
    }

    #[test]
    fn what_is_no_certificate_is_named_as_what_it_is() {
        for (text, words) in [
            ("", "empty"),
            ("hello", "`-----BEGIN CERTIFICATE-----`"),
            (&block("PRIVATE KEY"), "a private key"),
            (&block("CERTIFICATE REQUEST"), "a request"),
            (&block("CERTIFICATE"), "number 1"),
            (&block("\u{1b}[2J"), "something else"),
        ] {
            let message = parse_certificates(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
        let message = parse_certificates(b"\x30\x82\xff").unwrap_err().to_string();
        assert!(message.contains("openssl x509 -inform der"), "{message}");
    }
}
