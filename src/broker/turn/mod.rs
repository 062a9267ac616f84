//! What a turn is handed, what it leaves behind, and who takes that up: they name each other.

mod context;
mod dirty;
mod jobs;

pub(crate) use context::Context;
pub(crate) use dirty::{Dirty, Later, SHORT_TURN, STEPS_PER_TURN};
pub(super) use dirty::{Drains, GoesOn};
pub(super) use jobs::Jobs;
