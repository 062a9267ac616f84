//! Whom policies bind: those that hold for a principal, and what is known of it for their variables.
//!
//! The broker asks here before it lets a packet pass, and so does whoever tests or explains what it would do.

use crate::policy::{Attachment, Context, Thing};

use super::certificate::as_policies_see;
use super::registry::{self, CertificateStatus, PolicyFact, State, Timestamp, View};

/// A principal, as the registry stands.
pub(crate) struct Subject {
    /// Those of its own, then those of the groups of its thing (AWS-ID-06, -08).
    pub(crate) policies: Vec<PolicyFact>,
    pub(crate) context: Context,
    /// Why it may have no connection, whatever the policies say.
    pub(crate) barred: Option<&'static str>,
    /// What is known of it takes so many bytes, besides the policies.
    pub(crate) size: usize,
}

impl Subject {
    /// The holder of a certificate who comes from `source`; none if nobody registered it. What the certificate
    /// says does not change: it is read unless `source` has it. Without a client identifier there is no
    /// telling which thing it is, unless it has one alone (AWS-ID-07, -66).
    pub(crate) fn of_certificate(
        state: &State,
        id: &str,
        source: Context,
        now: Timestamp,
    ) -> Option<Self> {
        let client_id = source.client_id.as_deref();
        let view = state.view(id, client_id.unwrap_or_default(), now)?;
        let certificate = state.describe_certificate(id).ok()?;
        let thing = match (view.thing.as_deref(), client_id) {
            (Some(thing), _) => attached(thing),
            (None, Some(_)) => Attachment::Detached,
            (None, None) => Attachment::Unknown,
        };
        let attributes = view.thing.iter().flat_map(|thing| &thing.attributes);
        let attributes: usize = attributes
            .map(|(name, value)| name.len() + value.len())
            .sum();
        Some(Self {
            barred: standing(&view),
            size: certificate.pem.len() + attributes,
            context: Context {
                certificate: source
                    .certificate
                    .or_else(|| Some(as_policies_see(id, &certificate.pem))),
                thing,
                ..source
            },
            policies: view
                .policies
                .into_iter()
                .chain(view.group_policies)
                .collect(),
        })
    }
}

/// Why a certificate that somebody registered may have no connection, whatever the policies say.
pub(crate) fn barred(state: &State, id: &str, now: Timestamp) -> Option<&'static str> {
    standing(&state.view(id, "", now)?)
}

/// Why a certificate opens no connection (AWS-ID-02); nothing for an active one within its validity.
fn standing(view: &View) -> Option<&'static str> {
    let outside = "the certificate is outside its validity";
    why_not(view.status).or((!view.is_valid_now).then_some(outside))
}

/// Why a certificate of this status may have no connection; nothing for an active one.
pub(crate) fn why_not(status: CertificateStatus) -> Option<&'static str> {
    match status {
        CertificateStatus::Active => None,
        CertificateStatus::Inactive => Some("the certificate is INACTIVE"),
        CertificateStatus::Revoked => Some("the certificate is REVOKED"),
        CertificateStatus::PendingActivation => Some("the certificate is PENDING_ACTIVATION"),
    }
}

fn attached(thing: &registry::Thing) -> Attachment {
    Attachment::Attached(Thing {
        name: thing.name.clone(),
        type_name: thing.thing_type.clone(),
        attributes: thing.attributes.clone(),
    })
}
