//! Things (AWS-API-02 to -04).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::names::{ATTRIBUTE_NAME, ATTRIBUTE_VALUE, NAME, Resource, check};
use super::page::behind_name;
use super::record::{Attributes, Thing};
use super::state::behind;
use super::{Draft, Error, Listed, Page, State};

/// Attributes of a thing without a type, and with one (AWS-LIM-28).
const ATTRIBUTES_MAX: usize = 3;
pub(super) const TYPED_ATTRIBUTES_MAX: usize = 50;

/// What a thing is created with.
#[derive(Clone, Debug, Default)]
pub struct NewThing {
    /// The name of its type.
    pub thing_type: Option<String>,
    /// Names and values.
    pub attributes: Attributes,
}

/// What is to change of a thing.
#[derive(Clone, Debug, Default)]
pub struct ThingUpdate {
    /// The name of another type.
    pub thing_type: Option<String>,
    /// It is to have no type any more.
    pub remove_type: bool,
    /// Attributes; one without a value is removed.
    pub attributes: Option<Attributes>,
    /// Attributes that are not mentioned stay.
    pub merge: bool,
    /// Only if its version is this one.
    pub expected_version: Option<u64>,
}

/// Which things a list is of.
#[derive(Clone, Debug, Default)]
pub struct ThingFilter<'a> {
    /// Of this type.
    pub thing_type: Option<&'a str>,
    /// With this attribute.
    pub attribute: Option<&'a str>,
    /// With this value of it.
    pub value: Option<&'a str>,
    /// The value need only begin so.
    pub is_prefix: bool,
}

impl State {
    /// A thing.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn describe_thing(&self, name: &str) -> Result<Arc<Thing>, Error> {
        check("thingName", name, &NAME)?;
        self.thing(name).cloned()
    }

    pub(super) fn thing(&self, name: &str) -> Result<&Arc<Thing>, Error> {
        let thing = self.things.get(name);
        thing.ok_or_else(|| Error::not_found("Thing", name))
    }

    /// Things by name; with an attribute, by its value first.
    ///
    /// # Errors
    ///
    /// InvalidRequest for a token of another list, and for a value without an attribute.
    pub fn list_things(
        &self,
        filter: &ThingFilter<'_>,
        page: Page<'_>,
    ) -> Result<Listed<Arc<Thing>>, Error> {
        let after = page.after("things")?;
        let after = after.as_deref();
        let name = |thing: &Arc<Thing>| thing.name.clone();
        match filter {
            ThingFilter {
                attribute: Some(attribute),
                ..
            } => Ok(self.things_with(attribute, filter, &page, after)),
            ThingFilter { value: Some(_), .. } => {
                Err(Error::invalid("attributeValue needs an attributeName."))
            }
            ThingFilter {
                thing_type: Some(thing_type),
                ..
            } => {
                let names = behind(&self.of_type, thing_type, after);
                let things = names.filter_map(|name| self.things.get(name)).cloned();
                Ok(page.gather("things", things, name))
            }
            _ => {
                let things = self.things.range::<str, _>(behind_name(after));
                let things = things.map(|(_, thing)| thing.clone());
                Ok(page.gather("things", things, name))
            }
        }
    }

    fn things_with(
        &self,
        attribute: &str,
        filter: &ThingFilter<'_>,
        page: &Page<'_>,
        after: Option<&str>,
    ) -> Listed<Arc<Thing>> {
        let entry = |value: &str, thing: &str| {
            let attribute = attribute.to_owned();
            (attribute, value.to_owned(), thing.to_owned())
        };
        let wanted = filter.value.unwrap_or_default();
        let start = match after.and_then(|after| after.split_once('\t')) {
            Some((value, thing)) => Bound::Excluded(entry(value, thing)),
            None => Bound::Included(entry(wanted, "")),
        };
        let is_wanted = |value: &str| match filter.value {
            None => true,
            Some(wanted) if filter.is_prefix => value.starts_with(wanted),
            Some(wanted) => value == wanted,
        };
        let entries = self.of_attribute.range((start, Bound::Unbounded));
        let entries = entries.take_while(|(name, value, _)| name == attribute && is_wanted(value));
        let things = entries.filter_map(|(_, value, name)| Some((value, self.things.get(name)?)));
        let things = things.filter(|(_, thing)| {
            filter.thing_type.is_none() || thing.thing_type.as_deref() == filter.thing_type
        });
        page.gather("things", things, |(value, thing)| {
            format!("{value}\t{}", thing.name)
        })
        .map(|(_, thing)| thing.clone())
    }
}

impl Draft<'_> {
    /// Creates a thing; the same once more is the first one's answer (AWS-OPS-20).
    ///
    /// # Errors
    ///
    /// ResourceAlreadyExists if it is another one, ResourceNotFound for its type.
    pub fn create_thing(&mut self, name: &str, new: NewThing) -> Result<Arc<Thing>, Error> {
        check("thingName", name, &NAME)?;
        check_attributes(&new.attributes)?;
        let attributes = with_values(new.attributes);
        if let Some(thing) = self.things.get(name) {
            if thing.thing_type == new.thing_type && thing.attributes == attributes {
                return Ok(thing.clone());
            }
            return Err(Error::ResourceAlreadyExists {
                message: format!("Thing {name} already exists with different properties."),
                id: name.to_owned(),
                arn: self.arn(&Resource::Thing(name.to_owned())),
            });
        }
        self.check_type(new.thing_type.as_deref())?;
        check_count(&attributes, new.thing_type.as_deref())?;
        let id = self.uuid();
        Ok(self.put(Thing {
            name: name.to_owned(),
            id,
            thing_type: new.thing_type,
            attributes,
            version: 1,
            groups: [].into(),
            principals: BTreeMap::new(),
        }))
    }

    /// Changes a thing (AWS-OPS-24).
    ///
    /// # Errors
    ///
    /// ResourceNotFound, VersionConflict.
    pub fn update_thing(&mut self, name: &str, update: ThingUpdate) -> Result<Arc<Thing>, Error> {
        check("thingName", name, &NAME)?;
        let mut thing = Thing::clone(self.thing(name)?);
        check_version("Thing", name, thing.version, update.expected_version)?;
        if update.remove_type && update.thing_type.is_some() {
            return Err(Error::invalid(
                "thingTypeName and removeThingType exclude each other.",
            ));
        }
        if update.remove_type {
            thing.thing_type = None;
        }
        if update.thing_type.is_some() {
            self.check_type(update.thing_type.as_deref())?;
            thing.thing_type = update.thing_type;
        }
        if let Some(attributes) = update.attributes {
            check_attributes(&attributes)?;
            thing.attributes = merged(&thing.attributes, attributes, update.merge);
        }
        check_count(&thing.attributes, thing.thing_type.as_deref())?;
        thing.version += 1;
        Ok(self.put(thing))
    }

    /// Deletes a thing and its shadows, if there is one (AWS-OPS-23, AWS-SHADOW-48).
    ///
    /// # Errors
    ///
    /// InvalidRequest while certificates are attached, VersionConflict.
    pub fn delete_thing(&mut self, name: &str, expected_version: Option<u64>) -> Result<(), Error> {
        check("thingName", name, &NAME)?;
        let Some(thing) = self.things.get(name) else {
            return Ok(());
        };
        check_version("Thing", name, thing.version, expected_version)?;
        if !thing.principals.is_empty() {
            let ids: Vec<_> = thing.principals.keys().cloned().collect();
            let arns = ids
                .into_iter()
                .map(|id| self.arn(&Resource::Certificate(id)));
            return Err(Error::InvalidRequest(format!(
                "Cannot delete. Thing {name} is still attached to one or more principals: {}",
                arns.collect::<Vec<_>>().join(", ")
            )));
        }
        self.remove::<Thing>(name);
        self.delete_shadows_of(name);
        Ok(())
    }

    /// Whether new things may have this type (AWS-OPS-22).
    fn check_type(&self, name: Option<&str>) -> Result<(), Error> {
        let Some(name) = name else {
            return Ok(());
        };
        check("thingTypeName", name, &NAME)?;
        if self.thing_type(name)?.deprecated.is_some() {
            return Err(Error::InvalidRequest(format!(
                "Thing type {name} is deprecated: no thing can get it."
            )));
        }
        Ok(())
    }
}

pub(super) fn check_attributes(attributes: &Attributes) -> Result<(), Error> {
    for (name, value) in attributes {
        check("attributePayload.attributes", name, &ATTRIBUTE_NAME)?;
        check(
            "attributePayload.attributes.member",
            value,
            &ATTRIBUTE_VALUE,
        )?;
    }
    Ok(())
}

fn check_count(attributes: &Attributes, thing_type: Option<&str>) -> Result<(), Error> {
    let most = match thing_type {
        Some(_) => TYPED_ATTRIBUTES_MAX,
        None => ATTRIBUTES_MAX,
    };
    if attributes.len() > most {
        return Err(Error::InvalidRequest(format!(
            "{} attributes are more than the {most} of a thing {} a thing type.",
            attributes.len(),
            if thing_type.is_some() {
                "with"
            } else {
                "without"
            },
        )));
    }
    Ok(())
}

/// An attribute without a value is none.
pub(super) fn with_values(attributes: Attributes) -> Attributes {
    let with_value = attributes
        .into_iter()
        .filter(|(_, value)| !value.is_empty());
    with_value.collect()
}

/// What becomes of attributes by an update (AWS-OPS-24).
pub(super) fn merged(old: &Attributes, new: Attributes, merge: bool) -> Attributes {
    let mut all = if merge {
        old.clone()
    } else {
        Attributes::new()
    };
    all.extend(new);
    with_values(all)
}

pub(super) fn check_version(
    what: &str,
    name: &str,
    version: u64,
    expected: Option<u64>,
) -> Result<(), Error> {
    match expected {
        Some(expected) if expected != version => Err(Error::VersionConflict(format!(
            "{what} {name} has version {version}, not the expected {expected}."
        ))),
        _ => Ok(()),
    }
}
