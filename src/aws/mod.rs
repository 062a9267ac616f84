//! What AWS IoT Core is besides a broker of messages.

pub(crate) mod authority;
mod certificate;
mod enrolment;
pub(crate) mod lifecycle;
pub mod registry;
pub(crate) mod shadow;
pub(crate) mod subject;
