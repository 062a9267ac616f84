//! One client's machine without IO: what a task does with a connection, whatever carries it.

mod acknowledging;
mod answers;
#[cfg(feature = "aws")]
mod authorizing;
mod connecting;
mod frames;
mod input;
mod machine;
mod publishing;
mod refusing;
mod subscribing;
mod tapping;
pub(crate) mod turn;

#[cfg(feature = "aws")]
pub(crate) use authorizing::Application;
#[cfg(feature = "internals")]
pub(crate) use machine::{Connection, Flow};
pub(crate) use machine::{Credentials, Inquiry, Verdict};
pub(crate) use turn::{Input, Io, Next, Turn};
