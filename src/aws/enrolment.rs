//! Just-in-time registration: certificates that an authority of the registry signed register themselves at
//! their first CONNECT, and wait for somebody to accept them (AWS-ID-04, -05).

use std::sync::Arc;

use serde::Serialize;

use crate::auth::Principal;
use crate::broker::ConnectionFacts;
use crate::broker::access::Claim;

use super::registry::{Certificate, CertificateStatus, Error, Means, Registry, State, Timestamp};

/// The payload of an event (AWS-RSV-06).
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    certificate_id: &'a str,
    ca_certificate_id: &'a str,
    /// Milliseconds since 1970.
    timestamp: Timestamp,
    certificate_status: CertificateStatus,
    aws_account_id: &'a str,
    /// Milliseconds since 1970 in a string, from the second attempt on.
    certificate_registration_timestamp: Option<String>,
    /// Absent where the client has no address.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_ip: Option<String>,
}

/// Whether a client has to be seen to by [`enrol`]: its certificate may be registered, or has been and was
/// not accepted yet.
pub(super) fn is_due(state: &State, claim: &Claim<'_>) -> bool {
    let Principal::Certificate(id) = claim.principal else {
        return false;
    };
    match state.describe_certificate(id) {
        Ok(known) => is_pending(&known),
        Err(_) => shown(claim.facts).is_some(),
    }
}

fn is_pending(certificate: &Certificate) -> bool {
    certificate.status == CertificateStatus::PendingActivation && certificate.ca.is_some()
}

/// The certificate that was kept to be registered.
fn shown(facts: &ConnectionFacts) -> Option<&[u8]> {
    facts.tls()?.certificate.as_deref()
}

/// Registers the certificate of a connection; topic and payload of the event, each time until it is
/// accepted.
pub(super) fn enrol(
    registry: &Registry,
    facts: &ConnectionFacts,
    means: Means<'_>,
) -> Option<(String, Vec<u8>)> {
    let timestamp = means.now;
    let (certificate, is_new) = register(registry, facts, means)?;
    let ca = certificate.ca.as_deref()?;
    if is_new {
        tracing::info!(
            certificate_id = certificate.id,
            ca_certificate_id = ca,
            peer = %facts.peer(),
            "a certificate registered itself, and waits to be activated"
        );
    }
    let state = registry.state();
    let address = facts.peer().socket_addr();
    let payload = Payload {
        certificate_id: &certificate.id,
        ca_certificate_id: ca,
        timestamp,
        certificate_status: certificate.status,
        aws_account_id: &state.scope().account,
        certificate_registration_timestamp: (!is_new).then(|| certificate.created.to_string()),
        source_ip: address.map(|address| address.ip().to_string()),
    };
    let payload = serde_json::to_vec(&payload).ok()?;
    Some((format!("$aws/events/certificates/registered/{ca}"), payload))
}

/// The certificate, and whether it was registered only now.
fn register(
    registry: &Registry,
    facts: &ConnectionFacts,
    means: Means<'_>,
) -> Option<(Arc<Certificate>, bool)> {
    let tls = facts.tls()?;
    let id = tls.certificate_id.as_deref()?;
    if let Some(der) = shown(facts) {
        let has_sni = tls.sni.is_some();
        match registry.change(means, |draft| draft.auto_register(der, has_sni)) {
            Ok(certificate) => return Some((certificate, true)),
            // By an earlier attempt, or by somebody else.
            Err(Error::ResourceAlreadyExists { .. }) => {}
            Err(error) => {
                tracing::info!(certificate_id = id, peer = %facts.peer(), "not registered: {error}");
                return None;
            }
        }
    }
    let known = registry.state().describe_certificate(id).ok()?;
    is_pending(&known).then_some((known, false))
}
