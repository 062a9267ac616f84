//! The broker's end of one connection, whose owner runs the machine that also drives sockets.

use crate::broker::{Link as _, SHORT_TURN, STEPS_PER_TURN};
use crate::client::turn::Part;
use crate::client::{Credentials, Turn};
use crate::codec::{MAX_PACKET_SIZE, PacketType, Split, split};

use super::client::Peer;
use super::end::End;
use super::world::World;

/// A connection with both of its ends.
pub(super) struct Pipe {
    /// Its place in the ledger.
    pub(super) at: usize,
    pub(super) client: usize,
    pub(super) peer: Peer,
    pub(super) end: End,
    pub(super) turn: Turn,
    /// The CONNECT, until it was carried out.
    pub(super) connect: Vec<u8>,
    /// The connection has, or had, its session.
    pub(super) is_established: bool,
    /// Bytes that the owner read and has not handled.
    pub(super) pending: Vec<u8>,
    pub(super) tap: Tap,
}

/// How far the packets composed for a connection have been looked at.
#[derive(Default)]
pub(super) struct Tap {
    /// Bytes composed since the beginning that have been seen.
    pub(super) seen: usize,
    pub(super) has_ended: bool,
}

impl World {
    /// One turn of a connection's owner.
    pub(super) fn turn(&mut self, index: usize) {
        let limit = self.dice.pick(&[1, 20, 200, 65_536]);
        let writes = self.dice.pick(&[1, 2, 64]);
        let share = self.dice.pick(&[SHORT_TURN, 1000, STEPS_PER_TURN]);
        let one_by_one = self.plan.one_by_one;
        let pipe = &mut self.pipes[index];
        let arriving = limit.min(pipe.end.uplink.len());
        let mut input = pipe.pending.clone();
        input.extend(pipe.end.uplink.iter().take(arriving));
        pipe.end.limit = match pipe.turn.is_open() {
            true => cut(&input, one_by_one).saturating_sub(pipe.pending.len()),
            // What still comes is read and forgotten.
            false => usize::MAX,
        };
        pipe.turn.set_writes(writes);

        pipe.end.begin(&mut pipe.turn, share);
        for part in Part::ALL {
            self.turn_part(index, part);
        }
        let pipe = &mut self.pipes[index];
        let refuse = |_: &Credentials| panic!("not configured");
        pipe.end.end(&mut pipe.turn, &self.broker, self.now, refuse);
    }

    /// At rest nothing waits for a socket that takes it.
    pub(super) fn check_written(&self) {
        for pipe in self.pipes.iter().filter(|pipe| pipe.end.wire.has_room()) {
            let is_attached = pipe.is_established && !pipe.tap.has_ended;
            let session = pipe.turn.session().filter(|_| is_attached);
            if let Some(session) = session.filter(|_| !pipe.end.wire.is_broken()) {
                let (_, left) = self.broker.unwritten(session, 0);
                assert_eq!(left, 0, "#{}: bytes that nobody writes", pipe.at);
            }
        }
    }

    /// One part of a turn, and the ledger's view of it.
    fn turn_part(&mut self, index: usize, part: Part) {
        self.begin();
        let pipe = &mut self.pipes[index];
        let is_retired = pipe.end.wire.mailbox().is_retired();
        let handled_before = pipe.turn.handled();
        pipe.end
            .carry_out(part, &mut pipe.turn, &self.broker, self.now);
        pipe.pending.extend_from_slice(&pipe.end.read);
        let count = pipe.turn.handled() - handled_before;
        let mut handled: Vec<u8> = pipe.pending.drain(..count).collect();
        if pipe.is_established {
            return match is_retired {
                true => self.account(&[], None),
                false => self.account_packets(index, &handled),
            };
        }
        // CONNECT is carried out once the session is to be had, and what follows it then.
        pipe.connect.append(&mut handled);
        let is_over = pipe.end.wire.mailbox().is_retired() || pipe.end.is_done();
        pipe.is_established = pipe.turn.session().is_some() || is_over;
        match pipe.is_established && !pipe.connect.is_empty() {
            true => {
                let connect = std::mem::take(&mut pipe.connect);
                self.account(&connect, Some(index));
            }
            false => self.account(&[], None),
        }
    }
}

/// How much of `input` is handled in one call. SUBSCRIBE and UNSUBSCRIBE stand alone, so that the
/// ledger knows what was composed before and after them.
fn cut(input: &[u8], one_by_one: bool) -> usize {
    let mut at = 0;
    while let Ok(Split::Frame(frame)) = split(&input[at..], MAX_PACKET_SIZE) {
        let stands_alone = one_by_one
            || matches!(
                frame.packet_type,
                PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe
            );
        if stands_alone {
            return if at == 0 { frame.len } else { at };
        }
        at += frame.len;
    }
    input.len()
}
