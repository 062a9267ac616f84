//! What every step of the broker is handed.

use std::ops::Deref;
use std::sync::Arc;

use super::jobs::Jobs;
use crate::broker::bounds::Bounds;

/// The circumstances of one call, and where work is left that it does not come to do.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(in crate::broker) bounds: Bounds<'a>,
    /// What is nobody's turn.
    pub(in crate::broker) jobs: &'a Arc<Jobs>,
    /// Steps that a shared group takes under one lock hold, at least 1.
    pub(in crate::broker) batch: usize,
}

impl<'a> Deref for Context<'a> {
    type Target = Bounds<'a>;

    #[inline]
    fn deref(&self) -> &Bounds<'a> {
        &self.bounds
    }
}
