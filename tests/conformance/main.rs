//! Every statement of MQTT 5.0 and 3.1.1 that a server can be seen to keep or break, from outside,
//! over sockets.
//!
//! The documentation of a test starts with the statements it proves: `5:MQTT-…` for MQTT 5.0,
//! `3:MQTT-…` for 3.1.1. `docs/conformance.md` is made from them; see [`ledger`].

#[path = "../support/mod.rs"]
mod support;

mod bridge;
mod connect;
mod ending;
mod flow;
mod handshakes;
mod ledger;
mod limits;
mod malformed;
#[cfg(feature = "http")]
mod memory;
mod own_topics;
mod password_listeners;
#[cfg(target_os = "linux")]
mod passwords;
mod publish;
mod qos;
mod retained;
mod session;
mod shared;
mod subscribe;
mod takeover;
mod tls;
mod topics;
mod upgrade;
mod wakeup;
mod websocket;
mod will;
