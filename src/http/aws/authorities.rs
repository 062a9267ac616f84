//! Certificates of authorities, and the code that shows whose they are (AWS-API-09, -10).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::aws::registry::{
    CaCertificate, CaUpdate, CertificateMode, Draft, NewCa, RegistrationConfig, Resource, State,
};

use super::call::{Call, Tag, by_key, listed, seconds, with_marker};
use super::certificates::{in_list, validity};
use super::operation::{Answered, Operation};
use super::refusal::Refusal;

pub(super) const OPERATIONS: [Operation; 8] = [
    Operation::change(
        "GetRegistrationCode",
        "GET /registrationcode",
        get_registration_code,
    ),
    Operation::change(
        "DeleteRegistrationCode",
        "DELETE /registrationcode",
        delete_registration_code,
    ),
    Operation::change(
        "RegisterCACertificate",
        "POST /cacertificate",
        register_ca_certificate,
    ),
    Operation::read(
        "DescribeCACertificate",
        "GET /cacertificate/{caCertificateId}",
        describe_ca_certificate,
    ),
    Operation::change(
        "UpdateCACertificate",
        "PUT /cacertificate/{caCertificateId}",
        update_ca_certificate,
    ),
    Operation::change(
        "DeleteCACertificate",
        "DELETE /cacertificate/{caCertificateId}",
        delete_ca_certificate,
    ),
    Operation::read(
        "ListCACertificates",
        "GET /cacertificates",
        list_ca_certificates,
    ),
    Operation::read(
        "ListCertificatesByCA",
        "GET /certificates-by-ca/{caCertificateId}",
        list_certificates_by_ca,
    ),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewCaBody {
    ca_certificate: String,
    verification_certificate: Option<String>,
    registration_config: Option<Registration>,
    tags: Option<Vec<Tag>>,
    #[serde(default)]
    certificate_mode: CertificateMode,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CaUpdateBody {
    registration_config: Option<Registration>,
    #[serde(default)]
    remove_auto_registration: bool,
}

/// `registrationConfig`
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Registration {
    template_body: Option<String>,
    role_arn: Option<String>,
    template_name: Option<String>,
}

impl From<Registration> for RegistrationConfig {
    fn from(registration: Registration) -> Self {
        Self {
            template_body: registration.template_body,
            role_arn: registration.role_arn,
            template_name: registration.template_name,
        }
    }
}

impl From<&RegistrationConfig> for Registration {
    fn from(registration: &RegistrationConfig) -> Self {
        Self {
            template_body: registration.template_body.clone(),
            role_arn: registration.role_arn.clone(),
            template_name: registration.template_name.clone(),
        }
    }
}

fn get_registration_code(draft: &mut Draft<'_>, _: &Call) -> Answered {
    Ok(json!({ "registrationCode": draft.get_registration_code() }))
}

fn delete_registration_code(draft: &mut Draft<'_>, _: &Call) -> Answered {
    draft.delete_registration_code()?;
    Ok(Value::Null)
}

fn register_ca_certificate(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: NewCaBody = call.body()?;
    let ca = draft.register_ca_certificate(NewCa {
        certificate: &body.ca_certificate,
        verification: body.verification_certificate.as_deref(),
        is_active: call.flag("setAsActive")?,
        auto_registration: call.flag("allowAutoRegistration")?,
        registration: body.registration_config.map(Into::into).unwrap_or_default(),
        mode: body.certificate_mode,
        tags: by_key(body.tags),
    })?;
    Ok(json!({ "certificateArn": arn(draft, &ca), "certificateId": ca.id }))
}

fn arn(state: &State, ca: &CaCertificate) -> String {
    state.arn(&Resource::CaCertificate(ca.id.clone()))
}

fn status(ca: &CaCertificate) -> &'static str {
    match ca.is_active {
        true => "ACTIVE",
        false => "INACTIVE",
    }
}

fn describe_ca_certificate(state: &State, call: &Call) -> Answered {
    let ca = state.describe_ca_certificate(call.path("caCertificateId"))?;
    let auto_registration = match ca.auto_registration {
        true => "ENABLE",
        false => "DISABLE",
    };
    let registration = &ca.registration;
    let is_registration = *registration != RegistrationConfig::default();
    Ok(json!({
        "certificateDescription": {
            "certificateArn": arn(state, &ca),
            "certificateId": ca.id,
            "status": status(&ca),
            "certificatePem": &*ca.pem,
            "ownedBy": state.scope().account,
            "creationDate": seconds(ca.created),
            "autoRegistrationStatus": auto_registration,
            "lastModifiedDate": seconds(ca.modified),
            "customerVersion": ca.version,
            "generationId": ca.generation,
            "validity": validity(ca.not_before, ca.not_after),
            "certificateMode": ca.mode,
        },
        "registrationConfig": is_registration.then(|| Registration::from(registration)),
    }))
}

fn update_ca_certificate(draft: &mut Draft<'_>, call: &Call) -> Answered {
    let body: CaUpdateBody = call.body()?;
    let registration = match body.remove_auto_registration {
        true => Some(RegistrationConfig::default()),
        false => body.registration_config.map(Into::into),
    };
    let auto_registration = either(call, "newAutoRegistrationStatus", "ENABLE", "DISABLE")?;
    let update = CaUpdate {
        is_active: either(call, "newStatus", "ACTIVE", "INACTIVE")?,
        auto_registration: match body.remove_auto_registration {
            true => Some(false),
            false => auto_registration,
        },
        registration,
    };
    draft.update_ca_certificate(call.path("caCertificateId"), update)?;
    Ok(Value::Null)
}

/// A member of the query that is one of two words.
pub(super) fn either(
    call: &Call,
    name: &str,
    yes: &str,
    no: &str,
) -> Result<Option<bool>, Refusal> {
    let Some(text) = call.text(name) else {
        return Ok(None);
    };
    if text != yes && text != no {
        let constraint = format!("satisfy enum value set: [{yes}, {no}]");
        return Err(Refusal::constraint(name, Some(text), &constraint));
    }
    Ok(Some(text == yes))
}

fn delete_ca_certificate(draft: &mut Draft<'_>, call: &Call) -> Answered {
    draft.delete_ca_certificate(call.path("caCertificateId"))?;
    Ok(Value::Null)
}

fn list_ca_certificates(state: &State, call: &Call) -> Answered {
    let authorities = state.list_ca_certificates(call.text("templateName"), call.dated_page()?)?;
    let authorities = authorities.map(|ca| {
        json!({
            "certificateArn": arn(state, &ca),
            "certificateId": ca.id,
            "status": status(&ca),
            "creationDate": seconds(ca.created),
        })
    });
    Ok(listed(with_marker("certificates"), authorities))
}

fn list_certificates_by_ca(state: &State, call: &Call) -> Answered {
    let ca = call.path("caCertificateId");
    let certificates = state.list_certificates_by_ca(ca, call.dated_page()?)?;
    let certificates = certificates.map(|certificate| in_list(state, &certificate));
    Ok(listed(with_marker("certificates"), certificates))
}
