//! Client certificates (AWS-API-05 to -14).

use std::sync::Arc;

use super::names::{CERTIFICATE_ID, Resource, check};
use super::record::{CaCertificate, Certificate, CertificateMode, CertificateStatus, Timestamp};
use super::state::{Dates, behind};
use super::x509::Read;
use super::{Draft, Error, Listed, Page, State};

/// Authorities of one subject (AWS-OPS-33).
pub(super) const SAME_SUBJECT_MAX: usize = 10;

/// The statuses that somebody can ask for (AWS-API-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterStatus {
    /// It may connect.
    Active,
    /// It may not, for the time being.
    Inactive,
    /// It may not.
    Revoked,
}

impl From<RegisterStatus> for CertificateStatus {
    fn from(status: RegisterStatus) -> Self {
        match status {
            RegisterStatus::Active => Self::Active,
            RegisterStatus::Inactive => Self::Inactive,
            RegisterStatus::Revoked => Self::Revoked,
        }
    }
}

impl State {
    /// A certificate.
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn describe_certificate(&self, id: &str) -> Result<Arc<Certificate>, Error> {
        check("certificateId", id, &CERTIFICATE_ID)?;
        self.certificate(id).cloned()
    }

    pub(super) fn certificate(&self, id: &str) -> Result<&Arc<Certificate>, Error> {
        let certificate = self.certificates.get(id);
        certificate.ok_or_else(|| Error::not_found("Certificate", id))
    }

    /// Whether a certificate is registered, whatever its status.
    #[cfg(feature = "tls")]
    pub(crate) fn knows_certificate(&self, id: &str) -> bool {
        self.certificates.contains_key(id)
    }

    /// Whether a certificate (DER) looks like one that [`Draft::auto_register`] registers.
    #[cfg(feature = "tls")]
    pub(crate) fn may_auto_register(&self, der: &[u8]) -> bool {
        let mut willing = self.authorities.values();
        if !willing.any(|ca| ca.is_active && ca.auto_registration) {
            return false;
        }
        let Ok(read) = Read::der(der.to_vec()) else {
            return false;
        };
        let signs = |ca: &Arc<CaCertificate>| {
            ca.is_active && ca.auto_registration && ca.subject == read.issuer
        };
        !self.knows_certificate(&read.id) && self.authorities.values().any(signs)
    }

    /// Certificates in the order of their creation.
    ///
    /// # Errors
    ///
    /// InvalidRequest for a token of another list.
    pub fn list_certificates(&self, page: Page<'_>) -> Result<Listed<Arc<Certificate>>, Error> {
        let ids = dated("certificates", &self.certificate_dates, page, |_| true)?;
        Ok(ids.look_up(|id| self.certificates.get(&id).cloned()))
    }

    /// Those that a registered authority signed.
    ///
    /// # Errors
    ///
    /// ResourceNotFound for the authority, InvalidRequest for a token of another list.
    pub fn list_certificates_by_ca(
        &self,
        ca: &str,
        page: Page<'_>,
    ) -> Result<Listed<Arc<Certificate>>, Error> {
        self.authority(ca)?;
        let after = page.after("certificates-by-ca")?;
        let (low, high) = bounds(after.as_deref(), page.is_descending)?;
        let entry = |(date, id): (Timestamp, String)| (ca.to_owned(), date, id);
        let range = (low.map(entry), high.map(entry));
        let found = self.signed.range(range);
        let found = in_order(found, page.is_descending).filter(|(signer, _, _)| signer == ca);
        let found = found.filter_map(|(_, _, id)| self.certificates.get(id));
        Ok(
            page.gather("certificates-by-ca", found.cloned(), |certificate| {
                position(certificate.created, &certificate.id)
            }),
        )
    }
}

/// One page of identifiers by date.
pub(super) fn dated(
    list: &str,
    dates: &Dates,
    page: Page<'_>,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Listed<String>, Error> {
    let after = page.after(list)?;
    let range = bounds(after.as_deref(), page.is_descending)?;
    let found = in_order(dates.range(range), page.is_descending);
    let found = found.filter(|(_, id)| is_wanted(id));
    let listed = page.gather(list, found, |(date, id)| position(*date, id));
    Ok(listed.map(|(_, id)| id.clone()))
}

fn position(date: Timestamp, id: &str) -> String {
    format!("{date}\t{id}")
}

type Range = (
    std::ops::Bound<(Timestamp, String)>,
    std::ops::Bound<(Timestamp, String)>,
);

/// What is behind a position, in the order of the list.
fn bounds(after: Option<&str>, is_descending: bool) -> Result<Range, Error> {
    use std::ops::Bound::{Excluded, Included};
    let first = Included((0, String::new()));
    let last = Included((Timestamp::MAX, "\u{10ffff}".to_owned()));
    let Some(after) = after else {
        return Ok((first, last));
    };
    let parsed = after.split_once('\t');
    let parsed = parsed.and_then(|(date, id)| Some((date.parse().ok()?, id.to_owned())));
    let after = Excluded(parsed.ok_or_else(|| Error::invalid("The token is damaged."))?);
    Ok(match is_descending {
        true => (first, after),
        false => (after, last),
    })
}

/// Either way through what can be gone through both ways.
fn in_order<I: DoubleEndedIterator>(
    mut items: I,
    is_descending: bool,
) -> impl Iterator<Item = I::Item> {
    std::iter::from_fn(move || match is_descending {
        true => items.next_back(),
        false => items.next(),
    })
}

impl Draft<'_> {
    /// Registers a certificate that was issued here (AWS-API-05, -06): no authority is named in it.
    ///
    /// # Errors
    ///
    /// CertificateValidation, ResourceAlreadyExists.
    pub fn create_certificate(
        &mut self,
        pem: &str,
        is_active: bool,
    ) -> Result<Arc<Certificate>, Error> {
        let read = Read::pem(pem)?;
        let status = match is_active {
            true => CertificateStatus::Active,
            false => CertificateStatus::Inactive,
        };
        self.register(read, status, CertificateMode::Default, None)
    }

    /// Sees to it that a certificate that was issued here is registered: as ACTIVE if it is not there, else as
    /// it is. Whether it is new.
    ///
    /// # Errors
    ///
    /// CertificateValidation.
    pub fn ensure_certificate(&mut self, pem: &str) -> Result<(Arc<Certificate>, bool), Error> {
        let read = Read::pem(pem)?;
        if let Some(known) = self.certificates.get(&read.id) {
            return Ok((known.clone(), false));
        }
        let (status, mode) = (CertificateStatus::Active, CertificateMode::Default);
        Ok((self.register(read, status, mode, None)?, true))
    }

    /// Registers a certificate that a registered authority signed (AWS-OPS-31).
    ///
    /// # Errors
    ///
    /// CertificateValidation if none did, CertificateConflict if several may have and `ca_pem` does not say
    /// which one, CertificateState if that one is not active, ResourceAlreadyExists.
    pub fn register_certificate(
        &mut self,
        pem: &str,
        ca_pem: Option<&str>,
        status: RegisterStatus,
    ) -> Result<Arc<Certificate>, Error> {
        let read = Read::pem(pem)?;
        self.refuse_known(&read.id)?;
        let ca = self.signer(&read, ca_pem)?;
        if !ca.is_active {
            return Err(Error::CertificateState(format!(
                "CA certificate {} is INACTIVE.",
                ca.id
            )));
        }
        let (mode, ca) = (ca.mode, ca.id.clone());
        self.register(read, status.into(), mode, Some(ca))
    }

    /// Registers a certificate, whoever signed it (AWS-API-08).
    ///
    /// # Errors
    ///
    /// CertificateValidation, ResourceAlreadyExists.
    pub fn register_certificate_without_ca(
        &mut self,
        pem: &str,
        status: RegisterStatus,
    ) -> Result<Arc<Certificate>, Error> {
        let read = Read::pem(pem)?;
        self.register(read, status.into(), CertificateMode::SniOnly, None)
    }

    /// Registers an unknown certificate (DER) at its first CONNECT (AWS-ID-04, -05), if an authority signed it
    /// that is active and has that allowed: for clients without SNI only those of mode DEFAULT.
    ///
    /// # Errors
    ///
    /// CertificateValidation if there is none such, ResourceAlreadyExists.
    pub fn auto_register(&mut self, der: &[u8], has_sni: bool) -> Result<Arc<Certificate>, Error> {
        let read = Read::der(der.to_vec())?;
        self.refuse_known(&read.id)?;
        let signers = self.signers(&read)?;
        let allowed = signers.into_iter().find(|ca| {
            let knows = has_sni || ca.mode == CertificateMode::Default;
            ca.is_active && ca.auto_registration && knows
        });
        let Some(ca) = allowed else {
            return Err(Error::CertificateValidation(format!(
                "No CA certificate registers certificates of `{}` by itself.",
                read.issuer
            )));
        };
        let (mode, ca) = (ca.mode, ca.id.clone());
        self.register(read, CertificateStatus::PendingActivation, mode, Some(ca))
    }

    pub(super) fn register(
        &mut self,
        read: Read,
        status: CertificateStatus,
        mode: CertificateMode,
        ca: Option<String>,
    ) -> Result<Arc<Certificate>, Error> {
        self.refuse_known(&read.id)?;
        let (now, generation) = (self.now(), self.uuid());
        Ok(self.put(Certificate {
            id: read.id,
            pem: read.pem.into(),
            status,
            mode,
            ca,
            created: now,
            modified: now,
            version: 1,
            generation,
            not_before: read.not_before,
            not_after: read.not_after,
            policies: [].into(),
        }))
    }

    fn refuse_known(&self, id: &str) -> Result<(), Error> {
        match self.certificates.get(id) {
            None => Ok(()),
            // With what there is (AWS-OPS-32).
            Some(_) => Err(Error::ResourceAlreadyExists {
                message: "The certificate is already registered.".to_owned(),
                id: id.to_owned(),
                arn: self.arn(&Resource::Certificate(id.to_owned())),
            }),
        }
    }

    /// The registered authority that signed a certificate.
    fn signer(&self, read: &Read, ca_pem: Option<&str>) -> Result<Arc<CaCertificate>, Error> {
        if let Some(pem) = ca_pem {
            let ca = Read::pem(pem)?;
            let known = self.authorities.get(&ca.id);
            return match known.filter(|_| read.is_signed_by(&ca)) {
                Some(known) => Ok(known.clone()),
                None => Err(Error::CertificateValidation(
                    "The CA certificate is not registered, or did not sign this one.".to_owned(),
                )),
            };
        }
        // The service looks at subjects only (AWS-OPS-31).
        let of_subject = self.authorities.values();
        let of_subject = of_subject.filter(|ca| ca.subject == read.issuer).count();
        if of_subject > 1 {
            return Err(Error::CertificateConflict(format!(
                "{of_subject} CA certificates have the subject `{}`: caCertificatePem has to say which one.",
                read.issuer
            )));
        }
        self.signers(read)?.pop().ok_or_else(|| {
            Error::CertificateValidation(format!(
                "No CA certificate is registered that signed this one (`{}`).",
                read.issuer
            ))
        })
    }

    fn signers(&self, read: &Read) -> Result<Vec<Arc<CaCertificate>>, Error> {
        let of_subject = self.authorities.values();
        let of_subject = of_subject.filter(|ca| ca.subject == read.issuer);
        let mut signers = Vec::new();
        for ca in of_subject.take(SAME_SUBJECT_MAX) {
            if read.is_signed_by(&Read::pem(&ca.pem)?) {
                signers.push(ca.clone());
            }
        }
        Ok(signers)
    }

    /// Gives a certificate another status; the same once more changes nothing (AWS-OPS-27).
    ///
    /// # Errors
    ///
    /// ResourceNotFound.
    pub fn update_certificate(&mut self, id: &str, status: RegisterStatus) -> Result<(), Error> {
        check("certificateId", id, &CERTIFICATE_ID)?;
        let mut certificate = Certificate::clone(self.certificate(id)?);
        let status = CertificateStatus::from(status);
        if certificate.status != status {
            certificate.status = status;
            certificate.version += 1;
            certificate.modified = self.now();
            self.put(certificate);
        }
        Ok(())
    }

    /// Deletes a certificate that is not active and to which nothing is attached; with `is_forced` policies
    /// may be (AWS-OPS-28).
    ///
    /// # Errors
    ///
    /// ResourceNotFound, CertificateState, DeleteConflict.
    pub fn delete_certificate(&mut self, id: &str, is_forced: bool) -> Result<(), Error> {
        check("certificateId", id, &CERTIFICATE_ID)?;
        let certificate = self.certificate(id)?;
        if certificate.status == CertificateStatus::Active {
            return Err(Error::CertificateState(format!(
                "Certificate {id} is ACTIVE: it has to be deactivated before (UpdateCertificate)."
            )));
        }
        let things: Vec<_> = behind(&self.attached, id, None).cloned().collect();
        if !things.is_empty() {
            return Err(Error::DeleteConflict(format!(
                "Things must be detached before deletion of certificate {id}: {}",
                things.join(", ")
            )));
        }
        if !is_forced && !certificate.policies.is_empty() {
            let policies: Vec<_> = certificate.policies.iter().cloned().collect();
            return Err(Error::DeleteConflict(format!(
                "Policies must be detached before deletion of certificate {id}: {}",
                policies.join(", ")
            )));
        }
        self.remove::<Certificate>(id);
        Ok(())
    }
}
