//! What is attached to what: policies to certificates and groups, certificates to things (AWS-API-19 to -23).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::names::{NAME, POLICY_NAME, Resource, check};
use super::page::behind_name;
use super::record::{Certificate, Policy, PrincipalType, Thing, ThingGroup};
use super::state::behind;
use super::{Draft, Error, Listed, Page, State};

/// Policies of a certificate, and of a group (AWS-ID-09).
const POLICIES_MAX: usize = 10;
const GROUP_POLICIES_MAX: usize = 2;

impl State {
    /// The policies of a certificate or a group; of a group also those of the groups that it stands in, if
    /// asked for (AWS-OPS-39).
    ///
    /// # Errors
    ///
    /// ResourceNotFound; InvalidRequest for what can have none.
    pub fn list_attached_policies(
        &self,
        target: &str,
        is_recursive: bool,
        page: Page<'_>,
    ) -> Result<Listed<Arc<Policy>>, Error> {
        let names: BTreeSet<&String> = match self.resource(target)? {
            Resource::Certificate(id) => self.certificate(&id)?.policies.iter().collect(),
            Resource::ThingGroup(name) => {
                self.group(&name)?;
                let depth = if is_recursive { usize::MAX } else { 1 };
                let groups = self.lineage(&name).take(depth);
                groups.flat_map(|group| &group.policies).collect()
            }
            _ => return Err(no_target(target)),
        };
        let after = page.after("attached-policies")?;
        let names = names
            .into_iter()
            .filter(|name| after.as_ref().is_none_or(|after| *name > after));
        let policies = names.filter_map(|name| self.policies.get(name)).cloned();
        Ok(page.gather("attached-policies", policies, |policy| policy.name.clone()))
    }

    /// The certificates of a thing, and how they are attached.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn list_thing_principals(
        &self,
        thing: &str,
        kind: Option<PrincipalType>,
        page: Page<'_>,
    ) -> Result<Listed<(String, PrincipalType)>, Error> {
        let thing = self.thing(thing)?;
        let after = page.after("thing-principals")?;
        let principals = thing
            .principals
            .range::<str, _>(behind_name(after.as_deref()));
        let principals = principals.filter(|(_, own)| kind.is_none_or(|kind| kind == **own));
        let page = page.gather("thing-principals", principals, |(id, _)| (*id).clone());
        Ok(page.map(|(id, kind)| (self.arn(&Resource::Certificate(id.clone())), *kind)))
    }

    /// The things of a certificate, and how it is attached.
    ///
    /// # Errors
    ///
    /// ResourceNotFound; InvalidRequest for what is no certificate.
    pub fn list_principal_things(
        &self,
        principal: &str,
        kind: Option<PrincipalType>,
        page: Page<'_>,
    ) -> Result<Listed<(String, PrincipalType)>, Error> {
        let id = self.principal(principal)?;
        let after = page.after("principal-things")?;
        let names = behind(&self.attached, &id, after.as_deref());
        let things = names.filter_map(|name| {
            let own = *self.things.get(name)?.principals.get(&id)?;
            Some((name.clone(), own))
        });
        let things = things.filter(|(_, own)| kind.is_none_or(|kind| kind == *own));
        Ok(page.gather("principal-things", things, |(name, _)| name.clone()))
    }

    /// The registered certificate that an ARN names.
    fn principal(&self, arn: &str) -> Result<String, Error> {
        match self.resource(arn)? {
            Resource::Certificate(id) => self.certificate(&id).map(|found| found.id.clone()),
            _ => Err(Error::InvalidRequest(format!(
                "{arn} is no principal: certificates are."
            ))),
        }
    }
}

fn no_target(arn: &str) -> Error {
    Error::InvalidRequest(format!(
        "{arn} can have no policy: certificates and thing groups can."
    ))
}

impl Draft<'_> {
    /// Attaches a policy to a certificate or a group; once more changes nothing (AWS-OPS-38).
    ///
    /// # Errors
    ///
    /// ResourceNotFound, LimitExceeded; InvalidRequest for what can have none.
    pub fn attach_policy(&mut self, policy: &str, target: &str) -> Result<(), Error> {
        self.set_policy(policy, target, true)
    }

    /// Detaches a policy, if it is attached.
    ///
    /// # Errors
    ///
    /// ResourceNotFound; InvalidRequest for what can have none.
    pub fn detach_policy(&mut self, policy: &str, target: &str) -> Result<(), Error> {
        self.set_policy(policy, target, false)
    }

    fn set_policy(&mut self, policy: &str, target: &str, is_there: bool) -> Result<(), Error> {
        check("policyName", policy, &POLICY_NAME)?;
        let resource = self.resource(target)?;
        self.policy(policy)?;
        match resource {
            Resource::Certificate(id) => {
                let mut certificate = Certificate::clone(self.certificate(&id)?);
                if toggle(&mut certificate.policies, policy, is_there) {
                    check_count(&certificate.policies, POLICIES_MAX, target)?;
                    self.put(certificate);
                }
            }
            Resource::ThingGroup(name) => {
                let mut group = ThingGroup::clone(self.group(&name)?);
                if toggle(&mut group.policies, policy, is_there) {
                    check_count(&group.policies, GROUP_POLICIES_MAX, target)?;
                    self.put(group);
                }
            }
            _ => return Err(no_target(target)),
        }
        Ok(())
    }

    /// Attaches a certificate to a thing; once more changes nothing (AWS-OPS-40).
    ///
    /// # Errors
    ///
    /// ResourceNotFound; InvalidRequest if it is attached to another thing and one of the two is to have it
    /// alone.
    pub fn attach_thing_principal(
        &mut self,
        thing: &str,
        principal: &str,
        kind: PrincipalType,
    ) -> Result<(), Error> {
        check("thingName", thing, &NAME)?;
        let mut changed = Thing::clone(self.thing(thing)?);
        let id = self.principal(principal)?;
        for (other, held) in self.things_of(&id) {
            let (own, other) = (other.name == thing, &other.name);
            let is_exclusive = kind == PrincipalType::ExclusiveThing;
            if (!own && is_exclusive) || (held == PrincipalType::ExclusiveThing && held != kind) {
                return Err(Error::InvalidRequest(format!(
                    "Certificate {id} is attached to thing {other} already, and one of the two is \
                     exclusive (DetachThingPrincipal)."
                )));
            }
        }
        if changed.principals.insert(id, kind) != Some(kind) {
            self.put(changed);
        }
        Ok(())
    }

    /// Detaches a certificate from a thing (AWS-OPS-41).
    ///
    /// # Errors
    ///
    /// ResourceNotFound, also if it is not attached.
    pub fn detach_thing_principal(&mut self, thing: &str, principal: &str) -> Result<(), Error> {
        check("thingName", thing, &NAME)?;
        let mut changed = Thing::clone(self.thing(thing)?);
        let id = self.principal(principal)?;
        if changed.principals.remove(&id).is_none() {
            return Err(Error::ResourceNotFound(format!(
                "Certificate {id} is not attached to thing {thing}."
            )));
        }
        self.put(changed);
        Ok(())
    }
}

/// Adds a name or takes it out; whether that changed anything.
fn toggle(names: &mut BTreeSet<String>, name: &str, is_there: bool) -> bool {
    match is_there {
        true => names.insert(name.to_owned()),
        false => names.remove(name),
    }
}

fn check_count(policies: &BTreeSet<String>, most: usize, target: &str) -> Result<(), Error> {
    if policies.len() > most {
        return Err(Error::LimitExceeded(format!(
            "{target} has {most} policies, and can have no more."
        )));
    }
    Ok(())
}
