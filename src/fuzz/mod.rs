//! What fuzzing holds the broker to: functions that take any bytes and panic where a promise is
//! broken. The targets in `fuzz/` hand them what libFuzzer thinks of; [`corpus`] hands them, in every
//! test run, what it kept.
//!
//! The module is there for tests and for builds by cargo-fuzz, which sets `cfg(fuzzing)`.

mod connection;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod differential;
mod frames;
mod packet;
#[cfg(feature = "aws")]
mod policy;
mod properties;
mod topics;

pub use connection::connection;
pub use frames::frames;
pub use packet::packet;
#[cfg(feature = "aws")]
pub use policy::policy;
pub use properties::properties;
pub use topics::topics;
