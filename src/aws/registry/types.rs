//! Thing types (AWS-API-25).

use std::sync::Arc;

use super::names::{ATTRIBUTE_NAME, DESCRIPTION, NAME, Resource, check};
use super::page::behind_name;
use super::record::{Attributes, ThingType, ThingTypeProperties};
use super::state::behind;
use super::{Draft, Error, Listed, Page, State};

const SEARCHABLE_MAX: usize = 3;

/// Most user properties that a type adds.
const PROPAGATING_MAX: usize = 20;

impl State {
    /// A type.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn describe_thing_type(&self, name: &str) -> Result<Arc<ThingType>, Error> {
        check("thingTypeName", name, &NAME)?;
        self.thing_type(name).cloned()
    }

    pub(super) fn thing_type(&self, name: &str) -> Result<&Arc<ThingType>, Error> {
        let found = self.types.get(name);
        found.ok_or_else(|| Error::not_found("Thing type", name))
    }

    /// Types by name, or the one of a name.
    ///
    /// # Errors
    ///
    /// InvalidRequest for a token of another list.
    pub fn list_thing_types(
        &self,
        name: Option<&str>,
        page: Page<'_>,
    ) -> Result<Listed<Arc<ThingType>>, Error> {
        let after = page.after("thing-types")?;
        let types = self.types.range::<str, _>(behind_name(after.as_deref()));
        let types = types.filter(|(own, _)| name.is_none_or(|name| name == own.as_str()));
        let types = types.map(|(_, found)| found.clone());
        Ok(page.gather("thing-types", types, |found| found.name.clone()))
    }
}

impl Draft<'_> {
    /// Creates a type; the same once more is the first one's answer (AWS-OPS-20).
    ///
    /// # Errors
    ///
    /// ResourceAlreadyExists if it is another one.
    pub fn create_thing_type(
        &mut self,
        name: &str,
        properties: ThingTypeProperties,
        tags: Attributes,
    ) -> Result<Arc<ThingType>, Error> {
        check("thingTypeName", name, &NAME)?;
        check_properties(&properties)?;
        super::tags::check_tags(&tags)?;
        if let Some(found) = self.types.get(name) {
            if found.properties == properties {
                return Ok(found.clone());
            }
            return Err(Error::ResourceAlreadyExists {
                message: format!("Thing type {name} already exists with different properties."),
                id: name.to_owned(),
                arn: self.arn(&Resource::ThingType(name.to_owned())),
            });
        }
        let (id, created) = (self.uuid(), self.now());
        Ok(self.put(ThingType {
            name: name.to_owned(),
            id,
            properties,
            created,
            deprecated: None,
            tags,
        }))
    }

    /// Gives a type other properties.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn update_thing_type(
        &mut self,
        name: &str,
        properties: ThingTypeProperties,
    ) -> Result<Arc<ThingType>, Error> {
        check("thingTypeName", name, &NAME)?;
        check_properties(&properties)?;
        let mut changed = ThingType::clone(self.thing_type(name)?);
        changed.properties = properties;
        Ok(self.put(changed))
    }

    /// Deprecates a type, or undoes it.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn deprecate_thing_type(&mut self, name: &str, is_undone: bool) -> Result<(), Error> {
        check("thingTypeName", name, &NAME)?;
        let mut changed = ThingType::clone(self.thing_type(name)?);
        if changed.deprecated.is_none() != is_undone {
            changed.deprecated = (!is_undone).then_some(self.now());
            self.put(changed);
        }
        Ok(())
    }

    /// Deletes a type that is deprecated and that nothing has (AWS-OPS-25).
    ///
    /// # Errors
    ///
    /// ResourceNotFound, InvalidRequest.
    pub fn delete_thing_type(&mut self, name: &str) -> Result<(), Error> {
        check("thingTypeName", name, &NAME)?;
        if self.thing_type(name)?.deprecated.is_none() {
            return Err(Error::InvalidRequest(format!(
                "Cannot delete thing type {name}: it has to be deprecated before (DeprecateThingType)."
            )));
        }
        if let Some(thing) = behind(&self.of_type, name, None).next() {
            return Err(Error::InvalidRequest(format!(
                "Cannot delete thing type {name}: thing {thing} has it."
            )));
        }
        self.remove::<ThingType>(name);
        Ok(())
    }
}

fn check_properties(properties: &ThingTypeProperties) -> Result<(), Error> {
    if let Some(description) = &properties.description {
        check("thingTypeDescription", description, &DESCRIPTION)?;
    }
    if properties.searchable_attributes.len() > SEARCHABLE_MAX {
        return Err(Error::InvalidRequest(format!(
            "searchableAttributes has more than {SEARCHABLE_MAX} members."
        )));
    }
    for attribute in &properties.searchable_attributes {
        check("searchableAttributes", attribute, &ATTRIBUTE_NAME)?;
    }
    if properties.propagating_attributes.len() > PROPAGATING_MAX {
        return Err(Error::InvalidRequest(format!(
            "propagatingAttributes has more than {PROPAGATING_MAX} members."
        )));
    }
    for attribute in &properties.propagating_attributes {
        check(
            "userPropertyKey",
            &attribute.user_property_key,
            &ATTRIBUTE_NAME,
        )?;
        if attribute.thing_attribute.is_some() == attribute.connection_attribute.is_some() {
            return Err(Error::invalid(
                "A propagating attribute has either a thingAttribute or a connectionAttribute.",
            ));
        }
    }
    Ok(())
}
