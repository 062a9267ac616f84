//! MQTT over WebSocket: the upgrade of an HTTP connection, and a layer of frames over its link.

#[cfg(any(feature = "websocket", test, fuzzing))]
pub(crate) mod frame;
#[cfg(feature = "websocket")]
mod link;
#[cfg(feature = "websocket")]
mod upgrade;

#[cfg(feature = "websocket")]
pub(super) use link::join;
#[cfg(feature = "websocket")]
pub(super) use upgrade::upgrade;
#[cfg(feature = "doors")]
pub(crate) use upgrade::{PATH, answer};
