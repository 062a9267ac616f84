//! Client certificates whose subject says a field several times, which `rcgen` does not write.

use std::path::Path;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use x509_parser::pem::parse_x509_pem;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const UTF8_STRING: u8 = 0x0c;
const UTC_TIME: u8 = 0x17;

/// ecdsa-with-SHA256, as the object identifier that it is.
const ALGORITHM: [u8; 10] = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// The authority of a broker.
pub(super) struct Issuer {
    /// DER.
    name: Vec<u8>,
    key: KeyPair,
}

impl Issuer {
    /// The one in a folder of certificates.
    pub(super) fn open(folder: &Path) -> Self {
        let read = |name| std::fs::read_to_string(folder.join(name)).expect("a file of the broker");
        let (_, pem) = parse_x509_pem(read("ca.pem").as_bytes()).expect("PEM");
        let ca = pem.parse_x509().expect("a certificate");
        Self {
            name: ca.subject().as_raw().to_vec(),
            key: KeyPair::from_pem(&read("ca.key")).expect("a key"),
        }
    }

    /// A certificate, PEM, for a key and a subject.
    pub(super) fn issue<'s>(
        &self,
        subject: impl Iterator<Item = (&'s str, &'s str)>,
        key: &KeyPair,
    ) -> String {
        let algorithm = element(SEQUENCE, &[&ALGORITHM]);
        let date = |text: &str| element(UTC_TIME, &[text.as_bytes()]);
        let fields: Vec<_> = subject
            .map(|(field, value)| attribute(field, value))
            .collect();
        let fields: Vec<&[u8]> = fields.iter().map(Vec::as_slice).collect();
        let signed = element(
            SEQUENCE,
            &[
                // Version 3.
                &[0xa0, 3, INTEGER, 1, 2],
                &element(INTEGER, &[&serial()]),
                &algorithm,
                &self.name,
                &element(SEQUENCE, &[&date("200101000000Z"), &date("491231235959Z")]),
                &element(SEQUENCE, &fields),
                &key.subject_public_key_info(),
            ],
        );
        let signature = self.key.sign(&signed).expect("a signature");
        let der = element(
            SEQUENCE,
            &[
                &signed,
                &algorithm,
                &element(BIT_STRING, &[&[0], &signature]),
            ],
        );
        let text = BASE64_STANDARD.encode(der);
        format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
    }
}

/// A positive number of 16 bytes.
fn serial() -> [u8; 16] {
    let mut bytes = uuid::Uuid::new_v4().into_bytes();
    bytes[0] = bytes[0] & 0x7f | 0x40;
    bytes
}

/// A relative distinguished name of one attribute.
fn attribute(field: &str, value: &str) -> Vec<u8> {
    let number = match field {
        "CommonName" => 3,
        "Organization" => 10,
        other => panic!("no number for {other}"),
    };
    let identifier = [6, 3, 0x55, 4, number];
    let value = element(UTF8_STRING, &[value.as_bytes()]);
    element(SET, &[&element(SEQUENCE, &[&identifier, &value])])
}

/// An element of DER.
fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let content = contents.concat();
    let length = u16::try_from(content.len())
        .expect("a short element")
        .to_be_bytes();
    let head = match (length, content.len()) {
        ([_, low], ..=0x7f) => vec![tag, low],
        ([_, low], ..=0xff) => vec![tag, 0x81, low],
        ([high, low], _) => vec![tag, 0x82, high, low],
    };
    [head, content].concat()
}
