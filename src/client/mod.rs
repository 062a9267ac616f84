//! One client's machine without IO: what a task does with a connection, whatever carries it.

mod input;
pub(crate) mod turn;

pub(crate) use turn::{Input, Io, Next, Turn};
