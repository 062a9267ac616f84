//! One client's protocol, as rules without IO: what a CONNECT settles, which packets are acceptable,
//! and how a refusal looks in either version.

pub(crate) mod alias;
pub(crate) mod handshake;
pub(crate) mod rate;
pub(crate) mod reserved;
pub(crate) mod rules;
pub(crate) mod violation;
pub(crate) mod wrong_door;
