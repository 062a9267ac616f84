//! Roundel: an MQTT 5 and 3.1.1 broker to run in-process or as a binary, and a local stand-in for
//! AWS IoT Core.

pub(crate) mod broker;
pub(crate) mod codec;
pub mod config;
pub(crate) mod session;

pub use codec::{QoS, ReasonCode, Version};
pub use config::Config;
