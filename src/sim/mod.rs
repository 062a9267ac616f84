//! Whole clients and a broker in virtual time, driven from a seed and held against a ledger of what
//! is due to whom.
//!
//! One step is one thing that can happen: a client sends, reads, acknowledges, leaves; the owner of
//! a connection has a turn; the clock moves. Sockets fill up, break, and take writes in pieces.
//! After every call of the broker the [`ledger`] looks at each packet that was composed.
//!
//! `cargo test` runs some hundred seeds. `ROUNDEL_SIM_SEEDS=10000` runs as many, and
//! `ROUNDEL_SIM_SEED=17` that one; a seed that fails prints what led to it.

#[cfg(test)]
mod client;
#[cfg(test)]
mod dice;
pub(crate) mod end;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod owner;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod turns;
pub(crate) mod wire;
#[cfg(test)]
mod world;
