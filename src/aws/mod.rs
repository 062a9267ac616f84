//! What AWS IoT Core is besides a broker of messages.

pub(crate) mod authority;
pub(crate) mod authorizer;
mod certificate;
#[cfg(feature = "http")]
pub(crate) mod connectivity;
mod enrolment;
pub(crate) mod lifecycle;
#[cfg(feature = "http")]
pub(crate) mod refusals;
pub mod registry;
mod remembered;
pub(crate) mod shadow;
pub(crate) mod subject;
pub(crate) mod versions;
