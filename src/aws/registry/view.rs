//! What decides on what a client may do (AWS-ID-01 to -08).

use std::sync::Arc;

use crate::policy::Document;
use crate::time::whole_seconds;

use super::State;
use super::record::{CertificateStatus, PrincipalType, Thing, Timestamp};

/// What is known of a client with a certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// The certificate's.
    pub status: CertificateStatus,
    /// Whether it is inside its validity.
    pub is_valid_now: bool,
    /// What is attached to the certificate (AWS-ID-06).
    pub policies: Vec<PolicyFact>,
    /// What is attached to the groups of the thing, and to those that they stand in (AWS-ID-08).
    pub group_policies: Vec<PolicyFact>,
    /// The thing that the client is (AWS-ID-07).
    pub thing: Option<Arc<Thing>>,
}

/// A policy, as far as it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyFact {
    /// Its name.
    pub name: String,
    /// The number of its default version.
    pub version: u64,
    /// The document of that.
    pub document: Arc<Document>,
}

impl State {
    /// What is known of a client with this certificate and this client id; none if nobody registered the
    /// certificate.
    pub fn view(&self, certificate: &str, client_id: &str, now: Timestamp) -> Option<View> {
        let certificate = self.certificates.get(certificate)?;
        let thing = self.thing_of(&certificate.id, client_id).cloned();
        let group_policies = thing.as_ref().map_or_else(Vec::new, |thing| {
            let groups = thing.groups.iter().flat_map(|group| self.lineage(group));
            let mut names: Vec<_> = groups.flat_map(|group| &group.policies).collect();
            names.sort_unstable();
            names.dedup();
            self.facts(names)
        });
        let seconds = whole_seconds(now);
        Some(View {
            status: certificate.status,
            is_valid_now: (certificate.not_before..=certificate.not_after).contains(&seconds),
            policies: self.facts(&certificate.policies),
            group_policies,
            thing,
        })
    }

    /// The one that has the certificate alone, else the one that is named like the client and has it.
    pub(crate) fn thing_of(&self, certificate: &str, client_id: &str) -> Option<&Arc<Thing>> {
        if let Some(thing) = self.things.get(client_id)
            && thing.principals.contains_key(certificate)
        {
            return Some(thing);
        }
        self.exclusive_thing_of(certificate)
    }

    /// The thing that alone has the certificate attached to it.
    pub(crate) fn exclusive_thing_of(&self, certificate: &str) -> Option<&Arc<Thing>> {
        // One that has it alone is the only one.
        let (thing, kind) = self.things_of(certificate).next()?;
        (kind == PrincipalType::ExclusiveThing).then_some(thing)
    }

    /// Whether there is any policy, or was one: deleting the last does not go back to the time before the
    /// first.
    pub fn policies_hold(&self) -> bool {
        !self.policies.is_empty() || self.account().is_some_and(|account| account.had_policies)
    }

    /// The default version of a policy.
    pub fn policy_in_force(&self, name: &str) -> Option<PolicyFact> {
        let policy = self.policies.get(name)?;
        let document = self.documents.get(name)?;
        Some(PolicyFact {
            name: name.to_owned(),
            version: policy.default_version,
            document: document.clone(),
        })
    }

    /// The default versions of all policies.
    pub(crate) fn policies_in_force(&self) -> impl Iterator<Item = PolicyFact> {
        let names = self.policies.keys();
        names.filter_map(|name| self.policy_in_force(name))
    }

    fn facts<'a>(&self, names: impl IntoIterator<Item = &'a String>) -> Vec<PolicyFact> {
        let policies = names.into_iter();
        policies
            .filter_map(|name| self.policy_in_force(name))
            .collect()
    }
}
