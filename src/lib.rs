//! Roundel: an MQTT 5 and 3.1.1 broker to run in-process or as a binary, and a local stand-in for
//! AWS IoT Core.
//!
//! A [`Server`] is a running broker. [`Config::standard`] is all that MQTT defines, [`Config::aws`] is the
//! service with its limits and refusals, and [`Config::ephemeral`] makes either one that lives as long as a
//! test: free ports, certificates in memory.
//!
//! ```
//! use std::time::Duration;
//!
//! use roundel::{Config, Message, QoS, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::start(Config::standard().ephemeral()).await?;
//!
//! // A client under test connects to `server.addrs().mqtt`. This program may take part itself:
//! let mut orders = server.subscribe("$share/workers/orders/+", QoS::AtLeastOnce)?;
//! server.publish(&Message::new("orders/1", "two coffees").with_qos(QoS::AtLeastOnce))?;
//! assert_eq!(orders.next().await.map(|order| order.topic), Some("orders/1".into()));
//! server.stop().await;
//! # Ok(())
//! # }
//! ```
//!
//! # A fault
//!
//! What goes wrong between a client and its broker can be made to go wrong, by packet [`rules`]. Here the client is
//! [rumqttc](https://docs.rs/rumqttc-v5-next), connected without a socket ([`Handle::connect`]), and its PUBACK is lost.
//!
//! ```
//! use roundel::rules::{Action, Match, Rule};
//! use roundel::{Config, PacketType, ReasonCode, Server};
//! use rumqttc_v5::{AsyncClient, MqttOptions, PublishOptions, QoS, SessionMode};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::start(Config::standard().ephemeral()).await?;
//! server.journal().switch(true);
//! let puback = Match::of(PacketType::Puback).to_clients().client("car1");
//! server.rules().add(Rule::new(puback, Action::Drop).named("lost").times(1))?;
//!
//! let mut options = MqttOptions::new("car1", "in-memory");
//! options.set_session_mode(SessionMode::Persistent);
//! let broker = server.handle();
//! options.set_socket_connector(move |_, _| std::future::ready(broker.connect()));
//! let (client, mut events) = AsyncClient::builder(options).capacity(10).build();
//! let driving = tokio::spawn(async move { loop { let _ = events.poll().await; } });
//!
//! let car = server.expect("car1");
//! client.publish("cars/1", "on", PublishOptions::new(QoS::AtLeastOnce)).await?;
//! car.to_send(Match::of(PacketType::Publish).dup(false)).await;
//! server.disconnect("car1", ReasonCode::ServerBusy).await;
//! // It connects again, and sends again what was not acknowledged (MQTT-4.4.0-1).
//! car.to_send(Match::of(PacketType::Publish).dup(true)).await;
//! # driving.abort();
//! # Ok(())
//! # }
//! ```
//!
//! # A clock
//!
//! What happens after a time happens at once: sessions and messages expire, delayed wills are published. With
//! [`tokio::time::pause`](https://docs.rs/tokio/latest/tokio/time/fn.pause.html) and clients that are connected in memory, timers of connections need no time either.
//!
//! ```
//! use std::time::Duration;
//!
//! use roundel::{Config, Message, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::start(Config::standard().ephemeral()).await?;
//! let hour = Duration::from_secs(3600);
//! server.publish(&Message::new("cars/1/state", "on").retained().with_expiry(hour))?;
//! assert_eq!(server.retained(Some("cars/#"))?.len(), 1);
//! server.clock().advance(hour).await?;
//! assert_eq!(server.retained(Some("cars/#"))?, []);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | brings | default |
//! | --- | --- | --- |
//! | `tls` | MQTT over TLS, the certificates for it, and passwords | yes |
//! | `websocket` | MQTT over WebSocket | yes |
//! | `http` | the HTTP control API | yes |
//! | `cli` | what the binary needs; a program that embeds the broker leaves it out | yes |
//! | `aws` | what AWS IoT Core is besides a broker of messages: its lifecycle events, its policies ([`policy`]) and its registry | yes |
//!
//! A listener whose feature was left out is an error at the start ([`StartError::Feature`]).

mod auth;
#[cfg(feature = "aws")]
#[doc(hidden)]
pub mod aws;
pub(crate) mod broker;
pub(crate) mod budget;
pub(crate) mod chance;
pub(crate) mod chunked;
mod client;
pub(crate) mod codec;
pub mod config;
mod engine;
pub(crate) mod excerpt;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod local;
pub(crate) mod message;
pub(crate) mod nearest;
mod net;
pub(crate) mod objects;
#[cfg(feature = "aws")]
pub mod policy;
pub(crate) mod protocol;
mod server;
#[cfg(any(test, fuzzing))]
mod sim;
pub(crate) mod table;
mod tap;
pub(crate) mod time;
pub(crate) mod topic;

#[cfg(feature = "tls")]
pub use auth::password::{PasswordHash, PasswordHashError};
pub use codec::{
    ConnectFields, FilterField, PacketFields, PacketType, PropertyField, PropertyName,
    PropertyValue, QoS, ReasonCode, Version,
};
pub use config::Config;
pub use engine::timekeeper::AdvanceError;
pub use local::{Message, Reached, Refused, Subscription};
pub use net::Connection;
#[cfg(feature = "tls")]
pub use net::ca::{Authority, CaCertificate, CertError, Issued, IssuedPem, KeyAccess, KeyKind};
#[cfg(feature = "tls")]
pub use net::tls::TlsError;
pub use server::{
    Addrs, BrokerClock, ClientExpectation, ConnectionEnd, GroupExpectation, Handle, Server,
    StartError, WaitError,
};
pub use server::{ClientInfo, Deadline, GroupInfo, MemberInfo, Stats};

/// Packet rules: what is to go wrong on the way between clients and the broker. They are set by
/// [`Handle::rules`].
pub mod rules {
    pub use crate::server::Rules;
    pub use crate::tap::rule::{
        Action, Changes, Direction, Injected, Match, Rule, ServerDisconnect, When,
    };
    pub use crate::tap::rules::{HeldInfo, RuleError, RuleInfo};
}

/// The journal: what went over the connections lately. It is read by [`Handle::journal`].
pub mod journal {
    pub use crate::server::{AbsenceError, Journal};
    pub use crate::tap::journal::{
        JournalBounds, JournalQuery, JournalRow, PacketRow, RowEnd, RowKind,
    };
    pub use crate::tap::tls::{HandshakeCause, HandshakeFailure, TlsAlert, TlsInfo};
}

// The programs of the cookbook, and those of the clients' page for Rust.
#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../docs/testing.md")]
mod testing_page {}
#[cfg(all(doctest, feature = "tls"))]
#[doc = include_str!("../docs/clients/rust.md")]
mod rust_page {}
