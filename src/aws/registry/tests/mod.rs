mod authorizers;
mod events;
mod figures;
mod file;
mod fleet;
mod model;
mod quirks;
mod views;

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
};

use super::*;

/// A registry with a time and random numbers that are the same in each run.
pub(super) struct Office {
    pub(super) registry: Registry,
    pub(super) now: Timestamp,
    drawn: std::cell::Cell<u128>,
}

/// The time of the tests: in 2026.
const NOW: Timestamp = 1_790_000_000_000;

impl Office {
    pub(super) fn new(registry: Registry) -> Self {
        Self {
            registry,
            now: NOW,
            drawn: std::cell::Cell::new(0),
        }
    }

    pub(super) fn in_memory() -> Self {
        Self::new(Registry::in_memory(Scope::default()))
    }

    pub(super) fn open(path: &Path) -> Self {
        Self::new(Registry::open(path, Scope::default()).unwrap())
    }

    pub(super) fn change<T>(
        &self,
        operation: impl FnOnce(&mut Draft<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let random = &mut || {
            self.drawn.set(self.drawn.get() + 1);
            self.drawn.get()
        };
        let now = self.now;
        self.registry.change(Means { now, random }, operation)
    }

    pub(super) fn thing(&self, name: &str) {
        self.change(|draft| draft.create_thing(name, NewThing::default()))
            .unwrap();
    }

    pub(super) fn group(&self, name: &str, parent: Option<&str>) {
        let new = NewGroup {
            parent: parent.map(str::to_owned),
            ..NewGroup::default()
        };
        self.change(|draft| draft.create_thing_group(name, new))
            .unwrap();
    }

    pub(super) fn policy(&self, name: &str) {
        self.change(|draft| draft.create_policy(name, DOCUMENT, Attributes::new()))
            .unwrap();
    }

    /// The id of a new active certificate.
    pub(super) fn certificate(&self) -> String {
        let pem = Pki::new("CA").leaf("device");
        let created = self.change(|draft| draft.create_certificate(&pem, true));
        created.unwrap().id.clone()
    }

    pub(super) fn arn(&self, resource: Resource) -> String {
        self.registry.state().arn(&resource)
    }

    pub(super) fn certificate_arn(&self, id: &str) -> String {
        self.arn(Resource::Certificate(id.to_owned()))
    }

    pub(super) fn attach(&self, thing: &str, certificate: &str, kind: PrincipalType) {
        self.try_attach(thing, certificate, kind).unwrap();
    }

    pub(super) fn try_attach(
        &self,
        thing: &str,
        certificate: &str,
        kind: PrincipalType,
    ) -> Result<(), Error> {
        let arn = self.certificate_arn(certificate);
        self.change(|draft| draft.attach_thing_principal(thing, &arn, kind))
    }
}

pub(super) const DOCUMENT: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}"#;

/// Another one.
pub(super) const DENIAL: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"iot:*","Resource":"*"}}"#;

/// The name of the exception of what has to fail, and what it says.
#[track_caller]
pub(super) fn refusal<T: std::fmt::Debug>(result: Result<T, Error>) -> (&'static str, String) {
    let error = result.unwrap_err();
    (error.name(), error.to_string())
}

/// An authority that issues what tests want.
pub(super) struct Pki {
    issuer: Issuer<'static, KeyPair>,
    pub(super) pem: String,
}

impl Pki {
    pub(super) fn new(common_name: &str) -> Self {
        let mut params = params(common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(super) fn leaf(&self, common_name: &str) -> String {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        self.leaf_of(common_name, &key)
    }

    pub(super) fn leaf_of(&self, common_name: &str, key: &KeyPair) -> String {
        let signed = params(common_name).signed_by(key, &self.issuer);
        signed.unwrap().pem()
    }
}

fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}
