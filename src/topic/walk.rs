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
    #[cfg(test)]
    SPENT.set(SPENT.get() + used);
    *steps = steps.saturating_sub(used);
}

#[cfg(test)]
thread_local! {
    /// What was spent in all, also beyond what there was.
    static SPENT: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// The steps that `work` takes, whatever it is allowed.
#[cfg(test)]
pub(super) fn spent_by<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = SPENT.get();
    (work(), SPENT.get() - before)
}
