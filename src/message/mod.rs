//! What outlives a connection, as plain state: messages, deliveries, the window of open exchanges,
//! subscriptions and wills. Nothing here locks, reads a clock or knows a socket; `broker` does.

pub(crate) mod cause;
pub(crate) mod delivery;
pub(crate) mod publication;
pub(crate) mod subscription;
pub(crate) mod will;
