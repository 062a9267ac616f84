//! Policies and their versions (AWS-API-15 to -18).

use std::ops::Bound;
use std::sync::Arc;

use crate::policy::Document;

use super::certificates::dated;
use super::names::{POLICY_NAME, Resource, check};
use super::record::{Attributes, Policy, PolicyVersion};
use super::{Draft, Error, Listed, Page, State};

/// Versions of a policy (AWS-OPS-35).
pub(super) const VERSIONS_MAX: usize = 5;

impl State {
    /// A policy with its versions.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn get_policy(&self, name: &str) -> Result<Arc<Policy>, Error> {
        check("policyName", name, &POLICY_NAME)?;
        self.policy(name).cloned()
    }

    pub(super) fn policy(&self, name: &str) -> Result<&Arc<Policy>, Error> {
        let policy = self.policies.get(name);
        policy.ok_or_else(|| Error::not_found("Policy", name))
    }

    /// Policies in the order of their creation.
    ///
    /// # Errors
    ///
    /// InvalidRequest for a token of another list.
    pub fn list_policies(&self, page: Page<'_>) -> Result<Listed<Arc<Policy>>, Error> {
        let names = dated("policies", &self.policy_dates, page, |_| true)?;
        Ok(names.look_up(|name| self.policies.get(&name).cloned()))
    }

    /// What a policy is attached to.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn list_targets_for_policy(
        &self,
        name: &str,
        page: Page<'_>,
    ) -> Result<Listed<Resource>, Error> {
        self.policy(name)?;
        let after = match page.after("policy-targets")? {
            Some(arn) => Bound::Excluded((name.to_owned(), self.resource(&arn)?)),
            // The first that there could be: a variant's place in the order is where it stands.
            None => Bound::Included((name.to_owned(), Resource::Thing(String::new()))),
        };
        let targets = self.targets.range((after, Bound::Unbounded));
        let targets = targets.take_while(|(policy, _)| policy == name);
        let targets = targets.map(|(_, target)| target.clone());
        Ok(page.gather("policy-targets", targets, |target| self.arn(target)))
    }

    pub(super) fn targets_of(&self, policy: &str) -> Vec<String> {
        let targets = self.resources_of(policy);
        targets.map(|target| self.arn(target)).collect()
    }

    /// What a policy is attached to.
    pub(super) fn resources_of(&self, policy: &str) -> impl Iterator<Item = &Resource> {
        let first = (policy.to_owned(), Resource::Thing(String::new()));
        let targets = (Bound::Included(first), Bound::Unbounded);
        let targets = self.targets.range(targets);
        targets
            .take_while(move |(name, _)| name == policy)
            .map(|(_, target)| target)
    }
}

impl Draft<'_> {
    /// Creates a policy, whose first version is 1 (AWS-OPS-34).
    ///
    /// # Errors
    ///
    /// ResourceAlreadyExists, whatever its document, and MalformedPolicy.
    pub fn create_policy(
        &mut self,
        name: &str,
        document: &str,
        tags: Attributes,
    ) -> Result<Arc<Policy>, Error> {
        check("policyName", name, &POLICY_NAME)?;
        super::tags::check_tags(&tags)?;
        check_document(document)?;
        if self.policies.contains_key(name) {
            return Err(Error::ResourceAlreadyExists {
                message: format!("Policy {name} already exists."),
                id: name.to_owned(),
                arn: self.arn(&Resource::Policy(name.to_owned())),
            });
        }
        let (created, generation) = (self.now(), self.uuid());
        let version = PolicyVersion {
            document: document.into(),
            created,
        };
        Ok(self.put(Policy {
            name: name.to_owned(),
            versions: [(1, version)].into(),
            default_version: 1,
            next_version: 2,
            created,
            modified: created,
            generation,
            tags,
        }))
    }

    /// Creates a further version; its number.
    ///
    /// # Errors
    ///
    /// ResourceNotFound, MalformedPolicy, VersionsLimitExceeded.
    pub fn create_policy_version(
        &mut self,
        name: &str,
        document: &str,
        is_default: bool,
    ) -> Result<u64, Error> {
        check("policyName", name, &POLICY_NAME)?;
        check_document(document)?;
        let mut policy = Policy::clone(self.policy(name)?);
        if policy.versions.len() >= VERSIONS_MAX {
            return Err(Error::VersionsLimitExceeded(format!(
                "Policy {name} has {VERSIONS_MAX} versions already, {}: one has to be deleted before \
                 (DeletePolicyVersion).",
                numbers(policy.versions.keys())
            )));
        }
        let number = policy.next_version;
        policy.next_version += 1;
        policy.modified = self.now();
        let version = PolicyVersion {
            document: document.into(),
            created: self.now(),
        };
        policy.versions.insert(number, version);
        if is_default {
            policy.default_version = number;
        }
        self.put(policy);
        Ok(number)
    }

    /// Makes a version the one that holds.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn set_default_policy_version(&mut self, name: &str, number: u64) -> Result<(), Error> {
        let mut policy = self.policy_with(name, number)?;
        if policy.default_version != number {
            policy.default_version = number;
            policy.modified = self.now();
            self.put(policy);
        }
        Ok(())
    }

    /// Deletes a version that does not hold (AWS-OPS-37).
    ///
    /// # Errors
    ///
    /// ResourceNotFound, DeleteConflict.
    pub fn delete_policy_version(&mut self, name: &str, number: u64) -> Result<(), Error> {
        let mut policy = self.policy_with(name, number)?;
        if policy.default_version == number {
            return Err(Error::DeleteConflict(format!(
                "Version {number} is the default of policy {name}: another one has to be made the \
                 default before (SetDefaultPolicyVersion)."
            )));
        }
        policy.versions.remove(&number);
        policy.modified = self.now();
        self.put(policy);
        Ok(())
    }

    fn policy_with(&self, name: &str, number: u64) -> Result<Policy, Error> {
        check("policyName", name, &POLICY_NAME)?;
        let policy = self.policy(name)?;
        if !policy.versions.contains_key(&number) {
            let version = format!("{number} of policy {name}");
            return Err(Error::not_found("Version", &version));
        }
        Ok(Policy::clone(policy))
    }

    /// Deletes a policy that has no other version than the default and is attached to nothing (AWS-OPS-36).
    ///
    /// # Errors
    ///
    /// ResourceNotFound, DeleteConflict.
    pub fn delete_policy(&mut self, name: &str) -> Result<(), Error> {
        check("policyName", name, &POLICY_NAME)?;
        let policy = self.policy(name)?;
        let default = policy.default_version;
        let others: Vec<_> = policy.versions.keys().filter(|n| **n != default).collect();
        if !others.is_empty() {
            return Err(Error::DeleteConflict(format!(
                "Cannot delete policy {name}: it has other versions than the default, {} \
                 (DeletePolicyVersion).",
                numbers(others)
            )));
        }
        let targets = self.targets_of(name);
        if !targets.is_empty() {
            return Err(Error::DeleteConflict(format!(
                "Cannot delete policy {name}: it is attached to {} (DetachPolicy).",
                targets.join(", ")
            )));
        }
        self.remove::<Policy>(name);
        if self.policies.is_empty() {
            self.update_account(|account| account.had_policies = true);
        }
        Ok(())
    }
}

fn numbers<'a>(numbers: impl IntoIterator<Item = &'a u64>) -> String {
    let numbers = numbers.into_iter().map(u64::to_string);
    numbers.collect::<Vec<_>>().join(", ")
}

/// Whether a text can be the document of a policy.
///
/// # Errors
///
/// MalformedPolicy.
pub(super) fn check_document(text: &str) -> Result<(), Error> {
    match Document::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::MalformedPolicy(error.to_string())),
    }
}
