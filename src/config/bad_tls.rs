//! TLS listeners with something wrong about them, on purpose.

use super::value::Named;

/// What is wrong with a TLS listener, so that a client under test meets it.
///
/// The listener is otherwise one of MQTT over TLS: a client that does not look, or to which it is all the
/// same, is served.
///
/// ```
/// use roundel::config::BadTls;
/// use roundel::{Config, Server};
///
/// # #[cfg(feature = "tls")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut config = Config::standard().ephemeral();
/// config.listeners.bad_tls.extend([(BadTls::Expired, 0), (BadTls::WrongHost, 0)]);
/// let server = Server::start(config).await?;
/// let expired = server.addrs().bad_tls[&BadTls::Expired];
/// // A client that connects there, and trusts `server.ca_pem()`, has to refuse.
/// # assert_ne!(expired.port(), 0);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "tls"))]
/// # fn main() {}
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BadTls {
    /// The server's certificate expired a day ago.
    Expired,
    /// The server's certificate is valid from a year from now on.
    NotYetValid,
    /// The server's certificate is for `wrong-host.localhost`, and nothing else.
    WrongHost,
    /// An authority that nobody knows issued the server's certificate.
    UnknownCa,
    /// The server's certificate is signed with its own key.
    SelfSigned,
    /// The server's certificate is fine, but large: it has 40 KiB. That is more than
    /// two records of TLS, and than the 16 KiB for which small devices have room; OpenSSL takes 100 KiB, and rustls 64.
    LargeChain,
    /// TLS 1.2, and no other version.
    Tls12Only,
    /// TLS 1.3, and no other version.
    Tls13Only,
    /// Whatever certificate a client shows, the handshake ends with the alert `certificate_revoked`; if it shows none,
    /// with the one for that. This holds whatever [`Tls::client_cert`](super::Tls::client_cert) says.
    RejectClient,
    /// A connection that the broker closes ends without `close_notify`, as if somebody had cut it.
    NoCloseNotify,
}

impl Named for BadTls {
    const NAMES: &[(&str, Self)] = &[
        ("expired", Self::Expired),
        ("not-yet-valid", Self::NotYetValid),
        ("wrong-host", Self::WrongHost),
        ("unknown-ca", Self::UnknownCa),
        ("self-signed", Self::SelfSigned),
        ("large-chain", Self::LargeChain),
        ("tls1.2-only", Self::Tls12Only),
        ("tls1.3-only", Self::Tls13Only),
        ("reject-client", Self::RejectClient),
        ("no-close-notify", Self::NoCloseNotify),
    ];
}

impl BadTls {
    /// What its listener is called where connections are told of: `bad-tls:` and its [name](Self::name).
    #[must_use]
    pub fn listener(self) -> &'static str {
        match self {
            Self::Expired => "bad-tls:expired",
            Self::NotYetValid => "bad-tls:not-yet-valid",
            Self::WrongHost => "bad-tls:wrong-host",
            Self::UnknownCa => "bad-tls:unknown-ca",
            Self::SelfSigned => "bad-tls:self-signed",
            Self::LargeChain => "bad-tls:large-chain",
            Self::Tls12Only => "bad-tls:tls1.2-only",
            Self::Tls13Only => "bad-tls:tls1.3-only",
            Self::RejectClient => "bad-tls:reject-client",
            Self::NoCloseNotify => "bad-tls:no-close-notify",
        }
    }

    /// The name used on the command line and in files: `expired`.
    #[must_use]
    pub fn name(self) -> &'static str {
        let listener = self.listener();
        listener.strip_prefix("bad-tls:").unwrap_or(listener)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMES.iter().map(|(_, kind)| *kind)
    }

    /// Whether the broker's authority has to issue a certificate for it.
    pub(super) fn needs_authority(self) -> bool {
        matches!(
            self,
            Self::Expired | Self::NotYetValid | Self::WrongHost | Self::LargeChain
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_the_same_name_everywhere() {
        for (name, kind) in BadTls::NAMES {
            assert_eq!(kind.name(), *name);
        }
    }
}
