//! A connection with both of its ends; the broker's runs the machine that also drives sockets.

use std::sync::Arc;
use std::time::Instant;

use crate::broker::{Broker, STEPS_PER_TURN};
use crate::client::turn::Part;
use crate::client::{Turn, Verdict};
use crate::codec::{MAX_PACKET_SIZE, Split, split};
use crate::sim::end::End;
use crate::sim::wire::Wire;

use super::observer::Observer;

/// A connection with both of its ends.
pub(super) struct Pipe {
    pub(super) end: End,
    pub(super) turn: Turn,
    pub(super) observer: Observer,
    pub(super) is_reading: bool,
    /// The client acknowledges at once.
    pub(super) is_prompt: bool,
    /// Bytes that the client sent and that are no whole packet yet.
    partial: Vec<u8>,
}

impl Pipe {
    pub(super) fn new(broker: &Broker, room: usize, now: Instant) -> Self {
        let wire = Arc::new(Wire::new(room, Arc::default()));
        let (end, turn) = End::open(broker, wire, "fuzz", now);
        Self {
            end,
            turn,
            observer: Observer::new(),
            is_reading: true,
            is_prompt: false,
            partial: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, bytes: &[u8]) {
        if self.end.is_closed {
            return;
        }
        self.end.uplink.extend(bytes);
        self.partial.extend_from_slice(bytes);
        let mut at = 0;
        while let Ok(Split::Frame(frame)) = split(&self.partial[at..], MAX_PACKET_SIZE) {
            at += frame.len;
        }
        let whole: Vec<u8> = self.partial.drain(..at).collect();
        self.observer.sends(&whole);
    }

    pub(super) fn close(&mut self) {
        self.end.is_closed = true;
    }

    /// One turn of the owner.
    pub(super) fn turn(&mut self, broker: &Broker, now: Instant) {
        self.end.begin(&mut self.turn, STEPS_PER_TURN);
        for part in Part::ALL {
            self.end.carry_out(part, &mut self.turn, broker, now);
        }
        self.end
            .end(
                &mut self.turn,
                broker,
                now,
                |credentials| match credentials.password.as_deref() {
                    Some(b"p") => Verdict::Valid,
                    Some(b"busy") => Verdict::Busy,
                    _ => Verdict::Invalid,
                },
            );
    }

    /// The client takes what has arrived, and answers if that is its habit.
    pub(super) fn read(&mut self) {
        let bytes = self.end.wire.read(usize::MAX);
        self.observer.receives(&bytes);
        if self.is_prompt {
            let acks = self.observer.acknowledge();
            self.send(&acks);
        }
    }
}
