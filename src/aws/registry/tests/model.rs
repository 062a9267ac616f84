//! Random operations against a model that is too simple to be wrong, and against what a process that is
//! killed between them finds again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::fleet::{Format, export};

use super::*;

#[derive(Clone, Debug)]
enum Op {
    CreateThing(u8, u8),
    UpdateThing(u8, u8),
    DeleteThing(u8),
    CreateGroup(u8, Option<u8>),
    DeleteGroup(u8),
    SetMember(u8, u8, bool),
    CreatePolicy(u8),
    DeletePolicy(u8),
    SetPolicy(u8, Target, bool),
    CreateCertificate(u8),
    SetStatus(u8, bool),
    DeleteCertificate(u8, bool),
    Attach(u8, u8, bool),
    Detach(u8, u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Certificate(u8),
    Group(u8),
}

/// There are three of everything.
fn ops() -> impl Strategy<Value = Vec<Op>> {
    let n = 0..3u8;
    let target = prop_oneof![
        (0..3u8).prop_map(Target::Certificate),
        (0..3u8).prop_map(Target::Group)
    ];
    let op = prop_oneof![
        4 => (n.clone(), 0..2u8).prop_map(|(t, v)| Op::CreateThing(t, v)),
        1 => (n.clone(), 0..2u8).prop_map(|(t, v)| Op::UpdateThing(t, v)),
        1 => n.clone().prop_map(Op::DeleteThing),
        4 => (n.clone(), proptest::option::of(n.clone())).prop_map(|(g, p)| Op::CreateGroup(g, p)),
        1 => n.clone().prop_map(Op::DeleteGroup),
        4 => (n.clone(), n.clone(), any::<bool>()).prop_map(|(g, t, on)| Op::SetMember(g, t, on)),
        3 => n.clone().prop_map(Op::CreatePolicy),
        1 => n.clone().prop_map(Op::DeletePolicy),
        6 => (n.clone(), target, any::<bool>()).prop_map(|(p, t, on)| Op::SetPolicy(p, t, on)),
        4 => n.clone().prop_map(Op::CreateCertificate),
        1 => (n.clone(), any::<bool>()).prop_map(|(c, on)| Op::SetStatus(c, on)),
        1 => (n.clone(), any::<bool>()).prop_map(|(c, force)| Op::DeleteCertificate(c, force)),
        4 => (n.clone(), n.clone(), any::<bool>()).prop_map(|(t, c, own)| Op::Attach(t, c, own)),
        1 => (n.clone(), n).prop_map(|(t, c)| Op::Detach(t, c)),
    ];
    proptest::collection::vec(op, 1..60)
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    /// Value of their attribute, and version.
    things: BTreeMap<u8, (u8, u64)>,
    groups: BTreeMap<u8, Option<u8>>,
    members: BTreeSet<(u8, u8)>,
    policies: BTreeSet<u8>,
    attached_policies: BTreeSet<(Target, u8)>,
    /// Whether they are active.
    certificates: BTreeMap<u8, bool>,
    /// Thing and certificate; whether it belongs to that thing alone.
    attached: BTreeMap<(u8, u8), bool>,
}

impl Model {
    /// Does it, if the service would.
    fn apply(&mut self, op: &Op) -> bool {
        match *op {
            Op::CreateThing(t, v) => self.things.entry(t).or_insert((v, 1)).0 == v,
            Op::UpdateThing(t, v) => self.things.get_mut(&t).is_some_and(|thing| {
                *thing = (v, thing.1 + 1);
                true
            }),
            Op::DeleteThing(t) => {
                let is_free = !self.attached.keys().any(|(thing, _)| *thing == t);
                if is_free {
                    self.things.remove(&t);
                    self.members.retain(|(_, thing)| *thing != t);
                }
                is_free
            }
            Op::CreateGroup(g, parent) => match self.groups.get(&g) {
                Some(old) => *old == parent,
                None => {
                    let is_known = parent.is_none_or(|parent| self.groups.contains_key(&parent));
                    if is_known {
                        self.groups.insert(g, parent);
                    }
                    is_known
                }
            },
            Op::DeleteGroup(g) => {
                let is_leaf = !self.groups.values().any(|parent| *parent == Some(g));
                if is_leaf {
                    self.groups.remove(&g);
                    self.members.retain(|(group, _)| *group != g);
                    self.attached_policies
                        .retain(|(target, _)| *target != Target::Group(g));
                }
                is_leaf
            }
            Op::SetMember(g, t, on) => {
                let is_known = self.groups.contains_key(&g) && self.things.contains_key(&t);
                if is_known && on {
                    self.members.insert((g, t));
                } else if is_known {
                    self.members.remove(&(g, t));
                }
                is_known
            }
            Op::CreatePolicy(p) => self.policies.insert(p),
            Op::DeletePolicy(p) => {
                let is_free = !self
                    .attached_policies
                    .iter()
                    .any(|(_, policy)| *policy == p);
                is_free && self.policies.remove(&p)
            }
            Op::SetPolicy(p, target, on) => self.set_policy(p, target, on),
            Op::CreateCertificate(c) => {
                let is_new = !self.certificates.contains_key(&c);
                self.certificates.entry(c).or_insert(true);
                is_new
            }
            Op::SetStatus(c, on) => self.certificates.get_mut(&c).is_some_and(|is_active| {
                *is_active = on;
                true
            }),
            Op::DeleteCertificate(c, force) => {
                let target = Target::Certificate(c);
                let has_policy = self.attached_policies.iter().any(|(t, _)| *t == target);
                let is_free = self.certificates.get(&c) == Some(&false)
                    && !self
                        .attached
                        .keys()
                        .any(|(_, certificate)| *certificate == c)
                    && (force || !has_policy);
                if is_free {
                    self.certificates.remove(&c);
                    self.attached_policies.retain(|(t, _)| *t != target);
                }
                is_free
            }
            Op::Attach(t, c, alone) => {
                let others = self.attached.iter().filter(|((_, id), _)| *id == c);
                let is_free = others.into_iter().all(|((thing, _), held_alone)| {
                    if *thing == t {
                        alone || !held_alone
                    } else {
                        !alone && !held_alone
                    }
                });
                let is_known = self.things.contains_key(&t) && self.certificates.contains_key(&c);
                if is_known && is_free {
                    self.attached.insert((t, c), alone);
                }
                is_known && is_free
            }
            Op::Detach(t, c) => self.attached.remove(&(t, c)).is_some(),
        }
    }

    fn set_policy(&mut self, p: u8, target: Target, on: bool) -> bool {
        let (is_known, most) = match target {
            Target::Certificate(c) => (self.certificates.contains_key(&c), 10),
            Target::Group(g) => (self.groups.contains_key(&g), 2),
        };
        if !is_known || !self.policies.contains(&p) {
            return false;
        }
        if !on {
            self.attached_policies.remove(&(target, p));
            return true;
        }
        let held = self.attached_policies.iter().filter(|(t, _)| *t == target);
        let has_room = held.count() < most || self.attached_policies.contains(&(target, p));
        if has_room {
            self.attached_policies.insert((target, p));
        }
        has_room
    }

    /// The same of a registry, by its lists: they have to agree with the records.
    fn of(state: &State) -> Self {
        let mut model = Self::default();
        let page = Page::default();
        let number = |name: &str| name[1..].parse::<u8>().unwrap();
        let things = state.list_things(&ThingFilter::default(), page).unwrap();
        for thing in things.items {
            let value = thing.attributes["a"].parse().unwrap();
            model
                .things
                .insert(number(&thing.name), (value, thing.version));
        }
        let filter = GroupFilter {
            is_recursive: true,
            ..GroupFilter::default()
        };
        for group in state.list_thing_groups(&filter, page).unwrap().items {
            let g = number(&group.name);
            model.groups.insert(g, group.parent.as_deref().map(number));
            let things = state.list_things_in_group(&group.name, false, page);
            let things = things.unwrap().items.into_iter();
            model
                .members
                .extend(things.map(|thing| (g, number(&thing))));
        }
        for policy in state.list_policies(page).unwrap().items {
            let p = number(&policy.name);
            model.policies.insert(p);
            let targets = state.list_targets_for_policy(&policy.name, page).unwrap();
            let targets = targets.items.iter().map(|target| match target {
                Resource::Certificate(id) => (Target::Certificate(certificate_number(id)), p),
                Resource::ThingGroup(name) => (Target::Group(number(name)), p),
                other => panic!("{other:?}"),
            });
            model.attached_policies.extend(targets);
        }
        for certificate in state.list_certificates(page).unwrap().items {
            let c = certificate_number(&certificate.id);
            let is_active = certificate.status == CertificateStatus::Active;
            model.certificates.insert(c, is_active);
            let arn = state.arn(&Resource::Certificate(certificate.id.clone()));
            let things = state.list_principal_things(&arn, None, page).unwrap().items;
            for (thing, kind) in things {
                let key = (number(&thing), c);
                model
                    .attached
                    .insert(key, kind == PrincipalType::ExclusiveThing);
            }
        }
        model
    }
}

/// PEMs and identifiers.
static CERTIFICATES: LazyLock<Vec<(String, String)>> = LazyLock::new(|| {
    let pki = Pki::new("CA");
    let pems = (0..3).map(|n| pki.leaf(&format!("device {n}")));
    pems.map(|pem| {
        let id = x509::Read::pem(&pem).unwrap().id;
        (pem, id)
    })
    .collect()
});

fn certificate_number(id: &str) -> u8 {
    let place = CERTIFICATES.iter().position(|(_, own)| own == id);
    u8::try_from(place.unwrap()).unwrap()
}

fn perform(office: &Office, op: &Op) -> Result<(), Error> {
    let thing = |n: u8| format!("t{n}");
    let group = |n: u8| format!("g{n}");
    let policy = |n: u8| format!("p{n}");
    let id = |n: u8| CERTIFICATES[usize::from(n)].1.as_str();
    let arn = |n: u8| office.certificate_arn(id(n));
    let attributes = |v: u8| Attributes::from([("a".to_owned(), v.to_string())]);
    office.change(|d| match *op {
        Op::CreateThing(t, v) => {
            let new = NewThing {
                thing_type: None,
                attributes: attributes(v),
            };
            d.create_thing(&thing(t), new).map(drop)
        }
        Op::UpdateThing(t, v) => {
            let update = ThingUpdate {
                attributes: Some(attributes(v)),
                ..ThingUpdate::default()
            };
            d.update_thing(&thing(t), update).map(drop)
        }
        Op::DeleteThing(t) => d.delete_thing(&thing(t), None),
        Op::CreateGroup(g, parent) => {
            let new = NewGroup {
                parent: parent.map(group),
                ..NewGroup::default()
            };
            d.create_thing_group(&group(g), new).map(drop)
        }
        Op::DeleteGroup(g) => d.delete_thing_group(&group(g), None),
        Op::SetMember(g, t, true) => d.add_thing_to_group(&group(g), &thing(t)),
        Op::SetMember(g, t, false) => d.remove_thing_from_group(&group(g), &thing(t)),
        Op::CreatePolicy(p) => d
            .create_policy(&policy(p), DOCUMENT, Attributes::new())
            .map(drop),
        Op::DeletePolicy(p) => d.delete_policy(&policy(p)),
        Op::SetPolicy(p, target, on) => {
            let target = match target {
                Target::Certificate(c) => arn(c),
                Target::Group(g) => d.arn(&Resource::ThingGroup(group(g))),
            };
            match on {
                true => d.attach_policy(&policy(p), &target),
                false => d.detach_policy(&policy(p), &target),
            }
        }
        Op::CreateCertificate(c) => d
            .create_certificate(&CERTIFICATES[usize::from(c)].0, true)
            .map(drop),
        Op::SetStatus(c, on) => {
            let status = match on {
                true => RegisterStatus::Active,
                false => RegisterStatus::Inactive,
            };
            d.update_certificate(id(c), status)
        }
        Op::DeleteCertificate(c, force) => d.delete_certificate(id(c), force),
        Op::Attach(t, c, alone) => {
            let kind = match alone {
                true => PrincipalType::ExclusiveThing,
                false => PrincipalType::NonExclusiveThing,
            };
            d.attach_thing_principal(&thing(t), &arn(c), kind)
        }
        Op::Detach(t, c) => d.detach_thing_principal(&thing(t), &arn(c)),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn registry_does_what_the_model_does_and_the_file_has_what_was_answered(ops in ops()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.redb");
        let office = Office::open(&path);
        let mut model = Model::default();
        for (number, op) in ops.iter().enumerate() {
            let is_done = model.apply(op);
            let result = perform(&office, op);
            prop_assert_eq!(result.is_ok(), is_done, "{:?}: {:?}", op, result);
            prop_assert_eq!(&Model::of(&office.registry.state()), &model, "{:?}", op);
            if number % 8 == 7 || number + 1 == ops.len() {
                // What is on the disk while nobody closed it.
                let image = folder.path().join(format!("{number}.redb"));
                std::fs::copy(&path, &image).unwrap();
                let found = Registry::open(&image, Scope::default()).unwrap().state();
                prop_assert_eq!(&Model::of(&found), &model);
                prop_assert_eq!(&*found, &*office.registry.state());
            }
        }
        let document = export(&office.registry, Format::Toml).unwrap();
        let copy = Office::in_memory();
        copy.import(&document, Format::Toml).unwrap();
        prop_assert_eq!(export(&copy.registry, Format::Toml).unwrap(), document);
    }
}
