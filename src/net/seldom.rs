//! Log lines about what may happen thousands of times a second.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Between two lines on the same matter.
const PAUSE: Duration = Duration::from_secs(5);

/// When the last line on one matter was written, and how often there would have been one since.
#[derive(Default)]
pub(crate) struct Seldom(Mutex<State>);

#[derive(Default)]
struct State {
    last: Option<Instant>,
    kept_back: u64,
}

impl Seldom {
    /// Whether a line is to be written now: the number that were kept back since the last one.
    pub(crate) fn due(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        let is_due = state
            .last
            .is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if !is_due {
            state.kept_back += 1;
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_in_a_while_tells_how_many_there_would_have_been() {
        let (seldom, now) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.due(now), Some(0));
        for _ in 0..1_000 {
            assert_eq!(seldom.due(now + PAUSE / 2), None);
        }
        assert_eq!(seldom.due(now + PAUSE), Some(1_000));
        assert_eq!(seldom.due(now + 2 * PAUSE), Some(0));
    }
}
