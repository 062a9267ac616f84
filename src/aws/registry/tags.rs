//! Tags of types, groups, policies and CA certificates; things and certificates have none (AWS-OPS-58).

use super::names::{Resource, TAG_KEY, TAG_VALUE, check};
use super::page::behind_name;
use super::record::{Attributes, Authorizer, CaCertificate, Policy, ThingGroup, ThingType};
use super::{Draft, Error, Listed, Page, State};

/// Tags of a resource.
const TAGS_MAX: usize = 50;

impl State {
    /// Tags by key.
    ///
    /// # Errors
    ///
    /// ResourceNotFound; InvalidRequest for what can have none.
    pub fn list_tags(&self, arn: &str, page: Page<'_>) -> Result<Listed<(String, String)>, Error> {
        let tags = self.tags(arn)?;
        let after = page.after("tags")?;
        let tags = tags.range::<str, _>(behind_name(after.as_deref()));
        let listed = page.gather("tags", tags, |(key, _)| (*key).clone());
        Ok(listed.map(|(key, value)| (key.clone(), value.clone())))
    }

    fn tags(&self, arn: &str) -> Result<&Attributes, Error> {
        match self.resource(arn)? {
            Resource::ThingType(name) => Ok(&self.thing_type(&name)?.tags),
            Resource::ThingGroup(name) => Ok(&self.group(&name)?.tags),
            Resource::Policy(name) => Ok(&self.policy(&name)?.tags),
            Resource::CaCertificate(id) => Ok(&self.authority(&id)?.tags),
            Resource::Authorizer(name) => Ok(&self.authorizer(&name)?.tags),
            Resource::Thing(_) | Resource::Certificate(_) => Err(Error::InvalidRequest(format!(
                "{arn} can have no tags: thing types, thing groups, policies, CA certificates and \
                 authorizers can."
            ))),
        }
    }
}

impl Draft<'_> {
    /// Adds tags, or gives them other values.
    ///
    /// # Errors
    ///
    /// ResourceNotFound, LimitExceeded; InvalidRequest for what can have none.
    pub fn tag_resource(&mut self, arn: &str, tags: Attributes) -> Result<(), Error> {
        let mut all = self.tags(arn)?.clone();
        all.extend(tags);
        check_tags(&all)?;
        self.set_tags(arn, all)
    }

    /// Removes tags, as far as there are some of these keys.
    ///
    /// # Errors
    ///
    /// ResourceNotFound; InvalidRequest for what can have none.
    pub fn untag_resource(&mut self, arn: &str, keys: &[&str]) -> Result<(), Error> {
        let mut all = self.tags(arn)?.clone();
        all.retain(|key, _| !keys.contains(&key.as_str()));
        self.set_tags(arn, all)
    }

    pub(super) fn set_tags(&mut self, arn: &str, tags: Attributes) -> Result<(), Error> {
        if *self.tags(arn)? == tags {
            return Ok(());
        }
        match self.resource(arn)? {
            Resource::ThingType(name) => {
                let mut changed = ThingType::clone(self.thing_type(&name)?);
                changed.tags = tags;
                self.put(changed);
            }
            Resource::ThingGroup(name) => {
                let mut changed = ThingGroup::clone(self.group(&name)?);
                changed.tags = tags;
                self.put(changed);
            }
            Resource::Policy(name) => {
                let mut changed = Policy::clone(self.policy(&name)?);
                changed.tags = tags;
                self.put(changed);
            }
            Resource::CaCertificate(id) => {
                let mut changed = CaCertificate::clone(self.authority(&id)?);
                changed.tags = tags;
                self.put(changed);
            }
            Resource::Authorizer(name) => {
                let mut changed = Authorizer::clone(self.authorizer(&name)?);
                changed.tags = tags;
                self.put(changed);
            }
            Resource::Thing(_) | Resource::Certificate(_) => {} // refused above
        }
        Ok(())
    }
}

pub(super) fn check_tags(tags: &Attributes) -> Result<(), Error> {
    if tags.len() > TAGS_MAX {
        return Err(Error::LimitExceeded(format!(
            "A resource has at most {TAGS_MAX} tags."
        )));
    }
    for (key, value) in tags {
        check("tags.member.key", key, &TAG_KEY)?;
        check("tags.member.value", value, &TAG_VALUE)?;
        if key.starts_with("aws:") {
            return Err(Error::InvalidRequest(format!(
                "Tag {key}: keys that begin with aws: are the service's."
            )));
        }
    }
    Ok(())
}
