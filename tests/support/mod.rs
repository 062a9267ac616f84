//! What the black-box tests share: a broker as a child process, a client that speaks in bytes, and a
//! strict reader of what comes back. Nothing here uses the crate's own codec, so that a mistake in
//! it cannot hide itself.
//!
//! A test reads like a script:
//!
//! ```ignore
//! let mut watcher = connect5(&fresh("watcher"));
//! watcher.subscribe("a/b", 1);
//! connect5(&fresh("author")).publish("a/b", "hello", 1);
//! assert_eq!(watcher.receive().payload, b"hello");
//! watcher.expect_only_pingresp();
//! ```
//!
//! Waiting is always for something: every read has a deadline. That nothing was sent is proved by a
//! PINGREQ whose PINGRESP is the next packet. Where a PINGREQ could help what a test looks for, above
//! all a message that has to reach an idle client by itself, nothing is sent: `expect_silence` listens
//! for a moment, and `post` publishes without asking after the message.
#![allow(
    dead_code,
    unused_imports,
    reason = "every test binary uses a part of its own"
)]

mod broker;
mod client;
#[cfg(all(feature = "tls", feature = "websocket"))]
mod door;
mod packet;
mod property;
mod script;
mod wire;

pub(crate) use broker::{Log, TestBroker, aws_broker, broker, clocked};
pub(crate) use client::{Carrier, Client, DEADLINE};
#[cfg(all(feature = "tls", feature = "websocket"))]
pub(crate) use door::{Door, Frames, Tls, handshake, masked_frame, take_frame, trust};
pub(crate) use packet::{
    Ack, Auth, Connect, Disconnect, Encode, PINGREQ, Publish, Subscribe, Unsubscribe, Version,
    Will, binary, frame, puback, pubcomp, pubrec, pubrel, utf8, varint,
};
pub(crate) use property::*;
pub(crate) use script::{both, connect, connect3, connect5, eventually, fresh, open, watcher};
pub(crate) use wire::{Delivery, Packet, PacketType, packet_length, read_packet};
