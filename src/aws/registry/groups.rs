//! Static thing groups (AWS-API-25).

use std::sync::Arc;

use super::names::{DESCRIPTION, NAME, Resource, check};
use super::page::behind_name;
use super::record::{Attributes, Thing, ThingGroup};
use super::state::behind;
use super::things::{TYPED_ATTRIBUTES_MAX, check_attributes, check_version, merged, with_values};
use super::{Draft, Error, Listed, Page, State};

/// Groups from the root to the deepest (AWS-ID-09).
const DEPTH_MAX: usize = 7;

/// Groups of a thing (AWS-ID-09).
const GROUPS_MAX: usize = 10;

/// What a group is created with.
#[derive(Clone, Debug, Default)]
pub struct NewGroup {
    /// The group that it stands in.
    pub parent: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Names and values.
    pub attributes: Attributes,
    /// Keys and values.
    pub tags: Attributes,
}

/// What is to change of a group.
#[derive(Clone, Debug, Default)]
pub struct GroupUpdate {
    /// Another description.
    pub description: Option<String>,
    /// Attributes; one without a value is removed.
    pub attributes: Option<Attributes>,
    /// Attributes that are not mentioned stay.
    pub merge: bool,
    /// Only if its version is this one.
    pub expected_version: Option<u64>,
}

/// Which groups a list is of.
#[derive(Clone, Debug, Default)]
pub struct GroupFilter<'a> {
    /// In this one.
    pub parent: Option<&'a str>,
    /// Whose name begins so.
    pub prefix: Option<&'a str>,
    /// Not only those that stand in the parent itself, or in none; so it is on the service unless
    /// `recursive` says otherwise.
    pub is_recursive: bool,
}

impl State {
    /// A group.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn describe_thing_group(&self, name: &str) -> Result<Arc<ThingGroup>, Error> {
        check("thingGroupName", name, &NAME)?;
        self.group(name).cloned()
    }

    pub(super) fn group(&self, name: &str) -> Result<&Arc<ThingGroup>, Error> {
        let group = self.groups.get(name);
        group.ok_or_else(|| Error::not_found("Thing group", name))
    }

    /// A group, the one that it stands in, and so on to the root.
    pub fn lineage(&self, name: &str) -> impl Iterator<Item = &Arc<ThingGroup>> {
        std::iter::successors(self.groups.get(name), |group| {
            self.groups.get(group.parent.as_ref()?)
        })
        .take(DEPTH_MAX)
    }

    /// Groups by name.
    ///
    /// # Errors
    ///
    /// ResourceNotFound for the parent, InvalidRequest for a token of another list.
    pub fn list_thing_groups(
        &self,
        filter: &GroupFilter<'_>,
        page: Page<'_>,
    ) -> Result<Listed<Arc<ThingGroup>>, Error> {
        if let Some(parent) = filter.parent {
            self.group(parent)?;
        }
        let after = page.after("thing-groups")?;
        let groups = self.groups.range::<str, _>(behind_name(after.as_deref()));
        let groups = groups.map(|(_, group)| group).filter(|group| {
            let begins = filter
                .prefix
                .is_none_or(|prefix| group.name.starts_with(prefix));
            begins && self.is_in(group, filter)
        });
        Ok(page.gather("thing-groups", groups.cloned(), |group| group.name.clone()))
    }

    fn is_in(&self, group: &ThingGroup, filter: &GroupFilter<'_>) -> bool {
        match (filter.parent, filter.is_recursive) {
            (None, true) => true,
            (parent, false) => group.parent.as_deref() == parent,
            (Some(parent), true) => self.lineage(&group.name).skip(1).any(|g| g.name == parent),
        }
    }

    /// Names of the things in a group, and in those in it if asked for.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn list_things_in_group(
        &self,
        name: &str,
        is_recursive: bool,
        page: Page<'_>,
    ) -> Result<Listed<String>, Error> {
        self.group(name)?;
        let after = page.after("group-things")?;
        if !is_recursive {
            let things = behind(&self.members, name, after.as_deref()).cloned();
            return Ok(page.gather("group-things", things, String::clone));
        }
        let mut names = std::collections::BTreeSet::new();
        let mut groups = vec![name];
        while let Some(group) = groups.pop() {
            names.extend(behind(&self.members, group, after.as_deref()));
            groups.extend(behind(&self.children, group, None).map(String::as_str));
        }
        let names = names.into_iter().cloned();
        Ok(page.gather("group-things", names, String::clone))
    }

    /// Names of the groups that a thing was added to.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn list_groups_of_thing(
        &self,
        name: &str,
        page: Page<'_>,
    ) -> Result<Listed<String>, Error> {
        let thing = self.thing(name)?;
        let after = page.after("thing-groups-of")?;
        let groups = thing.groups.range::<str, _>(behind_name(after.as_deref()));
        Ok(page.gather("thing-groups-of", groups.cloned(), String::clone))
    }
}

impl Draft<'_> {
    /// Creates a group; exactly the same once more is the first one's answer (AWS-OPS-21).
    ///
    /// # Errors
    ///
    /// ResourceAlreadyExists if it is another one, InvalidRequest if there is no such parent, or if it stood
    /// too deep.
    pub fn create_thing_group(
        &mut self,
        name: &str,
        new: NewGroup,
    ) -> Result<Arc<ThingGroup>, Error> {
        check("thingGroupName", name, &NAME)?;
        check_properties(new.description.as_deref(), &new.attributes)?;
        super::tags::check_tags(&new.tags)?;
        let attributes = with_values(new.attributes);
        let description = new.description.filter(|text| !text.is_empty());
        if let Some(group) = self.groups.get(name) {
            let is_same = group.parent == new.parent
                && group.description == description
                && group.attributes == attributes;
            if is_same {
                return Ok(group.clone());
            }
            return Err(Error::ResourceAlreadyExists {
                message: format!("Thing group {name} already exists with different properties."),
                id: name.to_owned(),
                arn: self.arn(&Resource::ThingGroup(name.to_owned())),
            });
        }
        if let Some(parent) = &new.parent {
            check("parentGroupName", parent, &NAME)?;
            // This operation's model knows no ResourceNotFound.
            self.group(parent)
                .map_err(|error| Error::InvalidRequest(error.to_string()))?;
            if self.lineage(parent).count() == DEPTH_MAX {
                return Err(Error::InvalidRequest(format!(
                    "Thing group {name} would stand deeper than {DEPTH_MAX} levels."
                )));
            }
        }
        let (id, created) = (self.uuid(), self.now());
        Ok(self.put(ThingGroup {
            name: name.to_owned(),
            id,
            parent: new.parent,
            description,
            attributes,
            version: 1,
            created,
            policies: [].into(),
            tags: new.tags,
        }))
    }

    /// Changes a group.
    ///
    /// # Errors
    ///
    /// ResourceNotFound, VersionConflict.
    pub fn update_thing_group(
        &mut self,
        name: &str,
        update: GroupUpdate,
    ) -> Result<Arc<ThingGroup>, Error> {
        check("thingGroupName", name, &NAME)?;
        let mut group = ThingGroup::clone(self.group(name)?);
        check_version("Thing group", name, group.version, update.expected_version)?;
        if update.description.is_some() {
            group.description = update.description.filter(|text| !text.is_empty());
        }
        if let Some(attributes) = update.attributes {
            group.attributes = merged(&group.attributes, attributes, update.merge);
        }
        check_properties(group.description.as_deref(), &group.attributes)?;
        group.version += 1;
        Ok(self.put(group))
    }

    /// Deletes a group, if there is one; its things stay (AWS-OPS-26).
    ///
    /// # Errors
    ///
    /// InvalidRequest while groups stand in it, VersionConflict.
    pub fn delete_thing_group(
        &mut self,
        name: &str,
        expected_version: Option<u64>,
    ) -> Result<(), Error> {
        check("thingGroupName", name, &NAME)?;
        let Some(group) = self.groups.get(name) else {
            return Ok(());
        };
        check_version("Thing group", name, group.version, expected_version)?;
        if let Some(child) = behind(&self.children, name, None).next() {
            return Err(Error::InvalidRequest(format!(
                "Cannot delete thing group {name}: thing group {child} stands in it."
            )));
        }
        let members: Vec<_> = behind(&self.members, name, None).cloned().collect();
        for member in members {
            self.set_membership(name, &member, false)?;
        }
        self.remove::<ThingGroup>(name);
        Ok(())
    }

    /// Adds a thing to a group; once more changes nothing.
    ///
    /// # Errors
    ///
    /// ResourceNotFound, InvalidRequest if it is in as many as it may be in.
    pub fn add_thing_to_group(&mut self, group: &str, thing: &str) -> Result<(), Error> {
        self.group(group)?;
        self.set_membership(group, thing, true)
    }

    /// Takes a thing out of a group, if it is in it.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn remove_thing_from_group(&mut self, group: &str, thing: &str) -> Result<(), Error> {
        self.group(group)?;
        self.set_membership(group, thing, false)
    }

    fn set_membership(&mut self, group: &str, thing: &str, is_member: bool) -> Result<(), Error> {
        let mut changed = Thing::clone(self.thing(thing)?);
        let is_changed = match is_member {
            true => changed.groups.insert(group.to_owned()),
            false => changed.groups.remove(group),
        };
        if changed.groups.len() > GROUPS_MAX {
            return Err(Error::InvalidRequest(format!(
                "Thing {thing} is in {GROUPS_MAX} groups, and can be in no more."
            )));
        }
        if is_changed {
            self.put(changed);
        }
        Ok(())
    }
}

fn check_properties(description: Option<&str>, attributes: &Attributes) -> Result<(), Error> {
    if let Some(description) = description {
        check("thingGroupDescription", description, &DESCRIPTION)?;
    }
    check_attributes(attributes)?;
    if attributes.len() > TYPED_ATTRIBUTES_MAX {
        return Err(Error::InvalidRequest(format!(
            "A thing group has at most {TYPED_ATTRIBUTES_MAX} attributes."
        )));
    }
    Ok(())
}
