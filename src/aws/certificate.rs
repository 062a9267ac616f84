//! A client's certificate as policies see it (AWS-POL-21, -22).

use std::net::IpAddr;

use x509_parser::der_parser::Oid;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{
    OID_X509_COMMON_NAME, OID_X509_COUNTRY_NAME, OID_X509_DN_QUALIFIER,
    OID_X509_GENERATION_QUALIFIER, OID_X509_GIVEN_NAME, OID_X509_INITIALS,
    OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT, OID_X509_SERIALNUMBER,
    OID_X509_STATE_OR_PROVINCE_NAME, OID_X509_SURNAME, OID_X509_TITLE,
};
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate, X509Name};

use crate::auth::hex;
use crate::policy::Certificate;

/// Attributes of a name, and what policies call them.
const ATTRIBUTES: [(Oid<'static>, &str); 12] = [
    (OID_X509_COMMON_NAME, "CommonName"),
    (OID_X509_COUNTRY_NAME, "Country"),
    (OID_X509_ORGANIZATION_NAME, "Organization"),
    (OID_X509_ORGANIZATIONAL_UNIT, "OrganizationalUnit"),
    (OID_X509_STATE_OR_PROVINCE_NAME, "State"),
    (OID_X509_SERIALNUMBER, "SerialNumber"),
    (OID_X509_TITLE, "Title"),
    (OID_X509_SURNAME, "Surname"),
    (OID_X509_GIVEN_NAME, "GivenName"),
    (OID_X509_INITIALS, "Initials"),
    (OID_X509_GENERATION_QUALIFIER, "GenerationQualifier"),
    (OID_X509_DN_QUALIFIER, "DistinguishedNameQualifier"),
];

/// The fields of the certificate in `pem`, whose id is `id`. What cannot be read has no value.
pub(crate) fn as_policies_see(id: &str, pem: &str) -> Certificate {
    let own = Certificate::new(id);
    let Ok((_, block)) = x509_parser::pem::parse_x509_pem(pem.as_bytes()) else {
        return own;
    };
    let Ok((_, parsed)) = X509Certificate::from_der(&block.contents) else {
        return own;
    };
    let mut fields = vec![("SerialNumber".to_owned(), serial(&parsed))];
    name("Subject", parsed.subject(), &mut fields);
    name("Issuer", parsed.issuer(), &mut fields);
    for extension in parsed.extensions() {
        let (side, names) = match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => ("Subject", &names.general_names),
            ParsedExtension::IssuerAlternativeName(names) => ("Issuer", &names.general_names),
            _ => continue,
        };
        fields.extend(names.iter().filter_map(|name| alternative(side, name)));
    }
    fields.into_iter().fold(own, |certificate, (field, value)| {
        let unchanged = certificate.clone();
        certificate.with(&field, &value).unwrap_or(unchanged)
    })
}

/// The serial number in hexadecimal digits.
fn serial(certificate: &X509Certificate<'_>) -> String {
    hex(certificate.raw_serial())
}

fn name(side: &str, name: &X509Name<'_>, fields: &mut Vec<(String, String)>) {
    for (oid, attribute) in &ATTRIBUTES {
        let values = name
            .iter_by_oid(oid)
            .filter_map(|value| value.as_str().ok());
        fields.extend(values.map(|value| (format!("{side}.{attribute}"), value.to_owned())));
    }
}

fn alternative(side: &str, name: &GeneralName<'_>) -> Option<(String, String)> {
    let (kind, value) = match name {
        GeneralName::RFC822Name(value) => ("RFC822Name", (*value).to_owned()),
        GeneralName::DNSName(value) => ("DNSName", (*value).to_owned()),
        GeneralName::DirectoryName(value) => ("DirectoryName", value.to_string()),
        GeneralName::URI(value) => ("UniformResourceIdentifier", (*value).to_owned()),
        GeneralName::IPAddress(bytes) => ("IPAddress", ip_address(bytes)?.to_string()),
        _ => return None,
    };
    Some((format!("{side}.AlternativeName.{kind}"), value))
}

fn ip_address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}
