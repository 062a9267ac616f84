//! What a seed decides before its first step: bounds of the broker, habits of the clients.

use std::time::Duration;

use crate::config::{Config, Overflow, Overlapping, ShareStrategy};

use super::dice::Dice;

/// The frame of one simulation.
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) clients: usize,
    pub(super) steps: usize,
    /// Payloads have at most so many bytes.
    pub(super) payload: usize,
    /// Bytes that a socket takes before it is full, at most.
    pub(super) socket: usize,
    /// Clients may announce a Maximum Packet Size that some messages exceed.
    pub(super) packet_sizes: bool,
    /// All clients are members of one shared group.
    pub(super) one_group: bool,
    /// Messages that a client publishes in a row, at most.
    pub(super) burst: usize,
    /// Steps that a shared group takes under one lock hold.
    pub(super) batch: usize,
    /// Messages may have a Message Expiry Interval.
    pub(super) expiries: bool,
    /// Messages may be retained.
    pub(super) retained: bool,
    /// Bytes of unsent answers above which a connection is not read from.
    pub(super) unsent_answers: usize,
    /// Packets are handled one by one, so that the memory bound is known for each.
    pub(super) one_by_one: bool,
    /// Nothing but the rules of groups and the end of sessions may drop a message of QoS 1 or 2.
    pub(super) is_lossless: bool,
    /// Nothing may drop one of QoS 0 either.
    pub(super) is_exact: bool,
}

impl Plan {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let mut config = Config::standard();
        let mut plan = Self {
            clients: 2 + dice.below(6),
            steps: 50 + dice.below(250),
            payload: 60,
            socket: 0,
            packet_sizes: false,
            one_group: false,
            burst: 1,
            batch: dice.pick(&[1, 2, 7, 512]),
            expiries: false,
            retained: false,
            unsent_answers: dice.pick(&[0, 20, 64 * 1024]),
            one_by_one: false,
            is_lossless: false,
            is_exact: false,
            config: Config::standard(),
        };
        (plan.payload, plan.socket) = dice.pick(&[
            (16, 200),
            (60, 200),
            (60, 2_000),
            (600, 2_000),
            (600, 1_000_000),
            (60_000, 100_000),
        ]);
        if dice.chance(20) {
            config.share_strategy = ShareStrategy::Random;
        }
        if dice.chance(20) {
            config.overlapping = Overlapping::CopyEach;
        }
        if dice.chance(20) {
            config.limits.resend_interval = Some(Duration::from_secs(7));
        }
        if dice.chance(15) {
            config.limits.byte_rate = Some(dice.pick(&[100, 1_000]));
        }
        let limits = &mut config.limits;
        match dice.weighted(&[40, 15, 15, 10, 10, 20, 10]) {
            0 => (plan.is_exact, plan.is_lossless) = (true, true),
            1 => plan.expiries = true,
            2 => plan.packet_sizes = true,
            3 => {
                limits.session_queue = 2 + dice.below(10);
                limits.group_queue = 1 + dice.below(10);
                if dice.chance(50) {
                    config.on_overflow = Overflow::Disconnect;
                }
            }
            4 => {
                limits.outbox = 100 + dice.below(3000);
                plan.is_lossless = true;
            }
            5 => {
                // Long queues, in which what some members cannot take stands before what they can.
                plan.packet_sizes = dice.chance(70);
                plan.is_lossless = !plan.packet_sizes;
                plan.one_group = true;
                plan.payload = 90;
                plan.burst = 1 + dice.below(40);
            }
            _ => {
                plan.is_lossless = true;
                limits.memory = dice.pick(&[40 * 1024, 96 * 1024]);
                // A packet that alone exceeds the bound is never let in.
                plan.payload = 1_500;
                plan.one_by_one = true;
            }
        }
        let drops_replays = plan.packet_sizes || limits.outbox < 10_000 || plan.one_by_one;
        plan.retained = !drops_replays && limits.session_queue > 100 && dice.chance(30);
        // Whoever looks at packets changes nothing. It takes no draw, so that seeds stay what they are.
        config.journal = plan.steps.is_multiple_of(4);
        plan.config = config;
        plan
    }
}
