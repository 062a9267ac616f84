//! Certificates of authorities (AWS-API-09, -10).

use std::sync::Arc;

use super::certificates::{SAME_SUBJECT_MAX, dated};
use super::names::{CERTIFICATE_ID, Resource, check};
use super::record::{Account, Attributes, CaCertificate, CertificateMode, RegistrationConfig};
use super::x509::Read;
use super::{Draft, Error, Listed, Page, State};

/// What is said of an authority at its registration.
#[derive(Clone, Debug, Default)]
pub struct NewCa<'a> {
    /// Its certificate, in PEM.
    pub certificate: &'a str,
    /// A certificate that it signed, with the registration code as its Common Name; not needed in mode
    /// SNI_ONLY.
    pub verification: Option<&'a str>,
    /// Whether certificates of it may be registered.
    pub is_active: bool,
    /// Whether they register themselves.
    pub auto_registration: bool,
    /// What is done with those.
    pub registration: RegistrationConfig,
    /// See there.
    pub mode: CertificateMode,
    /// Keys and values.
    pub tags: Attributes,
}

/// What is to change of an authority.
#[derive(Clone, Debug, Default)]
pub struct CaUpdate {
    /// Whether certificates of it may be registered.
    pub is_active: Option<bool>,
    /// Whether they register themselves.
    pub auto_registration: Option<bool>,
    /// What is done with those.
    pub registration: Option<RegistrationConfig>,
}

impl State {
    /// An authority.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn describe_ca_certificate(&self, id: &str) -> Result<Arc<CaCertificate>, Error> {
        check("certificateId", id, &CERTIFICATE_ID)?;
        self.authority(id).cloned()
    }

    pub(super) fn authority(&self, id: &str) -> Result<&Arc<CaCertificate>, Error> {
        let authority = self.authorities.get(id);
        authority.ok_or_else(|| Error::not_found("CA certificate", id))
    }

    /// Authorities in the order of their registration; those of a provisioning template, if one is named.
    ///
    /// # Errors
    ///
    /// InvalidRequest for a token of another list.
    pub fn list_ca_certificates(
        &self,
        template: Option<&str>,
        page: Page<'_>,
    ) -> Result<Listed<Arc<CaCertificate>>, Error> {
        let is_wanted = |id: &str| {
            let own = self.authorities.get(id);
            let own = own.and_then(|ca| ca.registration.template_name.as_deref());
            template.is_none() || own == template
        };
        let ids = dated("ca-certificates", &self.authority_dates, page, is_wanted)?;
        Ok(ids.look_up(|id| self.authorities.get(&id).cloned()))
    }

    /// Ids and PEMs of those whose certificates may be registered.
    #[cfg(feature = "tls")]
    pub(crate) fn active_authorities(&self) -> impl Iterator<Item = (&str, &str)> {
        let active = self.authorities.values().filter(|ca| ca.is_active);
        active.map(|ca| (ca.id.as_str(), &*ca.pem))
    }

    /// What there is one of, if anything of it is there.
    pub(super) fn account(&self) -> Option<&Account> {
        self.accounts.get(Account::KEY).map(|account| &**account)
    }

    /// The registration code, if somebody has asked for one.
    pub(super) fn registration_code(&self) -> Option<&String> {
        self.account()?.registration_code.as_ref()
    }
}

impl Draft<'_> {
    /// The code for verification certificates, the same until it is deleted (AWS-OPS-44).
    pub fn get_registration_code(&mut self) -> String {
        if let Some(code) = self.registration_code() {
            return code.clone();
        }
        let code = self.code();
        self.set_registration_code(Some(code.clone()));
        code
    }

    pub(super) fn set_registration_code(&mut self, code: Option<String>) {
        self.update_account(|account| account.registration_code = code);
    }

    pub(super) fn update_account(&mut self, update: impl FnOnce(&mut Account)) {
        let mut account = self.account().cloned().unwrap_or_default();
        update(&mut account);
        self.put(account);
    }

    /// Deletes the code: the next one is another one.
    ///
    /// # Errors
    ///
    /// ResourceNotFound if there is none.
    pub fn delete_registration_code(&mut self) -> Result<(), Error> {
        if self.registration_code().is_none() {
            let message = "There is no registration code.".to_owned();
            return Err(Error::ResourceNotFound(message));
        }
        self.set_registration_code(None);
        Ok(())
    }

    /// Registers an authority (AWS-OPS-33).
    ///
    /// # Errors
    ///
    /// CertificateValidation, RegistrationCodeValidation, ResourceAlreadyExists, and LimitExceeded if ten
    /// have the same subject.
    pub fn register_ca_certificate(&mut self, new: NewCa<'_>) -> Result<Arc<CaCertificate>, Error> {
        let read = Read::pem(new.certificate)?;
        if !read.is_authority {
            return Err(Error::CertificateValidation(
                "The certificate is not one of an authority.".to_owned(),
            ));
        }
        match new.verification {
            Some(verification) => self.verify(&read, &Read::pem(verification)?)?,
            None if new.mode == CertificateMode::SniOnly => {}
            None => {
                return Err(Error::invalid(
                    "verificationCertificate is required in certificateMode DEFAULT.",
                ));
            }
        }
        self.add_ca(read, new)
    }

    /// The rest of it, for an authority that nobody doubts.
    pub(super) fn add_ca(
        &mut self,
        read: Read,
        new: NewCa<'_>,
    ) -> Result<Arc<CaCertificate>, Error> {
        super::tags::check_tags(&new.tags)?;
        if self.authorities.contains_key(&read.id) {
            return Err(Error::ResourceAlreadyExists {
                message: "The CA certificate is already registered.".to_owned(),
                arn: self.arn(&Resource::CaCertificate(read.id.clone())),
                id: read.id,
            });
        }
        let subject = &read.subject;
        let of_subject = self
            .authorities
            .values()
            .filter(|ca| ca.subject == *subject);
        if of_subject.count() >= SAME_SUBJECT_MAX {
            return Err(Error::LimitExceeded(format!(
                "{SAME_SUBJECT_MAX} CA certificates have the subject `{subject}` already."
            )));
        }
        let (now, generation) = (self.now(), self.uuid());
        Ok(self.put(CaCertificate {
            id: read.id,
            pem: read.pem.into(),
            subject: read.subject,
            is_active: new.is_active,
            auto_registration: new.auto_registration,
            mode: new.mode,
            registration: new.registration,
            created: now,
            modified: now,
            version: 1,
            generation,
            not_before: read.not_before,
            not_after: read.not_after,
            tags: new.tags,
        }))
    }

    /// Whether who registers an authority has its key.
    fn verify(&self, ca: &Read, verification: &Read) -> Result<(), Error> {
        if !verification.is_signed_by(ca) {
            return Err(Error::CertificateValidation(
                "The CA did not sign the verification certificate.".to_owned(),
            ));
        }
        let code = self.registration_code();
        if code.is_none() || verification.common_name.as_ref() != code {
            return Err(Error::RegistrationCodeValidation(
                "The Common Name of the verification certificate is not the registration code \
                 (GetRegistrationCode)."
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Changes what an authority may do.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn update_ca_certificate(&mut self, id: &str, update: CaUpdate) -> Result<(), Error> {
        check("certificateId", id, &CERTIFICATE_ID)?;
        let old = self.authority(id)?.clone();
        let mut ca = CaCertificate::clone(&old);
        ca.is_active = update.is_active.unwrap_or(ca.is_active);
        ca.auto_registration = update.auto_registration.unwrap_or(ca.auto_registration);
        if let Some(registration) = update.registration {
            ca.registration = registration;
        }
        if ca != *old {
            ca.version += 1;
            ca.modified = self.now();
            self.put(ca);
        }
        Ok(())
    }

    /// Deletes an authority that is not active; what it signed stays.
    ///
    /// # Errors
    ///
    /// ResourceNotFound, CertificateState.
    pub fn delete_ca_certificate(&mut self, id: &str) -> Result<(), Error> {
        check("certificateId", id, &CERTIFICATE_ID)?;
        if self.authority(id)?.is_active {
            return Err(Error::CertificateState(format!(
                "CA certificate {id} is ACTIVE: it has to be deactivated before (UpdateCACertificate)."
            )));
        }
        self.remove::<CaCertificate>(id);
        Ok(())
    }
}
