//! The server's certificate, for clients that ask for it under a name of its own (SNI), as far as they have to.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::AwsRules;

/// A certificate, and which clients get it.
#[derive(Clone, Debug)]
pub(super) struct Named {
    own: Arc<CertifiedKey>,
    /// Those that name no server get it.
    is_name_optional: bool,
    /// Those that name another server get it.
    is_any_name_fine: bool,
}

impl Named {
    /// For everybody.
    pub(super) fn new(own: CertifiedKey) -> Self {
        Self {
            own: Arc::new(own),
            is_name_optional: true,
            is_any_name_fine: true,
        }
    }

    /// Under the rules of the service, as far as they are switched on (AWS-TLS-05, -06).
    pub(super) fn under(self, rules: &AwsRules) -> Self {
        Self {
            is_name_optional: !rules.refuse_missing_sni,
            is_any_name_fine: !rules.refuse_foreign_sni,
            ..self
        }
    }

    fn is_fine(&self, name: Option<&str>) -> bool {
        match name {
            None => self.is_name_optional,
            Some(name) => self.is_any_name_fine || self.has(name),
        }
    }

    fn has(&self, name: &str) -> bool {
        let certificate = self.own.cert.first().map(ParsedCertificate::try_from);
        let (Some(Ok(certificate)), Ok(name)) = (certificate, ServerName::try_from(name)) else {
            return false;
        };
        verify_server_name(&certificate, &name).is_ok()
    }
}

impl ResolvesServerCert for Named {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.is_fine(hello.server_name()).then(|| self.own.clone())
    }
}
