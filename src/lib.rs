//! Roundel: an MQTT 5 and 3.1.1 broker to run in-process or as a binary, and a local stand-in for
//! AWS IoT Core.

// What only an optional part of the crate looks at is unused where that part is left out.
#![cfg_attr(
    not(all(feature = "http", feature = "tls", feature = "websocket")),
    allow(dead_code)
)]

mod auth;
pub(crate) mod broker;
pub(crate) mod budget;
pub(crate) mod chunked;
mod client;
pub(crate) mod codec;
pub mod config;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod local;
pub(crate) mod message;
mod net;
pub(crate) mod protocol;
mod server;
#[cfg(any(test, fuzzing))]
mod sim;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod topic;

#[cfg(feature = "tls")]
pub use auth::password::{PasswordHash, PasswordHashError};
pub use codec::{QoS, ReasonCode, Version};
pub use config::Config;
pub use local::{Message, Refused, Subscription};
#[cfg(feature = "tls")]
pub use net::ca::{Authority, CertError, Issued, IssuedPem, KeyKind};
pub use net::timekeeper::AdvanceError;
#[cfg(feature = "tls")]
pub use net::tls::TlsError;
pub use server::{Addrs, BrokerClock, Handle, Server, StartError};
