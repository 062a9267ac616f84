//! The HTTP control API from outside: a server in this process, HTTP and MQTT over sockets.
#![cfg(feature = "http")]

#[path = "../support/mod.rs"]
mod support;

mod api;
mod captures;
mod clients;
mod clock;
mod connections;
#[cfg(feature = "console")]
mod console;
#[cfg(feature = "aws")]
mod data_plane;
mod description;
mod events;
#[cfg(all(feature = "tls", feature = "websocket"))]
mod further;
mod groups;
mod guard;
#[cfg(feature = "tls")]
mod handshakes;
mod health;
#[cfg(all(feature = "aws", feature = "tls"))]
mod identity;
mod in_memory;
mod journal;
mod library;
mod lists;
mod messages;
mod moments;
mod openapi;
mod operator;
mod publish;
mod quick_start;
#[cfg(all(feature = "aws", feature = "tls"))]
mod registry;
mod rules;
mod stream;
mod strictness;
mod subscribe;
#[cfg(feature = "tls")]
mod tls;
#[cfg(all(feature = "tls", feature = "websocket"))]
mod transports;
mod values;
mod waits;
