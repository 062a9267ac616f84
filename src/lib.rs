//! Roundel: an MQTT 5 and 3.1.1 broker to run in-process or as a binary, and a local stand-in for
//! AWS IoT Core.

mod auth;
pub mod config;
mod net;

#[cfg(feature = "tls")]
pub use auth::password::{PasswordHash, PasswordHashError};
pub use config::Config;
#[cfg(feature = "tls")]
pub use net::ca::{Authority, CertError, Issued, IssuedPem, KeyKind};
#[cfg(feature = "tls")]
pub use net::tls::TlsError;
