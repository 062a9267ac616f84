//! Profile `aws` from outside, over sockets, in both protocol versions: what AWS IoT Core does and
//! the standard does not ask for.
//!
//! The documentation of a test starts with the ids it proves, those of `docs/aws-differences.md`.

#[path = "../support/mod.rs"]
mod support;

mod script;
mod stand;

#[path = "../verdicts/mod.rs"]
mod table;

mod authorizers;
mod connack;
mod connect;
mod data_plane;
mod doors;
mod enrolment;
mod lifecycle;
mod limits;
mod message_limits;
mod policies;
mod qos2;
mod rates;
mod reasons;
mod retained;
mod session;
mod shadows;
mod shared;
mod subscribe;
mod switches;
mod topics;
mod verdicts;
