//! Certificates of clients (AWS-API-05 to -14).

use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::registry::{Certificate, Draft, RegisterStatus, Resource, State};

use super::call::{Call, listed, seconds, with_marker};
use super::host::Host;
use super::operation::{Answered, Operation};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 8] = [
    Operation::issue(
        "CreateKeysAndCertificate",
        "POST /keys-and-certificate",
        create_keys_and_certificate,
    )
    .differs("The issuer is the authority of `--certs`."),
    Operation::issue(
        "CreateCertificateFromCsr",
        "POST /certificates",
        create_certificate_from_csr,
    )
    .differs("The issuer is the authority of `--certs`."),
    Operation::change(
        "RegisterCertificate",
        "POST /certificate/register",
        register_certificate,
    ),
    Operation::change(
        "RegisterCertificateWithoutCA",
        "POST /certificate/register-no-ca",
        register_certificate_without_ca,
    ),
    Operation::read(
        "DescribeCertificate",
        "GET /certificates/{certificateId}",
        describe_certificate,
    ),
    Operation::change(
        "UpdateCertificate",
        "PUT /certificates/{certificateId}",
        update_certificate,
    )
    .differs("Connections of a certificate that is not ACTIVE any more end at once."),
    Operation::change(
        "DeleteCertificate",
        "DELETE /certificates/{certificateId}",
        delete_certificate,
    ),
    Operation::read("ListCertificates", "GET /certificates", list_certificates),
];

#[cfg(feature = "tls")]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CsrBody {
    certificate_signing_request: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RegistrationBody {
    certificate_pem: String,
    ca_certificate_pem: Option<String>,
    status: Option<String>,
}

/// What the service names the subject of the certificates that it issues (AWS-OPS-30).
#[cfg(feature = "tls")]
const SUBJECT: &str = "AWS IoT Certificate";

#[cfg(feature = "tls")]
fn create_keys_and_certificate(host: &Host, call: &Call) -> Answered {
    let is_active = call.flag("setAsActive")?;
    let issued = signer(host)?.issue_pem(SUBJECT, crate::KeyKind::Rsa);
    let issued = issued.map_err(|error| Refusal::invalid(error.to_string()))?;
    let keys = issued.rsa_keys();
    let keys = keys.map_err(|error| Refusal::invalid(error.to_string()))?;
    let mut answer = create(host, &issued.certificate, is_active)?;
    answer["keyPair"] = json!({ "PublicKey": keys.public, "PrivateKey": keys.private });
    Ok(answer)
}

#[cfg(feature = "tls")]
fn create_certificate_from_csr(host: &Host, call: &Call) -> Answered {
    let is_active = call.flag("setAsActive")?;
    let body: CsrBody = call.body()?;
    let signed = signer(host)?.sign(SUBJECT, &body.certificate_signing_request);
    let signed = signed.map_err(|error| Refusal::invalid(error.to_string()))?;
    create(host, &signed, is_active)
}

#[cfg(feature = "tls")]
fn signer(host: &Host) -> Result<&crate::net::ca::Signer, Refusal> {
    host.signer().ok_or_else(|| {
        Refusal::invalid(
            "This broker issues no certificates: it has no listener with TLS, or a PKI of one's own \
             (--server-cert).",
        )
    })
}

/// Registers what was issued.
#[cfg(feature = "tls")]
fn create(host: &Host, pem: &str, is_active: bool) -> Answered {
    host.change(|draft| {
        let certificate = draft.create_certificate(pem, is_active)?;
        Ok(json!({
            "certificateArn": arn(draft, &certificate.id),
            "certificateId": certificate.id,
            "certificatePem": &*certificate.pem,
        }))
    })
}

#[cfg(not(feature = "tls"))]
use self::issue_nothing as create_certificate_from_csr;
#[cfg(not(feature = "tls"))]
use self::issue_nothing as create_keys_and_certificate;

#[cfg(not(feature = "tls"))]
fn issue_nothing(_: &Host, _: &Call) -> Answered {
    let error = "This broker issues no certificates: it was built without TLS.";
    Err(Refusal::invalid(error))
}

fn arn(state: &State, id: &str) -> String {
    state.arn(&Resource::Certificate(id.to_owned()))
}

/// The status that a certificate is registered with; ACTIVE if it is asked for in either way.
fn status_of(call: &Call, status: Option<&str>) -> Result<RegisterStatus, Refusal> {
    match status {
        Some(status) => parse_status("status", status),
        None if call.flag("setAsActive")? => Ok(RegisterStatus::Active),
        None => Ok(RegisterStatus::Inactive),
    }
}

/// A status that somebody can ask for (AWS-API-13).
fn parse_status(member: &str, text: &str) -> Result<RegisterStatus, Refusal> {
    match text {
        "ACTIVE" => Ok(RegisterStatus::Active),
        "INACTIVE" => Ok(RegisterStatus::Inactive),
        "REVOKED" => Ok(RegisterStatus::Revoked),
        "PENDING_TRANSFER" | "PENDING_ACTIVATION" | "REGISTER_INACTIVE" => Err(Refusal::invalid(
            format!("Status {text} cannot be asked for: it is set by the service only."),
        )),
        _ => Err(Refusal::constraint(
            member,
            Some(text),
            "satisfy enum value set: [ACTIVE, INACTIVE, REVOKED, PENDING_TRANSFER, REGISTER_INACTIVE, \
             PENDING_ACTIVATION]",
        )),
    }
}

fn register_certificate(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: RegistrationBody = call.body()?;
    let status = status_of(call, body.status.as_deref())?;
    let ca = body.ca_certificate_pem.as_deref();
    let registered = draft.register_certificate(&body.certificate_pem, ca, status)?;
    Ok(registered_as(draft, &registered))
}

fn register_certificate_without_ca(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: RegistrationBody = call.body()?;
    let status = status_of(call, body.status.as_deref())?;
    let registered = draft.register_certificate_without_ca(&body.certificate_pem, status)?;
    Ok(registered_as(draft, &registered))
}

fn registered_as(state: &State, certificate: &Certificate) -> Value {
    json!({
        "certificateArn": arn(state, &certificate.id),
        "certificateId": certificate.id,
    })
}

fn describe_certificate(state: &State, call: &Call) -> Answered {
    let certificate = state.describe_certificate(call.path("certificateId"))?;
    Ok(json!({
        "certificateDescription": {
            "certificateArn": arn(state, &certificate.id),
            "certificateId": certificate.id,
            "caCertificateId": certificate.ca,
            "status": certificate.status,
            "certificatePem": &*certificate.pem,
            "ownedBy": state.scope().account,
            "creationDate": seconds(certificate.created),
            "lastModifiedDate": seconds(certificate.modified),
            "customerVersion": certificate.version,
            "transferData": {},
            "generationId": certificate.generation,
            "validity": validity(certificate.not_before, certificate.not_after),
            "certificateMode": certificate.mode,
        },
    }))
}

/// From when to when a certificate is valid.
pub(super) fn validity(not_before: i64, not_after: i64) -> Value {
    json!({ "notBefore": not_before, "notAfter": not_after })
}

fn update_certificate(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let status = call.text("newStatus");
    let status = status.ok_or_else(|| Refusal::missing("newStatus"))?;
    let status = parse_status("newStatus", status)?;
    draft.update_certificate(call.path("certificateId"), status)?;
    Ok(Value::Null)
}

fn delete_certificate(draft: &mut Draft<'_>, call: &Call) -> Answered {
    draft.delete_certificate(call.path("certificateId"), call.flag("forceDelete")?)?;
    Ok(Value::Null)
}

fn list_certificates(state: &State, call: &Call) -> Answered {
    let certificates = state.list_certificates(call.dated_page()?)?;
    let certificates = certificates.map(|certificate| in_list(state, &certificate));
    Ok(listed(with_marker("certificates"), certificates))
}

/// A certificate as lists show it.
pub(super) fn in_list(state: &State, certificate: &Certificate) -> Value {
    json!({
        "certificateArn": arn(state, &certificate.id),
        "certificateId": certificate.id,
        "status": certificate.status,
        "certificateMode": certificate.mode,
        "creationDate": seconds(certificate.created),
    })
}
