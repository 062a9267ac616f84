//! Walks that stop after so many steps and go on later from where they stopped.

/// How far a walk has come.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Nothing is left.
    Done,
    /// It goes on at its position.
    More,
}

/// Takes `used` off the steps that are left.
pub(super) fn spend(steps: &mut usize, used: usize) {
    *steps = steps.saturating_sub(used);
}
