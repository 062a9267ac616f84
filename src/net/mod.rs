//! What touches sockets and certificates: listeners, transports, TLS, and the task that drives each
//! connection.

#[cfg(feature = "aws")]
mod authorizers;
#[cfg(feature = "tls")]
pub(crate) mod ca;
#[cfg(feature = "doors")]
pub(crate) mod doors;
mod driver;
#[cfg(feature = "aws")]
mod enrolments;
#[cfg(feature = "aws")]
mod functions;
mod gate;
#[cfg(any(feature = "http", feature = "websocket"))]
pub(crate) mod http1;
pub(crate) mod listener;
mod memory;
mod passwords;
mod place;
mod seldom;
mod shared;
mod socket;
mod tasks;
mod tcp;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(feature = "tls")]
mod tls_link;
#[cfg(unix)]
pub(crate) mod unix;
#[cfg(any(feature = "websocket", test, fuzzing))]
pub(crate) mod ws;

#[cfg(feature = "aws")]
pub(crate) use authorizers::Authorizers;
#[cfg(all(feature = "aws", feature = "http"))]
pub(crate) use authorizers::put as ask_authorizer;
#[cfg(feature = "aws")]
pub(crate) use enrolments::gate as enrolment_gate;
#[cfg(feature = "aws")]
pub(crate) use functions::Functions;
#[cfg(any(feature = "tls", feature = "aws"))]
pub(crate) use gate::Gate;
pub use memory::Connection;
pub(crate) use passwords::Passwords;
#[cfg(feature = "http")]
pub(crate) use seldom::Seldom;
pub(crate) use shared::{Notices, Shared};
pub(crate) use tasks::Tasks;
